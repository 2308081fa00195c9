package agent

import (
	"context"
	"errors"
	"time"

	"k8s.io/utils/clock"
)

// watchdog ends a transfer that stalls.
type watchdog struct {
	cancel context.CancelCauseFunc
	timer  clock.Timer
}

func (s *session) watch(ctx context.Context) (context.Context, *watchdog) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &watchdog{
		cancel: cancel,
		timer:  s.Clock.AfterFunc(stallTimeout, func() { cancel(errStalled) }),
	}
}

// alive notes that something moved.
func (w *watchdog) alive() { w.timer.Reset(stallTimeout) }

// patient lets the next step take longer.
func (w *watchdog) patient(d time.Duration) { w.timer.Reset(d) }

func (w *watchdog) stop() {
	w.timer.Stop()
	w.cancel(context.Canceled)
}

// explain puts the stall in the place of the cancellation that it caused.
func (w *watchdog) explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
		return cause
	}
	return err
}
