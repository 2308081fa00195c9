package auth

import (
	"context"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

const newAddress = "new.address@example.net"

// use tries a link for what it may be good for.
var use = map[portal.Purpose]func(*world, string) error{
	portal.PurposeVerify:    func(w *world, s string) error { return w.VerifyEmail(w.Context(), home, s) },
	portal.PurposeReset:     func(w *world, s string) error { return w.Reset(w.Context(), home, s, otherPassword, "") },
	portal.PurposeNewEmail:  func(w *world, s string) error { return w.ConfirmNewEmail(w.Context(), home, s) },
	portal.PurposeUndoEmail: func(w *world, s string) error { return w.UndoEmail(w.Context(), home, s) },
	portal.PurposeDevice: func(w *world, s string) error {
		_, err := w.ConfirmDevice(w.Context(), home, s)
		return err
	},
}

// make makes a link of each purpose and gives its secret.
var makeLink = map[portal.Purpose]func(*world) string{
	portal.PurposeVerify: func(w *world) string {
		w.must(w.SignUp(w.Context(), home, email, goodPassword))
		return w.secret(portal.MailVerify, email)
	},
	portal.PurposeReset: func(w *world) string {
		w.person(email)
		w.must(w.AskReset(w.Context(), home, email))
		return w.secret(portal.MailResetPassword, email)
	},
	portal.PurposeNewEmail: func(w *world) string {
		w.person(email)
		w.must(w.ChangeEmail(w.Context(), home, w.principal(w.signIn(home, email, goodPassword)), newAddress))
		return w.secret(portal.MailConfirmNewEmail, newAddress)
	},
	portal.PurposeUndoEmail: func(w *world) string {
		w.person(email)
		w.must(w.ChangeEmail(w.Context(), home, w.principal(w.signIn(home, email, goodPassword)), newAddress))
		w.must(w.ConfirmNewEmail(w.Context(), home, w.secret(portal.MailConfirmNewEmail, newAddress)))
		return w.secret(portal.MailEmailChanged, email)
	},
	portal.PurposeDevice: func(w *world) string {
		w.person(email)
		w.must(w.AskDevice(w.Context(), home, email))
		return w.secret(portal.MailConfirmDevice, email)
	},
}

// TestLinksAreGoodOnceForOneThing crosses each kind of link with each use.
func TestLinksAreGoodOnceForOneThing(t *testing.T) {
	t.Parallel()
	for purpose, link := range makeLink {
		t.Run(string(purpose), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			secret := link(w)
			for other, try := range use {
				if other != purpose {
					w.wantKind(try(w, secret), portal.KindNotFound)
				}
				_, err := w.LinkState(t.Context(), secret, other)
				if other == purpose {
					w.must(err)
				} else {
					w.wantKind(err, portal.KindNotFound)
				}
			}
			w.must(use[purpose](w, secret))
			w.wantKind(use[purpose](w, secret), portal.KindNotFound)
		})
		t.Run(string(purpose)+" too late", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			secret := link(w)
			w.clock.Advance(purpose.Life() - time.Second)
			_, err := w.LinkState(t.Context(), secret, purpose)
			w.must(err)
			w.clock.Advance(time.Second)
			w.wantKind(use[purpose](w, secret), portal.KindNotFound)
		})
		t.Run(string(purpose)+" of a disabled account", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			secret := link(w)
			w.poke(func(ctx context.Context, tx portal.Tx) error {
				l, err := tx.Link(ctx, portal.DigestOf(secret))
				if err != nil {
					return err
				}
				account, err := tx.Account(ctx, l.Account)
				if err != nil {
					return err
				}
				account.DisabledAt = w.clock.Now()
				return tx.UpdateAccount(ctx, account)
			})
			w.wantKind(use[purpose](w, secret), portal.KindNotFound)
		})
	}
}

func TestResetEndsEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	account := w.person(email)
	session := w.signIn(home, email, goodPassword)
	w.must(w.AskDevice(t.Context(), home, email))
	w.must(w.AskReset(t.Context(), home, email))
	first := w.secret(portal.MailResetPassword, email)
	w.must(w.AskReset(t.Context(), home, email))
	// A weak password does not use the link.
	w.wantKind(w.Reset(t.Context(), home, first, "short", ""), portal.KindInvalid)
	w.must(w.Reset(t.Context(), home, first, otherPassword, ""))
	_, err := w.Authenticate(t.Context(), home, session.Secret)
	w.wantKind(err, portal.KindUnauthenticated)
	w.wantKind(use[portal.PurposeReset](w, w.secret(portal.MailResetPassword, email)), portal.KindNotFound)
	w.wantKind(use[portal.PurposeDevice](w, w.secret(portal.MailConfirmDevice, email)), portal.KindNotFound)
	_, err = w.SignIn(t.Context(), home, email, goodPassword)
	w.wantKind(err, portal.KindUnauthenticated)
	w.signIn(home, email, otherPassword)
	if w.mailed(portal.MailPasswordChanged) != 1 || w.happened(account.ID, portal.EventPasswordReset) != 1 {
		t.Error("it was not told")
	}
}

