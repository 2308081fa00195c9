package auth

import (
	"context"
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// toldEvery is how often an address is told that somebody signs up with it.
const toldEvery = 24 * time.Hour

// SignUp makes an account and mails a link that proves its address. For an address that
// has one it mails its owner instead; who asks sees no difference.
//
// While the address is not proved nobody knows whose the account is. When a second sign-up
// brings another password, neither is trusted: the account loses its password, and the
// mail lets whoever reads it choose one. Otherwise somebody could sign up with another's
// address, and wait until the other has proved it.
func (s *Service) SignUp(ctx context.Context, c portal.Client, email, password string) error {
	address, err := portal.ParseEmail(email)
	if err != nil {
		return err
	}
	text, err := s.acceptable(password, address)
	if err != nil {
		return err
	}
	if err := s.precheck(ctx, c, signUpNetwork.of(s, c.Network().String())); err != nil {
		return err
	}
	hash, err := s.hashSignUp(ctx, c, address, text)
	if err != nil {
		return err
	}
	return s.write(context.WithoutCancel(ctx), c, func(ctx context.Context, a *act) error {
		if _, err := a.count(ctx, signUpAddress.of(s, address.Key())); err != nil {
			return err
		}
		account, known, err := found(a.AccountByEmail(ctx, address.Key()))
		switch {
		case err != nil:
			return fmt.Errorf("find an account: %w", err)
		case !known:
			return a.signUp(ctx, address, hash)
		case account.Verified() || account.Disabled():
			return a.tellOwner(ctx, account)
		default:
			return a.signUpAgain(ctx, account, hash)
		}
	})
}

// precheck refuses what is throttled without writing to the store, and without waiting
// for a slot. What lets it pass counts it later.
func (s *Service) precheck(ctx context.Context, c portal.Client, counters ...counter) error {
	wait := time.Duration(0)
	err := s.read(ctx, c, func(ctx context.Context, a *act) error {
		var err error
		wait, err = a.wait(ctx, counters...)
		return err
	})
	if err != nil {
		return err
	}
	if wait > 0 {
		return s.throttled(ctx, c, refusal{wait: wait, about: "sign-up"})
	}
	return nil
}

// refusal is an attempt that comes too early.
type refusal struct {
	wait time.Duration
	// about is what was tried (an address, an account): it is recorded once a minute for
	// each network and this, whether or not there is an account.
	about   string
	account portal.AccountID
	advice  string
}

// throttled records a refusal, and refuses.
func (s *Service) throttled(ctx context.Context, c portal.Client, r refusal) error {
	if err := s.eventOnce(ctx, c, onceMinute, portal.EventThrottled, r.account, c.Network().String(), r.about); err != nil {
		return err
	}
	return tooMany(r.wait, r.advice)
}

// hashSignUp counts the sign-up and computes one hash. With the salt of an account that is
// there but not proved, the same password gives the same hash, which shows that the same
// person has come again.
func (s *Service) hashSignUp(ctx context.Context, c portal.Client, address portal.Email, password string) (string, error) {
	slot, err := s.hasher.take(ctx)
	if err != nil {
		return "", err
	}
	defer slot.release()
	salt := s.hasher.newSalt()
	kept := ""
	network := signUpNetwork.of(s, c.Network().String())
	err = s.write(ctx, c, func(ctx context.Context, a *act) error {
		wait, err := a.wait(ctx, network)
		if err != nil {
			return err
		}
		if wait > 0 {
			return tooMany(wait, "")
		}
		if _, err := a.count(ctx, network); err != nil {
			return err
		}
		account, known, err := found(a.AccountByEmail(ctx, address.Key()))
		if err != nil {
			return fmt.Errorf("find an account: %w", err)
		}
		kept = ""
		if known && !account.Verified() {
			kept = account.PasswordHash
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if p, err := parsePHC(kept); err == nil {
		salt = p.salt
	}
	return slot.hashWith(salt, password)
}

func (a *act) signUp(ctx context.Context, address portal.Email, hash string) error {
	account := portal.Account{
		ID: portal.NewID[portal.AccountID](a.s.random), Email: address, EmailKey: address.Key(),
		PasswordHash: hash, PasswordChangedAt: a.now, Role: portal.RoleUser, CreatedAt: a.now,
	}
	if err := a.CreateAccount(ctx, account); err != nil {
		return fmt.Errorf("create an account: %w", err)
	}
	if err := a.event(ctx, portal.EventSignUp, account.ID); err != nil {
		return err
	}
	return a.mailLink(ctx, account, portal.PurposeVerify, portal.MailVerify)
}

// tellOwner tells a person that somebody signs up with the address of the account.
func (a *act) tellOwner(ctx context.Context, account portal.Account) error {
	told, err := a.mailedSince(ctx, account.ID, portal.MailAlreadyRegistered, a.now.Add(-toldEvery))
	if err != nil || told || account.Disabled() {
		return err
	}
	return a.mail(ctx, portal.MailAlreadyRegistered, account, portal.MailData{})
}

func (a *act) signUpAgain(ctx context.Context, account portal.Account, hash string) error {
	if subtle.ConstantTimeCompare([]byte(hash), []byte(account.PasswordHash)) == 1 {
		return a.mailUnasked(ctx, account, portal.PurposeVerify, portal.MailVerify)
	}
	if err := a.distrust(ctx, account); err != nil {
		return err
	}
	return a.mailUnasked(ctx, account, portal.PurposeReset, portal.MailResetPassword)
}

// distrust takes the password from an account that is not proved, and the links that
// would prove it with that password.
func (a *act) distrust(ctx context.Context, account portal.Account) error {
	account.PasswordHash = ""
	if err := a.UpdateAccount(ctx, account); err != nil {
		return fmt.Errorf("take an account's password: %w", err)
	}
	return a.dropLinks(ctx, account.ID, portal.PurposeVerify)
}

// ResendVerification mails another link to an address that is not proved yet.
func (s *Service) ResendVerification(ctx context.Context, c portal.Client, email string) error {
	return s.ask(ctx, c, email, portal.PurposeVerify, func(ctx context.Context, a *act, account portal.Account) error {
		switch {
		case account.Verified():
			return nil
		case account.PasswordHash == "":
			return a.mailLink(ctx, account, portal.PurposeReset, portal.MailResetPassword)
		default:
			return a.mailLink(ctx, account, portal.PurposeVerify, portal.MailVerify)
		}
	})
}

// VerifyEmail proves the address of a new account.
func (s *Service) VerifyEmail(ctx context.Context, c portal.Client, secret string) error {
	return s.write(ctx, c, func(ctx context.Context, a *act) error {
		link, account, err := a.takeLink(ctx, secret, portal.PurposeVerify)
		if err != nil {
			return err
		}
		if link.Email != account.Email || account.PasswordHash == "" {
			return errDeadLink
		}
		account.EmailVerifiedAt = a.now
		if err := a.UpdateAccount(ctx, account); err != nil {
			return fmt.Errorf("verify an address: %w", err)
		}
		if err := a.dropLinks(ctx, account.ID, portal.PurposeVerify); err != nil {
			return err
		}
		return a.event(ctx, portal.EventEmailVerified, account.ID)
	})
}
