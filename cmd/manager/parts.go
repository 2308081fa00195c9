package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/lethe-dev/lethe/controllers/datasetretention"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging/broker"
	"github.com/lethe-dev/lethe/controllers/staging/discovery"
	"github.com/lethe-dev/lethe/controllers/trainingrun"
)

// storeConnections bounds the operator's connections to the store: an erase uses
// four, and four datasets are worked on at once.
const storeConnections = 32

// parts are what the manager runs.
type parts struct {
	runs      *trainingrun.Reconciler
	datasets  *datasetretention.Reconciler
	broker    *broker.Server
	publisher *discovery.Publisher
}

func newParts(ctx context.Context, cfg config, mgr ctrl.Manager, clk clock.WithTicker) (*parts, error) {
	secret := &storeSecret{dir: cfg.storeDir, clock: clk}
	endpoint, err := secret.endpoint()
	if err != nil {
		return nil, err
	}
	bundle, err := secret.caBundle()
	if err != nil {
		return nil, err
	}
	store, err := objectstore.New(objectstore.Config{
		Endpoint: endpoint, CABundle: bundle, Region: cfg.region,
		Credentials: secret.credentials, MaxConnections: storeConnections,
	})
	if err != nil {
		return nil, fmt.Errorf("connect to the store: %w", err)
	}
	// The manager's own client reads from a cache that does not run yet.
	direct, err := client.New(mgr.GetConfig(), client.Options{Scheme: mgr.GetScheme(), HTTPClient: mgr.GetHTTPClient()})
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	ca, err := broker.EnsureCA(ctx, direct, cfg.namespace, clk.Now(), rand.Reader)
	if err != nil {
		return nil, err
	}
	p := &parts{publisher: &discovery.Publisher{
		Client: direct, URL: cfg.brokerPublicURL, CABundle: ca.Bundle(), Clock: clk, Log: ctrl.Log.WithName("discovery"),
	}}
	p.broker, err = newBroker(cfg, mgr, store, ca, clk, broker.Store{
		Endpoint: endpoint, CABundle: string(bundle), Region: cfg.region,
		DatasetsBucket: cfg.datasets, ArtifactsBucket: cfg.artifacts,
	})
	if err != nil {
		return nil, err
	}
	return p, p.reconcilers(cfg, mgr, store, clk)
}

func newBroker(cfg config, mgr ctrl.Manager, sts broker.Assumer, ca broker.CA, clk clock.WithTicker, store broker.Store) (*broker.Server, error) {
	kube, err := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("make a client for reviews: %w", err)
	}
	return broker.New(broker.Options{
		Address:        cfg.brokerAddress,
		Certificate:    broker.NewCertificates(ca, cfg.brokerHosts(), clk, rand.Reader).Get,
		Pods:           mgr.GetClient(),
		Live:           mgr.GetAPIReader(),
		Tokens:         kube.AuthenticationV1().TokenReviews(),
		Access:         kube.AuthorizationV1().SubjectAccessReviews(),
		STS:            sts,
		Store:          store,
		CredentialLife: cfg.credentialLife,
		Clock:          clk,
		Random:         rand.Reader,
		Log:            ctrl.Log.WithName("broker"),
		Metrics:        metrics.Registry,
	})
}

func (p *parts) reconcilers(cfg config, mgr ctrl.Manager, store *objectstore.Client, clk clock.PassiveClock) error {
	runMetrics, err := trainingrun.NewMetrics(metrics.Registry)
	if err != nil {
		return err
	}
	p.runs, err = trainingrun.New(trainingrun.Dependencies{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(),
		Recorder: mgr.GetEventRecorder(trainingrun.Name), Metrics: runMetrics, Clock: clk,
	}, trainingrun.Options{
		StagerImage: cfg.stagerImage, BrokerURL: cfg.brokerURL,
		TrustBundle: discovery.TrustBundle, ArtifactsBucket: cfg.artifacts,
	})
	if err != nil {
		return err
	}
	engine, err := erasure.New(store, cfg.receipts)
	if err != nil {
		return err
	}
	p.datasets, err = datasetretention.New(mgr.GetClient(), mgr.GetAPIReader(), datasetretention.Options{
		DatasetsBucket: cfg.datasets, Store: store, Eraser: engine, Clock: clk,
		Events: mgr.GetEventRecorder(datasetretention.Name), Metrics: metrics.Registry,
	})
	return err
}

// add registers everything with the manager.
func (p *parts) add(ctx context.Context, mgr ctrl.Manager) error {
	return errors.Join(
		p.runs.SetupWithManager(ctx, mgr),
		p.datasets.SetupWithManager(ctx, mgr),
		mgr.Add(p.broker),
		mgr.Add(p.publisher),
		mgr.AddReadyzCheck("broker", p.broker.Ready),
	)
}
