package auth

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
)

// answer is all that who asks can see or measure.
type answer struct {
	Error string
	Kind  portal.Kind
	Wait  time.Duration
	Step  portal.SignInStep
	Work  work
}

// TestNoEnumeration: for every kind of address there is the same answer with the same
// work, the first time and when it is throttled.
func TestNoEnumeration(t *testing.T) {
	t.Parallel()
	addresses := map[string]func(*world){
		"nobody's":                func(*world) {},
		"of a person":             func(w *world) { w.person(email) },
		"of one with two factors": func(w *world) { w.enrol(email) },
		"not yet proved":          func(w *world) { w.must(w.SignUp(w.Context(), home, email, otherPassword)) },
		"of one signed up twice": func(w *world) {
			w.must(w.SignUp(w.Context(), home, email, otherPassword))
			w.must(w.SignUp(w.Context(), home, email, goodPassword))
		},
		"of a disabled account": func(w *world) {
			account := w.person(email)
			account.DisabledAt = w.clock.Now()
			w.poke(func(ctx context.Context, tx portal.Tx) error { return tx.UpdateAccount(ctx, account) })
		},
		"of one who was invited": func(w *world) {
			_, err := w.Invite(w.Context(), email, portal.RoleAdmin)
			w.must(err)
		},
	}
	asks := map[string]func(*world, portal.Client) (portal.SignInStep, error){
		"sign-up": func(w *world, c portal.Client) (portal.SignInStep, error) {
			return portal.SignInStep{}, w.SignUp(w.Context(), c, email, wrongPassword)
		},
		"sign-in": func(w *world, c portal.Client) (portal.SignInStep, error) {
			return w.SignIn(w.Context(), c, email, wrongPassword)
		},
		"sign-in with an impossible password": func(w *world, c portal.Client) (portal.SignInStep, error) {
			return w.SignIn(w.Context(), c, email, "\xff")
		},
		"sign-in with a device of somebody": func(w *world, c portal.Client) (portal.SignInStep, error) {
			c.Device = "somebody's"
			return w.SignIn(w.Context(), c, email, wrongPassword)
		},
		"reset": func(w *world, c portal.Client) (portal.SignInStep, error) {
			return portal.SignInStep{}, w.AskReset(w.Context(), c, email)
		},
		"resend": func(w *world, c portal.Client) (portal.SignInStep, error) {
			return portal.SignInStep{}, w.ResendVerification(w.Context(), c, email)
		},
		"device": func(w *world, c portal.Client) (portal.SignInStep, error) {
			return portal.SignInStep{}, w.AskDevice(w.Context(), c, email)
		},
	}
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want []answer
			for _, kind := range []string{"nobody's", "of a person", "of one with two factors", "not yet proved", "of one signed up twice", "of a disabled account", "of one who was invited"} {
				w := newWorld(t)
				addresses[kind](w)
				w.clock.Advance(48 * time.Hour)
				var got []answer
				for range 8 {
					var a answer
					a.Work = w.working(func() {
						step, err := ask(w, client("203.0.113.9", ""))
						a.Step, a.Kind = step, portal.KindOf(err)
						if err != nil {
							a.Error, a.Wait = err.Error(), w.refusal(err, a.Kind).RetryAfter
						}
					})
					got = append(got, a)
				}
				if want == nil {
					want = got
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("an address %s differs from nobody's (-nobody's +it):\n%s", kind, diff)
				}
			}
			if want[0].Work.Writes == 0 {
				t.Error("nothing was measured")
			}
		})
	}
}

// TestNoEnumerationBySignUp: who signs up with somebody's address, and then does with it
// all that anybody can, sees no difference between one that had an account and one that
// had none.
func TestNoEnumerationBySignUp(t *testing.T) {
	t.Parallel()
	stranger := client("203.0.113.9", "")
	signUp := func(w *world, password string) error { return w.SignUp(w.Context(), stranger, email, password) }
	signIn := func(w *world) error {
		_, err := w.SignIn(w.Context(), stranger, email, otherPassword)
		return err
	}
	ways := map[string]func(*world) []error{
		"signing in with the same password": func(w *world) []error { return []error{signUp(w, otherPassword), signIn(w)} },
		"asking for a reset after many sign-ups": func(w *world) []error {
			var errs []error
			for i := range 8 {
				errs = append(errs, signUp(w, wrongPassword+strings.Repeat("!", i)))
			}
			return append(errs, w.AskReset(w.Context(), stranger, email))
		},
		"asking for the mail again after many sign-ups": func(w *world) []error {
			var errs []error
			for range 8 {
				errs = append(errs, signUp(w, otherPassword))
			}
			return append(errs, w.ResendVerification(w.Context(), stranger, email))
		},
		"asking for the mail again after sign-ins": func(w *world) []error {
			errs := []error{signUp(w, otherPassword)}
			for range 5 {
				errs = append(errs, signIn(w))
			}
			return append(errs, w.ResendVerification(w.Context(), stranger, email))
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got [2][]string
			for i := range got {
				w := newWorld(t)
				if i == 1 {
					w.person(email)
					w.clock.Advance(48 * time.Hour)
				}
				for _, err := range way(w) {
					got[i] = append(got[i], fmt.Sprint(err))
				}
			}
			if diff := cmp.Diff(got[0], got[1]); diff != "" {
				t.Errorf("an account shows (-nobody's +somebody's):\n%s", diff)
			}
		})
	}
}

// TestTakenAddressIsNotTold: a person who changes to an address learns nothing about it,
// its owner hears of it.
func TestTakenAddressIsNotTold(t *testing.T) {
	t.Parallel()
	var got [2]work
	for i, other := range []string{"", "other@example.org"} {
		w := newWorld(t)
		if other != "" {
			w.person(other)
		}
		w.person(email)
		p := w.principal(w.signIn(home, email, goodPassword))
		got[i] = w.working(func() { w.must(w.ChangeEmail(w.Context(), home, p, "other@example.org")) })
		if n := w.mailed(portal.MailConfirmNewEmail); n != 1-i {
			t.Errorf("%d links were mailed", n)
		}
		if n := w.mailed(portal.MailAlreadyRegistered); n != i {
			t.Errorf("%d owners were told", n)
		}
		if n := w.mailed(portal.MailEmailChangeAsked); n != 1 {
			t.Errorf("the old address was told %d times", n)
		}
	}
	if got[0] != got[1] {
		t.Errorf("the work differs: %v", got)
	}
}
