package live

import (
	"sync"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// shelf keeps for a while what was read from the store of runs that have ended, which
// doesn't change any more: a page that is loaded again costs the store nothing.
type shelf[T any] struct {
	// life is for how long something is kept, limit how much there may be, in what put calls
	// its size.
	life  time.Duration
	limit int

	mutex sync.Mutex
	items map[shelfKey]shelved[T]
	size  int
}

// shelfKey is what was read: of a run, one attempt on some nodes.
type shelfKey struct {
	run            portal.RunID
	attempt, nodes int
}

type shelved[T any] struct {
	value T
	size  int
	until time.Time
}

func newShelf[T any](life time.Duration, limit int) *shelf[T] {
	return &shelf[T]{life: life, limit: limit, items: map[shelfKey]shelved[T]{}}
}

func (s *shelf[T]) get(k shelfKey, now time.Time) (T, bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	item, ok := s.items[k]
	return item.value, ok && now.Before(item.until)
}

// put keeps a value. What is too old goes, and then what would go next, until there is
// room; what is larger than everything is not kept.
func (s *shelf[T]) put(k shelfKey, value T, size int, now time.Time) {
	if size > s.limit {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.drop(k)
	for other, item := range s.items {
		if !now.Before(item.until) {
			s.drop(other)
		}
	}
	for s.size+size > s.limit {
		var next shelfKey
		var first time.Time
		for other, item := range s.items {
			if first.IsZero() || item.until.Before(first) {
				next, first = other, item.until
			}
		}
		s.drop(next)
	}
	s.items[k] = shelved[T]{value, size, now.Add(s.life)}
	s.size += size
}

func (s *shelf[T]) drop(k shelfKey) {
	s.size -= s.items[k].size
	delete(s.items, k)
}
