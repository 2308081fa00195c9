package system_test

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// Training that is broken off, and goes on from a checkpoint.

// TestKilledTrainerResumes: SIGKILL leaves the trainer no time for anything.
func TestKilledTrainerResumes(t *testing.T) {
	t.Parallel()
	ns := journey(t)
	create(t, unruly(ns, "killed", 80, nil, retries(1), hardware(1, 1)))
	before := waitCheckpoint(t, ns, "killed", 1)
	kill(t, podsOf(t, ns, "killed")[0], staging.ContainerTrainer)
	run := waitRun(t, ns, "killed", v1alpha1.RunSucceeded)
	assertAttempts(t, run, v1alpha1.AttemptFailed, v1alpha1.AttemptSucceeded)
	assertResumed(t, run, 2, int(newestStep(before.Status)), 80)
	first, second := run.Status.Attempts[0], run.Status.Attempts[1]
	if first.ExitCode == nil || *first.ExitCode != 137 || second.ResumedFrom == "" {
		t.Errorf("attempts %+v, want exit code 137, and one that was resumed", run.Status.Attempts)
	}
	used := run.Status.Usage
	if used == nil || used.GPUSeconds != first.GPUSeconds+second.GPUSeconds || used.GPUSeconds < 40 {
		t.Errorf("usage %+v of attempts %+v, want their sum, and at least the 40 s of 80 steps", used, run.Status.Attempts)
	}
	// A checkpoint is written every 2.5 s, and the last one is stored when the trainer has
	// ended; what a start takes comes on top.
	if used != nil && (used.LostGPUSeconds > 15 || used.LostGPUSeconds != first.LostGPUSeconds) {
		t.Errorf("usage %+v, want at most 15 GPU-seconds lost, all of them in the first attempt", used)
	}
}

// TestDrainedNodeResumes does what an administrator does to a node: kubectl drain, which
// cordons it and evicts through the Eviction API, and kubectl uncordon. The lab has one
// node only, so no other journey runs meanwhile.
func TestDrainedNodeResumes(t *testing.T) {
	ns := journey(t)
	create(t, unruly(ns, "moved", 80, nil, hardware(1, 1)))
	before := waitCheckpoint(t, ns, "moved", 1)
	node := podsOf(t, ns, "moved")[0].Spec.NodeName
	uncordon := func(ctx context.Context) {
		if out, err := command(ctx, tool("kubectl"), "uncordon", node); err != nil {
			t.Errorf("uncordon %s: %v\n%s", node, err, out)
		}
	}
	t.Cleanup(func() { uncordon(context.Background()) })
	kubectl(t, "drain", node, "--pod-selector="+v1alpha1.LabelRun+"=moved", "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=2m")
	waitFor(t, ns, "moved", "to wait for another node", func(s v1alpha1.TrainingRunStatus) bool {
		return s.Reason == v1alpha1.ReasonUnschedulable && s.Message != ""
	})
	uncordon(t.Context())
	run := waitRun(t, ns, "moved", v1alpha1.RunSucceeded)
	assertAttempts(t, run, v1alpha1.AttemptSucceeded)
	assertResumed(t, run, 1, int(newestStep(before.Status)), 80)
	only := run.Status.Attempts[0]
	if only.Disruptions != 1 || run.Status.ChargedAttempts != 0 {
		t.Errorf("attempt %+v with %d charged, want one disruption that costs nothing", only, run.Status.ChargedAttempts)
	}
	// The kubelet's times are in whole seconds, so each Pod may seem to be a second shorter.
	if run.Status.Usage == nil || run.Status.Usage.GPUSeconds < 40-2 {
		t.Errorf("usage %+v, want both Pods' time, at least the 40 s of 80 steps", run.Status.Usage)
	}
	t.Logf("usage %+v, attempt %+v", run.Status.Usage, only)
}

// TestOperatorRestartsWhileTraining: training goes on without it, and nothing is counted
// twice.
func TestOperatorRestartsWhileTraining(t *testing.T) {
	ns := journey(t)
	create(t, unruly(ns, "alone", 40, nil, hardware(1, 1)))
	waitFor(t, ns, "alone", "to its tenth step", func(s v1alpha1.TrainingRunStatus) bool {
		return s.Progress != nil && s.Progress.Step != nil && *s.Progress.Step >= 10
	})
	pod := podsOf(t, ns, "alone")[0]
	kubectl(t, "-n", operatorNamespace, "delete", "pod", "-l", "app.kubernetes.io/name=lethe-manager", "--grace-period=0", "--force")
	run := waitRun(t, ns, "alone", v1alpha1.RunSucceeded)
	kubectl(t, "-n", operatorNamespace, "rollout", "status", "deploy/lethe-manager", "--timeout=2m")
	assertAttempts(t, run, v1alpha1.AttemptSucceeded)
	if trail := trailOf(t, run); len(trail) != 1 || trail[0].To != 40 {
		t.Errorf("the trail is %+v, want one process for all steps", trail)
	}
	var after corev1.Pod
	if err := lab.kube.Get(t.Context(), client.ObjectKeyFromObject(&pod), &after); err != nil || after.UID != pod.UID {
		t.Fatalf("the pod is another one (%v)", err)
	}
	want := trainerSeconds(t, after)
	if used := run.Status.Usage; used == nil || used.GPUSeconds < want || used.GPUSeconds > want+1 {
		t.Errorf("usage %+v, want the %d s for which the trainer ran, once", used, want)
	}
}

