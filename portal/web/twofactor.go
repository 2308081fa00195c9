package web

import (
	"net/http"
	"strings"

	"github.com/lethe-dev/lethe/portal"
)

const pathTwoFactor = "/account/two-factor"

type twoFactorPage struct {
	Page
	On        bool
	CodesLeft int
	// Staff can't turn it off.
	Staff bool
}

func (s *Server) twoFactor(w http.ResponseWriter, r *request) error {
	page := &twoFactorPage{
		Page: s.accountPage(r, "Two-factor sign-in", pathTwoFactor),
		On:   r.who.SecondFactor, Staff: r.who.Account.Role.Staff(),
	}
	if page.On {
		var err error
		if page.CodesLeft, err = s.auth.RecoveryCodesLeft(r.Context(), *r.who); err != nil {
			return err
		}
	}
	return s.render(w, r, "two_factor", page)
}

// setupPage explains, and then shows the seed that waits for its first code.
type setupPage struct {
	Page
	// Begun is false until the person has asked for the code to scan.
	Begun bool
	// Replaces is true when another app is enrolled already.
	Replaces bool
	Secret   string // in groups of four, for typing
	URI      string
}

func (s *Server) setupPage(r *request) (*setupPage, error) {
	page := &setupPage{Page: s.accountPage(r, "Set up two-factor sign-in", pathTwoFactor), Replaces: r.who.SecondFactor}
	pending, err := s.auth.PendingTOTP(r.Context(), *r.who)
	if err != nil && portal.KindOf(err) == portal.KindNotFound {
		return page, nil
	}
	if err != nil {
		return nil, err
	}
	page.Begun, page.Secret, page.URI = true, grouped(pending.Secret), pending.URI
	return page, nil
}

// grouped puts a space after each fourth character.
func grouped(text string) string {
	var b strings.Builder
	for i, c := range text {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(c)
	}
	return b.String()
}

func (s *Server) setup(w http.ResponseWriter, r *request) error {
	page, err := s.setupPage(r)
	if err != nil {
		return err
	}
	return s.render(w, r, "setup", page)
}

func (s *Server) beginSetup(w http.ResponseWriter, r *request) error {
	if _, err := s.auth.BeginTOTP(r.Context(), r.client, *r.who); err != nil {
		return err
	}
	return s.redirect(w, r, pathTwoFactor+"/setup", "")
}

func (s *Server) qr(w http.ResponseWriter, r *request) error {
	pending, err := s.auth.PendingTOTP(r.Context(), *r.who)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "image/png")
	_, err = w.Write(pending.QR)
	return err
}

// codesPage shows recovery codes, the only time that anybody can.
type codesPage struct {
	Page
	Codes []string
	// Enrolled is true when they come with a new authenticator app.
	Enrolled bool
}

func (s *Server) codesPage(r *request, codes []string, enrolled bool) *codesPage {
	return &codesPage{Page: s.accountPage(r, "Your recovery codes", pathTwoFactor), Codes: codes, Enrolled: enrolled}
}

func (s *Server) confirmSetup(w http.ResponseWriter, r *request) error {
	codes, session, err := s.auth.ConfirmTOTP(r.Context(), r.client, *r.who, r.fields.trimmed("code"))
	if err != nil && !told(err) {
		return err
	}
	if err != nil {
		page, pageErr := s.setupPage(r)
		if pageErr != nil {
			return pageErr
		}
		return s.again(w, r, "setup", page, err)
	}
	begin(w, session)
	return s.render(w, r, "codes", s.codesPage(r, codes, true))
}

type removePage struct{ Page }

func (s *Server) removeForm(w http.ResponseWriter, r *request) error {
	if !r.who.SecondFactor {
		return s.redirect(w, r, pathTwoFactor, "")
	}
	return s.render(w, r, "remove", &removePage{s.accountPage(r, "Turn off two-factor sign-in", pathTwoFactor)})
}

func (s *Server) removeTwoFactor(w http.ResponseWriter, r *request) error {
	session, err := s.auth.RemoveTOTP(r.Context(), r.client, *r.who)
	if err != nil {
		return err
	}
	begin(w, session)
	return s.redirect(w, r, pathTwoFactor, noticeTOTPRemoved)
}

type recoveryPage struct {
	Page
	CodesLeft int
}

func (s *Server) recoveryForm(w http.ResponseWriter, r *request) error {
	if !r.who.SecondFactor {
		return s.redirect(w, r, pathTwoFactor, "")
	}
	left, err := s.auth.RecoveryCodesLeft(r.Context(), *r.who)
	if err != nil {
		return err
	}
	return s.render(w, r, "recovery", &recoveryPage{s.accountPage(r, "Recovery codes", pathTwoFactor), left})
}

func (s *Server) renewRecovery(w http.ResponseWriter, r *request) error {
	codes, err := s.auth.RenewRecoveryCodes(r.Context(), r.client, *r.who)
	if err != nil {
		return err
	}
	return s.render(w, r, "codes", s.codesPage(r, codes, false))
}
