package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// DefaultCredentialLife is twice an outage of the operator of half an hour. Uploads
// have staging.UploadLife.
const DefaultCredentialLife = time.Hour

// Rate limits of one namespace or person, and bounds of the whole server. Together
// they bound the memory that callers can make the operator use.
const (
	defaultRate  = 50  // requests a second
	defaultBurst = 200 // requests
	// hostShare is how many times the share of one namespace a host has. Several
	// share a host where addresses are translated, so it is more than one.
	hostShare = 2
	// maxConnections bounds the open connections; further ones wait in the kernel.
	// A connection is worth some 64 KiB at worst.
	maxConnections = 2048
	// maxInFlight bounds the requests that are worked on at a time, maxWaiting
	// those that wait for a trainer's end and cost a goroutine each, and
	// maxWaitingEach those of one namespace, so that it leaves room for others.
	maxInFlight    = 256
	maxWaiting     = 1024
	maxWaitingEach = 128
	// progressRate and progressBurst bound what one pod may tell of its progress, and of
	// checkpoints. It is more than staging.ProgressInterval allows, for a stage-out that
	// starts again and for the last message. logRate and logBurst bound how often it may
	// ask for its log: at the end it asks again and again.
	progressRate  = 0.2 // requests a second
	progressBurst = 5   // requests
	logRate       = 4   // requests a second
	logBurst      = 16  // requests
	// maxReviews bounds the TokenReviews under way: they run in the operator's
	// name, and come before anything is known of the caller.
	maxReviews = 32
)

// TokenReviewer asks the API server whose a token is. The client-go client
// AuthenticationV1().TokenReviews() is one. An invalid token is not an error.
type TokenReviewer interface {
	Create(ctx context.Context, review *authenticationv1.TokenReview, o metav1.CreateOptions) (*authenticationv1.TokenReview, error)
}

// AccessReviewer asks the API server what somebody may do. The client-go client
// AuthorizationV1().SubjectAccessReviews() is one. A denial is not an error.
type AccessReviewer interface {
	Create(ctx context.Context, review *authorizationv1.SubjectAccessReview, o metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error)
}

// Assumer gives credentials of the store that can do what the session policy
// allows, and no more, for the given life. Every call gives new ones. All errors
// are taken for passing ones.
type Assumer interface {
	AssumeRole(ctx context.Context, policy string, life time.Duration) (objectstore.Credentials, error)
}

// StatusWriter applies a configuration to the status of a run by server-side apply.
// The controller-runtime client's Status() is one. Errors are those of the API server.
type StatusWriter interface {
	Apply(ctx context.Context, run runtime.ApplyConfiguration, o ...client.SubResourceApplyOption) error
}

// CertificateFunc gives the server's certificate for a handshake; see Certificates.
type CertificateFunc func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// Store says what callers are told about the store.
type Store struct {
	// Endpoint is the URL under which pods and people reach the store.
	Endpoint string
	// CABundle holds the certificates that the store's is verified with, PEM;
	// empty for the system's.
	CABundle string
	// InsecurePlaintext allows an Endpoint without TLS, here and to callers.
	InsecurePlaintext bool
	// Region of the store; may be empty.
	Region string
	// DatasetsBucket and ArtifactsBucket are the buckets' names.
	DatasetsBucket  string
	ArtifactsBucket string
}

// Options of a Server. What has no default is required.
type Options struct {
	// Address to listen on, for example ":9443".
	Address string
	// Certificate gives the server's certificates.
	Certificate CertificateFunc
	// Pods reads pods and runs from the local cache.
	Pods client.Reader
	// Live reads from the API server itself: what is decided by it is irreversible.
	Live client.Reader
	// Statuses writes progress and checkpoints into the statuses of runs.
	Statuses StatusWriter
	// Logs gives the output of trainers.
	Logs Logs
	// Tokens and Access ask the API server about callers.
	Tokens TokenReviewer
	Access AccessReviewer
	// STS gives credentials.
	STS Assumer
	// Keys gives datasets' own keys.
	Keys Keys
	// Receipts gives the receipts for erases; nil: the broker gives none.
	Receipts Receipts
	// Store says what callers are told about the store.
	Store Store
	// CredentialLife of credentials for pods and for artifacts; at least
	// objectstore.MinSessionLife. Default DefaultCredentialLife.
	CredentialLife time.Duration
	// RequestsPerSecond and Burst limit each namespace of service accounts and
	// each other user. Defaults 50 and 200.
	RequestsPerSecond float64
	Burst             int
	// Clock tells the time and waits.
	Clock clock.WithTicker
	// Random gives the request identifiers in logs; safe for concurrent use.
	Random io.Reader
	// Log gets failures behind the broker, never tokens, credentials or keys.
	Log logr.Logger
	// Metrics gets the broker's metrics; nil for none.
	Metrics prometheus.Registerer
}

// complete checks the options and fills in the defaults.
func (o *Options) complete() error {
	if o.CredentialLife == 0 {
		o.CredentialLife = DefaultCredentialLife
	}
	if o.RequestsPerSecond == 0 {
		o.RequestsPerSecond = defaultRate
	}
	if o.Burst == 0 {
		o.Burst = defaultBurst
	}
	if o.Address == "" || o.Certificate == nil || o.Clock == nil || o.Random == nil {
		return errors.New("address, certificate, clock and random are required")
	}
	if o.Pods == nil || o.Live == nil || o.Tokens == nil || o.Access == nil || o.STS == nil || o.Keys == nil {
		return errors.New("the readers, the reviewers, STS and the keys are required")
	}
	if o.Statuses == nil || o.Logs == nil {
		return errors.New("the writer of statuses and the logs are required")
	}
	if o.CredentialLife < objectstore.MinSessionLife {
		return fmt.Errorf("credential life %v is shorter than %v, the least that STS gives", o.CredentialLife, objectstore.MinSessionLife)
	}
	if o.RequestsPerSecond < 0 || o.Burst < 0 {
		return errors.New("rate and burst are greater than zero")
	}
	return o.Store.check()
}

func (s Store) check() error {
	u, err := url.Parse(s.Endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return errors.New(`the store's endpoint is a URL like "https://minio.example:9000"`)
	}
	if u.Scheme == "http" && !s.InsecurePlaintext {
		return errors.New("the store's endpoint is not https: data and credentials would cross the network in the clear")
	}
	for _, bucket := range []string{s.DatasetsBucket, s.ArtifactsBucket} {
		if !bucketPattern.MatchString(bucket) {
			return fmt.Errorf("%q is not a bucket's name", bucket)
		}
	}
	if s.DatasetsBucket == s.ArtifactsBucket {
		return errors.New("datasets and artifacts lie in different buckets")
	}
	return nil
}
