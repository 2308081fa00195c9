package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// AskReset mails a link that sets a new password.
func (s *Service) AskReset(ctx context.Context, c portal.Client, email string) error {
	return s.ask(ctx, c, email, portal.PurposeReset, func(ctx context.Context, a *act, account portal.Account) error {
		return a.mailLink(ctx, account, portal.PurposeReset, portal.MailResetPassword)
	})
}

var errResetCode = portal.Invalid("code", "Your account has two-factor sign-in. Enter the newest code that your app shows, or a recovery code. A code is good once.")

// Reset sets a new password by a mailed link, and ends all sessions. An account with a
// second factor needs its code: who reads the mail is not yet the person. A wrong code
// leaves the link good, and counts as one.
func (s *Service) Reset(ctx context.Context, c portal.Client, secret, password, code string) error {
	hash, err := s.hashReset(ctx, c, secret, password)
	if err != nil {
		return err
	}
	account, wait := portal.Account{}, time.Duration(0)
	err = s.write(context.WithoutCancel(ctx), c, func(ctx context.Context, a *act) error {
		var link portal.Link
		var err error
		if link, account, err = a.liveLink(ctx, secret, portal.PurposeReset); err != nil {
			return err
		}
		if wait, err = a.resetCode(ctx, account, code); err != nil || wait > 0 {
			return err
		}
		if err := a.spend(ctx, link); err != nil {
			return err
		}
		return a.reset(ctx, account, link.Email, hash)
	})
	if err != nil {
		return err
	}
	if wait > 0 {
		return s.throttled(ctx, c, refusal{wait, string(account.ID), account.ID, deviceAdvice})
	}
	return nil
}

// hashReset hashes the new password if the link is good, and codes are not throttled.
func (s *Service) hashReset(ctx context.Context, c portal.Client, secret, password string) (string, error) {
	account, wait := portal.Account{}, time.Duration(0)
	err := s.read(ctx, c, func(ctx context.Context, a *act) error {
		var err error
		if _, account, err = a.liveLink(ctx, secret, portal.PurposeReset); err != nil {
			return err
		}
		_, second, err := a.factor(ctx, account.ID)
		if err != nil || !second {
			return err
		}
		counted, err := a.codeCounter(ctx, account)
		if err != nil {
			return err
		}
		wait, err = a.wait(ctx, counted)
		return err
	})
	if err != nil {
		return "", err
	}
	if wait > 0 {
		return "", s.throttled(ctx, c, refusal{wait, string(account.ID), account.ID, deviceAdvice})
	}
	return s.hashNew(ctx, password, account.Email)
}

// hashNew checks a new password and hashes it.
func (s *Service) hashNew(ctx context.Context, password string, email portal.Email) (string, error) {
	text, err := s.acceptable(password, email)
	if err != nil {
		return "", err
	}
	slot, err := s.hasher.take(ctx)
	if err != nil {
		return "", err
	}
	defer slot.release()
	return slot.hash(text)
}

// resetCode asks for the second factor of an account that has one.
func (a *act) resetCode(ctx context.Context, account portal.Account, code string) (time.Duration, error) {
	_, second, err := a.factor(ctx, account.ID)
	if err != nil || !second {
		return 0, err
	}
	counted, err := a.codeCounter(ctx, account)
	if err != nil {
		return 0, err
	}
	if wait, err := a.wait(ctx, counted); err != nil || wait > 0 {
		return wait, err
	}
	found, err := a.showCode(ctx, account, code)
	if err != nil {
		return 0, err
	}
	if found == codeRight {
		return 0, a.forget(ctx, counted)
	}
	if err := a.failCode(ctx, account, found, counted); err != nil {
		return 0, err
	}
	return 0, keep(errResetCode)
}

// reset sets the password; whoever was in with the old one is out. A link that was read in
// the account's mailbox proves its address too.
func (a *act) reset(ctx context.Context, account portal.Account, proved portal.Email, hash string) error {
	if proved == account.Email && !account.Verified() {
		account.EmailVerifiedAt = a.now
		if err := a.event(ctx, portal.EventEmailVerified, account.ID); err != nil {
			return err
		}
	}
	account.PasswordHash, account.PasswordChangedAt = hash, a.now
	if err := a.UpdateAccount(ctx, account); err != nil {
		return fmt.Errorf("set a password: %w", err)
	}
	if err := a.endOthers(ctx, account.ID, ""); err != nil {
		return err
	}
	if err := a.DeleteDevices(ctx, account.ID); err != nil {
		return fmt.Errorf("forget devices: %w", err)
	}
	if err := a.dropLinks(ctx, account.ID, portal.PurposeReset, portal.PurposeVerify, portal.PurposeNewEmail, portal.PurposeDevice); err != nil {
		return err
	}
	// Who proved the mailbox and the second factor starts without the guesses of others.
	if err := a.forgetGuesses(ctx, account, false); err != nil {
		return err
	}
	return a.tell(ctx, portal.EventPasswordReset, portal.MailPasswordChanged, account)
}

// ChangePassword sets a new password. The session gets a new secret, all others end.
func (s *Service) ChangePassword(ctx context.Context, c portal.Client, p portal.Principal, password string) (portal.NewSession, error) {
	// What costs a hash is refused first when it may not be done at all.
	err := s.read(ctx, c, func(ctx context.Context, a *act) error {
		account, _, err := a.sensitive(ctx, p)
		if err != nil {
			return err
		}
		wait, err := a.wait(ctx, newPassword.of(s, string(account.ID)))
		return orTooMany(err, wait)
	})
	if err != nil {
		return portal.NewSession{}, err
	}
	hash, err := s.hashNew(ctx, password, p.Account.Email)
	if err != nil {
		return portal.NewSession{}, err
	}
	var next portal.NewSession
	err = s.write(ctx, c, func(ctx context.Context, a *act) error {
		account, session, err := a.sensitive(ctx, p)
		if err != nil {
			return err
		}
		if _, err := a.count(ctx, newPassword.of(s, string(account.ID))); err != nil {
			return err
		}
		account.PasswordHash, account.PasswordChangedAt = hash, a.now
		if err := a.UpdateAccount(ctx, account); err != nil {
			return fmt.Errorf("set a password: %w", err)
		}
		if err := a.dropLinks(ctx, account.ID, portal.PurposeReset, portal.PurposeNewEmail); err != nil {
			return err
		}
		if err := a.tell(ctx, portal.EventPasswordChanged, portal.MailPasswordChanged, account); err != nil {
			return err
		}
		next, err = a.rotateAlone(ctx, session)
		return err
	})
	return next, err
}
