package staging

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Audience is the audience of the tokens that the broker accepts from pods. It is
// the broker's own, so that a token for it is worth nothing anywhere else, and a
// token for the API server is worth nothing here.
const Audience = "broker.lethe.dev"

// Paths of the broker's endpoint. All are POST with a bearer token in the
// Authorization header; bodies are JSON. Errors are answered with a Problem.
const (
	// PathStage gives a pod of a run what one of its steps needs: StageRequest
	// -> StageGrant.
	PathStage = "/v1/stage"
	// PathTrainer tells a pod of a run whether its trainer container has ended;
	// it answers late, after up to TrainerWait, while it has not: no body ->
	// TrainerStatus.
	PathTrainer = "/v1/trainer"
	// PathGang tells a pod of a run with several nodes whether all of them are there:
	// each has a node and does its stage-in. It answers late, after up to TrainerWait,
	// while they are not: no body -> GangStatus.
	PathGang = "/v1/gang"
	// PathProgress takes what a trainer said of itself from its pod's stage-out:
	// ProgressRequest -> ProgressAnswer. Not more often than every ProgressInterval.
	PathProgress = "/v1/progress"
	// PathCheckpoint takes from stage-out of the first node that a checkpoint is
	// complete in the store; the answer comes when that is written down:
	// CheckpointRequest -> CheckpointAnswer. It may be repeated.
	PathCheckpoint = "/v1/checkpoint"
	// PathLog gives a pod the output of its own trainer: LogRequest -> LogAnswer.
	PathLog = "/v1/log"
	// PathUpload gives a person credentials to write to an unsealed dataset:
	// DatasetRequest -> StoreGrant. Needs the verb "create" on
	// datasetretentions/upload by SubjectAccessReview.
	PathUpload = "/v1/upload"
	// PathArtifacts gives a person credentials to read a run's artifacts:
	// RunRequest -> StoreGrant. Needs the verb "get" on trainingruns/artifacts.
	PathArtifacts = "/v1/artifacts"
	// PathReceipt gives a person the receipt for the erase of a dataset, or of a run's
	// artifacts: ReceiptRequest -> ReceiptAnswer. Needs the verb "get" on
	// datasetretentions/receipt in the namespace.
	PathReceipt = "/v1/receipt"
)

// TrainerWait is how long PathTrainer holds an answer back at most.
const TrainerWait = 25 * time.Second

// ProgressInterval is what lies between two messages of a pod at least, and between
// two writes of a run's progress to the API server.
const ProgressInterval = 10 * time.Second

// MaxLogChunk bounds what one answer gives of a log, in bytes.
const MaxLogChunk = 1 << 20

// UploadLife is how long credentials that write to a dataset are good for: the
// store refuses requests that begin later. An erase waits as long after the last
// moment at which they could have been given, and ClockSkew more.
const UploadLife = time.Minute

// ClockSkew is how far the clocks of the operator and of the store may differ.
const ClockSkew = 10 * time.Second

// Step is what a pod wants to do.
type Step string

// The steps of a run's pod.
const (
	StepStageIn  Step = "stage-in"
	StepStageOut Step = "stage-out"
)

// StageRequest asks for what a step needs.
type StageRequest struct {
	Step Step `json:"step"`
}

// StageGrant is what a step needs.
type StageGrant struct {
	// Store reads the dataset (stage-in) or writes the run's prefix (stage-out).
	Store StoreGrant `json:"store"`
	// ManifestDigest is the pinned digest of the dataset's manifest (stage-in only).
	ManifestDigest string `json:"manifestDigest,omitempty"`
	// Resume is the checkpoint to begin with (stage-in only). nil: begin anew.
	Resume *ResumeGrant `json:"resume,omitempty"`
	// NewestCheckpoint is the ID of the newest checkpoint in the run's status (stage-out
	// only); empty if there is none. What is stored next is greater.
	NewestCheckpoint string `json:"newestCheckpoint,omitempty"`
}

// ResumeGrant is a checkpoint to begin with.
type ResumeGrant struct {
	// Store reads the checkpoint. Its prefix is that of the run that wrote it.
	Store StoreGrant `json:"store"`
	// ID and Digest of the checkpoint; see objectkey.CheckpointRecord.
	ID     string `json:"id"`
	Digest string `json:"digest"`
}

