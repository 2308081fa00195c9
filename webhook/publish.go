package webhook

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1/validation"
)

// ConfigurationName is the ValidatingWebhookConfiguration of config/webhook.
const ConfigurationName = "lethe"

// The ConfigMap of config/manager/images.yaml, in the operator's namespace: each key
// holds one value on a line.
const (
	ImagesConfigMap = "lethe-images"
	keyRegistries   = "registries"
	keyExactly      = "images"
)

const (
	// lookAgain is when what was published is looked at again. A webhook without its CA
	// costs warnings, and a ConfigMap that somebody changed holds what it says; neither
	// is worth a watch.
	lookAgain = 10 * time.Minute
	// tryAgain follows a failure.
	tryAgain = 5 * time.Second
)

// Publisher tells the API server where the webhooks are, how to verify them and which
// images run. Nothing is written that says the right thing already, and objects are never
// made: who did not install them does without.
type Publisher struct {
	// Client reads and writes live, not through a cache.
	Client client.Client
	// Namespace of the operator.
	Namespace string
	// CABundle holds the certificates that the server's is verified with, PEM.
	CABundle []byte
	// Secret is the part of the path that cannot be guessed.
	Secret string
	// Images is the image policy for tenants' namespaces.
	Images validation.Images
	// Clock waits between two looks.
	Clock clock.Clock
	// Log takes failures, which are tried again.
	Log logr.Logger
}

// NeedLeaderElection makes one replica write.
func (p *Publisher) NeedLeaderElection() bool { return true }

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,resourceNames=lethe,verbs=get;patch
// +kubebuilder:rbac:groups="",namespace=lethe-system,resources=configmaps,resourceNames=lethe-images,verbs=get;patch

// Start publishes, and keeps published, until the context ends. A failure never ends the
// operator.
func (p *Publisher) Start(ctx context.Context) error {
	for {
		pause := lookAgain
		if err := p.publishImages(ctx); err != nil && ctx.Err() == nil {
			p.Log.Error(err, "Could not publish which images run; tenants' Pods are judged by what was published before")
			pause = tryAgain
		}
		if err := p.publishWebhooks(ctx); err != nil && ctx.Err() == nil {
			p.Log.Error(err, "Could not tell the API server where the webhooks are; nobody is warned before that")
			pause = tryAgain
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.Clock.After(pause):
		}
	}
}

func (p *Publisher) publishWebhooks(ctx context.Context) error {
	var configuration admissionregistrationv1.ValidatingWebhookConfiguration
	err := p.Client.Get(ctx, client.ObjectKey{Name: ConfigurationName}, &configuration)
	if apierrors.IsNotFound(err) {
		p.Log.V(1).Info("There is no ValidatingWebhookConfiguration; nobody asks the webhooks", "name", ConfigurationName)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read ValidatingWebhookConfiguration %s: %w", ConfigurationName, err)
	}
	before := configuration.DeepCopy()
	if !p.complete(&configuration) {
		return nil
	}
	// A list is written whole, so another writer's change must not get lost.
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := p.Client.Patch(ctx, &configuration, patch); err != nil {
		return fmt.Errorf("patch ValidatingWebhookConfiguration %s: %w", ConfigurationName, err)
	}
	return nil
}

// complete fills in CA and path of the webhooks that are ours, and reports whether it
// changed anything.
func (p *Publisher) complete(configuration *admissionregistrationv1.ValidatingWebhookConfiguration) bool {
	changed := false
	for i := range configuration.Webhooks {
		hook := &configuration.Webhooks[i]
		if hook.Name != nameRuns && hook.Name != nameDatasets {
			continue
		}
		if !bytes.Equal(hook.ClientConfig.CABundle, p.CABundle) {
			hook.ClientConfig.CABundle, changed = p.CABundle, true
		}
		if service, want := hook.ClientConfig.Service, path(p.Secret, hook.Name); service != nil && ptr.Deref(service.Path, "") != want {
			service.Path, changed = &want, true
		}
	}
	return changed
}

func (p *Publisher) publishImages(ctx context.Context) error {
	key := client.ObjectKey{Namespace: p.Namespace, Name: ImagesConfigMap}
	var settings corev1.ConfigMap
	err := p.Client.Get(ctx, key, &settings)
	if apierrors.IsNotFound(err) {
		p.Log.V(1).Info("There is no ConfigMap for the image policy; without the policies of config/policies none is needed", "name", ImagesConfigMap)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read ConfigMap %s: %w", key, err)
	}
	registries, exactly := strings.Join(p.Images.Registries, "\n"), strings.Join(p.Images.Exactly, "\n")
	if settings.Data[keyRegistries] == registries && settings.Data[keyExactly] == exactly {
		return nil
	}
	before := settings.DeepCopy()
	if settings.Data == nil {
		settings.Data = map[string]string{}
	}
	settings.Data[keyRegistries], settings.Data[keyExactly] = registries, exactly
	if err := p.Client.Patch(ctx, &settings, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("patch ConfigMap %s: %w", key, err)
	}
	return nil
}
