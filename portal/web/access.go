package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/lethe-dev/lethe/portal"
)

// dispatch finds the route. ServeMux's own answers to what has none are plain text, so
// they become pages here.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	h, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	probe := &probe{header: http.Header{}}
	h.ServeHTTP(probe, r)
	if allow := probe.header.Get("Allow"); probe.status == http.StatusMethodNotAllowed && allow != "" {
		w.Header().Set("Allow", allow)
		s.failWith(w, s.newRequest(w, r), http.StatusMethodNotAllowed, "This address can't be used in that way.") //nolint:contextcheck // A request carries it.
		return
	}
	s.fail(w, s.newRequest(w, r), portal.ErrNotFound) //nolint:contextcheck // A request carries it.
}

// probe learns what ServeMux would have answered.
type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header         { return p.header }
func (p *probe) Write(b []byte) (int, error) { return len(b), nil }
func (p *probe) WriteHeader(status int)      { p.status = status }

// serve runs a route: who asks, may they, what do they send, the handler.
func (s *Server) serve(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		r := s.newRequest(w, hr)
		fail := s.fail
		if route.Access.json {
			fail = s.failJSON
		}
		if err := s.handle(w, r, route); err != nil { //nolint:contextcheck // A request carries it.
			fail(w, r, err)
		}
	})
}

func (s *Server) handle(w http.ResponseWriter, r *request, route Route) error {
	if route.Access.level != levelAsset {
		if err := s.identify(w, r, route.Access.quiet); err != nil {
			return err
		}
	}
	if err := s.admit(r, route.Access); err != nil {
		return err
	}
	if route.Access.level == levelSignedOut && r.who != nil {
		return s.redirect(w, r, "/account", "")
	}
	if route.Method == http.MethodPost && !route.Access.json {
		var err error
		if r.fields, err = readForm(r.Request); err != nil {
			return err
		}
	}
	return route.handle(w, r)
}

// identify finds out who is signed in. A session that does not count any more is the same
// as none, and is taken from the browser. quiet keeps no session alive.
func (s *Server) identify(w http.ResponseWriter, r *request, quiet bool) error {
	secret := cookieSecret(r.Request, cookieSession)
	if secret == "" {
		return nil
	}
	identify := s.auth.Authenticate
	if quiet {
		identify = s.auth.Recognize
	}
	who, err := identify(r.Context(), r.client, secret)
	if portal.KindOf(err) == portal.KindUnauthenticated {
		clearCookie(w, cookieSession)
		return nil
	}
	if err != nil {
		return err
	}
	if who.Session == nil {
		return errors.New("identify: a principal without a session")
	}
	r.who = &who
	return nil
}

// admit decides who may. A refusal is recorded.
func (s *Server) admit(r *request, access Access) error {
	if access.level < levelSignedIn {
		return nil
	}
	if r.who == nil {
		return &portal.Error{Kind: portal.KindUnauthenticated, Message: "Sign in first."}
	}
	if access.level == levelStaff && !r.who.May(access.permission) {
		return s.refuseStaff(r, access.permission)
	}
	if access.fresh && !r.who.Session.SteppedUp(s.now()) {
		return &portal.Error{Kind: portal.KindStepUp, Message: "Show that it is you first."}
	}
	return nil
}

// refuseStaff tells staff that lack only the second factor what to do.
func (s *Server) refuseStaff(r *request, permission portal.Permission) error {
	s.record(r, portal.EventAccessDenied, r.who.Account.ID)
	message := "You may not see this page."
	if r.who.Account.Role.May(permission) {
		message = "Your role needs two-factor sign-in. Set it up under “Two-factor sign-in” in your account, or sign in again with a code."
	}
	return &portal.Error{Kind: portal.KindForbidden, Message: message}
}

// local gives back a path of ours that a signed-in person can open, and "" for everything
// else, so that nobody can make us send people elsewhere.
func (s *Server) local(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return ""
	}
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil {
		return ""
	}
	_, pattern := s.mux.Handler(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: u.Path}})
	if route, ok := s.routes[pattern]; !ok || route.Access.level < levelSignedIn {
		return ""
	}
	return u.EscapedPath()
}
