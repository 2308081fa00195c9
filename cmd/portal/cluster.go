package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/artifacts"
	"github.com/lethe-dev/lethe/portal/cluster"
	"github.com/lethe-dev/lethe/portal/follow"
	"github.com/lethe-dev/lethe/portal/live"
	api "github.com/lethe-dev/lethe/portal/rest"
	"github.com/lethe-dev/lethe/portal/runs"
	"github.com/lethe-dev/lethe/portal/uploads"
	"github.com/lethe-dev/lethe/portal/web"
)

// inCluster is what the setting "kubeconfig" says for a portal that is a Pod.
const inCluster = "in-cluster"

// clusterConfig is where runs and datasets go.
type clusterConfig struct {
	// kubeconfig is a file, or inCluster; "" for a portal without a cluster.
	kubeconfig string
	// brokerURL is the broker's, if the published one is not reachable from here.
	brokerURL string
	// storeURL is how browsers reach the object store.
	storeURL string
	// prices is a file, see priceList.
	prices string
	// images are offered; others are taken from registries, or by digest.
	images, registries []string
	// tenantGPUs is how many GPUs a tenant may use at once, of the tier tenantTier.
	tenantGPUs int
	tenantTier string
	// datasetGiB bounds a dataset.
	datasetGiB int
}

func (c *clusterConfig) settings() []setting {
	return []setting{
		{name: "kubeconfig", help: "file with the connection to the cluster, or in-cluster; empty: no datasets and runs", set: text(&c.kubeconfig)},
		{name: "broker-url", help: "the operator's broker, if it is not reached at the URL that the operator published", set: text(&c.brokerURL)},
		{name: "store-url", help: "the object store as browsers reach it, as https://store.example.org", set: text(&c.storeURL)},
		{name: "prices", help: "YAML file with the prices of GPUs; empty: no prices are shown", set: text(&c.prices)},
		{name: "images", help: "images that are offered at Start Run, comma-separated", set: words(&c.images)},
		{name: "registries", help: "starts of the names of other images that may be used, as registry.example.org/team/; all may that are pinned by a digest", set: words(&c.registries)},
		{name: "tenant-gpus", help: fmt.Sprintf("GPUs that an account may use at once (%d)", c.tenantGPUs), set: number(&c.tenantGPUs, 1, 4096)},
		{name: "tenant-tier", help: "tier of new tenants; empty for the operator's default", set: text(&c.tenantTier)},
		{name: "dataset-limit", help: fmt.Sprintf("GiB that a dataset may have (%d)", c.datasetGiB), set: number(&c.datasetGiB, 1, 1<<20)},
	}
}

// validate refuses what could not work. Without a cluster nothing is needed.
func (c clusterConfig) validate() error {
	if c.kubeconfig == "" {
		return nil
	}
	parsed, err := url.Parse(c.storeURL)
	if err != nil || parsed.Scheme != "https" || parsed.Host == "" || parsed.User != nil || "https://"+parsed.Host != c.storeURL {
		return fmt.Errorf("store-url: %q is not https://host or https://host:port with nothing after it; with a cluster it is required, for browsers send files there", c.storeURL)
	}
	return nil
}

// connect reads the connection to the cluster.
func (c clusterConfig) connect() (*rest.Config, error) {
	if c.kubeconfig == inCluster {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("connect to the cluster: %w", err)
		}
		return config, nil
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return config, nil
}

// training is the part of the portal that speaks to a cluster.
type training struct {
	cluster  *cluster.Client
	broker   *broker
	uploads  *uploads.Service
	runs     *runs.Service
	live     *live.Service
	follower *follow.Follower
	log      *slog.Logger
}

// planner is what runs ask about those that are not there yet.
type planner struct{ *cluster.Client }

// RunYAML is what kubectl apply would take.
func (planner) RunYAML(order portal.RunOrder) ([]byte, error) { return cluster.RunYAML(order) }

