package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// AttemptResult says how an attempt ended.
//
// +kubebuilder:validation:Enum=Succeeded;Failed;Disrupted;Suspended;Stopped
type AttemptResult string

// The values of AttemptResult.
const (
	// AttemptSucceeded: trained and published.
	AttemptSucceeded AttemptResult = "Succeeded"
	// AttemptFailed: the trainer or a stager failed, or it stalled.
	AttemptFailed AttemptResult = "Failed"
	// AttemptDisrupted: the cluster took a Pod away (preemption, drain, node lost). It
	// does not count towards retry.limit.
	AttemptDisrupted AttemptResult = "Disrupted"
	// AttemptSuspended: spec.suspend was set, or nobody pays. It does not count towards retry.limit.
	AttemptSuspended AttemptResult = "Suspended"
	// AttemptStopped: a limit was reached, or the run was cancelled or deleted.
	AttemptStopped AttemptResult = "Stopped"
)

// Attempt is one Job of a run: what ran from one start to the next.
type Attempt struct {
	// number from 1.
	// +required
	// +kubebuilder:validation:Minimum=1
	Number int32 `json:"number"`
	// jobUID is the UID of its Job.
	// +optional
	JobUID types.UID `json:"jobUID,omitempty"`
	// startTime is when a trainer of it first started.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// endTime is when it ended. Missing: it goes on.
	// +optional
	EndTime *metav1.Time `json:"endTime,omitempty"`
	// result says how it ended. Missing: it goes on.
	// +optional
	Result AttemptResult `json:"result,omitempty"`
	// reason in one word, as a run's failure has it.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`
	// exitCode of the container that failed, when one did.
	// +optional
	ExitCode *int32 `json:"exitCode,omitempty"`
	// resumedFrom is the checkpoint that it began with. Missing: it began anew.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	ResumedFrom string `json:"resumedFrom,omitempty"`
	// disruptions counts the Pods that the cluster took away and replaced in it.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Disruptions int32 `json:"disruptions,omitempty"`
	// gpuSeconds that its Pods have consumed; see Usage.
	// +optional
	// +kubebuilder:validation:Minimum=0
	GPUSeconds int64 `json:"gpuSeconds,omitempty"`
	// trainingSeconds for which its trainer ran; see Usage.
	// +optional
	// +kubebuilder:validation:Minimum=0
	TrainingSeconds int64 `json:"trainingSeconds,omitempty"`
	// lostGPUSeconds of it; see Usage.
	// +optional
	// +kubebuilder:validation:Minimum=0
	LostGPUSeconds int64 `json:"lostGPUSeconds,omitempty"`
	// settledPods are the Pods whose time is in gpuSeconds and trainingSeconds, so that
	// none is counted twice. It is emptied when the attempt is over and they are gone.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	SettledPods []types.UID `json:"settledPods,omitempty"`
}

// Checkpoint is a complete checkpoint in the store, under the run's own prefix.
type Checkpoint struct {
	// id names it among the run's checkpoints; see objectkey.CheckpointID. A greater
	// one is newer.
	// +required
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{6}$`
	ID string `json:"id"`
	// step of the training at which it was taken, if the trainer told it.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Step int64 `json:"step,omitempty"`
	// digest is the SHA-256 of its record, as "sha256:" and 64 hexadecimal digits.
	// +required
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Digest string `json:"digest"`
	// objects and bytes of it, over all nodes.
	// +required
	// +kubebuilder:validation:Minimum=0
	Objects int64 `json:"objects"`
	// +required
	// +kubebuilder:validation:Minimum=0
	Bytes int64 `json:"bytes"`
	// time at which the operator was told that it is complete, by the operator's clock.
	// +required
	Time metav1.Time `json:"time"`
}

// Progress is what the trainer said of itself, as the broker received it. It is
// written by the broker only (field owner lethe-progress), at most every 10 s.
type Progress struct {
	// attempt that it is about.
	// +optional
	Attempt int32 `json:"attempt,omitempty"`
	// podUID and sequence tell an old message from a new one: the sequence of a Pod
	// only grows.
	// +optional
	PodUID types.UID `json:"podUID,omitempty"`
	// +optional
	Sequence int64 `json:"sequence,omitempty"`
	// percent of the training that is done.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Percent *int32 `json:"percent,omitempty"`
	// epoch and epochs, step and totalSteps as the trainer counts them.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Epoch *int64 `json:"epoch,omitempty"`
	// +optional
	// +kubebuilder:validation:Minimum=0
	Epochs *int64 `json:"epochs,omitempty"`
	// +optional
	// +kubebuilder:validation:Minimum=0
	Step *int64 `json:"step,omitempty"`
	// +optional
	// +kubebuilder:validation:Minimum=0
	TotalSteps *int64 `json:"totalSteps,omitempty"`
	// metrics by name, for example loss.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Metrics []Metric `json:"metrics,omitempty"`
	// estimatedCompletionTime from the pace so far.
	// +optional
	EstimatedCompletionTime *metav1.Time `json:"estimatedCompletionTime,omitempty"`
	// lastUpdateTime is when the broker got this, by its own clock.
	// +optional
	LastUpdateTime *metav1.Time `json:"lastUpdateTime,omitempty"`
	// lastActivityTime is when the trainer was last seen to do something: it told
	// progress, wrote to its log, or wrote a checkpoint.
	// +optional
	LastActivityTime *metav1.Time `json:"lastActivityTime,omitempty"`
}

// Metric is a number that the trainer told.
type Metric struct {
	// name of the metric.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Name string `json:"name"`
	// value as a decimal number, because the API has no floating-point numbers.
	// +required
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^-?[0-9]+([.][0-9]+)?(e[+-]?[0-9]+)?$`
	Value string `json:"value"`
}
