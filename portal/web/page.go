package web

import (
	"net/http"
	"strings"

	"github.com/lethe-dev/lethe/portal"
)

// Page is what the layout needs; each page's struct embeds it. Make it with newPage.
type Page struct {
	Service string
	Title   string
	// Who is signed in; nil for nobody.
	Who *Visitor
	// Nav is the menu at the side; empty for pages without one.
	Nav []NavItem
	// Menu is the one in the header; empty for who is not signed in.
	Menu []NavItem
	// Notice says what was just done; "" for nothing.
	Notice string
	// Problems are shown above the form, each linked to its field, and beside the field.
	Problems []Problem
	// Status is the answer's; 0 is 200.
	Status    int
	RequestID string
	// StartRun is where the button "Start Run" leads; "" hides it.
	StartRun string
	// Wide pages have tables.
	Wide bool
	// Live pages have parts that htmx replaces. Others don't load it: it would note their
	// address, and with it the secret of an emailed link, in the browser's sessionStorage.
	Live bool
	// Partial is true when htmx asked for a part of the page.
	Partial bool
}

// Visitor is who is signed in, as the header shows it.
type Visitor struct {
	Email string
	// Admin is where the staff's pages begin for this person; "" for none.
	Admin string
}

// NavItem is a line of the menu.
type NavItem struct {
	Path, Label string
	// Current marks the part of the site that the page is in, Exact the page itself.
	Current, Exact bool
}

// Problem is something that a person has to change. Field is "" when it is no field's.
type Problem struct{ Field, Message string }

func (p *Page) shell() *Page { return p }

func (p *Page) status() int {
	if p.Status == 0 {
		return http.StatusOK
	}
	return p.Status
}

// Problem gives what is wrong with a field, "" for nothing.
func (p *Page) Problem(field string) string {
	for _, problem := range p.Problems {
		if problem.Field == field {
			return problem.Message
		}
	}
	return ""
}

// newPage is a page without a menu.
func (s *Server) newPage(r *request, title string) Page {
	p := Page{Service: s.name, Title: title, RequestID: r.client.RequestID, Notice: noticeOf(r.Request), Partial: r.partial()}
	if r.who != nil {
		p.Who = &Visitor{Email: string(r.who.Account.Email), Admin: s.adminStart(*r.who)}
		p.Menu = s.mainMenu(r, p.Who.Admin)
		if s.runs != nil {
			p.StartRun = pathNewRun
		}
	}
	return p
}

// mainMenu is the header's: the parts of the site that there are, for who is signed in.
func (s *Server) mainMenu(r *request, admin string) []NavItem {
	var items []NavItem
	for _, item := range []NavItem{{Path: pathRuns, Label: "Runs"}, {Path: "/datasets", Label: "Datasets"}, {Path: "/receipts", Label: "Receipts"}, {Path: "/account", Label: "Account"}, {Path: admin, Label: "Admin"}} {
		under := item.Path
		if item.Path == admin {
			under = "/admin"
		} else if _, ok := s.routes["GET "+item.Path]; !ok {
			continue
		}
		if item.Path == "" {
			continue
		}
		item.Exact = r.URL.Path == item.Path
		item.Current = item.Exact || strings.HasPrefix(r.URL.Path, under+"/")
		items = append(items, item)
	}
	return items
}

// accountMenu is the menu of a person's own pages.
var accountMenu = []NavItem{
	{Path: "/account", Label: "Overview"},
	{Path: "/account/password", Label: "Password"},
	{Path: "/account/two-factor", Label: "Two-factor sign-in"},
	{Path: "/account/email", Label: "Email address"},
	{Path: "/account/sessions", Label: "Sessions"},
	{Path: "/account/tokens", Label: "API tokens"},
	{Path: pathMails, Label: "Mails"},
	{Path: "/account/history", Label: "Security history"},
}

// accountPage is one of the person's own pages; current is its path in the menu.
func (s *Server) accountPage(r *request, title, current string) Page {
	p := s.newPage(r, title)
	p.Nav = menu(accountMenu, current)
	return p
}

// menu marks the current line.
func menu(items []NavItem, current string) []NavItem {
	marked := make([]NavItem, len(items))
	for i, item := range items {
		item.Current = item.Path == current
		marked[i] = item
	}
	return marked
}

// adminStart is where the staff's pages begin for who is signed in; "" for none.
func (s *Server) adminStart(who portal.Principal) string {
	for _, line := range adminMenu {
		if who.May(line.needs) {
			return line.item.Path
		}
	}
	return ""
}
