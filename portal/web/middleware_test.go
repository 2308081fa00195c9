package web

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
)

// onEachAnswer are the headers that no answer is without.
var onEachAnswer = map[string]string{
	"Content-Security-Policy":      "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'none'; connect-src 'self'; form-action 'self'; frame-src 'none'; frame-ancestors 'none'; object-src 'none'; base-uri 'none'",
	"Strict-Transport-Security":    "max-age=63072000; includeSubDomains",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "same-origin",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
}

func TestEachAnswerHasTheSecurityHeaders(t *testing.T) {
	t.Parallel()
	s, f := fakeServer(t)
	f.person("admin", func(p *portal.Principal) { p.Account.Role = portal.RoleAdmin })
	targets := [][2]string{{"GET", "/nothing"}, {"DELETE", "/account"}, {"GET", "/static/none.css"}, {"POST", "/sign-in"}, {"OPTIONS", "/"}, {"GET", "/account/../account"}}
	for _, route := range s.Routes() {
		targets = append(targets, [2]string{route.Method, strings.NewReplacer("{$}", "", "{id}", "x", "{file...}", "x").Replace(route.Pattern)})
	}
	for _, target := range targets {
		for _, who := range []string{"", "admin"} {
			w := ask(s, target[0], target[1], who, url.Values{})
			checkHeaders(t, target[0]+" "+target[1], w)
			if got := w.Header().Get("Cache-Control"); got != "no-store" && got != "no-store, no-transform" {
				t.Errorf("%v as %q: Cache-Control %q", target, who, got)
			}
		}
	}
}

func checkHeaders(t *testing.T, name string, w *httptest.ResponseRecorder) {
	t.Helper()
	for header, want := range onEachAnswer {
		if got := w.Header().Get(header); got != want {
			t.Errorf("%s: %s is %q, want %q", name, header, got, want)
		}
	}
	if len(w.Header().Get(headerRequestID)) != 26 {
		t.Errorf("%s: request id %q", name, w.Header().Get(headerRequestID))
	}
	if w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%s: other sites may read the answer", name)
	}
}

func TestStaticFilesAreKeptForEver(t *testing.T) {
	t.Parallel()
	s, _ := fakeServer(t)
	for name, path := range s.assets.paths {
		w := ask(s, "GET", path, "", nil)
		if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: status %d, Cache-Control %q", name, w.Code, w.Header().Get("Cache-Control"))
		}
		if len(w.Result().Cookies()) != 0 {
			t.Errorf("%s sets a cookie", name)
		}
		if name == uploadWorker {
			// It compiles WebAssembly, and reaches nothing.
			if got := w.Header().Get("Content-Security-Policy"); got != workerPolicy {
				t.Errorf("%s: Content-Security-Policy is %q", name, got)
			}
			w.Header().Set("Content-Security-Policy", contentSecurityPolicy)
		}
		checkHeaders(t, name, w)
	}
	for _, path := range []string{"/static/", "/static/lethe.css", "/static/../server.go", "/static/vendor/htmx-2.0.11.LICENSE", "/static/%2e%2e/server.go"} {
		if w := ask(s, "GET", path, "", nil); w.Code == http.StatusOK {
			t.Errorf("%s: status 200", path)
		}
	}
}

func TestPanicIsAPageAndTellsNothing(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s, f := fakeServer(t, func(d *Dependencies) {
		d.Log = slog.New(slog.NewJSONHandler(&log, nil))
		d.Browser = func(string) string { panic("ada@example.org") }
	})
	f.person("ada")
	w := ask(s, "GET", "/account", "ada", nil)
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "The mistake is ours") {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	checkHeaders(t, "a panic", w)
	id := w.Header().Get(headerRequestID)
	if !strings.Contains(w.Body.String(), id) || !strings.Contains(log.String(), id) {
		t.Errorf("the request id is not on the page and in the log")
	}
	if strings.Contains(log.String()+w.Body.String(), "ada@example.org") {
		t.Errorf("the panic's value is told:\n%s", log.String())
	}
}

