package v1alpha1

// Condition types of a TrainingRun. Positive polarity means that True is the
// good or expected value.
const (
	// ConditionDatasetBound (positive, trainingrun controller): the run is bound
	// to one sealed dataset. False while it waits for the dataset.
	ConditionDatasetBound = "DatasetBound"
	// ConditionRunning (positive, trainingrun controller): the trainer runs.
	// False before, with the reason for which it has to wait, and after.
	ConditionRunning = "Running"
	// ConditionArtifactsPublished (positive, trainingrun controller): the
	// artifacts and their manifest are in the store.
	ConditionArtifactsPublished = "ArtifactsPublished"
	// ConditionSuspended (neutral, trainingrun controller): the run is stopped because
	// spec.suspend is set, or is on its way to it.
	ConditionSuspended = "Suspended"
	// ConditionQuotaReserved (positive, trainingrun controller): the run's queue has
	// admitted it. It is there only for a run with a queueName; False has Kueue's reason.
	ConditionQuotaReserved = "QuotaReserved"
	// ConditionProgressing (positive, trainingrun controller): False when the trainer
	// does nothing any more (Stalled). It is there only once that was so.
	ConditionProgressing = "Progressing"
	// ConditionComplete (positive, trainingrun controller): the run succeeded. Final.
	ConditionComplete = "Complete"
	// ConditionFailed (negative, trainingrun controller): the run failed. Final.
	ConditionFailed = "Failed"
	// ConditionCancelled (neutral, trainingrun controller): the run was cancelled by its
	// user. Final.
	ConditionCancelled = "Cancelled"
	// ConditionDatasetErased (positive, datasetretention controller): the dataset
	// that the run was bound to is erased; status.dataset.receiptDigest names the
	// receipt.
	ConditionDatasetErased = "DatasetErased"
	// ConditionArtifactsErased (positive, trainingrun controller): True only for a
	// moment, before a deleted run goes. False says what holds the erase up.
	ConditionArtifactsErased = "ArtifactsErased"
)

// Condition types of a DatasetRetention.
const (
	// ConditionReady (positive, datasetretention controller): sealed, checked, and
	// not being erased: a run may start on it.
	ConditionReady = "Ready"
	// ConditionInUse (neutral, datasetretention controller): a run that has not
	// ended uses the dataset. Its last transition to False starts the
	// afterTraining window.
	ConditionInUse = "InUse"
	// ConditionExpiring (neutral, datasetretention controller): a run has used the
	// data, none does now, and the time after training runs.
	ConditionExpiring = "Expiring"
	// ConditionHeld (neutral, datasetretention controller): a hold keeps the data
	// from being erased.
	ConditionHeld = "Held"
	// ConditionErasing (neutral, datasetretention controller): the dataset is
	// deleted; no run may start on it any more.
	ConditionErasing = "Erasing"
	// ConditionErasureBlocked (negative, datasetretention controller): the erase
	// can not go on at the moment; the reason says why. It is tried again.
	ConditionErasureBlocked = "ErasureBlocked"
)

