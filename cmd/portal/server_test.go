package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestWhatIsUnderWayIsAnswered: told to stop, the server is not ready any more, still
// answers, and ends when the last answer is out.
func TestWhatIsUnderWayIsAnswered(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "whole")
	})
	s, people := testServers(t, handler)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx, people, nil) }()
	answer := make(chan string, 1)
	go func() {
		response, err := http.Get("http://" + people.Addr().String())
		if err != nil {
			answer <- err.Error()
			return
		}
		defer func() { _ = response.Body.Close() }()
		text, _ := io.ReadAll(response.Body)
		answer <- string(text)
	}()
	<-entered
	stop()
	for !s.ready.draining.Load() {
		select {
		case err := <-ended:
			t.Fatalf("it ended with a request under way: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	probe := httptest.NewRecorder()
	s.ready.ServeHTTP(probe, httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody))
	if probe.Code != http.StatusServiceUnavailable {
		t.Errorf("/readyz says %d while it drains", probe.Code)
	}
	close(release)
	if got := <-answer; got != "whole" {
		t.Errorf("the answer is %q", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// TestARequestThatNeverEndsIsCutOff: the limit of a drain holds.
func TestARequestThatNeverEndsIsCutOff(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	s, people := testServers(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}))
	s.drainLimit = 50 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx, people, nil) }()
	go func() {
		if response, err := http.Get("http://" + people.Addr().String()); err == nil {
			_ = response.Body.Close()
		}
	}()
	<-entered
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
}

func testServers(t *testing.T, handler http.Handler) (*servers, net.Listener) {
	t.Helper()
	people, err := listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := newLog(io.Discard, nil)
	errors := serverErrors{log: log, count: func(string) {}}
	return &servers{
		people: newServer(handler, nil, errors), ops: newServer(http.NotFoundHandler(), nil, errors), log: log,
		ready:      &readiness{ping: func(context.Context) error { return nil }, warnings: func(context.Context) []string { return nil }},
		drainLimit: time.Minute,
	}, people
}

func TestReadinessSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ping     error
		warnings []string
		status   int
		text     string
	}{
		"all is well":           {status: http.StatusOK, text: "ok\n"},
		"something to look at":  {warnings: []string{"mails wait"}, status: http.StatusOK, text: "ok\nwarning: mails wait\n"},
		"the store is not here": {ping: io.ErrUnexpectedEOF, status: http.StatusServiceUnavailable, text: "the store does not answer\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &readiness{ping: func(context.Context) error { return test.ping }, warnings: func(context.Context) []string { return test.warnings }}
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody))
			if w.Code != test.status || w.Body.String() != test.text {
				t.Errorf("got %d %q", w.Code, w.Body.String())
			}
		})
	}
}

// TestMetricsAreBounded: whatever clients send, labels are patterns and known methods.
func TestMetricsAreBounded(t *testing.T) {
	t.Parallel()
	site := &site{metrics: newMetrics(), log: newLog(io.Discard, nil)}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /account/{id}", func(http.ResponseWriter, *http.Request) {})
	handler := site.observed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic("ada@people.example")
		}
		w.WriteHeader(http.StatusTeapot)
	}), patternIn(routes))
	for _, request := range []*http.Request{
		httptest.NewRequest(http.MethodGet, "/account/ada@people.example", http.NoBody),
		httptest.NewRequest(http.MethodGet, "/account/203.0.113.77", http.NoBody),
		httptest.NewRequest("PROPFIND203.0.113.77", "/x", http.NoBody),
		httptest.NewRequest(http.MethodGet, "/panic", http.NoBody),
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, request)
		if request.URL.Path == "/panic" && w.Code != http.StatusInternalServerError {
			t.Errorf("a panic was answered %d", w.Code)
		}
	}
	w := httptest.NewRecorder()
	opsHandler(site.metrics, nil).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	text := w.Body.String()
	for _, want := range []string{
		`lethe_portal_http_requests_total{method="GET",route="/account/{id}",status="418"} 2`,
		`lethe_portal_http_requests_total{method="other",route="none",status="418"} 1`,
		`lethe_portal_http_requests_total{method="GET",route="none",status="500"} 1`,
		`lethe_portal_http_server_errors_total{kind="panic"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	for _, never := range []string{"ada@", "203.0.113", "PROPFIND"} {
		if strings.Contains(text, never) {
			t.Errorf("%q is in the metrics", never)
		}
	}
}

// TestOnlyTheProxyMaySpeakWithoutTLS: a connection past the proxy carries nothing.
func TestOnlyTheProxyMaySpeakWithoutTLS(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::1/128")}
	handler := onlyFrom(proxies, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for peer, want := range map[string]int{
		"10.1.2.3:1234":           http.StatusTeapot,
		"[::ffff:10.1.2.3]:1234":  http.StatusTeapot,
		"[2001:db8::1%eth0]:1234": http.StatusTeapot,
		"[2001:db8::2]:1234":      http.StatusForbidden,
		"203.0.113.77:1234":       http.StatusForbidden,
		"":                        http.StatusForbidden,
	} {
		request := httptest.NewRequest(http.MethodPost, "/sign-in", strings.NewReader("password=x"))
		request.RemoteAddr = peer
		request.Header.Set("X-Forwarded-For", "10.1.2.3")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, request)
		if w.Code != want {
			t.Errorf("%q is answered %d, want %d", peer, w.Code, want)
		}
	}
}
