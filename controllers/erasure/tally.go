package erasure

import (
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// progressPeriod is the time between two reports at least.
const progressPeriod = time.Second

// tally sums up, and tells of it now and then.
type tally struct {
	clock clock.PassiveClock
	tell  func(Inventory)

	mu      sync.Mutex
	total   Inventory
	last    time.Time
	telling bool
}

func newTally(c clock.PassiveClock, tell func(Inventory)) *tally {
	return &tally{clock: c, tell: tell, last: c.Now()}
}

func (t *tally) sum() Inventory {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}

// add counts, and tells if it is time and nobody is being told.
func (t *tally) add(more Inventory) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total.add(more)
	now := t.clock.Now()
	if t.tell == nil || t.telling || now.Sub(t.last) < progressPeriod {
		return
	}
	t.telling, t.last = true, now
	total := t.total
	t.mu.Unlock()
	t.tell(total)
	t.mu.Lock()
	t.telling = false
}
