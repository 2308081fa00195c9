package review

import (
	"context"
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// AuditPage is how many rows one page of the audit log holds.
const AuditPage = 50

// verifyBatch is how many rows are in memory while the chain is checked.
const verifyBatch = 500

// AuditLog gives a page of the audit log, newest first, of rows before a sequence number
// (0: from the newest, which is the row of this very look).
func (s *Service) AuditLog(ctx context.Context, p portal.Principal, before int64) ([]portal.AuditEntry, error) {
	var rows []portal.AuditEntry
	t := task{needs: portal.PermitAudit, action: portal.AuditViewAudit, query: fmt.Sprintf("before=%d", before)}
	err := s.do(ctx, p, t, func(ctx context.Context, tx portal.Tx, _ time.Time) error {
		var err error
		if rows, err = tx.AuditLog(ctx, before, AuditPage); err != nil {
			return fmt.Errorf("read the audit log: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// VerifyAudit checks the whole chain. The look itself is audited and committed first, and
// the check reads a snapshot after it: it takes long on a long log and nobody should wait
// for it, and it shows nothing but hashes.
func (s *Service) VerifyAudit(ctx context.Context, p portal.Principal) (portal.AuditReport, error) {
	t := task{needs: portal.PermitAudit, action: portal.AuditViewAudit, query: "verify"}
	err := s.do(ctx, p, t, func(context.Context, portal.Tx, time.Time) error { return nil })
	if err != nil {
		return portal.AuditReport{}, err
	}
	return s.CheckAudit(ctx)
}

// CheckAudit is VerifyAudit for a command on the server, which has nobody to audit.
func (s *Service) CheckAudit(ctx context.Context) (portal.AuditReport, error) {
	var report portal.AuditReport
	err := s.Store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		report, err = checkChain(ctx, tx)
		return err
	})
	if err != nil {
		return portal.AuditReport{}, err
	}
	return report, nil
}

// checkChain walks from the newest row to the first. A row that does not follow the one
// below it is broken, and so is a first row that does not begin the chain; the lowest one
// found is told. Rows cut off at the end leave a chain that is whole: only a Head that was
// kept somewhere else shows that.
func checkChain(ctx context.Context, log portal.Audit) (portal.AuditReport, error) {
	var report portal.AuditReport
	var above portal.AuditEntry
	for before := int64(0); ; {
		rows, err := log.AuditLog(ctx, before, verifyBatch)
		if err != nil {
			return portal.AuditReport{}, fmt.Errorf("read the audit log: %w", err)
		}
		for _, row := range rows {
			if report.Rows == 0 {
				report.Head = row.Hash
			} else if !above.Follows(row) {
				report.BrokenAt = max(above.Seq, 1)
			}
			report.Rows++
			above = row
		}
		if len(rows) < verifyBatch || above.Seq <= 1 {
			break
		}
		before = above.Seq
	}
	if report.Rows > 0 && !above.Follows(portal.AuditEntry{}) {
		report.BrokenAt = max(above.Seq, 1)
	}
	return report, nil
}