// Reasons of a run that waits.
const (
	// ReasonDatasetNotFound: no DatasetRetention of that name is in the namespace.
	ReasonDatasetNotFound = "DatasetNotFound"
	// ReasonDatasetNotSealed: the upload is not finished.
	ReasonDatasetNotSealed = "DatasetNotSealed"
	// ReasonDatasetNotReady: sealed, but not checked yet, or not usable.
	ReasonDatasetNotReady = "DatasetNotReady"
	// ReasonPodStarting: the Pod is being scheduled, its image is pulled and its
	// dataset staged, all as usual.
	ReasonPodStarting = "PodStarting"
	// ReasonUnschedulable: no node has room for the Pod.
	ReasonUnschedulable = "Unschedulable"
	// ReasonNoSuchGPU: no node has GPUs of the kind that is asked for.
	ReasonNoSuchGPU = "NoSuchGPU"
	// ReasonQueued: the run's queue has not admitted it yet.
	ReasonQueued = "Queued"
	// ReasonGathering: some of the run's Pods have a node, and wait for the others.
	ReasonGathering = "Gathering"
	// ReasonRetrying: an attempt has failed, and the next one starts when the Pods of
	// the last are gone.
	ReasonRetrying = "Retrying"
	// ReasonCheckpointNotFound: the run that spec.checkpoint.from names, or its
	// checkpoint, does not exist.
	ReasonCheckpointNotFound = "CheckpointNotFound"
	// ReasonSuspending: the trainer was asked to stop at a checkpoint.
	ReasonSuspending = "Suspending"
	// ReasonSuspended: spec.suspend is set.
	ReasonSuspended = "Suspended"
	// ReasonCancelled: spec.cancel is set. Also the reason of a run that has ended so.
	ReasonCancelled = "Cancelled"
	// ReasonResumed: spec.suspend is not set any more.
	ReasonResumed = "Resumed"
	// ReasonAdmitted: the run's queue has admitted it.
	ReasonAdmitted = "Admitted"
	// ReasonServiceNotOwned: a Service of the name that the run's nodes find each other
	// by exists and is not the run's.
	ReasonServiceNotOwned = "ServiceNotOwned"
	// ReasonPaymentRequired: the billing of the run's tenant is suspended. Also a reason of
	// the tenant's Namespace.
	ReasonPaymentRequired = "PaymentRequired"
	// ReasonTenantNotReady: the operator has not made everything yet that the run's tenant
	// needs.
	ReasonTenantNotReady = "TenantNotReady"
	// ReasonImagePull: the trainer's image can not be pulled.
	ReasonImagePull = "ImagePull"
	// ReasonContainerError: a container of the Pod can not be made from its image
	// and settings.
	ReasonContainerError = "ContainerError"
	// ReasonPodRejected: the API server refuses the Job or its Pods (quota, policy).
	ReasonPodRejected = "PodRejected"
	// ReasonJobNotOwned: a Job of the run's name exists and is not the run's.
	ReasonJobNotOwned = "JobNotOwned"
)

// Reasons of a run on its way.
const (
	// ReasonBound: the run is bound to its dataset.
	ReasonBound = "Bound"
	// ReasonTraining: the trainer runs.
	ReasonTraining = "Training"
	// ReasonEnding: the trainer failed, or the run is being deleted; it ends as
	// soon as its Pod has ended.
	ReasonEnding = "Ending"
	// ReasonUploading: the artifacts are being uploaded.
	ReasonUploading = "Uploading"
	// ReasonPublished: the artifacts are in the store.
	ReasonPublished = "Published"
	// ReasonTrained: the trainer ended with exit code 0.
	ReasonTrained = "Trained"
)

// Reasons for which a run fails.
const (
	// ReasonDatasetErasing: the dataset is being erased, or was replaced.
	ReasonDatasetErasing = "DatasetErasing"
	// ReasonDatasetInvalid: the dataset is sealed with an unusable manifest.
	ReasonDatasetInvalid = "DatasetInvalid"
	// ReasonDatasetCorrupt: what was downloaded differs from the manifest.
	ReasonDatasetCorrupt = "DatasetCorrupt"
	// ReasonStageInFailed: the dataset could not be staged for another reason.
	ReasonStageInFailed = "StageInFailed"
	// ReasonStoreDenied: the store or the broker refused the stager.
	ReasonStoreDenied = "StoreDenied"
	// ReasonDiskFull: the node's volume had no room for the data.
	ReasonDiskFull = "DiskFull"
	// ReasonCUDAOutOfMemory: the trainer needed more memory than its GPUs have.
	ReasonCUDAOutOfMemory = "CUDAOutOfMemory"
	// ReasonStalled: the trainer did nothing for longer than limits.stalledAfter.
	ReasonStalled = "Stalled"
	// ReasonMaxDurationReached: the trainer has run for limits.maxDuration.
	ReasonMaxDurationReached = "MaxDurationReached"
	// ReasonGPUBudgetReached: limits.maxGPUSeconds are spent.
	ReasonGPUBudgetReached = "GPUBudgetReached"
	// ReasonStartDeadlineExceeded: an attempt did not start within limits.startWithin.
	ReasonStartDeadlineExceeded = "StartDeadlineExceeded"
	// ReasonCheckpointCorrupt: the checkpoint in the store is not what it was.
	ReasonCheckpointCorrupt = "CheckpointCorrupt"
	// ReasonDisrupted: the cluster took a Pod away; the attempt is repeated.
	ReasonDisrupted = "Disrupted"
	// ReasonOOMKilled: the trainer used more memory than its limit.
	ReasonOOMKilled = "OOMKilled"
	// ReasonNonZeroExit: the trainer ended with another exit code than 0.
	ReasonNonZeroExit = "NonZeroExit"
	// ReasonUploadFailed: the trainer ended well, but its artifacts did not
	// reach the store.
	ReasonUploadFailed = "UploadFailed"
	// ReasonPodLost: the Pod disappeared before it ended.
	ReasonPodLost = "PodLost"
	// ReasonJobLost: the Job was deleted behind the run's back, or its template edited.
	ReasonJobLost = "JobLost"
)

