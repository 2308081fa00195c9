package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// mailUnasked mails a link for what was not a request for one (a sign-up, a sign-in), unless
// the address has been sent many of that purpose just now; then a good one lies in its
// mailbox. It happens for some addresses only, so it is counted where no refusal shows it:
// not where ask counts.
func (a *act) mailUnasked(ctx context.Context, account portal.Account, purpose portal.Purpose, kind portal.MailKind) error {
	asked := mailUnasked.of(a.s, string(purpose), account.EmailKey)
	wait, err := a.wait(ctx, asked)
	if err != nil || wait > 0 {
		return err
	}
	if _, err := a.count(ctx, asked); err != nil {
		return err
	}
	return a.mailLink(ctx, account, purpose, kind)
}

// ask is what all that sends a link to an address has in common: the same answer and the
// same counts for every address. Send is called when there is such an account.
func (s *Service) ask(ctx context.Context, c portal.Client, email string, purpose portal.Purpose, send func(context.Context, *act, portal.Account) error) error {
	address, err := portal.ParseEmail(email)
	if err != nil {
		return err
	}
	wait := time.Duration(0)
	err = s.write(ctx, c, func(ctx context.Context, a *act) error {
		account, known, err := found(a.AccountByEmail(ctx, address.Key()))
		if err != nil {
			return fmt.Errorf("find an account: %w", err)
		}
		if wait, err = a.countAsked(ctx, account.ID, address, purpose); err != nil || wait > 0 {
			return err
		}
		if !known || account.Disabled() {
			return nil
		}
		return send(ctx, a, account)
	})
	if err != nil {
		return err
	}
	if wait > 0 {
		return s.throttled(ctx, c, refusal{wait: wait, about: address.Key(), advice: " If you have asked for a mail, look into your mailbox: its link is still good."})
	}
	return nil
}

// countAsked counts and records that a mail was asked for, whether or not it is sent; or
// it gives how long to wait before. Account is "" for nobody's address.
func (a *act) countAsked(ctx context.Context, account portal.AccountID, address portal.Email, purpose portal.Purpose) (time.Duration, error) {
	counters := []counter{mailAddress.of(a.s, string(purpose), address.Key())}
	known, err := a.knownDevice(ctx, account)
	if err != nil {
		return 0, err
	}
	if !known {
		counters = append(counters, mailNetwork.of(a.s, a.client.Network().String()))
	}
	if wait, err := a.wait(ctx, counters...); err != nil || wait > 0 {
		return wait, err
	}
	if _, err := a.count(ctx, counters...); err != nil {
		return 0, err
	}
	if purpose == portal.PurposeReset {
		return 0, a.event(ctx, portal.EventResetAsked, account)
	}
	return 0, nil
}

// errDeadLink is for a link that was used, has expired, never was, or is for something
// else: who holds it is not told which.
var errDeadLink = &portal.Error{Kind: portal.KindNotFound, Message: "This link is not good any more: it was used, or is too old. Ask for a new one."}

// liveLink gives a link of a purpose and its account.
func (a *act) liveLink(ctx context.Context, secret string, purpose portal.Purpose) (portal.Link, portal.Account, error) {
	link, ok, err := found(a.Link(ctx, portal.DigestOf(secret)))
	if err != nil {
		return portal.Link{}, portal.Account{}, fmt.Errorf("find a link: %w", err)
	}
	if !ok || link.Purpose != purpose || !a.now.Before(link.ExpiresAt) {
		return portal.Link{}, portal.Account{}, errDeadLink
	}
	account, err := a.Account(ctx, link.Account)
	if err != nil {
		return portal.Link{}, portal.Account{}, fmt.Errorf("find the account of a link: %w", err)
	}
	if account.Disabled() {
		return portal.Link{}, portal.Account{}, errDeadLink
	}
	return link, account, nil
}

// takeLink is liveLink, and uses the link up.
func (a *act) takeLink(ctx context.Context, secret string, purpose portal.Purpose) (portal.Link, portal.Account, error) {
	link, account, err := a.liveLink(ctx, secret, purpose)
	if err != nil {
		return portal.Link{}, portal.Account{}, err
	}
	return link, account, a.spend(ctx, link)
}

// spend uses a link up.
func (a *act) spend(ctx context.Context, link portal.Link) error {
	err := a.UseLink(ctx, link.Digest)
	if errors.Is(err, portal.ErrNotFound) {
		return errDeadLink // somebody was faster
	}
	if err != nil {
		return fmt.Errorf("use a link: %w", err)
	}
	return nil
}

// LinkState looks at a link for the page that it opens, and changes nothing. NeedsCode is
// for a reset of an account with a second factor.
func (s *Service) LinkState(ctx context.Context, secret string, purpose portal.Purpose) (needsCode bool, err error) {
	err = s.read(ctx, portal.Client{}, func(ctx context.Context, a *act) error {
		_, account, err := a.liveLink(ctx, secret, purpose)
		if err != nil {
			return err
		}
		needsCode = false
		if purpose == portal.PurposeReset {
			_, needsCode, err = a.factor(ctx, account.ID)
		}
		return err
	})
	return needsCode, err
}
