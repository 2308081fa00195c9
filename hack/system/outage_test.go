package system_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// The tests of this file stop parts that all journeys share, or take all GPUs, so they
// do not run beside any other.

// outage is for how long the store is away. It is shorter than the minute of a real
// restart, so that all journeys together stay bounded; LETHE_TEST_OUTAGE=60s makes it one.
func outage(t *testing.T) time.Duration {
	t.Helper()
	asked := os.Getenv("LETHE_TEST_OUTAGE")
	if asked == "" {
		return 15 * time.Second
	}
	d, err := time.ParseDuration(asked)
	if err != nil {
		t.Fatalf("LETHE_TEST_OUTAGE: %v", err)
	}
	return d
}

// stayAway lets an outage last.
func stayAway(t *testing.T) {
	t.Helper()
	select {
	case <-t.Context().Done():
	case <-time.After(outage(t)):
	}
}

// TestStoreStopsWhileTraining: training goes on, progress is told, and the checkpoint of
// that time is stored when the store is back.
func TestStoreStopsWhileTraining(t *testing.T) {
	ns := journey(t)
	away := outage(t)
	steps := int((away + 60*time.Second) / unrulyStep)
	create(t, unruly(ns, "steady", steps, nil))
	before := waitCheckpoint(t, ns, "steady", 1)
	back := withoutStore(t)
	begun := *waitFor(t, ns, "steady", "to tell of a step", hasStep).Status.Progress.Step
	target := begun + int64(away/unrulyStep)
	during := waitFor(t, ns, "steady", fmt.Sprintf("to step %d without a store", target), func(s v1alpha1.TrainingRunStatus) bool {
		return hasStep(s) && *s.Progress.Step >= target
	})
	if during.Status.State != v1alpha1.RunRunning {
		t.Errorf("the run is %s while the store is away", outline(during.Status))
	}
	// What was under way when the store stopped may just have been told.
	if got, most := newestStep(during.Status), newestStep(before.Status)+int64(3*unrulyInterval/unrulyStep); got > most {
		t.Errorf("a checkpoint of step %d is said to be in a store that is away", got)
	}
	back()
	waitCheckpoint(t, ns, "steady", begun)
	run := waitRun(t, ns, "steady", v1alpha1.RunSucceeded)
	assertAttempts(t, run, v1alpha1.AttemptSucceeded)
	if trail := trailOf(t, run); len(trail) != 1 {
		t.Errorf("the trail is %+v, want one process", trail)
	}
}

func hasStep(s v1alpha1.TrainingRunStatus) bool { return s.Progress != nil && s.Progress.Step != nil }

// TestKilledStageInGoesOn in the same Pod, from its journal.
func TestKilledStageInGoesOn(t *testing.T) {
	ns := journey(t)
	folder := filepath.Join(t.TempDir(), "large")
	if err := os.CopyFS(folder, os.DirFS(lab.dataset)); err != nil {
		t.Fatal(err)
	}
	const each = 32
	for i := range transferMiB / each {
		writeRandom(t, filepath.Join(folder, fmt.Sprintf("large-%02d.bin", i)), each<<20)
	}
	lethe(t, "upload", folder, "large", "-n", ns)
	create(t, unruly(ns, "broken-off", 4, nil, func(run *v1alpha1.TrainingRun) { run.Spec.DatasetRef.Name = "large" }))
	eventually(t, "stage-in to run", func(ctx context.Context) (bool, string, error) {
		return containerRuns(ctx, ns, staging.ContainerStageIn)
	})
	follow(t, ns, staging.ContainerStageIn).until(`"percent"`)
	pod := podsOf(t, ns, "broken-off")[0]
	kill(t, pod, staging.ContainerStageIn)
	run := waitRun(t, ns, "broken-off", v1alpha1.RunSucceeded)
	assertAttempts(t, run, v1alpha1.AttemptSucceeded)
	var after corev1.Pod
	if err := lab.kube.Get(t.Context(), client.ObjectKeyFromObject(&pod), &after); err != nil || after.UID != pod.UID {
		t.Fatalf("the pod is another one (%v)", err)
	}
	for _, c := range after.Status.InitContainerStatuses {
		if c.Name == staging.ContainerStageIn && c.RestartCount != 1 {
			t.Errorf("stage-in was started again %d times, want once", c.RestartCount)
		}
	}
	if got := run.Status.Attempts[0].Disruptions; got != 0 {
		t.Errorf("%d Pods were replaced, want none", got)
	}
}

// manyRuns are far more than the lab has GPUs.
const manyRuns = 50

// TestFiftyRunsAtOnce on the lab's four GPUs: all succeed, in their turn, and each is
// counted once.
func TestFiftyRunsAtOnce(t *testing.T) {
	const limit, gpus = 12 * time.Minute, 4
	ns := journey(t)
	begun := time.Now()
	for i := range manyRuns {
		create(t, unruly(ns, fmt.Sprintf("many-%02d", i), 4, nil, hardware(1, 1)))
	}
	var runs v1alpha1.TrainingRunList
	within(t, limit, "all runs to succeed", func(ctx context.Context) (bool, string, error) {
		if err := lab.kube.List(ctx, &runs, client.InNamespace(ns)); err != nil {
			return false, "", err
		}
		count := map[v1alpha1.RunState]int{}
		for _, run := range runs.Items {
			count[run.Status.State]++
			if run.Status.State == v1alpha1.RunFailed {
				t.Fatalf("run %s failed: %s", run.Name, outline(run.Status))
			}
		}
		return count[v1alpha1.RunSucceeded] == manyRuns, fmt.Sprint(count), nil
	})
	took := time.Since(begun)
	sum := int64(0)
	for _, run := range runs.Items {
		if len(run.Status.Attempts) != 1 || run.Status.Artifacts == nil || run.Status.Usage == nil {
			t.Errorf("run %s: %s, usage %+v", run.Name, outline(run.Status), run.Status.Usage)
			continue
		}
		sum += run.Status.Usage.GPUSeconds
	}
	// Each Pod's time is rounded up to a second.
	if most := int64(gpus*took.Seconds()) + manyRuns; sum > most || sum < 2*manyRuns {
		t.Errorf("%d GPU-seconds were counted in %s on %d GPUs, want %d to %d", sum, took.Round(time.Second), gpus, 2*manyRuns, most)
	}
	t.Logf("%d runs in %s, %d GPU-seconds", manyRuns, took.Round(time.Second), sum)
	assertWaitsWereExplained(t, ns)
}

// assertWaitsWereExplained: whoever waited for a GPU could read so in an event.
func assertWaitsWereExplained(t *testing.T, ns string) {
	t.Helper()
	out := kubectl(t, "-n", ns, "get", "events", "-o", "jsonpath={range .items[*]}{.reason} {.involvedObject.kind}{\"\\n\"}{end}")
	if !strings.Contains(out, v1alpha1.ReasonUnschedulable+" TrainingRun") {
		t.Errorf("no run said that it waits for a GPU:\n%s", out)
	}
}
