package web

import (
	"context"
	"net/http"

	"github.com/lethe-dev/lethe/portal"
)

// link is what an emailed link does when its form is sent.
type link struct {
	purpose                portal.Purpose
	title, lead, button    string
	deadLead               string // what to do when it is not good any more
	deadButton, deadTarget string
	use                    func(a Auth, ctx context.Context, c portal.Client, secret string) error
	done                   notice
	then                   string // where the person is sent
}

// The links that ask for nothing but a click; deviceLink's is confirmDevice.
var (
	verifyLink = link{
		purpose: portal.PurposeVerify,
		title:   "Confirm your email address", button: "Confirm",
		lead:     "One click, and your account is ready.",
		deadLead: "It may have been used already: then just sign in. Otherwise ask for a new one.", deadButton: "Ask for a new link", deadTarget: "/sign-up/sent",
		use: Auth.VerifyEmail, done: noticeVerified, then: "/sign-in",
	}
	newEmailLink = link{
		purpose: portal.PurposeNewEmail,
		title:   "Use this email address", button: "Change my address",
		lead:     "From now on you sign in with this address, and mails go to it.",
		deadLead: "Sign in and ask for the change again.", deadButton: "Change your email address", deadTarget: "/account/email",
		use: Auth.ConfirmNewEmail, done: noticeEmailChanged, then: "/account",
	}
	undoEmailLink = link{
		purpose: portal.PurposeUndoEmail,
		title:   "Get your old email address back", button: "Undo the change",
		lead:     "The account goes back to this address, and everybody who is signed in to it is signed out. Then set a new password.",
		deadLead: "If you did not change your address, set a new password and write to us.", deadButton: "Set a new password", deadTarget: "/forgot",
		use: Auth.UndoEmail, done: noticeEmailUndone, then: "/forgot",
	}
	deviceLink = link{
		purpose: portal.PurposeDevice,
		title:   "Confirm this browser", button: "Confirm this browser",
		lead:     "Then you can sign in from here, whoever else is guessing your password.",
		deadLead: "Ask for a new one.", deadButton: "Ask for a new link", deadTarget: "/sign-in/device",
	}
)

// linkPage is the form that an emailed link opens. Dead ones have no form.
type linkPage struct {
	Page
	Lead, Button, Path, Token string
}

// linkSecret gives the secret of a link if it has the form of one; "" otherwise, which no
// link has.
func linkSecret(token string) string {
	if !isSecret(token) {
		return ""
	}
	return token
}

func (s *Server) linkForm(l link) handler {
	return func(w http.ResponseWriter, r *request) error {
		secret := linkSecret(r.URL.Query().Get("token"))
		if _, err := s.auth.LinkState(r.Context(), secret, l.purpose); err != nil {
			return s.deadLink(w, r, l, err)
		}
		return s.render(w, r, "link", &linkPage{
			Page: s.newPage(r, l.title),
			Lead: l.lead, Button: l.button, Path: l.purpose.Path(), Token: secret,
		})
	}
}

func (s *Server) useLink(l link) handler {
	return func(w http.ResponseWriter, r *request) error {
		if err := l.use(s.auth, r.Context(), r.client, linkSecret(r.fields.one("token"))); err != nil {
			return s.deadLink(w, r, l, err)
		}
		return s.redirect(w, r, l.then, l.done)
	}
}

// deadLink is the page for a link that is not good any more.
func (s *Server) deadLink(w http.ResponseWriter, r *request, l link, cause error) error {
	if !told(cause) {
		return cause
	}
	page := &deadPage{Page: s.newPage(r, "This link does not work any more"), Lead: l.deadLead, Button: l.deadButton, Target: l.deadTarget}
	page.Status = http.StatusNotFound
	return s.render(w, r, "link_dead", page)
}

type deadPage struct {
	Page
	Lead, Button, Target string
}
