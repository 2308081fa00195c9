package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// RunState sums up a run in one word. More may be added: take one that you do
// not know for a run that has not ended.
//
// +kubebuilder:validation:Enum=Pending;Queued;Starting;Running;Publishing;Suspended;Succeeded;Failed;Cancelled
type RunState string

// The states of a run, in the order in which they come. An attempt that failed and is
// repeated brings a run back to Queued or Starting.
const (
	// RunPending: waits for its dataset, or for the checkpoint that it resumes from.
	RunPending RunState = "Pending"
	// RunQueued: its Job waits for its queue to admit it.
	RunQueued RunState = "Queued"
	// RunStarting: its Job exists; the trainer does not run yet.
	RunStarting RunState = "Starting"
	// RunRunning: the trainer runs.
	RunRunning RunState = "Running"
	// RunPublishing: the trainer has ended well; its artifacts are being uploaded.
	RunPublishing RunState = "Publishing"
	// RunSuspended: stopped at a checkpoint because its user wishes so, or its tenant's
	// billing is suspended; goes on from there.
	RunSuspended RunState = "Suspended"
	// RunSucceeded: trained, and the artifacts are in the store. Final.
	RunSucceeded RunState = "Succeeded"
	// RunFailed: ended in any other way. Final.
	RunFailed RunState = "Failed"
	// RunCancelled: ended because its user wished so (spec.cancel). Final.
	RunCancelled RunState = "Cancelled"
)

// Finished reports whether the state is final.
func (s RunState) Finished() bool {
	return s == RunSucceeded || s == RunFailed || s == RunCancelled
}

// TrainingRunStatus is what the operator observed.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.dataset) || has(self.dataset)",message="a run is bound to its dataset once"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.usage) || has(self.usage)",message="usage never goes back"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.state) || !(oldSelf.state in ['Succeeded', 'Failed', 'Cancelled']) || (has(self.state) && self.state == oldSelf.state)",message="a run that has ended stays as it ended"
type TrainingRunStatus struct {
	// observedGeneration is the generation of the spec that this status answers.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// state sums up the conditions in one word.
	// +optional
	State RunState `json:"state,omitempty"`
	// reason says in one word why the run is in this state.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`
	// message says why, and what can be done about it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// startTime is when the trainer first started.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// completionTime is when the run ended, well or not.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// dataset is the snapshot of the dataset that the run is bound to.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.uid == oldSelf.uid && self.manifestDigest == oldSelf.manifestDigest && (!has(oldSelf.receiptDigest) || (has(self.receiptDigest) && self.receiptDigest == oldSelf.receiptDigest))",message="a run is bound to its dataset once"
	Dataset *BoundDataset `json:"dataset,omitempty"`
	// usage is what the run has consumed.
	// +optional
	Usage *Usage `json:"usage,omitempty"`
	// attempt is the number of the newest attempt, from 1. 0: none has begun.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Attempt int32 `json:"attempt,omitempty"`
	// attempts are the newest attempts, the oldest of them first. Each is one Job.
	// +optional
	// +listType=map
	// +listMapKey=number
	// +kubebuilder:validation:MaxItems=20
	Attempts []Attempt `json:"attempts,omitempty"`
	// chargedAttempts is the number of attempts that count towards retry.limit.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ChargedAttempts int32 `json:"chargedAttempts,omitempty"`
	// progress is what the trainer last said of itself.
	// +optional
	Progress *Progress `json:"progress,omitempty"`
	// checkpoints are the complete checkpoints in the store, the newest last.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=17
	Checkpoints []Checkpoint `json:"checkpoints,omitempty"`
	// artifacts is where the results lie.
	// +optional
	Artifacts *ArtifactsStatus `json:"artifacts,omitempty"`
	// failure says what went wrong, when the run failed.
	// +optional
	Failure *RunFailure `json:"failure,omitempty"`
	// artifactsErasure reports on the erase of the artifacts of a deleted run.
	// +optional
	ArtifactsErasure *ErasureStatus `json:"artifactsErasure,omitempty"`
	// conditions say what holds for the run; see the Condition constants.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// BoundDataset is what a run was started on. A dataset that is erased and made
// again under the same name is another one.
type BoundDataset struct {
	// uid of the DatasetRetention.
	// +required
	UID types.UID `json:"uid"`
	// manifestDigest of the dataset when the run was bound.
	// +required
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	ManifestDigest string `json:"manifestDigest"`
	// receiptDigest is the SHA-256 of the signed receipt for the dataset's erase.
	// Missing: it is not erased yet.
	// +optional
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	ReceiptDigest string `json:"receiptDigest,omitempty"`
}

// Usage is what a run has consumed, over all its attempts.
type Usage struct {
	// gpuSeconds is the number of GPUs multiplied by the time for which the trainers
	// held them, by the kubelet's clock, in whole seconds, rounded up for each Pod. It
	// is counted when a Pod ends, and never goes back.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:XValidation:rule="self >= oldSelf",message="usage never goes back"
	GPUSeconds int64 `json:"gpuSeconds"`
	// trainingSeconds is the time for which the trainer ran, on all nodes at once, in
	// whole seconds; what limits.maxDuration is held against. It never goes back.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:XValidation:rule="self >= oldSelf",message="usage never goes back"
	TrainingSeconds int64 `json:"trainingSeconds,omitempty"`
	// lostGPUSeconds is the part of gpuSeconds whose work is lost: spent after the
	// last checkpoint of an attempt that did not end well. It never goes back.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:XValidation:rule="self >= oldSelf",message="usage never goes back"
	LostGPUSeconds int64 `json:"lostGPUSeconds,omitempty"`
}

// ArtifactsStatus describes published artifacts.
type ArtifactsStatus struct {
	// location is where the artifacts lie.
	// +required
	Location ObjectLocation `json:"location"`
	// manifestDigest is the SHA-256 of the artifacts' manifest, as "sha256:" and
	// 64 hexadecimal digits.
	// +required
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	ManifestDigest string `json:"manifestDigest"`
	// objects counts the artifacts, without their manifest.
	// +required
	// +kubebuilder:validation:Minimum=0
	Objects int64 `json:"objects"`
	// bytes is the size of the artifacts, without their manifest.
	// +required
	// +kubebuilder:validation:Minimum=0
	Bytes int64 `json:"bytes"`
}

// RunFailure says what went wrong.
type RunFailure struct {
	// reason in one word; see "Reasons for which a run fails" in conditions.go.
	// +required
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason"`
	// blame says who can do something about it.
	// +optional
	Blame Blame `json:"blame,omitempty"`
	// message says what happened.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// hint says what can be done about it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Hint string `json:"hint,omitempty"`
	// container that failed, when one did.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container,omitempty"`
	// node is the index of the node that failed first, when one did.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Node *int32 `json:"node,omitempty"`
	// exitCode of the container that failed, when one did.
	// +optional
	ExitCode *int32 `json:"exitCode,omitempty"`
	// logTail is the end of the trainer's output, without control characters. It is the
	// user's data: it stays in this object and is told to nobody else.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	LogTail string `json:"logTail,omitempty"`
}

// Blame says who can do something about a failure.
//
// +kubebuilder:validation:Enum=User;Platform;Data;Budget
type Blame string

// The values of Blame.
const (
	// BlameUser: the program, its image, or what was asked for.
	BlameUser Blame = "User"
	// BlamePlatform: the cluster, the store or the operator.
	BlamePlatform Blame = "Platform"
	// BlameData: the dataset or a checkpoint.
	BlameData Blame = "Data"
	// BlameBudget: a limit that was set for the run.
	BlameBudget Blame = "Budget"
)
