package rest

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

//go:embed openapi.yaml
var document []byte

// Auth is what the API needs of package auth. Its methods give a *portal.Error whenever
// there is something to tell the caller.
type Auth interface {
	Tokens
	Sessions
	Events
}

// Tokens finds out who a token is, lists an account's tokens, and revokes one.
type Tokens interface {
	// AuthenticateToken gives KindUnauthenticated for whatever is not a token that is good.
	AuthenticateToken(ctx context.Context, c portal.Client, secret string) (portal.Principal, error)
	Tokens(ctx context.Context, p portal.Principal) ([]portal.APIToken, error)
	RevokeToken(ctx context.Context, c portal.Client, p portal.Principal, id portal.TokenID) error
}

// Sessions lists and ends an account's sessions. For a token EndOtherSessions ends all.
type Sessions interface {
	Sessions(ctx context.Context, p portal.Principal) ([]portal.Session, error)
	EndSession(ctx context.Context, c portal.Client, p portal.Principal, id portal.SessionID) error
	EndOtherSessions(ctx context.Context, c portal.Client, p portal.Principal) error
}

// Events reads an account's own security events, and writes those that only we see (Record
// bounds by itself how many).
type Events interface {
	OwnEvents(ctx context.Context, p portal.Principal, after portal.EventCursor, limit int) ([]portal.Event, error)
	Record(ctx context.Context, c portal.Client, kind portal.EventKind, account portal.AccountID) error
}

// Clients tells who is at the other end of a request.
type Clients interface {
	Of(r *http.Request) portal.Client
}

// Dependencies are what the API needs; all are required but those that say so.
type Dependencies struct {
	Auth    Auth
	Clients Clients
	Log     *slog.Logger
	Now     func() time.Time
	// Datasets, Runs, Live and ReceiptKeys are nil without a cluster: then there are no such
	// routes.
	Datasets    Datasets
	Runs        Runs
	Live        Live
	ReceiptKeys ReceiptKeys
	// Browser gives the family and system of a User-Agent ("Firefox on Linux").
	Browser func(userAgent string) string
	// Observe is told of each answer, for metrics; pattern is the route's, "" for none, so
	// that it is bounded. May be nil.
	Observe func(pattern string, status int, took time.Duration)
}

// Server answers everything under /api/v1/. Use New.
type Server struct {
	Dependencies
	mux *http.ServeMux
	// draining is closed by Drain.
	draining chan struct{}
	drained  sync.Once
}

// New makes the API. An error is a mistake in the wiring.
func New(with Dependencies) (*Server, error) {
	if with.Auth == nil || with.Clients == nil || with.Log == nil || with.Now == nil || with.Browser == nil {
		return nil, errors.New("make the API: a dependency is missing")
	}
	if with.Observe == nil {
		with.Observe = func(string, int, time.Duration) {}
	}
	s := &Server{Dependencies: with, mux: http.NewServeMux(), draining: make(chan struct{})}
	for _, route := range s.Routes() {
		s.mux.Handle(route.Method+" "+route.Pattern, s.serve(route))
	}
	s.mux.HandleFunc("/", s.nowhere)
	return s, nil
}

// ServeHTTP answers a request. Cookies end here.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := s.Now()
	seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")

	_, pattern := s.mux.Handler(r)
	if pattern == "/" {
		pattern = ""
	}
	r = r.Clone(r.Context())
	r.Header.Del("Cookie")
	client := s.Clients.Of(r)
	defer func() {
		if found := recover(); found != nil {
			if found == http.ErrAbortHandler { //nolint:errorlint // a panic's value, which net/http compares so too
				panic(found)
			}
			s.Log.Error("a handler panicked", "pattern", pattern, "request", client.RequestID, "stack", string(debug.Stack()))
			if !seen.wrote {
				s.fail(seen, &request{Request: r, client: client}, errors.New("a handler panicked"))
			}
		}
		s.Observe(pattern, seen.status, s.Now().Sub(began))
	}()
	s.mux.ServeHTTP(seen, r.WithContext(withClient(r.Context(), client)))
}

// serve is a route's handler: who asks, may they, do it, answer.
func (s *Server) serve(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if route.Access == public {
			w.Header().Set("Content-Type", "application/yaml")
			_, _ = w.Write(document) // what goes wrong here is the connection's
			return
		}
		asked := &request{Request: r, client: clientOf(r.Context())}
		answer, err := s.answer(r.Context(), asked, route)
		if err != nil {
			s.fail(w, asked, err)
			return
		}
		s.send(w, asked, answer)
	})
}

// send answers with what a handler gave.
func (s *Server) send(w http.ResponseWriter, r *request, answer any) {
	switch answer := answer.(type) {
	case nil:
		w.WriteHeader(http.StatusNoContent)
	case stream:
		answer(w)
	case reply:
		w.Header().Set("Location", answer.location)
		if answer.body == nil {
			w.WriteHeader(answer.status)
			return
		}
		s.write(w, r, answer.status, "application/json", answer.body)
	default:
		s.write(w, r, http.StatusOK, "application/json", answer)
	}
}

func (s *Server) answer(ctx context.Context, r *request, route Route) (any, error) {
	secret, ok := bearer(r.Header)
	if !ok {
		return nil, errNoToken
	}
	var err error
	if r.who, err = s.Auth.AuthenticateToken(ctx, r.client, secret); err != nil {
		return nil, err
	}
	if r.who.Token == nil {
		return nil, errors.New("authenticate a token: the principal has none")
	}
	if route.Access != anyToken && !slices.Contains(r.who.Token.Scopes, portal.Scope(route.Access)) {
		return nil, s.outOfScope(ctx, r, route)
	}
	return route.handle(r)
}

// outOfScope also records it: a stolen token gets tried out.
func (s *Server) outOfScope(ctx context.Context, r *request, route Route) error {
	if err := s.Auth.Record(ctx, r.client, portal.EventAccessDenied, r.who.Account.ID); err != nil {
		return err
	}
	return &scopeError{needs: route.Access}
}

// bearer takes the secret from the Authorization header (RFC 6750, 2.1), and from nowhere
// else: query strings end up in logs.
func bearer(header http.Header) (string, bool) {
	values := header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, secret, ok := strings.Cut(values[0], " ")
	secret = strings.TrimSpace(secret)
	if !ok || !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return "", false
	}
	return secret, true
}

// nowhere answers paths and methods that are not in the table.
func (s *Server) nowhere(w http.ResponseWriter, r *http.Request) {
	asked := &request{Request: r, client: clientOf(r.Context())}
	allowed := s.methods(r)
	if len(allowed) == 0 {
		s.fail(w, asked, portal.ErrNotFound)
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	s.problem(w, asked, Problem{Status: http.StatusMethodNotAllowed, Detail: "This path does not have that method; see Allow."})
}

// methods are those that the table has for a request's path.
func (s *Server) methods(r *http.Request) []string {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	return allowed
}

// statusWriter remembers the status for Observe.
type statusWriter struct {
	http.ResponseWriter
	status int
	wrote  bool
}

func (w *statusWriter) WriteHeader(status int) {
	if !w.wrote {
		w.status, w.wrote = status, true
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	w.wrote = true
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type clientKey struct{}

func withClient(ctx context.Context, c portal.Client) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}

func clientOf(ctx context.Context) portal.Client {
	c, _ := ctx.Value(clientKey{}).(portal.Client)
	return c
}
