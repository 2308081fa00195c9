package runs

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// burst is one measurement of creating runs.
type burst struct {
	// took from the first create to the last Job; asked until the last create was
	// answered.
	took, asked time.Duration
	// cpu of all processes, and of the operator among them.
	cpu, operator time.Duration
	// perRun are the writes of the operator until then, for each run.
	finalizers, jobs, status, others float64
}

// create measures the operator, and then, once that is gone, the bare client.
func (b *bench) create(ctx context.Context, p *plane) error {
	got, model, err := b.burstOurs(ctx, p, "ours")
	if err != nil {
		return err
	}
	bare, err := b.burstBare(ctx, p, "bare", got, model)
	if err != nil {
		return err
	}
	b.logf("create: operator %.0f runs/s (creates took %.0f %% of it), bare client %.0f\n",
		rate(b.runs, got.took), 100*got.asked.Seconds()/got.took.Seconds(), rate(b.runs, bare.took))
	b.results.bursts = append(b.results.bursts, pair{ours: got, bare: bare})
	return nil
}

func rate(n int, took time.Duration) float64 { return float64(n) / took.Seconds() }

// burstOurs gives also a run with its Job, as the operator has made it.
func (b *bench) burstOurs(ctx context.Context, p *plane, namespace string) (got burst, model *family, err error) {
	if err := p.namespace(ctx, namespace); err != nil {
		return got, nil, err
	}
	operator, err := startOperator(ctx, b.env, p)
	if err != nil {
		return got, nil, err
	}
	defer func() { _ = operator.kill() }() // It may have ended.
	if err := b.newDatasets(ctx, p, namespace); err != nil {
		return got, nil, err
	}
	before, err := p.audit()
	if err != nil {
		return got, nil, err
	}
	seen := newSightings(b.runs)
	if err := p.watchJobs(ctx, namespace, seen.see); err != nil {
		return got, nil, err
	}
	idle, err := operator.ask()
	if err != nil {
		return got, nil, err
	}
	used, err := usedCPU()
	if err != nil {
		return got, nil, err
	}
	start := time.Now()
	err = b.everyRun(ctx, func(ctx context.Context, i int) error {
		return p.creators.Create(ctx, newRun(namespace, runName(i), datasetName(i%b.datasets)))
	})
	got.asked = time.Since(start)
	if err != nil {
		return got, nil, fmt.Errorf("create runs: %w", err)
	}
	if err := seen.all(ctx); err != nil {
		return got, nil, err
	}
	got.took = time.Since(start)
	if got.cpu, err = usedCPU(); err != nil {
		return got, nil, err
	}
	busy, err := operator.ask()
	if err != nil {
		return got, nil, err
	}
	got.cpu, got.operator = got.cpu-used, busy.CPU-idle.CPU
	if err := got.count(p, namespace, before, b.runs); err != nil {
		return got, nil, err
	}
	if model, err = readFamily(ctx, p.admin, namespace, runName(0)); err != nil {
		return got, nil, err
	}
	return got, model, operator.kill()
}

// count takes the operator's writes from the audit log.
func (g *burst) count(p *plane, namespace string, before writes, runs int) error {
	after, err := p.audit()
	if err != nil {
		return err
	}
	each := func(verb, resource string) float64 {
		return float64(after.of(namespace, verb, resource)-before.of(namespace, verb, resource)) / float64(runs)
	}
	g.finalizers, g.jobs, g.status = each("patch", "trainingruns"), each("create", "jobs"), each("patch", "trainingruns/status")
	g.others = float64(after.total(namespace)-before.total(namespace))/float64(runs) - g.finalizers - g.jobs - g.status
	return nil
}

// often says of a number of writes for each run whether the bare client makes such a
// write: it leaves out what the operator seldom does.
func often(perRun float64) bool { return perRun >= 0.5 }

// bareWrites makes the writes of one run.
func bareWrites(ctx context.Context, c client.Client, run *v1alpha1.TrainingRun, like burst, model *family) error {
	const merge = types.MergePatchType
	if err := c.Create(ctx, run); err != nil {
		return err
	}
	if often(like.finalizers) {
		patch := client.RawPatch(merge, []byte(`{"metadata":{"finalizers":["`+v1alpha1.FinalizerRun+`"]}}`))
		if err := c.Patch(ctx, run, patch); err != nil {
			return err
		}
	}
	job, err := bareJob(model, run)
	if err != nil {
		return err
	}
	if err := c.Create(ctx, job); err != nil || !often(like.status) {
		return err
	}
	return c.Status().Patch(ctx, run, client.RawPatch(merge, []byte(`{"status":{"state":"Starting","attempt":1}}`)))
}

// burstBare makes the writes that the operator has made.
func (b *bench) burstBare(ctx context.Context, p *plane, namespace string, like burst, model *family) (got burst, err error) {
	if err := p.namespace(ctx, namespace); err != nil {
		return got, err
	}
	used, err := usedCPU()
	if err != nil {
		return got, err
	}
	start := time.Now()
	err = b.everyRun(ctx, func(ctx context.Context, i int) error {
		return bareWrites(ctx, p.creators, newRun(namespace, runName(i), datasetName(i%b.datasets)), like, model)
	})
	got.took = time.Since(start)
	got.asked = got.took
	if later, failed := usedCPU(); failed == nil {
		got.cpu = later - used
	}
	if err != nil {
		return got, fmt.Errorf("create runs and Jobs: %w", err)
	}
	return got, nil
}

// bareJob is the model's Job for another run.
func bareJob(model *family, run *v1alpha1.TrainingRun) (*batchv1.Job, error) {
	return againJob(model.job, strings.NewReplacer(
		model.run.Name, run.Name, string(model.run.UID), string(run.UID), model.run.Namespace, run.Namespace,
	))
}

// everyRun does something for each run, by as many creators as there are to be.
func (b *bench) everyRun(ctx context.Context, do func(ctx context.Context, i int) error) error {
	return inParallel(ctx, b.creators, b.runs, do)
}

func inParallel(ctx context.Context, workers, n int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	next := make(chan int)
	group.Go(func() error {
		defer close(next)
		for i := range n {
			select {
			case next <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range workers {
		group.Go(func() error {
			for i := range next {
				if err := do(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// sightings are the times at which Jobs were first seen.
type sightings struct {
	want int
	mu   sync.Mutex
	at   map[string]time.Time
	done chan struct{}
}

func newSightings(want int) *sightings {
	return &sightings{want: want, at: map[string]time.Time{}, done: make(chan struct{})}
}

func (s *sightings) see(name string) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.at[name]; known {
		return
	}
	if s.at[name] = now; len(s.at) == s.want {
		close(s.done)
	}
}

// all waits until as many as are wanted were seen.
func (s *sightings) all(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		return fmt.Errorf("wait for the Jobs, of which %d of %d were seen: %w", len(s.at), s.want, ctx.Err())
	}
}
