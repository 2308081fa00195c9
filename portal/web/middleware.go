package web

import (
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/lethe-dev/lethe/portal"
)

// middleware puts around all routes what holds for each of them, the first line outermost.
func (s *Server) middleware(next http.Handler) http.Handler {
	next = s.sameSite(next)
	next = limitBody(next)
	next = securityHeaders(next)
	next = s.recovered(next)
	next = s.numbered(next)
	return next
}

// headerRequestID carries the request's id to the person, who may tell it to us, and from
// the outermost handler to the others.
const headerRequestID = "X-Request-Id"

// numbered gives the request an id, unless what is around us has given it one. No client
// chooses it.
func (s *Server) numbered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if w.Header().Get(headerRequestID) == "" {
			w.Header().Set(headerRequestID, portal.NewID[string](s.random))
		}
		next.ServeHTTP(&answer{ResponseWriter: w}, r)
	})
}

// answer remembers whether there was one.
type answer struct {
	http.ResponseWriter
	begun bool
}

func (a *answer) WriteHeader(status int) {
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// recovered turns a panic into the page for errors of ours. The value of a panic may hold
// what a person sent, so only those of the runtime are logged.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { //nolint:contextcheck // A request carries it.
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so.
				panic(v)
			}
			what := fmt.Sprintf("%T", v)
			if err, ok := v.(runtime.Error); ok {
				what = err.Error()
			}
			s.log.ErrorContext(r.Context(), "Panic while answering", "requestID", w.Header().Get(headerRequestID), "panic", what, "stack", string(debug.Stack()))
			if a, ok := w.(*answer); ok && a.begun {
				panic(http.ErrAbortHandler) // half an answer must not look like a whole one
			}
			s.fail(w, s.newRequest(w, r), &portal.Error{Kind: portal.KindInternal})
		}()
		next.ServeHTTP(w, r)
	})
}

// contentSecurityPolicy allows what comes from us and nothing else, no inline script or
// style, and no page of others around ours.
var contentSecurityPolicy = strings.Join([]string{
	"default-src 'self'",
	"script-src 'self'",
	"style-src 'self'",
	"img-src 'self'",
	"font-src 'none'",
	"connect-src 'self'",
	"form-action 'self'",
	"frame-src 'none'",
	"frame-ancestors 'none'",
	"object-src 'none'",
	"base-uri 'none'",
}, "; ")

// securityHeaders are on every answer (ASVS 5.0, 3.4).
func securityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// The path of an emailed link holds a secret; it must not reach another site.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := int64(maxBody)
		if largeBody(r) {
			limit = maxJSON
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, r)
	})
}

// sameSite refuses requests that another site made a browser send.
func (s *Server) sameSite(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		r := s.newRequest(w, hr)
		if s.crossSite.AllowN(s.now(), 1) {
			s.record(r, portal.EventCrossSiteRefused, "") //nolint:contextcheck // A request carries it.
		}
		s.fail(w, r, &portal.Error{ //nolint:contextcheck // A request carries it.
			Kind:    portal.KindForbidden,
			Message: "This was sent from another site, so we did nothing. If it was you, open the page here and try again.",
		})
	}))
	return protection.Handler(next)
}

// newRequest finds out who is at the other end.
func (s *Server) newRequest(w http.ResponseWriter, hr *http.Request) *request {
	r := &request{Request: hr, client: s.clients.Of(hr), fields: fields{}}
	r.client.RequestID = w.Header().Get(headerRequestID)
	r.client.Device = cookieSecret(hr, cookieDevice)
	return r
}

// record keeps a security event that only the web sees. When that fails, what was refused
// stays refused.
func (s *Server) record(r *request, kind portal.EventKind, account portal.AccountID) {
	if err := s.auth.Record(r.Context(), r.client, kind, account); err != nil {
		s.log.ErrorContext(r.Context(), "Security event was not recorded", "requestID", r.client.RequestID, "kind", kind, "error", err)
	}
}
