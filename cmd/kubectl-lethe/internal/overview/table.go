package overview

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

// none stands for what is not known or does not apply.
const none = "-"

// Tables writes the runs, newest first, and the datasets, in the order in which
// they go.
func Tables(out io.Writer, runs []v1alpha1.TrainingRun, datasets []v1alpha1.DatasetRetention, now time.Time) error {
	rows := [][]string{{"RUN", "STATE", "REASON", "DATASET", "GPUS", "TIME", "GPU TIME", "AGE"}}
	for _, run := range newestFirst(runs) {
		rows = append(rows, runRow(&run, now))
	}
	if err := table(out, rows); err != nil {
		return err
	}
	if len(runs) > 0 && len(datasets) > 0 {
		if _, err := fmt.Fprintln(out); err != nil {
			return fmt.Errorf("write table: %w", err)
		}
	}
	rows = [][]string{{"DATASET", "STATE", "REASON", "FILES", "SIZE", "GOES", "AGE"}}
	for _, ds := range soonestFirst(datasets, now) {
		rows = append(rows, datasetRow(&ds, now))
	}
	return table(out, rows)
}

func runRow(run *v1alpha1.TrainingRun, now time.Time) []string {
	return []string{
		run.Name, orNone(string(run.Status.State)), orNone(run.Status.Reason), run.Spec.DatasetRef.Name,
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

// table writes rows in columns; a header alone is left out.
func table(out io.Writer, rows [][]string) error {
	if len(rows) < 2 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		if _, err := fmt.Fprintln(w, strings.Join(row, "\t")); err != nil {
			return fmt.Errorf("write table: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
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

func gpus(run *v1alpha1.TrainingRun) string {
	if run.Spec.Nodes.GPUsPerNode == nil {
		return none
	}
	return strconv.Itoa(int(*run.Spec.Nodes.GPUsPerNode))
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
