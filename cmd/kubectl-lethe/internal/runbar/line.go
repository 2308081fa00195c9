package runbar

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/headway"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/overview"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

// The bar takes what the text leaves, within bounds.
const (
	minBar = 8
	maxBar = 40
	// around is what stands around a bar.
	around = len("[]  ")
)

// Line is the state of a run at that moment in at most width columns; 0 leaves out the
// bar and nothing else. It is empty when there is nothing to say that a line about its
// state would not say.
func Line(run *v1alpha1.TrainingRun, now time.Time, width int) string {
	if run.Status.State.Finished() {
		return ""
	}
	p := headway.Current(run)
	if p == nil {
		return words.Cut(waiting(run, now, width), width)
	}
	parts := headway.Parts(p, now)
	if width == 0 {
		return join(parts)
	}
	if percent, known := headway.Percent(p); known {
		if line, ok := withBar(parts, percent, width); ok {
			return line
		}
	}
	return words.Cut(join(fit(parts, width, headway.RankPercent)), width)
}

// withBar reports false where there is no room for a bar beside what is worth more.
func withBar(parts []headway.Part, percent, width int) (string, bool) {
	text := join(fit(parts, width-around-minBar, headway.RankBar))
	room := width - around - words.Length(text)
	if room < minBar {
		return "", false
	}
	return "[" + bar(percent, min(room, maxBar)) + "]  " + text, true
}

// fit leaves out, one after the other, the parts of the greatest rank, but none of a
// rank up to least, until the text fits.
func fit(parts []headway.Part, width, least int) []headway.Part {
	for len(parts) > 0 && words.Length(join(parts)) > width {
		worst := slices.MaxFunc(parts, func(a, b headway.Part) int { return cmp.Compare(a.Rank, b.Rank) })
		if worst.Rank <= least {
			return parts
		}
		parts = slices.DeleteFunc(slices.Clone(parts), func(p headway.Part) bool { return p == worst })
	}
	return parts
}

func join(parts []headway.Part) string { return headway.Join(parts, "  ") }

// waiting counts the time in a state that tells no progress. A line that is not drawn
// over would only repeat itself.
func waiting(run *v1alpha1.TrainingRun, now time.Time, width int) string {
	if width == 0 {
		return ""
	}
	state := cmp.Or(string(run.Status.State), "New")
	return fmt.Sprintf("%s for %s", state, words.Duration(now.Sub(overview.Since(run))))
}

func bar(percent, length int) string {
	full := percent * length / 100
	if full >= length {
		return strings.Repeat("=", length)
	}
	return strings.Repeat("=", full) + ">" + strings.Repeat(" ", length-full-1)
}
