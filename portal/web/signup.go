package web

import "net/http"

type signUpPage struct {
	Page
	Email string
}

func (s *Server) signUpForm(w http.ResponseWriter, r *request) error {
	return s.render(w, r, "sign_up", &signUpPage{Page: s.newPage(r, "Sign up")})
}

// signUp answers the same whether or not the address has an account.
func (s *Server) signUp(w http.ResponseWriter, r *request) error {
	email := r.fields.trimmed("email")
	if err := s.auth.SignUp(r.Context(), r.client, email, r.fields.one("password")); err != nil {
		return s.again(w, r, "sign_up", &signUpPage{Page: s.newPage(r, "Sign up"), Email: email}, err)
	}
	return s.redirect(w, r, "/sign-up/sent", "")
}

var signUpSentPage = sentPage{
	Lead:   "We sent you a mail with a link. Open it to confirm your address; then you can sign in. The link is good for a day.",
	Resend: "/sign-up/resend", Button: "Send it again",
}

func (s *Server) signUpSent(w http.ResponseWriter, r *request) error {
	return s.sent(w, r, "Check your mail", signUpSentPage)
}

func (s *Server) resendVerification(w http.ResponseWriter, r *request) error {
	email := r.fields.trimmed("email")
	if err := s.auth.ResendVerification(r.Context(), r.client, email); err != nil {
		p := signUpSentPage
		p.Page, p.Email = s.newPage(r, "Check your mail"), email
		return s.again(w, r, "sent", &p, err)
	}
	return s.redirect(w, r, "/sign-up/sent", noticeLinkMailed)
}
