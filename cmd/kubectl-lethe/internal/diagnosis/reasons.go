package diagnosis

import "github.com/lethe-dev/lethe/api/v1alpha1"

// reason is what a reason of a status means to a person. In the texts, RUN, NS,
// DATASET and QUEUE stand for the run's own.
type reason struct {
	means string
	do    []string
}

const (
	seeLog    = "Look at its output: kubectl lethe logs RUN -n NS"
	seeStager = "See what the stager says: kubectl lethe logs RUN -c stage-in -n NS"
	seeUpload = "See how the upload stands: kubectl lethe status datasetretention/DATASET -n NS"
	anew      = "Then start another run: this one has ended."
	tellAdmin = "Tell who administers the cluster; the message above is for them."
	justWait  = "Nothing: it goes on by itself."
	goOnFrom  = "Go on from its last checkpoint with: kubectl lethe run NAME --resume-from RUN -n NS ..."
)

var reasons = map[string]reason{
	// It waits.
	v1alpha1.ReasonDatasetNotFound: {
		"The namespace has no dataset of that name.",
		[]string{"Upload it: kubectl lethe upload DIR DATASET -n NS. The run starts by itself then."},
	},
	v1alpha1.ReasonDatasetNotSealed: {
		"The upload of the dataset is not finished.", []string{"Finish it, and the run starts by itself.", seeUpload},
	},
	v1alpha1.ReasonDatasetNotReady: {
		"The dataset is being checked, or can not be used.", []string{"Wait for a moment.", seeUpload},
	},
	v1alpha1.ReasonPodStarting: {
		"All goes as usual: the Pod gets its node, its images and its data.", []string{justWait, seeStager},
	},
	v1alpha1.ReasonUnschedulable: {
		"No node of the cluster has room for a Pod of the run now.",
		[]string{"Wait until others have ended.", "Or ask for less: fewer GPUs, less --cpu or --memory, any --gpu-product."},
	},
	v1alpha1.ReasonNoSuchGPU: {
		"No node has GPUs of the kind that the run asks for.",
		[]string{"Check --gpu-product against the nodes' label " + v1alpha1.LabelGPUProduct + ", and start another run.", tellAdmin},
	},
	v1alpha1.ReasonQueued: {
		"Queue QUEUE has not admitted the run yet: its quota is in use, or others are before it.",
		[]string{"Wait for its turn.", "See the queue: kubectl -n NS describe localqueue QUEUE"},
	},
	v1alpha1.ReasonGathering: {
		"Some of the run's nodes are there and wait for the others, so that all start together.",
		[]string{"Wait until there is room for all of them.", "Or ask for fewer --nodes."},
	},
	v1alpha1.ReasonRetrying: {
		"An attempt has failed, and the next one starts as soon as the last Pods are gone.", []string{justWait, seeLog},
	},
	v1alpha1.ReasonCheckpointNotFound: {
		"The run is to start with another run's checkpoint, which does not exist.",
		[]string{"See which there are: kubectl lethe status OTHER-RUN -n NS", "Start another run that names one of them with --resume-from."},
	},
	v1alpha1.ReasonSuspending: {
		"The trainer was asked to stop at a checkpoint.", []string{"Wait until it has stopped."},
	},
	v1alpha1.ReasonSuspended: {
		"Somebody has suspended the run (spec.suspend). It has no GPUs.", []string{"Let it go on from its last checkpoint: kubectl lethe resume RUN -n NS"},
	},
	v1alpha1.ReasonCancelled: {
		"Somebody has cancelled the run (spec.cancel), for good. What it stored is still there.",
		[]string{"Start another run that goes on from its last checkpoint: kubectl lethe run --resume-from RUN"},
	},
	v1alpha1.ReasonResumed:  {"The run was suspended and goes on.", []string{justWait}},
	v1alpha1.ReasonAdmitted: {"Its queue has admitted the run.", []string{justWait}},
	v1alpha1.ReasonServiceNotOwned: {
		"Something else has the name that the run's nodes would find each other by.",
		[]string{"Delete the Service of that name, or start a run under another name."},
	},
	v1alpha1.ReasonPaymentRequired: {
		"The billing of namespace NS is suspended. Runs wait, or were stopped at a checkpoint; nothing is lost.",
		[]string{"Settle what is open; the run then goes on by itself."},
	},
	v1alpha1.ReasonTenantNotReady: {
		"The operator is still setting the namespace up, or something keeps it from that.",
		[]string{justWait, "If it lasts: " + tellAdmin},
	},
	v1alpha1.ReasonImagePull: {
		"A node can not get the trainer's image.",
		[]string{
			"Check the image's name and tag, and that it was pushed.",
			"If its registry wants a login, ask who administers the namespace: the service account default needs an image pull secret.",
			"With another image, start another run.",
		},
	},
	v1alpha1.ReasonContainerError: {
		"A container can not be made from its image and settings.",
		[]string{"Check the image, and what stands behind -- on the command line: is there such a program in the image?"},
	},
	v1alpha1.ReasonPodRejected: {
		"The API server refuses the run's Job or Pods: a quota of the namespace is used up, or a policy forbids them.",
		[]string{"See the quota: kubectl -n NS describe resourcequota", "Ask for less, or wait until others have ended.", "If it is a policy: " + tellAdmin},
	},
	v1alpha1.ReasonJobNotOwned: {
		"A Job of the run's name exists and is not the run's.", []string{"Delete that Job, or start a run under another name."},
	},
	v1alpha1.ReasonStoreUnavailable: {
		"The object store does not answer. It is asked again and again.", []string{"Wait.", tellAdmin},
	},
	// It is on its way.
	v1alpha1.ReasonBound:    {"The run has its dataset and starts now.", []string{justWait}},
	v1alpha1.ReasonTraining: {"The trainer runs.", []string{"Follow it: kubectl lethe watch RUN -n NS", seeLog}},
	v1alpha1.ReasonEnding:   {"The run ends as soon as its Pods have ended.", []string{"Wait for up to the grace period of its checkpoints."}},
	v1alpha1.ReasonUploading: {
		"The trainer has ended well, and its artifacts are being uploaded.", []string{"Wait.", "See how far it is: kubectl lethe logs RUN -c stage-out -n NS"},
	},
	v1alpha1.ReasonPublished: {"Nothing is wrong: the artifacts are in the store.", []string{"Get them: kubectl lethe artifacts RUN DIR -n NS"}},
	v1alpha1.ReasonTrained:   {"The trainer has ended well.", []string{justWait}},
	// It failed.
	v1alpha1.ReasonDatasetErasing: {
		"The dataset is being erased, or another one has its name now.", []string{"Upload the data again under another name.", anew},
	},
	v1alpha1.ReasonDatasetInvalid: {
		"The dataset was sealed, but can not be used.", []string{seeUpload, "Upload the data again under another name.", anew},
	},
	v1alpha1.ReasonDatasetCorrupt: {
		"What the store holds of the dataset is not what was uploaded.", []string{"Upload the data again under another name.", tellAdmin},
	},
	v1alpha1.ReasonStageInFailed: {"The dataset could not be brought to the node.", []string{seeStager, tellAdmin}},
	v1alpha1.ReasonStoreDenied:   {"The store or the operator refused to give the run its data.", []string{tellAdmin}},
	v1alpha1.ReasonDiskFull: {
		"The node's disk has no room for the data.", []string{"Share a large dataset out to several nodes (datasetRef.distribution: Sharded).", tellAdmin},
	},
	v1alpha1.ReasonCUDAOutOfMemory: {
		"The trainer needed more memory than its GPUs have.",
		[]string{"Use a smaller batch, gradient accumulation or checkpointing, or lower precision.", "Or ask for larger or more GPUs.", goOnFrom},
	},
	v1alpha1.ReasonStalled: {
		"The trainer showed no sign of life for longer than its limit: no progress, no line of log, no checkpoint.",
		[]string{seeLog, "If it only works quietly, let it tell its progress, or give it a longer --stalled-after.", goOnFrom},
	},
	v1alpha1.ReasonMaxDurationReached: {
		"The trainer has run for as long as it may (limits.maxDuration).", []string{goOnFrom, "Give it a longer --max-duration."},
	},
	v1alpha1.ReasonGPUBudgetReached: {
		"The run has consumed as many GPU-seconds as it may (limits.maxGPUSeconds).", []string{goOnFrom, "Give it more --max-gpu-seconds."},
	},
	v1alpha1.ReasonStartDeadlineExceeded: {
		"The run did not get its queue's admission, its GPUs, its images and its data in time (limits.startWithin).",
		[]string{"See below what it waited for, and start another run when that is there."},
	},
	v1alpha1.ReasonCheckpointCorrupt: {
		"The checkpoint to begin with is not what was stored.", []string{"Start another run from an earlier checkpoint, or anew.", tellAdmin},
	},
	v1alpha1.ReasonDisrupted: {"The cluster took a Pod away: preemption, a drained or a lost node. The attempt is repeated and does not count.", []string{justWait}},
	v1alpha1.ReasonOOMKilled: {
		"The trainer used more memory than it asked for, and was killed.",
		[]string{"Ask for more --memory.", "Load less at once: fewer data loader workers, less prefetching.", goOnFrom},
	},
	v1alpha1.ReasonNonZeroExit:  {"The trainer ended with an error of its own.", []string{seeLog, "Mend it, and start another run.", goOnFrom}},
	v1alpha1.ReasonUploadFailed: {"The trainer ended well, but its artifacts did not reach the store.", []string{goOnFrom, tellAdmin}},
	v1alpha1.ReasonPodLost:      {"The Pod disappeared before it had ended.", []string{"Start another run.", goOnFrom, tellAdmin}},
	v1alpha1.ReasonJobLost:      {"Somebody deleted the run's Job.", []string{"Start another run. To stop one, use: kubectl lethe cancel RUN -n NS", goOnFrom}},
}

// blamed says who can do something about a failure.
var blamed = map[v1alpha1.Blame]string{
	v1alpha1.BlameUser:     "the program, its image, or what was asked for: you can mend it",
	v1alpha1.BlamePlatform: "the cluster, the store or the operator: its administrators can mend it",
	v1alpha1.BlameData:     "the dataset or a checkpoint",
	v1alpha1.BlameBudget:   "a limit that was set for the run",
}
