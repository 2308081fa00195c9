package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/rest"
)

// bench is the API in front of a double of package auth that behaves: tokens expire and
// are revoked, sessions end.
type bench struct {
	server *rest.Server
	auth   *fakeAuth
	clock  *portaltest.Clock
	log    *bytes.Buffer
	api    openAPI
	mutex  sync.Mutex
	seen   []string
}

const email = "marlene.weber@example.org"

func newBench(t *testing.T) *bench {
	t.Helper()
	// What must not be reached is not there.
	return newBenchWith(t, func(with *rest.Dependencies) {
		with.Datasets, with.Runs, with.Live = struct{ rest.Datasets }{}, struct{ rest.Runs }{}, struct{ rest.Live }{}
	})
}

func newBenchWith(t *testing.T, mod func(*rest.Dependencies)) *bench {
	t.Helper()
	b := &bench{clock: &portaltest.Clock{}, log: &bytes.Buffer{}, api: loadOpenAPI(t)}
	b.auth = &fakeAuth{clock: b.clock, tokens: map[string]*portal.APIToken{}}
	b.auth.account = portaltest.Account(portaltest.WithEmail(email))
	b.auth.sessions = []portal.Session{session(b, 1), session(b, 2)}
	for i := range 120 {
		b.auth.events = append(b.auth.events, event(b, i))
	}
	with := rest.Dependencies{
		Auth: b.auth, Clients: clients{}, Log: slog.New(slog.NewJSONHandler(b.log, nil)), Now: b.clock.Now,
		Browser: func(string) string { return "Firefox on Linux" },
		Observe: func(pattern string, status int, _ time.Duration) {
			b.mutex.Lock()
			defer b.mutex.Unlock()
			b.seen = append(b.seen, fmt.Sprintf("%s %d", pattern, status))
		},
	}
	mod(&with)
	var err error
	b.server, err = rest.New(with)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func session(b *bench, seed uint64) portal.Session {
	now := b.clock.Now()
	return portal.Session{
		ID: portal.NewID[portal.SessionID](portaltest.Random(seed)), Account: b.auth.account.ID, CreatedAt: now, LastSeenAt: now,
		ExpiresAt: now.Add(portal.SessionAbsolute), Browser: "Firefox on Linux", Country: "NL",
		Digest: portal.DigestOf("the session's secret"),
	}
}

func event(b *bench, i int) portal.Event {
	kinds := portal.EventKinds()
	e := portal.NewEvent(
		portal.NewID[portal.EventID](portaltest.Random(uint64(100+i))), b.clock.Now().Add(-time.Duration(i)*time.Minute),
		kinds[i%len(kinds)], b.auth.account.ID, portaltest.Client("2001:db8::7"),
	)
	if i%7 == 0 {
		e.IP, e.UserAgent = netip.Addr{}, ""
	}
	return e
}

// token gives the account a token with scopes, and its secret.
func (b *bench) token(scopes ...portal.Scope) string {
	b.auth.mutex.Lock()
	defer b.auth.mutex.Unlock()
	seed := uint64(len(b.auth.tokens) + 500)
	secret, digest := portal.NewAPITokenSecret(portaltest.Random(seed))
	b.auth.tokens[secret] = &portal.APIToken{
		ID: portal.NewID[portal.TokenID](portaltest.Random(seed)), Account: b.auth.account.ID, Digest: digest, Name: "laptop",
		Hint: secret[len(secret)-4:], Scopes: scopes, CreatedAt: b.clock.Now(), ExpiresAt: b.clock.Now().Add(portal.DefaultTokenLife),
	}
	return secret
}

// ask sends a request with a token ("" for none) and holds the answer against the
// document when pattern is not empty.
func (b *bench) ask(t *testing.T, method, path, pattern, secret string, mods ...func(*http.Request)) (*http.Response, []byte) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
	if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	for _, mod := range mods {
		mod(r)
	}
	w := httptest.NewRecorder()
	b.server.ServeHTTP(w, r)
	answer := w.Result()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if pattern != "" {
		b.api.conforms(t, method, pattern, answer, body)
	}
	if !strings.HasPrefix(answer.Header.Get("Cache-Control"), "no-store") || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s %s: headers are %v", method, path, answer.Header)
	}
	if len(answer.Cookies()) != 0 {
		t.Errorf("%s %s set cookies", method, path)
	}
	return answer, body
}