func TestLogsNeverHoldWhatAPersonSent(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s, f := fakeServer(t, func(d *Dependencies) { d.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
	f.person("ada")
	f.fail("SignIn", errors.New("store is away"))
	f.fail("LinkState", &portal.Error{Kind: portal.KindUnavailable, Message: "Later.", Err: errors.New("store is away")})
	ask(s, "POST", "/sign-in?next=canary", "", url.Values{"email": {"canary@example.org"}, "password": {"canary"}})
	ask(s, "GET", "/verify?token=canary"+strings.Repeat("a", secretLength-6), "", nil)
	if strings.Contains(log.String(), "canary") || strings.Contains(log.String(), "203.0.113") {
		t.Errorf("the log holds what a person sent:\n%s", log.String())
	}
	if strings.Count(log.String(), "Request failed") != 2 || !strings.Contains(log.String(), `"route":"POST /sign-in"`) {
		t.Errorf("the log does not tell of two failures:\n%s", log.String())
	}
}

func TestRequestsFromOtherSitesDoNothing(t *testing.T) {
	t.Parallel()
	now := start
	s, f := fakeServer(t, func(d *Dependencies) { d.Now = func() time.Time { return now } })
	f.person("ada")
	for name, from := range map[string]func(*http.Request){
		"by fetch metadata":        func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"from a neighbour's host":  func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"by origin":                func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") },
		"by the origin of nowhere": func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "null") },
	} {
		for _, route := range s.Routes() {
			if route.Method != http.MethodPost {
				continue
			}
			f.recorded = nil
			now = now.Add(time.Minute)
			w := ask(s, "POST", strings.ReplaceAll(route.Pattern, "{id}", "other"), "ada", token, from)
			if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "another site") {
				t.Errorf("%s: POST %s: status %d", name, route.Pattern, w.Code)
			}
			if diff := cmp.Diff([]portal.EventKind{portal.EventCrossSiteRefused}, f.recorded); diff != "" {
				t.Errorf("%s: POST %s (-want +got):\n%s", name, route.Pattern, diff)
			}
		}
	}
}

func TestStrangersCantFillTheEvents(t *testing.T) {
	t.Parallel()
	s, f := fakeServer(t)
	for range 500 {
		ask(s, "POST", "/sign-in", "", url.Values{}, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
	}
	if got := len(f.recorded); got != 30 {
		t.Errorf("%d events of 500 requests, want 30", got)
	}
}

func TestNothingIsChangedByGET(t *testing.T) {
	t.Parallel()
	// A method of the fake that is not in this list panics, or answers with an error that
	// the page would show.
	s, f := fakeServer(t)
	f.person("ada")
	refuse := errors.New("a GET changed something")
	for _, method := range []string{"SignUp", "ResendVerification", "VerifyEmail", "SignIn", "FinishSignIn", "AskDevice", "ConfirmDevice", "StepUp", "SignOut", "AskReset", "Reset", "ChangePassword", "ChangeEmail", "ConfirmNewEmail", "UndoEmail", "BeginTOTP", "ConfirmTOTP", "RemoveTOTP", "RenewRecoveryCodes", "EndSession", "EndOtherSessions", "CreateToken", "RevokeToken"} {
		f.fail(method, refuse)
	}
	for _, route := range s.Routes() {
		if route.Method != http.MethodGet || route.Access.level == levelStaff {
			continue
		}
		for _, who := range []string{"", "ada"} {
			target := strings.NewReplacer("{$}", "", "{file...}", "x").Replace(route.Pattern) + "?token=" + secretOf("token")
			if w := ask(s, "GET", target, who, nil); w.Code >= 500 {
				t.Errorf("GET %s as %q: status %d", target, who, w.Code)
			}
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	s, _ := fakeServer(t)
	w := ask(s, "POST", "/sign-in", "", url.Values{"password": {strings.Repeat("a", maxBody)}})
	if w.Code != http.StatusUnprocessableEntity {
		t.Errorf("status %d", w.Code)
	}
}

func TestRequestIDIsNotTheClients(t *testing.T) {
	t.Parallel()
	s, _ := fakeServer(t)
	w := ask(s, "GET", "/", "", nil, func(r *http.Request) { r.Header.Set(headerRequestID, "canary") })
	if id := w.Header().Get(headerRequestID); id == "canary" || id == "" {
		t.Errorf("request id %q", id)
	}
	w = httptest.NewRecorder()
	w.Header().Set(headerRequestID, "from-around-us")
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if id := w.Header().Get(headerRequestID); id != "from-around-us" {
		t.Errorf("request id %q", id)
	}
}

func TestDependenciesAreAskedFor(t *testing.T) {
	t.Parallel()
	if _, err := New(Dependencies{}, Options{}); err == nil {
		t.Error("pages without dependencies were made")
	}
}
