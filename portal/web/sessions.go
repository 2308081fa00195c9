package web

import (
	"net/http"

	"github.com/lethe-dev/lethe/portal"
)

const pathSessions = "/account/sessions"

type sessionsPage struct {
	Page
	Sessions []portal.Session
	Own      portal.SessionID
}

func (s *Server) sessionsPage(r *request) (*sessionsPage, error) {
	list, err := s.auth.Sessions(r.Context(), *r.who)
	if err != nil {
		return nil, err
	}
	page := &sessionsPage{s.accountPage(r, "Sessions", pathSessions), list, r.who.Session.ID}
	page.Live = true
	return page, nil
}

func (s *Server) sessions(w http.ResponseWriter, r *request) error {
	page, err := s.sessionsPage(r)
	if err != nil {
		return err
	}
	return s.render(w, r, "sessions", page)
}

// sessionsDone answers with the list that is left.
func (s *Server) sessionsDone(w http.ResponseWriter, r *request, what notice) error {
	if !r.partial() {
		return s.redirect(w, r, pathSessions, what)
	}
	page, err := s.sessionsPage(r)
	if err != nil {
		return err
	}
	page.Notice = notices[what]
	return s.part(w, r, "sessions", "list", page)
}

func (s *Server) endSession(w http.ResponseWriter, r *request) error {
	id := portal.SessionID(r.PathValue("id"))
	if err := s.auth.EndSession(r.Context(), r.client, *r.who, id); err != nil {
		return err
	}
	if id == r.who.Session.ID {
		forget(w)
		return s.redirect(w, r, "/sign-in", noticeSignedOut)
	}
	return s.sessionsDone(w, r, noticeSessionEnded)
}

func (s *Server) endOtherSessions(w http.ResponseWriter, r *request) error {
	if err := s.auth.EndOtherSessions(r.Context(), r.client, *r.who); err != nil {
		return err
	}
	return s.sessionsDone(w, r, noticeSessionsEnded)
}
