package auth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
)

// gone fails unless a session's secret is worth nothing.
func (w *world) gone(secret string) {
	w.Helper()
	_, err := w.Authenticate(w.Context(), home, secret)
	w.wantKind(err, portal.KindUnauthenticated)
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*world, portal.NewSession){
		"when it was idle": func(w *world, _ portal.NewSession) { w.clock.Advance(portal.SessionIdle) },
		"after a day, however busy": func(w *world, s portal.NewSession) {
			for range 47 {
				w.clock.Advance(30 * time.Minute)
				w.principal(s)
			}
			w.clock.Advance(30 * time.Minute)
		},
		"by signing out": func(w *world, s portal.NewSession) {
			p := w.principal(s)
			w.must(w.SignOut(w.Context(), home, p))
			w.must(w.SignOut(w.Context(), home, p))
		},
		"when the account is disabled": func(w *world, _ portal.NewSession) {
			account := w.account(email)
			account.DisabledAt = w.clock.Now()
			w.poke(func(ctx context.Context, tx portal.Tx) error { return tx.UpdateAccount(ctx, account) })
		},
		"from another session": func(w *world, s portal.NewSession) {
			other := w.principal(w.signIn(home, email, goodPassword))
			w.must(w.EndSession(w.Context(), home, other, s.Session.ID))
		},
		"with all others": func(w *world, _ portal.NewSession) {
			other := w.signIn(home, email, goodPassword)
			w.must(w.EndOtherSessions(w.Context(), home, w.principal(other)))
			w.principal(other)
		},
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.person(email)
			s := w.signIn(home, email, goodPassword)
			w.principal(s)
			end(w, s)
			w.gone(s.Secret)
		})
	}
	t.Run("and nothing else is one", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.person(email)
		s := w.signIn(home, email, goodPassword)
		for _, secret := range []string{"", "x", s.Session.Digest.String(), string(s.Session.ID), s.Secret + " ", strings.ToUpper(s.Secret)} {
			w.gone(secret)
		}
	})
}

func TestAuthenticateWritesSeldom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(email)
	s := w.signIn(home, email, goodPassword)
	if got := w.working(func() { w.principal(s); w.principal(s) }); got != (work{Reads: 2}) {
		t.Errorf("the work is %+v", got)
	}
	w.clock.Advance(portal.SeenEvery)
	if got := w.working(func() { w.principal(s); w.principal(s) }); got != (work{Reads: 2, Writes: 1}) {
		t.Errorf("the work is %+v", got)
	}
}

// TestAPageLeftOpenKeepsNoSessionAlive: what a page does by itself is no sign of life.
func TestAPageLeftOpenKeepsNoSessionAlive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(email)
	s := w.signIn(home, email, goodPassword)
	const steps = 4
	for range steps - 1 {
		w.clock.Advance(portal.SessionIdle / steps)
		got := w.working(func() {
			if p, err := w.Recognize(t.Context(), home, s.Secret); err != nil || p.Session.ID != s.Session.ID {
				t.Errorf("%+v, %v", p, err)
			}
		})
		if got != (work{Reads: 1}) {
			t.Errorf("the work is %+v", got)
		}
	}
	w.clock.Advance(portal.SessionIdle / steps)
	_, err := w.Recognize(t.Context(), home, s.Secret)
	w.wantKind(err, portal.KindUnauthenticated)
	w.gone(s.Secret)
}

// TestOthersThingsAreNotFound: nobody ends or revokes what is another's.
func TestOthersThingsAreNotFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(email)
	mine := w.signIn(home, email, goodPassword)
	_, token, err := w.CreateToken(t.Context(), home, w.principal(mine), "mine", portal.Scopes(), time.Hour)
	w.must(err)
	w.person("other@example.org")
	other := w.principal(w.signIn(home, "other@example.org", goodPassword))
	w.wantKind(w.EndSession(t.Context(), home, other, mine.Session.ID), portal.KindNotFound)
	w.wantKind(w.RevokeToken(t.Context(), home, other, token.ID), portal.KindNotFound)
	sessions, err := w.Sessions(t.Context(), other)
	if err != nil || len(sessions) != 1 || sessions[0].Account != other.Account.ID {
		t.Errorf("the sessions are %v, %v", sessions, err)
	}
	tokens, err := w.Tokens(t.Context(), other)
	if err != nil || len(tokens) != 0 {
		t.Errorf("the tokens are %v, %v", tokens, err)
	}
	events, err := w.OwnEvents(t.Context(), other, portal.EventCursor{}, 1000)
	w.must(err)
	for _, e := range events {
		if e.Account != other.Account.ID {
			t.Errorf("an event of %s", e.Account)
		}
	}
	w.principal(mine)
}

