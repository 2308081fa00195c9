package runs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// fleetNamespace is where the fleet runs, and where its finished runs are copied to.
const fleetNamespace = "fleet"

// fleetOf lets runs go to their end, over a kill of the operator.
func (b *bench) fleetOf(ctx context.Context, p *plane) error {
	stop, err := b.startNodes(ctx, p)
	if err != nil {
		return err
	}
	return errors.Join(b.sail(ctx, p), stop())
}

func (b *bench) sail(ctx context.Context, p *plane) error {
	n := b.fleet
	if err := p.namespace(ctx, fleetNamespace); err != nil {
		return err
	}
	operator, err := startOperator(ctx, b.env, p)
	if err != nil {
		return err
	}
	defer func() { _ = operator.kill() }() // It may have ended.
	if err := b.newDatasets(ctx, p, fleetNamespace); err != nil {
		return err
	}
	before, err := p.audit()
	if err != nil {
		return err
	}
	start := time.Now()
	err = inParallel(ctx, b.creators, n, func(ctx context.Context, i int) error {
		return p.creators.Create(ctx, newRun(fleetNamespace, runName(i), datasetName(i%b.datasets)))
	})
	if err != nil {
		return fmt.Errorf("create runs: %w", err)
	}
	if err := p.reached(ctx, n/2); err != nil {
		return err
	}
	first, err := operator.ask()
	if err != nil {
		return err
	}
	if err := operator.kill(); err != nil {
		return err
	}
	b.logf("fleet: operator killed after %.0f s\n", time.Since(start).Seconds())
	operator, err = startOperator(ctx, b.env, p)
	if err != nil {
		return err
	}
	defer func() { _ = operator.kill() }() // It may have ended.
	if err := p.reached(ctx, n); err != nil {
		return err
	}
	took := time.Since(start)
	second, err := operator.rest(ctx)
	if err != nil {
		return err
	}
	result, err := p.fleetResult(ctx, n, before)
	if err != nil {
		return err
	}
	result.took, result.cpu = took, first.CPU+second.CPU
	b.results.fleet = &result
	if b.ended, err = readFamily(ctx, p.admin, fleetNamespace, runName(0)); err != nil {
		return err
	}
	return operator.kill()
}

// reached waits until so many runs of the fleet have ended.
func (p *plane) reached(ctx context.Context, n int) error {
	return wait(ctx, fmt.Sprintf("%d runs to end", n), func() (bool, error) {
		well, err := countRuns(ctx, p.admin, fleetNamespace, v1alpha1.RunSucceeded)
		if err != nil || well >= n {
			return err == nil, err
		}
		badly, err := countRuns(ctx, p.admin, fleetNamespace, v1alpha1.RunFailed)
		return well+badly >= n, err
	})
}

// fleetResult counts.
func (p *plane) fleetResult(ctx context.Context, n int, before writes) (fleetResult, error) {
	f := fleetResult{runs: n}
	after, err := p.audit()
	if err != nil {
		return f, err
	}
	for name, times := range after.jobs {
		if !strings.HasPrefix(name, fleetNamespace+"/") {
			continue
		}
		f.jobs++
		if times > 1 {
			f.twice++
		}
	}
	each := func(verb, resource string) float64 {
		return float64(after.of(fleetNamespace, verb, resource)-before.of(fleetNamespace, verb, resource)) / float64(n)
	}
	f.finalizer = each("patch", "trainingruns")
	f.run = each("patch", "trainingruns/status") + each("update", "trainingruns/status") + each("update", "trainingruns")
	f.job = each("create", "jobs") + each("patch", "jobs") + each("delete", "jobs")
	f.pod = each("patch", "pods")
	f.dataset = each("patch", "datasetretentions") + each("patch", "datasetretentions/status")
	f.event = each("create", "events") + each("patch", "events")
	f.failed = after.failed - before.failed
	var runs v1alpha1.TrainingRunList
	if err := p.admin.List(ctx, &runs, client.InNamespace(fleetNamespace)); err != nil {
		return f, fmt.Errorf("read the fleet: %w", err)
	}
	for _, run := range runs.Items {
		if run.Status.State != v1alpha1.RunSucceeded || run.Status.Artifacts == nil {
			continue
		}
		f.succeeded++
		if run.Status.Attempt == 1 && len(run.Status.Attempts) == 1 {
			f.once++
		}
	}
	return f, nil
}
