package auth

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"

	"github.com/lethe-dev/lethe/portal"
)

// verdict is what a code is worth.
type verdict int

const (
	codeWrong verdict = iota
	// codeReplayed is one that was right and has been used, or is older than one that was.
	codeReplayed
	codeRight
)

// factor gives the account's confirmed seed, and whether there is one.
func (a *act) factor(ctx context.Context, account portal.AccountID) (portal.TOTP, bool, error) {
	seed, ok, err := found(a.ConfirmedTOTP(ctx, account))
	if err != nil {
		return portal.TOTP{}, false, fmt.Errorf("find a second factor: %w", err)
	}
	return seed, ok, nil
}

// codeCounter is where the account's wrong codes from this browser are counted.
func (a *act) codeCounter(ctx context.Context, account portal.Account) (counter, error) {
	device, known, err := a.device(ctx, account.ID)
	switch {
	case err != nil:
		return counter{}, err
	case !known:
		return codeUnknown.of(a.s, string(account.ID)), nil
	case onlyProved(device):
		return codeProved.of(a.s, string(account.ID)), nil
	default:
		return codeKnown.of(a.s, string(account.ID), a.client.Device), nil
	}
}

// showCode tells what a code is worth, and uses it up when it is right. A store or a key
// that fails is an error, never a wrong code.
func (a *act) showCode(ctx context.Context, account portal.Account, text string) (verdict, error) {
	code, form := parseCode(text)
	switch form {
	case formTOTP:
		return a.showTOTP(ctx, account, code)
	case formRecovery:
		return a.showRecovery(ctx, account, code)
	default:
		return codeWrong, nil
	}
}

func (a *act) showTOTP(ctx context.Context, account portal.Account, code string) (verdict, error) {
	factor, ok, err := a.factor(ctx, account.ID)
	if err != nil || !ok {
		return codeWrong, err
	}
	seed, err := a.s.openSeed(factor)
	if err != nil {
		return codeWrong, err
	}
	step, match, fresh, err := findStep(seed, code, a.now, factor.LastStep)
	if err != nil {
		return codeWrong, fmt.Errorf("check a code: %w", err)
	}
	switch {
	case !match:
		return codeWrong, nil
	case !fresh:
		return codeReplayed, nil
	}
	err = a.TakeStep(ctx, factor.ID, step)
	if errors.Is(err, portal.ErrConflict) {
		return codeReplayed, nil // somebody was faster
	}
	if err != nil {
		return codeWrong, fmt.Errorf("use up a code: %w", err)
	}
	return codeRight, nil
}

func (a *act) showRecovery(ctx context.Context, account portal.Account, code string) (verdict, error) {
	left, ok, err := found(a.UseRecoveryCode(ctx, account.ID, portal.DigestOf(code), a.now))
	if err != nil {
		return codeWrong, fmt.Errorf("use up a recovery code: %w", err)
	}
	if !ok {
		return codeWrong, nil
	}
	if err := a.event(ctx, portal.EventRecoveryUsed, account.ID); err != nil {
		return codeWrong, err
	}
	if err := a.mail(ctx, portal.MailRecoveryUsed, account, portal.MailData{Left: left}); err != nil {
		return codeWrong, err
	}
	return codeRight, nil
}

// failCode counts and records a code that was not right.
func (a *act) failCode(ctx context.Context, account portal.Account, found verdict, counted counter) error {
	failures, err := a.count(ctx, counted)
	if err != nil {
		return err
	}
	if err := a.codeEvent(ctx, account.ID, found); err != nil {
		return err
	}
	return a.tellFailures(ctx, account, failures)
}

func (a *act) codeEvent(ctx context.Context, account portal.AccountID, found verdict) error {
	if found == codeReplayed {
		return a.event(ctx, portal.EventTOTPReplayed, account)
	}
	return a.event(ctx, portal.EventTOTPFailed, account)
}

var seedText = base32.StdEncoding.WithPadding(base32.NoPadding)

// seedContext binds a sealed seed to its row: put into another, it does not open.
func seedContext(t portal.TOTP) []byte { return []byte(string(t.ID) + "\x00" + string(t.Account)) }

// openSeed gives a seed in base32.
func (s *Service) openSeed(t portal.TOTP) (string, error) {
	seed, err := s.keys.Open(t.Seed, seedContext(t))
	if err != nil {
		return "", fmt.Errorf("open a seed: %w", err)
	}
	return seedText.EncodeToString(seed), nil
}

// Reseal seals all seeds under the current key, after which an older one may be retired as
// far as seeds go. It gives how many were not.
func (s *Service) Reseal(ctx context.Context) (int, error) {
	n := 0
	err := s.write(ctx, portal.Client{}, func(ctx context.Context, a *act) error {
		var old []portal.TOTP
		err := a.EachTOTP(ctx, func(t portal.TOTP) error {
			if t.Seed.KeyID != s.keys.Current() {
				old = append(old, t)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read all seeds: %w", err)
		}
		for _, t := range old {
			if err := a.reseal(ctx, t); err != nil {
				return err
			}
		}
		n = len(old)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (a *act) reseal(ctx context.Context, t portal.TOTP) error {
	seed, err := a.s.keys.Open(t.Seed, seedContext(t))
	if err != nil {
		return fmt.Errorf("open a seed: %w", err)
	}
	sealed, err := a.s.keys.Seal(seed, seedContext(t))
	if err != nil {
		return fmt.Errorf("seal a seed: %w", err)
	}
	if err := a.ReplaceSeed(ctx, t.ID, sealed); err != nil {
		return fmt.Errorf("replace a seed: %w", err)
	}
	return nil
}
