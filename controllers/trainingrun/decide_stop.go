package trainingrun

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// An attempt is stopped in steps, each of which a crash may follow: why is written into
// the status; the Job is deleted, so that its Pods get a SIGTERM and their grace period
// for a last checkpoint; when they are over, what follows is decided.

// jobCancelled stops the attempt when its user wants no more of the run.
func jobCancelled(o observed, _ Options) (plan, bool) {
	if o.ownJob() == nil || !o.Run.Spec.Cancel {
		return plan{}, false
	}
	return stop(o, v1alpha1.ReasonCancelled), true
}

// runCancelled ends a run of which nothing runs, and that its user does not want any more.
func runCancelled(o observed, _ Options) (plan, bool) {
	if !o.Run.Spec.Cancel {
		return plan{}, false
	}
	return plan{Verdict: cancelled(o.Run)}, true
}

const cancelSet = "spec.cancel is set"

func cancelled(run *v1alpha1.TrainingRun) verdict {
	message := cancelSet + "; the run never trained"
	if n := len(run.Status.Checkpoints); n > 0 {
		message = cancelSet + "; another run may go on from checkpoint " + run.Status.Checkpoints[n-1].ID + " (spec.checkpoint.resume: From)"
	} else if run.Status.StartTime != nil {
		message = cancelSet + "; the run has stored no checkpoint"
	}
	return verdict{State: v1alpha1.RunCancelled, Reason: v1alpha1.ReasonCancelled, Message: message}
}

// jobSuspended stops the attempt when its user wishes so.
func jobSuspended(o observed, _ Options) (plan, bool) {
	if o.ownJob() == nil || !o.Run.Spec.Suspend {
		return plan{}, false
	}
	return stop(o, v1alpha1.ReasonSuspended), true
}

// startOverdue gives up an attempt whose trainer does not start.
func startOverdue(o observed, _ Options) (plan, bool) {
	if o.ownJob() == nil {
		return plan{}, false
	}
	left, waits := startBy(o)
	if !waits || left > 0 {
		return plan{}, false
	}
	return stop(o, v1alpha1.ReasonStartDeadlineExceeded), true
}

// trainerStalled stops an attempt whose trainer does nothing any more. That takes two
// facts: the last sign of it is old, and a message that is newer than the time allows
// says so. Without messages nothing is known, and nothing is done.
func trainerStalled(o observed, _ Options) (plan, bool) {
	limit, said := o.Run.Spec.Limits.StalledAfter, o.Run.Status.Progress
	if o.ownJob() == nil || limit == nil || said == nil || said.LastActivityTime == nil || said.LastUpdateTime == nil {
		return plan{}, false
	}
	if said.Attempt != o.number() || !trains(o, said) || !said.LastUpdateTime.After(said.LastActivityTime.Add(limit.Duration)) {
		return plan{}, false
	}
	return stop(o, v1alpha1.ReasonStalled), true
}

// trains says that the Pod that the progress is about has a trainer that runs.
func trains(o observed, said *v1alpha1.Progress) bool {
	for i := range o.Pods {
		if o.Pods[i].UID == said.PodUID {
			return container(&o.Pods[i], staging.ContainerTrainer).Running != nil
		}
	}
	return false
}

// maxRestarts is how often a stager that is killed is started again in its Pod. The
// kubelet's pauses between them add up to more than ten minutes.
const maxRestarts = 5

// stagerKilled stops an attempt that would wait for ever for a stager that is killed
// again and again. A trainer that runs is left alone: it may end well without stage-out,
// which is asked for only then.
func stagerKilled(o observed, _ Options) (plan, bool) {
	if o.ownJob() == nil {
		return plan{}, false
	}
	for _, pod := range o.newest() {
		switch {
		case taken(pod):
		case keepsDying(pod, staging.ContainerStageIn):
			return stop(o, v1alpha1.ReasonStageInFailed), true
		case keepsDying(pod, staging.ContainerStageOut) && !notTrained(pod):
			return stop(o, v1alpha1.ReasonUploadFailed), true
		}
	}
	return plan{}, false
}

// keepsDying says that a container was started again too often, and is down again.
func keepsDying(pod *corev1.Pod, name string) bool {
	status := containerStatus(pod, name)
	return status.RestartCount > maxRestarts && (status.State.Waiting != nil || killed(status.State))
}

