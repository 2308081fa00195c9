package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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
// +kubebuilder:printcolumn:name="GPUs",type=integer,JSONPath=`.spec.nodes.gpusPerNode`
// +kubebuilder:printcolumn:name="GPU-s",type=integer,JSONPath=`.status.usage.gpuSeconds`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`,priority=1
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || has(self.status)",message="a status is never taken away"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 52 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="the name of a run is a DNS label of at most 52 characters, because its Job and Pods are named after it"
type TrainingRun struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says what to train, on what. It can not be changed; start another run
	// instead. (Fields that are added later may say otherwise of themselves.)
	// +required
	// +kubebuilder:validation:XValidation:rule="self.datasetRef == oldSelf.datasetRef && self.trainer == oldSelf.trainer && has(self.nodes) == has(oldSelf.nodes) && (!has(self.nodes) || self.nodes == oldSelf.nodes)",message="a run can not be changed, but for its artifacts.reclaimPolicy; create a new one"
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
}

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
}

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
}

// Nodes says what hardware a run gets.
type Nodes struct {
	// gpusPerNode is the number of GPUs for the trainer; 0 trains on CPUs.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=16
	GPUsPerNode *int32 `json:"gpusPerNode,omitempty"`
}

// RunState sums up a run in one word. More may be added: take one that you do
// not know for a run that has not ended.
//
// +kubebuilder:validation:Enum=Pending;Starting;Running;Publishing;Succeeded;Failed
type RunState string

// The states of a run, in the order in which they come.
const (
	// RunPending: waits for its dataset.
	RunPending RunState = "Pending"
	// RunStarting: its Job exists; the trainer does not run yet.
	RunStarting RunState = "Starting"
	// RunRunning: the trainer runs.
	RunRunning RunState = "Running"
	// RunPublishing: the trainer has ended well; its artifacts are being uploaded.
	RunPublishing RunState = "Publishing"
	// RunSucceeded: trained, and the artifacts are in the store. Final.
	RunSucceeded RunState = "Succeeded"
	// RunFailed: ended in any other way. Final.
	RunFailed RunState = "Failed"
)

// Finished reports whether the state is final.
func (s RunState) Finished() bool { return s == RunSucceeded || s == RunFailed }

// TrainingRunStatus is what the operator observed.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.dataset) || has(self.dataset)",message="a run is bound to its dataset once"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.usage) || has(self.usage)",message="usage never goes back"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.state) || !(oldSelf.state in ['Succeeded', 'Failed']) || (has(self.state) && self.state == oldSelf.state)",message="a run that has ended stays as it ended"
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

// Usage is what a run has consumed.
type Usage struct {
	// gpuSeconds is the number of GPUs multiplied by the time for which the
	// trainer held them, in whole seconds, rounded up. It never goes back.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:XValidation:rule="self >= oldSelf",message="usage never goes back"
	GPUSeconds int64 `json:"gpuSeconds"`
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
	// message says what happened and what can be done about it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// exitCode of the container that failed, when one did.
	// +optional
	ExitCode *int32 `json:"exitCode,omitempty"`
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
