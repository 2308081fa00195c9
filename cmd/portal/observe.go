package main

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// slow is from when on a request is a line of the log above the debug level.
const slow = 5 * time.Second

// observed counts and logs each request: what was asked for by the pattern of its route,
// never by its path or query, and of whom nothing.
func (s *site) observed(next http.Handler, route func(*http.Request) string) http.Handler {
	m, log := s.metrics, s.log
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		m.underWay.Inc()
		defer m.underWay.Dec()
		seen := &statusWriter{ResponseWriter: w}
		method, pattern := boundedMethod(r.Method), route(r)
		defer func() {
			if cause := recover(); cause != nil {
				surviving(seen, cause, pattern, m, log)
			}
			took := time.Since(began)
			m.observe(method, pattern, seen.code(), took)
			level := slog.LevelDebug
			if took >= slow || seen.code() >= http.StatusInternalServerError {
				level = slog.LevelWarn
			}
			log.Log(r.Context(), level, "A request was answered", "method", method, "route", pattern,
				"status", seen.code(), "milliseconds", took.Milliseconds(), "request", seen.Header().Get(requestIDHeader))
		}()
		next.ServeHTTP(seen, r)
	})
}

// requestIDHeader is the answer's header with the request's id.
const requestIDHeader = "X-Request-Id"

// surviving answers for a handler that panicked. The value may hold what a person sent, so
// the log gets its type and where it happened. http.ErrAbortHandler is a handler's way to
// hang up.
func surviving(w *statusWriter, cause any, pattern string, m *metrics, log *slog.Logger) {
	if cause == http.ErrAbortHandler { //nolint:errorlint // the value itself is the signal
		panic(cause)
	}
	m.countError("panic")
	log.Error("A handler panicked", "route", pattern, "kind", kindOfPanic(cause), "stack", string(debug.Stack()))
	if w.status == 0 {
		http.Error(w, "Something went wrong on our side.", http.StatusInternalServerError)
	}
}

func kindOfPanic(cause any) string {
	switch cause.(type) {
	case error:
		return "error"
	case string:
		return "string"
	default:
		return "other"
	}
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}
