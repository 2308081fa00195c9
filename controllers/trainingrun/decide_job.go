package trainingrun

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// foreignJobInterval is how often a Job that is in the way is looked at again.
const foreignJobInterval = time.Minute

// jobNotOwned keeps the run's hands off a Job of its name that it did not make.
func jobNotOwned(o observed, _ Options) (plan, bool) {
	if o.Job == nil {
		return plan{}, false
	}
	return plan{
		Verdict: waiting(v1alpha1.ReasonJobNotOwned, fmt.Sprintf(
			"a Job %q that is not this run's stands in its way; delete it, or create the run under another name", o.Job.Name)),
		Next: next{
			After: foreignJobInterval,
			Why:   "the cache may hold only Jobs of runs, so no event tells when a foreign one goes",
		},
	}, true
}

// jobLost ends a run whose Job was there and is gone, or was replaced. It is not
// made again: the trainer may have run for days, and running it twice would be
// paid for twice.
//
// It waits for Pods that were cut off from the Job: while one runs, a copy of the
// dataset exists, and a run that has ended no longer protects it.
func jobLost(o observed, _ Options) (plan, bool) {
	if o.ownJob() != nil || o.Run.Status.Dataset == nil {
		return plan{}, false
	}
	if pods := lingering(o.Strays); len(pods) > 0 {
		return plan{Verdict: ending(o.Run, fmt.Sprintf(
			"the run's Job was deleted, and the run ends as soon as its Pod %q is gone; delete the Pod if it stays", pods[0].Name))}, true
	}
	return plan{Verdict: failed(v1alpha1.ReasonJobLost,
		"the run's Job was deleted by somebody else; delete the run instead of its Job, and create a new run to train again")}, true
}

// ending keeps the state that the run has reached and says that it will not go on.
func ending(run *v1alpha1.TrainingRun, message string) verdict {
	state := run.Status.State
	if state == "" {
		state = v1alpha1.RunStarting
	}
	return verdict{State: state, Reason: v1alpha1.ReasonEnding, Message: message}
}

// jobEnded says that the Job controller is done with the Job: all of its Pods
// have ended and been counted. Anything earlier is a promise only.
func jobEnded(job *batchv1.Job) bool {
	_, ended := jobEnd(job)
	return ended
}

// jobEnd gives the condition that ended the Job.
func jobEnd(job *batchv1.Job) (batchv1.JobCondition, bool) {
	for _, c := range job.Status.Conditions {
		final := c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed
		if final && c.Status == corev1.ConditionTrue {
			return c, true
		}
	}
	return batchv1.JobCondition{}, false
}
