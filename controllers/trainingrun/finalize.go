package trainingrun

import (
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// runDeleted lets a deleted run go once nothing of it is left. Its Pods are
// waited for, not only its Job: each holds a copy of the dataset, and the dataset
// may be erased as soon as the run is gone.
//
// Nothing is created on this path, so that it also works in a namespace that is
// being deleted, and it needs neither the dataset nor the Job.
func runDeleted(o observed, _ Options) (plan, bool) {
	if o.Run.DeletionTimestamp.IsZero() {
		return plan{}, false
	}
	if !controllerutil.ContainsFinalizer(o.Run, v1alpha1.FinalizerRun) {
		return plan{}, true
	}
	var p plan
	job := o.ownJob()
	if job != nil && job.DeletionTimestamp.IsZero() {
		p.Delete = job
	}
	p.Release = job == nil && len(o.Pods) == 0 && len(o.Strays) == 0
	if message, waits := waitsFor(o); waits && !o.Run.Status.State.Finished() {
		p.Verdict = ending(o.Run, message)
	}
	return p, true
}

// waitsFor says what a deleted run is still waiting for, where that takes time.
func waitsFor(o observed) (string, bool) {
	switch {
	case len(o.Strays) > 0 && o.ownJob() == nil:
		return fmt.Sprintf("the run is being deleted and waits for its Pod %q to go; delete the Pod if it stays", o.Strays[0].Name), true
	case len(o.Pods) > 0:
		return "the run is being deleted and waits for its Pod to end", true
	}
	return "", false
}
