package web

import (
	"net/http"

	"github.com/lethe-dev/lethe/portal"
)

type landingPage struct{ Page }

func (s *Server) landing(w http.ResponseWriter, r *request) error {
	return s.render(w, r, "landing", &landingPage{Page: s.newPage(r, "")})
}

// favicon is for browsers that ask for it without having been told to.
func (s *Server) favicon(w http.ResponseWriter, r *request) error {
	path, err := s.assets.path("logo.svg")
	if err != nil {
		return err
	}
	http.Redirect(w, r.Request, path, http.StatusSeeOther)
	return nil
}

// robots keeps search engines out: there is nothing for them but the first page.
func (s *Server) robots(w http.ResponseWriter, _ *request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := w.Write([]byte("User-agent: *\nAllow: /$\nDisallow: /\n"))
	return err
}

// wellKnownPassword tells password managers where a password is changed (W3C: A Well-Known
// URL for Changing Passwords).
func (s *Server) wellKnownPassword(w http.ResponseWriter, r *request) error {
	return s.redirect(w, r, "/account/password", "")
}

// sentPage says that a mail is on its way, if there is reason for one.
type sentPage struct {
	Page
	Lead string
	// Resend is where another mail can be asked for by entering the address again.
	Resend, Button string
	Email          string
}

func (s *Server) sent(w http.ResponseWriter, r *request, title string, p sentPage) error {
	p.Page = s.newPage(r, title)
	return s.render(w, r, "sent", &p)
}

// told reports whether the error has words that a form can show.
func told(err error) bool {
	switch portal.KindOf(err) {
	case portal.KindInvalid, portal.KindUnauthenticated, portal.KindNotFound, portal.KindConflict, portal.KindTooMany:
		return true
	default:
		return false
	}
}
