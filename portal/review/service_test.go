package review_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/review"
)

func TestEachMethodWritesOneAuditRowBeforeItReads(t *testing.T) {
	t.Parallel()
	for name, call := range calls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			admin := b.staff(t, portal.RoleAdmin)
			before := len(b.audit(t))
			service := b.serviceOn(t, watched{b.store, func(tx portal.Tx) portal.Tx {
				return &strictTx{Tx: tx, t: t, actor: admin.Account.ID}
			}})
			if _, err := call.do(t.Context(), service, admin, b); err != nil {
				t.Fatalf("the call failed: %v", err)
			}
			rows := b.audit(t)
			if len(rows) != before+1 {
				t.Fatalf("the call wrote %d audit rows, want 1", len(rows)-before)
			}
			if row := rows[0]; row.Action != call.action || row.Actor != admin.Account.ID {
				t.Errorf("the row is %q of %q, want %q of %q", row.Action, row.Actor, call.action, admin.Account.ID)
			}
		})
	}
}

func TestWithoutAnAuditRowNothingIsReadOrDone(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is full")
	for name, call := range calls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			admin := b.staff(t, portal.RoleAdmin)
			service := b.serviceOn(t, watched{b.store, func(tx portal.Tx) portal.Tx { return noAudit{tx, broken} }})
			state := b.state(t)
			got, err := call.do(t.Context(), service, admin, b)
			if !errors.Is(err, broken) {
				t.Errorf("the error is %v, want %v", err, broken)
			}
			if got != nil && !reflect.ValueOf(got).IsZero() {
				t.Errorf("the call gave %+v without an audit row", got)
			}
			if name == "enable an account" {
				return // its arrangement has changed the account
			}
			if diff := cmp.Diff(state, b.state(t)); diff != "" {
				t.Errorf("the call changed (-before +after):\n%s", diff)
			}
		})
	}
}

// state is what acts could change.
func (b *bench) state(t *testing.T) string {
	t.Helper()
	var all []any
	b.read(t, func(ctx context.Context, tx portal.Tx) error {
		account, err := tx.Account(ctx, b.person.ID)
		sessions, err2 := tx.AccountSessions(ctx, b.person.ID)
		tokens, err3 := tx.AccountTokens(ctx, b.person.ID)
		holds, err4 := tx.AllHolds(ctx)
		log, err5 := tx.AuditLog(ctx, 0, 100)
		all = []any{account, sessions, tokens, holds, log}
		return errors.Join(err, err2, err3, err4, err5)
	})
	return fmt.Sprintf("%+v", all)
}

func TestPermissionsByRoleAndFactor(t *testing.T) {
	t.Parallel()
	all := []portal.Permission{
		portal.PermitAccounts, portal.PermitEvents, portal.PermitReveal, portal.PermitHold,
		portal.PermitDisable, portal.PermitAudit, portal.PermitRoles,
	}
	want := map[portal.Role][]portal.Permission{
		portal.RoleUser: nil, portal.RoleSupport: all[:1], portal.RoleFinance: all[:1], portal.RoleSecurity: all[:6], portal.RoleAdmin: all,
	}
	weaken := map[string]func(*portal.Principal){
		"signed in with two factors":          func(*portal.Principal) {},
		"without a second factor":             func(p *portal.Principal) { p.SecondFactor = false },
		"signed in without the second factor": func(p *portal.Principal) { p.Session.SecondFactor = false },
		"by an API token":                     func(p *portal.Principal) { p.Session, p.Token = nil, &portal.APIToken{Scopes: portal.Scopes()} },
	}
	for name, call := range calls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			for _, role := range portal.Roles() {
				for how, weaken := range weaken {
					allowed := contains(want[role], call.needs) && how == "signed in with two factors"
					if allowed {
						b = newBench(t) // the one before has been acted on
					}
					p := b.staff(t, role)
					weaken(&p)
					rows := len(b.audit(t))
					got, err := call.do(t.Context(), b.service, p, b)
					switch {
					case allowed && err != nil:
						t.Errorf("%s, %s: %v, want success", role, how, err)
					case !allowed && portal.KindOf(err) != portal.KindForbidden:
						t.Errorf("%s, %s: error %v, want forbidden", role, how, err)
					case !allowed && got != nil && !reflect.ValueOf(got).IsZero():
						t.Errorf("%s, %s: got %v", role, how, got)
					case !allowed && len(b.audit(t)) != rows:
						t.Errorf("%s, %s: what was refused wrote an audit row", role, how)
					}
				}
			}
		})
	}
}

func contains(list []portal.Permission, p portal.Permission) bool {
	for _, one := range list {
		if one == p {
			return true
		}
	}
	return false
}

func TestStepUp(t *testing.T) {
	t.Parallel()
	for name, call := range calls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			admin := b.staff(t, portal.RoleAdmin)
			b.clock.Advance(portal.StepUpLife)
			_, err := call.do(t.Context(), b.service, admin, b)
			if asked := portal.KindOf(err) == portal.KindStepUp; asked != call.stepUp {
				t.Errorf("ten minutes after the sign-in: %v; a step-up is needed: %t", err, call.stepUp)
			}
		})
	}
}

