package main

import (
	"context"
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
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.metrics.underWay.Inc()
		seen := &statusWriter{ResponseWriter: w, began: time.Now(), method: boundedMethod(r.Method), route: route(r)}
		defer s.finish(r.Context(), seen)
		next.ServeHTTP(seen, r)
	})
}

// finish is deferred: it also answers for a handler that panicked.
func (s *site) finish(ctx context.Context, w *statusWriter) {
	s.metrics.underWay.Dec()
	if cause := recover(); cause != nil {
		s.survive(ctx, w, cause)
	}
	took := time.Since(w.began)
	s.metrics.observe(w.method, w.route, w.code(), took)
	level := slog.LevelDebug
	if took >= slow || w.code() >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	s.log.Log(ctx, level, "A request was answered", "method", w.method, "route", w.route,
		"status", w.code(), "milliseconds", took.Milliseconds(), "request", w.Header().Get(requestIDHeader))
}

// requestIDHeader is the answer's header with the request's id.
const requestIDHeader = "X-Request-Id"

// survive answers for a handler that panicked. The value may hold what a person sent, so
// the log gets its type and where it happened. http.ErrAbortHandler is a handler's way to
// hang up.
func (s *site) survive(ctx context.Context, w *statusWriter, cause any) {
	if cause == http.ErrAbortHandler { //nolint:errorlint // the value itself is the signal
		panic(cause)
	}
	s.metrics.countError("panic")
	s.log.ErrorContext(ctx, "A handler panicked", "route", w.route, "kind", kindOfPanic(cause), "stack", string(debug.Stack()))
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

// statusWriter is an answer on its way, with what is told of it.
type statusWriter struct {
	http.ResponseWriter
	began         time.Time
	method, route string
	// status is 0 until there is one.
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
