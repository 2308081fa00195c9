package diagnosis

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/layout"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/overview"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/terminal"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

const (
	// patience is how long an operator may take to look at a new run; it takes
	// milliseconds.
	patience = 30 * time.Second
	// quiet is how long a trainer may show no sign of life before that is pointed out.
	quiet = 5 * time.Minute
)

// Write explains the state of a run.
func Write(screen terminal.Screen, f Facts, now time.Time) error {
	s := &layout.Sheet{Columns: screen.Columns()}
	head(s, f, now)
	todo(s, screen, f, now)
	overview.Attempts(s, f.Run, now)
	gpus(s, f)
	events(s, f, now)
	overview.LogTail(s, f.Run.Status.Failure)
	unread(s, f)
	return s.Write(screen.Out)
}

func head(s *layout.Sheet, f Facts, now time.Time) {
	run, status := f.Run, f.Run.Status
	s.Field("Run", run.Name)
	s.Field("State", cmp.Or(string(status.State), "New")+overview.Because(string(status.State), status.Reason, ""))
	since := overview.Since(run)
	s.Field("Since", fmt.Sprintf("%s (%s)", words.Duration(now.Sub(since)), since.UTC().Format(time.RFC3339)))
	s.Field("Meaning", meaning(f, now))
	s.Field("Message", status.Message)
	if failure := status.Failure; failure != nil {
		if failure.Message != status.Message {
			s.Field("Because", failure.Message)
		}
		s.Field("Where", where(run, failure))
		s.Field("Blame", blamed[failure.Blame])
	}
	if c := apimeta.FindStatusCondition(status.Conditions, v1alpha1.ConditionQuotaReserved); c != nil && c.Status == metav1.ConditionFalse {
		s.Field("Queue", strings.TrimSuffix(c.Reason+": "+c.Message, ": "))
	}
	if ds := f.Dataset; ds != nil {
		s.Field("Dataset", overview.Summary(string(ds.Status.State), ds.Status.Reason, ds.Status.Message))
	}
	s.Field("Last sign", lastSign(run, now))
}

// meaning says in plain words what the state and its reason are.
func meaning(f Facts, now time.Time) string {
	run := f.Run
	switch {
	case run.DeletionTimestamp != nil:
		return "The run is being deleted. It goes when its Pods have ended and its artifacts are taken care of."
	case run.Status.State == "" && now.Sub(run.CreationTimestamp.Time) < patience:
		return "The run was made a moment ago, and the operator looks at it now."
	case run.Status.State == "":
		return "The operator has not looked at the run, so it does not work."
	}
	if known, ok := reasons[run.Status.Reason]; ok {
		return fill(run, known.means)
	}
	return ""
}

// fill puts the run's own names into a text.
func fill(run *v1alpha1.TrainingRun, text string) string {
	return strings.NewReplacer(
		"OTHER-RUN", otherRun(run), "RUN", run.Name, " NS", " "+run.Namespace, "DATASET", run.Spec.DatasetRef.Name,
		"QUEUE", cmp.Or(run.Spec.QueueName, "QUEUE"),
	).Replace(text)
}

func otherRun(run *v1alpha1.TrainingRun) string {
	if from := run.Spec.Checkpoint.From; from != nil {
		return from.RunName
	}
	return "OTHER"
}

func where(run *v1alpha1.TrainingRun, f *v1alpha1.RunFailure) string {
	var parts []string
	if f.Container != "" {
		parts = append(parts, "container "+f.Container)
	}
	if f.Node != nil && run.Spec.Nodes.Size() > 1 {
		parts = append(parts, "node "+strconv.Itoa(int(*f.Node)))
	}
	if f.ExitCode != nil {
		parts = append(parts, fmt.Sprintf("exit code %d%s", *f.ExitCode, signal(*f.ExitCode)))
	}
	return strings.Join(parts, ", ")
}

// signal says which signal ended a program, for the usual ones.
func signal(code int32) string {
	switch code {
	case 128 + 6:
		return " (it aborted, SIGABRT)"
	case 128 + 9:
		return " (it was killed, SIGKILL)"
	case 128 + 11:
		return " (it touched memory that is not its own, SIGSEGV)"
	case 128 + 15:
		return " (it was asked to stop, SIGTERM)"
	}
	return ""
}

