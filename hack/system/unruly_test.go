package system_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// The journeys of runs that go wrong use the trainer in hack/system/internal/unruly,
// which misbehaves as its environment tells it and leaves a trail of its attempts.

const unrulyImage = "lethe.dev/unruly:dev"

// The pace of these journeys. A checkpoint can be stored every ten seconds at most.
const (
	unrulyStep     = 500 * time.Millisecond
	unrulyInterval = 10 * time.Second
	unrulyGrace    = 20 * time.Second
)

// loadUnruly builds that trainer, once, and puts it where the kubelet finds it.
var loadUnruly = sync.OnceValue(func() error {
	folder, err := os.MkdirTemp("", "lethe-unruly-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }() // a temporary folder; the system cleans up after us
	program := filepath.Join(folder, "unruly")
	for _, step := range [][]string{
		{"env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-o", program, "./internal/unruly"},
		{tool("lab"), "load", unrulyImage + "=" + program},
	} {
		if out, err := command(context.Background(), step[0], step[1:]...); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(step, " "), err, out)
		}
	}
	return nil
})

// journey is a namespace with a sealed dataset "digits", and the image of the trainer.
// If the test fails, what the runs say of themselves is printed in full.
func journey(t *testing.T) (ns string) {
	t.Helper()
	if err := loadUnruly(); err != nil {
		t.Fatal(err)
	}
	ns = newNamespace(t)
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, look := range [][]string{
			{"get", "trainingruns", "-o", "yaml"},
			{"logs", "-l", v1alpha1.LabelRun, "--all-containers", "--prefix", "--tail=40", "--ignore-errors"},
		} {
			out, _ := command(ctx, tool("kubectl"), append([]string{"-n", ns}, look...)...)
			t.Logf("kubectl %s:\n%s", strings.Join(look, " "), out)
		}
	})
	upload(t, ns, "digits")
	return ns
}

// told is what the trainer is told: its environment.
type told map[string]string

// unruly is a run of that trainer without GPUs, on the namespace's dataset. It trains for
// so many steps.
func unruly(ns, name string, steps int, env told, change ...func(*v1alpha1.TrainingRun)) *v1alpha1.TrainingRun {
	run := aRun(ns, name, "digits", func(run *v1alpha1.TrainingRun) {
		run.Spec.Trainer.Image = unrulyImage
		run.Spec.Trainer.Env = []v1alpha1.EnvVar{
			{Name: "UNRULY_STEPS", Value: strconv.Itoa(steps)}, {Name: "UNRULY_STEP", Value: unrulyStep.String()},
		}
		for name, value := range env {
			run.Spec.Trainer.Env = append(run.Spec.Trainer.Env, v1alpha1.EnvVar{Name: "UNRULY_" + name, Value: value})
		}
		run.Spec.Checkpoint.Interval = &metav1.Duration{Duration: unrulyInterval}
		run.Spec.Checkpoint.GracePeriod = &metav1.Duration{Duration: unrulyGrace}
		hardware(1, 0)(run)
	})
	for _, f := range change {
		f(run)
	}
	return run
}

func hardware(nodes, gpus int32) func(*v1alpha1.TrainingRun) {
	return func(run *v1alpha1.TrainingRun) { run.Spec.Nodes.Count, run.Spec.Nodes.GPUsPerNode = &nodes, &gpus }
}

// retries lets so many attempts follow one that failed, but not after these exit codes.
func retries(limit int32, never ...int32) func(*v1alpha1.TrainingRun) {
	return func(run *v1alpha1.TrainingRun) {
		run.Spec.Retry = v1alpha1.RetryPolicy{Limit: &limit, NonRetriableExitCodes: never}
	}
}

func limited(change func(*v1alpha1.Limits)) func(*v1alpha1.TrainingRun) {
	return func(run *v1alpha1.TrainingRun) { change(&run.Spec.Limits) }
}

func span(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

// waitFor waits for anything that a run may say of itself. A run that has ended says
// nothing new.
func waitFor(t *testing.T, ns, name, what string, ok func(v1alpha1.TrainingRunStatus) bool) v1alpha1.TrainingRun {
	t.Helper()
	var run v1alpha1.TrainingRun
	eventually(t, fmt.Sprintf("run %s %s", name, what), func(ctx context.Context) (bool, string, error) {
		err := lab.kube.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, &run)
		s := run.Status
		done := err == nil && ok(s)
		if !done && s.State.Finished() {
			t.Fatalf("run %s ended as %s (%s: %s) before it came %s", name, s.State, s.Reason, s.Message, what)
		}
		return done, outline(s), err
	})
	return run
}

// outline is what a status says, in one line.
func outline(s v1alpha1.TrainingRunStatus) string {
	text := fmt.Sprintf("%s %s: %s; attempt %d", s.State, s.Reason, s.Message, s.Attempt)
	if p := s.Progress; p != nil && p.Step != nil {
		text += fmt.Sprintf(", step %d", *p.Step)
	}
	for _, c := range s.Checkpoints {
		text += fmt.Sprintf(", checkpoint %s of step %d", c.ID, c.Step)
	}
	return text
}

// waitCheckpoint waits until a checkpoint of this step, or a later one, is in the store.
func waitCheckpoint(t *testing.T, ns, name string, step int64) v1alpha1.TrainingRun {
	t.Helper()
	return waitFor(t, ns, name, fmt.Sprintf("to a checkpoint of step %d", step), func(s v1alpha1.TrainingRunStatus) bool {
		return newestStep(s) >= step
	})
}

// newestStep is the step of the newest checkpoint; 0 if there is none.
func newestStep(s v1alpha1.TrainingRunStatus) int64 {
	if len(s.Checkpoints) == 0 {
		return 0
	}
	return s.Checkpoints[len(s.Checkpoints)-1].Step
}

