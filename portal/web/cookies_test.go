package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
)

// TestCookiesAreTheOnesInTheRegistry sends what makes the portal set cookies, and looks
// whether all and only those of the registry are set, each as it has to be.
func TestCookiesAreTheOnesInTheRegistry(t *testing.T) {
	t.Parallel()
	s, f := fakeServer(t)
	f.person("ada")
	var set []*http.Cookie
	for _, route := range s.Routes() {
		if route.Access.level == levelStaff {
			continue
		}
		for _, who := range []string{"", "ada"} {
			target := strings.NewReplacer("{$}", "", "{id}", "other", "{file...}", "x").Replace(route.Pattern)
			set = append(set, ask(s, route.Method, target, who, token).Result().Cookies()...)
		}
	}
	f.step = portal.SignInStep{Challenge: secretOf("challenge")}
	set = append(set, ask(s, "POST", "/sign-in", "", url.Values{}).Result().Cookies()...)

	var got, want []string
	for _, c := range set {
		if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || !strings.HasPrefix(c.Name, "__Host-") {
			t.Errorf("cookie %v is not as it has to be", c)
		}
		got = append(got, c.Name)
	}
	for _, c := range Cookies() {
		want = append(want, c.Name)
		if c.Purpose == "" || c.Life <= 0 {
			t.Errorf("cookie %s has no purpose or no life", c.Name)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
		t.Errorf("cookies (-registry +set):\n%s", diff)
	}
}

func TestLivesOfCookies(t *testing.T) {
	t.Parallel()
	got, want := map[string]int{}, map[string]int{cookieSession: 0, cookieChallenge: 300, cookieDevice: 365 * 24 * 3600, cookieNotice: 60}
	for _, c := range Cookies() {
		w := httptest.NewRecorder()
		setCookie(w, c.Name, "x")
		got[c.Name] = w.Result().Cookies()[0].MaxAge
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("seconds (-want +got):\n%s", diff)
	}
}

func TestSignOutLeavesNothingButTheDevice(t *testing.T) {
	t.Parallel()
	s, f := fakeServer(t)
	f.person("ada")
	for _, target := range []string{"/sign-out", "/account/sessions/ada/end"} {
		w := ask(s, "POST", target, "ada", url.Values{})
		if got := w.Header().Get("Clear-Site-Data"); got != `"cache", "storage"` {
			t.Errorf("%s: Clear-Site-Data %q", target, got)
		}
		gone := map[string]bool{}
		for _, c := range w.Result().Cookies() {
			gone[c.Name] = c.MaxAge < 0
		}
		if diff := cmp.Diff(map[string]bool{cookieSession: true, cookieChallenge: true, cookieNotice: false}, gone); diff != "" {
			t.Errorf("%s: cookies taken (-want +got):\n%s", target, diff)
		}
	}
}

func TestNoticeIsSaidOnceAndOnlyOurs(t *testing.T) {
	t.Parallel()
	s, f := fakeServer(t)
	f.person("ada")
	for value, says := range map[string]string{string(noticePasswordChanged): "Your password was changed.", "<script>": "", "": ""} {
		w := ask(s, "GET", "/account", "ada", nil, func(r *http.Request) {
			r.Header.Add("Cookie", cookieNotice+"="+value)
		})
		if said := strings.Contains(w.Body.String(), "class=\"notice\""); said != (says != "") || !strings.Contains(w.Body.String(), says) {
			t.Errorf("notice %q: %s", value, w.Body)
		}
		taken := slices.ContainsFunc(w.Result().Cookies(), func(c *http.Cookie) bool { return c.Name == cookieNotice && c.MaxAge < 0 })
		if taken != (says != "") {
			t.Errorf("notice %q: taken %v", value, taken)
		}
	}
}

func TestTwoCookiesOfOneNameAreNone(t *testing.T) {
	t.Parallel()
	s, f := fakeServer(t)
	f.person("ada")
	f.person("eve")
	w := ask(s, "GET", "/account", "ada", nil, func(r *http.Request) {
		r.AddCookie(&http.Cookie{Name: cookieSession, Value: secretOf("eve")})
	})
	if got := outcome(w); got != "sent to sign in" {
		t.Errorf("%s", got)
	}
}

func FuzzCookieSecret(f *testing.F) {
	f.Add(cookieSession + "=" + secretOf("ada"))
	f.Add(cookieSession + "=" + secretOf("ada") + "; " + cookieSession + "=" + secretOf("eve"))
	f.Add("__Host-session=\"x\"; ;;=,__Host-session")
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", header)
		got := cookieSecret(r, cookieSession)
		if got != "" && (len(got) != secretLength || !strings.Contains(header, got)) {
			t.Errorf("cookieSecret(%q) = %q", header, got)
		}
		_ = noticeOf(r)
	})
}
