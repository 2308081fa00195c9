package review_test

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/review"
)

// bench is a portal with staff, one person with everything that an account can have, and
// events.
type bench struct {
	store   portal.Store
	clock   *portaltest.Clock
	service *review.Service
	person  portal.Account
	hold    portal.HoldID
}

const why = "ticket 4711: the person asked for it"

func newBench(t *testing.T) *bench {
	t.Helper()
	return benchOn(t, portaltest.Store(t))
}

func benchOn(t *testing.T, store portal.Store) *bench {
	t.Helper()
	b := &bench{store: store, clock: &portaltest.Clock{}}
	b.service = b.serviceOn(t, store)
	b.person = portaltest.Account(portaltest.WithEmail("Marlene.Weber@mail.example.org"))
	b.write(t, func(ctx context.Context, tx portal.Tx) error {
		return errors.Join(
			tx.CreateAccount(ctx, b.person),
			tx.CreateSession(ctx, b.session(b.person.ID)),
			tx.CreateToken(ctx, portal.APIToken{
				ID: newID[portal.TokenID](1), Account: b.person.ID, Digest: portal.DigestOf("a token's secret"), Name: "laptop",
				Hint: "wxyz", Scopes: portal.Scopes(), CreatedAt: b.clock.Now(), ExpiresAt: b.clock.Now().Add(portal.DefaultTokenLife),
			}),
			tx.CreateLink(ctx, portal.Link{
				Digest: portal.DigestOf("a link's secret"), Account: b.person.ID, Purpose: portal.PurposeReset,
				Email: b.person.Email, CreatedAt: b.clock.Now(), ExpiresAt: b.clock.Now().Add(time.Hour),
			}),
			tx.PutDevice(ctx, portal.Device{
				Digest: portal.DigestOf("a browser"), Account: b.person.ID, CreatedAt: b.clock.Now(), LastSeen: b.clock.Now(),
			}),
			tx.PutPendingTOTP(ctx, seed(b.person.ID)),
			tx.ConfirmTOTP(ctx, seed(b.person.ID).ID, 1, b.clock.Now()),
		)
	})
	b.event(t, portal.EventSignIn, b.person.ID, "203.0.113.9", "DE")
	hold, err := b.service.PlaceHold(t.Context(), client(), b.staff(t, portal.RoleSecurity), b.newHold())
	if err != nil {
		t.Fatalf("place a hold: %v", err)
	}
	b.hold = hold.ID
	return b
}

// services counts them, so that no two make the same ids.
var services atomic.Uint64

func (b *bench) serviceOn(t *testing.T, store portal.Store) *review.Service {
	t.Helper()
	service, err := review.New(review.Dependencies{
		Store: store, Now: b.clock.Now, Random: portaltest.Random(1<<32 + services.Add(1)), MAC: portaltest.Keys(t).MAC,
	})
	if err != nil {
		t.Fatal(err)
	}
	return service
}

func (b *bench) newHold() portal.Hold {
	return portal.Hold{
		Case: "INC-17", Reason: why, Filter: portal.EventFilter{Account: b.person.ID}, ReviewAt: b.clock.Now().Add(30 * 24 * time.Hour),
	}
}

func newID[T ~string](seed uint64) T { return portal.NewID[T](portaltest.Random(1000 + seed)) }

func seed(account portal.AccountID) portal.TOTP {
	return portal.TOTP{
		ID: portal.FactorID(account), Account: account, Seed: portal.Sealed{KeyID: "k1", Box: []byte("sealed")}, CreatedAt: portaltest.Start,
	}
}

func (b *bench) session(account portal.AccountID) portal.Session {
	now := b.clock.Now()
	return portal.Session{
		ID: portal.SessionID(account), Account: account, Digest: portal.DigestOf("session of " + string(account)),
		CreatedAt: now, ExpiresAt: now.Add(portal.SessionAbsolute), AuthenticatedAt: now, LastSeenAt: now,
		SecondFactor: true, Browser: "Firefox on Linux", Country: "NL",
	}
}

// staff makes an account of a role that is signed in with its second factor just now.
func (b *bench) staff(t *testing.T, role portal.Role) portal.Principal {
	t.Helper()
	account := portaltest.Account(portaltest.WithRole(role))
	session := b.session(account.ID)
	b.write(t, func(ctx context.Context, tx portal.Tx) error {
		return errors.Join(tx.CreateAccount(ctx, account), tx.CreateSession(ctx, session))
	})
	return portal.Principal{Account: account, SecondFactor: true, Session: &session}
}

// event adds one at the clock's time and moves the clock on by a microsecond.
func (b *bench) event(t *testing.T, kind portal.EventKind, account portal.AccountID, ip, country string) portal.Event {
	t.Helper()
	from := portaltest.Client(ip)
	from.Country = country
	e := portal.NewEvent(portal.NewID[portal.EventID](portaltest.Random(uint64(b.clock.Now().UnixNano()))), b.clock.Now(), kind, account, from)
	b.write(t, func(ctx context.Context, tx portal.Tx) error { return tx.AddEvent(ctx, e) })
	b.clock.Advance(time.Microsecond)
	return e
}

func (b *bench) write(t *testing.T, f func(context.Context, portal.Tx) error) {
	t.Helper()
	if err := b.store.Write(t.Context(), f); err != nil {
		t.Fatalf("write: %v", err)
	}
}

func (b *bench) read(t *testing.T, f func(context.Context, portal.Tx) error) {
	t.Helper()
	if err := b.store.Read(t.Context(), f); err != nil {
		t.Fatalf("read: %v", err)
	}
}

