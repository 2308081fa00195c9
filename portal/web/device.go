package web

import "net/http"

type devicePage struct {
	Page
	Email string
}

func (s *Server) deviceForm(w http.ResponseWriter, r *request) error {
	return s.render(w, r, "device", &devicePage{Page: s.newPage(r, "Confirm this browser")})
}

func (s *Server) askDevice(w http.ResponseWriter, r *request) error {
	email := r.fields.trimmed("email")
	if err := s.auth.AskDevice(r.Context(), r.client, email); err != nil {
		return s.again(w, r, "device", &devicePage{Page: s.newPage(r, "Confirm this browser"), Email: email}, err)
	}
	return s.redirect(w, r, "/sign-in/device/sent", "")
}

func (s *Server) deviceSent(w http.ResponseWriter, r *request) error {
	return s.sent(w, r, "Check your mail", sentPage{
		Lead:   "If that address has an account, a link is on its way. Open it in this browser, then sign in. The link is good for half an hour.",
		Resend: "/sign-in/device", Button: "Send it again",
	})
}

// confirmDevice makes the browser known that the link is opened in.
func (s *Server) confirmDevice(w http.ResponseWriter, r *request) error {
	secret, err := s.auth.ConfirmDevice(r.Context(), r.client, linkSecret(r.fields.one("token")))
	if err != nil {
		return s.deadLink(w, r, deviceLink, err)
	}
	setCookie(w, cookieDevice, secret)
	return s.redirect(w, r, "/sign-in", noticeDeviceKnown)
}
