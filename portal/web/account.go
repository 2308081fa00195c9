package web

import (
	"net/http"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// overviewPage is the overview of a person's account.
type overviewPage struct {
	Page
	Email             string
	Role              portal.Role
	SecondFactor      bool
	CodesLeft         int
	PasswordChangedAt time.Time
	CreatedAt         time.Time
	Sessions, Tokens  int
	Events            []eventRow
}

// overviewEvents is how many of the newest events the overview shows.
const overviewEvents = 5

func (s *Server) account(w http.ResponseWriter, r *request) error {
	a := r.who.Account
	page := &overviewPage{
		Page: s.accountPage(r, "Your account", "/account"), Email: string(a.Email), Role: a.Role,
		SecondFactor: r.who.SecondFactor, PasswordChangedAt: a.PasswordChangedAt, CreatedAt: a.CreatedAt,
	}
	sessions, err := s.auth.Sessions(r.Context(), *r.who)
	if err != nil {
		return err
	}
	tokens, err := s.auth.Tokens(r.Context(), *r.who)
	if err != nil {
		return err
	}
	events, err := s.auth.OwnEvents(r.Context(), *r.who, portal.EventCursor{}, overviewEvents)
	if err != nil {
		return err
	}
	if page.SecondFactor {
		if page.CodesLeft, err = s.auth.RecoveryCodesLeft(r.Context(), *r.who); err != nil {
			return err
		}
	}
	page.Sessions, page.Tokens, page.Events = len(sessions), len(tokens), s.eventRows(events)
	return s.render(w, r, "account", page)
}

type passwordPage struct {
	Page
	Email string // hidden, so that password managers know whose password it is
}

func (s *Server) passwordPage(r *request) *passwordPage {
	return &passwordPage{Page: s.accountPage(r, "Password", "/account/password"), Email: string(r.who.Account.Email)}
}

func (s *Server) passwordForm(w http.ResponseWriter, r *request) error {
	return s.render(w, r, "password", s.passwordPage(r))
}

func (s *Server) changePassword(w http.ResponseWriter, r *request) error {
	session, err := s.auth.ChangePassword(r.Context(), r.client, *r.who, r.fields.one("password"))
	if err != nil {
		return s.again(w, r, "password", s.passwordPage(r), err)
	}
	begin(w, session)
	return s.redirect(w, r, "/account", noticePasswordChanged)
}

type emailPage struct {
	Page
	Current, Email string
}

func (s *Server) emailPage(r *request) *emailPage {
	return &emailPage{Page: s.accountPage(r, "Email address", "/account/email"), Current: string(r.who.Account.Email)}
}

func (s *Server) emailForm(w http.ResponseWriter, r *request) error {
	return s.render(w, r, "email", s.emailPage(r))
}

func (s *Server) changeEmail(w http.ResponseWriter, r *request) error {
	page := s.emailPage(r)
	page.Email = r.fields.trimmed("email")
	if err := s.auth.ChangeEmail(r.Context(), r.client, *r.who, page.Email); err != nil {
		return s.again(w, r, "email", page, err)
	}
	return s.redirect(w, r, "/account", noticeEmailAsked)
}
