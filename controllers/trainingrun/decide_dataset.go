package trainingrun

import (
	"fmt"

	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// datasetWaited keeps a run from starting before its dataset is finished, and
// ends it when the dataset never will be.
func datasetWaited(o observed, _ Options) (plan, bool) {
	v, ok := datasetVerdict(o.Run, o.Dataset)
	return plan{Verdict: v}, ok
}

// datasetVerdict says what keeps a run from starting on a dataset. It reports
// false when nothing does.
func datasetVerdict(run *v1alpha1.TrainingRun, dataset *v1alpha1.DatasetRetention) (verdict, bool) {
	name := run.Spec.DatasetRef.Name
	switch {
	case dataset == nil:
		return waiting(v1alpha1.ReasonDatasetNotFound, fmt.Sprintf(
			"no dataset %q in namespace %q; create it with `kubectl lethe upload DIR %s`", name, run.Namespace, name)), true
	case !dataset.DeletionTimestamp.IsZero():
		return failed(v1alpha1.ReasonDatasetErasing, fmt.Sprintf(
			"dataset %q is being erased; upload the data under another name and create a new run on it", name)), true
	case !dataset.Spec.Sealed:
		return waiting(v1alpha1.ReasonDatasetNotSealed, fmt.Sprintf(
			"dataset %q is still open for upload; the run starts when `kubectl lethe upload` has finished and sealed it", name)), true
	case dataset.Status.State == v1alpha1.DatasetInvalid:
		return failed(v1alpha1.ReasonDatasetInvalid, fmt.Sprintf(
			"dataset %q can not be used: `kubectl get datasetretention %s -o wide` says why; upload the data again under another name, then delete this one", name, name)), true
	case expired(dataset):
		return waiting(v1alpha1.ReasonDatasetNotReady, fmt.Sprintf(
			"the time of dataset %q is over, so no further run starts on it; make its spec.retention longer, or upload the data under another name", name)), true
	case !apimeta.IsStatusConditionTrue(dataset.Status.Conditions, v1alpha1.ConditionReady):
		return waiting(v1alpha1.ReasonDatasetNotReady, fmt.Sprintf(
			"dataset %q is sealed and being checked; `kubectl get datasetretention %s -o wide` says how far that is", name, name)), true
	}
	return verdict{}, false
}

// expired reports whether the dataset only stays because something keeps it.
func expired(dataset *v1alpha1.DatasetRetention) bool {
	ready := apimeta.FindStatusCondition(dataset.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Reason == v1alpha1.ReasonExpired
}

func waiting(reason, message string) verdict {
	return verdict{State: v1alpha1.RunPending, Reason: reason, Message: message}
}

func failed(reason, message string) verdict {
	return verdict{State: v1alpha1.RunFailed, Reason: reason, Message: message}
}
