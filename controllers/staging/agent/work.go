package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// errGone says that the trainer has ended, or as good as, in a pod that is being
// stopped: the operator does not hear of its exit code before the pod has ended.
var errGone = errors.New("the trainer has ended while the pod is stopped")

// work is what goes on beside the trainer: checkpoints, progress and output, each in a
// goroutine of its own.
type work struct {
	StageOutOptions
	session  *session
	activity *activity

	// turn holds one token: who has it may connect to the store.
	turn   chan struct{}
	opened *session
	// newest is the checkpoint that was the newest when the store was connected to.
	newest string

	// ended is closed when the trainer has, gone when it has without a word.
	ended, gone chan struct{}
	left        sync.Once
}

func newWork(o StageOutOptions) *work {
	w := &work{
		StageOutOptions: o,
		session:         newSession(o.Options, staging.StepStageOut, stageOutPatience),
		activity:        &activity{last: o.Clock.Now()},
		turn:            make(chan struct{}, 1),
		ended:           make(chan struct{}),
		gone:            make(chan struct{}),
	}
	w.Options = w.session.Options
	// Names that follow from the step are for nodes that must agree. A pod that takes the
	// place of another must not write under that one's.
	w.EveryNode = w.EveryNode && w.Node.Count > 1
	w.turn <- struct{}{}
	return w
}

// place connects to the store with the first call and gives the run's place in it.
func (w *work) place(ctx context.Context) (*session, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-w.turn:
	}
	defer func() { w.turn <- struct{}{} }()
	if w.opened != nil {
		return w.opened, nil
	}
	s := *w.session
	grant, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	w.opened, w.newest = &s, grant.NewestCheckpoint
	return w.opened, nil
}

// leave ends the wait for a trainer of which nobody will hear.
func (w *work) leave() { w.left.Do(func() { close(w.gone) }) }

// over says whether the trainer has ended.
func (w *work) over() bool { return closed(w.ended) }

// hurried says whether the pod is told to stop.
func (w *work) hurried() bool { return closed(w.Terminated) }

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// rest waits for a while, for less when the trainer ends or the pod is told to stop
// meanwhile. It reports false when there is no time left at all.
func (w *work) rest(ctx context.Context, d time.Duration) bool {
	timer := w.Clock.NewTimer(d)
	defer timer.Stop()
	terminated := w.Terminated
	if w.hurried() {
		terminated = nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
	case <-w.ended:
	case <-terminated:
	}
	return ctx.Err() == nil
}

// awaitTrainer asks for the trainer's end until it came. The error is errGone when
// there is nothing more to wait for.
func (w *work) awaitTrainer(ctx context.Context) (staging.TrainerStatus, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-ctx.Done():
		case <-w.gone:
			cancel(errGone)
		}
	}()
	var status staging.TrainerStatus
	err := w.session.await(ctx, func(ctx context.Context) (bool, error) {
		var err error
		status, err = w.Broker.Trainer(ctx)
		return status.Ended, err
	})
	if err != nil && errors.Is(context.Cause(ctx), errGone) {
		return status, errGone
	}
	return status, err
}

// interrupted says whether the pod was told to stop before a trainer's good end was heard
// of. It may have ended because of that, with half of its work, so that is no success.
func (w *work) interrupted() bool {
	if !w.hurried() {
		return false
	}
	w.Log.Warn("The trainer ended well, but only after the order to stop; it may not have done all, so nothing is published")
	return true
}

// publish uploads what the trainer left.
func (w *work) publish(ctx context.Context, report *staging.Report) error {
	found, err := collect(w.ArtifactsDir, staging.CheckpointFolder, maxArtifacts)
	if err != nil {
		return err
	}
	defer found.close()
	if w.Node.Index > 0 {
		w.overlook(found)
		return nil
	}
	if found.skipped > 0 {
		report.Message = fmt.Sprintf("%d symbolic links and special files were not published.", found.skipped)
		w.Log.Warn("Symbolic links and special files are not published", "count", found.skipped)
	}
	s, err := w.place(ctx)
	if err != nil {
		return err
	}
	started := w.Clock.Now()
	w.Log.Info("Publishing the artifacts", "files", len(found.artifacts))
	sum, err := (&upload{session: s, files: found}).run(ctx)
	if err != nil {
		return err
	}
	w.Log.Info("The artifacts are published", "files", sum.Objects, "bytes", sum.Bytes,
		"seconds", w.Clock.Since(started).Seconds())
	report.Published = true
	report.ManifestDigest, report.Objects, report.Bytes = sum.Digest, sum.Objects, sum.Bytes
	return nil
}

// overlook says what of another node than the first is not published.
func (w *work) overlook(found *collection) {
	count := len(found.artifacts)
	for _, a := range found.artifacts {
		if a.path == progressName {
			count--
		}
	}
	if count > 0 {
		w.Log.Warn("The artifacts of this node are not published; let the trainer write them on node 0", "files", count)
	}
}
