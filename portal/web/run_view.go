package web

import (
	"strconv"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

func (p *runPage) is(state v1alpha1.RunState) bool { return p.Run.Seen.State == string(state) }

// Percent is how far the run has come; nil when nobody knows.
func (p *runPage) Percent() *float64 {
	told := p.Run.Seen.Progress
	switch {
	case p.is(v1alpha1.RunSucceeded):
		whole := 100.0
		return &whole
	case told.Percent != nil:
		return told.Percent
	case told.TotalSteps > 0:
		percent := min(float64(told.Step)*100/float64(told.TotalSteps), 100)
		return &percent
	default:
		return nil
	}
}

// Progress is how far the run has come, in words; "" when nobody knows.
func (p *runPage) Progress() string {
	told := p.Run.Seen.Progress
	if p.is(v1alpha1.RunSucceeded) {
		return "" // It is done, whatever was told last.
	}
	var parts []string
	if told.TotalSteps > 0 {
		parts = append(parts, "step "+thousands(told.Step)+" of "+thousands(told.TotalSteps))
	} else if told.Step > 0 {
		parts = append(parts, "step "+thousands(told.Step))
	}
	if told.Epochs > 0 {
		parts = append(parts, "epoch "+thousands(told.Epoch)+" of "+thousands(told.Epochs))
	} else if told.Epoch > 0 {
		parts = append(parts, "epoch "+thousands(told.Epoch))
	}
	text := strings.Join(parts, ", ")
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// Left is how long the run will still take; "" when nobody knows.
func (p *runPage) Left() string {
	ends := p.Run.Seen.Progress.EndsAt
	if p.Life.Over || !p.is(v1alpha1.RunRunning) || !ends.After(p.Now) {
		return ""
	}
	return lasting(ends.Sub(p.Now))
}

// Took is how long the run has trained, from its start to its end, to when
// it was gone, or to now.
func (p *runPage) Took() string {
	from, to := p.Run.Seen.StartedAt, p.Run.Seen.EndedAt
	if from.IsZero() {
		return ""
	}
	if to.IsZero() {
		to = p.Run.GoneAt
	}
	if to.IsZero() {
		to = p.Now
	}
	return lasting(to.Sub(from))
}

// Failure is what went wrong.
func (p *runPage) Failure() failure { return failureOf(p.Run.Seen) }

// GPUs says what the run trains on.
func (p *runPage) GPUs() string {
	spec := p.Run.Spec
	if spec.GPUs == 0 {
		return plural(max(spec.Nodes, 1), "node", "nodes") + " without GPUs"
	}
	text := plural(spec.GPUs*max(spec.Nodes, 1), "GPU", "GPUs")
	if spec.Product != "" {
		text = strconv.Itoa(spec.GPUs*max(spec.Nodes, 1)) + " × " + spec.Product
	}
	if spec.Nodes > 1 {
		text += " on " + plural(spec.Nodes, "node", "nodes")
	}
	return text
}

// Used is the GPU time that was used; "" for none.
func (p *runPage) Used() string {
	seconds := p.Run.GPUSecondsUsed(p.Now)
	if seconds == 0 {
		return ""
	}
	return lasting(time.Duration(seconds) * time.Second)
}

// Lost is the part of it whose work was lost; "" for none.
func (p *runPage) Lost() string {
	if p.Run.Seen.LostGPUSeconds == 0 {
		return ""
	}
	return lasting(time.Duration(p.Run.Seen.LostGPUSeconds) * time.Second)
}

// Latest are the newest values of the metrics.
func (p *runPage) Latest() []measured {
	var out []measured
	for _, name := range measures([]portal.RunPoint{{Metrics: p.Run.Seen.Progress.Metrics}}) {
		out = append(out, measured{name, figure(p.Run.Seen.Progress.Metrics[name])})
	}
	return out
}

// measured is a metric's value.
type measured struct{ Name, Value string }

// Command is what the run executes, as one would type it.
func (p *runPage) Command() string {
	var words []string
	for _, word := range append(append([]string{}, p.Run.Spec.Command...), p.Run.Spec.Args...) {
		if word == "" || strings.ContainsAny(word, " \t\n\"'$\\`*?[]{}()<>|&;#~") {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// Cell is a point's value of a metric, "" for none.
func (p *runPage) Cell(point portal.RunPoint, name string) string {
	value, ok := point.Metrics[name]
	if !ok {
		return ""
	}
	return figure(value)
}

// Attempts are the run's, newest first.
func (p *runPage) Attempts() []attemptRow {
	var rows []attemptRow
	for _, a := range p.Run.Seen.Attempts {
		row := attemptRow{RunAttempt: a, Word: "Under way"}
		if !a.EndedAt.IsZero() {
			row.Word = a.Result
			row.Why = capital(a.Message)
			if what, _, ok := portal.FailureWords(a.Reason); ok {
				row.Why = what
			}
			if !a.StartedAt.IsZero() {
				row.Took = lasting(a.EndedAt.Sub(a.StartedAt))
			}
		}
		rows = append([]attemptRow{row}, rows...)
	}
	return rows
}

// attemptRow is a try of a run in the list.
type attemptRow struct {
	portal.RunAttempt
	Word, Why, Took string
}

// Told reports whether a card says what went wrong.
func (p *runPage) Told() bool { return p.is(v1alpha1.RunFailed) && p.Life.Failed }

// Window is how long the dataset stays after its last run, in words.
func (p *runPage) Window() string {
	window := p.View.Dataset.AfterTraining
	switch {
	case window%(24*time.Hour) == 0 && window > 24*time.Hour:
		return plural(int(window/(24*time.Hour)), "day", "days")
	case window%time.Hour == 0 && window > 0:
		return plural(int(window/time.Hour), "hour", "hours")
	default:
		return lasting(window)
	}
}
