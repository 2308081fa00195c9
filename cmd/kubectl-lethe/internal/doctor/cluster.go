package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientdiscovery "k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// knockTimeout is how long the broker may take.
const knockTimeout = 10 * time.Second

// Live is a cluster behind a connection.
type Live struct {
	client.Reader
	writer    client.Writer
	discovery clientdiscovery.DiscoveryInterface
}

var _ Cluster = (*Live)(nil)

// Connect makes a Live. Nothing is sent yet.
func Connect(config *rest.Config) (*Live, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("register kinds: %w", err)
	}
	// What Pods would be warned of is no news here: they are wrong on purpose.
	quiet := rest.CopyConfig(config)
	quiet.WarningHandlerWithContext, quiet.WarningHandler = nil, rest.NoWarnings{}
	c, err := client.New(quiet, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	d, err := clientdiscovery.NewDiscoveryClientForConfig(quiet)
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	return &Live{Reader: c, writer: client.NewDryRunClient(c), discovery: d}, nil
}

// Try sends an object as a dry run.
func (l *Live) Try(ctx context.Context, o client.Object) error { return l.writer.Create(ctx, o) }

// About reads the version and what is served. Groups whose own servers are away are left
// out.
func (l *Live) About(context.Context) (string, map[string]bool, error) {
	version, err := l.discovery.ServerVersion()
	if err != nil {
		return "", nil, fmt.Errorf("read the API server's version: %w", err)
	}
	_, lists, err := l.discovery.ServerGroupsAndResources()
	if err != nil && !clientdiscovery.IsGroupDiscoveryFailedError(err) {
		return "", nil, fmt.Errorf("read what the API server serves: %w", err)
	}
	served := map[string]bool{}
	for _, list := range lists {
		for _, resource := range list.APIResources {
			served[list.GroupVersion+"/"+resource.Name] = true
		}
	}
	return version.GitVersion, served, nil
}

// Metrics reads /metrics.
func (l *Live) Metrics(ctx context.Context) ([]byte, error) {
	return l.discovery.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
}

// Knock sends a request without a token, and takes any answer.
func (*Live) Knock(ctx context.Context, url string, ca []byte) error {
	if !strings.HasPrefix(url, "https://") {
		return errors.New("the URL does not begin with https://")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return errors.New("the published certificates hold none in PEM format")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	asker := &http.Client{Transport: transport, Timeout: knockTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("read the broker's URL: %w", err)
	}
	answer, err := asker.Do(request)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}
