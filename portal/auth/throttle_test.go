package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// guesses tries wrong passwords until it is throttled, at most n times, and gives how
// many were looked at and the wait.
func (w *world) guesses(c portal.Client, n int) (int, time.Duration) {
	w.Helper()
	for i := range n {
		_, err := w.SignIn(w.Context(), c, email, wrongPassword)
		if portal.KindOf(err) == portal.KindTooMany {
			return i, w.refusal(err, portal.KindTooMany).RetryAfter
		}
		w.wantKind(err, portal.KindUnauthenticated)
	}
	return n, 0
}

func TestPasswordsAreThrottled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	account := w.person(email)
	stranger := client("203.0.113.9", "")
	n, wait := w.guesses(stranger, 50)
	if n != guess.Free+1 || wait != guess.Base {
		t.Fatalf("%d passwords were looked at, then a wait of %s", n, wait)
	}
	if got := w.working(func() { w.guesses(stranger, 50) }); got.Hashes != 0 || got.Writes != 0 {
		t.Errorf("a refused attempt costs %+v", got)
	}
	waits := []time.Duration{}
	for range 9 {
		w.clock.Advance(wait)
		n, wait = w.guesses(stranger, 50)
		if n != 1 {
			t.Fatalf("%d passwords were looked at after the wait", n)
		}
		waits = append(waits, wait)
	}
	if waits[0] != 2*guess.Base || waits[8] != guess.Max {
		t.Errorf("the waits are %v", waits)
	}
	if got := w.happened(account.ID, portal.EventSignInFailed); got != 15 {
		t.Errorf("%d failures are recorded", got)
	}
	if got := w.happened(account.ID, portal.EventThrottled); got != 9 { // the first two are in one minute
		t.Errorf("%d refusals are recorded", got)
	}
	if got := w.mailed(portal.MailManyFailures); got != 1 {
		t.Errorf("the person was told %d times", got)
	}
}

// TestNoLockOut: whatever a stranger does to an address, its person signs in from a known
// browser, and from a new one that mail has proved.
func TestNoLockOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(email)
	known := client("198.51.100.7", w.signIn(home, email, goodPassword).DeviceSecret)
	for i := range 100 { // for days, from many networks
		stranger := client(fmt.Sprintf("10.0.%d.1", i), "guessed")
		_, wait := w.guesses(stranger, 10)
		_ = w.AskDevice(t.Context(), stranger, email)
		_ = w.AskReset(t.Context(), stranger, email)
		w.clock.Advance(min(wait, guess.Max))
	}
	fresh := client("192.0.2.77", "")
	_, err := w.SignIn(t.Context(), fresh, email, goodPassword)
	if e := w.refusal(err, portal.KindTooMany); e.RetryAfter < 24*time.Hour {
		t.Fatalf("the stranger was slowed down by %s only", e.RetryAfter)
	}
	w.signIn(known, email, goodPassword)

	// The stranger may have used up all mails of the moment: then a link is in the mailbox.
	err = w.AskDevice(t.Context(), fresh, email)
	if err != nil {
		w.wantKind(err, portal.KindTooMany)
	}
	device, err := w.ConfirmDevice(t.Context(), fresh, w.secret(portal.MailConfirmDevice, email))
	w.must(err)
	fresh.Device = device
	w.signIn(fresh, email, goodPassword)

	// A known browser in the very network of the stranger is not throttled with it.
	known.IP = client("10.0.99.1", "").IP
	w.signIn(known, email, goodPassword)
}

// TestKnownBrowserIsThrottledToo: who has stolen a device's cookie gets no more guesses.
func TestKnownBrowserIsThrottledToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(email)
	known := client("198.51.100.7", w.signIn(home, email, goodPassword).DeviceSecret)
	if n, _ := w.guesses(known, 50); n != guess.Free+1 {
		t.Errorf("%d passwords were looked at", n)
	}
	// It is another count than that of unknown ones.
	w.signIn(client("192.0.2.1", ""), email, goodPassword)
	// A device of another account is not known to this one.
	w.person("second@example.org")
	other := w.signIn(home, "second@example.org", goodPassword)
	if n, _ := w.guesses(client("192.0.2.1", other.DeviceSecret), 50); n != guess.Free+1 {
		t.Errorf("%d passwords were looked at", n)
	}
	_, err := w.SignIn(t.Context(), client("192.0.2.1", ""), email, goodPassword)
	w.wantKind(err, portal.KindTooMany)
}

