package portal

import "time"

// DatasetID names a dataset, for ever.
type DatasetID string

// Object is the name of the DatasetRetention in the tenant's namespace.
func (id DatasetID) Object() string { return "d-" + string(id) }

// DatasetWish is what the person has asked for. It only moves forward, and is written
// before the cluster is asked, so that whoever finds it later can go on.
type DatasetWish string

// Wishes for a dataset.
const (
	WishOpen   DatasetWish = "open"
	WishSealed DatasetWish = "sealed"
	WishErased DatasetWish = "erased"
)

// Dataset is what a person uploaded, as the portal knows it. The cluster's object goes
// with the data; this row stays, with the receipt.
type Dataset struct {
	ID      DatasetID
	Account AccountID
	// Namespace is the tenant's.
	Namespace string
	// Name is the person's own word for it, and goes nowhere but to that person.
	Name string
	// UID is the object's in the cluster; "" until it is made.
	UID string
	// AfterTraining and MaxAge are the windows that were asked for.
	AfterTraining, MaxAge time.Duration
	Wish                  DatasetWish
	CreatedAt             time.Time
	// WishedAt is when Wish last moved.
	WishedAt time.Time
	// Seen is what the operator last told.
	Seen DatasetSeen
	// ErasedAt is zero until the cluster's object was gone with its data.
	ErasedAt time.Time
	// Receipt is the digest of the receipt ("sha256:…"); "" until it is kept.
	Receipt string
	// Revision counts changes; UpdateDataset compares it.
	Revision int64
}

// Settled reports whether the cluster has been seen to have done what was wished; if not,
// it may still have to be asked.
func (d Dataset) Settled() bool {
	if !d.ErasedAt.IsZero() {
		return true
	}
	if d.UID == "" {
		return false
	}
	switch d.Wish {
	case WishOpen:
		return true
	case WishSealed:
		return d.Seen.State != "" && d.Seen.State != datasetOpen
	case WishErased:
	}
	return false
}

// ReasonRefused is the reason in DatasetSeen of a dataset that the cluster did not take;
// Message is for the person. It has no state then.
const ReasonRefused = "Refused"

// MaxDatasets is how many an account may have that are not erased.
const MaxDatasets = 500

// datasetOpen is v1alpha1.DatasetOpen.
const datasetOpen = "Open"

// DatasetSeen is what a DatasetRetention's status said. States and reasons are those of
// api/v1alpha1, in its words.
type DatasetSeen struct {
	// Version orders what was seen of one object: the greater is the later.
	Version uint64    `json:"version,omitempty"`
	At      time.Time `json:"at,omitzero"`

	State   string `json:"state,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Files and Bytes are known once it is sealed.
	Files int64 `json:"files,omitempty"`
	Bytes int64 `json:"bytes,omitempty"`
	// Manifest is the manifest's digest.
	Manifest   string    `json:"manifest,omitempty"`
	ActiveRuns []string  `json:"activeRuns,omitempty"`
	ExpiresAt  time.Time `json:"expiresAt,omitzero"`
	// AfterTraining and MaxAge are what the object asks for now.
	AfterTraining time.Duration `json:"afterTraining,omitempty"`
	MaxAge        time.Duration `json:"maxAge,omitempty"`
	// HoldUntil is zero where nothing holds the data; HoldReason is the hold's.
	HoldUntil  time.Time `json:"holdUntil,omitzero"`
	HoldReason string    `json:"holdReason,omitempty"`
	// Erase is how far an erase has come: RemovedVersions of Versions.
	EraseStartedAt  time.Time `json:"eraseStartedAt,omitzero"`
	Versions        int64     `json:"versions,omitempty"`
	RemovedVersions int64     `json:"removedVersions,omitempty"`
}

// EndsAt is when the data goes, as far as is known now: when its time is over, or when the
// hold on it ends if that is later. Zero while its time has not begun to run.
func (s DatasetSeen) EndsAt() time.Time {
	if !s.ExpiresAt.IsZero() && s.HoldUntil.After(s.ExpiresAt) {
		return s.HoldUntil
	}
	return s.ExpiresAt
}

// DatasetOrder is what the cluster is to make of a dataset.
type DatasetOrder struct {
	Namespace, Object     string
	AfterTraining, MaxAge time.Duration
}

// File is one of a dataset that is being uploaded. Rows go when the dataset is sealed:
// the manifest in the store has them then.
type File struct {
	Dataset DatasetID
	// Path passes objectkey.ValidatePath.
	Path string
	// Size is in bytes.
	Size int64
	// Fingerprint tells a file that is picked again from another with its name: the
	// browser's own, at most MaxFingerprint characters.
	Fingerprint string
	// Upload is the store's multipart upload; "" for a file that goes in one piece.
	Upload string
	// PartSize is in bytes; the last part is what is left.
	PartSize int64
	// SHA256 is 64 lower-case hexadecimal digits; "" until the file is complete.
	SHA256 string
}

// Complete reports whether all of the file is in the store.
func (f File) Complete() bool { return f.SHA256 != "" }

// Parts is the number of parts; 1 for a file in one piece.
func (f File) Parts() int {
	if f.Upload == "" || f.PartSize <= 0 {
		return 1
	}
	return int((f.Size + f.PartSize - 1) / f.PartSize)
}

// FileCount sums the files of a dataset up.
type FileCount struct {
	Files, Complete int64
	Bytes           int64
}

// Bounds of datasets.
const (
	MaxDatasetName = 100
	MaxFingerprint = 200
	// MaxDatasetFiles is how many files an upload may have.
	MaxDatasetFiles = 100_000
)

// Receipt is the record of an erase, signed by the operator.
type Receipt struct {
	// UID is the erased object's: a dataset's, or a run's whose artifacts were erased.
	UID     string
	Account AccountID
	// Name is what the person called it.
	Name     string
	Digest   string
	Envelope []byte // DSSE, as the operator wrote it
	ErasedAt time.Time
}
