package review

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// accountEvents is how many of an account's newest events its view shows.
const accountEvents = 20

// SearchAccounts finds the account with that whole address or that id; none is an empty
// list. See doc.go for why beginnings are not searched for.
func (s *Service) SearchAccounts(ctx context.Context, p portal.Principal, text string) ([]portal.AccountSummary, error) {
	find, query, err := s.accountSearch(strings.TrimSpace(text))
	var found []portal.AccountSummary
	t := task{needs: portal.PermitAccounts, action: portal.AuditSearchAccounts, query: query, invalid: err}
	err = s.do(ctx, p, t, func(ctx context.Context, tx portal.Tx, _ time.Time) error {
		found = []portal.AccountSummary{}
		account, err := find(ctx, tx)
		if errors.Is(err, portal.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("find an account: %w", err)
		}
		summary, err := summarise(ctx, tx, account)
		if err != nil {
			return err
		}
		found = []portal.AccountSummary{summary}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

type findAccount func(context.Context, portal.Tx) (portal.Account, error)

func (s *Service) accountSearch(text string) (findAccount, string, error) {
	if strings.Contains(text, "@") {
		email, err := portal.ParseEmail(text)
		if err != nil {
			return nil, "", wholeOnly
		}
		return func(ctx context.Context, tx portal.Tx) (portal.Account, error) {
			return tx.AccountByEmail(ctx, email.Key())
		}, "email=" + s.keyed(email.Key()), nil
	}
	if !portal.LooksLikeID(text) {
		return nil, "", wholeOnly
	}
	return func(ctx context.Context, tx portal.Tx) (portal.Account, error) {
		return tx.Account(ctx, portal.AccountID(text))
	}, "id=" + text, nil
}

var wholeOnly = portal.Invalid("q", "Enter a whole email address or a whole account id (26 letters and digits). Parts of them are not searched for.")

// Account opens one account, with masked personal data. Its events come along for who may
// search events.
func (s *Service) Account(ctx context.Context, p portal.Principal, id portal.AccountID) (portal.AccountView, error) {
	var view portal.AccountView
	t := task{needs: portal.PermitAccounts, action: portal.AuditViewAccount, subject: id}
	err := s.do(ctx, p, t, func(ctx context.Context, tx portal.Tx, now time.Time) error {
		account, err := tx.Account(ctx, id)
		if err != nil {
			return err
		}
		if view, err = open(ctx, tx, account, now); err != nil || !p.May(portal.PermitEvents) {
			return err
		}
		view.Events, err = tx.FindEvents(ctx, portal.EventFilter{Account: id}, portal.EventCursor{}, accountEvents)
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		return nil
	})
	if err != nil {
		return portal.AccountView{}, err
	}
	return view, nil
}

// open reads what a view shows. The digests of secrets stay behind, and so do the names of
// tokens, which are the person's own words.
func open(ctx context.Context, tx portal.Tx, account portal.Account, now time.Time) (portal.AccountView, error) {
	view := portal.AccountView{PasswordChangedAt: account.PasswordChangedAt}
	var err error
	if view.AccountSummary, err = summarise(ctx, tx, account); err != nil {
		return view, err
	}
	if view.RecoveryCodesLeft, err = tx.RecoveryCodesLeft(ctx, account.ID); err != nil {
		return view, fmt.Errorf("count recovery codes: %w", err)
	}
	if view.Sessions, err = tx.AccountSessions(ctx, account.ID); err != nil {
		return view, fmt.Errorf("read sessions: %w", err)
	}
	if view.Tokens, err = tx.AccountTokens(ctx, account.ID); err != nil {
		return view, fmt.Errorf("read API tokens: %w", err)
	}
	view.Sessions = slices.DeleteFunc(view.Sessions, func(s portal.Session) bool { return !s.Live(now) })
	for i := range view.Sessions {
		view.Sessions[i].Digest = portal.Digest{}
	}
	for i := range view.Tokens {
		view.Tokens[i].Digest, view.Tokens[i].Name = portal.Digest{}, ""
	}
	return view, nil
}

func summarise(ctx context.Context, tx portal.Tx, a portal.Account) (portal.AccountSummary, error) {
	_, err := tx.ConfirmedTOTP(ctx, a.ID)
	if err != nil && !errors.Is(err, portal.ErrNotFound) {
		return portal.AccountSummary{}, fmt.Errorf("look for a second factor: %w", err)
	}
	return portal.AccountSummary{
		ID: a.ID, Email: a.Email.Masked(), Role: a.Role, Verified: a.Verified(),
		SecondFactor: err == nil, CreatedAt: a.CreatedAt, DisabledAt: a.DisabledAt,
	}, nil
}

// Reveal gives an account's address in full, for a reason and after a step-up.
func (s *Service) Reveal(ctx context.Context, _ portal.Client, p portal.Principal, id portal.AccountID, reason string) (portal.Email, error) {
	reason, err := checkReason(reason)
	var email portal.Email
	t := task{needs: portal.PermitReveal, stepUp: true, action: portal.AuditReveal, subject: id, reason: reason, invalid: err}
	err = s.do(ctx, p, t, func(ctx context.Context, tx portal.Tx, _ time.Time) error {
		account, err := tx.Account(ctx, id)
		email = account.Email
		return err
	})
	if err != nil {
		return "", err
	}
	return email, nil
}
