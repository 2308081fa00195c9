package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// Names of the methods.
const (
	portable     = "portable"
	fast         = "fast"
	bare         = "bare"
	rclonePurge  = "rclone purge"
	rcloneDelete = "rclone delete"
	// bareListing is bare with the listing before it, which bare is spared.
	bareListing = "bare, listed"
)

// The promises.
const (
	overRclone   = 1.5
	overBare     = 0.9
	overPortable = 20
	maxMemory    = 128 << 20
)

// sample is one run of one method.
type sample struct {
	took time.Duration
	// listing is what came before it, and is not in it.
	listing time.Duration
	cpu     time.Duration // of its process
	server  time.Duration // of the server's process, while it ran
	peak    int64         // bytes of memory
}

// results are the samples of each method, one for each round.
type results struct {
	objects int
	rounds  []map[string]sample
	memory  map[int]int64 // peak of the engine alone, by the number of versions
}

// bar is a promise and what was measured of it.
type bar struct {
	promise  string
	measured string
	kept     bool
}

// bars holds the measurements against the promises.
func (r results) bars() []bar {
	rclone := rclonePurge
	if r.best(rcloneDelete) < r.best(rclonePurge) {
		rclone = rcloneDelete
	}
	all := []bar{
		r.ratio(portable, rclone, overRclone),
		r.ratio(portable, bare, overBare),
		r.ratio(portable, bareListing, overBare),
		r.ratio(fast, portable, overPortable),
	}
	for _, method := range []string{portable, fast} {
		peak := int64(0)
		for _, round := range r.rounds {
			peak = max(peak, round[method].peak)
		}
		all = append(all, memoryBar(fmt.Sprintf("memory of %s with %d objects", method, r.objects), peak))
	}
	for _, n := range r.sizes() {
		all = append(all, memoryBar(fmt.Sprintf("memory of the engine with %d versions", n), r.memory[n]))
	}
	return all
}

func (r results) sizes() []int {
	sizes := make([]int, 0, len(r.memory))
	for n := range r.memory {
		sizes = append(sizes, n)
	}
	slices.Sort(sizes)
	return sizes
}

func memoryBar(what string, peak int64) bar {
	return bar{
		promise:  fmt.Sprintf("%s < %d MiB", what, maxMemory>>20),
		measured: fmt.Sprintf("%.0f MiB", float64(peak)/(1<<20)),
		kept:     peak > 0 && peak < maxMemory,
	}
}

// ratio says how many times as fast one method is as another, by the best round of
// each: on a machine that is not idle the others can only be slower than they are. In
// brackets, the least and the most of any round.
func (r results) ratio(method, than string, atLeast float64) bar {
	var ratios []float64
	for _, round := range r.rounds {
		ratios = append(ratios, round[than].took.Seconds()/round[method].took.Seconds())
	}
	got := r.best(than).Seconds() / r.best(method).Seconds()
	return bar{
		promise:  fmt.Sprintf("%s >= %.1f x %s", method, atLeast, than),
		measured: fmt.Sprintf("%.2f (%.2f to %.2f)", got, slices.Min(ratios), slices.Max(ratios)),
		kept:     got >= atLeast,
	}
}

// best gives the shortest time of a method.
func (r results) best(method string) time.Duration {
	best := r.rounds[0][method].took
	for _, round := range r.rounds {
		best = min(best, round[method].took)
	}
	return best
}

// middle gives the median; the lower one of two.
func middle[T cmp.Ordered](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)-1)/2]
}

// print writes the tables and reports whether all promises were kept.
func (r results) print(out io.Writer) (kept bool) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "method\tseconds\tobjects/s\tCPU s\tserver CPU s\tpeak MiB\tall rounds, s\t\n")
	for _, method := range []string{portable, fast, bare, bareListing, rclonePurge, rcloneDelete} {
		took := r.best(method)
		var cpu, server []time.Duration
		var peak int64
		rounds := ""
		for _, round := range r.rounds {
			s := round[method]
			cpu, server, peak = append(cpu, s.cpu), append(server, s.server), max(peak, s.peak)
			rounds += fmt.Sprintf(" %.2f", s.took.Seconds())
		}
		fmt.Fprintf(table, "%s\t%.2f\t%.0f\t%.2f\t%.2f\t%.0f\t%s\t\n", method, took.Seconds(), float64(r.objects)/took.Seconds(),
			middle(cpu).Seconds(), middle(server).Seconds(), float64(peak)/(1<<20), rounds)
	}
	_ = table.Flush() // It fails as fmt.Fprintf does.
	fmt.Fprintln(out)
	kept = true
	table = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, b := range r.bars() {
		verdict := "kept"
		if !b.kept {
			verdict, kept = "MISSED", false
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", b.promise, b.measured, verdict)
	}
	_ = table.Flush() // The same.
	return kept
}