// Format implements fmt.Formatter like StoreGrant's.
func (g ResumeGrant) Format(f fmt.State, verb rune) { g.Store.Format(f, verb) }

// LogValue implements slog.LogValuer like StoreGrant's.
func (g ResumeGrant) LogValue() slog.Value { return g.Store.LogValue() }

// MarshalLog implements logr.Marshaler like StoreGrant's.
func (g ResumeGrant) MarshalLog() any { return g.Store.MarshalLog() }

// StoreGrant is a place in the store, credentials that reach no other, and the key
// of what lies there. It is kept in memory only and asked for again at half of its
// life.
type StoreGrant struct {
	// Endpoint is the store's URL.
	Endpoint string `json:"endpoint"`
	// CABundle holds the certificates that the store's is verified with, PEM;
	// empty for the system's.
	CABundle string `json:"caBundle,omitempty"`
	// Region of the store.
	Region string `json:"region,omitempty"`
	// Bucket and Prefix are the place.
	Bucket string `json:"bucket"`
	Prefix string `json:"prefix"`
	// AccessKeyID, SecretAccessKey and SessionToken sign requests (AWS STS).
	AccessKeyID     string `json:"accessKeyID"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`
	// IssuedAt and ExpiresAt bound their life.
	IssuedAt  time.Time `json:"issuedAt"`
	ExpiresAt time.Time `json:"expiresAt"`
	// EncryptionKey is what every object of the place is stored and read under, by
	// SSE-C: 32 bytes. Empty for a place without a key of its own. It is the same in
	// all grants for one dataset.
	EncryptionKey []byte `json:"encryptionKey,omitempty"`
	// InsecurePlaintext allows an Endpoint without TLS, because the operator was told
	// to. An EncryptionKey never goes over one.
	InsecurePlaintext bool `json:"insecurePlaintext,omitempty"`
}

// Format implements fmt.Formatter: no verb shows more than the place, so that no
// grant ends in a log or an error by mistake. JSON, the protocol itself, is whole.
func (g StoreGrant) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, g.place()) }

// LogValue implements slog.LogValuer and shows the place only.
func (g StoreGrant) LogValue() slog.Value { return slog.StringValue(g.place()) }

// MarshalLog implements logr.Marshaler and shows the place only.
func (g StoreGrant) MarshalLog() any { return g.place() }

func (g StoreGrant) place() string { return "grant for " + g.Bucket + "/" + g.Prefix }

// Format implements fmt.Formatter like StoreGrant's.
func (g StageGrant) Format(f fmt.State, verb rune) { g.Store.Format(f, verb) }

// LogValue implements slog.LogValuer like StoreGrant's.
func (g StageGrant) LogValue() slog.Value { return g.Store.LogValue() }

// MarshalLog implements logr.Marshaler like StoreGrant's.
func (g StageGrant) MarshalLog() any { return g.Store.MarshalLog() }

// TrainerStatus tells about the trainer container of the asking pod.
type TrainerStatus struct {
	// Ended is false while it runs.
	Ended bool `json:"ended"`
	// ExitCode is valid when it has ended.
	ExitCode int32 `json:"exitCode"`
}

// GangStatus tells whether all nodes of the asking pod's run are there.
type GangStatus struct {
	// Ready is false while one is missing.
	Ready bool `json:"ready"`
}

// ProgressRequest is what a trainer said of itself.
type ProgressRequest struct {
	// Sequence grows with every message of a pod; one that does not is refused.
	Sequence int64 `json:"sequence"`
	// Percent, from 0 to 100, Epoch, Epochs, Step and TotalSteps as the trainer told
	// them; nil for what it did not tell. A Percent that it did not tell follows from
	// steps or epochs.
	Percent    *float64 `json:"percent,omitempty"`
	Epoch      *int64   `json:"epoch,omitempty"`
	Epochs     *int64   `json:"epochs,omitempty"`
	Step       *int64   `json:"step,omitempty"`
	TotalSteps *int64   `json:"totalSteps,omitempty"`
	// Metrics by name; at most 16 are kept.
	Metrics map[string]float64 `json:"metrics,omitempty"`
	// RemainingSeconds until the end, from the pace so far; nil if it is not known.
	RemainingSeconds *int64 `json:"remainingSeconds,omitempty"`
	// IdleSeconds since the trainer told progress, wrote to its log, or to its
	// checkpoints.
	IdleSeconds int64 `json:"idleSeconds"`
}

