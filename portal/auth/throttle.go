package auth

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// limit is one way of counting. Its name is part of the keys of its counts.
type limit struct {
	name string
	portal.Backoff
	// stop is after how many counts in a row there is no next attempt until they are
	// forgotten; 0 for none.
	stop int
}

// stopAfter is the number of consecutive failures of NIST SP 800-63B-4, 3.2.2.
const stopAfter = 100

// Limits. Those that end with a stop count guesses at one account's secrets. There the
// person always has another way that strangers' guesses don't close: a browser that the
// account knows, or one proved by mail.
var (
	guess = portal.Backoff{Free: 5, Base: 30 * time.Second, Max: time.Hour, Forget: portal.ThrottleRetention}
	// passwordUnknown counts by address for all browsers that its account doesn't know;
	// passwordKnown by address and known browser; passwordNetwork all addresses of a
	// network together, known browsers left out.
	passwordUnknown = limit{"password", guess, stopAfter}
	passwordKnown   = limit{"password-device", guess, stopAfter}
	passwordNetwork = limit{"password-network", portal.Backoff{Free: 20, Base: 30 * time.Second, Max: 15 * time.Minute, Forget: 24 * time.Hour}, 0}
	// codeUnknown and codeKnown are the same for second factors, over all challenges.
	codeUnknown = limit{"code", guess, stopAfter}
	codeKnown   = limit{"code-device", guess, stopAfter}
	// codeProved counts together all browsers that mail has proved and nobody has signed in
	// from: whoever reads the mailbox makes as many as there are mails, and would get new
	// guesses at the second factor with each.
	codeProved = limit{"code-proved", guess, stopAfter}
	// stepUp counts by session: who has taken over one closes nobody else's.
	stepUp = limit{"step-up", guess, stopAfter}

	// mailAddress counts what is asked for by address and purpose. Its longest wait is
	// shorter than any link's life: while it says no, a good link lies in the mailbox.
	mailAddress = limit{"mail", portal.Backoff{Free: 3, Base: time.Minute, Max: 10 * time.Minute, Forget: 24 * time.Hour}, 0}
	// mailUnasked is the same for links that nobody has asked for by that name.
	mailUnasked = limit{"mail-unasked", mailAddress.Backoff, 0}
	mailNetwork = limit{"mail-network", portal.Backoff{Free: 20, Base: time.Minute, Max: 15 * time.Minute, Forget: 24 * time.Hour}, 0}
	// newPassword counts changes of an account's password, which each cost a hash and a mail.
	newPassword = limit{"new-password", portal.Backoff{Free: 5, Base: time.Minute, Max: 10 * time.Minute, Forget: 24 * time.Hour}, 0}
	// signUpAddress slows nothing down. It is counted for each sign-up, so that every one
	// ends with something written: the disk takes its time for that, and for nothing else.
	signUpAddress = limit{"sign-up", portal.Backoff{Forget: 24 * time.Hour}, 0}
	// signUpNetwork counts sign-ups, which each cost a hash.
	signUpNetwork = limit{"sign-up-network", portal.Backoff{Free: 20, Base: time.Minute, Max: time.Hour, Forget: 24 * time.Hour}, 0}

	// once lets something be written down at most once in its wait.
	onceMinute = limit{"event-minute", portal.Backoff{Free: 0, Base: time.Minute, Max: time.Minute, Forget: time.Minute}, 0}
	onceHour   = limit{"event-hour", portal.Backoff{Free: 0, Base: time.Hour, Max: time.Hour, Forget: time.Hour}, 0}
)

// counter is a limit for one value.
type counter struct {
	limit
	key string
}

// of gives the counter for a value of some parts. The value is not found in its key.
func (l limit) of(s *Service, parts ...string) counter {
	sum := s.keys.MAC("throttle", []byte(l.name+"\x00"+strings.Join(parts, "\x00")))
	return counter{l, l.name + ":" + hex.EncodeToString(sum[:])}
}