func decode[T any](t *testing.T, body []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}

func TestEachRouteAnswersAsDocumented(t *testing.T) {
	t.Parallel()
	for _, route := range newBench(t).server.Routes() {
		t.Run(route.Method+" "+route.Pattern, func(t *testing.T) {
			t.Parallel()
			b, f := newTraining(t)
			path, mods := f.request(t, route.Method, route.Pattern)
			sample := httptest.NewRequestWithContext(t.Context(), route.Method, path, http.NoBody)
			for _, mod := range mods {
				mod(sample)
			}
			asked, err := io.ReadAll(sample.Body)
			if err != nil {
				t.Fatal(err)
			}
			b.api.takes(t, route.Method, route.Pattern, asked)
			answer, body := b.ask(t, route.Method, path, route.Pattern, b.token(portal.Scopes()...), mods...)
			if answer.StatusCode/100 != 2 && answer.StatusCode != http.StatusSeeOther {
				t.Errorf("a token with all scopes: %d %s", answer.StatusCode, body)
			}
			if diff := cmp.Diff([]string{fmt.Sprintf("%s %s %d", route.Method, route.Pattern, answer.StatusCode)}, b.seen); diff != "" {
				t.Errorf("observed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTokensByRoute(t *testing.T) {
	t.Parallel()
	for _, route := range newBench(t).server.Routes() {
		if route.Access == "public" {
			continue
		}
		for name, test := range map[string]struct {
			token func(*bench) string
			want  int
			names string // in WWW-Authenticate
		}{
			"none":      {func(*bench) string { return "" }, 401, "Bearer"},
			"wrong":     {func(*bench) string { return "lethe_pat_nothing" }, 401, `error="invalid_token"`},
			"a session": {func(*bench) string { return "the session's secret" }, 401, `error="invalid_token"`},
			"expired": {func(b *bench) string {
				secret := b.token(portal.Scopes()...)
				b.clock.Advance(portal.DefaultTokenLife)
				return secret
			}, 401, `error="invalid_token"`},
			"revoked": {func(b *bench) string {
				secret := b.token(portal.Scopes()...)
				b.auth.tokens[secret].RevokedAt = b.clock.Now()
				return secret
			}, 401, `error="invalid_token"`},
			"all but this scope": {func(b *bench) string {
				return b.token(slices.DeleteFunc(portal.Scopes(), func(s portal.Scope) bool { return string(s) == string(route.Access) })...)
			}, 403, `error="insufficient_scope"`},
		} {
			t.Run(route.Method+" "+route.Pattern+", token: "+name, func(t *testing.T) {
				t.Parallel()
				if name == "all but this scope" && route.Access == "any token" {
					test.want, test.names = 204, ""
				}
				b := newBench(t)
				path := strings.ReplaceAll(route.Pattern, "{id}", string(b.auth.sessions[0].ID))
				answer, body := b.ask(t, route.Method, path, route.Pattern, test.token(b))
				if answer.StatusCode != test.want || !strings.Contains(answer.Header.Get("WWW-Authenticate"), test.names) {
					t.Errorf("%d with %q, want %d with %q", answer.StatusCode, answer.Header.Get("WWW-Authenticate"), test.want, test.names)
				}
				if test.want != 204 && (strings.Contains(string(body), email) || len(b.auth.sessions) != 2) {
					t.Errorf("it did or told something: %s", body)
				}
				if test.want == 403 && !slices.Contains(b.auth.recorded, portal.EventAccessDenied) {
					t.Error("a token that reached too far left no event")
				}
			})
		}
	}
}

func TestOnlyTheHeaderCarriesAToken(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	secret := b.token(portal.Scopes()...)
	for name, mod := range map[string]func(*http.Request){
		"a session cookie":      func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "__Host-session", Value: secret}) },
		"the query":             func(r *http.Request) { r.URL.RawQuery = "access_token=" + secret },
		"basic authentication":  func(r *http.Request) { r.SetBasicAuth("x", secret) },
		"two headers":           func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer " + secret, "Bearer " + secret} },
		"no scheme":             func(r *http.Request) { r.Header.Set("Authorization", secret) },
		"a scheme and no token": func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") },
	} {
		if answer, _ := b.ask(t, "GET", "/api/v1/account", "/api/v1/account", "", mod); answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d, want 401", name, answer.StatusCode)
		}
	}
	lower := func(r *http.Request) { r.Header.Set("Authorization", "bearer "+secret) }
	if answer, _ := b.ask(t, "GET", "/api/v1/account", "/api/v1/account", "", lower); answer.StatusCode != http.StatusOK {
		t.Errorf("the scheme in small letters: %d, want 200", answer.StatusCode)
	}
}

func TestCookiesReachNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	cookie := func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "__Host-device", Value: "a-device"}) }
	b.ask(t, "GET", "/api/v1/account", "/api/v1/account", b.token(portal.Scopes()...), cookie)
	if len(b.auth.clients) == 0 || b.auth.clients[0].Device != "" {
		t.Errorf("auth saw %+v", b.auth.clients)
	}
}

