package doctor

import (
	"errors"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/lethe-dev/lethe/controllers/tenant/resources"
)

// Seen is what a look at the cluster gave.
type Seen[T any] struct {
	Value T
	// Err says why there is no value; errAbsent if it is because there is no such thing.
	Err error
}

// errAbsent says that there is no such object, or no such kind.
var errAbsent = errors.New("is not there")

// errNotLooked says that there was no reason to look.
var errNotLooked = errors.New("was not looked at")

// absent says whether a look found that there is nothing.
func (s Seen[T]) absent() bool { return errors.Is(s.Err, errAbsent) }

// Facts are what is known of a cluster.
type Facts struct {
	// Now is when it was looked.
	Now time.Time
	// Version of the API server, as v1.37.2.
	Version Seen[string]
	// Served are the resources of the API server, as group/version/resource.
	Served Seen[map[string]bool]
	// Kinds are Lethe's own, by the names of their definitions.
	Kinds Seen[map[string]Kind]
	// Operator's Deployment, its Pods, and who leads.
	Operator     Seen[appsv1.Deployment]
	OperatorPods Seen[[]corev1.Pod]
	Lease        Seen[coordinationv1.Lease]
	// Hooks is the configuration of the webhooks.
	Hooks Seen[admissionv1.ValidatingWebhookConfiguration]
	// Policies and their Bindings, and those that set defaults.
	Policies        Seen[[]admissionv1.ValidatingAdmissionPolicy]
	Bindings        Seen[[]admissionv1.ValidatingAdmissionPolicyBinding]
	Defaults        Seen[[]admissionv1.MutatingAdmissionPolicy]
	DefaultBindings Seen[[]admissionv1.MutatingAdmissionPolicyBinding]
	Images          Seen[corev1.ConfigMap]
	// Published is what tells people where the broker is, TrustBundle what tells Pods.
	Published   Seen[corev1.ConfigMap]
	TrustBundle Seen[certificatesv1.ClusterTrustBundle]
	// Broker is what came of asking it for anything.
	Broker Seen[struct{}]
	// DaemonSets of all namespaces.
	DaemonSets Seen[[]appsv1.DaemonSet]
	// APIServers are the API server's own Pods, where there are any.
	APIServers Seen[[]corev1.Pod]
	// Stored counts how the API server that answered has written Secrets, by the prefix
	// that it puts before them.
	Stored Seen[map[string]float64]
	Nodes  Seen[[]corev1.Node]
	// RuntimeClasses of the cluster, Tiers the operator's configuration of tenants.
	RuntimeClasses Seen[[]nodev1.RuntimeClass]
	Tiers          Seen[resources.Config]
	// Tenants are their Namespaces.
	Tenants Seen[[]corev1.Namespace]
	// Probed is the tenant's Namespace where Probes were tried: the error with which each
	// was refused, nil where it was not.
	Probed string
	Probes map[string]error
	// Denied says what whoever asks has no right to.
	Denied []string
}

// Kind is a definition of one of Lethe's kinds.
type Kind struct {
	// Established says that the API server serves it.
	Established bool
	// Served are its versions.
	Served []string
	// Fields of the version of this program, as spec.nodes.
	Fields map[string]bool
}

// notThere gives errAbsent for what is said when something does not exist.
func notThere(err error) error {
	if apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) {
		return errAbsent
	}
	return err
}
