// Package headway puts in words what a trainer has said of itself. Whatever it says is
// cut and made harmless: a trainer is not trusted with somebody's terminal.
package headway

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

const (
	// maxMetrics and maxMetricName bound what is shown of a trainer's metrics.
	maxMetrics    = 4
	maxMetricName = 16
	// oldNews is the age from which progress says how old it is; the broker writes it
	// every 10 s, and once a minute while nothing happens.
	oldNews = 2 * time.Minute
)

// Part is a piece of what there is to say.
type Part struct {
	Text string
	// Rank tells what may be left out first where there is too little room: the greatest.
	Rank int
}

// The ranks of parts. A bar is worth more than what is behind RankBar.
const (
	RankPercent = iota
	RankLeft
	RankStep
	RankLoss
	RankBar
	RankOld
	RankEpoch
	RankMetric // And greater ones: one for each further metric.
)

// Current gives what the attempt that runs has said of itself; nil if it said nothing.
func Current(run *v1alpha1.TrainingRun) *v1alpha1.Progress {
	p := run.Status.Progress
	if p == nil || run.Status.State != v1alpha1.RunRunning || p.Attempt != 0 && p.Attempt != run.Status.Attempt {
		return nil
	}
	if p.Percent == nil && p.Step == nil && p.Epoch == nil && len(p.Metrics) == 0 {
		return nil
	}
	return p
}

// Percent is how much of the training is done, from 0 to 100, if the trainer told.
func Percent(p *v1alpha1.Progress) (int, bool) {
	switch {
	case p == nil:
	case p.Percent != nil:
		return int(min(max(*p.Percent, 0), 100)), true
	case p.Step != nil && p.TotalSteps != nil && *p.TotalSteps > 0:
		return share(*p.Step, *p.TotalSteps), true
	case p.Epoch != nil && p.Epochs != nil && *p.Epochs > 0:
		return share(*p.Epoch, *p.Epochs), true
	}
	return 0, false
}

func share(done, total int64) int {
	return int(min(max(float64(done)/float64(total), 0), 1) * 100)
}

// Parts are what there is to say at that moment, in the order in which it is said; at
// the zero time, what holds at any.
func Parts(p *v1alpha1.Progress, now time.Time) []Part {
	var parts []Part
	add := func(rank int, text string) {
		if text != "" {
			parts = append(parts, Part{text, rank})
		}
	}
	if percent, ok := Percent(p); ok {
		add(RankPercent, fmt.Sprintf("%3d%%", percent))
	}
	add(RankStep, counted("step", p.Step, p.TotalSteps))
	add(RankEpoch, counted("epoch", p.Epoch, p.Epochs))
	for i, text := range metrics(p.Metrics) {
		if i == 0 {
			add(RankLoss, text)
			continue
		}
		add(RankMetric+i, text)
	}
	if now.IsZero() {
		return parts
	}
	if eta := p.EstimatedCompletionTime; eta != nil && eta.After(now) {
		add(RankLeft, words.Duration(eta.Sub(now))+" left")
	}
	if at := p.LastUpdateTime; at != nil && now.Sub(at.Time) >= oldNews {
		add(RankOld, "no news for "+words.Duration(now.Sub(at.Time)))
	}
	return parts
}

// Join puts parts into one text.
func Join(parts []Part, between string) string {
	texts := make([]string, 0, len(parts))
	for _, p := range parts {
		texts = append(texts, p.Text)
	}
	return strings.TrimLeft(strings.Join(texts, between), " ")
}

func counted(noun string, done, total *int64) string {
	switch {
	case done == nil:
		return ""
	case total == nil:
		return fmt.Sprintf("%s %d", noun, *done)
	}
	return fmt.Sprintf("%s %d/%d", noun, *done, *total)
}

// metrics are those that are shown, the loss first.
func metrics(all []v1alpha1.Metric) []string {
	sorted := slices.SortedStableFunc(slices.Values(all), func(a, b v1alpha1.Metric) int {
		return cmp.Compare(order(a.Name), order(b.Name))
	})
	var texts []string
	for _, m := range sorted[:min(len(sorted), maxMetrics)] {
		texts = append(texts, words.Cut(words.Plain(m.Name), maxMetricName)+" "+number(m.Value))
	}
	return texts
}

func order(name string) int {
	switch {
	case name == "loss":
		return 0
	case strings.Contains(name, "loss"):
		return 1
	}
	return 2
}

// number shortens a decimal number to four digits.
func number(value string) string {
	const digits, longest = 4, 12
	f, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return words.Cut(words.Plain(value), longest)
	}
	return strconv.FormatFloat(f, 'g', digits, 64)
}
