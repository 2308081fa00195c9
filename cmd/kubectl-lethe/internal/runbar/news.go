package runbar

import (
	"cmp"
	"fmt"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/overview"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/terminal"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

// line is one that stays.
type line struct {
	// head is painted in style; text follows.
	head, text string
	style      terminal.Style
}

// news are the lines for what has happened from one look at a run to the next; before
// is nil at the first.
func news(before, after *v1alpha1.TrainingRun) []line {
	var lines []line
	if before != nil {
		lines = append(lines, endedAttempts(before, after)...)
		lines = append(lines, newCheckpoints(before, after)...)
	}
	if before == nil || summary(before) != summary(after) {
		state := cmp.Or(string(after.Status.State), "New")
		because := overview.Because(state, after.Status.Reason, words.Plain(after.Status.Message))
		lines = append(lines, line{state, because, overview.Style(after.Status.State)})
	}
	return lines
}

func summary(run *v1alpha1.TrainingRun) string {
	return overview.Summary(string(run.Status.State), run.Status.Reason, run.Status.Message)
}

// endedAttempts tells of the attempts that others follow; the end of the last one is
// that of the run.
func endedAttempts(before, after *v1alpha1.TrainingRun) []line {
	was := map[int32]v1alpha1.AttemptResult{}
	for _, a := range before.Status.Attempts {
		was[a.Number] = a.Result
	}
	var lines []line
	for _, a := range after.Status.Attempts {
		if a.Result == "" || a.Result == was[a.Number] || after.Status.State.Finished() {
			continue
		}
		lines = append(lines, line{head: fmt.Sprintf("Attempt %d", a.Number), text: " ended: " + overview.Ended(a)})
	}
	return lines
}

func newCheckpoints(before, after *v1alpha1.TrainingRun) []line {
	known := map[string]bool{}
	for _, c := range before.Status.Checkpoints {
		known[c.ID] = true
	}
	var lines []line
	for _, c := range after.Status.Checkpoints {
		if known[c.ID] {
			continue
		}
		text := " is stored, " + words.Bytes(c.Bytes)
		if c.Step > 0 {
			text += fmt.Sprintf(", of step %d", c.Step)
		}
		lines = append(lines, line{head: "Checkpoint " + words.Plain(c.ID), text: text})
	}
	return lines
}
