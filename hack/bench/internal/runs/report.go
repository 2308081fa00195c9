package runs

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// The promises.
const (
	overBare      = 0.6
	maxLatency    = time.Second
	runWrites     = 3 // on the run and its Job, beside the finalizer
	datasetWrites = 2
	maxPerRun     = 15 << 10 // bytes
)

// pair is a round.
type pair struct{ ours, bare burst }

// fleetResult is what became of the fleet.
type fleetResult struct {
	runs int
	took time.Duration
	// succeeded, and those of them that took one attempt.
	succeeded, once int
	// jobs that were created, and names of Jobs that were created more than once.
	jobs, twice int
	// writes for each run, beside the finalizers of the run.
	run, job, finalizer, pod, dataset, event float64
	failed                                   int
	cpu                                      time.Duration
}

// restResult is an operator at rest.
type restResult struct {
	runs           int
	heap, resident int64
	// settling are the writes between its start and its rest, and quiet those after.
	settling, quiet int
	ready           time.Duration
}

// results are all that was measured; what was not is empty.
type results struct {
	bursts    []pair
	latencies []time.Duration
	fleet     *fleetResult
	rests     []restResult
}

// bar is a promise and what was measured of it.
type bar struct {
	promise, measured string
	kept              bool
}

func (r results) bars() []bar {
	var all []bar
	if len(r.bursts) > 0 {
		all = append(all, r.burstBar())
	}
	if len(r.latencies) > 0 {
		p99 := quantile(r.latencies, 0.99)
		all = append(all, bar{
			promise:  fmt.Sprintf("p99 from create to Job < %s at a steady rate", maxLatency),
			measured: fmt.Sprintf("%s (p50 %s)", p99.Round(time.Millisecond), quantile(r.latencies, 0.5).Round(time.Millisecond)),
			kept:     p99 < maxLatency,
		})
	}
	if r.fleet != nil {
		all = append(all, r.fleet.bars()...)
	}
	if len(r.rests) == 2 {
		all = append(all, restBars(r.rests[0], r.rests[1])...)
	}
	return all
}

// burstBar compares the best round of each, since whatever else runs on the machine can
// only make them slower.
func (r results) burstBar() bar {
	least := func(of func(pair) time.Duration) time.Duration {
		return of(slices.MinFunc(r.bursts, func(a, b pair) int { return cmp.Compare(of(a), of(b)) }))
	}
	var ratios []float64
	for _, p := range r.bursts {
		ratios = append(ratios, p.bare.took.Seconds()/p.ours.took.Seconds())
	}
	ours := least(func(p pair) time.Duration { return p.ours.took })
	bare := least(func(p pair) time.Duration { return p.bare.took })
	got := bare.Seconds() / ours.Seconds()
	thrift := least(func(p pair) time.Duration { return p.bare.cpu }).Seconds() / least(func(p pair) time.Duration { return p.ours.cpu }).Seconds()
	return bar{
		promise:  fmt.Sprintf("child Jobs >= %.1f x the rate of a bare client", overBare),
		measured: fmt.Sprintf("%.2f (%.2f to %.2f; by CPU time %.2f)", got, slices.Min(ratios), slices.Max(ratios), thrift),
		kept:     got >= overBare,
	}
}

func (f fleetResult) bars() []bar {
	return []bar{
		{
			promise:  fmt.Sprintf("of %d runs none lost over a kill of the operator", f.runs),
			measured: fmt.Sprintf("%d Succeeded", f.succeeded), kept: f.succeeded == f.runs,
		},
		{
			promise:  "no Job twice",
			measured: fmt.Sprintf("%d Jobs, %d made twice, %d runs with one attempt", f.jobs, f.twice, f.once),
			kept:     f.jobs == f.runs && f.twice == 0 && f.once == f.runs,
		},
		{
			promise:  fmt.Sprintf("writes on run and Job <= %d a run beside the finalizer", runWrites),
			measured: fmt.Sprintf("%.2f", f.run+f.job), kept: f.run+f.job <= runWrites,
		},
		{
			promise:  fmt.Sprintf("writes on the dataset <= %d a run", datasetWrites),
			measured: fmt.Sprintf("%.2f", f.dataset), kept: f.dataset <= datasetWrites,
		},
	}
}

func restBars(small, large restResult) []bar {
	runs := int64(large.runs - small.runs)
	slope := max((large.resident-small.resident)/runs, (large.heap-small.heap)/runs)
	return []bar{
		{
			promise:  fmt.Sprintf("memory <= %d KiB for each finished run", maxPerRun>>10),
			measured: fmt.Sprintf("%.1f KiB (heap %.1f KiB)", float64(slope)/1024, float64((large.heap-small.heap)/runs)/1024),
			kept:     slope <= maxPerRun,
		},
		{
			promise:  fmt.Sprintf("no write at rest with %d finished runs", large.runs),
			measured: fmt.Sprintf("%d", large.quiet), kept: large.quiet == 0,
		},
	}
}

// print writes the tables and reports whether all promises were kept.
func (r results) print(out io.Writer) (kept bool) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table)
	for i, p := range r.bursts {
		fmt.Fprintf(table, "round %d\toperator %.2f s, CPU %.1f s (its own %.1f)\tbare client %.2f s, CPU %.1f s\twrites a run: finalizer %.2f, Job %.2f, status %.2f, other %.2f\n", i+1,
			p.ours.took.Seconds(), p.ours.cpu.Seconds(), p.ours.operator.Seconds(), p.bare.took.Seconds(), p.bare.cpu.Seconds(), p.ours.finalizers, p.ours.jobs, p.ours.status, p.ours.others)
	}
	if f := r.fleet; f != nil {
		fmt.Fprintf(table, "fleet\t%d runs\t%.0f s\twrites a run: run %.2f, finalizer %.2f, Job %.2f, Pod %.2f, dataset %.2f, events %.2f; refused %d; operator's CPU %.1f ms a run\n",
			f.runs, f.took.Seconds(), f.run, f.finalizer, f.job, f.pod, f.dataset, f.event, f.failed, 1000*f.cpu.Seconds()/float64(f.runs))
	}
	for _, rest := range r.rests {
		fmt.Fprintf(table, "rest\t%d runs\t%.0f MiB\theap %.0f MiB; at rest after %.0f s and %d writes; then %d\n", rest.runs,
			float64(rest.resident)/(1<<20), float64(rest.heap)/(1<<20), rest.ready.Seconds(), rest.settling, rest.quiet)
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
