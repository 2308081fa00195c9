package auth

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"github.com/lethe-dev/lethe/portal"
)

// pendingLife is how long a seed waits for its first code.
const pendingLife = 30 * time.Minute

var errNoPending = &portal.Error{Kind: portal.KindNotFound, Message: "There is no authenticator app waiting to be confirmed. Begin again."}

// BeginTOTP makes a seed that counts once a code of it was shown. An older app stays good
// until then.
func (s *Service) BeginTOTP(ctx context.Context, c portal.Client, p portal.Principal) (portal.Enrolment, error) {
	var enrolment portal.Enrolment
	err := s.write(ctx, c, func(ctx context.Context, a *act) error {
		account, _, err := a.sensitive(ctx, p)
		if err != nil {
			return err
		}
		key, err := totp.Generate(s.enrolling(account, nil))
		if err != nil {
			return fmt.Errorf("make a seed: %w", err)
		}
		seed, err := seedText.DecodeString(key.Secret())
		if err != nil {
			return fmt.Errorf("make a seed: %w", err)
		}
		pending := portal.TOTP{ID: portal.NewID[portal.FactorID](s.random), Account: account.ID, CreatedAt: a.now}
		if pending.Seed, err = s.keys.Seal(seed, seedContext(pending)); err != nil {
			return fmt.Errorf("seal a seed: %w", err)
		}
		if err := a.PutPendingTOTP(ctx, pending); err != nil {
			return fmt.Errorf("keep a seed: %w", err)
		}
		enrolment, err = enrolmentOf(pending.ID, key)
		return err
	})
	return enrolment, err
}

func (s *Service) enrolling(account portal.Account, seed []byte) totp.GenerateOpts {
	return totp.GenerateOpts{
		Issuer: s.issuer, AccountName: string(account.Email), Secret: seed, SecretSize: seedBytes, Rand: s.random,
		Period: uint(totpPeriod / time.Second), Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1,
	}
}

// qrSide is in pixels.
const qrSide = 320

func enrolmentOf(id portal.FactorID, key *otp.Key) (portal.Enrolment, error) {
	picture, err := key.Image(qrSide, qrSide)
	if err != nil {
		return portal.Enrolment{}, fmt.Errorf("draw a QR code: %w", err)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		return portal.Enrolment{}, fmt.Errorf("draw a QR code: %w", err)
	}
	return portal.Enrolment{Factor: id, Secret: key.Secret(), URI: key.URL(), QR: b.Bytes()}, nil
}

// PendingTOTP gives what BeginTOTP has begun and waits for its first code, for the page
// that shows its picture; KindNotFound for none. It needs a step-up as BeginTOTP does.
func (s *Service) PendingTOTP(ctx context.Context, p portal.Principal) (portal.Enrolment, error) {
	var enrolment portal.Enrolment
	err := s.read(ctx, portal.Client{}, func(ctx context.Context, a *act) error {
		account, _, err := a.sensitive(ctx, p)
		if err != nil {
			return err
		}
		pending, text, err := a.pending(ctx, account.ID)
		if err != nil {
			return err
		}
		seed, err := seedText.DecodeString(text)
		if err != nil {
			return fmt.Errorf("read a seed: %w", err)
		}
		key, err := totp.Generate(s.enrolling(account, seed))
		if err != nil {
			return fmt.Errorf("show a seed: %w", err)
		}
		enrolment, err = enrolmentOf(pending.ID, key)
		return err
	})
	return enrolment, err
}

// pending gives the seed that waits, and its text.
func (a *act) pending(ctx context.Context, account portal.AccountID) (portal.TOTP, string, error) {
	pending, ok, err := found(a.PendingTOTP(ctx, account))
	if err != nil {
		return portal.TOTP{}, "", fmt.Errorf("find the seed that waits: %w", err)
	}
	if !ok || a.now.Sub(pending.CreatedAt) >= pendingLife {
		return portal.TOTP{}, "", errNoPending
	}
	seed, err := a.s.openSeed(pending)
	return pending, seed, err
}

// ConfirmTOTP takes the first code of a new app: the app then is the second factor, with
// new recovery codes, in a session with a new secret; all other sessions end.
func (s *Service) ConfirmTOTP(ctx context.Context, c portal.Client, p portal.Principal, code string) ([]string, portal.NewSession, error) {
	var codes []string
	var next portal.NewSession
	err := s.write(ctx, c, func(ctx context.Context, a *act) error {
		account, session, err := a.sensitive(ctx, p)
		if err != nil {
			return err
		}
		counted := stepUp.of(s, string(session.ID))
		wait, err := a.wait(ctx, counted)
		if err := orTooMany(err, wait); err != nil {
			return err
		}
		right, err := a.firstCode(ctx, account.ID, code)
		if err != nil {
			return err
		}
		if !right {
			return a.failEnrolment(ctx, account.ID, counted)
		}
		codes, next, err = a.enrolled(ctx, account, session)
		return err
	})
	if err != nil {
		return nil, portal.NewSession{}, err
	}
	return codes, next, nil
}

