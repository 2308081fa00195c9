package web

import "net/http"

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