// lastSign points out that a trainer that runs is quiet.
func lastSign(run *v1alpha1.TrainingRun, now time.Time) string {
	p := run.Status.Progress
	if run.Status.State != v1alpha1.RunRunning || p == nil || p.LastActivityTime == nil {
		return ""
	}
	idle := now.Sub(p.LastActivityTime.Time)
	if idle < quiet {
		return ""
	}
	text := fmt.Sprintf("the trainer has shown no sign of life for %s: no progress, no line of log, no checkpoint", words.Duration(idle))
	if limit := run.Spec.Limits.StalledAfter; limit != nil {
		return text + "; the attempt counts as failed after " + words.Duration(limit.Duration)
	}
	return text + "; nothing ends it, because the run has no limits.stalledAfter"
}

func todo(s *layout.Sheet, screen terminal.Screen, f Facts, now time.Time) {
	items := advice(f, now)
	if len(items) == 0 {
		return
	}
	s.Gap()
	s.Line(screen.Paint(terminal.Bold, "What to do:"))
	for _, item := range items {
		s.Item(item)
	}
}

// advice is the operator's hint, if there is one, and then what can be done in general.
func advice(f Facts, now time.Time) []string {
	run := f.Run
	var items []string
	if failure := run.Status.Failure; failure != nil && failure.Hint != "" {
		items = append(items, failure.Hint)
	}
	if run.Status.State == "" && now.Sub(run.CreationTimestamp.Time) >= patience {
		return append(items, "See whether the operator runs: kubectl -n lethe-system get pods")
	}
	if run.DeletionTimestamp != nil {
		return append(items, "Wait, or see what holds it up: kubectl lethe status "+run.Name+" -n "+run.Namespace)
	}
	for _, item := range reasons[run.Status.Reason].do {
		if item == goOnFrom && len(run.Status.Checkpoints) == 0 {
			continue
		}
		items = append(items, fill(run, item))
	}
	return slices.Compact(items)
}

func gpus(s *layout.Sheet, f Facts) {
	if f.GPUs == nil {
		return
	}
	s.Gap()
	nodes := f.Run.Spec.Nodes
	asks := words.Count(nodes.GPUs(), "GPU")
	if size := nodes.Size(); size > 1 {
		asks = fmt.Sprintf("%s on %d nodes", asks, size)
	}
	s.Line("The run asks for " + asks + kindOf(nodes) + ".")
	if text := room(f.Run, f.GPUs); text != "" {
		s.Text(text)
	}
	rows := [][]string{{"GPUS OF THE CLUSTER", "NODES", "IN ALL", "FREE", "MOST FREE ON A NODE"}}
	for _, kind := range f.GPUs {
		free, most := "?", "?"
		if kind.FreeKnown {
			free, most = strconv.FormatInt(kind.Free, 10), strconv.FormatInt(kind.LargestFree, 10)
		}
		rows = append(rows, []string{cmp.Or(kind.Product, "(not labelled)"), strconv.Itoa(kind.Nodes), strconv.FormatInt(kind.Total, 10), free, most})
	}
	s.Table(rows)
}

func events(s *layout.Sheet, f Facts, now time.Time) {
	if len(f.Events) == 0 {
		return
	}
	rows := [][]string{{"EVENT", "AGE", "TIMES", "ABOUT"}}
	for _, e := range f.Events {
		rows = append(rows, []string{e.Reason, words.Duration(now.Sub(e.Time)), strconv.Itoa(int(e.Count)), describeEvent(e)})
	}
	s.Gap()
	s.Table(rows)
}

func unread(s *layout.Sheet, f Facts) {
	if len(f.Unread) == 0 {
		return
	}
	s.Gap()
	s.Line("Could not be read:")
	for _, what := range f.Unread {
		s.Item(what)
	}
}

func kindOf(nodes v1alpha1.Nodes) string {
	if nodes.GPUProduct == "" {
		return ""
	}
	return " of kind " + nodes.GPUProduct
}
