package runbar

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/terminal"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

var now = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) *metav1.Time { return &metav1.Time{Time: now.Add(d)} }

func run(state v1alpha1.RunState, mods ...func(*v1alpha1.TrainingRun)) *v1alpha1.TrainingRun {
	r := &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{Name: "digits-1", CreationTimestamp: *at(-time.Hour)},
		Status:     v1alpha1.TrainingRunStatus{State: state, Attempt: 1},
	}
	for _, mod := range mods {
		mod(r)
	}
	return r
}

func because(reason, message string) func(*v1alpha1.TrainingRun) {
	return func(r *v1alpha1.TrainingRun) { r.Status.Reason, r.Status.Message = reason, message }
}

func told(p v1alpha1.Progress) func(*v1alpha1.TrainingRun) {
	return func(r *v1alpha1.TrainingRun) { r.Status.Progress = &p }
}

func whole(step int64) v1alpha1.Progress {
	return v1alpha1.Progress{
		Step: &step, TotalSteps: new(int64(2000)), Epoch: new(int64(3)), Epochs: new(int64(10)),
		Metrics:                 []v1alpha1.Metric{{Name: "loss", Value: "0.1234567"}, {Name: "accuracy", Value: "0.95"}, {Name: "lr", Value: "0.0003"}},
		EstimatedCompletionTime: at(83 * time.Minute), LastUpdateTime: at(-5 * time.Second),
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	old := whole(840)
	old.LastUpdateTime = at(-time.Hour)
	var b strings.Builder
	for _, c := range []struct {
		name string
		run  *v1alpha1.TrainingRun
	}{
		{"new", run("")},
		{"queued", run(v1alpha1.RunQueued)},
		{"tells nothing", run(v1alpha1.RunRunning)},
		{"under way", run(v1alpha1.RunRunning, told(whole(840)))},
		{"at its end", run(v1alpha1.RunRunning, told(whole(2000)))},
		{"silent for an hour", run(v1alpha1.RunRunning, told(old))},
		{"without an end", run(v1alpha1.RunRunning, told(v1alpha1.Progress{Step: new(int64(840))}))},
		{"ended", run(v1alpha1.RunSucceeded, told(whole(2000)))},
	} {
		b.WriteString("# " + c.name + "\n")
		for _, width := range []int{0, 150, 100, 79, 60, 40, 20, 10, 1} {
			line := Line(c.run, now, width)
			if width > 0 && words.Length(line) > width {
				t.Errorf("%s: %q does not fit into %d columns", c.name, line, width)
			}
			b.WriteString(line + "|\n")
		}
	}
	golden(t, "lines.txt", b.String())
}

// story is a run that fails once.
func story() []*v1alpha1.TrainingRun {
	first := func(r *v1alpha1.TrainingRun) { r.Status.Attempts = []v1alpha1.Attempt{{Number: 1}} }
	second := func(r *v1alpha1.TrainingRun) {
		r.Status.Attempt = 2
		r.Status.Attempts = []v1alpha1.Attempt{
			{Number: 1, Result: v1alpha1.AttemptFailed, Reason: v1alpha1.ReasonNonZeroExit, ExitCode: new(int32(3))}, {Number: 2},
		}
		r.Status.Checkpoints = []v1alpha1.Checkpoint{{ID: "0001-000500", Step: 500, Bytes: 1 << 20}}
	}
	ended := func(r *v1alpha1.TrainingRun) {
		second(r)
		r.Status.Attempts[1].Result = v1alpha1.AttemptSucceeded
	}
	return []*v1alpha1.TrainingRun{
		run(""),
		run(v1alpha1.RunPending, because(v1alpha1.ReasonDatasetNotReady, "the dataset is\x1b[2J checked")),
		run(v1alpha1.RunRunning, because(v1alpha1.ReasonTraining, "the trainer runs"), first),
		run(v1alpha1.RunRunning, because(v1alpha1.ReasonTraining, "the trainer runs"), first, told(whole(500))),
		run(v1alpha1.RunRunning, because(v1alpha1.ReasonTraining, "the trainer runs"), first, told(whole(600))),
		run(v1alpha1.RunStarting, because(v1alpha1.ReasonRetrying, "attempt 2 starts"), second, told(whole(600))),
		run(v1alpha1.RunSucceeded, because(v1alpha1.ReasonPublished, ""), ended),
	}
}

// utc is a clock that is the same everywhere.
type utc struct{ clock.RealClock }

func (utc) Now() time.Time { return time.Now().UTC() }

func TestDisplay(t *testing.T) {
	t.Parallel()
	for name, screen := range map[string]terminal.Screen{
		"plain": {}, "terminal": {Width: func() int { return 70 }, Color: true}, "no-color": {Width: func() int { return 40 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var b strings.Builder
				screen.Out = &b
				d := &Display{Screen: screen, Clock: utc{}}
				time.Sleep(time.Until(now)) // In the bubble's time.
				stop := d.Start()
				time.Sleep(redraw / 2)
				for _, state := range story() {
					d.Show(state)
					time.Sleep(20 * time.Second)
				}
				stop()
				golden(t, name+".txt", strings.ReplaceAll(strings.ReplaceAll(b.String(), erase, "<erase>\n"), "\x1b", "<esc>"))
			})
		})
	}
}
