package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/controllers/staging"
)

const (
	// stageOutPatience is how long stage-out waits for something that is away.
	stageOutPatience = 24 * time.Hour
	// minTrainerWait is kept between two questions for the trainer's end, should
	// the broker not hold its answers back.
	minTrainerWait = time.Second
)

// StageOutOptions are what StageOut needs.
type StageOutOptions struct {
	Options
	// ArtifactsDir is what is published.
	ArtifactsDir string
	// Terminated is closed when the pod is told to stop.
	Terminated <-chan struct{}
	// Grace is how long an upload that is under way may then still take.
	Grace time.Duration
}

// StageOut waits for the trainer's end and, if it succeeded, publishes its
// artifacts: the manifest comes last, so they are there whole or not at all. It
// may be repeated. Errors that it can explain are *Failure.
func StageOut(ctx context.Context, o StageOutOptions) (staging.Report, error) {
	report := staging.Report{Step: staging.StepStageOut}
	s := newSession(o.Options, staging.StepStageOut, stageOutPatience)
	trainer, err := s.awaitTrainer(ctx, o.Terminated)
	if err != nil {
		return report, err
	}
	if trainer.ExitCode != 0 {
		s.Log.Info("The trainer failed; nothing is published", "exitCode", trainer.ExitCode)
		return report, nil
	}
	ctx, cancel := graceful(ctx, o)
	defer cancel()
	found, err := collect(o.ArtifactsDir)
	if err != nil {
		return report, err
	}
	defer found.close()
	if found.skipped > 0 {
		report.Message = fmt.Sprintf("%d symbolic links and special files were not published.", found.skipped)
		s.Log.Warn("Symbolic links and special files are not published", "count", found.skipped)
	}
	if _, err := s.open(ctx); err != nil {
		return report, err
	}
	started := o.Clock.Now()
	s.Log.Info("Publishing the artifacts", "files", len(found.artifacts))
	sum, err := (&upload{session: s, files: found}).run(ctx)
	if err != nil {
		return report, err
	}
	s.Log.Info("The artifacts are published", "files", sum.Objects, "bytes", sum.Bytes,
		"seconds", o.Clock.Since(started).Seconds())
	report.Published = true
	report.ManifestDigest, report.Objects, report.Bytes = sum.Digest, sum.Objects, sum.Bytes
	return report, nil
}

// awaitTrainer asks for the trainer's end until it came. There is nothing to save
// when the pod is told to stop before that.
func (s *session) awaitTrainer(ctx context.Context, terminated <-chan struct{}) (staging.TrainerStatus, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-ctx.Done():
		case <-terminated:
			cancel()
		}
	}()
	for {
		var status staging.TrainerStatus
		asked := s.Clock.Now()
		err := s.grants.peer.try(ctx, func(ctx context.Context) error {
			var err error
			if status, err = s.Broker.Trainer(ctx); err != nil {
				return brokerFailure(ctx, err)
			}
			return nil
		})
		if err != nil || status.Ended {
			return status, err
		}
		if rest := minTrainerWait - s.Clock.Since(asked); rest > 0 {
			if err := sleep(ctx, s.Clock, rest); err != nil {
				return status, err
			}
		}
	}
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
		o.Log.Warn("The pod is told to stop; finishing the upload if there is time", "grace", o.Grace.String())
		_ = sleep(ctx, o.Clock, o.Grace) // Ends early only if nothing is left to stop.
		cancel()
	}()
	return ctx, cancel
}
