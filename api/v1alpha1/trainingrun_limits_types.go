package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// Checkpointing says which checkpoints are kept, and what a trainer starts from.
//
// +kubebuilder:validation:XValidation:rule="(has(self.resume) && self.resume == 'From') == has(self.from)",message="from is set if, and only if, resume is From"
// +kubebuilder:validation:XValidation:rule="has(self.from) == has(oldSelf.from) && (!has(self.from) || self.from == oldSelf.from)",message="checkpoint can not be changed; create a new run"
type Checkpointing struct {
	// interval at which a new checkpoint of the trainer's is stored, if there is one. The
	// last one is stored at the end in any case.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(s|m|h)){1,3}$`
	// +kubebuilder:validation:MaxLength=21
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('168h')",message="from 10s to 168h"
	// +kubebuilder:validation:XValidation:rule="duration(self) == duration(oldSelf)",message="checkpoint can not be changed; create a new run"
	Interval *metav1.Duration `json:"interval,omitempty"`
	// keepLast is how many checkpoints are kept in the store.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="checkpoint can not be changed; create a new run"
	KeepLast *int32 `json:"keepLast,omitempty"`
	// gracePeriod is how long the trainer, and the upload of its last checkpoint, have
	// together when it is asked to stop (SIGTERM) before it is killed.
	// +optional
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(s|m|h)){1,3}$`
	// +kubebuilder:validation:MaxLength=21
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('15s') && duration(self) <= duration('1h')",message="from 15s to 1h"
	// +kubebuilder:validation:XValidation:rule="duration(self) == duration(oldSelf)",message="checkpoint can not be changed; create a new run"
	GracePeriod *metav1.Duration `json:"gracePeriod,omitempty"`
	// writers says which nodes write checkpoints. FirstNode: node 0 does, and what it
	// wrote is given to every node. EveryNode: each writes its own part and is given its
	// own part; a checkpoint is complete when the parts of all are stored.
	// +optional
	// +kubebuilder:default=FirstNode
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="checkpoint can not be changed; create a new run"
	Writers CheckpointWriters `json:"writers,omitempty"`
	// resume says what a new attempt starts with. Auto: with the run's newest complete
	// checkpoint, if there is one. Never: anew each time. From: like Auto, but the first
	// attempt starts with another run's checkpoint.
	// +optional
	// +kubebuilder:default=Auto
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="checkpoint can not be changed; create a new run"
	Resume ResumePolicy `json:"resume,omitempty"`
	// from names that other run's checkpoint.
	// +optional
	From *CheckpointReference `json:"from,omitempty"`
}

// CheckpointWriters says which nodes write checkpoints.
//
// +kubebuilder:validation:Enum=FirstNode;EveryNode
type CheckpointWriters string

// The values of CheckpointWriters.
const (
	WritersFirstNode CheckpointWriters = "FirstNode"
	WritersEveryNode CheckpointWriters = "EveryNode"
)

// ResumePolicy says what a new attempt starts with.
//
// +kubebuilder:validation:Enum=Auto;Never;From
type ResumePolicy string

// The values of ResumePolicy.
const (
	ResumeAuto  ResumePolicy = "Auto"
	ResumeNever ResumePolicy = "Never"
	ResumeFrom  ResumePolicy = "From"
)

// CheckpointReference names a checkpoint of another run in the same namespace.
type CheckpointReference struct {
	// runName names the TrainingRun.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=52
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	RunName string `json:"runName"`
	// id of the checkpoint, as its status.checkpoints has it. Without it: the newest.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{6}$`
	ID string `json:"id,omitempty"`
}

// RetryPolicy says what happens when the trainer fails. Disruptions by the cluster
// (preemption, eviction, node lost) are always made good and never count.
type RetryPolicy struct {
	// limit is how many attempts may follow one that failed.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	Limit *int32 `json:"limit,omitempty"`
	// nonRetriableExitCodes end the run at once when the trainer exits with one of them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:Minimum=1
	// +kubebuilder:validation:items:Maximum=255
	NonRetriableExitCodes []int32 `json:"nonRetriableExitCodes,omitempty"`
}

// Limits end a run when it takes too much or goes nowhere. What ends it is a SIGTERM,
// so that a last checkpoint is stored, and the run says which limit it was.
type Limits struct {
	// maxDuration is how long the trainer may run, over all attempts and suspensions. It is
	// asked to stop then; checkpoint.gracePeriod comes on top, and is charged.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(s|m|h)){1,3}$`
	// +kubebuilder:validation:MaxLength=21
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('87600h')",message="from 10s to 87600h"
	MaxDuration *metav1.Duration `json:"maxDuration,omitempty"`
	// maxGPUSeconds is how many GPU-seconds the run may consume over all attempts. The
	// trainers are asked to stop when they are spent; checkpoint.gracePeriod comes on top,
	// and is charged. It may only be raised.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxGPUSeconds *int64 `json:"maxGPUSeconds,omitempty"`
	// startWithin is how long an attempt may wait for its queue, its GPUs, its images and
	// its data before the run is given up.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(s|m|h)){1,3}$`
	// +kubebuilder:validation:MaxLength=21
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('87600h')",message="from 10s to 87600h"
	StartWithin *metav1.Duration `json:"startWithin,omitempty"`
	// stalledAfter is how long the trainer may neither tell progress, nor write to its
	// log or its checkpoints, before the attempt counts as failed. Without it: for ever.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(s|m|h)){1,3}$`
	// +kubebuilder:validation:MaxLength=21
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('30s') && duration(self) <= duration('87600h')",message="from 30s to 87600h"
	StalledAfter *metav1.Duration `json:"stalledAfter,omitempty"`
}

// The times and numbers that a run has unless it says otherwise; the CRD's defaults say
// the same.
const (
	DefaultCheckpointInterval = 10 * time.Minute
	DefaultKeepLast           = 2
	DefaultGracePeriod        = time.Minute
	DefaultStartWithin        = 24 * time.Hour
)

// Every is interval, or its default.
func (c Checkpointing) Every() time.Duration { return duration(c.Interval, DefaultCheckpointInterval) }

// Keep is keepLast, or its default.
func (c Checkpointing) Keep() int { return int(ptr.Deref(c.KeepLast, DefaultKeepLast)) }

// Grace is gracePeriod, or its default.
func (c Checkpointing) Grace() time.Duration { return duration(c.GracePeriod, DefaultGracePeriod) }

// ByEveryNode says whether every node writes a part of each checkpoint.
func (c Checkpointing) ByEveryNode() bool { return c.Writers == WritersEveryNode }

// Start is startWithin, or its default.
func (l Limits) Start() time.Duration { return duration(l.StartWithin, DefaultStartWithin) }

// Size is the number of nodes, or its default.
func (n Nodes) Size() int { return int(ptr.Deref(n.Count, 1)) }

// GPUs is the number of GPUs of all nodes together.
func (n Nodes) GPUs() int64 { return int64(n.Size()) * int64(ptr.Deref(n.GPUsPerNode, 1)) }

func duration(value *metav1.Duration, otherwise time.Duration) time.Duration {
	if value == nil {
		return otherwise
	}
	return value.Duration
}
