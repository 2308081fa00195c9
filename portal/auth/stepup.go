package auth

import (
	"context"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// StepUp takes all factors of the account once more, and gives the session a new secret
// and the right to sensitive acts for portal.StepUpLife.
func (s *Service) StepUp(ctx context.Context, c portal.Client, p portal.Principal, password, code string) (portal.NewSession, error) {
	slot, err := s.hasher.take(ctx)
	if err != nil {
		return portal.NewSession{}, err
	}
	defer slot.release()
	account, wait := portal.Account{}, time.Duration(0)
	err = s.write(ctx, c, func(ctx context.Context, a *act) error {
		var session portal.Session
		var err error
		if account, session, err = a.signedIn(ctx, p); err != nil {
			return err
		}
		counted := stepUp.of(s, string(session.ID))
		if wait, err = a.wait(ctx, counted); err != nil || wait > 0 {
			return err
		}
		_, err = a.count(ctx, counted)
		return err
	})
	if err != nil {
		return portal.NewSession{}, err
	}
	if wait > 0 {
		return portal.NewSession{}, s.throttled(ctx, c, refusal{wait: wait, about: "step-up " + string(account.ID), account: account.ID})
	}
	right, fresh, err := slot.check(account.PasswordHash, password)
	if err != nil {
		return portal.NewSession{}, err
	}
	slot.release()
	var next portal.NewSession
	err = s.write(context.WithoutCancel(ctx), c, func(ctx context.Context, a *act) error {
		now, session, err := a.signedIn(ctx, p)
		if err != nil {
			return err
		}
		if !right || now.PasswordHash != account.PasswordHash {
			return a.failStepUp(ctx, now.ID)
		}
		next, err = a.stepUp(ctx, now, session, code, fresh)
		return err
	})
	return next, err
}

func (a *act) failStepUp(ctx context.Context, account portal.AccountID) error {
	if err := a.event(ctx, portal.EventStepUpFailed, account); err != nil {
		return err
	}
	return keep(errStepWrong)
}

// stepUp goes on after a right password.
func (a *act) stepUp(ctx context.Context, account portal.Account, session portal.Session, code, fresh string) (portal.NewSession, error) {
	_, second, err := a.factor(ctx, account.ID)
	if err != nil {
		return portal.NewSession{}, err
	}
	if second {
		found, err := a.showCode(ctx, account, code)
		if err != nil {
			return portal.NewSession{}, err
		}
		if found != codeRight {
			if err := a.codeEvent(ctx, account.ID, found); err != nil {
				return portal.NewSession{}, err
			}
			return portal.NewSession{}, a.failStepUp(ctx, account.ID)
		}
	}
	if err := a.forget(ctx, stepUp.of(a.s, string(session.ID))); err != nil {
		return portal.NewSession{}, err
	}
	if err := a.rehash(ctx, &account, fresh); err != nil {
		return portal.NewSession{}, err
	}
	if err := a.event(ctx, portal.EventStepUp, account.ID); err != nil {
		return portal.NewSession{}, err
	}
	session.AuthenticatedAt, session.SecondFactor = a.now, second
	return a.rotate(ctx, session)
}
