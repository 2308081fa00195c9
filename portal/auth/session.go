package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lethe-dev/lethe/portal"
)

var (
	errSignIn    = &portal.Error{Kind: portal.KindUnauthenticated, Message: "Sign in first."}
	errStepUp    = &portal.Error{Kind: portal.KindStepUp, Message: "Show once more that it is you before this."}
	errNoToken   = &portal.Error{Kind: portal.KindForbidden, Message: "An API token may not do this. Sign in with a browser."}
	errStepWrong = &portal.Error{Kind: portal.KindUnauthenticated, Message: "Password or code is wrong. A code is good once: wait for the next one."}
)

// open starts a session: all factors were shown.
func (a *act) open(ctx context.Context, account portal.Account, second bool) (portal.NewSession, error) {
	known, err := a.knownDevice(ctx, account.ID)
	if err != nil {
		return portal.NewSession{}, err
	}
	if err := a.forgetGuesses(ctx, account, known); err != nil {
		return portal.NewSession{}, err
	}
	if !known {
		if err := a.takeBack(ctx, passwordNetwork.of(a.s, a.client.Network().String())); err != nil {
			return portal.NewSession{}, err
		}
	}
	secret, digest := portal.NewSecret(a.s.random)
	session := portal.Session{
		ID: portal.NewID[portal.SessionID](a.s.random), Account: account.ID, Digest: digest,
		CreatedAt: a.now, ExpiresAt: a.now.Add(portal.SessionAbsolute), AuthenticatedAt: a.now, LastSeenAt: a.now,
		SecondFactor: second, Browser: a.s.browser(a.client.UserAgent), Country: a.client.Country,
	}
	if err := a.CreateSession(ctx, session); err != nil {
		return portal.NewSession{}, fmt.Errorf("create a session: %w", err)
	}
	if err := a.event(ctx, portal.EventSignIn, account.ID); err != nil {
		return portal.NewSession{}, err
	}
	next := portal.NewSession{Session: session, Secret: secret}
	if known {
		return next, a.seeDevice(ctx, account.ID)
	}
	if next.DeviceSecret, err = a.newDevice(ctx, account.ID, a.now); err != nil {
		return portal.NewSession{}, err
	}
	return next, a.mail(ctx, portal.MailNewDevice, account, portal.MailData{Browser: session.Browser, Country: session.Country})
}

// forgetGuesses starts the counts again that a sign-in from such a browser ends.
func (a *act) forgetGuesses(ctx context.Context, account portal.Account, known bool) error {
	codes, err := a.codeCounter(ctx, account)
	if err != nil {
		return err
	}
	if known {
		return a.forget(ctx, passwordKnown.of(a.s, account.EmailKey, a.client.Device), codes)
	}
	return a.forget(ctx, passwordUnknown.of(a.s, account.EmailKey), codes)
}

// Recognize gives who holds a session, as Authenticate does, without a sign of life: for
// what a page does by itself, so that one left open does not keep its session alive.
func (s *Service) Recognize(ctx context.Context, c portal.Client, sessionSecret string) (portal.Principal, error) {
	var p portal.Principal
	if err := s.read(ctx, c, holder(&p, sessionSecret)); err != nil {
		return portal.Principal{}, err
	}
	return p, nil
}

// holder looks up who holds a session.
func holder(p *portal.Principal, sessionSecret string) func(context.Context, *act) error {
	digest := portal.DigestOf(sessionSecret)
	return func(ctx context.Context, a *act) error {
		account, session, err := a.session(ctx, digest)
		if err != nil {
			return err
		}
		_, second, err := a.factor(ctx, account.ID)
		*p = portal.Principal{Account: account, SecondFactor: second, Session: &session}
		return err
	}
}

// Authenticate gives who holds a session; KindUnauthenticated when it does not count any
// more. It writes at most every portal.SeenEvery.
func (s *Service) Authenticate(ctx context.Context, c portal.Client, sessionSecret string) (portal.Principal, error) {
	p, err := s.Recognize(ctx, c, sessionSecret)
	if err != nil {
		return portal.Principal{}, err
	}
	if s.now().Sub(p.Session.LastSeenAt) < portal.SeenEvery {
		return p, nil
	}
	// It is looked up again: it may have been ended or rotated since.
	err = s.write(ctx, c, func(ctx context.Context, a *act) error {
		if err := holder(&p, sessionSecret)(ctx, a); err != nil {
			return err
		}
		p.Session.LastSeenAt = a.now
		if err := a.UpdateSession(ctx, *p.Session); err != nil {
			return fmt.Errorf("see a session: %w", err)
		}
		return nil
	})
	if err != nil {
		return portal.Principal{}, err
	}
	return p, nil
}

// session gives a live session and its enabled account.
func (a *act) session(ctx context.Context, digest portal.Digest) (portal.Account, portal.Session, error) {
	session, ok, err := found(a.SessionByDigest(ctx, digest))
	if err != nil {
		return portal.Account{}, portal.Session{}, fmt.Errorf("find a session: %w", err)
	}
	if !ok || !session.Live(a.now) {
		return portal.Account{}, portal.Session{}, errSignIn
	}
	account, err := a.Account(ctx, session.Account)
	if err != nil {
		return portal.Account{}, portal.Session{}, fmt.Errorf("find the account of a session: %w", err)
	}
	if account.Disabled() {
		return portal.Account{}, portal.Session{}, errSignIn
	}
	return account, session, nil
}

