package review

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Disable takes an account's right to sign in: its sessions end, its API tokens, links and
// known browsers are gone for good. The person is told by mail. An account that is
// disabled already gives KindConflict.
func (s *Service) Disable(ctx context.Context, c portal.Client, p portal.Principal, id portal.AccountID, reason string) error {
	reason, invalid := checkReason(reason)
	t := task{needs: portal.PermitDisable, action: portal.AuditDisable, subject: id, reason: reason, invalid: invalid}
	return s.act(ctx, p, t, func(ctx context.Context, tx portal.Tx, a portal.Account, now time.Time) error {
		if a.Disabled() {
			return conflict("This account is disabled already.")
		}
		a.DisabledAt = now
		if err := tx.UpdateAccount(ctx, a); err != nil {
			return fmt.Errorf("disable the account: %w", err)
		}
		if err := lockOut(ctx, tx, a.ID, now); err != nil {
			return err
		}
		return s.tell(ctx, tx, a, c, now, notice{event: portal.EventAccountDisabled, mail: portal.MailAccountDisabled})
	})
}

// Enable gives the right to sign in back. The person is told by mail.
func (s *Service) Enable(ctx context.Context, c portal.Client, p portal.Principal, id portal.AccountID, reason string) error {
	reason, invalid := checkReason(reason)
	t := task{needs: portal.PermitDisable, stepUp: true, action: portal.AuditEnable, subject: id, reason: reason, invalid: invalid}
	return s.act(ctx, p, t, func(ctx context.Context, tx portal.Tx, a portal.Account, now time.Time) error {
		if !a.Disabled() {
			return conflict("This account is not disabled.")
		}
		a.DisabledAt = time.Time{}
		if err := tx.UpdateAccount(ctx, a); err != nil {
			return fmt.Errorf("enable the account: %w", err)
		}
		return s.tell(ctx, tx, a, c, now, notice{event: portal.EventAccountEnabled, mail: portal.MailAccountEnabled})
	})
}

// EndSessions ends all sessions of an account; the person may sign in again.
func (s *Service) EndSessions(ctx context.Context, c portal.Client, p portal.Principal, id portal.AccountID, reason string) error {
	reason, invalid := checkReason(reason)
	t := task{needs: portal.PermitDisable, action: portal.AuditEndSessions, subject: id, reason: reason, invalid: invalid}
	return s.do(ctx, p, t, func(ctx context.Context, tx portal.Tx, now time.Time) error {
		account, err := tx.Account(ctx, id)
		if err != nil {
			return err
		}
		if err := tx.DeleteSessions(ctx, id, ""); err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
		return s.tell(ctx, tx, account, c, now, notice{event: portal.EventSessionEnded})
	})
}

// SetRole gives an account another role. Its sessions end, so that the new rights begin
// with a new sign-in; the person is told by mail.
func (s *Service) SetRole(ctx context.Context, c portal.Client, p portal.Principal, id portal.AccountID, role portal.Role) error {
	t := task{needs: portal.PermitRoles, stepUp: true, action: portal.AuditSetRole, subject: id, query: "role=" + string(role)}
	if !slices.Contains(portal.Roles(), role) {
		t.invalid = portal.Invalid("role", "Choose one of the roles of the list.")
	}
	return s.act(ctx, p, t, func(ctx context.Context, tx portal.Tx, a portal.Account, now time.Time) error {
		if a.Role == role {
			return conflict("The account has this role already.")
		}
		if role.Staff() && (!a.Verified() || a.Disabled()) {
			return conflict("Only an account that is enabled and whose address is verified can become staff.")
		}
		a.Role = role
		if err := tx.UpdateAccount(ctx, a); err != nil {
			return fmt.Errorf("set the role: %w", err)
		}
		if err := tx.DeleteSessions(ctx, a.ID, ""); err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
		return s.tell(ctx, tx, a, c, now, notice{event: portal.EventRoleChanged, mail: portal.MailRoleChanged, name: string(role)})
	})
}

// act runs f on another's account. An admin's is left to admins.
func (s *Service) act(ctx context.Context, p portal.Principal, t task, f func(context.Context, portal.Tx, portal.Account, time.Time) error) error {
	return s.do(ctx, p, t, func(ctx context.Context, tx portal.Tx, now time.Time) error {
		if t.subject == p.Account.ID {
			return &portal.Error{Kind: portal.KindForbidden, Message: "This can't be done to your own account. Ask another admin."}
		}
		account, err := tx.Account(ctx, t.subject)
		if err != nil {
			return err
		}
		if account.Role == portal.RoleAdmin && stillMay(ctx, tx, p, portal.PermitRoles) != nil {
			return &telling{&portal.Error{Kind: portal.KindForbidden, Message: "Only an admin may do this to an admin's account."}}
		}
		return f(ctx, tx, account, now)
	})
}

// lockOut takes away all that an account could come back with.
func lockOut(ctx context.Context, tx portal.Tx, id portal.AccountID, now time.Time) error {
	if err := tx.DeleteSessions(ctx, id, ""); err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	if err := tx.DeleteDevices(ctx, id); err != nil {
		return fmt.Errorf("forget browsers: %w", err)
	}
	for _, purpose := range linkPurposes {
		if err := tx.DeleteLinks(ctx, id, purpose); err != nil {
			return fmt.Errorf("remove links: %w", err)
		}
	}
	tokens, err := tx.AccountTokens(ctx, id)
	if err != nil {
		return fmt.Errorf("read API tokens: %w", err)
	}
	for _, token := range tokens {
		if err := tx.RevokeToken(ctx, id, token.ID, now); err != nil {
			return fmt.Errorf("revoke an API token: %w", err)
		}
	}
	return nil
}

var linkPurposes = []portal.Purpose{
	portal.PurposeVerify, portal.PurposeReset, portal.PurposeNewEmail, portal.PurposeUndoEmail, portal.PurposeDevice,
}

// notice is what an account's owner gets to know of an act; mail is "" for none.
type notice struct {
	event portal.EventKind
	mail  portal.MailKind
	name  string
}

// tell writes the account's event, without the actor's IP and user agent, and the mail.
func (s *Service) tell(ctx context.Context, tx portal.Tx, a portal.Account, c portal.Client, now time.Time, n notice) error {
	from := portal.Client{Country: portal.UnknownCountry, RequestID: c.RequestID}
	if err := tx.AddEvent(ctx, portal.NewEvent(portal.NewID[portal.EventID](s.Random), now, n.event, a.ID, from)); err != nil {
		return fmt.Errorf("add an event: %w", err)
	}
	if n.mail == "" {
		return nil
	}
	err := tx.AddMail(ctx, portal.Mail{
		ID: portal.NewID[portal.MailID](s.Random), Account: a.ID, To: a.Email, Kind: n.mail,
		Data: portal.MailData{Time: now, Name: n.name}, CreatedAt: now, DueAt: now,
	})
	if err != nil {
		return fmt.Errorf("add a mail: %w", err)
	}
	return nil
}

// conflict is an act that the state of the account does not allow.
func conflict(message string) error {
	return &telling{&portal.Error{Kind: portal.KindConflict, Message: message}}
}