// TestProvedBrowsersShareTheirWrongCodes: who has the password and the mailbox gets no new
// guesses at the second factor with each browser that mail proves.
func TestProvedBrowsersShareTheirWrongCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	looked := 0
	prove := func() portal.Client {
		w.clock.Advance(mailAddress.Max)
		w.must(w.AskDevice(t.Context(), home, email))
		device, err := w.ConfirmDevice(t.Context(), home, w.secret(portal.MailConfirmDevice, email))
		w.must(err)
		return client("203.0.113.9", device)
	}
	for range 6 {
		stranger := prove()
		challenge, wrong := w.askedCode(stranger, email, goodPassword), portal.KindUnauthenticated
		for wrong == portal.KindUnauthenticated {
			var err error
			_, err = w.FinishSignIn(t.Context(), stranger, challenge, w.notCode(e.seed))
			if wrong = portal.KindOf(err); wrong == portal.KindUnauthenticated {
				looked++
			}
			if errors.Is(err, errSignInAgain) {
				break
			}
		}
	}
	if most := guess.Free + 6; looked > most {
		t.Errorf("%d codes were looked at, more than %d", looked, most)
	}
	// The person's own browsers are counted apart, and so is a proved one once it is one.
	w.clock.Advance(guess.Max)
	own := prove()
	_, err := w.FinishSignIn(t.Context(), own, w.askedCode(own, email, goodPassword), w.code(e.seed))
	w.must(err)
	for range guess.Free + 2 {
		stranger := prove()
		_, _ = w.FinishSignIn(t.Context(), stranger, w.askedCode(stranger, email, goodPassword), w.notCode(e.seed))
	}
	for _, known := range []portal.Client{own, client("198.51.100.7", e.device)} {
		w.nextStep()
		_, err := w.FinishSignIn(t.Context(), known, w.askedCode(known, email, goodPassword), w.code(e.seed))
		w.must(err)
	}
}

// TestProvedBrowserIsSoonForgotten: one that nobody signs in from is known for a day.
func TestProvedBrowserIsSoonForgotten(t *testing.T) {
	t.Parallel()
	for wait, known := range map[time.Duration]bool{provedLife - time.Second: true, provedLife: false} {
		w := newWorld(t)
		w.person(email)
		w.must(w.AskDevice(t.Context(), home, email))
		device, err := w.ConfirmDevice(t.Context(), home, w.secret(portal.MailConfirmDevice, email))
		w.must(err)
		w.clock.Advance(wait)
		if s := w.signIn(client("192.0.2.77", device), email, goodPassword); (s.DeviceSecret == "") != known {
			t.Errorf("after %s its being known is not %v", wait, known)
		}
		w.clock.Advance(provedLife)
		if s := w.signIn(client("192.0.2.77", device), email, goodPassword); (s.DeviceSecret == "") != known {
			t.Errorf("a day after a sign-in its being known is not %v", known)
		}
	}
}

// TestOldDeviceIsUnknown: a device that was not seen for a year is none.
func TestOldDeviceIsUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(email)
	known := client("198.51.100.7", w.signIn(home, email, goodPassword).DeviceSecret)
	w.clock.Advance(portal.DeviceLife)
	if s := w.signIn(known, email, goodPassword); s.DeviceSecret == "" || s.DeviceSecret == known.Device {
		t.Errorf("the device's secret is %q", s.DeviceSecret)
	}
}

func TestNetworksAreThrottled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	looked := 0
	for i := range 40 {
		c := client(fmt.Sprintf("203.0.113.%d", i), "")
		_, err := w.SignIn(t.Context(), c, fmt.Sprintf("p%d@example.org", i), wrongPassword)
		if portal.KindOf(err) == portal.KindUnauthenticated {
			looked++
		}
	}
	if looked != passwordNetwork.Free+1 {
		t.Errorf("%d passwords were looked at", looked)
	}
	w.person(email)
	w.signIn(home, email, goodPassword)
}

func TestSuccessStartsCountsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(email)
	fresh := client("192.0.2.1", "")
	for range 4 {
		if n, _ := w.guesses(fresh, guess.Free); n != guess.Free {
			t.Fatalf("only %d were looked at", n)
		}
		w.signIn(fresh, email, goodPassword)
		w.clock.Advance(time.Hour) // for the network
	}
}

