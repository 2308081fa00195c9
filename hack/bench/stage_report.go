package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// The promises about staging.
const (
	largeOverBare = 0.85
	smallOverBare = 0.7
	overRival     = 1.0
	maxTwice      = 0.05
)

// stageMeasure are the samples of one load in one direction.
type stageMeasure struct {
	load      load
	direction string
	rounds    []map[string]sample
}

func (m stageMeasure) name() string { return m.load.name + m.direction }

func (m stageMeasure) has(method string) bool {
	_, there := m.rounds[0][method]
	return there
}

// stageTwice is the share of bytes that came twice because of a crash.
type stageTwice struct {
	name  string
	share float64
}

// stageResults are all measurements.
type stageResults struct {
	measures []stageMeasure
	twice    []stageTwice
}

// bars holds the measurements against the promises.
func (r stageResults) bars() []bar {
	var all []bar
	for _, m := range r.measures {
		as := results{rounds: m.rounds}
		add := func(than string, atLeast float64) {
			b := as.ratio(ours, than, atLeast)
			b.promise = fmt.Sprintf("%s >= %.2f x %s", m.name(), atLeast, than)
			all = append(all, b)
		}
		share := largeOverBare
		if m.load.count > 1 && m.direction == inward {
			share = smallOverBare
		}
		add(bare, share)
		if m.has(hashed) {
			add(hashed, share)
		}
		if m.has(rival) {
			add(rival, overRival)
		}
		all = append(all, memoryBar("memory of "+m.name(), m.peak()))
	}
	for _, t := range r.twice {
		all = append(all, bar{
			promise:  fmt.Sprintf("%s, SIGKILL at half: fetched twice <= %.0f %%", t.name, 100*maxTwice),
			measured: fmt.Sprintf("%.2f %%", 100*t.share),
			kept:     t.share <= maxTwice,
		})
	}
	return all
}

// peak is the most memory that ours used in any round.
func (m stageMeasure) peak() (peak int64) {
	for _, round := range m.rounds {
		peak = max(peak, round[ours].peak)
	}
	return peak
}

// print writes the tables and reports whether all promises were kept.
func (r stageResults) print(out io.Writer) (kept bool) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "what\tmethod\tseconds\tMiB/s\tfiles/s\tCPU s\tserver CPU s\tpeak MiB\tall rounds, s\t\n")
	for _, m := range r.measures {
		for _, method := range []string{ours, bare, hashed, rival} {
			if m.has(method) {
				m.row(table, method)
			}
		}
	}
	_ = table.Flush() // It fails as fmt.Fprintf does.
	fmt.Fprintln(out)
	return printBars(out, r.bars())
}

func (m stageMeasure) row(out io.Writer, method string) {
	took := results{rounds: m.rounds}.best(method).Seconds()
	var cpu, server []time.Duration
	var peak int64
	rounds := ""
	for _, round := range m.rounds {
		s := round[method]
		cpu, server, peak = append(cpu, s.cpu), append(server, s.server), max(peak, s.peak)
		rounds += fmt.Sprintf(" %.2f", s.took.Seconds())
	}
	fmt.Fprintf(out, "%s\t%s\t%.2f\t%.0f\t%.0f\t%.2f\t%.2f\t%d\t%s\t\n", m.name(), method, took,
		float64(m.load.total())/(1<<20)/took, float64(m.load.count)/took, middle(cpu).Seconds(), middle(server).Seconds(), peak>>20, rounds)
}

// printBars writes the promises and reports whether all were kept.
func printBars(out io.Writer, bars []bar) (kept bool) {
	kept = true
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, b := range bars {
		verdict := "kept"
		if !b.kept {
			verdict, kept = "MISSED", false
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", b.promise, b.measured, verdict)
	}
	_ = table.Flush() // As above.
	return kept
}
