package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/lethe-dev/lethe/controllers/datasetretention"
	"github.com/lethe-dev/lethe/controllers/erasure/receipts"
	"github.com/lethe-dev/lethe/controllers/erasure/sweeper"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging/broker"
	"github.com/lethe-dev/lethe/controllers/staging/discovery"
	"github.com/lethe-dev/lethe/controllers/tenant"
	"github.com/lethe-dev/lethe/controllers/trainingrun"
)

// parts are what the manager runs.
type parts struct {
	runs      *trainingrun.Reconciler
	datasets  *datasetretention.Reconciler
	tenants   *tenant.Reconciler
	sweeper   *sweeper.Sweeper // nil: switched off
	broker    *broker.Server
	publisher *discovery.Publisher
	keys      *receipts.Publisher
	admission *admission
	// naming gives the store its identity.
	naming manager.RunnableFunc
}

func newParts(ctx context.Context, cfg config, mgr ctrl.Manager, clk clock.WithTicker) (*parts, error) {
	v, err := newVault(ctx, cfg, mgr, clk)
	if err != nil {
		return nil, err
	}
	ca, err := broker.EnsureCA(ctx, v.direct, cfg.namespace, clk.Now(), rand.Reader)
	if err != nil {
		return nil, err
	}
	p := &parts{
		publisher: &discovery.Publisher{
			Client: v.direct, URL: cfg.brokerPublicURL, CABundle: ca.Bundle(), Clock: clk, Log: ctrl.Log.WithName("discovery"),
		},
		keys:   &receipts.Publisher{Client: v.direct, Key: v.signer, Clock: clk, Log: ctrl.Log.WithName("receipts")},
		naming: func(ctx context.Context) error { return v.nameStores(ctx, clk) },
	}
	if p.broker, err = newBroker(cfg, mgr, v, ca, clk); err != nil {
		return nil, err
	}
	if p.admission, err = newAdmission(cfg, mgr, v.direct, ca, clk); err != nil {
		return nil, err
	}
	if cfg.sweep.interval > 0 {
		if p.sweeper, err = newSweeper(cfg, mgr, v, clk); err != nil {
			return nil, err
		}
	}
	return p, p.reconcilers(cfg, mgr, v, clk)
}

func newBroker(cfg config, mgr ctrl.Manager, v *vault, ca broker.CA, clk clock.WithTicker) (*broker.Server, error) {
	kube, err := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("make a client for reviews: %w", err)
	}
	return broker.New(broker.Options{
		Address:        cfg.brokerAddress,
		Certificate:    broker.NewCertificates(ca, cfg.brokerHosts(), clk, rand.Reader).Get,
		Pods:           mgr.GetClient(),
		Live:           mgr.GetAPIReader(),
		Statuses:       mgr.GetClient().Status(),
		Logs:           broker.PodLogs{Pods: kube.CoreV1()},
		Tokens:         kube.AuthenticationV1().TokenReviews(),
		Access:         kube.AuthorizationV1().SubjectAccessReviews(),
		STS:            v.store,
		Keys:           v.keys,
		Receipts:       v.receipts,
		Store:          v.place,
		CredentialLife: cfg.credentialLife,
		Clock:          clk,
		Random:         rand.Reader,
		Log:            ctrl.Log.WithName("broker"),
		Metrics:        metrics.Registry,
	})
}

func (p *parts) reconcilers(cfg config, mgr ctrl.Manager, v *vault, clk clock.PassiveClock) error {
	runMetrics, err := trainingrun.NewMetrics(metrics.Registry)
	if err != nil {
		return err
	}
	p.runs, err = trainingrun.New(trainingrun.Dependencies{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(),
		Recorder: mgr.GetEventRecorder(trainingrun.Name), Metrics: runMetrics, Clock: clk,
		Eraser: v.engine, Ledger: v.ledger, Receipts: v.receipts,
	}, trainingrun.Options{
		StagerImage: cfg.stagerImage, BrokerURL: cfg.brokerURL,
		TrustBundle: discovery.TrustBundle, ArtifactsBucket: cfg.artifacts,
		BillingGrace: cfg.billingGrace,
	})
	if err != nil {
		return err
	}
	if p.tenants, err = newTenants(cfg, mgr, v.place.Endpoint, clk); err != nil {
		return err
	}
	p.datasets, err = datasetretention.New(mgr.GetClient(), mgr.GetAPIReader(), datasetretention.Options{
		DatasetsBucket: cfg.datasets,
		Store:          func(key objectstore.Key) datasetretention.Store { return v.store.UnderKey(key) },
		Eraser:         v.engine, Keys: v.keys, Ledger: v.ledger, Receipts: v.receipts,
		Limits: cfg.limits, Clock: clk,
		Events: mgr.GetEventRecorder(datasetretention.Name), Metrics: metrics.Registry,
	})
	return err
}

func newSweeper(cfg config, mgr ctrl.Manager, v *vault, clk clock.Clock) (*sweeper.Sweeper, error) {
	return sweeper.New(sweeper.Options{
		DatasetsBucket: cfg.datasets, ArtifactsBucket: cfg.artifacts, LedgerBucket: cfg.ledger,
		EraseUnrecorded: cfg.sweep.unrecorded,
		Interval:        cfg.sweep.interval, Grace: cfg.sweep.grace, BreakerMin: cfg.sweep.breaker, DryRun: cfg.sweep.dryRun,
		Store: v.store, Ledger: v.ledger, Objects: sweeper.NewCluster(mgr.GetAPIReader()),
		Keys: v.keys, Engine: v.engine, Receipts: v.receipts,
		Clock: clk, Log: ctrl.Log.WithName(sweeper.Name),
		Events: mgr.GetEventRecorder(sweeper.Name), Metrics: metrics.Registry,
	})
}

// add registers everything with the manager.
func (p *parts) add(ctx context.Context, mgr ctrl.Manager) error {
	err := errors.Join(
		p.runs.SetupWithManager(ctx, mgr),
		p.datasets.SetupWithManager(ctx, mgr),
		p.tenants.SetupWithManager(mgr),
		mgr.Add(p.broker),
		mgr.Add(p.publisher),
		mgr.Add(p.keys),
		mgr.Add(p.naming),
		p.admission.add(mgr),
		mgr.AddReadyzCheck("broker", p.broker.Ready),
	)
	if p.sweeper == nil {
		return err
	}
	return errors.Join(err, mgr.Add(p.sweeper))
}
