package web

import (
	"net/http"

	"github.com/lethe-dev/lethe/portal"
)

// Where the staff's pages are.
const (
	pathAdminEvents   = "/admin/events"
	pathAdminMap      = "/admin/map"
	pathAdminFlags    = "/admin/flags"
	pathAdminAccounts = "/admin/accounts"
	pathAdminHolds    = "/admin/holds"
	pathAdminAudit    = "/admin/audit"
)

// adminRoutes are the staff's pages. Searches are posted, since what is searched for is
// personal and URLs are kept in histories.
func (s *Server) adminRoutes() []Route {
	return []Route{
		{"GET", pathAdminEvents, staff(portal.PermitEvents), s.adminEvents},
		{"POST", pathAdminEvents, staff(portal.PermitEvents), s.adminSearchEvents},
		{"GET", pathAdminMap, staff(portal.PermitEvents), s.adminMap},
		{"GET", pathAdminFlags, staff(portal.PermitEvents), s.adminFlags},
		{"GET", pathAdminAccounts, staff(portal.PermitAccounts), s.adminAccounts},
		{"POST", pathAdminAccounts, staff(portal.PermitAccounts), s.adminSearchAccounts},
		{"GET", pathAdminAccounts + "/{id}", staff(portal.PermitAccounts), s.adminAccount},
		{"GET", pathAdminAccounts + "/{id}/reveal", staffSteppedUp(portal.PermitReveal), s.adminActForm(actReveal)},
		{"POST", pathAdminAccounts + "/{id}/reveal", staffSteppedUp(portal.PermitReveal), s.adminReveal},
		{"GET", pathAdminAccounts + "/{id}/disable", staff(portal.PermitDisable), s.adminActForm(actDisable)},
		{"POST", pathAdminAccounts + "/{id}/disable", staff(portal.PermitDisable), s.adminDisable},
		{"GET", pathAdminAccounts + "/{id}/enable", staffSteppedUp(portal.PermitDisable), s.adminActForm(actEnable)},
		{"POST", pathAdminAccounts + "/{id}/enable", staffSteppedUp(portal.PermitDisable), s.adminEnable},
		{"GET", pathAdminAccounts + "/{id}/end-sessions", staff(portal.PermitDisable), s.adminActForm(actEndSessions)},
		{"POST", pathAdminAccounts + "/{id}/end-sessions", staff(portal.PermitDisable), s.adminEndSessions},
		{"GET", pathAdminAccounts + "/{id}/role", staffSteppedUp(portal.PermitRoles), s.adminActForm(actRole)},
		{"POST", pathAdminAccounts + "/{id}/role", staffSteppedUp(portal.PermitRoles), s.adminSetRole},
		{"GET", pathAdminHolds, staff(portal.PermitHold), s.adminHolds},
		{"GET", pathAdminHolds + "/new", staff(portal.PermitHold), s.adminHoldForm},
		{"POST", pathAdminHolds + "/new", staff(portal.PermitHold), s.adminPlaceHold},
		{"GET", pathAdminHolds + "/{id}/review", staff(portal.PermitHold), s.adminHoldActForm(holdReview)},
		{"POST", pathAdminHolds + "/{id}/review", staff(portal.PermitHold), s.adminReviewHold},
		{"GET", pathAdminHolds + "/{id}/release", staffSteppedUp(portal.PermitHold), s.adminHoldActForm(holdRelease)},
		{"POST", pathAdminHolds + "/{id}/release", staffSteppedUp(portal.PermitHold), s.adminReleaseHold},
		{"GET", pathAdminAudit, staff(portal.PermitAudit), s.adminAudit},
		{"POST", pathAdminAudit + "/verify", staff(portal.PermitAudit), s.adminVerify},
	}
}

// adminMenu is the menu of the staff's pages, each with what it needs. The first that a
// person may get is where "Admin" in the header leads.
var adminMenu = []struct {
	item  NavItem
	needs portal.Permission
}{
	{NavItem{Path: pathAdminEvents, Label: "Security events"}, portal.PermitEvents},
	{NavItem{Path: pathAdminMap, Label: "Sign-in map"}, portal.PermitEvents},
	{NavItem{Path: pathAdminFlags, Label: "Flags"}, portal.PermitEvents},
	{NavItem{Path: pathAdminAccounts, Label: "Accounts"}, portal.PermitAccounts},
	{NavItem{Path: pathAdminHolds, Label: "Holds"}, portal.PermitHold},
	{NavItem{Path: pathAdminAudit, Label: "Audit log"}, portal.PermitAudit},
}

// adminPage is one of the staff's pages; current is its path in the menu.
func (s *Server) adminPage(r *request, title, current string) Page {
	p := s.newPage(r, title)
	var items []NavItem
	for _, line := range adminMenu {
		if r.who.May(line.needs) {
			items = append(items, line.item)
		}
	}
	p.Nav, p.Wide = menu(items, current), true
	return p
}

// What staff have just done.
const (
	noticeAccountDisabled notice = "account-disabled"
	noticeAccountEnabled  notice = "account-enabled"
	noticeAllEnded        notice = "all-sessions-ended"
	noticeRoleSet         notice = "role-set"
	noticeHoldPlaced      notice = "hold-placed"
	noticeHoldReviewed    notice = "hold-reviewed"
	noticeHoldReleased    notice = "hold-released"
)

func init() {
	notices[noticeAccountDisabled] = "The account is disabled. Its sessions have ended, its API tokens are revoked, and the person was told by mail."
	notices[noticeAccountEnabled] = "The account is enabled again, and the person was told by mail."
	notices[noticeAllEnded] = "All sessions of the account have ended."
	notices[noticeRoleSet] = "The role was changed. The person's sessions have ended, and the person was told by mail."
	notices[noticeHoldPlaced] = "The hold is placed."
	notices[noticeHoldReviewed] = "The hold has a new review date."
	notices[noticeHoldReleased] = "The hold is released. Rows that are too old go at the next purge."
}

// refill answers a form with problems that were found before the use case was asked.
func (s *Server) refill(w http.ResponseWriter, r *request, name string, data pageData, problems []Problem) error {
	page := data.shell()
	page.Status, page.Problems = http.StatusUnprocessableEntity, problems
	return s.render(w, r, name, data)
}