func setSuspend(t *testing.T, ns, name string, suspend bool) {
	t.Helper()
	kubectl(t, "-n", ns, "patch", "trainingrun", name, "--type=merge", "-p", fmt.Sprintf(`{"spec":{"suspend":%t}}`, suspend))
}

// leg is what one process of the trainer did; see hack/system/internal/unruly.
type leg struct{ Attempt, From, To int }

// trailOf is what all processes of a run that succeeded did.
func trailOf(t *testing.T, run v1alpha1.TrainingRun) []leg {
	t.Helper()
	at := run.Status.Artifacts.Location
	var published struct {
		Step  int
		Trail []leg
	}
	if err := json.Unmarshal(readObject(t, at.Bucket, objectkey.Data(at.Prefix, "trail.json")), &published); err != nil {
		t.Fatal(err)
	}
	t.Logf("the trail of %s: %+v", run.Name, published.Trail)
	return published.Trail
}

// assertResumed wants the steps of a run to be done by two processes, the second of
// which went on from a checkpoint of this step or a later one. Each was in its attempt.
func assertResumed(t *testing.T, run v1alpha1.TrainingRun, attempt, from, steps int) {
	t.Helper()
	trail := trailOf(t, run)
	if len(trail) != 2 {
		t.Fatalf("the trail is %+v, want two processes", trail)
	}
	first, second := trail[0], trail[1]
	if first.From != 0 || second.From != first.To || second.From < from || second.To != steps || second.Attempt != attempt {
		t.Errorf("the trail is %+v, want the second process to go on from step %d or later, in attempt %d, to step %d",
			trail, from, attempt, steps)
	}
}

// assertAttempts wants attempts that ended like this, in their order.
func assertAttempts(t *testing.T, run v1alpha1.TrainingRun, want ...v1alpha1.AttemptResult) {
	t.Helper()
	var got []v1alpha1.AttemptResult
	for _, a := range run.Status.Attempts {
		got = append(got, a.Result)
		if a.EndTime == nil {
			t.Errorf("attempt %d has no end", a.Number)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the attempts of %s ended as %v, want %v: %+v", run.Name, got, want, run.Status.Attempts)
	}
}

// assertFailure wants a failure with this reason and blame, that says what to do.
func assertFailure(t *testing.T, run v1alpha1.TrainingRun, reason string, blame v1alpha1.Blame) v1alpha1.RunFailure {
	t.Helper()
	f := run.Status.Failure
	if f == nil {
		t.Fatalf("run %s says nothing of its failure: %s", run.Name, outline(run.Status))
	}
	if f.Reason != reason || f.Blame != blame || f.Message == "" || f.Hint == "" {
		t.Errorf("failure %+v, want %s by the %s, a message and a hint", *f, reason, blame)
	}
	return *f
}

// podsOf are those of a run, the oldest first.
func podsOf(t *testing.T, ns, run string) []corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	if err := lab.kube.List(t.Context(), &pods, client.InNamespace(ns), client.MatchingLabels{v1alpha1.LabelRun: run}); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	return pods.Items
}

// kill sends SIGKILL to a container's program, as the kernel would. The lab's containers
// run on this machine.
func kill(t *testing.T, pod corev1.Pod, container string) {
	t.Helper()
	id := ""
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if c.Name == container && c.State.Running != nil {
			_, id, _ = strings.Cut(c.ContainerID, "://")
		}
	}
	if id == "" {
		t.Fatalf("%s of the pod %s does not run", container, pod.Name)
	}
	processes, err := processesOf(os.DirFS("/proc"), id)
	if err != nil || len(processes) == 0 {
		t.Fatalf("no process of %s found on this machine: %v", container, err)
	}
	for _, process := range processes {
		if err := syscall.Kill(process, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
}

// processesOf finds those in whose cgroups' names a container's ID is.
func processesOf(proc fs.FS, container string) ([]int, error) {
	files, err := fs.Glob(proc, "[0-9]*/cgroup")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, file := range files {
		text, err := fs.ReadFile(proc, file)
		if err != nil || !strings.Contains(string(text), container) {
			continue // It has ended meanwhile, or is another's.
		}
		if id, err := strconv.Atoi(filepath.Dir(file)); err == nil {
			found = append(found, id)
		}
	}
	return found, nil
}

// storedLog is all that the store keeps of what a node's trainer put out in an attempt.
func storedLog(t *testing.T, run v1alpha1.TrainingRun, attempt, node int) string {
	t.Helper()
	prefix := objectkey.LogPrefix(objectkey.OwnerPrefix(run.Namespace, string(run.UID)), attempt, node)
	var text strings.Builder
	for object, err := range lab.store.List(t.Context(), artifactsBucket, prefix) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(object.Key, ".log") {
			_, _ = text.Write(readObject(t, artifactsBucket, object.Key)) // It never fails.
		}
	}
	return text.String()
}

func TestProcessesAreFoundByTheirContainer(t *testing.T) {
	t.Parallel()
	proc := fstest.MapFS{
		"7/cgroup":      {Data: []byte("12:memory:/kubepods/pod1/abc\n0::/\n")},
		"70/cgroup":     {Data: []byte("12:memory:/kubepods/pod1/abcdef\n")},
		"8/cgroup":      {Data: []byte("0::/system.slice\n")},
		"self/cgroup":   {Data: []byte("12:memory:/kubepods/pod1/abcdef\n")},
		"70/task/other": {Data: []byte("abcdef")},
	}
	got, err := processesOf(proc, "abcdef")
	if err != nil || !slices.Equal(got, []int{70}) {
		t.Errorf("got %v (%v), want the process 70", got, err)
	}
}
