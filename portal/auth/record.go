package auth

import (
	"context"
	"fmt"

	"github.com/lethe-dev/lethe/portal"
)

// maxOwnEvents is one page and the row that tells whether there is another.
const maxOwnEvents = 201

// OwnEvents are the account's security events, newest first, after a cursor.
func (s *Service) OwnEvents(ctx context.Context, p portal.Principal, after portal.EventCursor, limit int) ([]portal.Event, error) {
	var events []portal.Event
	err := s.read(ctx, portal.Client{}, func(ctx context.Context, a *act) error {
		account, err := a.own(ctx, p, portal.ScopeEventsRead)
		if err != nil {
			return err
		}
		limit := min(max(limit, 1), maxOwnEvents)
		if events, err = a.FindEvents(ctx, portal.EventFilter{Account: account.ID}, after, limit); err != nil {
			return fmt.Errorf("list events: %w", err)
		}
		return nil
	})
	return events, err
}

// Record writes what only the web layer sees: access denied and cross-site requests. Of
// the same kind, account and network one a minute is written, so that a flood of requests
// is not one of rows. Account may be "".
func (s *Service) Record(ctx context.Context, c portal.Client, kind portal.EventKind, account portal.AccountID) error {
	if kind != portal.EventAccessDenied && kind != portal.EventCrossSiteRefused {
		return fmt.Errorf("record an event: %q is not one that the web layer sees", kind)
	}
	return s.eventOnce(ctx, c, onceMinute, kind, account, c.Network().String(), string(account))
}

// Invite gives a role to an address, for the command that makes the first admin: to the
// account that has it, or to a new one. The link sets the password and proves the address.
// It is written into the audit log as done by a command.
func (s *Service) Invite(ctx context.Context, email string, role portal.Role) (string, error) {
	address, err := portal.ParseEmail(email)
	if err != nil {
		return "", err
	}
	if !role.Staff() && role != portal.RoleUser {
		return "", portal.Invalid("role", "There is no such role.")
	}
	path := ""
	err = s.write(ctx, portal.Client{Country: portal.UnknownCountry}, func(ctx context.Context, a *act) error {
		account, known, err := found(a.AccountByEmail(ctx, address.Key()))
		if err != nil {
			return fmt.Errorf("find an account: %w", err)
		}
		if known {
			account, err = a.promote(ctx, account, role)
		} else {
			account, err = a.invite(ctx, address, role)
		}
		if err != nil {
			return err
		}
		if err := a.event(ctx, portal.EventRoleChanged, account.ID); err != nil {
			return err
		}
		entry := portal.AuditEntry{Time: a.now, Action: portal.AuditCommand, Subject: account.ID, Reason: "invite as " + string(role)}
		if _, err := a.AppendAudit(ctx, entry); err != nil {
			return fmt.Errorf("audit an invitation: %w", err)
		}
		path, err = a.link(ctx, account.ID, portal.PurposeReset, account.Email)
		return err
	})
	if err != nil {
		return "", err
	}
	return path, nil
}

func (a *act) invite(ctx context.Context, address portal.Email, role portal.Role) (portal.Account, error) {
	account := portal.Account{
		ID: portal.NewID[portal.AccountID](a.s.random), Email: address, EmailKey: address.Key(),
		Role: role, CreatedAt: a.now,
	}
	if err := a.CreateAccount(ctx, account); err != nil {
		return portal.Account{}, fmt.Errorf("create an account: %w", err)
	}
	return account, nil
}

// promote gives an account a role. One that never proved its address may be anybody's who
// has signed up with it: it loses its password first.
func (a *act) promote(ctx context.Context, account portal.Account, role portal.Role) (portal.Account, error) {
	if account.Disabled() {
		return portal.Account{}, &portal.Error{Kind: portal.KindConflict, Message: "This account is disabled. Enable it first."}
	}
	account.Role = role
	if !account.Verified() {
		return account, a.distrust(ctx, account)
	}
	if err := a.UpdateAccount(ctx, account); err != nil {
		return portal.Account{}, fmt.Errorf("set a role: %w", err)
	}
	return account, a.mail(ctx, portal.MailRoleChanged, account, portal.MailData{Name: string(role)})
}
