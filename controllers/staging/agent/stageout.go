package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/controllers/staging"
)

const (
	// stageOutPatience is how long stage-out waits for something that is away.
	stageOutPatience = 24 * time.Hour
	// lastCheckpoint is how long the last checkpoint may take once the trainer has ended:
	// its GPUs are held meanwhile, and there may be an older one.
	lastCheckpoint = 30 * time.Minute
)

// StageOutOptions are what StageOut needs.
type StageOutOptions struct {
	Options
	// ArtifactsDir is what is published, but for the folder of checkpoints in it.
	ArtifactsDir string
	// Terminated is closed when the pod is told to stop.
	Terminated <-chan struct{}
	// Grace is how long what is under way may then still take.
	Grace time.Duration
	// Attempt of the run, from 1.
	Attempt int
	// Interval between two checkpoints that are stored while the trainer runs; 0 for none
	// but those at the end.
	Interval time.Duration
	// EveryNode says that each node writes a part of every checkpoint. One node alone
	// stores its checkpoints like any first node.
	EveryNode bool
}

// StageOut stores the trainer's checkpoints and its output while it runs, and tells of
// its progress. When it has ended well, it publishes its artifacts: the manifest comes
// last, so they are there whole or not at all. When the pod is told to stop, it goes on
// until the trainer has ended or the grace is over; a trainer that ends well only then has
// been interrupted, so nothing is published. It may be repeated. Errors that it
// can explain are *Failure: only the artifacts can be the cause of one, and that the
// broker does not tell of the trainer's end.
func StageOut(ctx context.Context, o StageOutOptions) (staging.Report, error) {
	report := staging.Report{Step: staging.StepStageOut}
	ctx, end := graceful(ctx, o)
	w := newWork(o)
	b := w.begin(ctx)
	defer b.group.Wait()
	defer end()
	trainer, err := w.awaitTrainer(ctx)
	if err != nil && !errors.Is(err, errGone) {
		return report, err
	}
	close(w.ended)
	failed := err == nil && trainer.ExitCode != 0
	succeeded := err == nil && !failed && !w.interrupted()
	b.await(succeeded)
	switch {
	case succeeded:
		err = w.publish(ctx, &report)
	case failed:
		w.Log.Info("The trainer failed; nothing is published", "exitCode", trainer.ExitCode)
	default:
		err = context.Canceled
	}
	b.ship.finish(ctx)
	b.group.Wait()
	if failed {
		report.LogTail = b.keep.ending.text()
	}
	return report, err
}

// beside are the goroutines beside the trainer.
type beside struct {
	group sync.WaitGroup
	clock clock.WithDelayedExecution
	keep  *keeper
	ship  *shipper
	// stop ends what is shipped, shipped is closed when that has ended.
	stop    context.CancelFunc
	shipped chan struct{}
}

func (w *work) begin(ctx context.Context) *beside {
	b := &beside{clock: w.Clock, keep: newKeeper(w), ship: newShipper(w), shipped: make(chan struct{})}
	tell := newRelay(w)
	shipping, stop := context.WithCancel(ctx)
	b.stop = stop
	b.group.Go(func() {
		defer close(b.shipped)
		defer stop()
		b.ship.run(shipping)
	})
	b.group.Go(func() { b.keep.run(ctx) })
	b.group.Go(func() { tell.run(ctx) })
	return b
}

// await waits for a checkpoint that is under way. What is published counts for more, so
// that is not waited for after a success.
func (b *beside) await(succeeded bool) {
	if succeeded {
		b.stop()
	}
	late := b.clock.AfterFunc(lastCheckpoint, b.stop)
	defer late.Stop()
	<-b.shipped
}

// graceful gives a context that ends a while after the pod was told to stop, and what
// ends it before.
func graceful(ctx context.Context, o StageOutOptions) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-ctx.Done():
			return
		case <-o.Terminated:
		}
		o.Log.Warn("The pod is told to stop; storing what there is while there is time", "grace", o.Grace.String())
		_ = sleep(ctx, o.Clock, o.Grace) // Ends early only if nothing is left to stop.
		cancel()
	})
	return ctx, func() {
		cancel()
		watch.Wait()
	}
}