func TestAnswersHoldNoSecrets(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	secret := b.token(portal.Scopes()...)
	for _, path := range []string{"/api/v1/sessions", "/api/v1/tokens", "/api/v1/account", "/api/v1/events"} {
		_, body := b.ask(t, "GET", path, path, secret)
		for _, hidden := range []string{secret, portal.DigestOf(secret).String(), b.auth.account.PasswordHash, "igest", "2001:db8", "Mozilla"} {
			if strings.Contains(string(body), hidden) {
				t.Errorf("%s tells %q", path, hidden)
			}
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	secret := b.token(portal.ScopeSessionWrite)
	id := string(b.auth.sessions[0].ID)
	const pattern = "/api/v1/sessions/{id}"
	if answer, _ := b.ask(t, "DELETE", "/api/v1/sessions/"+id, pattern, secret); answer.StatusCode != http.StatusNoContent || len(b.auth.sessions) != 1 {
		t.Errorf("%d and %d sessions left, want 204 and one", answer.StatusCode, len(b.auth.sessions))
	}
	if answer, _ := b.ask(t, "DELETE", "/api/v1/sessions/"+id, pattern, secret); answer.StatusCode != http.StatusNotFound {
		t.Errorf("a second time: %d, want 404", answer.StatusCode)
	}
	if answer, _ := b.ask(t, "DELETE", "/api/v1/sessions", "/api/v1/sessions", secret); answer.StatusCode != http.StatusNoContent || len(b.auth.sessions) != 0 {
		t.Errorf("%d and %d sessions left, want 204 and none", answer.StatusCode, len(b.auth.sessions))
	}
}

func TestATokenRevokesItself(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	secret, other := b.token(), b.token(portal.ScopeAccountRead)
	if answer, _ := b.ask(t, "DELETE", "/api/v1/tokens/current", "/api/v1/tokens/current", secret); answer.StatusCode != http.StatusNoContent {
		t.Fatalf("%d, want 204", answer.StatusCode)
	}
	if answer, _ := b.ask(t, "DELETE", "/api/v1/tokens/current", "/api/v1/tokens/current", secret); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("afterwards: %d, want 401", answer.StatusCode)
	}
	_, body := b.ask(t, "GET", "/api/v1/tokens", "/api/v1/tokens", other)
	if list := decode[rest.TokenList](t, body); len(list.Tokens) != 1 || !list.Tokens[0].Current {
		t.Errorf("the tokens are %+v, want the other one, current", list)
	}
}

func TestEventsPage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	secret := b.token(portal.ScopeEventsRead)
	var ids []string
	var sizes []int
	path := "/api/v1/events"
	for {
		_, body := b.ask(t, "GET", path, "/api/v1/events", secret)
		page := decode[rest.EventPage](t, body)
		sizes = append(sizes, len(page.Events))
		for _, e := range page.Events {
			ids = append(ids, e.ID)
		}
		if page.Next == "" {
			break
		}
		path = "/api/v1/events?after=" + page.Next
	}
	var want []string
	for _, e := range b.auth.events {
		want = append(want, string(e.ID))
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{50, 50, 20}, sizes); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	if _, body := b.ask(t, "GET", "/api/v1/events?limit=120", "/api/v1/events", secret); decode[rest.EventPage](t, body).Next != "" {
		t.Error("the last page names a next one")
	}
}

