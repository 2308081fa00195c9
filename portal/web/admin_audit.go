package web

import (
	"net/http"
	"strconv"

	"github.com/lethe-dev/lethe/portal"
)

// adminAuditPage is a page of the audit log.
type adminAuditPage struct {
	Page
	Rows []portal.AuditEntry
	// Older is the sequence number before which the next page is; 0 for the last one.
	Older int64
	// MayView reports whether accounts can be opened from here.
	MayView bool
}

func (s *Server) adminAudit(w http.ResponseWriter, r *request) error {
	var before int64
	if text := r.URL.Query().Get("before"); text != "" {
		var err error
		if before, err = strconv.ParseInt(text, 10, 64); err != nil || before < 1 {
			return portal.ErrNotFound
		}
	}
	rows, err := s.review.AuditLog(r.Context(), *r.who, before)
	if err != nil {
		return err
	}
	page := &adminAuditPage{Page: s.adminPage(r, "Audit log", pathAdminAudit), Rows: rows, MayView: r.who.May(portal.PermitAccounts)}
	if n := len(rows); n > 0 && rows[n-1].Seq > 1 {
		page.Older = rows[n-1].Seq
	}
	return s.render(w, r, "admin_audit", page)
}

// adminVerifiedPage tells what a check of the log's chain found.
type adminVerifiedPage struct {
	Page
	portal.AuditReport
}

func (s *Server) adminVerify(w http.ResponseWriter, r *request) error {
	report, err := s.review.VerifyAudit(r.Context(), *r.who)
	if err != nil {
		return err
	}
	return s.render(w, r, "admin_verified", &adminVerifiedPage{s.adminPage(r, "Audit log verified", pathAdminAudit), report})
}