func TestARoleThatWasTakenCountsAtOnce(t *testing.T) {
	t.Parallel()
	change := map[string]func(*portal.Account){
		"demoted":  func(a *portal.Account) { a.Role = portal.RoleUser },
		"disabled": func(a *portal.Account) { a.DisabledAt = portaltest.Start },
	}
	for name, change := range change {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			stale := b.staff(t, portal.RoleAdmin)
			now := stale.Account
			change(&now)
			b.write(t, func(ctx context.Context, tx portal.Tx) error { return tx.UpdateAccount(ctx, now) })
			if _, err := b.service.Account(t.Context(), stale, b.person.ID); portal.KindOf(err) != portal.KindForbidden {
				t.Errorf("the error is %v, want forbidden", err)
			}
		})
	}
}

func TestTheLogHoldsNoPersonalData(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin := b.staff(t, portal.RoleAdmin)
	for name, call := range calls() {
		if strings.HasPrefix(name, "release") || strings.HasPrefix(name, "disable") || strings.HasPrefix(name, "enable") {
			continue // they spoil the state of others
		}
		if _, err := call.do(t.Context(), b.service, admin, b); err != nil && portal.KindOf(err) != portal.KindNotFound {
			t.Fatalf("%s: %v", name, err)
		}
	}
	text, err := json.Marshal(b.audit(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, personal := range []string{"Weber", "weber", "203.0.113", "192.0.2"} {
		if strings.Contains(string(text), personal) {
			t.Errorf("the audit log holds %q:\n%s", personal, text)
		}
	}
}

func TestQueriesForTheSameThingLookTheSame(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.staff(t, portal.RoleSupport)
	for _, text := range []string{"someone@example.org", "SomeOne@example.org", "other@example.org"} {
		if _, err := b.service.SearchAccounts(t.Context(), p, text); err != nil {
			t.Fatal(err)
		}
	}
	rows := b.audit(t)
	if rows[1].Query != rows[2].Query || rows[0].Query == rows[1].Query {
		t.Errorf("queries are %q, %q, %q", rows[2].Query, rows[1].Query, rows[0].Query)
	}
}

func TestNewNeedsAll(t *testing.T) {
	t.Parallel()
	if _, err := review.New(review.Dependencies{}); err == nil {
		t.Error("New took nothing for enough")
	}
}

// watched gives each transaction to a wrapper.
type watched struct {
	portal.Store
	wrap func(portal.Tx) portal.Tx
}

func (w watched) Write(ctx context.Context, f func(context.Context, portal.Tx) error) error {
	return w.Store.Write(ctx, func(ctx context.Context, tx portal.Tx) error { return f(ctx, w.wrap(tx)) })
}

type noAudit struct {
	portal.Tx
	err error
}

func (n noAudit) AppendAudit(context.Context, portal.AuditEntry) (portal.AuditEntry, error) {
	return portal.AuditEntry{}, n.err
}

// strictTx fails the test when something but the actor is read before the audit row.
type strictTx struct {
	portal.Tx
	t       *testing.T
	actor   portal.AccountID
	audited bool
}

func (s *strictTx) AppendAudit(ctx context.Context, e portal.AuditEntry) (portal.AuditEntry, error) {
	s.audited = true
	return s.Tx.AppendAudit(ctx, e)
}

func (s *strictTx) check(method string) {
	s.t.Helper()
	if !s.audited {
		s.t.Errorf("%s was called before the audit row was written", method)
	}
}

func (s *strictTx) Account(ctx context.Context, id portal.AccountID) (portal.Account, error) {
	if id != s.actor {
		s.check("Account")
	}
	return s.Tx.Account(ctx, id)
}

func (s *strictTx) AccountByEmail(ctx context.Context, key string) (portal.Account, error) {
	s.check("AccountByEmail")
	return s.Tx.AccountByEmail(ctx, key)
}

func (s *strictTx) FindEvents(ctx context.Context, f portal.EventFilter, after portal.EventCursor, limit int) ([]portal.Event, error) {
	s.check("FindEvents")
	return s.Tx.FindEvents(ctx, f, after, limit)
}

func (s *strictTx) SignInsByCountry(ctx context.Context, from, to time.Time) ([]portal.CountryCount, error) {
	s.check("SignInsByCountry")
	return s.Tx.SignInsByCountry(ctx, from, to)
}

func (s *strictTx) FailuresByNetwork(ctx context.Context, from, to time.Time, atLeast, limit int) ([]portal.NetworkFailures, error) {
	s.check("FailuresByNetwork")
	return s.Tx.FailuresByNetwork(ctx, from, to, atLeast, limit)
}

func (s *strictTx) AllHolds(ctx context.Context) ([]portal.Hold, error) {
	s.check("AllHolds")
	return s.Tx.AllHolds(ctx)
}

func (s *strictTx) Hold(ctx context.Context, id portal.HoldID) (portal.Hold, error) {
	s.check("Hold")
	return s.Tx.Hold(ctx, id)
}

func (s *strictTx) AuditLog(ctx context.Context, before int64, limit int) ([]portal.AuditEntry, error) {
	s.check("AuditLog")
	return s.Tx.AuditLog(ctx, before, limit)
}
