package auth

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
)

// state is all that use cases change, but for counts and secrets.
type state struct {
	Accounts   []portal.Account
	Sessions   []portal.Session
	Confirmed  []portal.TOTP
	Pending    []portal.TOTP
	Codes      []int
	Tokens     []portal.APIToken
	Events     []portal.Event
	Mails      []portal.Mail
	Audit      []portal.AuditEntry
	LinksAlive []bool
}

func (w *world) state(links ...string) state {
	w.Helper()
	var st state
	w.peek(func(ctx context.Context, tx portal.Tx) error {
		st = state{}
		accounts, err := tx.FindAccounts(ctx, "", 100)
		if err != nil {
			return err
		}
		st.Accounts = accounts
		for _, a := range accounts {
			sessions, err1 := tx.AccountSessions(ctx, a.ID)
			tokens, err2 := tx.AccountTokens(ctx, a.ID)
			left, err3 := tx.RecoveryCodesLeft(ctx, a.ID)
			if err := errors.Join(err1, err2, err3); err != nil {
				return err
			}
			st.Sessions, st.Tokens, st.Codes = append(st.Sessions, sessions...), append(st.Tokens, tokens...), append(st.Codes, left)
			if seed, ok, err := found(tx.ConfirmedTOTP(ctx, a.ID)); err != nil {
				return err
			} else if ok {
				st.Confirmed = append(st.Confirmed, seed)
			}
			if seed, ok, err := found(tx.PendingTOTP(ctx, a.ID)); err != nil {
				return err
			} else if ok {
				st.Pending = append(st.Pending, seed)
			}
		}
		for _, secret := range links {
			_, alive, err := found(tx.Link(ctx, portal.DigestOf(secret)))
			if err != nil {
				return err
			}
			st.LinksAlive = append(st.LinksAlive, alive)
		}
		if st.Audit, err = tx.AuditLog(ctx, 0, 100); err != nil {
			return err
		}
		st.Events, err = tx.FindEvents(ctx, portal.EventFilter{}, portal.EventCursor{}, 1000)
		return err
	})
	st.Mails = w.mails()
	return st
}

// useCase is one, with what has to be there before it.
type useCase struct {
	// prepare gives the act, and links whose fate is part of the state.
	prepare func(*world) (func() error, []string)
	// calls is how many store calls it makes at least.
	calls int
}

func signedInCase(calls int, act func(*world, enrolled, portal.Principal) error) useCase {
	return useCase{func(w *world) (func() error, []string) {
		e := w.enrol(email)
		p := w.principal(e.session)
		return func() error { return act(w, e, p) }, nil
	}, calls}
}

func linkCase(purpose portal.Purpose, calls int) useCase {
	return useCase{func(w *world) (func() error, []string) {
		secret := makeLink[purpose](w)
		return func() error { return use[purpose](w, secret) }, []string{secret}
	}, calls}
}

