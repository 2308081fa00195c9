package review

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Dependencies are what the use cases need. All of them are required.
type Dependencies struct {
	Store  portal.Store
	Now    func() time.Time
	Random io.Reader
	// MAC is a keyed hash: what was searched for goes into the audit log as one.
	MAC func(purpose string, data []byte) [32]byte
}

// Service does what staff may do. Its methods may be called at once.
type Service struct {
	Dependencies
}

// New makes the service; the error names what is missing.
func New(with Dependencies) (*Service, error) {
	switch {
	case with.Store == nil:
		return nil, errors.New("review: no store")
	case with.Now == nil:
		return nil, errors.New("review: no clock")
	case with.Random == nil:
		return nil, errors.New("review: no random source")
	case with.MAC == nil:
		return nil, errors.New("review: no keyed hash")
	}
	return &Service{Dependencies: with}, nil
}

// errForbidden says no more than that: which permission is missing is no business of who
// does not have it.
var errForbidden = &portal.Error{Kind: portal.KindForbidden, Message: "Your role does not allow this."}

// task is one thing that staff do: what it needs, and what the audit log says of it.
type task struct {
	needs   portal.Permission
	stepUp  bool
	action  portal.AuditAction
	subject portal.AccountID
	reason  string
	query   string
	// invalid is what is wrong with what was asked for; who may not ask isn't told.
	invalid error
}

// do checks, audits, and runs f, all in one transaction. What f found may be used only
// when do gives nil.
func (s *Service) do(ctx context.Context, p portal.Principal, t task, f func(context.Context, portal.Tx, time.Time) error) error {
	if !p.May(t.needs) {
		return errForbidden
	}
	if t.invalid != nil {
		return t.invalid
	}
	now := s.now()
	if t.stepUp && !p.Session.SteppedUp(now) {
		return &portal.Error{Kind: portal.KindStepUp, Message: "Confirm that it is you, then do this again."}
	}
	err := s.Store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		if err := stillMay(ctx, tx, p, t.needs); err != nil {
			return err
		}
		if err := audit(ctx, tx, p, t, now); err != nil {
			return err
		}
		return f(ctx, tx, now)
	})
	var told *telling
	if !errors.As(err, &told) {
		return err
	}
	t.query = strings.TrimSpace(t.query + " refused")
	if err := s.Store.Write(ctx, func(ctx context.Context, tx portal.Tx) error { return audit(ctx, tx, p, t, now) }); err != nil {
		return err
	}
	return told.refusal
}

// telling is a refusal that tells how things stand with another's account: it undoes the
// act, and is a look all the same, which leaves its row.
type telling struct{ refusal error }

func (t *telling) Error() string { return t.refusal.Error() }

// stillMay reads the actor's account again: two admins who take each other's role at once
// must not both succeed.
func stillMay(ctx context.Context, tx portal.Tx, p portal.Principal, permission portal.Permission) error {
	actor, err := tx.Account(ctx, p.Account.ID)
	if errors.Is(err, portal.ErrNotFound) {
		return errForbidden
	}
	if err != nil {
		return fmt.Errorf("read the actor's account: %w", err)
	}
	if actor.Disabled() || !actor.Role.May(permission) {
		return errForbidden
	}
	return nil
}

func audit(ctx context.Context, tx portal.Tx, p portal.Principal, t task, now time.Time) error {
	_, err := tx.AppendAudit(ctx, portal.AuditEntry{
		Time: now, Actor: p.Account.ID, Action: t.action, Subject: t.subject, Reason: t.reason, Query: t.query,
	})
	if err != nil {
		return fmt.Errorf("append to the audit log: %w", err)
	}
	return nil
}

// now is in UTC and whole microseconds, which is what the store keeps.
func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }
