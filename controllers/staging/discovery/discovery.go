// Package discovery tells the cluster where the broker is and how to verify it:
// a ClusterTrustBundle for the pods of runs, and a ConfigMap in kube-public for
// people's tools, as kubeadm does with cluster-info.
//
// A ClusterTrustBundle is used because a pod of any namespace can mount it: no
// copy of the certificates has to be made and kept fresh in each namespace.
package discovery

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Where people's tools look.
const (
	// Namespace of the ConfigMap; every authenticated user may read it there.
	Namespace = "kube-public"
	// ConfigMapName is the name of the ConfigMap.
	ConfigMapName = "lethe-broker"
	// KeyURL holds the broker's URL as people's tools reach it.
	KeyURL = "url"
	// KeyCA holds the certificates that the broker's is verified with, PEM.
	KeyCA = "ca.crt"
	// TrustBundle is the name of the ClusterTrustBundle that pods mount.
	TrustBundle = "lethe-broker"
)

// Publisher writes both objects. Both writes are idempotent, and neither is made
// when the object says the right thing already.
type Publisher struct {
	// Client reads and writes live, not through a cache.
	Client client.Client
	// URL of the broker as people's tools reach it.
	URL string
	// CABundle holds the certificates that the broker's is verified with, PEM.
	CABundle []byte
	// Clock waits between two looks.
	Clock clock.Clock
	// Log takes failures, which are tried again.
	Log logr.Logger
}

const (
	// lookAgain is when what was published is looked at again: a bundle that
	// somebody deleted would keep every new pod from starting, and it is not worth
	// a watch.
	lookAgain = 10 * time.Minute
	// tryAgain follows a failure.
	tryAgain = 5 * time.Second
)

// NeedLeaderElection makes one replica write.
func (p *Publisher) NeedLeaderElection() bool { return true }

// +kubebuilder:rbac:groups=certificates.k8s.io,resources=clustertrustbundles,verbs=create
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=clustertrustbundles,resourceNames=lethe-broker,verbs=get;update

// Start publishes, and keeps published, until the context ends. A failure never
// ends the operator: erasing goes on without new runs.
func (p *Publisher) Start(ctx context.Context) error {
	for {
		pause := lookAgain
		if err := p.publish(ctx); err != nil && ctx.Err() == nil {
			p.Log.Error(err, "Could not publish where the broker is; new runs can not start before that")
			pause = tryAgain
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.Clock.After(pause):
		}
	}
}

func (p *Publisher) publish(ctx context.Context) error {
	if err := p.publishTrustBundle(ctx); err != nil {
		return err
	}
	return p.publishConfigMap(ctx)
}

func (p *Publisher) publishTrustBundle(ctx context.Context) error {
	bundle := &certificatesv1.ClusterTrustBundle{
		ObjectMeta: metav1.ObjectMeta{Name: TrustBundle},
		Spec:       certificatesv1.ClusterTrustBundleSpec{TrustBundle: string(p.CABundle)},
	}
	err := p.Client.Create(ctx, bundle)
	if err == nil {
		return nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create ClusterTrustBundle %s: %w", TrustBundle, err)
	}
	if err := p.Client.Get(ctx, client.ObjectKey{Name: TrustBundle}, bundle); err != nil {
		return fmt.Errorf("read ClusterTrustBundle %s: %w", TrustBundle, err)
	}
	if bundle.Spec.TrustBundle == string(p.CABundle) {
		return nil
	}
	bundle.Spec.TrustBundle = string(p.CABundle)
	if err := p.Client.Update(ctx, bundle); err != nil {
		return fmt.Errorf("update ClusterTrustBundle %s: %w", TrustBundle, err)
	}
	return nil
}

func (p *Publisher) publishConfigMap(ctx context.Context) error {
	var info corev1.ConfigMap
	if err := p.Client.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: ConfigMapName}, &info); err != nil {
		return fmt.Errorf("read ConfigMap %s/%s: %w", Namespace, ConfigMapName, err)
	}
	if info.Data[KeyURL] == p.URL && info.Data[KeyCA] == string(p.CABundle) {
		return nil
	}
	before := info.DeepCopy()
	if info.Data == nil {
		info.Data = map[string]string{}
	}
	info.Data[KeyURL], info.Data[KeyCA] = p.URL, string(p.CABundle)
	if err := p.Client.Patch(ctx, &info, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("patch ConfigMap %s/%s: %w", Namespace, ConfigMapName, err)
	}
	return nil
}
