package system_test

import (
	"context"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Limits that a run comes to. Each ends it with a checkpoint and a clear word.

// TestGPUBudgetIsSpent, and another run goes on with a budget of its own.
func TestGPUBudgetIsSpent(t *testing.T) {
	t.Parallel()
	const budget = 20
	ns := journey(t)
	spend := func(seconds int64) func(*v1alpha1.TrainingRun) {
		return limited(func(l *v1alpha1.Limits) { l.MaxGPUSeconds = &seconds })
	}
	create(t, unruly(ns, "poor", 80, nil, hardware(1, 1), spend(budget), retries(3)))
	waitRun(t, ns, "poor", v1alpha1.RunRunning)
	out, err := command(t.Context(), tool("kubectl"), "-n", ns, "patch", "trainingrun", "poor", "--type=merge", "-p", `{"spec":{"limits":{"maxGPUSeconds":10}}}`)
	if err == nil || !strings.Contains(out, "may only be raised") {
		t.Errorf("the budget is lowered: %v, %s", err, out)
	}
	run := waitRun(t, ns, "poor", v1alpha1.RunFailed)
	assertFailure(t, run, v1alpha1.ReasonGPUBudgetReached, v1alpha1.BlameBudget)
	assertAttempts(t, run, v1alpha1.AttemptStopped)
	assertSpent(t, run, budget)
	// 20 s are 40 steps; what a start takes is not training.
	if got := newestStep(run.Status); got < 30 {
		t.Errorf("the last checkpoint is of step %d, want one from the very end: %s", got, outline(run.Status))
	}
	create(t, unruly(ns, "rich", 80, nil, hardware(1, 1), spend(200), func(r *v1alpha1.TrainingRun) {
		r.Spec.Checkpoint.Resume = v1alpha1.ResumeFrom
		r.Spec.Checkpoint.From = &v1alpha1.CheckpointReference{RunName: "poor"}
	}))
	rich := waitRun(t, ns, "rich", v1alpha1.RunSucceeded)
	assertResumed(t, rich, 1, int(newestStep(run.Status)), 80)
}

// assertSpent wants a limit to be used up, and no more over it than the grace period,
// which is on top.
func assertSpent(t *testing.T, run v1alpha1.TrainingRun, limit int64) {
	t.Helper()
	const late = 5 // seconds, until the deadline is seen and the signal sent
	used := run.Status.Usage
	if most := limit + int64(unrulyGrace.Seconds()) + late; used == nil || used.TrainingSeconds < limit-1 || used.TrainingSeconds > most {
		t.Errorf("usage %+v, want %d s to %d s", used, limit, most)
	}
}

// TestDurationIsCumulative: what a suspended run has trained is not forgotten.
func TestDurationIsCumulative(t *testing.T) {
	t.Parallel()
	const limit = 40 * time.Second
	ns := journey(t)
	create(t, unruly(ns, "long", 400, nil, limited(func(l *v1alpha1.Limits) { l.MaxDuration = span(limit) })))
	waitCheckpoint(t, ns, "long", 1)
	setSuspend(t, ns, "long", true)
	paused := waitRun(t, ns, "long", v1alpha1.RunSuspended)
	setSuspend(t, ns, "long", false)
	run := waitRun(t, ns, "long", v1alpha1.RunFailed)
	assertFailure(t, run, v1alpha1.ReasonMaxDurationReached, v1alpha1.BlameBudget)
	assertAttempts(t, run, v1alpha1.AttemptSuspended, v1alpha1.AttemptStopped)
	assertSpent(t, run, int64(limit.Seconds()))
	if newestStep(run.Status) <= newestStep(paused.Status) {
		t.Errorf("no checkpoint came after that of the suspension: %s", outline(run.Status))
	}
}

// TestBudgetHoldsWithoutOperator: the Job's own deadline ends the trainer.
func TestBudgetHoldsWithoutOperator(t *testing.T) {
	const budget = 30
	ns := journey(t)
	seconds := int64(budget)
	create(t, unruly(ns, "orphan", 400, nil, hardware(1, 1), limited(func(l *v1alpha1.Limits) { l.MaxGPUSeconds = &seconds })))
	waitRun(t, ns, "orphan", v1alpha1.RunRunning)
	key := client.ObjectKey{Namespace: ns, Name: "orphan"}
	var job batchv1.Job
	eventually(t, "the Job to have the exact deadline", func(ctx context.Context) (bool, string, error) {
		err := lab.kube.Get(ctx, key, &job)
		deadline := job.Spec.ActiveDeadlineSeconds
		return deadline != nil && *deadline < 5*60, "a deadline with startWithin in it, or none", err
	})
	back := withoutOperator(t)
	eventually(t, "the Job to end the trainer", func(ctx context.Context) (bool, string, error) {
		if err := lab.kube.Get(ctx, key, &job); err != nil {
			return false, "", err
		}
		for _, c := range job.Status.Conditions {
			if c.Reason == batchv1.JobReasonDeadlineExceeded {
				return true, "", nil
			}
		}
		return false, "a Job that goes on", nil
	})
	eventually(t, "the trainer to be gone", func(context.Context) (bool, string, error) {
		for _, pod := range podsOf(t, ns, "orphan") {
			for _, c := range pod.Status.ContainerStatuses {
				if c.State.Running != nil {
					return false, c.Name + " runs", nil
				}
			}
		}
		return true, "", nil
	})
	back()
	run := waitRun(t, ns, "orphan", v1alpha1.RunFailed)
	assertFailure(t, run, v1alpha1.ReasonGPUBudgetReached, v1alpha1.BlameBudget)
	assertSpent(t, run, budget)
}

// stalledAfter is the shortest that the API takes. An idle trainer is told of once a
// minute, so a stall is seen after a good minute.
const stalledAfter = 30 * time.Second

// TestStalledTrainerIsStartedAgain from its last checkpoint.
func TestStalledTrainerIsStartedAgain(t *testing.T) {
	t.Parallel()
	ns := journey(t)
	create(t, unruly(ns, "stuck", 50, told{"DO": "hang", "AT": "30", "ATTEMPT": "1"}, retries(1),
		limited(func(l *v1alpha1.Limits) { l.StalledAfter = span(stalledAfter) })))
	run := waitRun(t, ns, "stuck", v1alpha1.RunSucceeded)
	assertAttempts(t, run, v1alpha1.AttemptFailed, v1alpha1.AttemptSucceeded)
	if got := run.Status.Attempts[0].Reason; got != v1alpha1.ReasonStalled {
		t.Errorf("the first attempt ended for %s, want %s", got, v1alpha1.ReasonStalled)
	}
	assertResumed(t, run, 2, 30, 50)
}

// TestStalledRunFails when no retry is left.
func TestStalledRunFails(t *testing.T) {
	t.Parallel()
	ns := journey(t)
	create(t, unruly(ns, "stuck", 50, told{"DO": "hang", "AT": "12"}, limited(func(l *v1alpha1.Limits) { l.StalledAfter = span(stalledAfter) })))
	run := waitRun(t, ns, "stuck", v1alpha1.RunFailed)
	assertFailure(t, run, v1alpha1.ReasonStalled, v1alpha1.BlameUser)
	if newestStep(run.Status) != 10 {
		t.Errorf("the checkpoint before the stall is not there: %s", outline(run.Status))
	}
}

// TestTrainerThatTalksIsNotStalled although it makes no progress for long.
func TestTrainerThatTalksIsNotStalled(t *testing.T) {
	t.Parallel()
	ns := journey(t)
	create(t, unruly(ns, "slow", 20, told{"DO": "mumble", "AT": "10", "FOR": "100s"},
		limited(func(l *v1alpha1.Limits) { l.StalledAfter = span(stalledAfter) })))
	run := waitRun(t, ns, "slow", v1alpha1.RunSucceeded)
	assertAttempts(t, run, v1alpha1.AttemptSucceeded)
}

// TestImageIsMissing: the run waits for as long as it was told, says why, and gives up.
func TestImageIsMissing(t *testing.T) {
	t.Parallel()
	ns := journey(t)
	create(t, unruly(ns, "nameless", 10, nil, hardware(1, 1), retries(3), func(run *v1alpha1.TrainingRun) {
		run.Spec.Trainer.Image = "registry.invalid/nothing:1"
		run.Spec.Limits.StartWithin = span(30 * time.Second)
	}))
	waitRunReason(t, ns, "nameless", v1alpha1.ReasonImagePull)
	run := waitRun(t, ns, "nameless", v1alpha1.RunFailed)
	f := assertFailure(t, run, v1alpha1.ReasonStartDeadlineExceeded, v1alpha1.BlameBudget)
	if !strings.Contains(f.Message, v1alpha1.ReasonImagePull) {
		t.Errorf("the message does not say what it waited for: %s", f.Message)
	}
	if used := run.Status.Usage; used != nil && used.GPUSeconds != 0 {
		t.Errorf("usage %+v of a run that never started", used)
	}
	waitNoPods(t, ns, "nameless")
}

// waitNoPods waits until nothing of a run holds a GPU any more.
func waitNoPods(t *testing.T, ns, run string) {
	t.Helper()
	eventually(t, "the Pods of "+run+" to end", func(context.Context) (bool, string, error) {
		for _, pod := range podsOf(t, ns, run) {
			if pod.Status.Phase == corev1.PodPending || pod.Status.Phase == corev1.PodRunning {
				return false, pod.Name + " is " + string(pod.Status.Phase), nil
			}
		}
		return true, "", nil
	})
}
