package runs

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// latency measures the time from when a create is due until its Job is seen.
func (b *bench) latency(ctx context.Context, p *plane) error {
	const namespace = "latency"
	if err := p.namespace(ctx, namespace); err != nil {
		return err
	}
	operator, err := startOperator(ctx, b.env, p)
	if err != nil {
		return err
	}
	defer func() { _ = operator.kill() }() // It may have ended.
	if err := b.newDatasets(ctx, p, namespace); err != nil {
		return err
	}
	due := arrivals(rand.New(rand.NewPCG(1, 2)), b.rate, b.seconds) //nolint:gosec // G404: It is no secret.
	seen := newSightings(len(due))
	if err := p.watchJobs(ctx, namespace, seen.see); err != nil {
		return err
	}
	start := time.Now()
	group, groupCtx := errgroup.WithContext(ctx)
	for i, at := range due {
		time.Sleep(time.Until(start.Add(at)))
		group.Go(func() error {
			return p.creators.Create(groupCtx, newRun(namespace, runName(i), datasetName(i%b.datasets)))
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("create runs: %w", err)
	}
	if err := seen.all(ctx); err != nil {
		return err
	}
	for i, at := range due {
		b.results.latencies = append(b.results.latencies, seen.at[runName(i)].Sub(start.Add(at)))
	}
	b.logf("latency: p50 %s, p99 %s\n", quantile(b.results.latencies, 0.5), quantile(b.results.latencies, 0.99))
	return operator.kill()
}

// arrivals are random times within some seconds, at a rate, as a Poisson process has
// them; always as many as the rate says.
func arrivals(random *rand.Rand, rate, seconds int) []time.Duration {
	due := make([]time.Duration, rate*seconds)
	for i := range due {
		due[i] = time.Duration(random.Float64() * float64(seconds) * float64(time.Second))
	}
	slices.Sort(due)
	return due
}

// quantile gives the value that a part of all does not exceed; 0 of none.
func quantile(all []time.Duration, part float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[max(0, int(math.Ceil(part*float64(len(sorted))))-1)]
}
