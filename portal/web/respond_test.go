package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
)

func TestErrorsBecomeAnswers(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		err      error
		status   int
		says     string
		location string
	}{
		"ours, and not meant for people": {err: errors.New("classified"), status: 500, says: "The mistake is ours"},
		"ours, in words":                 {err: &portal.Error{Kind: portal.KindInternal, Message: "classified"}, status: 500, says: "The mistake is ours"},
		"invalid":                        {err: portal.Invalid("x", "Told."), status: 422, says: "Told."},
		"not signed in":                  {err: &portal.Error{Kind: portal.KindUnauthenticated}, status: 303, location: "/sign-in?next=%2Faccount"},
		"not fresh":                      {err: &portal.Error{Kind: portal.KindStepUp}, status: 303, location: "/step-up?next=%2Faccount"},
		"forbidden":                      {err: &portal.Error{Kind: portal.KindForbidden, Message: "Told."}, status: 403, says: "Told."},
		"not found, wrapped":             {err: fmt.Errorf("classified: %w", portal.ErrNotFound), status: 404, says: "There is no such thing"},
		"conflict":                       {err: portal.ErrConflict, status: 409, says: "changed in the meantime"},
		"too many":                       {err: &portal.Error{Kind: portal.KindTooMany, RetryAfter: 1500 * time.Millisecond}, status: 429, says: "Wait a little"},
		"unavailable":                    {err: &portal.Error{Kind: portal.KindUnavailable, Message: "Told.", Err: errors.New("classified")}, status: 503, says: "Told."},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, f := fakeServer(t)
			f.person("ada")
			f.fail("Sessions", c.err)
			w := ask(s, "GET", "/account", "ada", nil)
			if w.Code != c.status || w.Header().Get("Location") != c.location || !strings.Contains(w.Body.String(), c.says) {
				t.Errorf("status %d, location %q, want %d, %q, %q:\n%s", w.Code, w.Header().Get("Location"), c.status, c.location, c.says, w.Body)
			}
			if strings.Contains(w.Body.String(), "classified") {
				t.Errorf("the page shows what is not for people:\n%s", w.Body)
			}
			if got := w.Header().Get("Retry-After"); (got == "2") != (c.status == 429) {
				t.Errorf("Retry-After is %q", got)
			}
		})
	}
}

func TestStoreThatDoesNotAnswerIsNotASignOut(t *testing.T) {
	t.Parallel()
	s, f := fakeServer(t)
	f.person("ada")
	f.fail("Authenticate", &portal.Error{Kind: portal.KindUnavailable, Message: "Later."})
	w := ask(s, "GET", "/account", "ada", nil)
	if w.Code != http.StatusServiceUnavailable || len(w.Result().Cookies()) != 0 {
		t.Errorf("status %d, cookies %v", w.Code, w.Result().Cookies())
	}
}

func TestSessionThatEndedIsTakenFromTheBrowser(t *testing.T) {
	t.Parallel()
	s, _ := fakeServer(t)
	w := ask(s, "GET", "/account/tokens", "gone", nil)
	if got := w.Header().Get("Location"); got != "/sign-in?next=%2Faccount%2Ftokens" {
		t.Errorf("location %q", got)
	}
	cookies := w.Result().Cookies()
	if len(cookies) != 1 || cookies[0].Name != cookieSession || cookies[0].MaxAge >= 0 {
		t.Errorf("cookies %v", cookies)
	}
}