// audit gives the whole log, newest first.
func (b *bench) audit(t *testing.T) []portal.AuditEntry {
	t.Helper()
	var rows []portal.AuditEntry
	b.read(t, func(ctx context.Context, tx portal.Tx) (err error) {
		rows, err = tx.AuditLog(ctx, 0, 1000)
		return err
	})
	return rows
}

func (b *bench) account(t *testing.T, id portal.AccountID) portal.Account {
	t.Helper()
	var a portal.Account
	b.read(t, func(ctx context.Context, tx portal.Tx) (err error) {
		a, err = tx.Account(ctx, id)
		return err
	})
	return a
}

// client is the staff member's own browser: nothing of it may reach another's account.
func client() portal.Client { return portaltest.Client("192.0.2.77") }

// call is one method with arguments that are good; got is what it gave.
type call struct {
	needs  portal.Permission
	stepUp bool
	action portal.AuditAction
	do     func(ctx context.Context, s *review.Service, p portal.Principal, b *bench) (got any, err error)
}

// calls are all methods. Acts come with an account in the right state.
func calls() map[string]call {
	span := func(b *bench) (from, to time.Time) {
		return b.clock.Now().Add(-time.Hour), b.clock.Now().Add(time.Hour)
	}
	return map[string]call{
		"search accounts": {portal.PermitAccounts, false, portal.AuditSearchAccounts, func(ctx context.Context, s *review.Service, p portal.Principal, b *bench) (any, error) {
			return s.SearchAccounts(ctx, p, string(b.person.Email))
		}},
		"view an account": {portal.PermitAccounts, false, portal.AuditViewAccount, func(ctx context.Context, s *review.Service, p portal.Principal, b *bench) (any, error) {
			return s.Account(ctx, p, b.person.ID)
		}},
		"reveal an address": {portal.PermitReveal, true, portal.AuditReveal, func(ctx context.Context, s *review.Service, p portal.Principal, b *bench) (any, error) {
			return s.Reveal(ctx, client(), p, b.person.ID, why)
		}},
		"search events": {portal.PermitEvents, false, portal.AuditSearchEvents, func(ctx context.Context, s *review.Service, p portal.Principal, _ *bench) (any, error) {
			events, _, err := s.Events(ctx, p, portal.EventFilter{Network: netip.MustParsePrefix("203.0.113.0/24")}, portal.EventCursor{})
			return events, err
		}},
		"see the map": {portal.PermitEvents, false, portal.AuditViewMap, func(ctx context.Context, s *review.Service, p portal.Principal, b *bench) (any, error) {
			from, to := span(b)
			return s.SignInMap(ctx, p, from, to)
		}},
		"see the flags": {portal.PermitEvents, false, portal.AuditViewFlags, func(ctx context.Context, s *review.Service, p portal.Principal, b *bench) (any, error) {
			from, to := span(b)
			return s.Flags(ctx, p, from, to)
		}},
		"see the holds": {portal.PermitHold, false, portal.AuditViewHolds, func(ctx context.Context, s *review.Service, p portal.Principal, _ *bench) (any, error) {
			return s.Holds(ctx, p)
		}},
		"place a hold": {portal.PermitHold, false, portal.AuditPlaceHold, func(ctx context.Context, s *review.Service, p portal.Principal, b *bench) (any, error) {
			return s.PlaceHold(ctx, client(), p, b.newHold())
		}},
		"review a hold": {portal.PermitHold, false, portal.AuditPlaceHold, func(ctx context.Context, s *review.Service, p portal.Principal, b *bench) (any, error) {
			return s.ReviewHold(ctx, client(), p, b.hold, why, b.clock.Now().Add(time.Hour))
		}},
		"release a hold": {portal.PermitHold, true, portal.AuditReleaseHold, func(ctx context.Context, s *review.Service, p portal.Principal, b *bench) (any, error) {
			return nil, s.ReleaseHold(ctx, client(), p, b.hold, why)
		}},
		"disable an account": {portal.PermitDisable, false, portal.AuditDisable, func(ctx context.Context, s *review.Service, p portal.Principal, b *bench) (any, error) {
			return nil, s.Disable(ctx, client(), p, b.person.ID, why)
		}},
		"enable an account": {portal.PermitDisable, true, portal.AuditEnable, func(ctx context.Context, s *review.Service, p portal.Principal, b *bench) (any, error) {
			disabled := b.person
			disabled.DisabledAt = b.clock.Now()
			err := b.store.Write(ctx, func(ctx context.Context, tx portal.Tx) error { return tx.UpdateAccount(ctx, disabled) })
			return nil, errors.Join(err, s.Enable(ctx, client(), p, b.person.ID, why))
		}},
		"end sessions": {portal.PermitDisable, false, portal.AuditEndSessions, func(ctx context.Context, s *review.Service, p portal.Principal, b *bench) (any, error) {
			return nil, s.EndSessions(ctx, client(), p, b.person.ID, why)
		}},
		"set a role": {portal.PermitRoles, true, portal.AuditSetRole, func(ctx context.Context, s *review.Service, p portal.Principal, b *bench) (any, error) {
			return nil, s.SetRole(ctx, client(), p, b.person.ID, portal.RoleSupport)
		}},
		"read the audit log": {portal.PermitAudit, false, portal.AuditViewAudit, func(ctx context.Context, s *review.Service, p portal.Principal, _ *bench) (any, error) {
			return s.AuditLog(ctx, p, 0)
		}},
		"verify the audit log": {portal.PermitAudit, false, portal.AuditViewAudit, func(ctx context.Context, s *review.Service, p portal.Principal, _ *bench) (any, error) {
			return s.VerifyAudit(ctx, p)
		}},
	}
}
