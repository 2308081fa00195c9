package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/lethe-dev/lethe/portal"
)

var (
	errRecentlyChanged = &portal.Error{Kind: portal.KindConflict, Message: "The address of this account was changed in the last three days. Until it can no longer be taken back, it can't be changed again."}
	errAddressTaken    = &portal.Error{Kind: portal.KindConflict, Message: "This address now belongs to another account."}
)

// ChangeEmail mails a link to the new address, and tells the old one. For an address that
// has an account already its owner is told instead; who asks sees no difference.
//
// There is one change in the time in which it can be taken back: with two, the links to
// undo them would undo each other, and who has taken an account over would keep the last.
func (s *Service) ChangeEmail(ctx context.Context, c portal.Client, p portal.Principal, email string) error {
	address, err := portal.ParseEmail(email)
	if err != nil {
		return err
	}
	return s.write(ctx, c, func(ctx context.Context, a *act) error {
		account, _, err := a.sensitive(ctx, p)
		if err != nil {
			return err
		}
		if address == account.Email {
			return portal.Invalid("email", "This is your address already.")
		}
		if err := a.mayChangeEmail(ctx, account.ID); err != nil {
			return err
		}
		counters := []counter{mailAddress.of(s, string(portal.PurposeNewEmail), string(account.ID)), mailAddress.of(s, string(portal.PurposeNewEmail), address.Key())}
		wait, err := a.wait(ctx, counters...)
		if err != nil {
			return err
		}
		if wait > 0 {
			return tooMany(wait, "")
		}
		if _, err := a.count(ctx, counters...); err != nil {
			return err
		}
		if err := a.askNewEmail(ctx, account, address); err != nil {
			return err
		}
		return a.tell(ctx, portal.EventEmailAsked, portal.MailEmailChangeAsked, account)
	})
}

func (a *act) mayChangeEmail(ctx context.Context, account portal.AccountID) error {
	changed, err := a.mailedSince(ctx, account, portal.MailEmailChanged, a.now.Add(-portal.PurposeUndoEmail.Life()))
	if err != nil {
		return err
	}
	if changed {
		return errRecentlyChanged
	}
	return nil
}

// askNewEmail mails to the new address. Only the newest of such links is good.
func (a *act) askNewEmail(ctx context.Context, account portal.Account, address portal.Email) error {
	if err := a.dropLinks(ctx, account.ID, portal.PurposeNewEmail); err != nil {
		return err
	}
	other, taken, err := found(a.AccountByEmail(ctx, address.Key()))
	if err != nil {
		return fmt.Errorf("find an account: %w", err)
	}
	if taken && other.ID != account.ID && other.Verified() {
		return a.tellOwner(ctx, other)
	}
	path, err := a.link(ctx, account.ID, portal.PurposeNewEmail, address)
	if err != nil {
		return err
	}
	return a.mailTo(ctx, portal.MailConfirmNewEmail, account.ID, address, portal.MailData{Link: path})
}

// ConfirmNewEmail makes the new address the account's. The old one is told, with a link
// that takes it back.
func (s *Service) ConfirmNewEmail(ctx context.Context, c portal.Client, secret string) error {
	return s.write(ctx, c, func(ctx context.Context, a *act) error {
		link, account, err := a.takeLink(ctx, secret, portal.PurposeNewEmail)
		if err != nil {
			return err
		}
		if err := a.mayChangeEmail(ctx, account.ID); err != nil {
			return err
		}
		old := account.Email
		if err := a.setEmail(ctx, &account, link.Email); err != nil {
			return err
		}
		path, err := a.link(ctx, account.ID, portal.PurposeUndoEmail, old)
		if err != nil {
			return err
		}
		if err := a.mailTo(ctx, portal.MailEmailChanged, account.ID, old, portal.MailData{Link: path}); err != nil {
			return err
		}
		return a.tell(ctx, portal.EventEmailChanged, portal.MailEmailChangedNew, account)
	})
}

// setEmail gives an account an address that was proved. What was mailed to the one before
// is worth nothing from then on.
func (a *act) setEmail(ctx context.Context, account *portal.Account, address portal.Email) error {
	if err := a.clear(ctx, account.ID, address); err != nil {
		return err
	}
	account.Email, account.EmailKey, account.EmailVerifiedAt = address, address.Key(), a.now
	if err := a.UpdateAccount(ctx, *account); err != nil {
		if errors.Is(err, portal.ErrConflict) {
			return errAddressTaken
		}
		return fmt.Errorf("set an address: %w", err)
	}
	return a.dropLinks(ctx, account.ID, portal.PurposeVerify, portal.PurposeReset, portal.PurposeNewEmail, portal.PurposeDevice)
}

// clear takes an address from an account that never proved it, for one that has. Such an
// account is then empty: nobody can sign in to it. Otherwise anybody could keep a person
// from an address, or from taking it back, by signing up with it.
func (a *act) clear(ctx context.Context, keeper portal.AccountID, address portal.Email) error {
	other, taken, err := found(a.AccountByEmail(ctx, address.Key()))
	if err != nil {
		return fmt.Errorf("find an account: %w", err)
	}
	if !taken || other.ID == keeper {
		return nil
	}
	if other.Verified() || other.Role.Staff() {
		return errAddressTaken
	}
	other.Email, other.EmailKey, other.PasswordHash = "", "none:"+string(other.ID), ""
	if err := a.UpdateAccount(ctx, other); err != nil {
		return fmt.Errorf("free an address: %w", err)
	}
	return a.dropLinks(ctx, other.ID, portal.PurposeVerify, portal.PurposeReset)
}

// UndoEmail takes a change of address back. Who clicks it says that the change was not
// theirs: so whoever is in the account is put out of it (sessions, tokens, password), and
// a link to set a password goes to the old address. The second factor stays.
func (s *Service) UndoEmail(ctx context.Context, c portal.Client, secret string) error {
	return s.write(ctx, c, func(ctx context.Context, a *act) error {
		link, account, err := a.takeLink(ctx, secret, portal.PurposeUndoEmail)
		if err != nil {
			return err
		}
		account.PasswordHash = ""
		if err := a.setEmail(ctx, &account, link.Email); err != nil {
			return err
		}
		if err := a.putOut(ctx, account); err != nil {
			return err
		}
		if err := a.event(ctx, portal.EventEmailUndone, account.ID); err != nil {
			return err
		}
		return a.mailLink(ctx, account, portal.PurposeReset, portal.MailResetPassword)
	})
}

// putOut ends all that lets somebody into an account without its password.
func (a *act) putOut(ctx context.Context, account portal.Account) error {
	if err := a.endOthers(ctx, account.ID, ""); err != nil {
		return err
	}
	if err := a.DeleteDevices(ctx, account.ID); err != nil {
		return fmt.Errorf("forget devices: %w", err)
	}
	if err := a.dropLinks(ctx, account.ID, portal.PurposeUndoEmail); err != nil {
		return err
	}
	tokens, err := a.AccountTokens(ctx, account.ID)
	if err != nil {
		return fmt.Errorf("list tokens: %w", err)
	}
	for _, t := range tokens {
		if err := a.revoke(ctx, account.ID, t.ID); err != nil {
			return err
		}
	}
	return nil
}
