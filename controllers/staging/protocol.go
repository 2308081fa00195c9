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
	// PathUpload gives a person credentials to write to an unsealed dataset:
	// DatasetRequest -> StoreGrant. Needs the verb "create" on
	// datasetretentions/upload by SubjectAccessReview.
	PathUpload = "/v1/upload"
	// PathArtifacts gives a person credentials to read a run's artifacts:
	// RunRequest -> StoreGrant. Needs the verb "get" on trainingruns/artifacts.
	PathArtifacts = "/v1/artifacts"
)

// TrainerWait is how long PathTrainer holds an answer back at most.
const TrainerWait = 25 * time.Second

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
}

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
	// ProblemMalformed (400): the request can not be read.
	ProblemMalformed = "Malformed"
	// ProblemTooMany (429): too many requests at a time; wait for a moment and try again.
	ProblemTooMany = "TooMany"
	// ProblemUnavailable (503): the store or the API server does not answer; try again.
	ProblemUnavailable = "Unavailable"
)
