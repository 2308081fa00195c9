package web

import (
	"net/http"

	"github.com/lethe-dev/lethe/portal"
)

// adminAccountsPage is the search of accounts.
type adminAccountsPage struct {
	Page
	Query    string
	Searched bool
	Accounts []portal.AccountSummary
}

func (s *Server) adminAccountsPage(r *request) *adminAccountsPage {
	return &adminAccountsPage{Page: s.adminPage(r, "Accounts", pathAdminAccounts)}
}

func (s *Server) adminAccounts(w http.ResponseWriter, r *request) error {
	return s.render(w, r, "admin_accounts", s.adminAccountsPage(r))
}

func (s *Server) adminSearchAccounts(w http.ResponseWriter, r *request) error {
	page := s.adminAccountsPage(r)
	page.Query = r.fields.trimmed("q")
	found, err := s.review.SearchAccounts(r.Context(), *r.who, page.Query)
	if err != nil {
		return s.again(w, r, "admin_accounts", page, err)
	}
	page.Searched, page.Accounts = true, found
	return s.render(w, r, "admin_accounts", page)
}

// adminAccountPage is one account, with personal data masked.
type adminAccountPage struct {
	Page
	portal.AccountView
	EventRows []eventRow
	// What the person who looks may do with it.
	MayReveal, MayEvents, MayHold, MayDisable, MayRole bool
	Own                                                bool
}

func (s *Server) adminAccount(w http.ResponseWriter, r *request) error {
	view, err := s.review.Account(r.Context(), *r.who, portal.AccountID(r.PathValue("id")))
	if err != nil {
		return err
	}
	who := *r.who
	return s.render(w, r, "admin_account", &adminAccountPage{
		Page: s.adminPage(r, "Account", pathAdminAccounts), AccountView: view, EventRows: s.eventRows(view.Events),
		MayReveal: who.May(portal.PermitReveal), MayEvents: who.May(portal.PermitEvents), MayHold: who.May(portal.PermitHold),
		MayDisable: who.May(portal.PermitDisable), MayRole: who.May(portal.PermitRoles), Own: who.Account.ID == view.ID,
	})
}

// act is something that staff do to one account, after a form that asks why.
type act struct {
	Path, Heading, Words, Button string
	Danger                       bool
}

var (
	actReveal = act{
		Path: "reveal", Heading: "Show the address", Button: "Show the address",
		Words: "You will see the email address of this account in full. That you did, and your reason, is kept in the audit log.",
	}
	actDisable = act{
		Path: "disable", Heading: "Disable the account", Button: "Disable the account", Danger: true,
		Words: "Its sessions end, its API tokens are revoked, and nobody can sign in to it until it is enabled again. The person is told by mail, without the reason.",
	}
	actEnable = act{
		Path: "enable", Heading: "Enable the account", Button: "Enable the account",
		Words: "The person can sign in again, with the same password and second factor, and is told by mail.",
	}
	actEndSessions = act{
		Path: "end-sessions", Heading: "End all sessions", Button: "End all sessions", Danger: true,
		Words: "Every browser that is signed in to this account is signed out. The person can sign in again.",
	}
	actRole = act{
		Path: "role", Heading: "Change the role", Button: "Change the role",
		Words: "Staff see other people's data, masked, and each look is kept in the audit log. A role counts only with a second factor. The person's sessions end, and the person is told by mail.",
	}
)

// adminActPage is the form of an act.
type adminActPage struct {
	Page
	act
	ID     portal.AccountID
	Reason string
	// Roles is for actRole, which asks for a role and no reason.
	Roles []roleChoice
}

type roleChoice struct {
	Role     portal.Role
	Selected bool
}

func (s *Server) adminActPage(r *request, a act) *adminActPage {
	page := &adminActPage{
		Page: s.adminPage(r, a.Heading, pathAdminAccounts), act: a,
		ID: portal.AccountID(r.PathValue("id")), Reason: r.fields.one("reason"),
	}
	if a == actRole {
		for _, role := range portal.Roles() {
			page.Roles = append(page.Roles, roleChoice{role, r.fields.one("role") == string(role)})
		}
	}
	return page
}

// adminActForm shows the form of an act. It names the account by its id, and reads nothing.
func (s *Server) adminActForm(a act) handler {
	return func(w http.ResponseWriter, r *request) error {
		if !portal.LooksLikeID(r.PathValue("id")) {
			return portal.ErrNotFound
		}
		return s.render(w, r, "admin_act", s.adminActPage(r, a))
	}
}

// adminRevealedPage shows an address. It is the answer to a form, so that no URL shows it.
type adminRevealedPage struct {
	Page
	ID    portal.AccountID
	Email portal.Email
}

func (s *Server) adminReveal(w http.ResponseWriter, r *request) error {
	page := s.adminActPage(r, actReveal)
	email, err := s.review.Reveal(r.Context(), r.client, *r.who, page.ID, page.Reason)
	if err != nil {
		return s.again(w, r, "admin_act", page, err)
	}
	return s.render(w, r, "admin_revealed", &adminRevealedPage{s.adminPage(r, "Address", pathAdminAccounts), page.ID, email})
}

func (s *Server) adminDisable(w http.ResponseWriter, r *request) error {
	page := s.adminActPage(r, actDisable)
	return s.acted(w, r, page, noticeAccountDisabled, s.review.Disable(r.Context(), r.client, *r.who, page.ID, page.Reason))
}

func (s *Server) adminEnable(w http.ResponseWriter, r *request) error {
	page := s.adminActPage(r, actEnable)
	return s.acted(w, r, page, noticeAccountEnabled, s.review.Enable(r.Context(), r.client, *r.who, page.ID, page.Reason))
}

func (s *Server) adminEndSessions(w http.ResponseWriter, r *request) error {
	page := s.adminActPage(r, actEndSessions)
	return s.acted(w, r, page, noticeAllEnded, s.review.EndSessions(r.Context(), r.client, *r.who, page.ID, page.Reason))
}

func (s *Server) adminSetRole(w http.ResponseWriter, r *request) error {
	page := s.adminActPage(r, actRole)
	role := portal.Role(r.fields.one("role"))
	return s.acted(w, r, page, noticeRoleSet, s.review.SetRole(r.Context(), r.client, *r.who, page.ID, role))
}

// acted goes back to the account, or shows the form again with what was wrong. Who has
// ended the own sessions is asked to sign in by the page that comes next.
func (s *Server) acted(w http.ResponseWriter, r *request, page *adminActPage, what notice, err error) error {
	if err != nil {
		return s.again(w, r, "admin_act", page, err)
	}
	return s.redirect(w, r, pathAdminAccounts+"/"+string(page.ID), what)
}
