package trainingrun

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// maxLost is how many attempts in a row whose Pod got lost are made good. Further ones
// are the user's to repeat, or an endless loop would hide what is wrong.
const maxLost = 3

// jobFinished ends the attempt with its Job.
func jobFinished(o observed, _ Options) (plan, bool) {
	job := o.ownJob()
	if job == nil {
		return plan{}, false
	}
	end, ended := jobEnd(job)
	if !ended {
		return plan{}, false
	}
	if pods := o.busy(); len(pods) > 0 {
		return plan{Verdict: ending(o.Run, fmt.Sprintf(
			"the run's Job has ended, and the run goes on as soon as its Pod %q is gone; delete the Pod if it stays", pods[0].Name))}, true
	}
	if end.Type == batchv1.JobComplete {
		return plan{
			Verdict: succeeded(o),
			End:     &attemptEnd{Result: v1alpha1.AttemptSucceeded, Reason: v1alpha1.ReasonPublished},
		}, true
	}
	return concluded(o, failure(o)), true
}

// concluded is what follows an attempt that ended otherwise than well: another one, if
// the cluster was to blame or there is a retry left, or the end of the run.
func concluded(o observed, v verdict) plan {
	lost := v.Reason == v1alpha1.ReasonPodLost && fruitless(o.Run) < maxLost
	switch {
	case v.Reason == v1alpha1.ReasonDisrupted || lost:
		return plan{
			Verdict: again(o, v1alpha1.ReasonDisrupted, "was disrupted", v),
			End:     &attemptEnd{Result: v1alpha1.AttemptDisrupted, Reason: v.Reason, ExitCode: v.ExitCode},
		}
	case v.Blame == v1alpha1.BlameBudget, v.Reason == v1alpha1.ReasonJobLost, v.State == v1alpha1.RunCancelled:
		return plan{Verdict: v, End: &attemptEnd{Result: v1alpha1.AttemptStopped, Reason: v.Reason, ExitCode: v.ExitCode}}
	}
	p := plan{Verdict: v, End: &attemptEnd{Result: v1alpha1.AttemptFailed, Reason: v.Reason, ExitCode: v.ExitCode}}
	if retriable(o.Run, v) && o.Run.Status.ChargedAttempts < retries(o.Run) {
		p.Verdict = again(o, v1alpha1.ReasonRetrying, "failed", v)
	}
	return p
}

func retries(run *v1alpha1.TrainingRun) int32 {
	if limit := run.Spec.Retry.Limit; limit != nil {
		return *limit
	}
	return 0
}

// again is the verdict between an attempt and the next.
func again(o observed, reason, happened string, v verdict) verdict {
	from := "anew"
	if c := o.Run.Status.Checkpoints; len(c) > 0 && o.Run.Spec.Checkpoint.Resume != v1alpha1.ResumeNever {
		from = "from checkpoint " + c[len(c)-1].ID
	}
	return starting(reason, fmt.Sprintf("attempt %d %s (%s): %s; the next one starts %s when the Pods of this one are gone",
		o.number(), happened, v.Reason, v.Message, from))
}

func succeeded(o observed) verdict {
	message := fmt.Sprintf("trained, and the artifacts are in the store; `kubectl lethe artifacts %s DIR` downloads them", o.Run.Name)
	return verdict{State: v1alpha1.RunSucceeded, Reason: v1alpha1.ReasonPublished, Message: message}
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

// firstPause and lastPause bound what lies between attempts that come to nothing.
const (
	firstPause = 10 * time.Second
	lastPause  = 5 * time.Minute
)

// attemptPostponed waits longer before each attempt that follows several that came to
// nothing. The first that is repeated is repeated at once.
func attemptPostponed(o observed, _ Options) (plan, bool) {
	n := fruitless(o.Run)
	if n < 2 {
		return plan{}, false
	}
	last := o.Run.Status.Attempts[len(o.Run.Status.Attempts)-1]
	pause := min(firstPause<<min(n-2, 8), lastPause)
	if last.EndTime == nil || o.Now.Sub(last.EndTime.Time) >= pause {
		return plan{}, false
	}
	return plan{Next: next{
		After: pause - o.Now.Sub(last.EndTime.Time),
		Why:   "attempts that fail in a row are repeated more and more slowly",
	}}, true
}
