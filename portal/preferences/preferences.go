package preferences

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lethe-dev/lethe/portal"
)

// Service is the use cases.
type Service struct{ store portal.Store }

// New makes a Service. The store is required.
func New(store portal.Store) (*Service, error) {
	if store == nil {
		return nil, errors.New("make the preferences: there is no store")
	}
	return &Service{store}, nil
}

// errSession is for API tokens, which have no scope for this.
var errSession = &portal.Error{
	Kind: portal.KindForbidden, Message: "Which mails you get can only be seen and changed on the pages, not with an API token.",
}

// WantedMails are the optional kinds that who asks gets, in the order of
// portal.OptionalMails.
func (s *Service) WantedMails(ctx context.Context, p portal.Principal) ([]portal.MailKind, error) {
	if p.Session == nil {
		return nil, errSession
	}
	var unwanted []portal.MailKind
	err := s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		unwanted, err = tx.UnwantedMails(ctx, p.Account.ID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read which mails are unwanted: %w", err)
	}
	return others(unwanted), nil
}

// SetWantedMails makes these the optional kinds that who asks gets, and no others.
// KindInvalid for a kind that is no choice.
func (s *Service) SetWantedMails(ctx context.Context, p portal.Principal, wanted []portal.MailKind) error {
	if p.Session == nil {
		return errSession
	}
	for _, kind := range wanted {
		if !slices.Contains(portal.OptionalMails(), kind) {
			return portal.Invalid("kind", "This kind of mail can't be switched on or off. Choose among those on the page.")
		}
	}
	err := s.store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		return tx.SetUnwantedMails(ctx, p.Account.ID, others(wanted))
	})
	if err != nil {
		return fmt.Errorf("write which mails are unwanted: %w", err)
	}
	return nil
}

// others are the optional kinds that are not among some.
func others(some []portal.MailKind) []portal.MailKind {
	return slices.DeleteFunc(portal.OptionalMails(), func(kind portal.MailKind) bool { return slices.Contains(some, kind) })
}
