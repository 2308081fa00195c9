package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DatasetRetention is a dataset: the record of data in the object store and of
// when that data leaves it. Deleting it erases the data.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=dsr,categories=lethe
// +kubebuilder:selectablefield:JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.reason`
// +kubebuilder:printcolumn:name="Objects",type=integer,JSONPath=`.status.objects`
// +kubebuilder:printcolumn:name="Size",type=integer,JSONPath=`.status.bytes`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.expiresAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`,priority=1
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || has(self.status)",message="a status is never taken away"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="the name of a dataset has at most 63 characters"
type DatasetRetention struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says how long the data may stay and whether it is complete.
	// +optional
	// +kubebuilder:default={}
	Spec DatasetRetentionSpec `json:"spec,omitzero"`
	// status says where the data lies, who uses it and when it goes.
	// +optional
	Status DatasetRetentionStatus `json:"status,omitzero"`
}

// DatasetRetentionSpec is what the owner of the data decides, and whoever may put
// data on hold.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.encryption) || self.encryption == oldSelf.encryption",message="the encryption of a dataset is chosen once; upload the data again as a new dataset"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.sealed) || !oldSelf.sealed || (has(self.sealed) && self.sealed)",message="a sealed dataset stays sealed; upload changed data as a new dataset"
type DatasetRetentionSpec struct {
	// retention bounds how long the data stays in the store.
	// +optional
	// +kubebuilder:default={}
	Retention RetentionPolicy `json:"retention,omitzero"`
	// sealed says that the upload is complete: the manifest is pinned and the
	// data is immutable from then on. Runs start on sealed datasets only. It can
	// not be taken back.
	// +optional
	// +kubebuilder:default=false
	Sealed bool `json:"sealed"`
	// encryption says under which key the store keeps the data. PerDatasetKey: under
	// one that was made for this dataset (S3's SSE-C) and is destroyed as the first
	// step of its erase. Bucket: under the bucket's own, for stores without SSE-C. It
	// can not be changed.
	// +optional
	// +kubebuilder:default=PerDatasetKey
	Encryption Encryption `json:"encryption,omitempty"`
	// hold keeps the data from being erased, whatever else is due, until its time is
	// over or it is taken away: a legal duty to preserve it. Setting, changing and
	// removing it needs the verb "hold" on datasetretentions.
	// +optional
	Hold *Hold `json:"hold,omitempty"`
}

// Encryption says under which key the store keeps data.
//
// +kubebuilder:validation:Enum=PerDatasetKey;Bucket
type Encryption string

// The values of Encryption.
const (
	EncryptionPerDatasetKey Encryption = "PerDatasetKey"
	EncryptionBucket        Encryption = "Bucket"
)

// Hold keeps data from being erased.
type Hold struct {
	// reason names the duty, for example a case number. It is recorded in events and
	// in the ledger, so it must not contain personal data.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason"`
	// until is when the hold ends by itself, in UTC and whole seconds, for example
	// "2027-06-30T00:00:00Z". A longer one is set again in time.
	//
	// The pattern is stricter than the format: the API server takes some forms of it
	// that clients can not read, and one such object would keep them from all others.
	// +required
	// +kubebuilder:validation:XValidation:rule="self.getFullYear() < 3000",message="a time in UTC and whole seconds, such as 2027-06-30T00:00:00Z"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^2[0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$`
	Until metav1.Time `json:"until"`
}

// RetentionPolicy bounds how long data stays. Whichever bound comes first counts,
// but data in use by a run is never taken away from under it. The operator's own
// ceiling and floor count where they are stricter.
type RetentionPolicy struct {
	// afterTraining is how long the data stays after the last run that used it
	// has ended, for example "24h" or "1h30m". "0s" erases it at once. Hours,
	// minutes and seconds are whole numbers.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(s|m|h)){1,3}$`
	// +kubebuilder:validation:MaxLength=21
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="at most 87600h, which is ten years"
	AfterTraining *metav1.Duration `json:"afterTraining,omitempty"`
	// maxAge is how long the data may stay in all, counted from the creation of
	// this object; it also ends data that was never used and uploads that were
	// never finished.
	// +optional
	// +kubebuilder:default="720h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(s|m|h)){1,3}$`
	// +kubebuilder:validation:MaxLength=21
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="at most 87600h, which is ten years"
	MaxAge *metav1.Duration `json:"maxAge,omitempty"`
}

// The defaults of a RetentionPolicy, which the API server fills in.
const (
	DefaultAfterTraining = 24 * time.Hour
	DefaultMaxAge        = 720 * time.Hour
)

// MaxRetention is the longest that either time of a RetentionPolicy may be; the
// CRD's rules say the same.
const MaxRetention = 87600 * time.Hour

// Window is afterTraining, or its default where it is not set.
func (p RetentionPolicy) Window() time.Duration {
	if p.AfterTraining == nil {
		return DefaultAfterTraining
	}
	return p.AfterTraining.Duration
}

// Limit is maxAge, or its default where it is not set.
func (p RetentionPolicy) Limit() time.Duration {
	if p.MaxAge == nil {
		return DefaultMaxAge
	}
	return p.MaxAge.Duration
}

// DatasetState sums up a dataset in one word.
//
// +kubebuilder:validation:Enum=Open;Sealing;Ready;InUse;Expiring;Invalid;Erasing
type DatasetState string

