package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TrainingRun trains a model once on a sealed dataset and publishes the
// artifacts. It becomes one batch/v1 Job.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=trun,categories=lethe
// +kubebuilder:selectablefield:JSONPath=`.status.state`
// +kubebuilder:selectablefield:JSONPath=`.spec.datasetRef.name`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.reason`
// +kubebuilder:printcolumn:name="Dataset",type=string,JSONPath=`.spec.datasetRef.name`
// +kubebuilder:printcolumn:name="Progress",type=string,JSONPath=`.status.progress.percent`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.spec.nodes.count`,priority=1
// +kubebuilder:printcolumn:name="GPUs",type=integer,JSONPath=`.spec.nodes.gpusPerNode`
// +kubebuilder:printcolumn:name="GPU-s",type=integer,JSONPath=`.status.usage.gpuSeconds`
// +kubebuilder:printcolumn:name="Attempt",type=integer,JSONPath=`.status.attempt`,priority=1
// +kubebuilder:printcolumn:name="ETA",type=date,JSONPath=`.status.progress.estimatedCompletionTime`,priority=1
// +kubebuilder:printcolumn:name="Queue",type=string,JSONPath=`.spec.queueName`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`,priority=1
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || has(self.status)",message="a status is never taken away"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 52 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="the name of a run is a DNS label of at most 52 characters, because its Job and Pods are named after it"
type TrainingRun struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says what to train, on what. It can not be changed, but for
	// artifacts.reclaimPolicy, limits, suspend, cancel and ttlAfterFinished; start
	// another run instead.
	// +required
	// +kubebuilder:validation:XValidation:rule="self.datasetRef == oldSelf.datasetRef && self.trainer == oldSelf.trainer && has(self.nodes) == has(oldSelf.nodes) && (!has(self.nodes) || self.nodes == oldSelf.nodes)",message="a run can not be changed, but for its artifacts.reclaimPolicy, limits, suspend, cancel and ttlAfterFinished; create a new one"
	// +kubebuilder:validation:XValidation:rule="has(self.checkpoint) == has(oldSelf.checkpoint) && has(self.retry) == has(oldSelf.retry) && (!has(self.retry) || self.retry == oldSelf.retry)",message="checkpoint and retry can not be changed; create a new run"
	// +kubebuilder:validation:XValidation:rule="has(self.queueName) == has(oldSelf.queueName) && (!has(self.queueName) || self.queueName == oldSelf.queueName) && has(self.managedBy) == has(oldSelf.managedBy) && (!has(self.managedBy) || self.managedBy == oldSelf.managedBy)",message="queueName and managedBy can not be changed; create a new run"
	// +kubebuilder:validation:XValidation:rule="!has(self.nodes) || !has(self.nodes.count) || !has(self.nodes.gpusPerNode) || self.nodes.count * self.nodes.gpusPerNode <= 256",message="a run has at most 256 GPUs: nodes.count times nodes.gpusPerNode"
	// +kubebuilder:validation:XValidation:rule="!has(oldSelf.limits) || !has(oldSelf.limits.maxGPUSeconds) || (has(self.limits) && has(self.limits.maxGPUSeconds) && self.limits.maxGPUSeconds >= oldSelf.limits.maxGPUSeconds)",message="limits.maxGPUSeconds may only be raised; what is reserved for a run is spent by it or by nobody"
	// +kubebuilder:validation:XValidation:rule="!has(oldSelf.cancel) || !oldSelf.cancel || (has(self.cancel) && self.cancel)",message="a run that is cancelled stays so; create a new one, which may resume from its last checkpoint (checkpoint.resume: From)"
	Spec TrainingRunSpec `json:"spec"`
	// status says how far the run has come.
	// +optional
	Status TrainingRunStatus `json:"status,omitzero"`
}

