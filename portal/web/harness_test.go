package web

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal/portaltest"
)

// fakeServer has a fakeAuth behind it.
func fakeServer(t testing.TB, mods ...func(*Dependencies)) (*Server, *fakeAuth) {
	t.Helper()
	auth := newFakeAuth(t)
	datasets := newFakeDatasets(t)
	with := Dependencies{
		Datasets: datasets, ReceiptKeys: datasets,
		Auth: auth, Review: fakeReview{}, Preferences: fakePreferences{auth}, Runs: newFakeRuns(), Live: walkedLive(), Clients: fakeClients{},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: func() time.Time { return start },
		Random: portaltest.Random(7), Browser: func(string) string { return "Firefox on Linux" },
	}
	for _, mod := range mods {
		mod(&with)
	}
	s, err := New(with, Options{})
	if err != nil {
		t.Fatalf("make the pages: %v", err)
	}
	watchTemplates(t, s)
	return s, auth
}

// ask sends a request as whoever has the secret of that name; "" is nobody.
func ask(s http.Handler, method, target, who string, form url.Values, mods ...func(*http.Request)) *httptest.ResponseRecorder {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, "https://portal.example.org"+target, body)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if who != "" {
		r.AddCookie(&http.Cookie{Name: cookieSession, Value: secretOf(who)})
	}
	for _, mod := range mods {
		mod(r)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}
