package sqlstoretest

import (
	"context"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

var auditTests = map[string]func(*testing.T, portal.Store){
	"rows of the audit log are a chain":   testAuditChain,
	"the audit log is read in pages":      testAuditPages,
	"the audit log outlives who is in it": testAuditOfNobody,
}

func appendAudit(t *testing.T, s portal.Store, e portal.AuditEntry) portal.AuditEntry {
	t.Helper()
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		var err error
		e, err = tx.AppendAudit(ctx, e)
		return err
	})
	return e
}

func auditLog(t *testing.T, s portal.Store, before int64, limit int) []portal.AuditEntry {
	t.Helper()
	return read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.AuditEntry, error) {
		return tx.AuditLog(ctx, before, limit)
	})
}

// checkChain checks a whole log, newest first.
func checkChain(t *testing.T, log []portal.AuditEntry) {
	t.Helper()
	prev := portal.AuditEntry{}
	for i := len(log) - 1; i >= 0; i-- {
		if !log[i].Follows(prev) {
			t.Errorf("row %d does not follow row %d", log[i].Seq, prev.Seq)
		}
		prev = log[i]
	}
}

func testAuditChain(t *testing.T, s portal.Store) {
	equal(t, "empty log", []portal.AuditEntry{}, auditLog(t, s, 0, 10))
	kept := appendAudit(t, s, portal.AuditEntry{
		// What the caller sets of these does not count.
		Seq: 99, Prev: digest("prev"), Hash: digest("hash"),
		Time: start.Add(789).In(time.FixedZone("far", 3600)), Actor: "actor", Action: portal.AuditReveal, Subject: "subject", Reason: "a reason", Query: "a query",
	})
	want := portal.AuditEntry{
		Seq: 1, Time: start, Actor: "actor", Action: portal.AuditReveal, Subject: "subject", Reason: "a reason", Query: "a query",
	}
	want.Hash = want.Sum()
	equal(t, "first row as given back", want, kept)
	var second, third portal.AuditEntry
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		var err error
		if second, err = tx.AppendAudit(ctx, portal.AuditEntry{Time: minute(-5), Action: portal.AuditViewMap}); err != nil {
			return err
		}
		third, err = tx.AppendAudit(ctx, portal.AuditEntry{Time: minute(1), Action: portal.AuditViewMap})
		return err
	})
	log := auditLog(t, s, 0, 10)
	equal(t, "log", []portal.AuditEntry{third, second, want}, log)
	checkChain(t, log)
}

func testAuditPages(t *testing.T, s portal.Store) {
	for i := range 7 {
		appendAudit(t, s, portal.AuditEntry{Time: minute(i), Action: portal.AuditViewAudit})
	}
	numbers := func(before int64, limit int) []int64 {
		all := []int64{}
		for _, e := range auditLog(t, s, before, limit) {
			all = append(all, e.Seq)
		}
		return all
	}
	equal(t, "the newest", []int64{7, 6, 5}, numbers(0, 3))
	equal(t, "the next", []int64{4, 3, 2}, numbers(5, 3))
	equal(t, "the last", []int64{1}, numbers(2, 3))
	equal(t, "none", []int64{}, numbers(1, 3))
	equal(t, "no room", []int64{}, numbers(0, 0))
	equal(t, "less than no room", []int64{}, numbers(0, -1))
}

func testAuditOfNobody(t *testing.T, s portal.Store) {
	kept := appendAudit(t, s, portal.AuditEntry{Time: start, Actor: "gone", Subject: "gone too", Action: portal.AuditViewAccount})
	equal(t, "log", []portal.AuditEntry{kept}, auditLog(t, s, 0, 10))
}
