package rest

import (
	"net/http"
	"slices"

	"github.com/lethe-dev/lethe/portal"
)

// Route is one line of the table.
type Route struct {
	Method, Pattern string
	Access          Access
	handle          handler
}

// Access is what a route asks of the token: a scope, anyToken, or public.
type Access string

// What is not a scope.
const (
	public   Access = "public"
	anyToken Access = "any token"
)

// handler answers one request. What it gives is encoded, with status 200 unless it is a
// reply; nil is 204 without a body, and a stream writes by itself. An error has not been
// answered yet.
type handler func(r *request) (any, error)

// request is an HTTP request with who asks.
type request struct {
	*http.Request
	client portal.Client
	who    portal.Principal
}

// Routes is all that the API answers to.
func (s *Server) Routes() []Route {
	return slices.Concat([]Route{
		{"GET", "/api/v1/openapi.yaml", public, nil}, // a file: serve knows it
		{"GET", "/api/v1/account", Access(portal.ScopeAccountRead), s.account},
		{"GET", "/api/v1/sessions", Access(portal.ScopeAccountRead), s.sessions},
		{"DELETE", "/api/v1/sessions", Access(portal.ScopeSessionWrite), s.endSessions},
		{"DELETE", "/api/v1/sessions/{id}", Access(portal.ScopeSessionWrite), s.endSession},
		{"GET", "/api/v1/tokens", Access(portal.ScopeAccountRead), s.tokens},
		{"DELETE", "/api/v1/tokens/current", anyToken, s.revokeCurrent},
		{"GET", "/api/v1/events", Access(portal.ScopeEventsRead), s.events},
	}, s.datasetRoutes(), s.runRoutes(), s.liveRoutes())
}