// Reasons of a dataset.
const (
	// ReasonUploadOpen: waits for its upload to be finished and sealed.
	ReasonUploadOpen = "UploadOpen"
	// ReasonCheckingManifest: sealed a moment ago; the manifest is being read.
	ReasonCheckingManifest = "CheckingManifest"
	// ReasonVerified: sealed, and the store holds what the manifest lists.
	ReasonVerified = "Verified"
	// ReasonManifestMissing: sealed without a manifest.
	ReasonManifestMissing = "ManifestMissing"
	// ReasonManifestMalformed: the manifest can not be read, or is longer than 1 GiB.
	ReasonManifestMalformed = "ManifestMalformed"
	// ReasonEmpty: the manifest lists no object.
	ReasonEmpty = "Empty"
	// ReasonIncomplete: the store lacks objects of the manifest, or their sizes differ.
	ReasonIncomplete = "Incomplete"
	// ReasonStoreUnavailable: the store does not answer. It is tried again.
	ReasonStoreUnavailable = "StoreUnavailable"
	// ReasonRunsActive: runs that have not ended refer to the dataset.
	ReasonRunsActive = "RunsActive"
	// ReasonUploadsPossible: credentials to write to the dataset, given before it
	// was sealed or deleted, may still be valid for a moment. The erase goes on when
	// they have ended.
	ReasonUploadsPossible = "UploadsPossible"
	// ReasonNoActiveRuns: no run uses the dataset.
	ReasonNoActiveRuns = "NoActiveRuns"
	// ReasonWindowRunning: the time after training runs.
	ReasonWindowRunning = "WindowRunning"
	// ReasonNeverUsed: no run has used the data yet.
	ReasonNeverUsed = "NeverUsed"
	// ReasonOnHold: a hold keeps the data.
	ReasonOnHold = "OnHold"
	// ReasonNoHold: no hold keeps the data.
	ReasonNoHold = "NoHold"
	// ReasonKeyMissing: the dataset's own key is not there, so nobody can read or
	// write the data any more.
	ReasonKeyMissing = "KeyMissing"
	// ReasonStoreUnsuitable: the store or its bucket is not fit to keep the data: it
	// has an object lock, or is not encrypted on its way.
	ReasonStoreUnsuitable = "StoreUnsuitable"
	// ReasonObjectLock: the bucket has an object lock, so what lies there can not be
	// removed before its date.
	ReasonObjectLock = "ObjectLock"
	// ReasonUnknownStore: the store is not the one that the data was put into.
	ReasonUnknownStore = "UnknownStore"
	// ReasonExpired: the time of the data is over; no further run may start on it,
	// and it goes as soon as nothing keeps it any more.
	ReasonExpired = "Expired"
	// ReasonRunsNotTold: the data is erased, but a run that used it could not be told.
	ReasonRunsNotTold = "RunsNotTold"
	// ReasonWaitingForTurn: other datasets are worked on at the store first.
	ReasonWaitingForTurn = "WaitingForTurn"
	// ReasonErased: the dataset is being erased or was erased.
	ReasonErased = "Erased"
	// ReasonDeleted: the dataset was deleted by its owner or by its expiry.
	ReasonDeleted = "Deleted"
	// ReasonProceeding: nothing holds the erase up.
	ReasonProceeding = "Proceeding"
	// ReasonEraseRefused: a guard refused to erase the place in the store.
	ReasonEraseRefused = "EraseRefused"
	// ReasonEraseIncomplete: the store still holds data after a full pass.
	ReasonEraseIncomplete = "EraseIncomplete"
)
