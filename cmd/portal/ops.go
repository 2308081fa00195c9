package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// readiness is what /readyz looks at.
type readiness struct {
	// ping reports whether the store answers.
	ping func(context.Context) error
	// warnings are words about what is wrong and no reason to send people elsewhere.
	warnings func(context.Context) []string
	// draining is set when the process was told to stop.
	draining atomic.Bool
}

// pingLimit is shorter than any probe waits.
const pingLimit = 2 * time.Second

// opsHandler serves who runs the portal, on an address of its own.
func opsHandler(m *metrics, ready *readiness) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "ok")
	})
	mux.Handle("GET /readyz", ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry}))
	return mux
}

// ServeHTTP answers 200 while requests should come here. What is warned of follows in the
// text, a line each.
func (r *readiness) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if r.draining.Load() {
		answer(w, http.StatusServiceUnavailable, "stopping")
		return
	}
	ctx, cancel := context.WithTimeout(request.Context(), pingLimit)
	defer cancel()
	if err := r.ping(ctx); err != nil {
		// The cause is in the log of who pinged; a probe's text ends up in many places.
		answer(w, http.StatusServiceUnavailable, "the store does not answer")
		return
	}
	lines := []string{"ok"}
	for _, warning := range r.warnings(ctx) {
		lines = append(lines, "warning: "+warning)
	}
	answer(w, http.StatusOK, strings.Join(lines, "\n"))
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}