// TestSecretsRotate: after each act that authenticates or changes a factor the session has
// a new secret, the old one is worth nothing, and all other sessions are over (but after
// a step-up).
func TestSecretsRotate(t *testing.T) {
	t.Parallel()
	acts := map[string]struct {
		act      func(*world, enrolled, portal.Principal) (portal.NewSession, error)
		othersGo bool
	}{
		"step-up": {func(w *world, e enrolled, p portal.Principal) (portal.NewSession, error) {
			return w.StepUp(w.Context(), home, p, goodPassword, w.code(e.seed))
		}, false},
		"step-up by a recovery code": {func(w *world, e enrolled, p portal.Principal) (portal.NewSession, error) {
			return w.StepUp(w.Context(), home, p, goodPassword, e.codes[0])
		}, false},
		"change of password": {func(w *world, _ enrolled, p portal.Principal) (portal.NewSession, error) {
			return w.ChangePassword(w.Context(), home, p, otherPassword)
		}, true},
		"new app": {func(w *world, _ enrolled, p portal.Principal) (portal.NewSession, error) {
			e, err := w.BeginTOTP(w.Context(), home, p)
			w.must(err)
			_, s, err := w.ConfirmTOTP(w.Context(), home, p, w.code(e.Secret))
			return s, err
		}, true},
		"no app": {func(w *world, _ enrolled, p portal.Principal) (portal.NewSession, error) {
			return w.RemoveTOTP(w.Context(), home, p)
		}, true},
	}
	for name, tt := range acts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			e := w.enrol(email)
			other, err := w.FinishSignIn(t.Context(), home, w.askedCode(home, email, goodPassword), w.code(e.seed))
			w.must(err)
			w.nextStep()
			waiting := w.askedCode(home, email, goodPassword)
			next, err := tt.act(w, e, w.principal(e.session))
			w.must(err)
			if next.Secret == "" || next.Secret == e.session.Secret || next.Session.ID != e.session.Session.ID {
				t.Errorf("the session is %+v", next)
			}
			w.gone(e.session.Secret)
			p := w.principal(next)
			if !p.Session.SteppedUp(w.clock.Now()) {
				t.Error("it is not stepped up")
			}
			if _, second, _ := w.factorOf(p.Account.ID); second != p.Session.SecondFactor {
				t.Error("the session's second factor is not the account's")
			}
			if !tt.othersGo {
				w.principal(other)
				return
			}
			w.gone(other.Secret)
			w.nextStep()
			_, err = w.FinishSignIn(t.Context(), home, waiting, w.code(e.seed))
			w.wantKind(err, portal.KindUnauthenticated)
		})
	}
}

func (w *world) factorOf(id portal.AccountID) (seed portal.TOTP, ok bool, err error) {
	w.Helper()
	err = w.read(w.Context(), home, func(ctx context.Context, a *act) error {
		seed, ok, err = a.factor(ctx, id)
		return err
	})
	return seed, ok, err
}

// sensitiveActs are all that want a step-up.
var sensitiveActs = map[string]func(*world, portal.Principal) error{
	"ChangePassword": func(w *world, p portal.Principal) error {
		_, err := w.ChangePassword(w.Context(), home, p, otherPassword)
		return err
	},
	"ChangeEmail": func(w *world, p portal.Principal) error { return w.ChangeEmail(w.Context(), home, p, newAddress) },
	"BeginTOTP": func(w *world, p portal.Principal) error {
		_, err := w.BeginTOTP(w.Context(), home, p)
		return err
	},
	"PendingTOTP": func(w *world, p portal.Principal) error {
		_, err := w.Service.PendingTOTP(w.Context(), p)
		return err
	},
	"ConfirmTOTP": func(w *world, p portal.Principal) error {
		_, _, err := w.ConfirmTOTP(w.Context(), home, p, "000000")
		return err
	},
	"RemoveTOTP": func(w *world, p portal.Principal) error {
		_, err := w.RemoveTOTP(w.Context(), home, p)
		return err
	},
	"RenewRecoveryCodes": func(w *world, p portal.Principal) error {
		_, err := w.RenewRecoveryCodes(w.Context(), home, p)
		return err
	},
	"CreateToken": func(w *world, p portal.Principal) error {
		_, _, err := w.CreateToken(w.Context(), home, p, "x", portal.Scopes(), time.Hour)
		return err
	},
}

