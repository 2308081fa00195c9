package tenant

import (
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/tenant/resources"
)

// plan is what is to be done about a tenant, as data.
type plan struct {
	// Labels and Annotations to change on the Namespace. nil values: to remove.
	Labels, Annotations map[string]*string
	// Remove are objects of ours that are not meant to be there.
	Remove []client.Object
	// Apply are objects that are missing, or not as they should be.
	Apply []client.Object
	// Verdict sums the tenant up. The zero verdict leaves the condition alone.
	Verdict verdict
}

// verdict is a tenant's condition.
type verdict struct {
	Ready           bool
	Reason, Message string
}

// reading is what the Namespace's annotations come to.
type reading struct {
	tenant resources.Tenant
	// tierKnown says that the tier is one of the configuration's.
	tierKnown                bool
	tierName                 string
	allowanceErr, billingErr error
}

func read(namespace *corev1.Namespace, config resources.Config) reading {
	a := namespace.Annotations
	r := reading{tenant: resources.Tenant{Namespace: namespace.Name}, tierName: a[v1alpha1.AnnotationTier]}
	t := &r.tenant
	t.GPUs, r.allowanceErr = v1alpha1.GPUAllowance(a)
	billing, err := v1alpha1.BillingOf(a)
	t.Suspended, r.billingErr = billing == v1alpha1.BillingSuspended, err
	t.Tier, r.tierKnown = config.Tier(r.tierName)
	if !r.tierKnown {
		// The bounds of some tier are better than none; runs do not start in them.
		t.Tier, _ = config.Tier("")
		t.GPUs = 0
	}
	switch {
	case !r.tierKnown, t.Tier.Internet == resources.InternetNever:
	case t.Tier.Internet == resources.InternetAlways:
		t.Internet = true
	default:
		t.Internet = v1alpha1.InternetEgress(a)
	}
	return r
}

// decide says what is to be done.
func decide(o observed, options Options) plan {
	if protected(o.Namespace.Name, options.Namespace) {
		return plan{Verdict: verdict{Reason: v1alpha1.ReasonNamespaceProtected, Message: fmt.Sprintf(
			"namespace %q is the cluster's or the operator's own, and is never a tenant; take its label %s off", o.Namespace.Name, v1alpha1.LabelTenant)}}
	}
	r := read(o.Namespace, options.Config)
	p := plan{Labels: map[string]*string{}, Annotations: map[string]*string{}}
	for key, value := range resources.NamespaceLabels() {
		change(p.Labels, o.Namespace.Labels, key, &value)
	}
	since := suspendedAt(o, r)
	change(p.Annotations, o.Namespace.Annotations, v1alpha1.AnnotationSuspendedAt, since)
	p.compare(o.Ours, wanted(r.tenant, options))

	change(p.Annotations, o.Namespace.Annotations, v1alpha1.AnnotationWritableRoot, writableRoot(r))
	runtimeClass := runtimeClassOf(o, p, r, options)
	change(p.Annotations, o.Namespace.Annotations, v1alpha1.AnnotationRuntimeClass, runtimeClass)
	if len(p.Apply) == 0 {
		p.Verdict = judge(o, r, options, since)
	}
	return p
}

// change notes a key that is not as wanted; nil: it is not to be there.
func change(changes map[string]*string, there map[string]string, key string, want *string) {
	is, has := there[key]
	if has != (want != nil) || has && is != *want {
		changes[key] = want
	}
}

// wanted is everything that the tenant is to have.
func wanted(t resources.Tenant, options Options) []client.Object {
	portal := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: options.Namespace, Name: options.PortalAccount}
	var all []client.Object
	// What closes comes before what opens.
	for _, policy := range resources.Policies(t, options.Config) {
		all = append(all, policy)
	}
	return append(all,
		resources.Quota(t, options.Config), resources.Limits(t), resources.Account(t), resources.Binding(t, portal))
}

// compare finds what is to be applied and removed.
func (p *plan) compare(ours, want []client.Object) {
	there := map[string]client.Object{}
	for _, object := range ours {
		there[identity(object)] = object
	}
	for _, object := range want {
		is, found := there[identity(object)]
		delete(there, identity(object))
		if !found || !asWanted(object, is) {
			p.Apply = append(p.Apply, object)
		}
	}
	for _, object := range ours {
		_, unwanted := there[identity(object)]
		// Every Namespace has a default service account, and Kubernetes' own controllers
		// look after the others.
		_, account := object.(*corev1.ServiceAccount)
		if unwanted && !account && object.GetDeletionTimestamp().IsZero() {
			p.Remove = append(p.Remove, object)
		}
	}
}