// openTraining makes the parts; nothing runs yet, and nothing is asked. nil without a
// cluster.
func openTraining(c clusterConfig, store portal.Store, log *slog.Logger) (*training, error) {
	if c.kubeconfig == "" {
		return nil, nil //nolint:nilnil // A portal without a cluster is one, too.
	}
	connection, err := c.connect()
	if err != nil {
		return nil, err
	}
	token, err := tokenOf(connection)
	if err != nil {
		return nil, err
	}
	// What the libraries of Kubernetes log by themselves is redacted and in our form, too.
	klog.SetSlogLogger(log)
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler()))
	t := &training{log: log}
	if t.cluster, err = cluster.New(connection, cluster.Options{Clock: clock.RealClock{}, Log: log}); err != nil {
		return nil, err
	}
	t.broker = &broker{cluster: t.cluster, token: token, url: c.brokerURL, now: time.Now}
	return t, t.assemble(c, store)
}

func (t *training) assemble(c clusterConfig, store portal.Store) error {
	prices, currency, err := readPrices(c.prices)
	if err != nil {
		return err
	}
	t.runs, err = runs.New(runs.Dependencies{
		Store: store, Cluster: t.cluster, Planner: planner{t.cluster}, Now: time.Now, Random: rand.Reader, Log: t.log,
	}, runs.Options{Images: c.images, Registries: c.registries, Prices: prices, Currency: currency, GPUs: c.tenantGPUs})
	if err != nil {
		return fmt.Errorf("set up runs: %w", err)
	}
	t.uploads, err = uploads.New(uploads.Dependencies{
		Store: store, Cluster: t.cluster, Broker: t.broker, Objects: uploads.NewS3(c.storeURL, time.Now), Runs: t.runs,
		Log: t.log, Now: time.Now, Random: rand.Reader,
	}, uploads.Options{MaxBytes: int64(c.datasetGiB) << 30, GPUs: c.tenantGPUs, Tier: c.tenantTier})
	if err != nil {
		return fmt.Errorf("set up datasets: %w", err)
	}
	t.live, err = live.New(live.Dependencies{
		Store: store, Logs: t.cluster, Events: t.cluster, Grants: t.broker, Objects: &artifacts.Store{Public: c.storeURL}, Log: t.log, Now: time.Now,
	}, live.Options{Prices: prices, Currency: currency})
	if err != nil {
		return fmt.Errorf("set up the pages of runs: %w", err)
	}
	t.follower, err = follow.New(follow.Dependencies{
		Store: store, Receipts: t.broker, Listener: t.live, Log: t.log, Now: time.Now, Random: rand.Reader,
	}, follow.Options{})
	if err != nil {
		return fmt.Errorf("set up the look at the cluster: %w", err)
	}
	return nil
}

// sink passes on what is seen: the follower writes it down, and tenants that are not as
// they should be are put right.
type sink struct {
	*follow.Follower
	uploads *uploads.Service
	log     *slog.Logger
}

// TenantSeen is the follower's and the tenancy's.
func (s sink) TenantSeen(ctx context.Context, namespace string, ready bool, why string) {
	s.Follower.TenantSeen(ctx, namespace, ready, why)
	if err := s.uploads.TenantSeen(ctx, namespace, ready, why); err != nil && ctx.Err() == nil {
		s.log.Warn("A tenant was not put right", "namespace", namespace, "cause", err.Error())
	}
}

// loops are what runs beside the pages.
func (t *training) loops() map[string]func(context.Context) error {
	if t == nil {
		return nil
	}
	return map[string]func(context.Context) error{
		"datasets": t.uploads.Run, "runs": t.runs.Run, "follower": t.follower.Run,
		"cluster": func(ctx context.Context) error {
			return t.cluster.Watch(ctx, sink{t.follower, t.uploads, t.log})
		},
	}
}

// provide gives the pages what they need for datasets and runs.
func (t *training) provide(c clusterConfig, with *web.Dependencies, options *web.Options) {
	if t == nil {
		return
	}
	with.Datasets, with.Runs, with.Live, with.ReceiptKeys = t.uploads, t.runs, t.live, t.broker
	options.StoreOrigins = []string{c.storeURL}
}

// provideAPI gives the API the same.
func (t *training) provideAPI(with *api.Dependencies) {
	if t == nil {
		return
	}
	with.Datasets, with.Runs, with.Live, with.ReceiptKeys = t.uploads, t.runs, t.live, t.broker
}

// errAway is what /readyz warns of: pages work without the cluster, and say so.
var errAway = errors.New("the cluster does not answer")

// away reports whether the cluster answers; nil without one.
func (t *training) away(ctx context.Context) error {
	if t == nil || t.cluster.Answers(ctx) == nil {
		return nil
	}
	return errAway
}
