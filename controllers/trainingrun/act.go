package trainingrun

import (
	"context"
	"encoding/json"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// createError says that a child could not be created; report looks at the cause.
type createError struct {
	// kind of the child: a Job, a Service or a NetworkPolicy.
	kind  string
	cause error
}

func (e *createError) Error() string { return "create " + e.kind + ": " + e.cause.Error() }
func (e *createError) Unwrap() error { return e.cause }

// act carries the plan out, in this order, and stops at the first error. Each
// step may be done again: what is there already, or gone already, is success or
// becomes a fact of the next observation.
func (r *Reconciler) act(ctx context.Context, o observed, p plan) error {
	for _, step := range []struct {
		due bool
		do  func(context.Context, observed, plan) error
	}{
		{p.Create != nil, r.guard},
		{p.Open != nil, r.open},
		{p.Service != nil, r.createService},
		{p.Policy != nil, r.createPolicy},
		{p.Create != nil, r.create},
		{p.Deadline != nil, r.correctDeadline},
		{p.Delete != nil, r.deleteJob},
		{p.Erase, r.eraseArtifacts},
		{p.Retain, r.retainArtifacts},
		{p.Release, r.release},
		{p.Expire, r.expire},
	} {
		if !step.due {
			continue
		}
		if err := step.do(ctx, o, p); err != nil {
			return err
		}
	}
	return nil
}

// guard puts the finalizer on, before the ledger says that there may be artifacts
// and before the Job exists: no Pod of the run ever outlives it unseen.
func (r *Reconciler) guard(ctx context.Context, o observed, _ plan) error {
	return r.patchFinalizers(ctx, o.Run, func() { controllerutil.AddFinalizer(o.Run, v1alpha1.FinalizerRun) })
}

// release lets the run go.
func (r *Reconciler) release(ctx context.Context, o observed, _ plan) error {
	err := r.patchFinalizers(ctx, o.Run, func() { controllerutil.RemoveFinalizer(o.Run, v1alpha1.FinalizerRun) })
	return client.IgnoreNotFound(err)
}

// create makes the Job. One that exists already is an error here: whose it is gets
// decided at the next observation, which the retry brings.
func (r *Reconciler) create(ctx context.Context, _ observed, p plan) error {
	return r.createChild(ctx, "Job", p.Create)
}

// createService makes the Service, before the Job: it is there when the first Pod looks
// for the others.
func (r *Reconciler) createService(ctx context.Context, _ observed, p plan) error {
	return r.createChild(ctx, "Service", p.Service)
}

// createPolicy lets the nodes of a run in a tenant's Namespace talk to each other. It has
// a name that the run's UID decides, so what is there already is an earlier attempt's.
func (r *Reconciler) createPolicy(ctx context.Context, _ observed, p plan) error {
	err := r.createChild(ctx, "NetworkPolicy", p.Policy)
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (r *Reconciler) createChild(ctx context.Context, kind string, child client.Object) error {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	if err := r.client.Create(ctx, child); err != nil {
		return &createError{kind: kind, cause: err}
	}
	return nil
}

// correctDeadline changes the one thing of a Job that is ever changed. The UID keeps the
// hands off a Job that took the place of ours.
func (r *Reconciler) correctDeadline(ctx context.Context, _ observed, p plan) error {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	job := p.Deadline.Job
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": job.UID},
		"spec":     map[string]any{"activeDeadlineSeconds": p.Deadline.Seconds},
	})
	if err != nil {
		return fmt.Errorf("encode the deadline of job %s/%s: %w", job.Namespace, job.Name, err)
	}
	to := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: job.Namespace, Name: job.Name}}
	if err := r.client.Patch(ctx, to, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("patch the deadline of job %s/%s: %w", job.Namespace, job.Name, err)
	}
	return nil
}

// expire deletes the run. What becomes of its artifacts is seen to as for any run that
// is deleted.
func (r *Reconciler) expire(ctx context.Context, o observed, _ plan) error {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	err := r.client.Delete(ctx, o.Run, client.Preconditions{UID: ptr.To(o.Run.UID), ResourceVersion: ptr.To(o.Run.ResourceVersion)})
	if err != nil {
		return fmt.Errorf("delete training run %s/%s: %w", o.Run.Namespace, o.Run.Name, err)
	}
	return nil
}

// deleteJob leaves the Pods to the garbage collector; the finalizer waits for
// them. The UID keeps a Job that took the place of ours alive.
func (r *Reconciler) deleteJob(ctx context.Context, _ observed, p plan) error {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	job := p.Delete
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
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
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
	if err := r.patchStatus(ctx, run, after); err != nil {
		return false, err
	}
	return true, nil
}

// patchStatus writes the status of after, if the run is still the one that was
// observed: others write conditions of it, too. What was written is in after then.
func (r *Reconciler) patchStatus(ctx context.Context, observed, after *v1alpha1.TrainingRun) error {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	patch := client.MergeFromWithOptions(observed, client.MergeFromWithOptimisticLock{})
	if err := r.client.Status().Patch(ctx, after, patch); err != nil {
		return fmt.Errorf("patch status of training run %s/%s: %w", after.Namespace, after.Name, err)
	}
	return nil
}