// suspendedAt is since when the tenant does not pay; nil: it does. The first time that
// the operator saw it is kept, unless it can't be true.
func suspendedAt(o observed, r reading) *string {
	if !r.tenant.Suspended {
		return nil
	}
	if at, noted := v1alpha1.SuspendedAt(o.Namespace.Annotations); noted && !at.After(o.Now) {
		text := o.Namespace.Annotations[v1alpha1.AnnotationSuspendedAt]
		return &text
	}
	now := o.Now.UTC().Format(time.RFC3339)
	return &now
}

// runtimeClassOf is the RuntimeClass for the tenant's runs; nil: none may start. A tenant
// that was ready once stays so while its bounds are repaired or changed: what matters is
// that there were none before.
func runtimeClassOf(o observed, p plan, r reading, options Options) *string {
	if !r.tierKnown || len(options.Config.Network.Store) == 0 {
		return nil
	}
	_, ready := o.Namespace.Annotations[v1alpha1.AnnotationRuntimeClass]
	if !ready && (len(p.Apply) > 0 || len(p.Labels) > 0 || !quotaHolds(o)) {
		return nil
	}
	return &r.tenant.Tier.RuntimeClass
}

// writableRoot says whether the tenant's trainers may write into their images' folders;
// nil: they may not.
func writableRoot(r reading) *string {
	if !r.tierKnown || !r.tenant.Tier.WritableRoot {
		return nil
	}
	yes := "true"
	return &yes
}

func quotaHolds(o observed) bool {
	for _, object := range o.Ours {
		if quota, is := object.(*corev1.ResourceQuota); is && !takenOver(quota) {
			return false
		}
	}
	return true
}

// judge sums a tenant up whose objects are all there.
func judge(o observed, r reading, options Options, since *string) verdict {
	_, ready := o.Namespace.Annotations[v1alpha1.AnnotationRuntimeClass]
	switch {
	case !r.tierKnown:
		return verdict{Reason: v1alpha1.ReasonTierUnknown, Message: fmt.Sprintf(
			"tier %q is not one of the operator's configuration; no run starts", r.tierName)}
	case len(options.Config.Network.Store) == 0:
		return verdict{Reason: v1alpha1.ReasonStoreUnreachable, Message: "the operator's endpoint of the object store is a host name, " +
			"and its configuration (network.store) does not say at which addresses, or in which Pods, that is; no run starts"}
	case !ready && !quotaHolds(o):
		return verdict{Reason: v1alpha1.ReasonQuotaPending, Message: "the cluster's quota controller has not taken the quota over; no run starts before"}
	case r.billingErr != nil:
		return verdict{Reason: v1alpha1.ReasonBillingMalformed, Message: r.billingErr.Error() + "; it counts as Suspended. " + stops(since, options)}
	case r.tenant.Suspended:
		return verdict{Reason: v1alpha1.ReasonPaymentRequired, Message: "billing is suspended, and no run starts. " + stops(since, options)}
	case errors.Is(r.allowanceErr, v1alpha1.ErrNoAllowance):
		return verdict{Reason: v1alpha1.ReasonAllowanceMissing, Message: r.allowanceErr.Error() + "; the tenant has no GPUs"}
	case r.allowanceErr != nil:
		return verdict{Reason: v1alpha1.ReasonAllowanceMalformed, Message: r.allowanceErr.Error() + "; the tenant has no GPUs"}
	}
	return verdict{Ready: true, Reason: v1alpha1.ReasonTenantReady, Message: fmt.Sprintf("runs may start, with up to %d GPUs at once", r.tenant.GPUs)}
}

// stops says when the runs of a tenant are stopped.
func stops(since *string, options Options) string {
	if since == nil {
		return ""
	}
	at, err := time.Parse(time.RFC3339, *since)
	if err != nil {
		return ""
	}
	return "Runs that run are stopped at a checkpoint at " + metav1.NewTime(at.Add(options.BillingGrace)).UTC().Format(time.RFC3339) +
		", and go on by themselves when it is Active again"
}
