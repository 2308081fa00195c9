package review_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/review"
	"github.com/lethe-dev/lethe/portal/sqlstore"
)

// chain makes n rows that follow each other, oldest first.
func chain(n int) []portal.AuditEntry {
	var rows []portal.AuditEntry
	var last portal.AuditEntry
	for i := range n {
		row := portal.AuditEntry{
			Seq: int64(i + 1), Time: time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC), Actor: newID[portal.AccountID](3),
			Action: portal.AuditReveal, Subject: newID[portal.AccountID](4), Reason: why, Prev: last.Hash,
		}
		row.Hash = row.Sum()
		rows, last = append(rows, row), row
	}
	return rows
}

// logStore is a store that holds an audit log and nothing else.
type logStore struct {
	portal.Store
	portal.Tx
	rows []portal.AuditEntry
}

func (l *logStore) Read(ctx context.Context, f func(context.Context, portal.Tx) error) error {
	return f(ctx, l)
}

func (l *logStore) AuditLog(_ context.Context, before int64, limit int) ([]portal.AuditEntry, error) {
	var rows []portal.AuditEntry
	for _, row := range slices.Backward(l.rows) {
		if (before == 0 || row.Seq < before) && len(rows) < limit {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func TestTamperingShows(t *testing.T) {
	t.Parallel()
	const n = 1203
	resign := func(row *portal.AuditEntry) { row.Hash = row.Sum() }
	for name, test := range map[string]struct {
		tamper func([]portal.AuditEntry) []portal.AuditEntry
		want   int64
	}{
		"nothing":                      {func(r []portal.AuditEntry) []portal.AuditEntry { return r }, 0},
		"an empty log":                 {func([]portal.AuditEntry) []portal.AuditEntry { return nil }, 0},
		"a page exactly":               {func(r []portal.AuditEntry) []portal.AuditEntry { return r[:500] }, 0},
		"a reason":                     {func(r []portal.AuditEntry) []portal.AuditEntry { r[700].Reason = "nothing to see"; return r }, 701},
		"a reason, signed again":       {func(r []portal.AuditEntry) []portal.AuditEntry { r[700].Reason = "x"; resign(&r[700]); return r }, 702},
		"the actor of the first":       {func(r []portal.AuditEntry) []portal.AuditEntry { r[0].Actor = "x"; return r }, 1},
		"the newest":                   {func(r []portal.AuditEntry) []portal.AuditEntry { r[n-1].Subject = "x"; return r }, n},
		"the time by a microsecond":    {func(r []portal.AuditEntry) []portal.AuditEntry { r[9].Time = r[9].Time.Add(time.Microsecond); return r }, 10},
		"one taken out":                {func(r []portal.AuditEntry) []portal.AuditEntry { return slices.Delete(r, 600, 601) }, 602},
		"the first taken out":          {func(r []portal.AuditEntry) []portal.AuditEntry { return r[1:] }, 2},
		"one taken out, counted again": {func(r []portal.AuditEntry) []portal.AuditEntry { return recount(slices.Delete(r, 600, 601)) }, 601},
		"two, the first is told":       {func(r []portal.AuditEntry) []portal.AuditEntry { r[20].Query, r[900].Query = "x", "x"; return r }, 21},
		"one put in before the first": {func(r []portal.AuditEntry) []portal.AuditEntry {
			zero := portal.AuditEntry{Seq: 0, Actor: "x"}
			resign(&zero)
			return append([]portal.AuditEntry{zero}, r...)
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows := test.tamper(chain(n))
			service, err := review.New(review.Dependencies{
				Store: &logStore{rows: rows}, Now: (&portaltest.Clock{}).Now, Random: zeros{}, MAC: func(string, []byte) [32]byte { return [32]byte{} },
			})
			if err != nil {
				t.Fatal(err)
			}
			report, err := service.CheckAudit(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if report.BrokenAt != test.want || report.Rows != int64(len(rows)) {
				t.Errorf("broken at %d of %d rows, want %d of %d", report.BrokenAt, report.Rows, test.want, len(rows))
			}
			if len(rows) > 0 && report.Head != rows[len(rows)-1].Hash {
				t.Error("the head is not the newest row's hash")
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func recount(rows []portal.AuditEntry) []portal.AuditEntry {
	for i := range rows {
		rows[i].Seq = int64(i + 1)
	}
	return rows
}

func TestAuditLogPagesAndVerifiesWhatStaffDid(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.staff(t, portal.RoleSecurity)
	for range review.AuditPage + 5 {
		if _, err := b.service.Account(t.Context(), p, b.person.ID); err != nil {
			t.Fatal(err)
		}
	}
	first, err := b.service.AuditLog(t.Context(), p, 0)
	if err != nil || len(first) != review.AuditPage {
		t.Fatalf("the first page has %d rows, %v", len(first), err)
	}
	if first[0].Action != portal.AuditViewAudit {
		t.Errorf("the newest row is %q, want the look itself", first[0].Action)
	}
	second, err := b.service.AuditLog(t.Context(), p, first[len(first)-1].Seq)
	if err != nil || len(second) == 0 || second[0].Seq != first[len(first)-1].Seq-1 {
		t.Fatalf("the second page begins with %+v, %v", second, err)
	}
	report, err := b.service.VerifyAudit(t.Context(), p)
	if err != nil || report.BrokenAt != 0 || report.Rows != b.audit(t)[0].Seq || report.Head != b.audit(t)[0].Hash {
		t.Errorf("the report is %+v, %v", report, err)
	}
}

func TestWhoCanWriteToTheDatabaseIsFoundOut(t *testing.T) {
	t.Parallel()
	for name, tamper := range map[string][]string{
		"a reason is changed": {"DROP TRIGGER audit_stays", "UPDATE audit SET reason = 'nothing to see here' WHERE seq = 3"},
		"a row is taken away": {"DROP TRIGGER audit_keeps", "DELETE FROM audit WHERE seq = 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "portal.db")
			store, err := sqlstore.Open(t.Context(), path, sqlstore.Options{NoSync: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = store.Close() })
			if err := store.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			b := benchOn(t, store)
			p := b.staff(t, portal.RoleSecurity)
			for range 4 {
				if _, err := b.service.Reveal(t.Context(), client(), p, b.person.ID, why); err != nil {
					t.Fatal(err)
				}
			}
			raw, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = raw.Close() })
			if _, err := raw.ExecContext(t.Context(), tamper[1]); err == nil {
				t.Error("the database let the audit log be changed")
			}
			for _, statement := range tamper {
				if _, err := raw.ExecContext(t.Context(), statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			report, err := b.service.VerifyAudit(t.Context(), p)
			if err != nil || report.BrokenAt != 3 {
				t.Errorf("the report is %+v, %v; want broken at 3", report, err)
			}
		})
	}
}
