// Package trainingrun reconciles TrainingRuns: each becomes one batch/v1 Job,
// and its status tells how that goes.
//
// # What a run promises
//
// It trains at most once: a Job that was made is never made again. It starts only
// on a dataset that is sealed, checked and not being erased, and says which one it
// was. A run that has ended stays as it ended and is not written again. A deleted
// run goes only when none of its Pods, and so no local copy of its dataset, is left,
// and when its artifacts are erased, or noted to stay.
//
// # States
//
//	           dataset ready       trainer starts      trainer exits 0      artifacts stored
//	Pending ------------> Starting ----------> Running ----------> Publishing ----------> Succeeded
//	   |                   |    ^                 |  |                  |
//	   |                   |    +-----------------+  |                  |
//	   |                   |      Pod taken away     |                  |
//	   +-------------------+----------+--------------+------------------+
//	     dataset erasing or invalid   |   stage-in, trainer or stage-out fails; Pod or Job lost
//	                                  v
//	                               Failed
//
// # Conditions
//
//	condition            True when                       False, with the reason of the state, while
//	DatasetBound         the Job was made (Bound)        it waits, or failed before it had a Job
//	Running              the trainer runs (Training)     it waits; afterwards (Trained, or the failure)
//	ArtifactsPublished   stage-out has ended well        it is on its way (Uploading) or failed
//	Complete             the run succeeded; final        never
//	Failed               the run failed; final           never
//	ArtifactsErased      the artifacts of a deleted run  they are being erased (Proceeding), or what
//	                     are erased; it goes now         holds that up: see "The end of the artifacts"
//
// All are set by this controller only (conditions.go). DatasetErased, and with it
// status.dataset.receiptDigest, is the datasetretention controller's: it is carried
// along and never touched. All writes of the status are on the condition that nobody
// else has written since.
//
// # Reasons
//
//	state        reason               who or what clears it
//	Pending      DatasetNotFound      the dataset is created
//	             DatasetNotSealed     its upload is finished and sealed
//	             DatasetNotReady      the datasetretention controller has checked it
//	             JobNotOwned          the Job in the way is deleted
//	             PodRejected          the quota or policy that refuses the Job changes
//	             StoreUnavailable     the store answers, or its bucket is put in order
//	Starting     PodStarting          scheduler, kubelet and stage-in do their work
//	             Unschedulable        a node has room
//	             ImagePull            the image appears; or another run is made
//	             ContainerError       likewise
//	             PodRejected          the quota or policy that refuses the Pod changes
//	Running      Training             the trainer ends
//	             Ending               the Pod ends (also in other states: the run is deleted)
//	Publishing   Uploading            stage-out ends
//	Succeeded    Published            final
//	Failed       DatasetErasing DatasetInvalid DatasetCorrupt StageInFailed StoreDenied
//	             DiskFull OOMKilled NonZeroExit UploadFailed PodLost JobLost          final
//
// # The end of the artifacts
//
// Nothing enters the store that the ledger does not know. A run that starts gets the
// finalizer, then a record in the ledger (which store, which place), then its Job; so
// whatever the finalizer may be bypassed by, the sweeper finds what is left. The
// record has no date: artifacts have no end of their own.
//
// When a deleted run has neither Job nor Pods any more, the ledger and the namespace
// are asked, live, what is to become of its artifacts:
//
//	the ledger says "erased", or the run never had a record or a Job   let it go
//	reclaimPolicy Retain, and the namespace stays                      note "retained", let it go
//	reclaimPolicy Delete, or the namespace is going or gone            erase, then let it go
//
// A run that published nothing is no exception: half an upload may be there. An erase
// takes three passes, each of which may be repeated after a crash at any point: count,
// and write the counts into the status, because the receipt needs them; remove,
// verify, write the receipt, note "erased" with its digest; take the finalizer off.
// The place is always derived; the store is the one in the ledger's record. When the
// record or the status name another place, nothing is erased.
//
//	ArtifactsErased      who or what clears it
//	StoreUnavailable     the store, its bucket, or the operator's rights there
//	UnknownStore         the operator is connected to the store of the artifacts again
//	ObjectLock           its date; or a bucket without a lock
//	EraseIncomplete      whoever still writes there stops
//	EraseRefused         an administrator looks into the operator's log
//
// All of them are tried again, with growing pauses up to a minute.
//
// Stage-out's credentials outlive its Pod, for as long as the broker gave them, so that
// an upload can even begin after the erase, and a request that has begun outlives them;
// the erase does not wait for that, since only the trainer's own Pod had them and it is
// gone. What arrives late all the same is covered by the ledger: "erased" is a
// tombstone, and the sweeper removes, for ever, whatever it finds under one. Unfinished
// uploads in parts from before the last restart of a MinIO server can not be listed, so
// neither erase nor sweeper find them. The receipt says so (NotCovered). Artifacts that
// were retained go when the sweeper sees their namespace gone.
//
// Long work at the store does not hold up the rest: counting and erasing have their
// turns, short calls have others and a short time limit, and following runs needs no
// store at all (turns.go).
//
// # Decisions
//
// Look twice. A decision is made on the cache; where it can not be taken back
// (create the Job, end the run, erase, let it go) everything is read again from the
// API server and decided again. What else has to be known (plan.Ask) is asked for
// only then, so that it costs nothing at rest.
//
// That is also the fence against a dataset that is being erased: the
// datasetretention controller waits for every run that it sees after the deletion of
// the dataset, and a run that it does not see yet finds the deletion at its second
// look. How long the store takes to answer between that look and the Job does not
// matter: a run that exists and has not ended is waited for.
//
// The Job first, then the status. status.dataset so says that a Job was made, and
// a Job that is missing later is lost. The snapshot of the dataset is on the Job's
// template and survives a crash between the two.
//
// The trainer's output and termination message are never copied into a status or
// an event: they are the user's data. The stager's reports are made to be shown.
//
// GPU time is charged when a trainer ends, so that a status is not written again
// and again while it runs. The finalizer, the Job and four statuses are all that
// is written for a run that finds its dataset ready.
//
// # Files
//
//	controller.go       watches, Reconcile: look, act, report, write, tell
//	observe.go          what a decision needs, read once; pages.go: how lists are read
//	decide.go           the chain of rules; decide_dataset, _job, _pod, _end: one question each
//	finalize.go         the rule for a deleted run; reclaim.go: for its artifacts
//	store.go            what is asked of the store, and how; turns.go: how much at once
//	act.go              the writes; erase.go: the erase of artifacts
//	report.go           the status; conditions.go: its conditions
//	events.go           what is told when; metrics.go: what is counted
//	resources/          the Job
package trainingrun