// wait is portal.Backoff.Wait with the stop.
func (l limit) wait(t portal.Throttle, now time.Time) time.Duration {
	if l.stop > 0 && t.Failures >= l.stop {
		return max(t.LastAt.Add(l.Forget).Sub(now), 0)
	}
	return l.Wait(t, now)
}

// wait is how long until the next attempt that all counters allow.
func (a *act) wait(ctx context.Context, counters ...counter) (time.Duration, error) {
	longest := time.Duration(0)
	for _, c := range counters {
		t, err := a.Throttle(ctx, c.key)
		if err != nil {
			return 0, fmt.Errorf("read a count of %s: %w", c.name, err)
		}
		longest = max(longest, c.wait(t, a.now))
	}
	return longest, nil
}

// count adds one to each, and gives what the first then counts.
func (a *act) count(ctx context.Context, counters ...counter) (int, error) {
	first := 0
	for i, c := range counters {
		t, err := a.Throttle(ctx, c.key)
		if err != nil {
			return 0, fmt.Errorf("read a count of %s: %w", c.name, err)
		}
		t = c.After(t, a.now)
		if i == 0 {
			first = t.Failures
		}
		if err := a.PutThrottle(ctx, t); err != nil {
			return 0, fmt.Errorf("count %s: %w", c.name, err)
		}
	}
	return first, nil
}

// takeBack takes one off each that was counted before its outcome was known.
func (a *act) takeBack(ctx context.Context, counters ...counter) error {
	for _, c := range counters {
		t, err := a.Throttle(ctx, c.key)
		if err != nil {
			return fmt.Errorf("read a count of %s: %w", c.name, err)
		}
		if t.Failures <= 1 {
			if err := a.forget(ctx, c); err != nil {
				return err
			}
			continue
		}
		t.Failures--
		if err := a.PutThrottle(ctx, t); err != nil {
			return fmt.Errorf("take back a count of %s: %w", c.name, err)
		}
	}
	return nil
}

// forget starts counters again.
func (a *act) forget(ctx context.Context, counters ...counter) error {
	for _, c := range counters {
		if _, _, err := found(struct{}{}, a.DeleteThrottle(ctx, c.key)); err != nil {
			return fmt.Errorf("forget a count of %s: %w", c.name, err)
		}
	}
	return nil
}

// tooMany refuses an attempt; advice says what else the person can do.
func tooMany(wait time.Duration, advice string) error {
	return &portal.Error{
		Kind: portal.KindTooMany, RetryAfter: wait,
		Message: "There were too many attempts. Try again " + in(wait) + "." + advice,
	}
}

// orTooMany is tooMany when there is something to wait for.
func orTooMany(err error, wait time.Duration) error {
	if err != nil || wait <= 0 {
		return err
	}
	return tooMany(wait, "")
}

// in says how long something takes, rounded up.
func in(wait time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if wait > u.unit {
			return fmt.Sprintf("in %d %ss", (wait+u.unit-1)/u.unit, u.name)
		}
	}
	return "in a minute"
}

// eventOnce writes an event unless one was written for that value within the limit's wait:
// a flood of refusals is not to become a flood of writes. Due reports, in a snapshot,
// whether it would.
func (s *Service) eventOnce(ctx context.Context, c portal.Client, l limit, kind portal.EventKind, account portal.AccountID, parts ...string) error {
	mark := l.of(s, append([]string{string(kind)}, parts...)...)
	due := false
	err := s.read(ctx, c, func(ctx context.Context, a *act) error {
		wait, err := a.wait(ctx, mark)
		due = wait == 0
		return err
	})
	if err != nil || !due {
		return err
	}
	return s.write(ctx, c, func(ctx context.Context, a *act) error {
		wait, err := a.wait(ctx, mark)
		if err != nil || wait > 0 {
			return err
		}
		if _, err := a.count(ctx, mark); err != nil {
			return err
		}
		return a.event(ctx, kind, account)
	})
}
