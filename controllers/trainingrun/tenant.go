package trainingrun

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// tenant is what a run has to know of the tenant whose Namespace it is in.
type tenant struct {
	// Ready says that the operator has made everything that keeps the tenant's Pods in
	// their bounds.
	Ready bool
	// RuntimeClass that the tenant's Pods run in. "": the node's own.
	RuntimeClass string
	// Unpaid says that billing is suspended.
	Unpaid bool
	// Since is when the operator first saw that it is unpaid. Zero: it was not noted yet,
	// so the grace has not begun.
	Since time.Time
}

// tenantOf reads a tenant off its Namespace. nil: it is none.
func tenantOf(namespace *corev1.Namespace) *tenant {
	if namespace == nil || !v1alpha1.IsTenant(namespace.Labels) {
		return nil
	}
	t := &tenant{}
	t.RuntimeClass, t.Ready = namespace.Annotations[v1alpha1.AnnotationRuntimeClass]
	// A value that is not known counts as Suspended; the Namespace's condition says so.
	if billing, _ := v1alpha1.BillingOf(namespace.Annotations); billing == v1alpha1.BillingSuspended {
		t.Unpaid = true
		t.Since, _ = v1alpha1.SuspendedAt(namespace.Annotations)
	}
	return t
}

// readTenant looks at the run's Namespace. The cache knows all of them, so that it costs
// nothing where there are no tenants. A look at the API server itself asks it only about
// tenants, and Namespaces so new that the cache does not have them.
func (r *Reconciler) readTenant(ctx context.Context, from source, o *observed) error {
	key := client.ObjectKey{Name: o.Run.Namespace}
	namespace, err := get(ctx, r.client, key, &corev1.Namespace{})
	if err != nil {
		return err
	}
	known := namespace != nil && !v1alpha1.IsTenant(namespace.Labels)
	if from.page > 0 && !known {
		if namespace, err = get(ctx, from, key, &corev1.Namespace{}); err != nil {
			return err
		}
	}
	o.Tenant = tenantOf(namespace)
	return nil
}

// unpaid says that the run's tenant does not pay at the moment.
func (o observed) unpaid() bool { return o.Tenant != nil && o.Tenant.Unpaid }

// graceEnds is when the trainers of a tenant that does not pay are stopped. Zero: it is
// not known yet.
func (o observed) graceEnds(options Options) time.Time {
	if !o.unpaid() || o.Tenant.Since.IsZero() {
		return time.Time{}
	}
	return o.Tenant.Since.Add(options.BillingGrace)
}

// jobUnpaid stops an attempt whose tenant does not pay: at once if no trainer of it runs,
// because its Pods would be refused anyway, and its time to start would go by; and a
// trainer when the grace is over. One that has ended, and only has its artifacts to
// upload, is let be: it has cost what it costs.
func jobUnpaid(o observed, options Options) (plan, bool) {
	if o.ownJob() == nil || !o.unpaid() {
		return plan{}, false
	}
	c, ends := readClock(o), o.graceEnds(options)
	over := !ends.IsZero() && !o.Now.Before(ends)
	if c.waiting || !c.running.IsZero() && over {
		return stop(o, v1alpha1.ReasonPaymentRequired), true
	}
	return plan{}, false
}

// graceTimer is when the trainers of a tenant that does not pay are stopped.
func graceTimer(o observed, options Options) next {
	ends := o.graceEnds(options)
	if !o.Now.Before(ends) || o.ownJob() == nil || o.stopping() != "" || readClock(o).running.IsZero() {
		return next{}
	}
	return next{After: max(ends.Sub(o.Now), time.Second), Why: "trainers are stopped when the billing grace is over"}
}

// runUnpaid keeps a run from starting whose tenant does not pay.
func runUnpaid(o observed, _ Options) (plan, bool) {
	if !o.unpaid() {
		return plan{}, false
	}
	return plan{Verdict: paymentRequired(o.Run)}, true
}

// paymentRequired is the verdict on a run that holds no GPUs because nobody pays for them.
func paymentRequired(run *v1alpha1.TrainingRun) verdict {
	v := verdict{State: v1alpha1.RunPending, Reason: v1alpha1.ReasonPaymentRequired}
	goesOn := "the run starts by itself"
	if run.Status.Attempt > 0 {
		v.State, goesOn = v1alpha1.RunSuspended, "the run goes on from its last checkpoint by itself"
	}
	v.Message = fmt.Sprintf("the billing of namespace %q is suspended; %s when it is active again", run.Namespace, goesOn)
	return v
}

// tenantWaited keeps a run from starting before its tenant has its network policies and
// quota, and before it is known what its Pods have to run in.
func tenantWaited(o observed, _ Options) (plan, bool) {
	if o.Tenant == nil || o.Tenant.Ready {
		return plan{}, false
	}
	v := waiting(v1alpha1.ReasonTenantNotReady, fmt.Sprintf(
		"the operator has not set namespace %q up yet; its condition %s says what is missing", o.Run.Namespace, v1alpha1.ConditionTenantReady))
	if o.Run.Status.Attempt > 0 {
		v.State = v1alpha1.RunStarting
	}
	v.Since = o.Run.CreationTimestamp.Time
	return plan{Verdict: v}, true
}

// runsOfTenant finds the runs that a change of their tenant may let start, or stop.
func (r *Reconciler) runsOfTenant(ctx context.Context, namespace client.Object) []reconcile.Request {
	var runs v1alpha1.TrainingRunList
	if err := r.client.List(ctx, &runs, client.InNamespace(namespace.GetName())); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not list the runs of a tenant", "namespace", namespace.GetName())
		return nil
	}
	var requests []reconcile.Request
	for i := range runs.Items {
		if !runs.Items[i].Status.State.Finished() {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&runs.Items[i])})
		}
	}
	return requests
}

// tenantChanged lets changes of Namespaces through that mean something to runs. That a
// Namespace is there is not one: its runs are looked at anyway.
func tenantChanged() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*corev1.Namespace)
			after, is := e.ObjectNew.(*corev1.Namespace)
			return ok && is && !sameTenant(tenantOf(before), tenantOf(after))
		},
	}
}

func sameTenant(a, b *tenant) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Ready == b.Ready && a.Unpaid == b.Unpaid && a.Since.Equal(b.Since)
}
