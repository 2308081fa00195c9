package portal

import "time"

// RunID names a run, for ever. It is also the key that makes Start Run happen once.
type RunID string

// Object is the name of the TrainingRun in the tenant's namespace.
func (id RunID) Object() string { return "r-" + string(id) }

// RunWish is what the person has asked for, written before the cluster is asked.
type RunWish string

// Wishes for a run.
const (
	WishRun       RunWish = "run"
	WishSuspended RunWish = "suspended"
	WishCancelled RunWish = "cancelled"
	// WishDeleted: the run and its artifacts go.
	WishDeleted RunWish = "deleted"
)

// Run is one training, as the portal knows it.
type Run struct {
	ID        RunID
	Account   AccountID
	Namespace string
	// Name is the person's own word for it, and goes nowhere but to that person.
	Name    string
	Dataset DatasetID
	// UID is the object's in the cluster; "" until it is made.
	UID       string
	Spec      RunSpec
	Wish      RunWish
	CreatedAt time.Time
	WishedAt  time.Time
	Seen      RunSeen
	// Refused is why the cluster would not take the run: a sentence for the person. Such
	// a run never was.
	Refused string
	// GoneAt is zero until the cluster's object was gone.
	GoneAt time.Time
	// Revision counts changes; UpdateRun compares it.
	Revision int64
}

// Settled reports whether the cluster has been seen to have done what was wished; if not,
// it may still have to be asked.
func (r Run) Settled() bool {
	if r.Refused != "" || !r.GoneAt.IsZero() {
		return true
	}
	if r.UID == "" {
		return false
	}
	switch r.Wish {
	case WishRun:
		return !r.Seen.Suspended
	case WishSuspended:
		return r.Seen.Suspended || r.Seen.Finished()
	case WishCancelled:
		return r.Seen.Finished()
	case WishDeleted:
	}
	return false
}

// RunSpec is what a person chose at Start Run. Zero fields are left to the cluster's
// defaults.
type RunSpec struct {
	Image   string            `json:"image"`
	Command []string          `json:"command,omitempty"`
	Args    []string          `json:"args,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	// CPU and Memory are Kubernetes quantities.
	CPU    string `json:"cpu,omitempty"`
	Memory string `json:"memory,omitempty"`
	// Nodes, each with GPUs of the kind Product ("" for any).
	Nodes   int    `json:"nodes,omitempty"`
	GPUs    int    `json:"gpus"`
	Product string `json:"product,omitempty"`
	// Sharded gives each node its part of the dataset instead of all of it.
	Sharded bool `json:"sharded,omitempty"`

	MaxDuration   time.Duration `json:"maxDuration,omitempty"`
	MaxGPUSeconds int64         `json:"maxGPUSeconds,omitempty"`
	StartWithin   time.Duration `json:"startWithin,omitempty"`
	StalledAfter  time.Duration `json:"stalledAfter,omitempty"`
	Retries       int           `json:"retries,omitempty"`

	CheckpointEvery time.Duration `json:"checkpointEvery,omitempty"`
	KeepLast        int           `json:"keepLast,omitempty"`
	// ResumeFrom is a run of the same account whose newest checkpoint is begun with.
	ResumeFrom RunID `json:"resumeFrom,omitempty"`
}

// RunOrder is what the cluster is to make of a run.
type RunOrder struct {
	Namespace, Object string
	// Dataset is the DatasetRetention's name, ResumeFrom a TrainingRun's ("" for none).
	Dataset, ResumeFrom string
	Spec                RunSpec
}

// RunSeen is what a TrainingRun's status said. States and reasons are those of
// api/v1alpha1, in its words.
type RunSeen struct {
	// Version orders what was seen of one object: the greater is the later.
	Version uint64    `json:"version,omitempty"`
	At      time.Time `json:"at,omitzero"`

	State   string `json:"state,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`

	StartedAt time.Time `json:"startedAt,omitzero"`
	EndedAt   time.Time `json:"endedAt,omitzero"`
	// Suspended is the object's spec.suspend.
	Suspended bool `json:"suspended,omitempty"`

	Progress RunProgress  `json:"progress,omitzero"`
	Attempts []RunAttempt `json:"attempts,omitempty"`
	// GPUSeconds were used in all; LostGPUSeconds of them since a checkpoint that an
	// attempt had to go back to.
	GPUSeconds     int64 `json:"gpuSeconds,omitempty"`
	LostGPUSeconds int64 `json:"lostGPUSeconds,omitempty"`

	Checkpoint   string    `json:"checkpoint,omitempty"`
	CheckpointAt time.Time `json:"checkpointAt,omitzero"`
	// Artifacts are known once they are published.
	ArtifactFiles    int64  `json:"artifactFiles,omitempty"`
	ArtifactBytes    int64  `json:"artifactBytes,omitempty"`
	ArtifactManifest string `json:"artifactManifest,omitempty"`

	Failure *RunFailure `json:"failure,omitempty"`
	// DatasetReceipt is the digest of the receipt for the dataset's erase.
	DatasetReceipt string `json:"datasetReceipt,omitempty"`
}

