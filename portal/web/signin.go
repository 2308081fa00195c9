package web

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/lethe-dev/lethe/portal"
)

type signInPage struct {
	Page
	Email string
	// Next is where the person was going; "" for the account.
	Next string
}

func (s *Server) signInPage(r *request, next string) *signInPage {
	return &signInPage{Page: s.newPage(r, "Sign in"), Next: s.local(next)}
}

func (s *Server) signInForm(w http.ResponseWriter, r *request) error {
	return s.render(w, r, "sign_in", s.signInPage(r, r.URL.Query().Get("next")))
}

func (s *Server) signIn(w http.ResponseWriter, r *request) error {
	page := s.signInPage(r, r.fields.one("next"))
	page.Email = r.fields.trimmed("email")
	step, err := s.auth.SignIn(r.Context(), r.client, page.Email, r.fields.one("password"))
	switch {
	case portal.KindOf(err) == portal.KindTooMany:
		return s.throttled(w, r, page.Email, err)
	case err != nil:
		return s.again(w, r, "sign_in", page, err)
	case step.Session != nil:
		return s.signedIn(w, r, *step.Session, page.Next)
	}
	setCookie(w, cookieChallenge, step.Challenge)
	return s.redirect(w, r, "/sign-in/code"+nextQuery(page.Next), "")
}

// signedIn puts the session into the browser and sends the person on.
func (s *Server) signedIn(w http.ResponseWriter, r *request, n portal.NewSession, next string) error {
	begin(w, n)
	clearCookie(w, cookieChallenge)
	if next == "" {
		next = "/account"
	}
	return s.redirect(w, r, next, "")
}

func nextQuery(next string) string {
	if next == "" {
		return ""
	}
	return "?" + url.Values{"next": {next}}.Encode()
}

// throttledPage offers a person whose password is being guessed a way in: proving this
// browser by mail.
type throttledPage struct {
	Page
	// Email is "" when it is not known, as after a password.
	Email string
	// Wait is how long to wait, in words.
	Wait string
}

func (s *Server) throttled(w http.ResponseWriter, r *request, email string, cause error) error {
	page := &throttledPage{Page: s.newPage(r, "Too many attempts"), Email: email, Wait: "a while"}
	page.Status = http.StatusTooManyRequests
	var e *portal.Error
	if errors.As(cause, &e) && e.RetryAfter > 0 {
		page.Wait = waiting(e.RetryAfter)
		retryAfter(w, e)
	}
	return s.render(w, r, "throttled", page)
}

type codePage struct {
	Page
	Next string
}

func (s *Server) codeForm(w http.ResponseWriter, r *request) error {
	if cookieSecret(r.Request, cookieChallenge) == "" {
		return s.redirect(w, r, "/sign-in", "")
	}
	return s.render(w, r, "code", &codePage{Page: s.newPage(r, "Enter your code"), Next: s.local(r.URL.Query().Get("next"))})
}

func (s *Server) code(w http.ResponseWriter, r *request) error {
	page := &codePage{Page: s.newPage(r, "Enter your code"), Next: s.local(r.fields.one("next"))}
	session, err := s.auth.FinishSignIn(r.Context(), r.client, cookieSecret(r.Request, cookieChallenge), r.fields.trimmed("code"))
	var e *portal.Error
	switch {
	case portal.KindOf(err) == portal.KindTooMany:
		return s.throttled(w, r, "", err)
	case errors.As(err, &e) && e.Kind == portal.KindUnauthenticated && e.Field == "":
		// The challenge is over: the password has to be shown again.
		clearCookie(w, cookieChallenge)
		return s.again(w, r, "sign_in", s.signInPage(r, page.Next), err)
	case err != nil:
		return s.again(w, r, "code", page, err)
	}
	return s.signedIn(w, r, session, page.Next)
}

func (s *Server) signOut(w http.ResponseWriter, r *request) error {
	if err := s.auth.SignOut(r.Context(), r.client, *r.who); err != nil {
		return err
	}
	forget(w)
	return s.redirect(w, r, "/sign-in", noticeSignedOut)
}

// forget takes what a signed-in person leaves in the browser: the session and what was
// cached or stored (ASVS 5.0, 14.3.1). The device's cookie stays: it lets a person in
// while somebody else guesses the password.
func forget(w http.ResponseWriter) {
	clearCookie(w, cookieSession)
	clearCookie(w, cookieChallenge)
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
}
