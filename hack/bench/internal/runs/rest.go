package runs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// fillers put finished runs at once.
const fillers = 16

// rest looks at operators that have nothing to do.
func (b *bench) rest(ctx context.Context, p *plane) error {
	if b.ended == nil || b.ended.pod == nil {
		return errors.New("no run of the fleet has ended with its Pod, so there is nothing to copy")
	}
	if err := p.namespace(ctx, fleetNamespace); err != nil {
		return err
	}
	if err := b.datasetsOfRest(ctx, p); err != nil {
		return err
	}
	filled := 0
	for _, n := range b.finished {
		if err := b.fill(ctx, p, filled, n); err != nil {
			return err
		}
		filled = n
		got, err := b.restWith(ctx, p, n)
		if err != nil {
			return err
		}
		b.logf("rest: %d runs, %d MiB, %d writes\n", n, got.resident>>20, got.quiet)
		b.results.rests = append(b.results.rests, got)
	}
	return nil
}

// datasetsOfRest lets an operator make them ready.
func (b *bench) datasetsOfRest(ctx context.Context, p *plane) error {
	operator, err := startOperator(ctx, b.env, p)
	if err != nil {
		return err
	}
	defer func() { _ = operator.kill() }() // It may have ended.
	if err := b.newDatasets(ctx, p, fleetNamespace); err != nil {
		return err
	}
	return operator.kill()
}

// restWith starts an operator, waits until it is at rest, and then a while.
func (b *bench) restWith(ctx context.Context, p *plane, n int) (restResult, error) {
	got := restResult{runs: n}
	before, err := p.audit()
	if err != nil {
		return got, err
	}
	start := time.Now()
	operator, err := startOperator(ctx, b.env, p)
	if err != nil {
		return got, err
	}
	defer func() { _ = operator.kill() }() // It may have ended.
	now, err := operator.rest(ctx)
	if err != nil {
		return got, err
	}
	got.ready = time.Since(start) - calm
	settled, err := p.audit()
	if err != nil {
		return got, err
	}
	select {
	case <-ctx.Done():
		return got, ctx.Err()
	case <-time.After(b.quiet):
	}
	if now, err = operator.ask(); err != nil {
		return got, err
	}
	later, err := p.audit()
	if err != nil {
		return got, err
	}
	got.heap, got.resident = now.Heap, now.Resident
	got.settling = settled.sum() - before.sum()
	got.quiet = later.sum() - settled.sum()
	return got, operator.kill()
}

// sum counts all writes, also those that were refused.
func (w writes) sum() int {
	n := w.failed
	for _, count := range w.by {
		n += count
	}
	return n
}

// fill makes the finished runs from one number to another.
func (b *bench) fill(ctx context.Context, p *plane, from, to int) error {
	var datasets v1alpha1.DatasetRetentionList
	if err := p.admin.List(ctx, &datasets, client.InNamespace(fleetNamespace)); err != nil {
		return fmt.Errorf("read the datasets: %w", err)
	}
	start := time.Now()
	err := inParallel(ctx, fillers, to-from, func(ctx context.Context, i int) error {
		dataset := &datasets.Items[(from+i)%len(datasets.Items)]
		return p.copyFamily(ctx, b.ended, fmt.Sprintf("end-%06d", from+i), dataset)
	})
	if err != nil {
		return fmt.Errorf("make finished runs: %w", err)
	}
	b.logf("%d finished runs made in %s\n", to-from, time.Since(start).Round(time.Second))
	return nil
}

// copyFamily makes a run that has ended, with its Job and its Pod.
func (p *plane) copyFamily(ctx context.Context, from *family, name string, dataset *v1alpha1.DatasetRetention) error {
	names := []string{from.run.Name, name, string(from.dataset.UID), string(dataset.UID), from.dataset.Name, dataset.Name}
	run, err := again(from.run, &v1alpha1.TrainingRun{}, strings.NewReplacer(names...))
	if err != nil {
		return err
	}
	if err := p.admin.Create(ctx, run); err != nil {
		return fmt.Errorf("create the run: %w", err)
	}
	names = append(names, string(from.run.UID), string(run.UID))
	job, err := againJob(from.job, strings.NewReplacer(names...))
	if err != nil {
		return err
	}
	if err := createEnded(ctx, p.admin, job, func(now *batchv1.Job, was *batchv1.Job) { now.Status = was.Status }); err != nil {
		return fmt.Errorf("create the Job: %w", err)
	}
	names = append(names, string(from.job.UID), string(job.UID))
	pod, err := again(from.pod, &corev1.Pod{}, strings.NewReplacer(names...))
	if err != nil {
		return err
	}
	if err := createEnded(ctx, p.admin, pod, func(now *corev1.Pod, was *corev1.Pod) { now.Status = was.Status }); err != nil {
		return fmt.Errorf("create the Pod: %w", err)
	}
	names = append(names, string(from.pod.UID), string(pod.UID))
	ended, err := again(from.run, &v1alpha1.TrainingRun{}, strings.NewReplacer(names...))
	if err != nil {
		return err
	}
	run.Status = ended.Status
	if err := p.admin.Status().Update(ctx, run); err != nil {
		return fmt.Errorf("end the run: %w", err)
	}
	return nil
}

// createEnded creates an object and then gives it the status that it had.
func createEnded[T client.Object](ctx context.Context, admin client.Client, o T, status func(now, was T)) error {
	was, ok := o.DeepCopyObject().(T)
	if !ok {
		return errors.New("a copy is of another kind")
	}
	if err := admin.Create(ctx, o); err != nil {
		return err
	}
	status(o, was)
	return admin.Status().Update(ctx, o)
}