// Finished reports whether the run has ended.
func (s RunSeen) Finished() bool { return !s.EndedAt.IsZero() }

// RunProgress is the newest that the trainer told.
type RunProgress struct {
	At         time.Time          `json:"at,omitzero"`
	Percent    *float64           `json:"percent,omitempty"`
	Step       int64              `json:"step,omitempty"`
	TotalSteps int64              `json:"totalSteps,omitempty"`
	Epoch      int64              `json:"epoch,omitempty"`
	Epochs     int64              `json:"epochs,omitempty"`
	Metrics    map[string]float64 `json:"metrics,omitempty"`
	// EndsAt is an estimate.
	EndsAt time.Time `json:"endsAt,omitzero"`
}

// RunAttempt is one try of a run.
type RunAttempt struct {
	Number     int       `json:"number"`
	Result     string    `json:"result,omitempty"`
	Reason     string    `json:"reason,omitempty"`
	Message    string    `json:"message,omitempty"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	EndedAt    time.Time `json:"endedAt,omitzero"`
	GPUSeconds int64     `json:"gpuSeconds,omitempty"`
}

// RunFailure is why a run has failed.
type RunFailure struct {
	// Blame is User, Platform, Data or Budget.
	Blame    string `json:"blame,omitempty"`
	Reason   string `json:"reason,omitempty"`
	ExitCode *int   `json:"exitCode,omitempty"`
	Hint     string `json:"hint,omitempty"`
	// LogTail is the user's own output.
	LogTail string `json:"logTail,omitempty"`
}

// RunEvent is something that happened to a run, as the cluster tells it.
type RunEvent struct {
	At      time.Time
	Warning bool
	Reason  string
	Message string
	Count   int
}

// RunWaiting is the state, for filters and pages, of a run whose state nothing is known of.
const RunWaiting = "Waiting"

// RunFilter chooses runs. Zero fields choose all.
type RunFilter struct {
	// State is a state of api/v1alpha1, or RunWaiting for a run that the cluster has not
	// taken yet.
	State   string
	Dataset DatasetID
	// Text is a part of the name.
	Text string
}

// PageCursor is where the next page of a list goes on: newest first, by time and id.
type PageCursor struct {
	Time time.Time
	ID   string
}

// GPUOffer is a kind of GPU that the cluster has.
type GPUOffer struct {
	// Product is the label nvidia.com/gpu.product of the nodes; "" where they have none.
	Product string
	// Total is how many there are, PerNode the most that one node has.
	Total, PerNode int
}

// Price is what a GPU of a kind costs.
type Price struct {
	// Product as in GPUOffer; "*" for kinds that have no price of their own.
	Product string
	// MicrosPerHour is for one GPU, in millionths of the currency's unit.
	MicrosPerHour int64
}

// Bounds of runs.
const (
	MaxRunName = 100
)
