package broker

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxLimiters bounds the callers that are told apart at a time.
const maxLimiters = 8192

// limits holds a token bucket for each caller. A full bucket is no different from
// a new one, so full ones are dropped when room is needed; when there are none,
// all further callers share one bucket. So nobody gets rid of his limit by
// pushing others out, and memory stays bounded.
type limits struct {
	perSecond rate.Limit
	burst     int

	mu     sync.Mutex
	each   map[string]*rate.Limiter
	shared *rate.Limiter
}

func newLimits(perSecond float64, burst int) *limits {
	l := &limits{perSecond: rate.Limit(perSecond), burst: burst, each: map[string]*rate.Limiter{}}
	l.shared = rate.NewLimiter(l.perSecond, l.burst)
	return l
}

// allow takes a token from the caller's bucket and reports whether there was one.
func (l *limits) allow(caller string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, ok := l.each[caller]
	if !ok {
		limiter = l.add(caller, now)
	}
	return limiter.AllowN(now, 1)
}

func (l *limits) add(caller string, now time.Time) *rate.Limiter {
	if len(l.each) >= maxLimiters {
		for name, limiter := range l.each {
			if limiter.TokensAt(now) >= float64(l.burst) {
				delete(l.each, name)
			}
		}
	}
	if len(l.each) >= maxLimiters {
		return l.shared
	}
	limiter := rate.NewLimiter(l.perSecond, l.burst)
	l.each[caller] = limiter
	return limiter
}
