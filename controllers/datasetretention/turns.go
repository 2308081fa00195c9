package datasetretention

import (
	"context"
	"errors"
	"time"
)

const (
	// maxTurns is how many datasets are counted or erased at the store at once, and
	// maxChecks of how many the manifest is read. Each may take an hour, and uploads
	// that were sealed must not keep back what has to be erased.
	maxTurns  = 4
	maxChecks = 2
	// patience is how long a worker waits for a turn. It is long enough for the
	// erases of many small datasets to follow one another without a gap, and short
	// enough for the workers not to be used up by those who wait.
	patience = time.Second
)

// errBusy says that there was no turn at the store. Nothing was done; it is tried
// again after busyRetry.
var errBusy = errors.New("too many datasets are worked on at the store")

// turns bounds the work at the store, so that workers are left for what takes a
// moment: to place, seal and expire datasets.
type turns chan struct{}

func newTurns(most int) turns { return make(turns, most) }

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
