package web

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
)

var update = flag.Bool("update", false, "write golden files")

// TestRoutesAreTheOnesAgreedOn makes every change of who may do what show in a review.
func TestRoutesAreTheOnesAgreedOn(t *testing.T) {
	t.Parallel()
	s, _ := fakeServer(t)
	var got strings.Builder
	for _, route := range s.Routes() {
		fmt.Fprintf(&got, "%-4s %-44s %s\n", route.Method, route.Pattern, route.Access)
	}
	const golden = "testdata/routes.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("routes (-want +got), use -update if it is meant:\n%s", diff)
	}
}

// visitors are the columns of the matrix; "" is not signed in.
func visitors(f *fakeAuth) []string {
	noFactor := func(p *portal.Principal) { p.SecondFactor = false; p.Session.SecondFactor = false }
	passwordOnly := func(p *portal.Principal) { p.Session.SecondFactor = false }
	longAgo := func(p *portal.Principal) { p.Session.AuthenticatedAt = start.Add(-portal.StepUpLife) }
	names := []string{""}
	for _, role := range portal.Roles() {
		as := func(p *portal.Principal) { p.Account.Role = role }
		f.person(string(role), as)
		f.person(string(role)+"2plain", as, noFactor)
		f.person(string(role)+"3half", as, passwordOnly)
		f.person(string(role)+"4stale", as, longAgo)
		names = append(names, string(role), string(role)+"2plain", string(role)+"3half", string(role)+"4stale")
	}
	return names
}

// outcome is what an answer says about who asked.
func outcome(w *httptest.ResponseRecorder) string {
	to, _, _ := strings.Cut(w.Header().Get("Location"), "?")
	switch {
	case w.Code == http.StatusForbidden:
		return "refused"
	case w.Code == http.StatusUnauthorized && w.Header().Get("Content-Type") == "application/json": // to a script
		return "sent to sign in"
	case w.Code == http.StatusSeeOther && to == "/sign-in":
		return "sent to sign in"
	case w.Code == http.StatusSeeOther && to == "/step-up":
		return "sent to step up"
	case w.Code == http.StatusSeeOther && to == "/account":
		return "sent to the account"
	case w.Code < 500:
		return "let in"
	default:
		return fmt.Sprintf("status %d", w.Code)
	}
}

// expected says what the matrix has in a cell, from the access of the route and from who
// asks, without the code that decides.
func expected(access Access, who string) string {
	role, state, _ := strings.Cut(strings.NewReplacer("2plain", ":plain", "3half", ":half", "4stale", ":stale").Replace(who), ":")
	switch access.level {
	case levelSignedOut:
		if who != "" {
			return "sent to the account"
		}
		return "let in"
	case levelSignedIn, levelSteppedUp:
		if who == "" {
			return "sent to sign in"
		}
		if access.level == levelSteppedUp && state == "stale" {
			return "sent to step up"
		}
		return "let in"
	case levelStaff:
		if who == "" {
			return "sent to sign in"
		}
		if state == "plain" || state == "half" || !portal.Role(role).May(access.permission) {
			return "refused"
		}
		if access.fresh && state == "stale" {
			return "sent to step up"
		}
		return "let in"
	default:
		return "let in"
	}
}

// leavesTo are routes whose own answer leads where a refusal would lead.
var leavesTo = map[string]string{
	"POST /sign-out":                   "sent to sign in",
	"POST /verify":                     "sent to sign in",
	"POST /device":                     "sent to sign in",
	"POST /reset":                      "sent to sign in",
	"GET /sign-in/code":                "sent to sign in", // without a challenge
	"POST /sign-in":                    "sent to the account",
	"POST /sign-in/code":               "sent to the account",
	"POST /step-up":                    "sent to the account",
	"POST /new-email":                  "sent to the account",
	"POST /account/password":           "sent to the account",
	"POST /account/email":              "sent to the account",
	"GET /.well-known/change-password": "let in",
}

func TestMatrixOfRoutesAndRoles(t *testing.T) {
	t.Parallel()
	s, f := fakeServer(t)
	names := visitors(f)
	cells := 0
	for _, route := range s.Routes() {
		target := strings.NewReplacer("{id}", "other", "{seq}", "1", "{file...}", strings.TrimPrefix(s.assets.paths["lethe.css"], "/static/"), "{$}", "").Replace(route.Pattern)
		if strings.HasPrefix(target, "/account/tokens/") {
			target = strings.ReplaceAll(target, "other", "mine")
		}
		for _, who := range names {
			var form url.Values
			if route.Method == http.MethodPost {
				form = url.Values{"token": {secretOf("token")}}
			}
			got, want := outcome(ask(s, route.Method, target, who, form)), expected(route.Access, who)
			if own, ok := leavesTo[route.Method+" "+route.Pattern]; ok && want == "let in" {
				want = own
			}
			if got != want {
				t.Errorf("%s %s (%s) as %q: %s, want %s", route.Method, route.Pattern, route.Access, who, got, want)
			}
			cells++
		}
	}
	t.Logf("%d routes, %d visitors, %d cells", len(s.Routes()), len(names), cells)
}

func TestStepUpCountsForTenMinutes(t *testing.T) {
	t.Parallel()
	now := start
	s, f := fakeServer(t, func(d *Dependencies) { d.Now = func() time.Time { return now } })
	f.person("ada")
	now = start.Add(portal.StepUpLife - time.Second)
	if w := ask(s, "GET", "/account/password", "ada", nil); w.Code != http.StatusOK {
		t.Errorf("a second before the end: %d", w.Code)
	}
	now = start.Add(portal.StepUpLife)
	if got := outcome(ask(s, "GET", "/account/password", "ada", nil)); got != "sent to step up" {
		t.Errorf("at the end: %s", got)
	}
}

func TestRefusalsAreRecorded(t *testing.T) {
	t.Parallel()
	s, f := fakeServer(t)
	f.person("ada")
	for _, route := range s.Routes() {
		if route.Access.level != levelStaff {
			continue
		}
		f.recorded = nil
		ask(s, route.Method, strings.ReplaceAll(route.Pattern, "{id}", "x"), "ada", url.Values{})
		if diff := cmp.Diff([]portal.EventKind{portal.EventAccessDenied}, f.recorded); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", route.Method, route.Pattern, diff)
		}
	}
}