func TestWhereAPersonComesBackTo(t *testing.T) {
	t.Parallel()
	s, f := fakeServer(t)
	f.person("ada", func(p *portal.Principal) { p.Session.AuthenticatedAt = start.Add(-time.Hour) })
	referer := func(from string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Referer", from) }
	}
	htmx := func(r *http.Request) { r.Header.Set("HX-Request", "true") }
	cases := map[string]struct {
		method, target, who string
		mods                []func(*http.Request)
		want                string
		header              string
	}{
		"a page":                          {"GET", "/account/email", "", nil, "/sign-in?next=%2Faccount%2Femail", "Location"},
		"a page that needs a step-up":     {"GET", "/account/email", "ada", nil, "/step-up?next=%2Faccount%2Femail", "Location"},
		"a form on a page of ours":        {"POST", "/account/email", "ada", []func(*http.Request){referer("https://portal.example.org/account/email?x=1")}, "/step-up?next=%2Faccount%2Femail&again=1", "Location"},
		"a form, nobody knows from where": {"POST", "/account/email", "ada", nil, "/step-up", "Location"},
		"a form on somebody else's page":  {"POST", "/account/email", "ada", []func(*http.Request){referer("https://evil.example/account/email")}, "/step-up", "Location"},
		"htmx":                            {"POST", "/account/email", "ada", []func(*http.Request){referer("https://portal.example.org/account/email"), htmx}, "/step-up?next=%2Faccount%2Femail&again=1", "HX-Redirect"},
		"what has no page":                {"POST", "/sign-out", "", nil, "/sign-in", "Location"},
	}
	for name, c := range cases {
		w := ask(s, c.method, c.target, c.who, url.Values{}, c.mods...)
		if c.method == "GET" {
			w = ask(s, c.method, c.target, c.who, nil, c.mods...)
		}
		if got := w.Header().Get(c.header); got != c.want {
			t.Errorf("%s: %s %q, want %q", name, c.header, got, c.want)
		}
	}
}

func TestWhereStepUpAndSignInLead(t *testing.T) {
	t.Parallel()
	s, f := fakeServer(t)
	f.person("ada")
	for next, want := range map[string]string{
		"/account/tokens":        "/account/tokens",
		"/admin/accounts/abc":    "/admin/accounts/abc",
		"":                       "/account",
		"https://evil.example/":  "/account",
		"//evil.example/account": "/account",
		"/\\evil.example":        "/account",
		"/sign-out":              "/account",
		"/forgot":                "/account",
		"/nothing":               "/account",
		"javascript:alert(1)":    "/account",
	} {
		form := url.Values{"next": {next}}
		if got := ask(s, "POST", "/sign-in", "", form).Header().Get("Location"); got != want {
			t.Errorf("sign-in with next %q leads to %q, want %q", next, got, want)
		}
		if got := ask(s, "POST", "/step-up", "ada", form).Header().Get("Location"); got != want {
			t.Errorf("step-up with next %q leads to %q, want %q", next, got, want)
		}
	}
}

func FuzzLocalStaysWithUs(f *testing.F) {
	for _, seed := range []string{"/account", "//evil.example", "/\\evil", "/account/../..//evil", "/account?x#y", "/%2f%2fevil", "/account/sessions/%0d%0aSet-Cookie:x"} {
		f.Add(seed)
	}
	s, _ := fakeServer(f)
	f.Fuzz(func(t *testing.T, next string) {
		got := s.local(next)
		if got == "" {
			return
		}
		u, err := url.Parse(got)
		if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\r\n") {
			t.Errorf("local(%q) = %q", next, got)
		}
	})
}

func TestAfterAStepUpAFormHasToBeFilledInAgain(t *testing.T) {
	t.Parallel()
	s, f := fakeServer(t)
	f.person("ada")
	for again, want := range map[string]string{"1": string(noticeAgain), "": "", "x": ""} {
		w := ask(s, "POST", "/step-up", "ada", url.Values{"next": {"/account/email"}, "again": {again}})
		got := ""
		for _, c := range w.Result().Cookies() {
			if c.Name == cookieNotice {
				got = c.Value
			}
		}
		if got != want {
			t.Errorf("again=%q: notice %q, want %q", again, got, want)
		}
	}
}

func TestWaitingIsSaidInWords(t *testing.T) {
	t.Parallel()
	got := map[time.Duration]string{}
	want := map[time.Duration]string{
		0: "0 seconds", time.Second: "1 second", 1500 * time.Millisecond: "2 seconds", 90 * time.Second: "90 seconds",
		91 * time.Second: "2 minutes", time.Hour: "60 minutes",
	}
	for d := range want {
		got[d] = waiting(d)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
