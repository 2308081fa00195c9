package portal

import "time"

// Throttle counts what went wrong under one key. Keys are made by package auth: a keyed
// hash of what is counted (an address, a network, a device), since neither addresses nor
// networks may be found here.
type Throttle struct {
	Key string
	// Failures since FirstAt without a success.
	Failures        int
	FirstAt, LastAt time.Time
}

// Backoff says how a Throttle slows down.
type Backoff struct {
	// Free attempts cost nothing; Base is the wait after the next one, doubled each time
	// up to Max (NIST SP 800-63B-4, 3.2.2: from 30 s to an hour).
	Free      int
	Base, Max time.Duration
	// Forget is how long after the last failure the count starts again.
	Forget time.Duration
}

// Wait is how long from now until the next attempt is looked at; 0 for at once.
func (b Backoff) Wait(t Throttle, now time.Time) time.Duration {
	over := t.Failures - b.Free
	if over <= 0 || now.Sub(t.LastAt) >= b.Forget {
		return 0
	}
	wait := b.Max
	if shift := over - 1; shift < 16 {
		wait = min(b.Base<<shift, b.Max)
	}
	return max(t.LastAt.Add(wait).Sub(now), 0)
}

// After counts one more failure.
func (b Backoff) After(t Throttle, now time.Time) Throttle {
	if t.Failures == 0 || now.Sub(t.LastAt) >= b.Forget {
		t.Failures, t.FirstAt = 0, now
	}
	t.Failures++
	t.LastAt = now
	return t
}

// ThrottleRetention is how long a count is kept after its last failure. No Backoff may
// remember for longer.
const ThrottleRetention = 30 * 24 * time.Hour