func TestEventsRefuse(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	secret := b.token(portal.ScopeEventsRead)
	id := string(b.auth.events[0].ID)
	for query, field := range map[string]string{
		"limit=0": "limit", "limit=201": "limit", "limit=-1": "limit", "limit=many": "limit", "limit=1e2": "limit",
		"after=1": "after", "after=x." + id: "after", "after=1.x": "after", "after=-5." + id: "after",
		"after=9999999999999999999999." + id: "after", "after=9223372036854775807." + id: "after", "after=1." + id + "'": "after",
	} {
		answer, body := b.ask(t, "GET", "/api/v1/events?"+query, "/api/v1/events", secret)
		if p := decode[rest.Problem](t, body); answer.StatusCode != http.StatusBadRequest || p.Field != field {
			t.Errorf("%s: %d for %q, want 400 for %q", query, answer.StatusCode, p.Field, field)
		}
	}
}

func TestWhatIsNotThere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, test := range map[string]struct {
		method, path string
		want         int
		allow        string
	}{
		"a path":                {"GET", "/api/v1/nothing", 404, ""},
		"the root":              {"GET", "/api/v1/", 404, ""},
		"another version":       {"GET", "/api/v2/account", 404, ""},
		"a method":              {"POST", "/api/v1/account", 405, "GET"},
		"making a token":        {"POST", "/api/v1/tokens", 405, "GET"},
		"a preflight":           {"OPTIONS", "/api/v1/sessions", 405, "GET, DELETE"},
		"a method of one thing": {"GET", "/api/v1/sessions/x", 405, "DELETE"},
	} {
		answer, body := b.ask(t, test.method, test.path, "", b.token(portal.Scopes()...))
		p := decode[rest.Problem](t, body)
		if answer.StatusCode != test.want || p.Status != test.want || answer.Header.Get("Allow") != test.allow ||
			answer.Header.Get("Content-Type") != "application/problem+json" || p.RequestID != "request-1" {
			t.Errorf("%s: %d, Allow %q, %s", name, answer.StatusCode, answer.Header.Get("Allow"), body)
		}
		if answer.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: a CORS header", name)
		}
	}
	if b.seen[0] == "" || strings.Contains(strings.Join(b.seen, ""), "nothing") {
		t.Errorf("observed %q, want no path in it", b.seen)
	}
}

func TestErrorsBecomeProblems(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err   error
		want  int
		retry string
	}{
		"of the database":    {errors.New("duplicate key marlene@example.org"), 500, ""},
		"internal":           {&portal.Error{Message: "secret table"}, 500, ""},
		"too many":           {&portal.Error{Kind: portal.KindTooMany, Message: "Wait.", RetryAfter: 1500 * time.Millisecond}, 429, "2"},
		"not available":      {&portal.Error{Kind: portal.KindUnavailable, Message: "Later."}, 503, ""},
		"a step-up":          {&portal.Error{Kind: portal.KindStepUp, Message: "Browser."}, 403, ""},
		"forbidden":          {&portal.Error{Kind: portal.KindForbidden, Message: "No."}, 403, ""},
		"a conflict":         {fmt.Errorf("read sessions: %w", portal.ErrConflict), 409, ""},
		"a panic":            {errPanic, 500, ""},
		"a cancelled caller": {context.Canceled, 500, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.auth.fail = test.err
			answer, body := b.ask(t, "GET", "/api/v1/sessions", "/api/v1/sessions", b.token(portal.Scopes()...))
			p := decode[rest.Problem](t, body)
			if answer.StatusCode != test.want || answer.Header.Get("Retry-After") != test.retry || p.Detail == "" {
				t.Errorf("%d, Retry-After %q, %s", answer.StatusCode, answer.Header.Get("Retry-After"), body)
			}
			for _, internal := range []string{"duplicate", "marlene", "secret table", "read sessions", "panic"} {
				if strings.Contains(string(body), internal) {
					t.Errorf("the answer tells %q: %s", internal, body)
				}
			}
			if logged := strings.Contains(b.log.String(), "request-1"); logged != (test.want == 500) {
				t.Errorf("logged: %s", b.log)
			}
		})
	}
}

