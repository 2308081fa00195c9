package sqlstoretest

import (
	"context"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

var textTests = map[string]func(*testing.T, portal.Store){
	"unusual texts come back as they were":            testUnusualTexts,
	"texts that not every database keeps are refused": testRefusedTexts,
	"times come back in UTC in microseconds":          testTimes,
}

func testUnusualTexts(t *testing.T, s portal.Store) {
	texts := []string{
		"", " ", "'; DROP TABLE accounts; --", `"quoted" \ and \'`, "? $1 %s %", "line\nbreak\ttab\r",
		"Grüße, 你好, עברית, 🙂", "e\u0301 is not \u00e9", "\ufffd\U0010ffff\u0001\u007f", "NULL", "\u202eback",
	}
	a := account(t, s)
	for i, text := range texts {
		token := portal.APIToken{
			ID: portal.TokenID(rune('a' + i)), Account: a.ID, Digest: digest(text), Name: text, Hint: text,
			Scopes: []portal.Scope{portal.Scope(text), portal.ScopeAccountRead}, CreatedAt: start, ExpiresAt: minute(1),
		}
		entry := portal.AuditEntry{Time: start, Action: portal.AuditReveal, Reason: text, Query: text}
		write(t, s, func(ctx context.Context, tx portal.Tx) error {
			if err := tx.CreateToken(ctx, token); err != nil {
				return err
			}
			var err error
			entry, err = tx.AppendAudit(ctx, entry)
			return err
		})
		got := read(t, s, func(ctx context.Context, tx portal.Tx) (portal.APIToken, error) {
			return tx.TokenByDigest(ctx, token.Digest)
		})
		equal(t, "token", token, got)
		log := read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.AuditEntry, error) { return tx.AuditLog(ctx, 0, 1) })
		equal(t, "audit entry", []portal.AuditEntry{entry}, log)
	}
}

func testRefusedTexts(t *testing.T, s portal.Store) {
	a := account(t, s)
	for _, text := range []string{"zero \x00 byte", "broken \xff UTF-8", "half \xe2\x82", "surrogate \xed\xa0\x80"} {
		b := portaltest.Account(func(b *portal.Account) { b.PasswordHash = text })
		write(t, s, func(ctx context.Context, tx portal.Tx) error {
			refused(t, "account", tx.CreateAccount(ctx, b))
			_, err := tx.FindAccounts(ctx, text, 1)
			refused(t, "search", err)
			_, err = tx.AccountByEmail(ctx, text)
			refused(t, "address", err)
			refused(t, "event", tx.AddEvent(ctx, portal.Event{ID: "event", Time: start, Kind: portal.EventSignIn, UserAgent: text}))
			_, err = tx.AppendAudit(ctx, portal.AuditEntry{Time: start, Action: portal.AuditReveal, Reason: text})
			refused(t, "audit entry", err)
			_, err = tx.PlaceHold(ctx, portal.Hold{ID: "hold", Filter: portal.EventFilter{Country: text}, ReviewAt: start, PlacedAt: start})
			refused(t, "hold", err)
			a.Role = portal.RoleAdmin
			return tx.UpdateAccount(ctx, a) // The transaction goes on.
		})
		got := read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Account, error) { return tx.Account(ctx, a.ID) })
		equal(t, "account", a, got)
		holds := read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.Hold, error) { return tx.AllHolds(ctx) })
		equal(t, "holds", []portal.Hold{}, holds)
	}
}

func testTimes(t *testing.T, s portal.Store) {
	zone := time.FixedZone("far", -11*3600)
	moments := map[string]time.Time{
		"nanoseconds": time.Date(2026, time.March, 2, 9, 0, 0, 123456789, zone),
		"long ago":    time.Date(1912, time.June, 23, 0, 0, 0, 999, time.UTC),
		"far away":    time.Date(9999, time.December, 31, 23, 59, 59, 999999999, time.UTC),
		"1970":        time.Unix(0, 0),
	}
	for name, moment := range moments {
		a := account(t, s, func(a *portal.Account) { a.CreatedAt, a.DisabledAt = moment, moment })
		got := read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Account, error) { return tx.Account(ctx, a.ID) })
		want := moment.UTC().Truncate(time.Microsecond)
		equal(t, name+": a time that always is", want, got.CreatedAt)
		equal(t, name+": a time that may be", want, got.DisabledAt)
	}
}
