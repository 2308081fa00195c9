package auth

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/keyring"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

// TestPasswordAloneIsBounded: who knows the password and has no code can't sign in half
// way again and again, and closes nothing for the person by it.
func TestPasswordAloneIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	thief := client("203.0.113.9", "")
	for range guess.Free + 1 {
		w.askedCode(thief, email, goodPassword)
	}
	_, err := w.SignIn(t.Context(), thief, email, goodPassword)
	w.wantKind(err, portal.KindTooMany)
	known := client("203.0.113.9", e.device)
	for range 3 * guess.Free { // a whole sign-in starts the count again
		_, err = w.FinishSignIn(t.Context(), known, w.askedCode(known, email, goodPassword), w.code(e.seed))
		w.must(err)
		w.nextStep()
	}
}

// TestRetiredPepper: a password whose pepper is gone is wrong like any other, with the same
// work as for nobody, in a process that still runs too; a reset makes it new.
func TestRetiredPepper(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(email)
	path := filepath.Join(t.TempDir(), "keys.json")
	w.must(keyring.Create(path, portaltest.Random(1)))
	w.must(keyring.Rotate(path, portaltest.Random(2)))
	w.must(keyring.Retire(path, "k1"))
	ring, err := keyring.Load(path)
	w.must(err)
	w.keys.Ring = ring // as a process sees it that watches the file
	for _, address := range []string{email, "nobody@example.org"} {
		_, err := w.SignIn(t.Context(), home, address, goodPassword)
		w.wantKind(err, portal.KindUnauthenticated)
	}
	w.must(w.AskReset(t.Context(), home, email))
	w.must(w.Reset(t.Context(), home, w.secret(portal.MailResetPassword, email), otherPassword, ""))
	w.signIn(home, email, otherPassword)
}

// TestThrottledResetCostsNoHash: a link is no way to keep the processor busy.
func TestThrottledResetCostsNoHash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	w.must(w.AskReset(t.Context(), home, email))
	secret := w.secret(portal.MailResetPassword, email)
	reset := func() error { return w.Reset(t.Context(), home, secret, otherPassword, w.notCode(e.seed)) }
	for range guess.Free + 1 {
		w.wantKind(reset(), portal.KindInvalid)
	}
	if got := w.working(func() { w.wantKind(reset(), portal.KindTooMany) }); got.Hashes != 0 {
		t.Errorf("the work is %+v", got)
	}
	if got := w.working(func() { _ = w.Reset(t.Context(), home, "no link", otherPassword, "") }); got.Hashes != 0 {
		t.Errorf("without a link the work is %+v", got)
	}
}

func TestPasswordChangesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(email)
	s := w.signIn(home, email, goodPassword)
	for range newPassword.Free + 1 {
		next, err := w.ChangePassword(t.Context(), home, w.principal(s), otherPassword)
		w.must(err)
		s = next
	}
	got := w.working(func() {
		_, err := w.ChangePassword(t.Context(), home, w.principal(s), otherPassword)
		w.wantKind(err, portal.KindTooMany)
	})
	if got.Hashes != 0 {
		t.Errorf("the work is %+v", got)
	}
	w.clock.Advance(newPassword.Base)
	_, err := w.ChangePassword(t.Context(), home, w.principal(s), otherPassword)
	w.must(err)
}

// TestEnrolmentGuessesAreBounded: wrong first codes are counted like wrong step-ups.
func TestEnrolmentGuessesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(email)
	p := w.principal(w.signIn(home, email, goodPassword))
	begun, err := w.BeginTOTP(t.Context(), home, p)
	w.must(err)
	for range guess.Free + 1 {
		_, _, err = w.ConfirmTOTP(t.Context(), home, p, w.notCode(begun.Secret))
		w.wantKind(err, portal.KindInvalid)
	}
	_, _, err = w.ConfirmTOTP(t.Context(), home, p, w.code(begun.Secret))
	w.wantKind(err, portal.KindTooMany)
}

// TestAdvisedWaitIsEnough: who comes back when told is looked at.
func TestAdvisedWaitIsEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(email)
	fresh := client("192.0.2.1", "")
	_, wait := w.guesses(fresh, 50)
	w.clock.Advance(wait - time.Second)
	if n, _ := w.guesses(fresh, 1); n != 0 {
		t.Error("it was looked at before")
	}
	w.clock.Advance(time.Second)
	w.signIn(fresh, email, goodPassword)
}
