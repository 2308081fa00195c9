package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/lethe-dev/lethe/portal"
)

// Preferences is what the pages need of package preferences.
type Preferences interface {
	// WantedMails are the optional kinds that the person gets.
	WantedMails(ctx context.Context, p portal.Principal) ([]portal.MailKind, error)
	// SetWantedMails replaces them. KindInvalid for a kind that is no choice.
	SetWantedMails(ctx context.Context, p portal.Principal, wanted []portal.MailKind) error
}

const pathMails = "/account/mails"

func (s *Server) mailsRoutes() []Route {
	return []Route{
		{"GET", pathMails, signedIn, s.mailsForm},
		{"POST", pathMails, signedIn, s.setMails},
	}
}

type mailsPage struct {
	Page
	Kinds []mailChoice
}

// mailChoice is a kind of mail with a box to check.
type mailChoice struct {
	Kind    portal.MailKind
	Words   string
	Checked bool
}

// optionalMails say what the kinds of portal.OptionalMails tell.
var optionalMails = map[portal.MailKind]string{
	portal.MailRunStarted:     "A run has started",
	portal.MailRunFinished:    "A run has finished",
	portal.MailRunFailed:      "A run has failed, and what to do",
	portal.MailDatasetExpires: "A dataset will be erased soon",
}

// mailsPage is the form with what was chosen.
func (s *Server) mailsPage(r *request, wanted []portal.MailKind) (*mailsPage, error) {
	page := &mailsPage{Page: s.accountPage(r, "Mails", pathMails)}
	for _, kind := range portal.OptionalMails() {
		words, ok := optionalMails[kind]
		if !ok {
			return nil, fmt.Errorf("no words for mail kind %q", kind)
		}
		page.Kinds = append(page.Kinds, mailChoice{kind, words, slices.Contains(wanted, kind)})
	}
	return page, nil
}

func (s *Server) mailsForm(w http.ResponseWriter, r *request) error {
	wanted, err := s.preferences.WantedMails(r.Context(), *r.who)
	if err != nil {
		return err
	}
	page, err := s.mailsPage(r, wanted)
	if err != nil {
		return err
	}
	return s.render(w, r, "mails", page)
}

func (s *Server) setMails(w http.ResponseWriter, r *request) error {
	wanted := []portal.MailKind{}
	for _, kind := range r.fields.all("kind") {
		wanted = append(wanted, portal.MailKind(kind))
	}
	if err := s.preferences.SetWantedMails(r.Context(), *r.who, wanted); err != nil {
		page, wordless := s.mailsPage(r, wanted)
		if wordless != nil {
			return wordless
		}
		return s.again(w, r, "mails", page, err)
	}
	return s.redirect(w, r, pathMails, noticeMailsChosen)
}
