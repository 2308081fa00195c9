package datasetretention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// markTries is how often the status of a run is written that others write too.
const markTries = 5

// markRuns tells every run that was bound to the dataset that its data is erased. It
// reads live and may be repeated; runs that are gone need no telling, and one whose
// status is refused for good does not hold the erase up, since the receipt is there.
// Errors are a tellFault.
func (r *Reconciler) markRuns(ctx context.Context, d *v1alpha1.DatasetRetention, digest string) error {
	now := r.opts.Clock.Now()
	ask := question{from: r.live, page: runsOnAPage, what: runsOnDataset(d)}
	err := eachPage(ctx, ask, newRuns, func(list *v1alpha1.TrainingRunList) error {
		for i := range list.Items {
			run := &list.Items[i]
			if run.Status.Dataset == nil || run.Status.Dataset.UID != d.UID {
				continue
			}
			switch err := client.IgnoreNotFound(r.markRun(ctx, run, digest, now)); {
			case apierrors.IsInvalid(err), apierrors.IsForbidden(err):
				log.FromContext(ctx).Error(err, "A run can not be told that its dataset is erased", "run", run.Name)
				r.emit(d, untold(run.Name, digest))
			case err != nil:
				return &tellFault{
					what:  "run " + run.Name + " can not be told",
					cause: fmt.Errorf("mark run %s: %w", run.Name, err),
				}
			}
		}
		return nil
	})
	if told := (*tellFault)(nil); err == nil || errors.As(err, &told) {
		return err
	}
	return &tellFault{
		what:  "the runs that used it can not be listed",
		cause: fmt.Errorf("list runs of the dataset: %w", err),
	}
}

// markRun writes the mark into the status of a run as it is, and not as it was: a
// list of conditions can only be written whole.
func (r *Reconciler) markRun(ctx context.Context, run *v1alpha1.TrainingRun, digest string, now time.Time) error {
	for range markTries {
		before := run.DeepCopy()
		run.Status = marked(run, digest, now)
		if equality.Semantic.DeepEqual(before.Status, run.Status) {
			return nil
		}
		err := r.client.Status().Patch(ctx, run, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		if !apierrors.IsConflict(err) {
			return err
		}
		if err := r.live.Get(ctx, client.ObjectKeyFromObject(run), run); err != nil {
			return err
		}
		if run.UID != before.UID {
			return nil // Another run took the name.
		}
	}
	// Not a conflict: that one would mean that the dataset itself has changed.
	return fmt.Errorf("it changed %d times meanwhile", markTries)
}

// marked is the status of a run whose dataset is erased. The digest of a receipt that
// is there stays.
func marked(run *v1alpha1.TrainingRun, digest string, now time.Time) v1alpha1.TrainingRunStatus {
	status := *run.Status.DeepCopy()
	if status.Dataset != nil && status.Dataset.ReceiptDigest == "" {
		status.Dataset.ReceiptDigest = digest
	}
	apimeta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionDatasetErased, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonErased,
		Message:            "The dataset of the run is erased. status.dataset.receiptDigest names the receipt.",
		ObservedGeneration: run.Generation, LastTransitionTime: metav1.NewTime(now.UTC().Truncate(time.Second)),
	})
	return status
}
