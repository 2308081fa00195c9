package trainingrun

import (
	"context"
	"errors"
	"time"
)

const (
	// maxErases is how many runs' artifacts are counted or erased at once. Each may
	// take an hour.
	maxErases = 4
	// maxBriefs is how many short calls to the store are made at once. They take
	// milliseconds, or storeTimeout while the store hangs.
	maxBriefs = 4
	// maxPrunes is how many runs' old checkpoints are cleared away at once.
	maxPrunes = 4
	// patience is how long a worker waits for a turn: long enough for many small
	// erases to follow one another without a gap, and short enough for the workers
	// not to be used up by those who wait.
	patience = 200 * time.Millisecond
	// busyRetry is when a run that got no turn is looked at again.
	busyRetry = 10 * time.Second
)

// errBusy says that there was no turn at the store, or not enough time. Nothing is
// wrong; it is tried again after busyRetry.
var errBusy = errors.New("too many runs are worked on at the store")

// turns bounds the work at the store, so that workers are left for following runs,
// which needs no store: however long erases take, and when the store hangs.
type turns chan struct{}

// take waits for a turn, until the context ends or patience is over. Who gets one
// gives it back.
func (t turns) take(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case t <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (t turns) give() { <-t }