// TestStepUpMatrix crosses each sensitive act with each state of who asks.
func TestStepUpMatrix(t *testing.T) {
	t.Parallel()
	askers := map[string]struct {
		principal func(*world, enrolled) portal.Principal
		want      portal.Kind
	}{
		"a session of eleven minutes ago": {func(w *world, e enrolled) portal.Principal {
			w.clock.Advance(portal.StepUpLife)
			return w.principal(e.session)
		}, portal.KindStepUp},
		"a session that pretends": {func(w *world, e enrolled) portal.Principal {
			w.clock.Advance(portal.StepUpLife)
			p := w.principal(e.session)
			p.Session.AuthenticatedAt = w.clock.Now()
			return p
		}, portal.KindStepUp},
		"a session that has ended": {func(w *world, e enrolled) portal.Principal {
			p := w.principal(e.session)
			w.must(w.SignOut(w.Context(), home, p))
			return p
		}, portal.KindUnauthenticated},
		"a session that was rotated": {func(w *world, e enrolled) portal.Principal {
			p := w.principal(e.session)
			_, err := w.StepUp(w.Context(), home, p, goodPassword, w.code(e.seed))
			w.must(err)
			return p
		}, portal.KindUnauthenticated},
		"a token with all scopes": {func(w *world, e enrolled) portal.Principal {
			secret, _, err := w.CreateToken(w.Context(), home, w.principal(e.session), "all", portal.Scopes(), time.Hour)
			w.must(err)
			p, err := w.AuthenticateToken(w.Context(), home, secret)
			w.must(err)
			return p
		}, portal.KindForbidden},
		"nobody": {func(*world, enrolled) portal.Principal { return portal.Principal{} }, portal.KindForbidden},
	}
	for name, asker := range askers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			e := w.enrol(email)
			p := asker.principal(w, e)
			mails := len(w.mails())
			for name, act := range sensitiveActs {
				if got := portal.KindOf(act(w, p)); got != asker.want {
					t.Errorf("%s: got kind %d, want %d", name, got, asker.want)
				}
			}
			if len(w.mails()) != mails {
				t.Error("a mail went out")
			}
		})
	}
	t.Run("a session of just now", func(t *testing.T) {
		t.Parallel()
		for name, act := range sensitiveActs {
			w := newWorld(t)
			p := w.principal(w.enrol(email).session)
			if kind := portal.KindOf(act(w, p)); kind == portal.KindStepUp || kind == portal.KindForbidden || kind == portal.KindUnauthenticated {
				t.Errorf("%s is refused with kind %d", name, kind)
			}
		}
	})
}

func TestStepUpIsThrottled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	second, err := w.FinishSignIn(t.Context(), home, w.askedCode(home, email, goodPassword), w.code(e.seed))
	w.must(err)
	w.nextStep()
	stolen := w.principal(e.session)
	kinds := []portal.Kind{}
	for i := range guess.Free + 2 {
		password, code := goodPassword, w.notCode(e.seed)
		if i%2 == 0 {
			password, code = wrongPassword, w.code(e.seed)
		}
		_, err := w.StepUp(t.Context(), home, stolen, password, code)
		kinds = append(kinds, portal.KindOf(err))
	}
	want := append(slices.Repeat([]portal.Kind{portal.KindUnauthenticated}, guess.Free+1), portal.KindTooMany)
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
	if n := w.happened(e.account.ID, portal.EventStepUpFailed); n != guess.Free+1 {
		t.Errorf("%d failures are recorded", n)
	}
	// Another session of the person, and a sign-in, are not slowed down. The code beside a
	// wrong password was not used up.
	_, err = w.StepUp(t.Context(), home, w.principal(second), goodPassword, w.code(e.seed))
	w.must(err)
	w.askedCode(home, email, goodPassword)
}

