package overview

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/headway"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/layout"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/terminal"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

// none stands for what is not known or does not apply.
const none = "-"

// Tables writes the runs, newest first, and the datasets, in the order in which
// they go.
func Tables(screen terminal.Screen, runs []v1alpha1.TrainingRun, datasets []v1alpha1.DatasetRetention, now time.Time) error {
	s := &layout.Sheet{Columns: screen.Columns()}
	rows := [][]string{{"RUN", "STATE", "REASON", "PROGRESS", "DATASET", "GPUS", "TIME", "GPU TIME", "AGE"}}
	for _, run := range newestFirst(runs) {
		rows = append(rows, runRow(&run, now))
	}
	s.Table(rows)
	if len(datasets) > 0 {
		s.Gap()
	}
	rows = [][]string{{"DATASET", "STATE", "REASON", "FILES", "SIZE", "GOES", "AGE"}}
	for _, ds := range soonestFirst(datasets, now) {
		rows = append(rows, datasetRow(&ds, now))
	}
	s.Table(rows)
	return s.Write(screen.Out)
}

func runRow(run *v1alpha1.TrainingRun, now time.Time) []string {
	progress := none
	if percent, ok := headway.Percent(run.Status.Progress); ok {
		progress = strconv.Itoa(percent) + "%"
	}
	return []string{
		run.Name, orNone(string(run.Status.State)), orNone(run.Status.Reason), progress, run.Spec.DatasetRef.Name,
		gpus(run), took(run, now), gpuTime(run), age(run.CreationTimestamp, now),
	}
}

func datasetRow(ds *v1alpha1.DatasetRetention, now time.Time) []string {
	files, size := none, none
	if ds.Status.Objects != nil {
		files = strconv.FormatInt(*ds.Status.Objects, 10)
	}
	if ds.Status.Bytes != nil {
		size = words.Bytes(*ds.Status.Bytes)
	}
	return []string{
		ds.Name, orNone(string(ds.Status.State)), orNone(ds.Status.Reason), files, size,
		Goes(ds, now), age(ds.CreationTimestamp, now),
	}
}

func newestFirst(runs []v1alpha1.TrainingRun) []v1alpha1.TrainingRun {
	return slices.SortedFunc(slices.Values(runs), func(a, b v1alpha1.TrainingRun) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
}

// soonestFirst puts what has no end yet last.
func soonestFirst(datasets []v1alpha1.DatasetRetention, now time.Time) []v1alpha1.DatasetRetention {
	return slices.SortedFunc(slices.Values(datasets), func(a, b v1alpha1.DatasetRetention) int {
		x, y := due(&a, now), due(&b, now)
		switch {
		case x == nil && y != nil:
			return 1
		case x != nil && y == nil:
			return -1
		case x != nil && !x.Equal(*y):
			return x.Compare(*y)
		}
		return cmp.Compare(a.Name, b.Name)
	})
}

// gpus counts those of all nodes; the API server writes down how many each has.
func gpus(run *v1alpha1.TrainingRun) string {
	if run.Spec.Nodes.GPUsPerNode == nil {
		return none
	}
	return strconv.FormatInt(run.Spec.Nodes.GPUs(), 10)
}

// took is how long the trainer has run.
func took(run *v1alpha1.TrainingRun, now time.Time) string {
	if run.Status.StartTime == nil {
		return none
	}
	if end := run.Status.CompletionTime; end != nil {
		return words.Duration(end.Sub(run.Status.StartTime.Time))
	}
	return words.Duration(now.Sub(run.Status.StartTime.Time))
}

func gpuTime(run *v1alpha1.TrainingRun) string {
	if run.Status.Usage == nil {
		return none
	}
	return words.Duration(time.Duration(run.Status.Usage.GPUSeconds) * time.Second)
}

func age(since metav1.Time, now time.Time) string {
	if since.IsZero() {
		return none
	}
	return words.Duration(now.Sub(since.Time))
}

func orNone(s string) string {
	if s == "" {
		return none
	}
	return s
}
