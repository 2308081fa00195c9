package sqlstore

import (
	"context"
	"errors"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

const auditColumns = `seq, at, actor, action, subject, reason, query, prev, hash`

func scanAudit(r row) (portal.AuditEntry, error) {
	var e portal.AuditEntry
	err := r.Scan(&e.Seq, into(&e.Time), &e.Actor, &e.Action, &e.Subject, &e.Reason, &e.Query, into(&e.Prev), into(&e.Hash))
	return e, err
}

func (t *tx) AppendAudit(ctx context.Context, e portal.AuditEntry) (portal.AuditEntry, error) {
	newest, err := one(ctx, t, "find the newest row of the audit log", scanAudit,
		`SELECT `+auditColumns+` FROM audit ORDER BY seq DESC LIMIT 1`)
	if err != nil && !errors.Is(err, portal.ErrNotFound) {
		return portal.AuditEntry{}, err
	}
	e.Time = e.Time.UTC().Truncate(time.Microsecond)
	e.Seq, e.Prev = newest.Seq+1, newest.Hash
	e.Hash = e.Sum()
	_, err = t.exec(ctx, "append to the audit log",
		`INSERT INTO audit (`+auditColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		e.Seq, e.Time, e.Actor, e.Action, e.Subject, e.Reason, e.Query, e.Prev, e.Hash)
	if errors.Is(err, portal.ErrConflict) {
		// Somebody has taken the number meanwhile. That is no answer to the caller.
		t.failed, t.again = err, true
	}
	if err != nil {
		return portal.AuditEntry{}, err
	}
	return e, nil
}

func (t *tx) AuditLog(ctx context.Context, before int64, limit int) ([]portal.AuditEntry, error) {
	where, args := ``, []any{}
	if before != 0 {
		where, args = `WHERE seq < ?`, []any{before}
	}
	return list(ctx, t, "read the audit log", scanAudit,
		`SELECT `+auditColumns+` FROM audit `+where+` ORDER BY seq DESC LIMIT ?`, append(args, max(limit, 0))...)
}