// signedIn is the principal's session as it is now, which may have ended since the
// request was authenticated.
func (a *act) signedIn(ctx context.Context, p portal.Principal) (portal.Account, portal.Session, error) {
	if p.Session == nil {
		return portal.Account{}, portal.Session{}, errNoToken
	}
	return a.session(ctx, p.Session.Digest)
}

// sensitive is signedIn for acts that want a recent authentication (ASVS 5.0, 7.5).
func (a *act) sensitive(ctx context.Context, p portal.Principal) (portal.Account, portal.Session, error) {
	account, session, err := a.signedIn(ctx, p)
	if err != nil {
		return portal.Account{}, portal.Session{}, err
	}
	if !session.SteppedUp(a.now) {
		return portal.Account{}, portal.Session{}, errStepUp
	}
	return account, session, nil
}

// own is the account of who asks by a session or by a token with that scope.
func (a *act) own(ctx context.Context, p portal.Principal, scope portal.Scope) (portal.Account, error) {
	if p.Token == nil {
		account, _, err := a.signedIn(ctx, p)
		return account, err
	}
	account, token, err := a.token(ctx, p.Token.Digest)
	if err != nil {
		return portal.Account{}, err
	}
	if !slices.Contains(token.Scopes, scope) {
		return portal.Account{}, &portal.Error{Kind: portal.KindForbidden, Message: "This needs an API token with the scope " + string(scope) + "."}
	}
	return account, nil
}

// rotate gives a session a new secret; the old one is worth nothing from now on.
func (a *act) rotate(ctx context.Context, session portal.Session) (portal.NewSession, error) {
	secret, digest := portal.NewSecret(a.s.random)
	session.Digest, session.LastSeenAt = digest, a.now
	if err := a.UpdateSession(ctx, session); err != nil {
		return portal.NewSession{}, fmt.Errorf("rotate a session: %w", err)
	}
	return portal.NewSession{Session: session, Secret: secret}, nil
}

// rotateAlone rotates a session and ends all others.
func (a *act) rotateAlone(ctx context.Context, session portal.Session) (portal.NewSession, error) {
	if err := a.endOthers(ctx, session.Account, session.ID); err != nil {
		return portal.NewSession{}, err
	}
	return a.rotate(ctx, session)
}

// endOthers ends an account's sessions but one ("" for none), and sign-ins at work.
func (a *act) endOthers(ctx context.Context, account portal.AccountID, except portal.SessionID) error {
	if err := a.DeleteSessions(ctx, account, except); err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	return nil
}

// SignOut ends the session. One that has ended already is fine.
func (s *Service) SignOut(ctx context.Context, c portal.Client, p portal.Principal) error {
	if p.Session == nil {
		return errNoToken
	}
	return s.write(ctx, c, func(ctx context.Context, a *act) error {
		err := a.DeleteSession(ctx, p.Account.ID, p.Session.ID)
		if errors.Is(err, portal.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("end a session: %w", err)
		}
		return a.event(ctx, portal.EventSignOut, p.Account.ID)
	})
}

// Sessions are the account's live ones, newest first.
func (s *Service) Sessions(ctx context.Context, p portal.Principal) ([]portal.Session, error) {
	var live []portal.Session
	err := s.read(ctx, portal.Client{}, func(ctx context.Context, a *act) error {
		account, err := a.own(ctx, p, portal.ScopeAccountRead)
		if err != nil {
			return err
		}
		all, err := a.AccountSessions(ctx, account.ID)
		if err != nil {
			return fmt.Errorf("list sessions: %w", err)
		}
		live = slices.DeleteFunc(all, func(s portal.Session) bool { return !s.Live(a.now) })
		return nil
	})
	return live, err
}

// EndSession ends one session of the account; KindNotFound for one that is not its.
func (s *Service) EndSession(ctx context.Context, c portal.Client, p portal.Principal, id portal.SessionID) error {
	return s.write(ctx, c, func(ctx context.Context, a *act) error {
		account, err := a.own(ctx, p, portal.ScopeSessionWrite)
		if err != nil {
			return err
		}
		if err := a.DeleteSession(ctx, account.ID, id); err != nil {
			return fmt.Errorf("end a session: %w", err)
		}
		return a.event(ctx, portal.EventSessionEnded, account.ID)
	})
}

// EndOtherSessions ends all sessions of the account but the one that asks.
func (s *Service) EndOtherSessions(ctx context.Context, c portal.Client, p portal.Principal) error {
	return s.write(ctx, c, func(ctx context.Context, a *act) error {
		account, err := a.own(ctx, p, portal.ScopeSessionWrite)
		if err != nil {
			return err
		}
		except := portal.SessionID("")
		if p.Session != nil {
			except = p.Session.ID
		}
		if err := a.endOthers(ctx, account.ID, except); err != nil {
			return err
		}
		return a.event(ctx, portal.EventSessionEnded, account.ID)
	})
}
