package web

import "net/http"

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
