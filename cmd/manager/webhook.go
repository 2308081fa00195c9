package main

import (
	"crypto/rand"
	"errors"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/lethe-dev/lethe/api/v1alpha1/validation"
	"github.com/lethe-dev/lethe/controllers/staging/broker"
	"github.com/lethe-dev/lethe/webhook"
)

// webhookService is the Service of config/webhook.
const webhookService = "lethe-webhook"

// pathPurpose is what the secret part of the webhooks' path is derived for.
const pathPurpose = "webhook-path"

// off is the address of what is not served.
const off = "0"

// admission answers the API server, and tells it how to ask.
type admission struct {
	server    *webhook.Server // nil: switched off
	publisher *webhook.Publisher
}

// newAdmission gives the webhooks the CA of the broker: both are the same process, and one
// CA is one thing to look after.
func newAdmission(cfg config, mgr ctrl.Manager, direct client.Client, ca broker.CA, clk clock.WithTicker) (*admission, error) {
	secret, err := ca.Derive(pathPurpose)
	if err != nil {
		return nil, err
	}
	images := cfg.images()
	log := ctrl.Log.WithName("webhook")
	a := &admission{publisher: &webhook.Publisher{
		Client: direct, Namespace: cfg.namespace, CABundle: ca.Bundle(), Secret: secret, Images: images, Clock: clk, Log: log,
	}}
	if cfg.webhookAddress == off {
		return a, nil
	}
	a.server, err = webhook.New(webhook.Options{
		Address:     cfg.webhookAddress,
		Certificate: broker.NewCertificates(ca, []string{cfg.webhookHost()}, clk, rand.Reader).Get,
		Secret:      secret,
		Scheme:      mgr.GetScheme(), Cached: mgr.GetClient(), Live: mgr.GetAPIReader(),
		Images:               images,
		MaxAgeCeiling:        cfg.limits.MaxAgeCeiling,
		AfterTrainingCeiling: cfg.limits.AfterTrainingCeiling,
		Clock:                clk, Log: log, Metrics: metrics.Registry,
	})
	return a, err
}

func (a *admission) add(mgr ctrl.Manager) error {
	err := mgr.Add(a.publisher)
	if a.server == nil {
		return err
	}
	return errors.Join(err, mgr.Add(a.server), mgr.AddReadyzCheck("webhook", a.server.Ready))
}

// webhookHost is the name under which the API server asks, which a certificate has to be
// for.
func (c config) webhookHost() string { return webhookService + "." + c.namespace + ".svc" }

// images is the image policy for tenants' namespaces. The stager's image runs in all of
// their Pods.
func (c config) images() validation.Images {
	return validation.Images{Registries: c.allowedRegistries, Exactly: []string{c.stagerImage}}
}
