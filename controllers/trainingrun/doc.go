// Package trainingrun reconciles TrainingRuns: each becomes one batch/v1 Job,
// and its status tells how that goes.
//
// # What a run promises
//
// It trains at most once: a Job that was made is never made again. It starts only
// on a dataset that is sealed, checked and not being erased, and says which one it
// was. A run that has ended stays as it ended and is not written again. A deleted
// run goes only when none of its Pods, and so no local copy of its dataset, is left.
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
//
// All are set by this controller only, from one verdict (conditions.go).
//
// # Reasons
//
//	state        reason               who or what clears it
//	Pending      DatasetNotFound      the dataset is created
//	             DatasetNotSealed     its upload is finished and sealed
//	             DatasetNotReady      the datasetretention controller has checked it
//	             JobNotOwned          the Job in the way is deleted
//	             PodRejected          the quota or policy that refuses the Job changes
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
// # Decisions
//
// Look twice. A decision is made on the cache; where it can not be taken back
// (create the Job, end the run, let it go) everything is read again from the API
// server and decided again. That is also the fence against a dataset that is
// being erased: the datasetretention controller waits for every run that it sees
// after the deletion of the dataset, and a run that it does not see yet finds the
// deletion at its second look.
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
//	observe.go          what a decision needs, read once
//	decide.go           the chain of rules; decide_dataset, _job, _pod, _end: one question each
//	finalize.go         the rule for a deleted run
//	act.go              the writes
//	report.go           the status; conditions.go: its conditions
//	events.go           what is told when; metrics.go: what is counted
//	resources/          the Job
package trainingrun