// stop writes down why the attempt is to be stopped.
func stop(o observed, reason string) plan {
	return plan{
		Stop: reason, Verdict: stoppingVerdict(o, reason),
		Next: next{After: brief, Why: "the Job is deleted by what the status says, also if its write brings no event"},
	}
}

// attemptStopped carries a stop through.
func attemptStopped(o observed, _ Options) (plan, bool) {
	reason := o.stopping()
	if reason == "" {
		return plan{}, false
	}
	p := plan{Verdict: stoppingVerdict(o, reason)}
	if job := o.ownJob(); job != nil {
		if job.DeletionTimestamp.IsZero() {
			p.Delete = job
		}
		return p, true
	}
	if len(o.busy()) > 0 {
		return p, true
	}
	return stopped(o, reason), true
}

// pause says that the run goes on some time after an attempt that was stopped for this
// reason.
func pause(reason string) bool {
	return reason == v1alpha1.ReasonSuspended || reason == v1alpha1.ReasonPaymentRequired
}

// stopped is what follows when nothing of the attempt runs any more.
func stopped(o observed, reason string) plan {
	if !pause(reason) {
		return concluded(o, stopVerdict(o.Run, reason))
	}
	p := plan{End: &attemptEnd{Result: v1alpha1.AttemptSuspended, Reason: reason}}
	switch {
	case o.Run.Spec.Cancel:
		p.Verdict = cancelled(o.Run)
	case o.Run.Spec.Suspend:
		p.Verdict = suspended(o.Run)
	case o.unpaid():
		p.Verdict = paymentRequired(o.Run)
	default:
		p.Verdict = starting(v1alpha1.ReasonResumed, "the run goes on, because what it was suspended for is over")
	}
	return p
}

// stoppingVerdict keeps the state that the run has reached, until its Pods are gone.
func stoppingVerdict(o observed, reason string) verdict {
	if pause(reason) {
		why := "spec.suspend is set"
		if reason == v1alpha1.ReasonPaymentRequired {
			why = "the tenant's billing is suspended"
		}
		v := ending(o.Run, fmt.Sprintf("%s; the trainer has %s to write a last checkpoint, and the run goes on from it later", why, grace(o.Run)))
		v.Reason = v1alpha1.ReasonSuspending
		return v
	}
	told := o.Run.Status.Message
	if o.stopping() == "" {
		told = stopVerdict(o.Run, reason).Message
		if reason == v1alpha1.ReasonCancelled {
			told = cancelSet // more is known when it has stopped
		}
		if !readClock(o).running.IsZero() {
			told += fmt.Sprintf("; the trainer has %s to write a last checkpoint", grace(o.Run))
		}
	}
	return ending(o.Run, told)
}

// runSuspended keeps a run from starting that is suspended.
func runSuspended(o observed, _ Options) (plan, bool) {
	if !o.Run.Spec.Suspend {
		return plan{}, false
	}
	return plan{Verdict: suspended(o.Run)}, true
}

func suspended(run *v1alpha1.TrainingRun) verdict {
	from := "starts"
	if run.Status.Attempt > 0 {
		from = "goes on from its last checkpoint"
	}
	return verdict{State: v1alpha1.RunSuspended, Reason: v1alpha1.ReasonSuspended, Message: fmt.Sprintf(
		"spec.suspend is set; the run holds no GPUs, and %s when it is set to false", from)}
}

// limitSpent ends a run for whose next attempt nothing is left of its limits.
func limitSpent(o observed, _ Options) (plan, bool) {
	left, limited := remaining(o)
	if !limited || left > 0 {
		return plan{}, false
	}
	return plan{Verdict: overLimit(o.Run, nextLimit(o.Run))}, true
}

// podsLeft waits until nothing of an older attempt is left that could write, or whose
// time is not counted, and takes its Job away.
func podsLeft(o observed, _ Options) (plan, bool) {
	if o.ownJob() != nil {
		return plan{}, false
	}
	if o.Previous != nil {
		p := plan{}
		if o.Previous.DeletionTimestamp.IsZero() {
			p.Delete = o.Previous
		}
		return p, true
	}
	for _, pod := range o.Strays {
		if over(&pod) && !accountable(&pod) {
			continue
		}
		var p plan
		if o.Run.Status.Attempt == 0 {
			p.Verdict = waiting(v1alpha1.ReasonJobNotOwned, fmt.Sprintf(
				"a Pod %q that says to be this run's, and is not, stands in its way; delete it", pod.Name))
		}
		return p, true
	}
	return plan{}, false
}
