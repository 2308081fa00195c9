// Package agent is what runs inside a run's pod: stage-in brings the dataset and the
// checkpoint to begin with to the trainer, stage-out stores what the trainer leaves.
//
// # The dataset's volume
//
// stage-in mounts the volume at the parent of the dataset's folder and the trainer
// mounts only the folder in it (subPath), read-only. So the data can be collected
// beside that folder and then appear by one rename, whole or not at all, and the
// trainer sees its files and nothing of ours:
//
//	/lethe/.stage-in/manifest.jsonl   verified against the pinned digest, then trusted
//	/lethe/.stage-in/parts/<number>   a large file while its ranges arrive
//	/lethe/.stage-in/journal          which of them have arrived
//	/lethe/.stage-in/files/...        files that are complete or will be checked again
//	/lethe/dataset                    .stage-in/files, once every file was verified
//
// Nothing is synced to disk: every start verifies by hash what it finds, also a
// dataset that was complete, so a crash can only cost time. The journal only saves
// fetching: ranges that it names are read from the volume, and count for nothing if the
// whole file has another hash than the manifest says.
//
// # Verification
//
// All is hashed on its way to the volume. The ranges of a large file arrive out of order
// and wait in memory for their turn, four of all files together at most: reading them
// back would cost nearly as much as receiving them, and so would writing them in the
// small pieces that TLS gives. For the same reason they are written past the page cache
// where the volume can do that. The cache would not keep them for the trainer: its pages
// count against the memory limit of this container, which is small.
//
// # Several nodes
//
// Each node's stage-in brings the dataset, whole or each file whose position in the
// manifest leaves the node's index when divided by the number of nodes. Then it waits
// for the others: a trainer that starts would wait for them with its GPUs held. The list
// of nodes lies beside the dataset, in a folder that the trainer mounts read-only.
//
// # Checkpoints
//
// A checkpoint is a file or folder directly in the trainer's folder for them. The newest
// by the time of its files is stored at the interval, at once when the pod is told to
// stop, and at the trainer's end, also when that was a failure. While the trainer runs it
// must look the same twice, two seconds apart; what changes while it is uploaded is
// discarded and tried again. Nothing about a checkpoint fails a run: it is said in the
// log and tried again at the next interval.
//
// What one node writes lies under a name that was taken before by an empty object, made
// only if there was none (If-None-Match), counting on from the newest that the broker
// knows. So a stage-out that was killed, or a pod on a node that is thought to be lost,
// never writes under a name that anybody else has used. Where every node writes, the name
// is that of the step, which is all that the nodes agree on: the first says in the store
// which one it wants, each uploads its part, and a part that has a manifest is never
// written again. The first writes the record when all parts are there.
//
// stage-in collects a checkpoint in a hidden folder and gives it to the trainer by one
// rename. A hidden note beside it tells stage-out what not to store again.
//
// While a pod is stopped the kubelet reports no container's end before that of all. So
// stage-out also takes the end of the output for the trainer's; and a minute in which
// nothing was written, if a checkpoint was since the pod was told to stop. An end that is
// heard of after that is no success, whatever its exit code: a trainer that stores a
// checkpoint when it is asked to stop, and exits with 0, has done half of its work.
//
// # Progress and output
//
// The last lines of the progress file are merged and sent; the time that remains is
// reckoned from the pace since this attempt was first heard of. Progress, files of
// checkpoints and output all count as activity. The output is stored in pieces, the one
// that grows each minute. A stage-out that was started again begins with a new piece,
// and may store lines twice rather than lose any. Beyond the limit only the end is kept.
// None of it ever fails a run or holds it for more than a minute or two.
//
// The trainer may do in its folders what it likes while we read: folders are read in
// pieces up to a bound, no link is followed out of them (os.Root), and pipes are opened
// without waiting.
//
// # Patience
//
// What is away is asked again with growing, jittered pauses for as long as the
// patience lasts since its last answer. It is long, because giving the GPUs back
// helps nobody while the store or the operator is away: no other run could start
// either. After the trainer's end it is longer still, because then hours of work
// are at stake.
//
// # The dataset's key
//
// Where the grant has a key, every object and the manifest are read or written under
// it. It stays in memory, with the grant. An object that is not under it is damage
// like any other: another try would not help.
//
// Memory is bounded by the number of workers and their buffers, 8 MiB of output, and one
// small record for each published artifact. Errors and log lines name files by
// their number only, as a path may be personal data.
package agent
