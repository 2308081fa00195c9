package agent

import (
	"context"
	"errors"
	"sync"
	"time"

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
	// EveryNode says that each node writes a part of every checkpoint.
	EveryNode bool
}

// StageOut stores the trainer's checkpoints and its output while it runs, and tells of
// its progress. When it has ended well, it publishes its artifacts: the manifest comes
// last, so they are there whole or not at all. When the pod is told to stop, it goes on
// until the trainer has ended or the grace is over. It may be repeated. Errors that it
// can explain are *Failure: only the artifacts can be the cause of one, and that the
// broker does not tell of the trainer's end.
func StageOut(ctx context.Context, o StageOutOptions) (staging.Report, error) {
	ctx, cancel := graceful(ctx, o)
	defer cancel()
	w := newWork(o)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	ship, keep := newShipper(w), newKeeper(w)
	shipping, stop := context.WithCancel(ctx)
	defer stop()
	shipped := make(chan struct{})
	group.Go(func() { defer close(shipped); ship.run(shipping) })
	told := make(chan struct{})
	group.Go(func() { defer close(told); newRelay(w).run(ctx) })
	kept := make(chan struct{})
	group.Go(func() { defer close(kept); keep.run(ctx) })

	report := staging.Report{Step: staging.StepStageOut}
	trainer, err := w.awaitTrainer(ctx)
	if err != nil && !errors.Is(err, errGone) {
		return report, err
	}
	close(w.ended)
	succeeded := err == nil && trainer.ExitCode == 0
	if succeeded {
		stop() // What is published counts for more than a checkpoint that is under way.
	}
	late := o.Clock.AfterFunc(lastCheckpoint, stop)
	defer late.Stop()
	<-shipped
	var failed error
	switch {
	case err != nil:
		failed = context.Canceled
	case succeeded:
		failed = w.publish(ctx, &report)
	default:
		w.Log.Info("The trainer failed; nothing is published", "exitCode", trainer.ExitCode)
	}
	ship.finish(ctx)
	<-told
	<-kept
	if !succeeded && err == nil {
		report.LogTail = keep.ending.text()
	}
	return report, failed
}

// graceful gives a context that ends a while after the pod was told to stop.
func graceful(ctx context.Context, o StageOutOptions) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-o.Terminated:
		}
		o.Log.Warn("The pod is told to stop; storing what there is while there is time", "grace", o.Grace.String())
		_ = sleep(ctx, o.Clock, o.Grace) // Ends early only if nothing is left to stop.
		cancel()
	}()
	return ctx, cancel
}
