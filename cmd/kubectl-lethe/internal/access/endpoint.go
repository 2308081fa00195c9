package access

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/controllers/staging/discovery"
)

// ErrNoBroker is wrapped by the errors of Discover that say that no operator has
// published a broker.
var ErrNoBroker = errors.New("no broker is published in this cluster")

// Endpoint is where the broker answers.
type Endpoint struct {
	// URL, always https.
	URL string
	// CA holds the certificates to verify it with, PEM; empty for the system's.
	CA []byte
}

// Discover says where the broker is. What is set in the override wins; the rest
// is read from what the operator published.
func Discover(ctx context.Context, reader client.Reader, override Endpoint) (Endpoint, error) {
	found := override
	if override.URL == "" || len(override.CA) == 0 {
		published, err := read(ctx, reader)
		if err != nil && (override.URL == "" || !errors.Is(err, ErrNoBroker)) {
			return Endpoint{}, err
		}
		if found.URL == "" {
			found.URL = published.URL
		}
		if len(found.CA) == 0 {
			found.CA = published.CA
		}
	}
	return found, found.validate()
}

func read(ctx context.Context, reader client.Reader) (Endpoint, error) {
	var info corev1.ConfigMap
	err := reader.Get(ctx, client.ObjectKey{Namespace: discovery.Namespace, Name: discovery.ConfigMapName}, &info)
	if apierrors.IsNotFound(err) {
		return Endpoint{}, fmt.Errorf("%w: ask its administrator to install Lethe, or give --broker-url", ErrNoBroker)
	}
	if err != nil {
		return Endpoint{}, fmt.Errorf("read ConfigMap %s/%s: %w", discovery.Namespace, discovery.ConfigMapName, err)
	}
	if info.Data[discovery.KeyURL] == "" {
		return Endpoint{}, fmt.Errorf("%w yet: the operator is installed, but has not started; "+
			"look at it with: kubectl -n lethe-system get pods", ErrNoBroker)
	}
	return Endpoint{URL: info.Data[discovery.KeyURL], CA: []byte(info.Data[discovery.KeyCA])}, nil
}

func (e Endpoint) validate() error {
	u, err := url.Parse(e.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return errors.New("the broker's URL must look like https://host[:port]; " +
			"a token is sent there, so nothing else is accepted")
	}
	if len(e.CA) > 0 && !x509.NewCertPool().AppendCertsFromPEM(e.CA) {
		return errors.New("the broker's certificates hold no certificate in PEM format; check --broker-ca")
	}
	return nil
}
