package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// FieldOwner owns the fields that the portal applies.
const FieldOwner = "lethe-portal"

// DefaultTimeout bounds an act.
const DefaultTimeout = 10 * time.Second

// Options of a Client. What has no default is required.
type Options struct {
	// Clock tells the time.
	Clock clock.PassiveClock
	// Log takes what nobody waits for an answer about; never what people wrote.
	Log *slog.Logger
	// Timeout bounds each act. Default DefaultTimeout.
	Timeout time.Duration
}

// Client speaks to the API server. It is safe for concurrent use.
type Client struct {
	// live asks the API server itself, within a bound.
	live client.Client
	// pods opens logs, which have no bound.
	pods    kubernetes.Interface
	cache   cache.Cache
	clock   clock.PassiveClock
	log     *slog.Logger
	timeout time.Duration
	// synced says that the cache has all that is in the cluster.
	synced atomic.Bool
}

// New makes a client from a kubeconfig's connection. Nothing is sent: an API server that is
// away is no error.
func New(config *rest.Config, o Options) (*Client, error) {
	if o.Clock == nil || o.Log == nil {
		return nil, errors.New("make a client for the cluster: clock and log are required")
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	scheme, mapper, err := kinds()
	if err != nil {
		return nil, err
	}
	// Watches and logs take as long as they take, so the bound is each act's own.
	config = rest.CopyConfig(config)
	config.Timeout = 0
	config.UserAgent = rest.DefaultKubernetesUserAgent() + " " + FieldOwner
	if config.QPS == 0 {
		config.QPS, config.Burst = 50, 100 // the API server's own fairness bounds the rest
	}
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	c := &Client{clock: o.Clock, log: o.Log, timeout: o.Timeout}
	c.live, err = client.New(config, client.Options{HTTPClient: transport, Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("make a client for the cluster: %w", err)
	}
	if c.pods, err = kubernetes.NewForConfigAndClient(config, transport); err != nil {
		return nil, fmt.Errorf("make a client for logs: %w", err)
	}
	return c, c.openCache(config, transport, scheme, mapper)
}

func (c *Client) openCache(config *rest.Config, transport *http.Client, scheme *runtime.Scheme, mapper apimeta.RESTMapper) error {
	var err error
	c.cache, err = cache.New(config, cache.Options{
		HTTPClient: transport, Scheme: scheme, Mapper: mapper,
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject:         cached(),
	})
	if err != nil {
		return fmt.Errorf("make a cache of the cluster: %w", err)
	}
	return nil
}

// kinds are the kinds that the portal reads and writes, and where they live: written down
// here they need no discovery, which an API server that is away would fail.
func kinds() (*runtime.Scheme, apimeta.RESTMapper, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, nil, fmt.Errorf("register kinds: %w", err)
	}
	mapper := apimeta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"TrainingRun", "DatasetRetention"} {
		mapper.Add(v1alpha1.GroupVersion.WithKind(kind), apimeta.RESTScopeNamespace)
	}
	for _, kind := range []string{"Pod", "Event", "ConfigMap"} {
		mapper.Add(corev1.SchemeGroupVersion.WithKind(kind), apimeta.RESTScopeNamespace)
	}
	for _, kind := range []string{"Namespace", "Node"} {
		mapper.Add(corev1.SchemeGroupVersion.WithKind(kind), apimeta.RESTScopeRoot)
	}
	return scheme, mapper, nil
}

// bounded gives an act its time.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.timeout)
}

// Answers reports whether the API server answers and knows Lethe's kinds.
func (c *Client) Answers(ctx context.Context) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	var page v1alpha1.DatasetRetentionList
	if err := c.live.List(ctx, &page, client.Limit(1)); err != nil {
		return problem("ask the cluster", err)
	}
	return nil
}

// ConfigMap reads the data of a ConfigMap live, such as where the broker is.
func (c *Client) ConfigMap(ctx context.Context, namespace, name string) (map[string]string, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	var found corev1.ConfigMap
	if err := c.live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &found); err != nil {
		return nil, problem("read ConfigMap "+namespace+"/"+name, err)
	}
	return found.Data, nil
}