func TestEnrolment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	account := w.person(email)
	p := w.principal(w.signIn(home, email, goodPassword))
	_, err := w.Service.PendingTOTP(t.Context(), p)
	w.wantKind(err, portal.KindNotFound)
	_, _, err = w.ConfirmTOTP(t.Context(), home, p, "000000")
	w.wantKind(err, portal.KindNotFound)
	begun, err := w.BeginTOTP(t.Context(), home, p)
	w.must(err)
	again, err := w.Service.PendingTOTP(t.Context(), p)
	w.must(err)
	if diff := cmp.Diff(begun, again); diff != "" {
		t.Errorf("what is shown later differs:\n%s", diff)
	}
	if !strings.HasPrefix(begun.URI, "otpauth://totp/Lethe:") || len(begun.Secret) != 32 || len(begun.QR) == 0 {
		t.Errorf("the enrolment is %+v", begun)
	}
	// It counts for nothing before its first code.
	w.signIn(home, email, goodPassword)
	_, _, err = w.ConfirmTOTP(t.Context(), home, p, w.notCode(begun.Secret))
	if e := w.refusal(err, portal.KindInvalid); e.Field != "code" {
		t.Errorf("the fault is in %q", e.Field)
	}
	w.clock.Advance(pendingLife)
	later := w.principal(w.signIn(home, email, goodPassword))
	_, _, err = w.ConfirmTOTP(t.Context(), home, later, w.code(begun.Secret))
	w.wantKind(err, portal.KindNotFound)
	w.enrolAs(account, w.signIn(home, email, goodPassword))
	if w.mailed(portal.MailTOTPEnrolled) != 1 || w.happened(account.ID, portal.EventTOTPEnrolled) != 1 {
		t.Error("it was not told")
	}
}

// TestNewAppReplacesTheOld: seed and recovery codes of before are worth nothing.
func TestNewAppReplacesTheOld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.enrol(email)
	p := w.principal(old.session)
	begun, err := w.BeginTOTP(t.Context(), home, p)
	w.must(err)
	_, err = w.FinishSignIn(t.Context(), home, w.askedCode(home, email, goodPassword), w.code(old.seed))
	w.must(err)
	_, _, err = w.ConfirmTOTP(t.Context(), home, p, w.code(begun.Secret))
	w.must(err)
	w.nextStep()
	challenge := w.askedCode(home, email, goodPassword)
	for _, code := range []string{w.code(old.seed), old.codes[0]} {
		_, err = w.FinishSignIn(t.Context(), home, challenge, code)
		w.wantKind(err, portal.KindUnauthenticated)
	}
	_, err = w.FinishSignIn(t.Context(), home, challenge, w.code(begun.Secret))
	w.must(err)
}

func TestRenewedRecoveryCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	other, err := w.FinishSignIn(t.Context(), home, w.askedCode(home, email, goodPassword), w.code(e.seed))
	w.must(err)
	codes, err := w.RenewRecoveryCodes(t.Context(), home, w.principal(e.session))
	w.must(err)
	w.gone(other.Secret)
	challenge := w.askedCode(home, email, goodPassword)
	_, err = w.FinishSignIn(t.Context(), home, challenge, e.codes[0])
	w.wantKind(err, portal.KindUnauthenticated)
	_, err = w.FinishSignIn(t.Context(), home, challenge, codes[0])
	w.must(err)
	w.person("plain@example.org")
	_, err = w.RenewRecoveryCodes(t.Context(), home, w.principal(w.signIn(home, "plain@example.org", goodPassword)))
	w.wantKind(err, portal.KindConflict)
}

func TestStaffKeepTheSecondFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	_, err := w.Invite(t.Context(), email, portal.RoleSupport)
	w.must(err)
	p := w.principal(e.session)
	_, err = w.RemoveTOTP(t.Context(), home, p)
	w.wantKind(err, portal.KindForbidden)
	p.Account.Role = portal.RoleUser // what the request knew before the role was given
	_, err = w.RemoveTOTP(t.Context(), home, p)
	w.wantKind(err, portal.KindForbidden)
}

func TestTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	_, err := w.Invite(t.Context(), email, portal.RoleAdmin)
	w.must(err)
	p := w.principal(e.session)
	secret, token, err := w.CreateToken(t.Context(), home, p, " back-up ", []portal.Scope{portal.ScopeEventsRead, portal.ScopeEventsRead}, portal.DefaultTokenLife)
	w.must(err)
	if token.Name != "back-up" || len(token.Scopes) != 1 || !strings.HasSuffix(secret, token.Hint) || !portal.LooksLikeAPIToken(secret) {
		t.Errorf("the token is %+v", token)
	}
	if w.mailed(portal.MailTokenCreated) != 1 {
		t.Error("it was not told")
	}
	who, err := w.AuthenticateToken(t.Context(), home, secret)
	w.must(err)
	if who.Token == nil || who.Session != nil || who.May(portal.PermitAccounts) {
		t.Errorf("the token's principal is %+v", who)
	}
	// A token does what its scopes say, and no more.
	_, err = w.OwnEvents(t.Context(), who, portal.EventCursor{}, 10)
	w.must(err)
	_, err = w.Sessions(t.Context(), who)
	w.wantKind(err, portal.KindForbidden)
	_, err = w.Tokens(t.Context(), who)
	w.wantKind(err, portal.KindForbidden)
	w.wantKind(w.EndSession(t.Context(), home, who, e.session.Session.ID), portal.KindForbidden)
	w.wantKind(w.EndOtherSessions(t.Context(), home, who), portal.KindForbidden)
	_, err = w.StepUp(t.Context(), home, who, goodPassword, w.code(e.seed))
	w.wantKind(err, portal.KindForbidden)
	who.Token.Scopes = portal.Scopes() // what the store says counts
	_, err = w.Sessions(t.Context(), who)
	w.wantKind(err, portal.KindForbidden)

	_, other, err := w.CreateToken(t.Context(), home, p, "other", portal.Scopes(), time.Hour)
	w.must(err)
	w.wantKind(w.RevokeToken(t.Context(), home, who, other.ID), portal.KindForbidden)
	w.must(w.RevokeToken(t.Context(), home, who, token.ID))
	_, err = w.AuthenticateToken(t.Context(), home, secret)
	w.wantKind(err, portal.KindUnauthenticated)
	w.wantKind(w.RevokeToken(t.Context(), home, p, token.ID), portal.KindNotFound)
	if n := w.happened(e.account.ID, portal.EventTokenRefused); n != 1 {
		t.Errorf("%d refusals are recorded", n)
	}
}

func TestTokenEndsWithItsLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	account := w.person(email)
	p := w.principal(w.signIn(home, email, goodPassword))
	secret, _, err := w.CreateToken(t.Context(), home, p, "short", portal.Scopes(), time.Hour)
	w.must(err)
	for range 5 {
		_, err = w.AuthenticateToken(t.Context(), home, secret)
		w.must(err)
	}
	if n := w.happened(account.ID, portal.EventTokenUsed); n != 1 {
		t.Errorf("its use is recorded %d times", n)
	}
	_, err = w.AuthenticateToken(t.Context(), client("203.0.113.9", ""), secret)
	w.must(err)
	if n := w.happened(account.ID, portal.EventTokenUsed); n != 2 {
		t.Errorf("its use is recorded %d times", n)
	}
	tokens, err := w.Tokens(t.Context(), p)
	if err != nil || len(tokens) != 1 || !tokens[0].LastUsedAt.Equal(w.clock.Now()) {
		t.Errorf("the tokens are %+v, %v", tokens, err)
	}
	w.clock.Advance(time.Hour)
	_, err = w.AuthenticateToken(t.Context(), home, secret)
	w.wantKind(err, portal.KindUnauthenticated)
	for _, s := range []string{"", "x", secret[:len(secret)-1] + "x"} {
		_, err = w.AuthenticateToken(t.Context(), home, s)
		w.wantKind(err, portal.KindUnauthenticated)
	}
}

func TestTokenFormIsChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(email)
	p := w.principal(w.signIn(home, email, goodPassword))
	tests := map[string]struct {
		name   string
		scopes []portal.Scope
		life   time.Duration
		field  string
	}{
		"no name":          {" ", portal.Scopes(), time.Hour, "name"},
		"a long name":      {strings.Repeat("é", portal.MaxTokenName+1), portal.Scopes(), time.Hour, "name"},
		"a line break":     {"a\nb", portal.Scopes(), time.Hour, "name"},
		"no scope":         {"x", nil, time.Hour, "scopes"},
		"an unknown scope": {"x", []portal.Scope{"admin"}, time.Hour, "scopes"},
		"no life":          {"x", portal.Scopes(), 0, "life"},
		"too long a life":  {"x", portal.Scopes(), portal.MaxTokenLife + 1, "life"},
	}
	for name, tt := range tests {
		_, _, err := w.CreateToken(t.Context(), home, p, tt.name, tt.scopes, tt.life)
		var e *portal.Error
		if !errors.As(err, &e) || e.Kind != portal.KindInvalid || e.Field != tt.field {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for range portal.MaxTokens {
		_, _, err := w.CreateToken(t.Context(), home, p, "x", portal.Scopes(), time.Hour)
		w.must(err)
	}
	_, _, err := w.CreateToken(t.Context(), home, p, "x", portal.Scopes(), time.Hour)
	w.wantKind(err, portal.KindConflict)
}
