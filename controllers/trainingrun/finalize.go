package trainingrun

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// runDeleted lets a deleted run go once nothing of it is left but artifacts that
// are to stay. Its Pods are waited for, not only its Job: each holds a copy of the
// dataset, and the dataset may be erased as soon as the run is gone.
//
// Nothing is created in the cluster on this path, so that it also works in a
// namespace that is being deleted, and it needs neither the dataset nor the Job.
func runDeleted(o observed, options Options) (plan, bool) {
	if o.Run.DeletionTimestamp.IsZero() {
		return plan{}, false
	}
	if !controllerutil.ContainsFinalizer(o.Run, v1alpha1.FinalizerRun) {
		return plan{}, true
	}
	var p plan
	job := o.ownJob()
	for _, child := range []*batchv1.Job{job, o.Previous} {
		if child != nil && child.DeletionTimestamp.IsZero() {
			p.Delete = child
		}
	}
	pods := slices.Concat(o.Pods, lingering(o.Strays), uncounted(o.Strays))
	if job == nil && o.Previous == nil && len(pods) == 0 {
		return reclaim(o, options), true
	}
	if len(pods) > 0 && !o.Run.Status.State.Finished() {
		p.Verdict = ending(o.Run, fmt.Sprintf("the run is being deleted and waits until its Pod %q is gone; "+
			"it gets %s to write a last checkpoint. Delete the Pod if it stays", pods[0].Name, grace(o.Run)))
	}
	return p, true
}

// lingering picks the Pods that are worth waiting for: those that still run, and
// those that the garbage collector is about to remove with their Job. One that
// was cut off from its Job and has ended holds no data, and may stay for ever.
func lingering(strays []corev1.Pod) []corev1.Pod {
	return slices.DeleteFunc(slices.Clone(strays), func(pod corev1.Pod) bool {
		return over(&pod) && metav1.GetControllerOfNoCopy(&pod) == nil
	})
}

// uncounted picks the Pods that would keep their finalizer for ever if the run went.
func uncounted(strays []corev1.Pod) []corev1.Pod {
	return slices.DeleteFunc(slices.Clone(strays), func(pod corev1.Pod) bool { return !accountable(&pod) })
}

// grace is the run's grace period, in words.
func grace(run *v1alpha1.TrainingRun) string {
	return fmt.Sprintf("%d s", int(run.Spec.Checkpoint.Grace().Seconds()))
}
