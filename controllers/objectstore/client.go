package objectstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	// attempts of one request, the first included. Few, so that the caller decides
	// how long to go on; minio-go's own default is ten.
	attempts = 3
	// dialTimeout makes a store that does not answer at all an error after
	// attempts * dialTimeout and about a second between them.
	dialTimeout = 2 * time.Second
	// answerTimeout is for a store that took a request whole and says nothing. A
	// bulk delete on slow disks may well take half of it.
	answerTimeout = 30 * time.Second
	// defaultRegion saves the question for a bucket's region, which narrow session
	// policies do not allow. Stores other than Amazon's take any region.
	defaultRegion = "us-east-1"
	// defaultConnections is MaxConnections when it is 0.
	defaultConnections = 64
)

// CredentialsFunc gives the credentials of the moment. It is asked for every
// request and so caches what it gives; it honours the context.
type CredentialsFunc func(ctx context.Context) (Credentials, error)

// Static gives the same credentials for ever.
func Static(c Credentials) CredentialsFunc {
	return func(context.Context) (Credentials, error) { return c, nil }
}

// Config of a Client.
type Config struct {
	// Endpoint is the store's URL: https, a host, perhaps a port, and no path.
	Endpoint string
	// AllowPlaintext takes an http Endpoint, which data and signatures cross in the
	// clear. Keys do not: UnderKey works over https only.
	AllowPlaintext bool
	// CABundle holds the certificates that the store's is verified with, PEM;
	// empty for the system's.
	CABundle []byte
	// Region of the buckets. Default us-east-1.
	Region string
	// Credentials signs the requests. Required.
	Credentials CredentialsFunc
	// MaxConnections bounds the connections to the store; default 64. Each request
	// under way has one, and a Get keeps its until the body is closed.
	MaxConnections int
}

// Client speaks S3 and STS to one store over TLS. It is safe for concurrent use
// and has no state of its own but its connections and what the store calls itself.
type Client struct {
	core        *minio.Core
	endpoint    string
	plaintext   bool
	region      string
	credentials *rotating
	http        *http.Client
	// key is that of UnderKey.
	key Key
}

// New makes a client; it sends nothing.
func New(cfg Config) (*Client, error) {
	host, plaintext, err := hostOf(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Credentials == nil {
		return nil, errors.New("the object store's credentials are missing")
	}
	transport, err := newTransport(cfg)
	if err != nil {
		return nil, err
	}
	region := cfg.Region
	if region == "" {
		region = defaultRegion
	}
	signing := &rotating{ask: cfg.Credentials, next: transport}
	core, err := minio.NewCore(host, &minio.Options{
		Creds:           credentials.New(signing),
		Secure:          !plaintext,
		Transport:       signing,
		Region:          region,
		TrailingHeaders: true, // Checksums follow the data, so that it is read once.
		MaxRetries:      attempts,
	})
	if err != nil {
		return nil, fmt.Errorf("use object store endpoint %q: %w", cfg.Endpoint, err)
	}
	return &Client{
		core:        core,
		endpoint:    core.EndpointURL().String(),
		plaintext:   plaintext,
		region:      region,
		credentials: signing,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// hostOf gives the endpoint's host and port, and whether it is a plain one.
func hostOf(cfg Config) (host string, plaintext bool, err error) {
	u, err := url.Parse(cfg.Endpoint)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return "", false, errors.New("the object store's endpoint is not a URL like https://store.example:9000")
	case u.Scheme == "http" && !cfg.AllowPlaintext:
		return "", false, fmt.Errorf("object store endpoint %q is not https: "+
			"data and credentials would cross the network in the clear; give the store a certificate", u.Redacted())
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/"):
		return "", false, fmt.Errorf("object store endpoint %q has more than a host and a port", u.Redacted())
	}
	return u.Host, u.Scheme == "http", nil
}

// newTransport speaks HTTP/1.1: over HTTP/2 all transfers would share one
// connection and its window. Proxies of the environment are not used, since data
// must not take a way that nobody chose for it.
func newTransport(cfg Config) (*http.Transport, error) {
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(cfg.CABundle) > 0 {
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(cfg.CABundle) {
			return nil, errors.New("the object store's CA bundle holds no certificate in PEM form")
		}
	}
	connections := cfg.MaxConnections
	if connections <= 0 {
		connections = defaultConnections
	}
	dialer := &net.Dialer{
		Timeout: dialTimeout,
		// Finds out within 20 s that the other side of a silent transfer is gone.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 2},
	}
	return &http.Transport{
		DialContext:           dialer.DialContext,
		TLSClientConfig:       trust,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: answerTimeout,
		IdleConnTimeout:       time.Minute,
		MaxConnsPerHost:       connections,
		MaxIdleConnsPerHost:   connections,
		MaxIdleConns:          connections,
		WriteBufferSize:       32 << 10,
		ReadBufferSize:        16 << 10, // TLS gives no more at once; what is read in larger pieces goes past it.
		// An object that happens to be compressed is given as it is.
		DisableCompression: true,
	}, nil
}
