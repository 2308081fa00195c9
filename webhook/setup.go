package webhook

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/api/v1alpha1/validation"
)

// Names of the webhooks in the ValidatingWebhookConfiguration, and what their paths end in.
const (
	nameRuns     = "trainingruns.lethe.dev"
	nameDatasets = "datasetretentions.lethe.dev"
)

// workTimeout ends the work on a question before the API server stops waiting for it.
const workTimeout = 1500 * time.Millisecond

// Options are what New needs. All fields are required but the times.
type Options struct {
	// Address to listen on, such as ":9444".
	Address string
	// Certificate gives the server's certificate.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Secret is the part of the path that cannot be guessed.
	Secret string
	// Scheme knows Lethe's kinds.
	Scheme *runtime.Scheme
	// Cached reads from the cache, Live from the API server.
	Cached, Live client.Reader
	// Images is the image policy for tenants' namespaces.
	Images validation.Images
	// MaxAgeCeiling and AfterTrainingCeiling are the administrator's; 0 for none.
	MaxAgeCeiling, AfterTrainingCeiling time.Duration
	Clock                               clock.PassiveClock
	Log                                 logr.Logger
	Metrics                             prometheus.Registerer
}

func (o Options) validate() error {
	switch {
	case o.Address == "" || o.Certificate == nil || o.Scheme == nil || o.Cached == nil || o.Live == nil || o.Clock == nil || o.Metrics == nil:
		return errors.New("an option of the webhook server is missing")
	case len(o.Secret) < minSecret:
		return fmt.Errorf("the secret of the webhook's path has %d characters, and needs %d", len(o.Secret), minSecret)
	}
	return nil
}

// New makes the server. It does not listen before it is started.
func New(o Options) (*Server, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	answers, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, err
	}
	answered := http.NewServeMux()
	handle := func(name string, kind *admission.Webhook) {
		kind.Handler = answers.counted(name, kind.Handler)
		answered.Handle(http.MethodPost+" /"+name, kind)
	}
	handle(nameRuns, admission.WithValidator[*v1alpha1.TrainingRun](o.Scheme,
		runs{cached: o.Cached, live: o.Live, images: o.Images, log: o.Log}))
	handle(nameDatasets, admission.WithValidator[*v1alpha1.DatasetRetention](o.Scheme,
		datasets{maxAge: o.MaxAgeCeiling, afterTraining: o.AfterTrainingCeiling, clock: o.Clock}))
	return &Server{
		address: o.Address, log: o.Log,
		tls:     &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: o.Certificate},
		handler: secretly(o.Secret, answered),
	}, nil
}