// TestThrottlesOutliveAProcess: a new service on the same store goes on counting, with a
// new key added too.
func TestThrottlesOutliveAProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(email)
	stranger := client("203.0.113.9", "")
	w.guesses(stranger, 50)
	w.Service = w.restart(Options{Argon2: cheapest})
	if n, _ := w.guesses(stranger, 1); n != 0 {
		t.Error("a restart forgets")
	}
	w.rotateKeys()
	w.Service = w.restart(Options{Argon2: cheapest})
	if n, _ := w.guesses(stranger, 1); n != 0 {
		t.Error("a new key forgets")
	}
}

// TestGuessesAtOnce: of many guesses at the same time no more are hashed than one after
// the other, on two replicas.
func TestGuessesAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(email)
	o := Options{Argon2: cheapest, HashQueue: 500, HashWait: time.Minute}
	replicas := []*Service{w.restart(o), w.restart(o)}
	got := w.working(func() {
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				_, err := replicas[i%2].SignIn(t.Context(), client(fmt.Sprintf("10.1.%d.1", i), ""), email, wrongPassword)
				if k := portal.KindOf(err); k != portal.KindUnauthenticated && k != portal.KindTooMany {
					t.Errorf("got %v", err)
				}
			})
		}
		all.Wait()
	})
	if got.Hashes != int64(guess.Free+1) {
		t.Errorf("%d passwords were hashed", got.Hashes)
	}
}

// TestThrottlesHoldNothingInClear looks at what counts are called.
func TestThrottlesHoldNothingInClear(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	w.guesses(client("203.0.113.9", e.device), 3)
	for _, l := range []limit{passwordUnknown, passwordNetwork} {
		for _, value := range []string{portal.Email(email).Key(), "203.0.113.0/24"} {
			key := l.of(w.Service, value).key
			if strings.Contains(key, value) || strings.Contains(key, "203.0") {
				t.Errorf("the key %s holds what it counts", key)
			}
		}
	}
}

// TestHangingUpIsRecorded: who closes the connection after a guess leaves the same trace.
func TestHangingUpIsRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	account := w.person(email)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	keys := w.hasher.keys
	w.hasher.keys = watchedKeys{keys, func(int) { cancel() }}
	_, err := w.SignIn(ctx, home, email, wrongPassword)
	w.wantKind(err, portal.KindUnauthenticated)
	if n := w.happened(account.ID, portal.EventSignInFailed); n != 1 {
		t.Errorf("%d failures are recorded", n)
	}
}

func TestMailsAreThrottled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(email)
	asks := map[portal.MailKind]func(portal.Client) error{
		portal.MailResetPassword: func(c portal.Client) error { return w.AskReset(t.Context(), c, email) },
		portal.MailConfirmDevice: func(c portal.Client) error { return w.AskDevice(t.Context(), c, email) },
	}
	for kind, ask := range asks {
		for i := range 60 { // an hour, from everywhere
			_ = ask(client(fmt.Sprintf("10.2.%d.1", i), ""))
			w.clock.Advance(time.Minute)
		}
		if n := w.mailed(kind); n < 6 || n > 12 {
			t.Errorf("%d mails %s in an hour", n, kind)
		}
	}
	sent := 0
	for i := range 60 {
		if w.AskReset(t.Context(), client("203.0.113.9", ""), fmt.Sprintf("p%d@example.org", i)) == nil {
			sent++
		}
	}
	if sent != mailNetwork.Free+1 {
		t.Errorf("one network asked for %d mails", sent)
	}
}

func TestRecordIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	account := w.person(email)
	for range 50 {
		w.must(w.Record(t.Context(), home, portal.EventAccessDenied, account.ID))
	}
	w.must(w.Record(t.Context(), home, portal.EventCrossSiteRefused, ""))
	if n := w.happened(account.ID, portal.EventAccessDenied); n != 1 {
		t.Errorf("%d are recorded", n)
	}
	if n := w.happened("", portal.EventCrossSiteRefused); n != 1 {
		t.Errorf("%d are recorded", n)
	}
	w.clock.Advance(time.Minute)
	w.must(w.Record(t.Context(), home, portal.EventAccessDenied, account.ID))
	if n := w.happened(account.ID, portal.EventAccessDenied); n != 2 {
		t.Errorf("%d are recorded", n)
	}
	w.wantInternal(w.Record(t.Context(), home, portal.EventSignIn, account.ID))
}
