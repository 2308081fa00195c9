package trainingrun

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// createError says that the Job could not be created; report looks at the cause.
type createError struct{ cause error }

func (e *createError) Error() string { return "create job: " + e.cause.Error() }
func (e *createError) Unwrap() error { return e.cause }

// act carries the plan out, in this order, and stops at the first error. Each
// step may be done again: what is there already, or gone already, is success or
// becomes a fact of the next observation.
func (r *Reconciler) act(ctx context.Context, run *v1alpha1.TrainingRun, p plan) error {
	if p.Create != nil {
		if err := r.create(ctx, run, p.Create); err != nil {
			return err
		}
	}
	if p.Delete != nil {
		if err := r.deleteJob(ctx, p.Delete); err != nil {
			return err
		}
	}
	if p.Release {
		err := r.patchFinalizers(ctx, run, func() { controllerutil.RemoveFinalizer(run, v1alpha1.FinalizerRun) })
		return client.IgnoreNotFound(err)
	}
	return nil
}

// create puts the finalizer on before the Job exists, so that no Pod of the run
// ever outlives it unseen. A Job that exists already is an error here: whose it is
// gets decided at the next observation, which the retry brings.
func (r *Reconciler) create(ctx context.Context, run *v1alpha1.TrainingRun, job *batchv1.Job) error {
	err := r.patchFinalizers(ctx, run, func() { controllerutil.AddFinalizer(run, v1alpha1.FinalizerRun) })
	if err != nil {
		return err
	}
	if err := r.client.Create(ctx, job); err != nil {
		return &createError{cause: err}
	}
	return nil
}

// deleteJob leaves the Pods to the garbage collector; the finalizer waits for
// them. The UID keeps a Job that took the place of ours alive.
func (r *Reconciler) deleteJob(ctx context.Context, job *batchv1.Job) error {
	err := r.client.Delete(ctx, job, client.Preconditions{UID: ptr.To(job.UID)},
		client.PropagationPolicy(metav1.DeletePropagationBackground))
	if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete job %s/%s: %w", job.Namespace, job.Name, err)
	}
	return nil
}

// patchFinalizers writes a changed list of finalizers, if the run is still the
// one that was observed: a list can only be written whole, and another writer's
// finalizer must not get lost.
func (r *Reconciler) patchFinalizers(ctx context.Context, run *v1alpha1.TrainingRun, change func()) error {
	before := run.DeepCopy()
	change()
	if equality.Semantic.DeepEqual(before.Finalizers, run.Finalizers) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, run, patch); err != nil {
		return fmt.Errorf("patch finalizers of training run %s/%s: %w", run.Namespace, run.Name, err)
	}
	return nil
}

// writeStatus writes the status if it differs, and reports whether it did.
func (r *Reconciler) writeStatus(ctx context.Context, run *v1alpha1.TrainingRun, status v1alpha1.TrainingRunStatus) (bool, error) {
	if equality.Semantic.DeepEqual(run.Status, status) {
		return false, nil
	}
	after := run.DeepCopy()
	after.Status = status
	patch := client.MergeFromWithOptions(run, client.MergeFromWithOptimisticLock{})
	if err := r.client.Status().Patch(ctx, after, patch); err != nil {
		return false, fmt.Errorf("patch status of training run %s/%s: %w", run.Namespace, run.Name, err)
	}
	return true, nil
}
