package uploads

import (
	"sync"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// longestWait bounds how long a dataset that failed is left alone.
const longestWait = 10 * time.Minute

// waits lets datasets that fail wait longer each time, so that their calls don't crowd out
// those of others. It is in memory: a portal that was just started tries all. Its zero
// value works.
type waits struct {
	mu   sync.Mutex
	kept map[portal.DatasetID]wait
}

type wait struct {
	last  time.Duration
	until time.Time
}

// over reports whether a dataset may be tried.
func (w *waits) over(id portal.DatasetID, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !now.Before(w.kept[id].until)
}

// failed doubles a dataset's wait.
func (w *waits) failed(id portal.DatasetID, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kept == nil {
		w.kept = map[portal.DatasetID]wait{}
	}
	last := min(max(2*w.kept[id].last, settleEvery), longestWait)
	w.kept[id] = wait{last: last, until: now.Add(last)}
}

// forget ends it.
func (w *waits) forget(id portal.DatasetID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.kept, id)
}
