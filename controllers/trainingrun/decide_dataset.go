package trainingrun

import (
	"fmt"
	"slices"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// datasetGone ends a run that is bound to a dataset that is going, or was replaced: no
// further attempt could read it. Its own Pods are gone by now, so it holds the erase up
// for no reason.
func datasetGone(o observed, _ Options) (plan, bool) {
	bound, name := o.Run.Status.Dataset, o.Run.Spec.DatasetRef.Name
	switch {
	case o.Dataset != nil && !o.Dataset.DeletionTimestamp.IsZero():
		return plan{Verdict: explained(v1alpha1.ReasonDatasetErasing, fmt.Sprintf("dataset %q is being erased", name))}, true
	case bound != nil && (o.Dataset == nil || o.Dataset.UID != bound.UID):
		return plan{Verdict: explained(v1alpha1.ReasonDatasetErasing, fmt.Sprintf("dataset %q is not the one any more that the run is bound to", name))}, true
	}
	return plan{}, false
}

// datasetWaited keeps a run from starting before its dataset is finished, and
// ends it when the dataset never will be. One that is bound has passed that.
func datasetWaited(o observed, _ Options) (plan, bool) {
	if o.Run.Status.Dataset != nil {
		return plan{}, false
	}
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
	case !dataset.Spec.Sealed:
		return waiting(v1alpha1.ReasonDatasetNotSealed, fmt.Sprintf(
			"dataset %q is still open for upload; the run starts when `kubectl lethe upload` has finished and sealed it", name)), true
	case dataset.Status.State == v1alpha1.DatasetInvalid:
		return explained(v1alpha1.ReasonDatasetInvalid, fmt.Sprintf(
			"dataset %q can not be used: `kubectl get datasetretention %s -o wide` says why", name, name)), true
	case expired(dataset):
		return waiting(v1alpha1.ReasonDatasetNotReady, fmt.Sprintf(
			"the time of dataset %q is over, so no further run starts on it; make its spec.retention longer, or upload the data under another name", name)), true
	case !apimeta.IsStatusConditionTrue(dataset.Status.Conditions, v1alpha1.ConditionReady):
		return waiting(v1alpha1.ReasonDatasetNotReady, fmt.Sprintf(
			"dataset %q is sealed and being checked; `kubectl get datasetretention %s -o wide` says how far that is", name, name)), true
	}
	return verdict{}, false
}

// otherRunInterval is how often a run is looked at whose checkpoint is waited for.
const otherRunInterval = 30 * time.Second

// checkpointWaited keeps a run from its first attempt until the checkpoint exists that it
// is to begin with.
func checkpointWaited(o observed, _ Options) (plan, bool) {
	from := o.Run.Spec.Checkpoint.From
	if from == nil || o.Run.Spec.Checkpoint.Resume != v1alpha1.ResumeFrom || o.number() > 1 {
		return plan{}, false
	}
	var lacks string
	switch {
	case o.From == nil || !o.From.DeletionTimestamp.IsZero():
		lacks = fmt.Sprintf("no run %q in namespace %q", from.RunName, o.Run.Namespace)
	case len(o.From.Status.Checkpoints) == 0:
		lacks = fmt.Sprintf("run %q has no checkpoint", from.RunName)
	case from.ID != "" && !slices.ContainsFunc(o.From.Status.Checkpoints, func(c v1alpha1.Checkpoint) bool { return c.ID == from.ID }):
		lacks = fmt.Sprintf("run %q has no checkpoint %s (any more)", from.RunName, from.ID)
	default:
		return plan{}, false
	}
	return plan{
		Verdict: waiting(v1alpha1.ReasonCheckpointNotFound, lacks+"; the run starts when there is one, and "+
			"`kubectl get trainingrun "+from.RunName+" -o yaml` lists them under status.checkpoints"),
		Next: next{After: otherRunInterval, Why: "other runs are not watched for the few that begin with what they leave"},
	}, true
}

// expired reports whether the dataset only stays because something keeps it.
func expired(dataset *v1alpha1.DatasetRetention) bool {
	ready := apimeta.FindStatusCondition(dataset.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Reason == v1alpha1.ReasonExpired
}

func waiting(reason, message string) verdict {
	return verdict{State: v1alpha1.RunPending, Reason: reason, Message: message}
}
