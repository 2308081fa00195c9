package trainingrun

import (
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// conditions derives all conditions of a run from its verdict; doc.go has the
// table.
func conditions(v verdict, bound bool) []metav1.Condition {
	all := []metav1.Condition{
		datasetBound(v, bound),
		running(v),
		artifactsPublished(v),
	}
	if v.State == v1alpha1.RunSucceeded {
		all = append(all, condition(v1alpha1.ConditionComplete, true, v.Reason, v.Message))
	}
	if v.State == v1alpha1.RunFailed {
		all = append(all, condition(v1alpha1.ConditionFailed, true, v.Reason, v.Message))
	}
	if v.State == v1alpha1.RunCancelled {
		all = append(all, condition(v1alpha1.ConditionCancelled, true, v.Reason, v.Message))
	}
	return all
}

func datasetBound(v verdict, bound bool) metav1.Condition {
	if bound {
		return condition(v1alpha1.ConditionDatasetBound, true, v1alpha1.ReasonBound, "the run is bound to its dataset")
	}
	return condition(v1alpha1.ConditionDatasetBound, false, v.Reason, v.Message)
}

func running(v verdict) metav1.Condition {
	switch v.State {
	case v1alpha1.RunRunning:
		return condition(v1alpha1.ConditionRunning, v.Reason == v1alpha1.ReasonTraining, v.Reason, v.Message)
	case v1alpha1.RunPublishing, v1alpha1.RunSucceeded:
		return condition(v1alpha1.ConditionRunning, false, v1alpha1.ReasonTrained, "the trainer ended with exit code 0")
	case v1alpha1.RunPending, v1alpha1.RunQueued, v1alpha1.RunStarting, v1alpha1.RunSuspended, v1alpha1.RunFailed, v1alpha1.RunCancelled:
	}
	return condition(v1alpha1.ConditionRunning, false, v.Reason, v.Message)
}

func artifactsPublished(v verdict) metav1.Condition {
	published := v.State == v1alpha1.RunSucceeded
	return condition(v1alpha1.ConditionArtifactsPublished, published, v.Reason, v.Message)
}

// occasional are the conditions that few runs have: those that say something once what
// they are about has happened, and keep it up to date from then on.
func occasional(o observed, p plan, has func(kind string) bool) []metav1.Condition {
	var all []metav1.Condition
	v := p.Verdict
	switch {
	case v.State == v1alpha1.RunSuspended, v.Reason == v1alpha1.ReasonSuspending:
		all = append(all, condition(v1alpha1.ConditionSuspended, true, v.Reason, v.Message))
	case has(v1alpha1.ConditionSuspended):
		all = append(all, condition(v1alpha1.ConditionSuspended, false, v1alpha1.ReasonResumed, "nothing suspends the run any more, or it has ended"))
	}
	if c, queued := quotaReserved(o, v); queued {
		all = append(all, c)
	}
	stalled := v1alpha1.ReasonStalled
	switch {
	case p.Stop == stalled, o.stopping() == stalled, v.Reason == stalled:
		all = append(all, condition(v1alpha1.ConditionProgressing, false, stalled, overLimit(o.Run, stalled).Message))
	case has(v1alpha1.ConditionProgressing) && v.State == v1alpha1.RunRunning:
		all = append(all, condition(v1alpha1.ConditionProgressing, true, v1alpha1.ReasonTraining, "the trainer does something again"))
	}
	return all
}

// quotaReserved tells what the queue says of a Job. It reports false for a run without a
// queue, and while there is no Job.
func quotaReserved(o observed, v verdict) (metav1.Condition, bool) {
	job := o.ownJob()
	if o.Run.Spec.QueueName == "" || job == nil || jobEnded(job) {
		return metav1.Condition{}, false
	}
	if v.State == v1alpha1.RunQueued && !o.Queue.Admitted {
		return condition(v1alpha1.ConditionQuotaReserved, false, v.Reason, v.Message), true
	}
	said := admitted()
	return condition(v1alpha1.ConditionQuotaReserved, true, said.Reason, said.Message), true
}

// artifactsErased says how far the erase of a deleted run's artifacts is. It reports
// false when there is nothing new to say: what held it up is shown until a try got
// further, or each try would write the status twice.
func artifactsErased(p plan, actErr error) (metav1.Condition, bool) {
	var fault *storeFault
	blocked := p.Blocked
	if errors.As(actErr, &fault) {
		blocked = blockOf(fault)
	}
	switch {
	case blocked != nil:
		return condition(v1alpha1.ConditionArtifactsErased, false, blocked.Reason, blocked.Message), true
	case actErr != nil:
		return metav1.Condition{}, false
	case p.Count:
		return artifactsProceeding(), true
	case p.Erase:
		return condition(v1alpha1.ConditionArtifactsErased, true, v1alpha1.ReasonErased,
			"The artifacts are erased, and a receipt says so. The run goes now."), true
	}
	return metav1.Condition{}, false
}

func artifactsProceeding() metav1.Condition {
	return condition(v1alpha1.ConditionArtifactsErased, false, v1alpha1.ReasonProceeding,
		"The artifacts are being erased; status.artifactsErasure says how far that is.")
}

func condition(kind string, holds bool, reason, message string) metav1.Condition {
	status := metav1.ConditionFalse
	if holds {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}
