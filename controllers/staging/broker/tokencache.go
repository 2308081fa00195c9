package broker

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// tokenCacheLife is how long the answer of a TokenReview is believed where
	// nothing but a pod's own state is told.
	tokenCacheLife = 30 * time.Second
	// maxCachedTokens bounds the cache.
	maxCachedTokens = 4096
)

// tokenCache remembers whose a token was, by the token's hash, so that waiting
// for a trainer costs the API server one TokenReview in tokenCacheLife at most.
type tokenCache struct {
	mu      sync.Mutex
	entries map[[sha256.Size]byte]cachedToken
}

type cachedToken struct {
	caller  identity
	expires time.Time
}

func newTokenCache() *tokenCache {
	return &tokenCache{entries: map[[sha256.Size]byte]cachedToken{}}
}

func (c *tokenCache) get(token string, now time.Time) (identity, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, ok := c.entries[sha256.Sum256([]byte(token))]
	if !ok || !now.Before(entry.expires) {
		return identity{}, false
	}
	return entry.caller, true
}

// put remembers a token. A full cache first drops what has expired, and then
// itself: another review is the worst that follows.
func (c *tokenCache) put(token string, caller identity, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= maxCachedTokens {
		for hash, entry := range c.entries {
			if !now.Before(entry.expires) {
				delete(c.entries, hash)
			}
		}
	}
	if len(c.entries) >= maxCachedTokens {
		clear(c.entries)
	}
	c.entries[sha256.Sum256([]byte(token))] = cachedToken{caller: caller, expires: now.Add(tokenCacheLife)}
}