func TestNewNeedsAll(t *testing.T) {
	t.Parallel()
	if _, err := rest.New(rest.Dependencies{}); err == nil {
		t.Error("New took nothing for enough")
	}
}

type clients struct{}

func (clients) Of(r *http.Request) portal.Client {
	c := portaltest.Client("2001:db8::7")
	c.RequestID = "request-1"
	if cookie, err := r.Cookie("__Host-device"); err == nil {
		c.Device = cookie.Value
	}
	return c
}

var errPanic = errors.New("panic")

type fakeAuth struct {
	mutex    sync.Mutex
	clock    *portaltest.Clock
	account  portal.Account
	tokens   map[string]*portal.APIToken
	sessions []portal.Session
	events   []portal.Event
	recorded []portal.EventKind
	clients  []portal.Client
	fail     error
}

func (f *fakeAuth) AuthenticateToken(_ context.Context, c portal.Client, secret string) (portal.Principal, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.clients = append(f.clients, c)
	token, ok := f.tokens[secret]
	if !ok || !token.RevokedAt.IsZero() || !f.clock.Now().Before(token.ExpiresAt) {
		return portal.Principal{}, &portal.Error{Kind: portal.KindUnauthenticated, Message: "This API token is not good."}
	}
	return portal.Principal{Account: f.account, SecondFactor: true, Token: token}, nil
}

func (f *fakeAuth) Tokens(context.Context, portal.Principal) ([]portal.APIToken, error) {
	var list []portal.APIToken
	for _, token := range f.tokens {
		if token.RevokedAt.IsZero() {
			list = append(list, *token)
		}
	}
	return list, f.fail
}

func (f *fakeAuth) RevokeToken(_ context.Context, _ portal.Client, _ portal.Principal, id portal.TokenID) error {
	for _, token := range f.tokens {
		if token.ID == id {
			token.RevokedAt = f.clock.Now()
			return nil
		}
	}
	return portal.ErrNotFound
}

func (f *fakeAuth) Sessions(context.Context, portal.Principal) ([]portal.Session, error) {
	if errors.Is(f.fail, errPanic) {
		panic("panic")
	}
	return f.sessions, f.fail
}

func (f *fakeAuth) EndSession(_ context.Context, _ portal.Client, _ portal.Principal, id portal.SessionID) error {
	i := slices.IndexFunc(f.sessions, func(s portal.Session) bool { return s.ID == id })
	if i < 0 {
		return portal.ErrNotFound
	}
	f.sessions = slices.Delete(f.sessions, i, i+1)
	return nil
}

func (f *fakeAuth) EndOtherSessions(context.Context, portal.Client, portal.Principal) error {
	f.sessions = nil
	return nil
}

func (f *fakeAuth) OwnEvents(_ context.Context, _ portal.Principal, after portal.EventCursor, limit int) ([]portal.Event, error) {
	from := 0
	if after != (portal.EventCursor{}) {
		from = 1 + slices.IndexFunc(f.events, func(e portal.Event) bool { return e.ID == after.ID && e.Time.Equal(after.Time) })
	}
	return f.events[from:min(from+limit, len(f.events))], nil
}

func (f *fakeAuth) Record(_ context.Context, _ portal.Client, kind portal.EventKind, _ portal.AccountID) error {
	f.recorded = append(f.recorded, kind)
	return nil
}
