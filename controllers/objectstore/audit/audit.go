package audit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

const (
	// requestTimeout is for one request, the reading of its answer included.
	requestTimeout = time.Minute
	// defaultRegion is Config.Region when it is empty.
	defaultRegion = "us-east-1"
)

// Config of an Auditor.
type Config struct {
	// Endpoint is the store's URL: https, a host, perhaps a port, and no path.
	Endpoint string
	// AllowPlaintext takes an http Endpoint.
	AllowPlaintext bool
	// CABundle holds the certificates that the store's is verified with, PEM; empty
	// for the system's.
	CABundle []byte
	// Region of the buckets. Default us-east-1.
	Region string
	// Credentials signs the requests. Required, and not the ones that remove.
	Credentials objectstore.CredentialsFunc
}

// Auditor looks into one store. It is safe for concurrent use. Its errors wrap
// objectstore's ErrNotFound, ErrDenied, ErrUnavailable and ErrHidden where that is
// the cause; none of them names a key.
type Auditor struct {
	endpoint    *url.URL
	region      string
	credentials objectstore.CredentialsFunc
	http        *http.Client
}

// New makes an auditor; it sends nothing.
func New(cfg Config) (*Auditor, error) {
	endpoint, err := url.Parse(cfg.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.User != nil ||
		strings.TrimSuffix(endpoint.Path, "/")+endpoint.RawQuery+endpoint.Fragment != "" {
		return nil, errors.New("the auditor's endpoint is not a URL like https://store.example:9000")
	}
	if endpoint.Scheme != "https" && (endpoint.Scheme != "http" || !cfg.AllowPlaintext) {
		return nil, errors.New("the auditor's endpoint is not https: credentials would cross the network in the clear")
	}
	if cfg.Credentials == nil {
		return nil, errors.New("the auditor's credentials are missing")
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(cfg.CABundle) > 0 {
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(cfg.CABundle) {
			return nil, errors.New("the auditor's CA bundle holds no certificate in PEM form")
		}
	}
	a := &Auditor{endpoint: endpoint, region: cfg.Region, credentials: cfg.Credentials, http: newHTTP(trust)}
	if a.region == "" {
		a.region = defaultRegion
	}
	return a, nil
}

// newHTTP uses no proxy of the environment, follows no redirect and repeats nothing.
func newHTTP(trust *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSClientConfig:       trust,
			TLSHandshakeTimeout:   5 * time.Second,
			ResponseHeaderTimeout: requestTimeout / 2,
			IdleConnTimeout:       time.Minute,
			MaxConnsPerHost:       8,
			DisableCompression:    true,
		},
		Timeout:       requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Empty says whether nothing is left below a prefix: no version of an object, no
// delete marker, no current object and no unfinished upload. With the empty prefix,
// the whole bucket. It is false as soon as one thing is found.
//
// MinIO lists uploads only without a prefix, and only those that this server has seen
// begin since its start, so both the prefix and the whole bucket are asked for them.
// It also hides what lies below "a/" while there is an object "a": then the answer
// for "a/" is objectstore.ErrHidden.
func (a *Auditor) Empty(ctx context.Context, bucket, prefix string) (bool, error) {
	const what = "audit a prefix"
	for _, look := range []func(context.Context, string, string) (found bool, err error){
		a.versions, a.objects, a.uploads, a.allUploads,
	} {
		found, err := look(ctx, bucket, prefix)
		if err != nil {
			return false, fmt.Errorf("%s: %w", what, err)
		}
		if found {
			return false, nil
		}
	}
	if err := a.checkHidden(ctx, bucket, prefix); err != nil {
		return false, fmt.Errorf("%s: %w", what, err)
	}
	return true, nil
}
