package web

import (
	"net/http"

	"github.com/lethe-dev/lethe/portal"
)

type forgotPage struct {
	Page
	Email string
}

func (s *Server) forgotForm(w http.ResponseWriter, r *request) error {
	return s.render(w, r, "forgot", &forgotPage{Page: s.newPage(r, "Set a new password")})
}

// askReset answers the same whether or not the address has an account.
func (s *Server) askReset(w http.ResponseWriter, r *request) error {
	email := r.fields.trimmed("email")
	if err := s.auth.AskReset(r.Context(), r.client, email); err != nil {
		return s.again(w, r, "forgot", &forgotPage{Page: s.newPage(r, "Set a new password"), Email: email}, err)
	}
	return s.redirect(w, r, "/forgot/sent", "")
}

func (s *Server) forgotSent(w http.ResponseWriter, r *request) error {
	return s.sent(w, r, "Check your mail", sentPage{
		Lead:   "If that address has an account, a link to set a new password is on its way. It is good for half an hour.",
		Resend: "/forgot", Button: "Send it again",
	})
}

// resetLink has its own form, so only what a dead one says is used.
var resetLink = link{deadLead: "Ask for a new one.", deadButton: "Ask for a new link", deadTarget: "/forgot"}

type resetPage struct {
	Page
	Token     string
	NeedsCode bool
}

func (s *Server) resetForm(w http.ResponseWriter, r *request) error {
	secret := linkSecret(r.URL.Query().Get("token"))
	needsCode, err := s.auth.LinkState(r.Context(), secret, portal.PurposeReset)
	if err != nil {
		return s.deadLink(w, r, resetLink, err)
	}
	return s.render(w, r, "reset", &resetPage{Page: s.newPage(r, "Set a new password"), Token: secret, NeedsCode: needsCode})
}

func (s *Server) reset(w http.ResponseWriter, r *request) error {
	secret := linkSecret(r.fields.one("token"))
	err := s.auth.Reset(r.Context(), r.client, secret, r.fields.one("password"), r.fields.trimmed("code"))
	if err == nil {
		forget(w)
		return s.redirect(w, r, "/sign-in", noticePasswordReset)
	}
	needsCode, dead := s.auth.LinkState(r.Context(), secret, portal.PurposeReset)
	if dead != nil {
		return s.deadLink(w, r, resetLink, dead)
	}
	return s.again(w, r, "reset", &resetPage{Page: s.newPage(r, "Set a new password"), Token: secret, NeedsCode: needsCode}, err)
}
