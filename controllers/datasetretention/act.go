package datasetretention

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// adopt puts the finalizer on, before the dataset gets a place in the store.
func (r *Reconciler) adopt(ctx context.Context, d *v1alpha1.DatasetRetention, p plan) error {
	if !p.adopt {
		return nil
	}
	before := d.DeepCopy()
	controllerutil.AddFinalizer(d, v1alpha1.FinalizerErase)
	if err := r.patch(ctx, d, before); err != nil {
		return fmt.Errorf("add finalizer: %w", err)
	}
	return nil
}

// act does what the plan says, after the status that announces it was written.
func (r *Reconciler) act(ctx context.Context, seen observed, p plan) error {
	switch {
	case p.release:
		return r.letGo(ctx, seen.dataset)
	case p.destroyKey:
		return r.destroyKey(ctx, seen, p)
	case p.erase:
		return r.erase(ctx, seen)
	case p.expire:
		return r.expire(ctx, seen.dataset)
	}
	return nil
}

// letGo lets a dataset go that never had a place. No key was made for it; should
// there be one all the same, it goes first.
func (r *Reconciler) letGo(ctx context.Context, d *v1alpha1.DatasetRetention) error {
	if err := r.opts.Keys.Destroy(ctx, d.UID); err != nil {
		return fmt.Errorf("destroy the dataset's key: %w", err)
	}
	return r.release(ctx, d)
}

// expire deletes exactly the object that was seen: one that has changed since, for
// example because its time was made longer, is looked at again.
func (r *Reconciler) expire(ctx context.Context, d *v1alpha1.DatasetRetention) error {
	uid, version := d.UID, d.ResourceVersion
	err := r.client.Delete(ctx, d, client.Preconditions{UID: &uid, ResourceVersion: &version})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete dataset whose time is over: %w", err)
	}
	if err == nil {
		r.emit(d, expired())
	}
	return nil
}

// writeReport writes the status if it changed, and then tells what changed.
func (r *Reconciler) writeReport(ctx context.Context, seen observed, p plan, actErr error) error {
	if p.release {
		return nil // The object goes now; nobody would read it.
	}
	d := seen.dataset
	before := d.DeepCopy()
	d.Status = report(seen, p, actErr)
	r.metrics.observe(client.ObjectKeyFromObject(d), standingOf(seen))
	if equality.Semantic.DeepEqual(before.Status, d.Status) {
		return nil
	}
	lock := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.client.Status().Patch(ctx, d, lock); err != nil {
		d.Status = before.Status
		return fmt.Errorf("write status: %w", err)
	}
	for _, e := range transitions(before.Status, d.Status) {
		r.emit(d, e)
	}
	return nil
}

// patch writes the metadata of a dataset. It is a patch and not an update, so that
// the spec, which is the owner's, can not be touched by it.
func (r *Reconciler) patch(ctx context.Context, d, before *v1alpha1.DatasetRetention) error {
	return r.client.Patch(ctx, d, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// release takes the finalizer off; the object goes with it.
func (r *Reconciler) release(ctx context.Context, d *v1alpha1.DatasetRetention) error {
	before := d.DeepCopy()
	controllerutil.RemoveFinalizer(d, v1alpha1.FinalizerErase)
	if err := r.patch(ctx, d, before); err != nil && (!apierrors.IsNotFound(err) || withoutNamespace(err)) {
		d.SetFinalizers(before.Finalizers)
		return fmt.Errorf("remove finalizer: %w", err)
	}
	r.metrics.forget(client.ObjectKeyFromObject(d))
	return nil
}

// emit sends an event. It never fails: in a namespace that is being deleted there
// can be no new event, and the erase must go on.
func (r *Reconciler) emit(d *v1alpha1.DatasetRetention, e occurrence) {
	r.opts.Events.Eventf(d, nil, e.kind, e.reason, e.action, "%s", e.note)
}
