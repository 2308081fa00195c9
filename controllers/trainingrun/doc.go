// Package trainingrun reconciles TrainingRuns: each is one attempt after the other, each
// attempt is one batch/v1 Job, and the run's status tells how that goes.
//
// # What a run promises
//
// An attempt trains at most once: a Job that the status tells of, or that has a Pod, is
// never made again. There is never a Job while a Pod of an older attempt could still
// write. It starts only on a dataset that is sealed, checked and not being erased, and
// says which one it was; all attempts have the same. A run that has ended stays as it
// ended. A deleted run goes only when none of its Pods, and so no local copy of its
// dataset, is left, when their time is counted, and when its artifacts are erased, or
// noted to stay.
//
// # States
//
//	        dataset ready                trainer starts      trainer exits 0      artifacts stored
//	Pending ------> Queued ----> Starting ----------> Running ----------> Publishing ----------> Succeeded
//	   |               ^  queue   |    ^                 |  |                  |
//	   |               |  admits  |    +-----------------+  |                  |
//	   |               +----------+   the Pod is taken away |                  |
//	   |               quota is taken back; the next attempt (failed with retries left,
//	   |               disrupted, or resumed) begins at Queued or Starting again
//	   |                                  |
//	   +----------------------------------+-- no retry left, a limit, the dataset erased --> Failed
//
//	Suspended: from every state that is not final, and back to Starting as a new attempt.
//	Cancelled: from every state that is not final, for good.
//
// Starting and Publishing are not written if they last less than five seconds.
//
// # Conditions
//
//	condition            True when                       False, with the reason of the state, while
//	DatasetBound         the Job was made (Bound)        it waits, or failed before it had a Job
//	Running              the trainer runs (Training)     it waits; afterwards (Trained, or the failure)
//	ArtifactsPublished   stage-out has ended well        it is on its way (Uploading) or failed
//	Complete             the run succeeded; final        never
//	Failed               the run failed; final           never
//	Cancelled            the run was cancelled; final    never
//	Suspended            the run is stopped for a while  it is not set any more (Resumed); missing before
//	QuotaReserved        the queue admitted the Job      it waits, with Kueue's reason; runs with a queue only
//	Progressing          the trainer moves again         it Stalled; missing before that
//	ArtifactsErased      the artifacts of a deleted run  they are being erased (Proceeding), or what
//	                     are erased; it goes now         holds that up: see "The end of the artifacts"
//
// All are set by this controller only (conditions.go). DatasetErased, and with it
// status.dataset.receiptDigest, is the datasetretention controller's; status.progress and
// status.checkpoints are the broker's: they are carried along and never touched. All
// writes of the status are on the condition that nobody else has written since.
//
// # Reasons
//
//	state        reason               who or what clears it
//	Pending      DatasetNotFound      the dataset is created
//	             DatasetNotSealed     its upload is finished and sealed
//	             DatasetNotReady      the datasetretention controller has checked it
//	             CheckpointNotFound   the run of spec.checkpoint.from has the checkpoint
//	             JobNotOwned          the Job, or Pod, in the way is deleted
//	             ServiceNotOwned      the Service in the way is deleted
//	             PodRejected          the quota or policy that refuses the Job changes
//	             StoreUnavailable     the store answers, or its bucket is put in order
//	             PaymentRequired      the tenant's billing is Active
//	             TenantNotReady       the tenant controller has set the Namespace up
//	Queued       Queued, or Kueue's   the queue admits the Job
//	Starting     PodStarting          scheduler, kubelet and stage-in do their work
//	             Unschedulable        a node has room
//	             NoSuchGPU            a node with such GPUs comes; or another run is made
//	             Gathering            the other nodes of the run get room, too
//	             ImagePull            the image appears; or another run is made
//	             ContainerError       likewise
//	             PodRejected          the quota or policy that refuses the Pod changes
//	             Retrying Disrupted   the Pods of the last attempt are gone; a pause is over
//	             Resumed              the new Job is made
//	Running      Training             the trainer ends
//	             Ending               the Pod ends (also in other states: the run is deleted)
//	             Suspending           the Pod ends (also in other states)
//	Publishing   Uploading            stage-out ends
//	Suspended    Suspended            spec.suspend is set to false
//	             PaymentRequired      the tenant's billing is Active
//	Succeeded    Published            final
//	Failed       DatasetErasing DatasetInvalid DatasetCorrupt CheckpointCorrupt StageInFailed
//	             StoreDenied DiskFull OOMKilled CUDAOutOfMemory NonZeroExit ContainerError
//	             UploadFailed
//	             MaxDurationReached GPUBudgetReached StartDeadlineExceeded Stalled
//	             PodLost JobLost                                                    final
//	Cancelled    Cancelled            final
//
// # Attempts
//
// status.attempts is the run's memory, and is written in an order that a crash can not
// confuse: that an attempt has ended (result), with the time of its Pods; then their
// finalizer is taken off, the Job of the ended attempt deleted, the Job of the next one
// made. So one Job name is looked at: that of the number after the last result.
//
//	the attempt ended               result      counts   then
//	with its Job, well              Succeeded            the run succeeded
//	a step failed                   Failed      yes      the next, while spec.retry.limit allows and the
//	                                                     failure may pass by itself; else the run failed
//	the cluster took a Pod          Disrupted   no       the next
//	a Pod got lost otherwise        Disrupted   no       the next; after three in a row the run failed
//	spec.suspend, or nobody pays    Suspended   no       Suspended; later the next
//	the trainer stalled             Failed      yes      as for a step that failed
//	a stager was killed for ever    Failed      yes      as for a step that failed
//	a limit, or its Job was lost    Stopped              the run failed
//	or edited
//	spec.cancel                     Stopped              the run was cancelled
//
// On one node, a Pod that is taken away is replaced by the Job controller within the
// attempt (disruptions). On several, the Job fails as a whole, and the next attempt
// resumes on all of them from the checkpoint. Attempts that come to nothing in a row are
// repeated after pauses that grow to five minutes.
//
// A stager that is killed is started again in its Pod, five times; after that the attempt
// is stopped. Stage-out may be down for as long as its trainer runs: what it costs is
// checkpoints, and stopping the trainer would cost more.
//
// To stop an attempt (cancel, suspend, startWithin, stalledAfter, ...), why is written to its reason;
// then the Job is deleted, so that the Pods have their grace period for a last
// checkpoint; when they are over, the result is written. The Job's own suspend is never
// touched: with a queue it is Kueue's.
//
// # Limits
//
// maxDuration and maxGPUSeconds are the deadline of each Job (activeDeadlineSeconds), so
// they hold while the operator is away: at first the time to start and what is left;
// when the trainer has started, or a limit changed, the exact time (deadline.go). What is
// left is what the run's usage does not have yet, so limits add up over attempts by
// themselves. An upload that is not over with the training is freed of the deadline.
//
// A limit is when the trainers are asked to stop, not the last second that is paid for:
// the grace period comes on top, because a run that is cut off before its last checkpoint
// has spent all for less. What it takes is charged like everything else, so usage may be
// above maxGPUSeconds by the GPUs of the run times gracePeriod, once: what an earlier
// attempt took of its own is not there for the next.
//
// startWithin and stalledAfter are the operator's to enforce.
// That a trainer stalled takes two facts: its last sign of life is too old, and a newer
// message says so. No message is no evidence.
//
// # Tenants
//
// In a Namespace with the label lethe.dev/tenant (api/v1alpha1, tenant.go) no run starts
// before the tenant controller has set it up, and none while its billing is Suspended.
// Then an attempt that has not begun to train is stopped at once, since its Pods would be
// refused; one that trains when the grace is over, at a checkpoint; one that only uploads
// is let be. All of them go on by themselves when billing is Active. What a run is in (the
// RuntimeClass) is read from the Namespace, too, and the nodes of a run get a NetworkPolicy
// that lets them talk to each other.
//
// The Namespace is read from the cache, which knows all of them, and from the API server
// only for a tenant, or when the cache does not have it yet, before a decision that can
// not be taken back. Elsewhere nothing changes, and nothing more is read.
//
// # Usage
//
// A Pod carries a finalizer (lethe.dev/usage) until its time is in the status. It is
// settled when it is over: its seconds are added to the sums and to its attempt, and its
// UID to settledPods, in one write; then the finalizer goes. A Pod without it was
// settled; a Pod in settledPods is not counted again, whatever was forgotten in between.
// Settling looks at the API server itself. The sums only grow, also when the list of
// attempts is cut. settledPods is tidied up when the next Pod is settled, so that of the
// last attempt it stays: a run that has ended is not written for that.
//
// A Pod that nobody saw end (its node is lost) is charged until it stopped being ready.
// What an attempt spent after its newest checkpoint is lost, unless it succeeded.
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
// The Job first, then the status: a run whose trainer starts at once is not written in
// between. The snapshot of the dataset is on the Job's template and survives a crash. It is
// not taken on trust: labels and annotations of a template can be edited while a Job
// waits in its queue. They are held against the run, and against the dataset until the
// status has it; a Job that was edited is stopped (JobLost), and the broker gives its Pods
// nothing.
// A Job that is deleted before the status tells of it, and before it had a Pod, is made
// again.
//
// Little is written. The finalizer, the Job, the start and the end, and the Pod's
// finalizer, are all for a run that finds everything ready; at rest there is none. GPU
// time is charged when a trainer ends, so that a status is not written again and again
// while it runs.
//
// The trainer's output is the user's data: it gets into status.failure.logTail, from the
// stager's report, and nowhere else. The rest of the stager's reports is made to be shown.
//
// Old checkpoints are cleared away once for each new one (prune.go). What fails of that
// holds no run up.
//
// # Files
//
//	controller.go       watches, Reconcile: look, act, report, write, free, prune, tell
//	observe.go          what a decision needs, read once; pages.go: how lists are read
//	attempt.go          which attempt it is, and what the status says of it
//	decide.go           the chain of rules; decide_dataset, _job, _pod, _end, _stop: one question each
//	deadline.go         how long a Job may take; usage.go: what its Pods took
//	failure.go          why an attempt failed; steps, blame, logtail, unschedulable: in which words
//	queue.go            what Kueue says; tenant.go: what the Namespace says
//	finalize.go         the rule for a deleted run; reclaim.go: for its artifacts
//	store.go            what is asked of the store, and how; turns.go: how much at once
//	act.go              the writes; free.go: those on Pods; erase.go: the erase of artifacts
//	prune.go            old checkpoints
//	report.go           the status; conditions.go: its conditions
//	events.go           what is told when; metrics.go, crowd.go: what is counted
//	resources/          the Job, the Service and the NetworkPolicy
package trainingrun