var useCases = map[string]useCase{
	"SignUp": {func(w *world) (func() error, []string) {
		return func() error { return w.SignUp(w.Context(), home, email, goodPassword) }, nil
	}, 8},
	"SignUp of a known address": {func(w *world) (func() error, []string) {
		w.person(email)
		return func() error { return w.SignUp(w.Context(), home, email, goodPassword) }, nil
	}, 7},
	"SignUp with another password": {func(w *world) (func() error, []string) {
		w.must(w.SignUp(w.Context(), home, email, otherPassword))
		secret := w.secret(portal.MailVerify, email)
		return func() error { return w.SignUp(w.Context(), home, email, goodPassword) }, []string{secret}
	}, 10},
	"SignIn": {func(w *world) (func() error, []string) {
		w.person(email)
		return func() error {
			_, err := w.SignIn(w.Context(), home, email, goodPassword)
			return err
		}, nil
	}, 20},
	"SignIn with a wrong password": {func(w *world) (func() error, []string) {
		w.person(email)
		return func() error {
			_, err := w.SignIn(w.Context(), home, email, wrongPassword)
			if portal.KindOf(err) == portal.KindUnauthenticated {
				return nil
			}
			return err
		}, nil
	}, 10},
	"SignIn of one who is not verified": {func(w *world) (func() error, []string) {
		w.must(w.SignUp(w.Context(), home, email, goodPassword))
		return func() error {
			_, err := w.SignIn(w.Context(), home, email, goodPassword)
			if errors.Is(err, errWrong) {
				return nil
			}
			return err
		}, nil
	}, 15},
	"FinishSignIn": {func(w *world) (func() error, []string) {
		e := w.enrol(email)
		challenge := w.askedCode(home, email, goodPassword)
		return func() error {
			_, err := w.FinishSignIn(w.Context(), home, challenge, w.code(e.seed))
			return err
		}, nil
	}, 12},
	"FinishSignIn with a recovery code": {func(w *world) (func() error, []string) {
		e := w.enrol(email)
		challenge := w.askedCode(home, email, goodPassword)
		return func() error {
			_, err := w.FinishSignIn(w.Context(), home, challenge, e.codes[0])
			return err
		}, nil
	}, 12},
	"FinishSignIn with a wrong code": {func(w *world) (func() error, []string) {
		e := w.enrol(email)
		challenge := w.askedCode(home, email, goodPassword)
		return func() error {
			_, err := w.FinishSignIn(w.Context(), home, challenge, w.notCode(e.seed))
			if portal.KindOf(err) == portal.KindUnauthenticated {
				return nil
			}
			return err
		}, nil
	}, 9},
	"AskReset": {func(w *world) (func() error, []string) {
		w.person(email)
		return func() error { return w.AskReset(w.Context(), home, email) }, nil
	}, 8},
	"Reset with a code": {func(w *world) (func() error, []string) {
		e := w.enrol(email)
		w.must(w.AskReset(w.Context(), home, email))
		secret := w.secret(portal.MailResetPassword, email)
		return func() error { return w.Reset(w.Context(), home, secret, otherPassword, w.code(e.seed)) }, []string{secret}
	}, 20},
	"VerifyEmail":     linkCase(portal.PurposeVerify, 6),
	"Reset":           linkCase(portal.PurposeReset, 15),
	"ConfirmNewEmail": linkCase(portal.PurposeNewEmail, 12),
	"UndoEmail":       linkCase(portal.PurposeUndoEmail, 14),
	"ConfirmDevice":   linkCase(portal.PurposeDevice, 5),
	"ChangeEmail": signedInCase(10, func(w *world, _ enrolled, p portal.Principal) error {
		return w.ChangeEmail(w.Context(), home, p, newAddress)
	}),
	"ChangePassword": signedInCase(10, func(w *world, _ enrolled, p portal.Principal) error {
		_, err := w.ChangePassword(w.Context(), home, p, otherPassword)
		return err
	}),
	"StepUp": signedInCase(10, func(w *world, e enrolled, p portal.Principal) error {
		_, err := w.StepUp(w.Context(), home, p, goodPassword, w.code(e.seed))
		return err
	}),
	"BeginTOTP": signedInCase(3, func(w *world, _ enrolled, p portal.Principal) error {
		_, err := w.BeginTOTP(w.Context(), home, p)
		return err
	}),
	"ConfirmTOTP": {func(w *world) (func() error, []string) {
		p := w.principal(w.enrol(email).session)
		e, err := w.BeginTOTP(w.Context(), home, p)
		w.must(err)
		return func() error {
			_, _, err := w.ConfirmTOTP(w.Context(), home, p, w.code(e.Secret))
			return err
		}, nil
	}, 9},
	"RemoveTOTP": signedInCase(8, func(w *world, _ enrolled, p portal.Principal) error {
		_, err := w.RemoveTOTP(w.Context(), home, p)
		return err
	}),
	"RenewRecoveryCodes": signedInCase(6, func(w *world, _ enrolled, p portal.Principal) error {
		_, err := w.RenewRecoveryCodes(w.Context(), home, p)
		return err
	}),
	"CreateToken": signedInCase(5, func(w *world, _ enrolled, p portal.Principal) error {
		_, _, err := w.CreateToken(w.Context(), home, p, "x", portal.Scopes(), time.Hour)
		return err
	}),
	"EndOtherSessions": signedInCase(4, func(w *world, _ enrolled, p portal.Principal) error {
		return w.EndOtherSessions(w.Context(), home, p)
	}),
	"SignOut": signedInCase(2, func(w *world, _ enrolled, p portal.Principal) error {
		return w.SignOut(w.Context(), home, p)
	}),
	"Invite": {func(w *world) (func() error, []string) {
		w.person(email)
		return func() error {
			_, err := w.Invite(w.Context(), email, portal.RoleAdmin)
			return err
		}, nil
	}, 6},
}

// TestNothingIsHalfDone: whichever call of the store fails, the use case fails as one of
// ours, and leaves all as it was; afterwards it works as if nothing had been.
func TestNothingIsHalfDone(t *testing.T) {
	t.Parallel()
	for name, c := range useCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			act, links := c.prepare(w)
			before := w.state(links...)
			n := 1
			for ; ; n++ {
				w.store.fail(n)
				err := act()
				failed := w.store.failed
				w.store.fail(0)
				if failed == "" {
					w.must(err)
					break
				}
				if !errors.Is(err, errStore) || portal.KindOf(err) != portal.KindInternal {
					t.Fatalf("when call %d, %s, fails the answer is %v", n, failed, err)
				}
				if diff := cmp.Diff(before, w.state(links...), comparers); diff != "" {
					t.Fatalf("when call %d, %s, fails, this is left:\n%s", n, failed, diff)
				}
				w.clearCounts()
			}
			if n <= c.calls {
				t.Errorf("it made %d calls only", n-1)
			}
			after := w.state(links...)
			if len(after.Events) == len(before.Events) && name != "SignUp of a known address" && name != "BeginTOTP" && name != "SignUp with another password" {
				t.Error("no event was recorded")
			}
			for _, alive := range after.LinksAlive {
				if alive {
					t.Error("the link is still good")
				}
			}
		})
	}
}

var comparers = cmp.Options{
	cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
	cmp.Comparer(func(a, b portal.Event) bool { return a == b }),
}

// clearCounts forgets what failed attempts have counted, which is kept on purpose.
func (w *world) clearCounts() {
	w.Helper()
	w.poke(func(ctx context.Context, tx portal.Tx) error {
		_, err := tx.PurgeThrottles(ctx, w.clock.Now().Add(time.Hour))
		return err
	})
}

// TestRefusalsLeaveTheirTrace: what commits although it refuses is written once.
func TestRefusalsLeaveTheirTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	p := w.principal(e.session)
	for _, act := range []func() error{
		func() error { _, err := w.SignIn(t.Context(), home, email, wrongPassword); return err },
		func() error { _, err := w.StepUp(t.Context(), home, p, wrongPassword, ""); return err },
	} {
		before := len(w.state().Events)
		if err := act(); err == nil {
			t.Fatal("it was accepted")
		}
		if n := len(w.state().Events) - before; n != 1 {
			t.Errorf("%d events are recorded", n)
		}
	}
	for _, m := range w.mails() {
		if m.To != email || m.Account != e.account.ID {
			t.Errorf("a mail %s went to %s", m.Kind, fmt.Sprint(m.To))
		}
	}
}
