package datasetretention

import (
	"context"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// datasetOfRun is the dataset that a run refers to.
func datasetOfRun(_ context.Context, o client.Object) []reconcile.Request {
	run, ok := o.(*v1alpha1.TrainingRun)
	if !ok {
		return nil
	}
	key := types.NamespacedName{Namespace: run.Namespace, Name: run.Spec.DatasetRef.Name}
	return []reconcile.Request{{NamespacedName: key}}
}

// useChanges lets pass what changes who uses a dataset: runs that come, go, end, get
// bound, are suspended, or go on. A run that is only marked for deletion is still a user.
func useChanges() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok1 := e.ObjectOld.(*v1alpha1.TrainingRun)
			after, ok2 := e.ObjectNew.(*v1alpha1.TrainingRun)
			return ok1 && ok2 && (before.Status.State.Finished() != after.Status.State.Finished() ||
				(before.Status.State == v1alpha1.RunSuspended) != (after.Status.State == v1alpha1.RunSuspended) ||
				(before.Status.Dataset == nil) != (after.Status.Dataset == nil))
		},
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// waitingForCopy finds the dataset that is being erased and waits for this Job or
// Pod. It may answer from the cache: a dataset that the cache does not yet show as
// deleted is reconciled when it does, and then reads Jobs and Pods live.
func (r *Reconciler) waitingForCopy(ctx context.Context, o client.Object) []reconcile.Request {
	uid := o.GetLabels()[v1alpha1.LabelDatasetUID]
	var datasets v1alpha1.DatasetRetentionList
	if err := r.client.List(ctx, &datasets, client.InNamespace(o.GetNamespace())); err != nil {
		// The cache has no reason to fail; a map function has nobody to tell but the log.
		log.FromContext(ctx).Error(err, "Could not find the dataset of a local copy")
		return nil
	}
	for i := range datasets.Items {
		d := &datasets.Items[i]
		if string(d.UID) == uid && d.DeletionTimestamp != nil {
			return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(d)}}
		}
	}
	return nil
}

// copyEnds lets pass the end or the disappearance of a Job or Pod that uses a dataset.
func copyEnds() predicate.Predicate {
	labelled := func(o client.Object) bool { return o.GetLabels()[v1alpha1.LabelDatasetUID] != "" }
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(e event.DeleteEvent) bool { return labelled(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return labelled(e.ObjectOld) && holdsCopy(e.ObjectOld) &&
				(!holdsCopy(e.ObjectNew) || !labelled(e.ObjectNew))
		},
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// holdsCopy reports whether a Job or Pod that uses a dataset may still have, or
// may still make, a local copy of it.
func holdsCopy(o client.Object) bool {
	switch o := o.(type) {
	case *corev1.Pod:
		return o.Status.Phase != corev1.PodSucceeded && o.Status.Phase != corev1.PodFailed
	case *batchv1.Job:
		for _, c := range o.Status.Conditions {
			if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
				return false
			}
		}
		return true
	}
	return true
}