// firstCode confirms the seed that waits when this is a code of it, which is then used up.
func (a *act) firstCode(ctx context.Context, account portal.AccountID, text string) (bool, error) {
	pending, seed, err := a.pending(ctx, account)
	if err != nil {
		return false, err
	}
	code, form := parseCode(text)
	if form != formTOTP {
		return false, nil
	}
	step, _, right, err := findStep(seed, code, a.now, pending.LastStep)
	if err != nil {
		return false, fmt.Errorf("check a code: %w", err)
	}
	if !right {
		return false, nil
	}
	if err := a.ConfirmTOTP(ctx, pending.ID, step, a.now); err != nil {
		return false, fmt.Errorf("confirm a seed: %w", err)
	}
	return true, nil
}

func (a *act) failEnrolment(ctx context.Context, account portal.AccountID, counted counter) error {
	if _, err := a.count(ctx, counted); err != nil {
		return err
	}
	if err := a.event(ctx, portal.EventTOTPFailed, account); err != nil {
		return err
	}
	return keep(portal.Invalid("code", "This is not the code that the app shows for us now. Check your device's clock, and enter the newest code."))
}

// enrolled finishes what a confirmed seed brings.
func (a *act) enrolled(ctx context.Context, account portal.Account, session portal.Session) ([]string, portal.NewSession, error) {
	codes, err := a.recoveryCodes(ctx, account.ID)
	if err != nil {
		return nil, portal.NewSession{}, err
	}
	if err := a.tell(ctx, portal.EventTOTPEnrolled, portal.MailTOTPEnrolled, account); err != nil {
		return nil, portal.NewSession{}, err
	}
	session.SecondFactor = true
	next, err := a.rotateAlone(ctx, session)
	return codes, next, err
}

func (a *act) recoveryCodes(ctx context.Context, account portal.AccountID) ([]string, error) {
	codes, digests := newRecoveryCodes(a.s.random)
	if err := a.PutRecoveryCodes(ctx, account, digests); err != nil {
		return nil, fmt.Errorf("keep recovery codes: %w", err)
	}
	return codes, nil
}

// RemoveTOTP takes the second factor and its recovery codes away; staff may not. The
// session gets a new secret, all others end.
func (s *Service) RemoveTOTP(ctx context.Context, c portal.Client, p portal.Principal) (portal.NewSession, error) {
	var next portal.NewSession
	err := s.write(ctx, c, func(ctx context.Context, a *act) error {
		account, session, err := a.sensitive(ctx, p)
		if err != nil {
			return err
		}
		if account.Role.Staff() {
			return &portal.Error{Kind: portal.KindForbidden, Message: "Your role needs a second factor. You can replace the app, not remove it."}
		}
		if err := a.needFactor(ctx, account.ID); err != nil {
			return err
		}
		if err := a.DeleteTOTP(ctx, account.ID); err != nil {
			return fmt.Errorf("remove a second factor: %w", err)
		}
		if err := a.PutRecoveryCodes(ctx, account.ID, nil); err != nil {
			return fmt.Errorf("remove recovery codes: %w", err)
		}
		if err := a.tell(ctx, portal.EventTOTPRemoved, portal.MailTOTPRemoved, account); err != nil {
			return err
		}
		session.SecondFactor = false
		next, err = a.rotateAlone(ctx, session)
		return err
	})
	return next, err
}

func (a *act) needFactor(ctx context.Context, account portal.AccountID) error {
	_, ok, err := a.factor(ctx, account)
	if err != nil || ok {
		return err
	}
	return &portal.Error{Kind: portal.KindConflict, Message: "Two-factor sign-in is not set up for this account."}
}

// RenewRecoveryCodes makes new recovery codes in the place of all older ones. All other
// sessions end.
func (s *Service) RenewRecoveryCodes(ctx context.Context, c portal.Client, p portal.Principal) ([]string, error) {
	var codes []string
	err := s.write(ctx, c, func(ctx context.Context, a *act) error {
		account, session, err := a.sensitive(ctx, p)
		if err != nil {
			return err
		}
		if err := a.needFactor(ctx, account.ID); err != nil {
			return err
		}
		if codes, err = a.recoveryCodes(ctx, account.ID); err != nil {
			return err
		}
		if err := a.endOthers(ctx, account.ID, session.ID); err != nil {
			return err
		}
		return a.tell(ctx, portal.EventRecoveryRenewed, portal.MailRecoveryRenewed, account)
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// RecoveryCodesLeft counts the recovery codes that are still good.
func (s *Service) RecoveryCodesLeft(ctx context.Context, p portal.Principal) (int, error) {
	left := 0
	err := s.read(ctx, portal.Client{}, func(ctx context.Context, a *act) error {
		account, err := a.own(ctx, p, portal.ScopeAccountRead)
		if err != nil {
			return err
		}
		if left, err = a.Tx.RecoveryCodesLeft(ctx, account.ID); err != nil {
			return fmt.Errorf("count recovery codes: %w", err)
		}
		return nil
	})
	return left, err
}