// TrainingRunSpec is what the user asks for.
type TrainingRunSpec struct {
	// datasetRef names the dataset to train on, in the run's own namespace.
	// +required
	DatasetRef DatasetReference `json:"datasetRef"`
	// trainer is the user's program.
	// +required
	Trainer Trainer `json:"trainer"`
	// nodes says what hardware the trainer gets.
	// +optional
	// +kubebuilder:default={}
	Nodes Nodes `json:"nodes,omitzero"`
	// artifacts says what becomes of the results.
	// +optional
	// +kubebuilder:default={}
	Artifacts Artifacts `json:"artifacts,omitzero"`
	// checkpoint says which checkpoints are kept, and what a trainer starts from.
	// +optional
	// +kubebuilder:default={}
	Checkpoint Checkpointing `json:"checkpoint,omitzero"`
	// retry says what happens when the trainer fails.
	// +optional
	// +kubebuilder:default={}
	Retry RetryPolicy `json:"retry,omitzero"`
	// limits end the run when it takes too much or goes nowhere. They may be changed
	// while the run goes on.
	// +optional
	// +kubebuilder:default={}
	Limits Limits `json:"limits,omitzero"`
	// queueName is the Kueue LocalQueue, in the run's namespace, that decides when the
	// run may start. Without one it starts at once. Each of the run's Jobs carries it as
	// the label kueue.x-k8s.io/queue-name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	QueueName string `json:"queueName,omitempty"`
	// suspend stops the trainer at a checkpoint and gives its GPUs back; false lets it
	// go on from there.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
	// cancel ends the run for good: the trainer stops at a checkpoint, as at a limit.
	// The run stays, with its checkpoints and its usage; it can not be taken back.
	// +optional
	Cancel bool `json:"cancel,omitempty"`
	// managedBy is passed on to the run's Jobs (Job.spec.managedBy): another controller
	// than the Job controller runs them, for example kueue.x-k8s.io/multikueue.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$`
	ManagedBy string `json:"managedBy,omitempty"`
	// ttlAfterFinished is how long after its end the run is deleted. What becomes of
	// its artifacts then says artifacts.reclaimPolicy. Without it the run stays.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(s|m|h)){1,3}$`
	// +kubebuilder:validation:MaxLength=21
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="at most 87600h, which is ten years"
	TTLAfterFinished *metav1.Duration `json:"ttlAfterFinished,omitempty"`
}

// Artifacts says what becomes of the results of a run.
type Artifacts struct {
	// reclaimPolicy says what becomes of the artifacts when the run is deleted.
	// Retain: they stay. Delete: they are erased with the run, as a dataset is, with
	// a receipt. When the namespace is deleted they are erased in either case. It may
	// be changed at any time.
	// +optional
	// +kubebuilder:default=Retain
	ReclaimPolicy ReclaimPolicy `json:"reclaimPolicy,omitempty"`
}

// ReclaimPolicy says what becomes of artifacts when their run is deleted.
//
// +kubebuilder:validation:Enum=Retain;Delete
type ReclaimPolicy string

// The values of ReclaimPolicy.
const (
	ReclaimRetain ReclaimPolicy = "Retain"
	ReclaimDelete ReclaimPolicy = "Delete"
)

// DatasetReference names a DatasetRetention in the same namespace.
type DatasetReference struct {
	// name of the DatasetRetention.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`
	// distribution says what each node of a run gets of the dataset. Whole: every file.
	// Sharded: every n-th file in the order of the manifest, n being the number of nodes.
	// +optional
	// +kubebuilder:default=Whole
	Distribution DatasetDistribution `json:"distribution,omitempty"`
}

// DatasetDistribution says what each node of a run gets of the dataset.
//
// +kubebuilder:validation:Enum=Whole;Sharded
type DatasetDistribution string

// The values of DatasetDistribution.
const (
	DistributionWhole   DatasetDistribution = "Whole"
	DistributionSharded DatasetDistribution = "Sharded"
)

