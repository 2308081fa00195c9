package trainingrun

import (
	"cmp"
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// foreignInterval is how often something of somebody else's that is in the way is looked
// at again.
const foreignInterval = time.Minute

// jobNotOwned keeps the run's hands off a Job of its name that it did not make.
func jobNotOwned(o observed, _ Options) (plan, bool) {
	if o.Job == nil {
		return plan{}, false
	}
	return plan{
		Verdict: waiting(v1alpha1.ReasonJobNotOwned, fmt.Sprintf(
			"a Job %q that is not this run's stands in its way; delete it, or create the run under another name", o.Job.Name)),
		Next: next{
			After: foreignInterval,
			Why:   "the cache may hold only Jobs of runs, so no event tells when a foreign one goes",
		},
	}, true
}

// serviceNotOwned keeps nodes from looking for each other behind a name that is somebody
// else's. Services are not watched, so it is asked for when it matters.
func serviceNotOwned(o observed, _ Options) (plan, bool) {
	switch {
	case !gang(o.Run):
		return plan{}, false
	case !o.ServiceAsked:
		return plan{Ask: askService}, true
	case o.Service == nil || owns(o.Run, o.Service):
		return plan{}, false
	}
	return plan{
		Verdict: waiting(v1alpha1.ReasonServiceNotOwned, fmt.Sprintf(
			"a Service %q that is not this run's stands in the way of its nodes; delete it, or create the run under another name", resources.ServiceName(o.Run))),
		Next: next{After: foreignInterval, Why: "Services are not watched"},
	}, true
}

// jobLost ends a run whose Job was there and is gone, or was replaced, and that nobody
// wished to stop. It is not made again: the trainer may have run for days, and running it
// twice would be paid for twice.
//
// It waits for Pods that were cut off from the Job: while one runs, a copy of the
// dataset exists, and a run that has ended no longer protects it.
func jobLost(o observed, _ Options) (plan, bool) {
	if o.ownJob() != nil || !o.began() {
		return plan{}, false
	}
	if pods := lingering(o.Strays); len(pods) > 0 {
		return plan{Verdict: ending(o.Run, fmt.Sprintf(
			"the run's Job was deleted, and the run ends as soon as its Pod %q is gone; delete the Pod if it stays", pods[0].Name))}, true
	}
	return plan{
		Verdict: explained(v1alpha1.ReasonJobLost, "the run's Job was deleted by somebody else"),
		End:     &attemptEnd{Result: v1alpha1.AttemptStopped, Reason: v1alpha1.ReasonJobLost},
	}, true
}

// jobAltered stops an attempt whose Job's template was edited, before a Pod follows what
// it says now.
func jobAltered(o observed, _ Options) (plan, bool) {
	if o.ownJob() == nil || !altered(o) {
		return plan{}, false
	}
	return stop(o, v1alpha1.ReasonJobLost), true
}

// altered holds the template of the run's own Job against the run and its dataset. What
// neither the status nor the dataset can tell any more is not judged.
func altered(o observed) bool {
	made := resources.Attempt{Number: o.number(), Dataset: resources.Bound(o.Job)}
	if o.Run.Status.Dataset != nil || o.Dataset != nil && o.Dataset.Status.ManifestDigest != "" {
		made.Dataset = snapshot(o)
	}
	return !resources.Unaltered(o.Job, o.Run, made)
}

// ending keeps the state that the run has reached and says that it will not go on.
func ending(run *v1alpha1.TrainingRun, message string) verdict {
	state := run.Status.State
	if state == "" || state == v1alpha1.RunPending || state == v1alpha1.RunSuspended {
		state = v1alpha1.RunStarting
	}
	return verdict{State: state, Reason: v1alpha1.ReasonEnding, Message: message}
}

// jobQueued tells why a Job waits for its queue.
func jobQueued(o observed, _ Options) (plan, bool) {
	job := o.ownJob()
	if job == nil || !suspendedJob(job) {
		return plan{}, false
	}
	v := verdict{
		State: v1alpha1.RunQueued, Reason: v1alpha1.ReasonQueued,
		Message: "the run's Job is suspended (Job.spec.suspend), and not by the run; whoever did that lets it go on",
	}
	p := plan{Deadline: deadlineDue(o), Next: startTimer(o)}
	if o.Run.Spec.QueueName != "" {
		v.Reason, v.Message = cmp.Or(o.Queue.Reason, v.Reason), o.Queue.told()
		p.Next = sooner(p.Next, next{After: queueInterval, Why: "what a queue says of a Job is not watched"})
	}
	p.Verdict = v
	return p, true
}

// startTimer is when the attempt has waited for too long.
func startTimer(o observed) next {
	left, waits := startBy(o)
	if !waits {
		return next{}
	}
	return next{After: max(left, time.Second), Why: "the attempt is given up at limits.startWithin"}
}
