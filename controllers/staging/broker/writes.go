package broker

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// +kubebuilder:rbac:groups=lethe.dev,resources=trainingruns/status,verbs=patch

// maxConflicts is how often a write is tried when others write to the run as well.
const maxConflicts = 8

var (
	// errRunGone says that the run to write to is gone, or another one of its name.
	errRunGone = errors.New("the run to write to is gone")
	// errRejected says that the API server takes values for wrong. Which, is the
	// user's data.
	errRejected = errors.New("the API server takes the run's status for invalid")
	// errBusy says that others wrote to the run again and again.
	errBusy = errors.New("the run's status is changed too often")
)

// final reports whether a write never will succeed.
func final(err error) bool { return errors.Is(err, errRunGone) || errors.Is(err, errRejected) }

// flush writes the newest message into the run's status.
func (w *recorder) flush(ctx context.Context, rec *record) error {
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	return w.write(ctx, rec, false, func(run *v1alpha1.TrainingRun) ([]v1alpha1.Checkpoint, bool, error) {
		return run.Status.Checkpoints, true, nil
	})
}

// checkpoint writes a checkpoint into the status of the member's run. It decides by
// what it reads live, and returns when it is written or was there already. Errors are
// refusals or passing.
func (w *recorder) checkpoint(ctx context.Context, m member, ask staging.CheckpointRequest) error {
	rec := w.use(m)
	if rec == nil {
		return tooMany()
	}
	defer w.release(rec)
	err := w.write(ctx, rec, true, func(run *v1alpha1.TrainingRun) ([]v1alpha1.Checkpoint, bool, error) {
		if err := checkRun(run, true, m); err != nil {
			return nil, false, err
		}
		return withCheckpoint(run, ask, w.clock.Now())
	})
	if errors.Is(err, errRunGone) {
		return gone(staging.ProblemRunEnded, "the run is gone")
	}
	return err
}

// use gives the record of the member's run and keeps it from being forgotten; nil if
// there is no room. Who gets it calls release.
func (w *recorder) use(m member) *record {
	w.mu.Lock()
	defer w.mu.Unlock()
	rec := w.recordOf(m.run, m.runUID)
	if rec != nil {
		rec.users++
	}
	return rec
}

func (w *recorder) release(rec *record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rec.users--
}

// write applies the newest message and the checkpoints that decide gives for what the
// status says, if it wants that. If live is false it first looks into the cache, and
// live after a conflict. It is the only one who writes to this run here.
func (w *recorder) write(
	ctx context.Context, rec *record, live bool,
	decide func(*v1alpha1.TrainingRun) ([]v1alpha1.Checkpoint, bool, error),
) error {
	leave, err := w.enter(ctx, rec)
	if err != nil {
		return err
	}
	defer leave()
	for range maxConflicts {
		run, err := w.read(ctx, rec, live)
		if err != nil {
			return err
		}
		checkpoints, wanted, err := decide(run)
		if err != nil || !wanted {
			return err
		}
		told, sent := w.message(rec, run)
		err = w.statuses.Apply(ctx, configuration(run, told, checkpoints), client.ForceOwnership, client.FieldOwner(fieldOwner))
		if err == nil {
			w.wrote(rec, sent)
			return nil
		}
		if !apierrors.IsConflict(err) {
			return failure(err, rec)
		}
		w.metrics.writes.WithLabelValues(writeConflict).Inc()
		live = true
	}
	return fmt.Errorf("%w: %s", errBusy, rec.run)
}

// failure says why a write failed.
func failure(err error, rec *record) error {
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%w: %s", errRunGone, rec.run)
	case apierrors.IsInvalid(err):
		return fmt.Errorf("%w: %s", errRejected, rec.run)
	}
	return fmt.Errorf("apply status of run %s: %w", rec.run, err)
}

// enter takes the run's turn, and a slot for a write.
func (w *recorder) enter(ctx context.Context, rec *record) (leave func(), err error) {
	for _, place := range []chan struct{}{rec.writing, w.slots} {
		select {
		case place <- struct{}{}:
		case <-ctx.Done():
			if place == w.slots {
				<-rec.writing
			}
			return nil, fmt.Errorf("wait for a turn to write: %w", ctx.Err())
		}
	}
	return func() { <-w.slots; <-rec.writing }, nil
}

// message gives what the status is to say of the run's progress, and which message of
// ours is settled by that.
func (w *recorder) message(rec *record, run *v1alpha1.TrainingRun) (told, sent *v1alpha1.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return newer(run.Status.Progress, rec.told), rec.told
}

// wrote notes that a message is settled. A later one may have come meanwhile.
func (w *recorder) wrote(rec *record, sent *v1alpha1.Progress) {
	w.metrics.writes.WithLabelValues(writeDone).Inc()
	w.mu.Lock()
	defer w.mu.Unlock()
	rec.written = w.clock.Now()
	if rec.told == sent {
		rec.pending = false
	}
}

// read reads the run that a record is about. What the cache does not have, or not this
// one, is read live.
func (w *recorder) read(ctx context.Context, rec *record, live bool) (*v1alpha1.TrainingRun, error) {
	var run v1alpha1.TrainingRun
	from := w.live
	if !live {
		from = w.cached
	}
	err := from.Get(ctx, rec.run, &run)
	switch lost := apierrors.IsNotFound(err) || err == nil && run.UID != rec.uid; {
	case lost && !live:
		return w.read(ctx, rec, true)
	case lost:
		return nil, fmt.Errorf("%w: %s", errRunGone, rec.run)
	case err != nil:
		return nil, fmt.Errorf("read run %s: %w", rec.run, err)
	}
	return &run, nil
}