// Trainer is the user's container. It gets the dataset as files and gives its
// artifacts as files; it has no credentials of any kind. The contract is written
// down in the package controllers/staging.
type Trainer struct {
	// image to run.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^\S+$`
	Image string `json:"image"`
	// command replaces the image's entrypoint.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=4096
	Command []string `json:"command,omitempty"`
	// args replace the image's arguments.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=4096
	Args []string `json:"args,omitempty"`
	// env is added to the trainer's environment. Names that start with LETHE_
	// are the contract's own.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Env []EnvVar `json:"env,omitempty"`
	// resources of the trainer beside its GPUs. Requests equal limits.
	// +optional
	Resources TrainerResources `json:"resources,omitzero"`
	// rootFilesystem says whether the trainer may write into its image's own folders.
	// ReadOnly: it writes to its artifacts and to /tmp, where HOME and XDG_CACHE_HOME
	// point to, unless env says otherwise. Writable: anywhere that its user may; a tenant
	// may ask for it where its tier allows. All but its artifacts is lost with the Pod.
	// +optional
	// +kubebuilder:default=ReadOnly
	RootFilesystem RootFilesystem `json:"rootFilesystem,omitempty"`
}

// RootFilesystem says whether a trainer may write into its image's own folders.
//
// +kubebuilder:validation:Enum=ReadOnly;Writable
type RootFilesystem string

// The values of RootFilesystem.
const (
	RootReadOnly RootFilesystem = "ReadOnly"
	RootWritable RootFilesystem = "Writable"
)

// EnvVar is a variable of the trainer's environment, given literally.
//
// +kubebuilder:validation:XValidation:rule="!self.name.startsWith('LETHE_')",message="names that start with LETHE_ are set by the operator"
type EnvVar struct {
	// name of the variable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	Name string `json:"name"`
	// value of the variable.
	// +optional
	// +kubebuilder:validation:MaxLength=8192
	Value string `json:"value,omitempty"`
}

// TrainerResources is what the trainer gets beside GPUs.
type TrainerResources struct {
	// cpu in cores, greater than zero, for example "4", "0.5" or "500m". Exponents
	// are not taken: the largest of them keep a parser busy for ever.
	// +optional
	// +kubebuilder:validation:XValidation:rule="string(self).matches('^[0-9]{1,6}([.][0-9]{1,3}|m)?$') && string(self).matches('[1-9]')",message="cpu is greater than zero and written like 4, 0.5 or 500m"
	CPU *resource.Quantity `json:"cpu,omitempty"`
	// memory, greater than zero, for example "16Gi" or "1.5Gi". Exponents are not
	// taken.
	// +optional
	// +kubebuilder:validation:XValidation:rule="string(self).matches('^[0-9]{1,15}([.][0-9]{1,3})?(k|M|G|T|Ki|Mi|Gi|Ti)?$') && string(self).matches('[1-9]')",message="memory is greater than zero and written like 512Mi or 1.5Gi"
	Memory *resource.Quantity `json:"memory,omitempty"`
	// ephemeralStorage of the node's disk, greater than zero, for example "200Gi". The
	// dataset, what is restored of a checkpoint, artifacts, /tmp and logs lie there; a
	// Pod that needs more is ended. Without it the namespace's LimitRange says how much.
	// +optional
	// +kubebuilder:validation:XValidation:rule="string(self).matches('^[0-9]{1,15}([.][0-9]{1,3})?(k|M|G|T|Ki|Mi|Gi|Ti)?$') && string(self).matches('[1-9]')",message="ephemeralStorage is greater than zero and written like 512Mi or 200Gi"
	EphemeralStorage *resource.Quantity `json:"ephemeralStorage,omitempty"`
}

// Nodes says what hardware a run gets.
type Nodes struct {
	// count of nodes. Each runs the trainer once, in a Pod of its own; they start and
	// end together. The contract (package controllers/staging) says how they find each
	// other.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	Count *int32 `json:"count,omitempty"`
	// gpusPerNode is the number of GPUs for the trainer on each node; 0 trains on CPUs.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=16
	GPUsPerNode *int32 `json:"gpusPerNode,omitempty"`
	// gpuProduct is the kind of GPU, as nodes are labelled with it by NVIDIA's GPU
	// feature discovery (nvidia.com/gpu.product), for example NVIDIA-H200. Without it
	// any kind will do.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$`
	GPUProduct string `json:"gpuProduct,omitempty"`
}

// TrainingRunList is a list of runs.
//
// +kubebuilder:object:root=true
type TrainingRunList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []TrainingRun `json:"items"`
}