// TestResetNeverBypassesTheSecondFactor: mail alone changes nothing.
func TestResetNeverBypassesTheSecondFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	w.must(w.AskReset(t.Context(), home, email))
	secret := w.secret(portal.MailResetPassword, email)
	needs, err := w.LinkState(t.Context(), secret, portal.PurposeReset)
	if err != nil || !needs {
		t.Fatalf("a code is needed: %v, %v", needs, err)
	}
	before := w.account(email).PasswordHash
	thief := client("203.0.113.9", "")
	for i := range 10 {
		err := w.Reset(t.Context(), thief, secret, otherPassword, []string{"", w.notCode(e.seed)}[i%2])
		if i <= guess.Free {
			if e := w.refusal(err, portal.KindInvalid); e.Field != "code" {
				t.Errorf("the fault is in %q", e.Field)
			}
		} else {
			w.wantKind(err, portal.KindTooMany)
		}
	}
	if w.account(email).PasswordHash != before {
		t.Fatal("the password has changed")
	}
	if n := w.happened(e.account.ID, portal.EventTOTPFailed); n != guess.Free+1 {
		t.Errorf("%d wrong codes are recorded", n)
	}
	known := client("203.0.113.9", e.device)
	w.must(w.Reset(t.Context(), known, secret, otherPassword, w.code(e.seed)))
	// The second factor is still asked for, and the code that was shown is used up.
	challenge := w.askedCode(home, email, otherPassword)
	_, err = w.FinishSignIn(t.Context(), home, challenge, w.code(e.seed))
	w.wantKind(err, portal.KindUnauthenticated)
}

func TestEmailChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	account := w.person(email)
	session := w.signIn(home, email, goodPassword)
	p := w.principal(session)
	w.must(w.AskReset(t.Context(), home, email))
	w.wantKind(w.ChangeEmail(t.Context(), home, p, email), portal.KindInvalid)
	w.must(w.ChangeEmail(t.Context(), home, p, newAddress))
	first := w.secret(portal.MailConfirmNewEmail, newAddress)
	if w.account(email).ID != account.ID {
		t.Fatal("the address changed before it was proved")
	}
	w.clock.Advance(time.Second)
	w.must(w.ChangeEmail(t.Context(), home, p, newAddress))
	w.wantKind(w.ConfirmNewEmail(t.Context(), home, first), portal.KindNotFound)
	w.must(w.ConfirmNewEmail(t.Context(), home, w.secret(portal.MailConfirmNewEmail, newAddress)))
	if got := w.account(newAddress); got.ID != account.ID || !got.Verified() {
		t.Fatalf("the account is %+v", got)
	}
	// What went to the old mailbox opens nothing but the way back.
	w.wantKind(use[portal.PurposeReset](w, w.secret(portal.MailResetPassword, email)), portal.KindNotFound)
	for kind, to := range map[portal.MailKind]portal.Email{portal.MailEmailChangeAsked: email, portal.MailEmailChanged: email, portal.MailEmailChangedNew: newAddress} {
		told := false
		for _, m := range w.mails() {
			told = told || m.Kind == kind && m.To == to
		}
		if !told {
			t.Errorf("no mail %s to %s", kind, to)
		}
	}
	_, err := w.SignIn(t.Context(), home, email, goodPassword)
	w.wantKind(err, portal.KindUnauthenticated)
	w.signIn(home, newAddress, goodPassword)
	// A second change while the first can be undone would let a thief keep the account.
	w.wantKind(w.ChangeEmail(t.Context(), home, p, "third@example.org"), portal.KindConflict)
	w.clock.Advance(portal.PurposeUndoEmail.Life())
	later := w.principal(w.signIn(home, newAddress, goodPassword))
	w.must(w.ChangeEmail(t.Context(), home, later, "third@example.org"))
}

