package overview

import (
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// hints say what to do about a run that failed, by the reason of the failure. What
// is in braces is filled in.
var hints = map[string]string{
	v1alpha1.ReasonDatasetErasing: "upload the data under a new name and start a new run on it",
	v1alpha1.ReasonDatasetInvalid: "upload the data again under a new name; see what is wrong with: " +
		"kubectl lethe status -n {namespace}",
	v1alpha1.ReasonDatasetCorrupt: "the store does not hold what was uploaded: upload the data again under a new name, " +
		"and tell your administrator",
	v1alpha1.ReasonStageInFailed: "read why with: kubectl lethe logs {run} -c stage-in -n {namespace}",
	v1alpha1.ReasonStoreDenied:   "tell your administrator: the operator's access to the store does not work",
	v1alpha1.ReasonDiskFull:      "train on a node with more disk space, or on a smaller dataset",
	v1alpha1.ReasonOOMKilled:     "raise spec.trainer.resources.memory, or use smaller batches, and start a new run",
	v1alpha1.ReasonNonZeroExit:   "read the trainer's last words with: kubectl lethe logs {run} -n {namespace}",
	v1alpha1.ReasonUploadFailed:  "read why with: kubectl lethe logs {run} -c stage-out -n {namespace}",
	v1alpha1.ReasonPodLost:       "the node was lost or the Pod was evicted: start a new run",
	v1alpha1.ReasonJobLost:       "somebody deleted the run's Job: start a new run, and delete the run itself to stop it",
	v1alpha1.ReasonJobNotOwned:   "a Job of this name exists already: delete it, or choose another name for the run",
}

// Hint says what to do about a failed run; empty when nothing is known to help.
func Hint(run *v1alpha1.TrainingRun) string {
	if run.Status.Failure == nil {
		return ""
	}
	fill := strings.NewReplacer("{run}", run.Name, "{namespace}", run.Namespace)
	return fill.Replace(hints[run.Status.Failure.Reason])
}