// ProgressAnswer says that the message was taken.
type ProgressAnswer struct{}

// CheckpointRequest says that a checkpoint is complete in the store.
type CheckpointRequest struct {
	// ID and Digest of its record, under the run's own prefix; see objectkey.
	ID     string `json:"id"`
	Digest string `json:"digest"`
	// Step, Objects and Bytes as the record has them.
	Step    int64 `json:"step"`
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

// CheckpointAnswer says that the checkpoint is in the run's status.
type CheckpointAnswer struct{}

// LogRequest asks for what a trainer has put out.
type LogRequest struct {
	// Since is the time of the last line that the pod has; the zero time for all.
	Since time.Time `json:"since,omitzero"`
}

// LogAnswer is a part of a trainer's output.
type LogAnswer struct {
	// Lines, each with its time before it (RFC 3339 with nanoseconds and a space) and a
	// newline at its end, all of them after Since. At most MaxLogChunk bytes.
	Lines []byte `json:"lines,omitempty"`
	// Last is the time of the last of them; the request's Since if there is none.
	Last time.Time `json:"last,omitzero"`
	// More says that there is more already.
	More bool `json:"more,omitempty"`
	// Ended says that the trainer has ended, so that nothing will follow but More.
	Ended bool `json:"ended,omitempty"`
}

// DatasetRequest names a dataset.
type DatasetRequest struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// RunRequest names a run.
type RunRequest struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// ReceiptRequest names the object whose data was erased: by its UID, because there may be
// another of its name by now.
type ReceiptRequest struct {
	Namespace string `json:"namespace"`
	UID       string `json:"uid"`
}

// ReceiptAnswer is the receipt.
type ReceiptAnswer struct {
	// Envelope is the signed receipt as it lies in the store, byte by byte (DSSE); see
	// objectkey.Verify.
	Envelope []byte `json:"envelope"`
	// Digest is "sha256:" and the SHA-256 of Envelope, hexadecimal.
	Digest string `json:"digest"`
}

// Problem is an error of the broker (after RFC 9457). The HTTP status says
// whether to try again: 4xx is final, but for 409 (not yet) and 429 (too many);
// 5xx is worth another try.
type Problem struct {
	// Status repeats the HTTP status.
	Status int `json:"status"`
	// Reason in one word, for programs; see the Problem constants.
	Reason string `json:"reason"`
	// Detail says what happened and what to do, for people.
	Detail string `json:"detail"`
}

// Reasons of a Problem.
const (
	// ProblemUnauthenticated (401): no token, or not one for this endpoint.
	ProblemUnauthenticated = "Unauthenticated"
	// ProblemForbidden (403): the token's owner may not do this.
	ProblemForbidden = "Forbidden"
	// ProblemNotFound (404): no such dataset or run.
	ProblemNotFound = "NotFound"
	// ProblemDatasetErasing (410): the dataset is being erased, or its key is gone;
	// final.
	ProblemDatasetErasing = "DatasetErasing"
	// ProblemRunEnded (410): the run has ended or is being deleted; final.
	ProblemRunEnded = "RunEnded"
	// ProblemSealed (410): the dataset is sealed, or its time is over, and takes no
	// upload; final.
	ProblemSealed = "Sealed"
	// ProblemNotYet (409): the object is too new, the operator has not placed it
	// yet; try again.
	ProblemNotYet = "NotYet"
	// ProblemReplayed (410): a message that is older than what is known already; final.
	ProblemReplayed = "Replayed"
	// ProblemCheckpointGone (410): the checkpoint to resume from is not there any more, or
	// never will be; final.
	ProblemCheckpointGone = "CheckpointGone"
	// ProblemMalformed (400): the request can not be read.
	ProblemMalformed = "Malformed"
	// ProblemTooMany (429): too many requests at a time; wait for a moment and try again.
	ProblemTooMany = "TooMany"
	// ProblemUnavailable (503): the store or the API server does not answer; try again.
	ProblemUnavailable = "Unavailable"
)