// trainerSeconds is for how long a trainer ran by the kubelet's clock, in whole seconds.
func trainerSeconds(t *testing.T, pod corev1.Pod) int64 {
	t.Helper()
	for _, c := range pod.Status.ContainerStatuses {
		if end := c.State.Terminated; c.Name == staging.ContainerTrainer && end != nil {
			return int64(end.FinishedAt.Sub(end.StartedAt.Time).Seconds())
		}
	}
	t.Fatalf("the trainer of %s has not ended", pod.Name)
	return 0
}

// TestSuspendAndResume: the GPUs are given back, and no step is done twice.
func TestSuspendAndResume(t *testing.T) {
	t.Parallel()
	ns := journey(t)
	create(t, unruly(ns, "paused", 60, nil, hardware(1, 1)))
	waitCheckpoint(t, ns, "paused", 1)
	setSuspend(t, ns, "paused", true)
	paused := waitRun(t, ns, "paused", v1alpha1.RunSuspended)
	for _, pod := range podsOf(t, ns, "paused") {
		if pod.Status.Phase == corev1.PodPending || pod.Status.Phase == corev1.PodRunning {
			t.Errorf("the run is suspended, but its pod %s is %s", pod.Name, pod.Status.Phase)
		}
	}
	reached := newestStep(paused.Status)
	setSuspend(t, ns, "paused", false)
	run := waitRun(t, ns, "paused", v1alpha1.RunSucceeded)
	assertAttempts(t, run, v1alpha1.AttemptSuspended, v1alpha1.AttemptSucceeded)
	assertResumed(t, run, 2, int(reached), 60)
	if run.Status.ChargedAttempts != 0 {
		t.Errorf("%d attempts are charged for a suspension", run.Status.ChargedAttempts)
	}
	if trail := trailOf(t, run); len(trail) == 2 && int64(trail[0].To) != reached {
		t.Errorf("the trainer had come to step %d, and the checkpoint of the suspension is of step %d", trail[0].To, reached)
	}
}

// TestDeafTrainerIsKilled: a trainer that ignores SIGTERM can not keep its GPUs.
func TestDeafTrainerIsKilled(t *testing.T) {
	t.Parallel()
	ns := journey(t)
	create(t, unruly(ns, "deaf", 80, told{"DEAF": "true"}))
	before := waitCheckpoint(t, ns, "deaf", 1)
	setSuspend(t, ns, "deaf", true)
	waitRun(t, ns, "deaf", v1alpha1.RunSuspended)
	setSuspend(t, ns, "deaf", false)
	run := waitRun(t, ns, "deaf", v1alpha1.RunSucceeded)
	assertAttempts(t, run, v1alpha1.AttemptSuspended, v1alpha1.AttemptSucceeded)
	assertResumed(t, run, 2, int(newestStep(before.Status)), 80)
}

// TestResumeFromAnotherRun continues what a run that has ended has learned.
func TestResumeFromAnotherRun(t *testing.T) {
	t.Parallel()
	ns := journey(t)
	from := func(name, id string) func(*v1alpha1.TrainingRun) {
		return func(run *v1alpha1.TrainingRun) {
			run.Spec.Checkpoint.Resume = v1alpha1.ResumeFrom
			run.Spec.Checkpoint.From = &v1alpha1.CheckpointReference{RunName: name, ID: id}
		}
	}
	create(t, unruly(ns, "too-early", 50, nil, from("nobody", "")))
	early := waitRunReason(t, ns, "too-early", v1alpha1.ReasonCheckpointNotFound)
	if !strings.Contains(early.Status.Message, "nobody") {
		t.Errorf("the message does not name the run that is missing: %s", early.Status.Message)
	}
	create(t, unruly(ns, "first", 30, nil))
	first := waitRun(t, ns, "first", v1alpha1.RunSucceeded)
	if newestStep(first.Status) != 30 {
		t.Fatalf("the last checkpoint is not of the last step: %s", outline(first.Status))
	}
	last := first.Status.Checkpoints[len(first.Status.Checkpoints)-1]
	create(t, unruly(ns, "newest", 50, nil, from("first", "")))
	create(t, unruly(ns, "chosen", 50, nil, from("first", last.ID)))
	for _, name := range []string{"newest", "chosen"} {
		run := waitRun(t, ns, name, v1alpha1.RunSucceeded)
		assertAttempts(t, run, v1alpha1.AttemptSucceeded)
		assertResumed(t, run, 1, 30, 50)
		if got := run.Status.Attempts[0].ResumedFrom; got != last.ID {
			t.Errorf("%s was resumed from %q, want %s", name, got, last.ID)
		}
	}
}
