package tenant

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/tenant/resources"
)

// Name of the controller, in logs, metrics, events, and as the owner of fields.
const Name = "tenant"

const (
	// fieldOwner is the one owner of what is applied.
	fieldOwner = client.FieldOwner("lethe-tenant")
	workers    = 4
	// passTimeout bounds one pass over a tenant.
	passTimeout = time.Minute
	// firstRetry and lastRetry bound the time between tries after an error.
	firstRetry = 500 * time.Millisecond
	lastRetry  = time.Minute
)

// Recorder sends events. Those that can not be sent are dropped.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// Options are the operator's settings that tenants depend on.
type Options struct {
	// Config of the platform team, whole; see resources.ParseConfig.
	Config resources.Config
	// Namespace of the operator and the portal.
	Namespace string
	// PortalAccount is the name of the portal's service account there.
	PortalAccount string
	// BillingGrace is how long runs go on whose tenant does not pay. The run's
	// controller keeps to it; here it is only told.
	BillingGrace time.Duration
}

// Dependencies are what a Reconciler works with. All are required.
type Dependencies struct {
	// Client writes, and reads from a cache that may hold of the kinds below only what
	// has our label.
	Client   client.Client
	Recorder Recorder
	Metrics  *Metrics
	Clock    clock.PassiveClock
}

// +kubebuilder:rbac:groups="",resources=namespaces,verbs=list;watch;patch
// +kubebuilder:rbac:groups="",resources=namespaces/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=resourcequotas;limitranges,verbs=list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=list;watch;create;patch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=list;watch;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=rolebindings,verbs=list;watch;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles,resourceNames=lethe-tenant-reader,verbs=bind
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler keeps tenants within their bounds.
type Reconciler struct {
	client   client.Client
	recorder Recorder
	metrics  *Metrics
	clock    clock.PassiveClock
	options  Options
}

// New makes a Reconciler. It fails when something required is missing, or the
// configuration could never work.
func New(with Dependencies, options Options) (*Reconciler, error) {
	if with.Client == nil || with.Recorder == nil || with.Metrics == nil || with.Clock == nil {
		return nil, errors.New("tenant: a dependency is missing")
	}
	if options.Namespace == "" || options.PortalAccount == "" {
		return nil, errors.New("tenant: the namespace or the portal's service account is missing")
	}
	if err := options.Config.Validate(); err != nil {
		return nil, fmt.Errorf("tenant: %w", err)
	}
	return &Reconciler{
		client: with.Client, recorder: with.Recorder, metrics: with.Metrics, clock: with.Clock, options: options,
	}, nil
}

// SetupWithManager registers the watches. Together they are all that a tenant depends
// on, so nothing is polled.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	ours := handler.EnqueueRequestsFromMapFunc(tenantOf)
	b := ctrl.NewControllerManagedBy(mgr).
		Named(Name).
		// That a tenant is there, and what its annotations say.
		For(&corev1.Namespace{}, builder.WithPredicates(tenants())).
		// That a quota is as it should be, and that the cluster has taken it over. How much
		// of it is used does not matter, and changes with every Pod.
		Watches(&corev1.ResourceQuota{}, ours, builder.WithPredicates(quotaChanged()))
	// That the rest is as it should be.
	for _, kind := range []client.Object{
		&corev1.LimitRange{}, &corev1.ServiceAccount{}, &networkingv1.NetworkPolicy{}, &rbacv1.RoleBinding{},
	} {
		b = b.Watches(kind, ours, builder.WithPredicates(marked()))
	}
	err := b.WithOptions(controller.Options{
		MaxConcurrentReconciles: workers,
		ReconciliationTimeout:   passTimeout,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
	}).Complete(r)
	if err != nil {
		return fmt.Errorf("set up controller %s: %w", Name, err)
	}
	return nil
}

// Reconcile brings one tenant a step further.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	o, err := r.observe(ctx, req.Name)
	if err != nil {
		return ctrl.Result{}, err
	}
	if o.Namespace == nil {
		r.metrics.gone(req.Name)
		return ctrl.Result{}, nil
	}
	p := decide(o, r.options)
	if err := r.act(ctx, o, p); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, r.tell(ctx, o, p)
}

// tenantOf finds the Namespace of one of our objects.
func tenantOf(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: o.GetNamespace()}}}
}

// tenants are Namespaces with the tenants' label, and those that lose it.
func tenants() predicate.Predicate {
	is := func(o client.Object) bool { return v1alpha1.IsTenant(o.GetLabels()) }
	return predicate.Funcs{
		CreateFunc:  func(e event.CreateEvent) bool { return is(e.Object) },
		DeleteFunc:  func(e event.DeleteEvent) bool { return is(e.Object) },
		UpdateFunc:  func(e event.UpdateEvent) bool { return is(e.ObjectNew) || is(e.ObjectOld) },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// marked are objects with our label. The operator's cache has no others.
func marked() predicate.Predicate {
	is := func(o client.Object) bool { return o.GetLabels()[resources.LabelManagedBy] == resources.ManagedBy }
	return predicate.Funcs{
		CreateFunc:  func(e event.CreateEvent) bool { return is(e.Object) },
		DeleteFunc:  func(e event.DeleteEvent) bool { return is(e.Object) },
		UpdateFunc:  func(e event.UpdateEvent) bool { return is(e.ObjectNew) || is(e.ObjectOld) },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// quotaChanged are changes of our quotas, other than of what is used.
func quotaChanged() predicate.Predicate {
	return predicate.And(marked(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*corev1.ResourceQuota)
		after, is := e.ObjectNew.(*corev1.ResourceQuota)
		if !ok || !is {
			return false
		}
		return !equality.Semantic.DeepEqual(before.Spec, after.Spec) ||
			!equality.Semantic.DeepEqual(before.Status.Hard, after.Status.Hard) ||
			!equality.Semantic.DeepEqual(before.Labels, after.Labels) ||
			!before.DeletionTimestamp.Equal(after.DeletionTimestamp)
	}})
}

// protected are the Namespaces that are never a tenant.
func protected(name, operators string) bool {
	return name == operators || name == metav1.NamespaceDefault || strings.HasPrefix(name, "kube-")
}
