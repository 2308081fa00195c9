package broker

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// memberLife is how long a pod of a run is believed to be one. Nothing but its own
	// state and output is told by it, and nothing but its own progress taken, so a token
	// that was revoked in the last seconds does no harm.
	memberLife = 45 * time.Second
	// refusedLife is how long a refused token is refused without another review.
	refusedLife = 10 * time.Second
	// maxTokens bounds one memory.
	maxTokens = 8192
)

// tokenMemory remembers for a while what was found out about tokens, by their
// hashes, so that the same token does not cost the API server one request each time.
type tokenMemory[V any] struct {
	life    time.Duration
	mu      sync.Mutex
	entries map[[sha256.Size]byte]remembered[V]
}

type remembered[V any] struct {
	value   V
	expires time.Time
}

func newTokenMemory[V any](life time.Duration) *tokenMemory[V] {
	return &tokenMemory[V]{life: life, entries: map[[sha256.Size]byte]remembered[V]{}}
}

func (m *tokenMemory[V]) get(token string, now time.Time) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry, ok := m.entries[sha256.Sum256([]byte(token))]
	if !ok || !now.Before(entry.expires) {
		var nothing V
		return nothing, false
	}
	return entry.value, true
}

// put remembers a token. A full memory first drops what has expired, and then
// all of it: another review is the worst that follows.
func (m *tokenMemory[V]) put(token string, value V, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.entries) >= maxTokens {
		for hash, entry := range m.entries {
			if !now.Before(entry.expires) {
				delete(m.entries, hash)
			}
		}
	}
	if len(m.entries) >= maxTokens {
		clear(m.entries)
	}
	m.entries[sha256.Sum256([]byte(token))] = remembered[V]{value: value, expires: now.Add(m.life)}
}
