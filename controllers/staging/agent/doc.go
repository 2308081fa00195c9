// Package agent is what runs inside a run's pod: stage-in brings the dataset to
// the trainer, stage-out publishes what the trainer leaves.
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
//	/lethe/.stage-in/files/...        files that are complete or will be checked again
//	/lethe/dataset                    .stage-in/files, once every file was verified
//
// Nothing is synced to disk: every start verifies by hash what it finds, also a
// dataset that was complete, so a crash can only cost time.
//
// # Verification
//
// A small file is hashed on its way to the volume. A large one arrives in ranges
// that are written where they belong; its hash follows in order behind them and
// reads back what lies on the volume, which is still in the page cache. Hashing
// after the whole download would read from disk what no longer fits into memory,
// and hashing on arrival would force the ranges into one stream.
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
// Memory is bounded by the number of workers and their buffers, except for one
// small record for each published artifact. Errors and log lines name files by
// their number only, as a path may be personal data.
package agent