// The states of a dataset, in the order in which they usually come.
const (
	// DatasetOpen: may be uploaded to; no run may use it.
	DatasetOpen DatasetState = "Open"
	// DatasetSealing: marked complete; its manifest is being checked.
	DatasetSealing DatasetState = "Sealing"
	// DatasetReady: sealed, checked, and not used by any run at the moment.
	DatasetReady DatasetState = "Ready"
	// DatasetInUse: at least one run that has not ended uses it.
	DatasetInUse DatasetState = "InUse"
	// DatasetExpiring: was used, and goes when its time after training is over; or its
	// time is over, and a hold or trouble with the store keeps it.
	DatasetExpiring DatasetState = "Expiring"
	// DatasetInvalid: sealed with a manifest that no run could use.
	DatasetInvalid DatasetState = "Invalid"
	// DatasetErasing: deleted; goes as soon as nobody uses it and the store is empty.
	DatasetErasing DatasetState = "Erasing"
)

// DatasetRetentionStatus is what the operator observed.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.location) || has(self.location)",message="the location of a dataset is set once"
type DatasetRetentionStatus struct {
	// observedGeneration is the generation of the spec that this status answers.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// state sums up the conditions in one word.
	// +optional
	State DatasetState `json:"state,omitempty"`
	// reason says in one word why the dataset is in this state.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`
	// message says why, and what can be done about it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// location is where the data lies. It is derived from this object's UID by
	// the operator, so that no two datasets ever share a place.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the location of a dataset is set once"
	Location *ObjectLocation `json:"location,omitempty"`
	// keyID names the dataset's own key, without telling it: the first 16 bytes of a
	// SHA-256, hexadecimal. Empty with encryption Bucket.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the key of a dataset is made once"
	KeyID string `json:"keyID,omitempty"`
	// objects counts the files of the sealed dataset, without its manifest.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Objects *int64 `json:"objects,omitempty"`
	// bytes is the size of the sealed dataset, without its manifest.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Bytes *int64 `json:"bytes,omitempty"`
	// manifestDigest is the SHA-256 of the manifest, as "sha256:" and 64
	// hexadecimal digits. Runs verify what they download against it.
	// +optional
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	ManifestDigest string `json:"manifestDigest,omitempty"`
	// sealedTime is when the operator first saw the dataset sealed. Nobody is given
	// credentials to write to it from then on.
	// +optional
	SealedTime *metav1.Time `json:"sealedTime,omitempty"`
	// activeRuns names the runs that are bound to the dataset and have not ended, in
	// alphabetical order; the first 32 of them. While the dataset is being erased,
	// also those that only wait for it.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=63
	ActiveRuns []string `json:"activeRuns,omitempty"`
	// lastUsedTime is when the last run that used the data ended.
	// +optional
	LastUsedTime *metav1.Time `json:"lastUsedTime,omitempty"`
	// expiresAt is when the data is erased unless a run uses it then.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`
	// hold is the hold that the operator has taken note of: it is in the ledger.
	// +optional
	Hold *HoldStatus `json:"hold,omitempty"`
	// erasure reports on the erase once it has begun.
	// +optional
	Erasure *ErasureStatus `json:"erasure,omitempty"`
	// conditions say what holds for the dataset; see the Condition constants.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ObjectLocation is a place in the object store.
type ObjectLocation struct {
	// bucket is the name of the bucket.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=63
	Bucket string `json:"bucket"`
	// prefix starts every key of the object's data and ends with a slash.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`/$`
	Prefix string `json:"prefix"`
	// store identifies the store itself: what the object lethe-identity.json in the
	// bucket said when the place was given. An erase refuses any other store, so that
	// an empty store at a wrong address is never taken for an erased one.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Store string `json:"store,omitempty"`
}

// HoldStatus is a hold that was recorded.
type HoldStatus struct {
	// reason as it was given.
	// +required
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason"`
	// until is when the hold ends.
	// +required
	Until metav1.Time `json:"until"`
	// since is when the operator first saw data under a hold.
	// +required
	Since metav1.Time `json:"since"`
}

// ErasureStatus reports on an erase. The counts are taken before the first
// object is removed, so that the receipt is complete also when the operator was
// restarted in the middle.
type ErasureStatus struct {
	// startTime is when the erase began.
	// +required
	StartTime metav1.Time `json:"startTime"`
	// keyDestroyedTime is when the dataset's own key was gone: nobody can read the
	// data from then on, wherever a copy of it may be. Missing with encryption Bucket.
	// +optional
	KeyDestroyedTime *metav1.Time `json:"keyDestroyedTime,omitempty"`
	// inventoryTime is when the counts were taken. Missing: not yet.
	// +optional
	InventoryTime *metav1.Time `json:"inventoryTime,omitempty"`
	// versions counts the object versions and delete markers found then.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Versions int64 `json:"versions,omitempty"`
	// bytes is the size of those versions.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Bytes int64 `json:"bytes,omitempty"`
	// uploads counts the unfinished multipart uploads found then.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Uploads int64 `json:"uploads,omitempty"`
	// removedVersions is how many of the versions are removed by now; it is brought
	// up to date every ten seconds at most.
	// +optional
	// +kubebuilder:validation:Minimum=0
	RemovedVersions int64 `json:"removedVersions,omitempty"`
}

// DatasetRetentionList is a list of datasets.
//
// +kubebuilder:object:root=true
type DatasetRetentionList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []DatasetRetention `json:"items"`
}