// TestUndoEmailPutsTheThiefOut: an account that was taken over comes back, even when the
// thief has signed up anew with the old address.
func TestUndoEmailPutsTheThiefOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	account := w.person(email)
	thief := w.signIn(home, email, goodPassword)
	p := w.principal(thief)
	tokenSecret, _, err := w.CreateToken(t.Context(), home, p, "thief's", portal.Scopes(), time.Hour)
	w.must(err)
	w.must(w.ChangeEmail(t.Context(), home, p, newAddress))
	w.must(w.ConfirmNewEmail(t.Context(), home, w.secret(portal.MailConfirmNewEmail, newAddress)))
	w.must(w.SignUp(t.Context(), home, email, otherPassword))
	squat := w.secret(portal.MailVerify, email)

	w.must(w.UndoEmail(t.Context(), home, w.secret(portal.MailEmailChanged, email)))
	if got := w.account(email); got.ID != account.ID {
		t.Fatalf("the address is %s's", got.ID)
	}
	_, err = w.Authenticate(t.Context(), home, thief.Secret)
	w.wantKind(err, portal.KindUnauthenticated)
	_, err = w.AuthenticateToken(t.Context(), home, tokenSecret)
	w.wantKind(err, portal.KindUnauthenticated)
	for _, address := range []string{email, newAddress} {
		_, err = w.SignIn(t.Context(), home, address, goodPassword)
		w.wantKind(err, portal.KindUnauthenticated)
	}
	w.wantKind(w.VerifyEmail(t.Context(), home, squat), portal.KindNotFound)
	w.must(w.Reset(t.Context(), home, w.secret(portal.MailResetPassword, email), otherPassword, ""))
	w.signIn(home, email, otherPassword)
}

// TestSquatterKeepsNobodyOut: an account that never proved an address gives way.
func TestSquatterKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(email)
	p := w.principal(w.signIn(home, email, goodPassword))
	w.must(w.SignUp(t.Context(), client("203.0.113.9", ""), newAddress, otherPassword))
	w.must(w.ChangeEmail(t.Context(), home, p, newAddress))
	w.must(w.ConfirmNewEmail(t.Context(), home, w.secret(portal.MailConfirmNewEmail, newAddress)))
	w.signIn(home, newAddress, goodPassword)
	// A proved one does not.
	w.person("proved@example.org")
	w.clock.Advance(portal.PurposeUndoEmail.Life())
	p = w.principal(w.signIn(home, newAddress, goodPassword))
	w.must(w.ChangeEmail(t.Context(), home, p, "proved@example.org"))
	if w.account("proved@example.org").ID == p.Account.ID {
		t.Error("the address was taken from its owner")
	}
}

func TestInvite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path, err := w.Invite(t.Context(), email, portal.RoleAdmin)
	w.must(err)
	secret := path[len("/reset?token="):]
	w.must(w.Reset(t.Context(), home, secret, goodPassword, ""))
	account := w.account(email)
	if account.Role != portal.RoleAdmin || !account.Verified() {
		t.Fatalf("the account is %+v", account)
	}
	p := w.principal(w.signIn(home, email, goodPassword))
	if p.May(portal.PermitAccounts) {
		t.Error("an admin without a second factor may look at accounts")
	}
	var log []portal.AuditEntry
	w.peek(func(ctx context.Context, tx portal.Tx) error {
		var err error
		log, err = tx.AuditLog(ctx, 0, 10)
		return err
	})
	if len(log) != 1 || log[0].Action != portal.AuditCommand || log[0].Subject != account.ID {
		t.Errorf("the audit log is %+v", log)
	}
	_, err = w.Invite(t.Context(), email, "king")
	w.wantKind(err, portal.KindInvalid)
}

// TestInviteTrustsNoSquatter: who has signed up with an admin's address beforehand does
// not become the admin.
func TestInviteTrustsNoSquatter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.SignUp(t.Context(), client("203.0.113.9", ""), email, otherPassword))
	verify := w.secret(portal.MailVerify, email)
	path, err := w.Invite(t.Context(), email, portal.RoleAdmin)
	w.must(err)
	w.wantKind(w.VerifyEmail(t.Context(), home, verify), portal.KindNotFound)
	w.must(w.Reset(t.Context(), home, path[len("/reset?token="):], goodPassword, ""))
	_, err = w.SignIn(t.Context(), home, email, otherPassword)
	w.wantKind(err, portal.KindUnauthenticated)
	w.signIn(home, email, goodPassword)
	if _, err := w.Invite(t.Context(), email, portal.RoleSecurity); err != nil || w.account(email).Role != portal.RoleSecurity || w.mailed(portal.MailRoleChanged) != 1 {
		t.Errorf("the role of an account did not change: %v", err)
	}
}
