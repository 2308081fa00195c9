package web

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
)

// adminServer has somebody of each role, and much to show.
func adminServer(t testing.TB) (*Server, *richReview) {
	t.Helper()
	review := &richReview{errs: map[string]error{}, report: portal.AuditReport{Rows: 812, Head: portal.DigestOf("head")}}
	s, auth := fakeServer(t, func(d *Dependencies) { d.Review = review })
	for _, role := range portal.Roles() {
		auth.person(string(role), func(p *portal.Principal) { p.Account.Role = role })
	}
	return s, review
}

var (
	person      = pathAdminAccounts + "/" + idPerson
	hold        = pathAdminHolds + "/" + idHold
	wrongReason = portal.Invalid("reason", "Say why, in at least 10 characters.")
)

// adminShown is one way to get to see one of the staff's pages.
type adminShown struct {
	method, target, who string
	form                url.Values
	status              int
	says, hides         string
	with                func(*richReview)
}

func wrong(method string, err error) func(*richReview) {
	return func(f *richReview) { f.errs[method] = err }
}

func nothing(f *richReview) { f.none = true }

var adminPages = map[string]adminShown{
	"events, before a search":        {target: pathAdminEvents, status: 200, says: "Only what a hold keeps", hides: "203.0.113.9"},
	"events of an account":           {target: pathAdminEvents + "?account=" + idPerson, status: 200, says: `value="` + idPerson + `"`},
	"events found":                   {method: "POST", target: pathAdminEvents, status: 200, says: "203.0.113.9"},
	"older events keep the search":   {method: "POST", target: pathAdminEvents, form: url.Values{"network": {"203.0.113.0/24"}, "kind": {"sign-in"}, "held": {"1"}}, status: 200, says: `<input type="hidden" name="kind" value="sign-in">`},
	"no events":                      {method: "POST", target: pathAdminEvents, with: nothing, status: 200, says: "Nothing matches."},
	"a network that is none":         {method: "POST", target: pathAdminEvents, form: url.Values{"network": {"<script>"}}, status: 422, says: "&lt;script&gt;", hides: "Nothing matches."},
	"times that are none":            {method: "POST", target: pathAdminEvents, form: url.Values{"from": {"yesterday"}, "to": {"x"}}, status: 422, says: "This is not a time."},
	"a country that is none":         {method: "POST", target: pathAdminEvents, form: url.Values{"country": {"fra"}}, with: wrong("Events", portal.Invalid("country", "Two letters.")), status: 422, says: "Two letters."},
	"a page that is none":            {method: "POST", target: pathAdminEvents, form: url.Values{"after": {"x"}}, status: 404, says: "There is no such thing"},
	"the map":                        {target: pathAdminMap, status: 200, says: "Brazil"},
	"the map of a month":             {target: pathAdminMap + "?days=30", status: 200, says: `days=30" aria-current="true"`},
	"the map of what is not offered": {target: pathAdminMap + "?days=31", status: 200, says: `days=7" aria-current="true"`},
	"an empty map":                   {target: pathAdminMap, with: nothing, status: 200, says: "Nobody signed in"},
	"flags":                          {target: pathAdminFlags, status: 200, says: "Germany to Brazil within 60 minutes"},
	"no flags":                       {target: pathAdminFlags, with: nothing, status: 200, says: "Nothing stands out"},
	"flags of too much":              {target: pathAdminFlags, with: wrong("Flags", portal.Invalid("from", "Choose a shorter one.")), status: 422, says: "Choose a shorter one."},
	"accounts":                       {target: pathAdminAccounts, who: "support", status: 200, says: "Email address or account id"},
	"accounts found":                 {method: "POST", target: pathAdminAccounts, who: "support", form: url.Values{"q": {"marlene.weber@mail.example.org"}}, status: 200, says: "m…@m….org"},
	"no account":                     {method: "POST", target: pathAdminAccounts, who: "support", with: nothing, status: 200, says: "Nobody has an account"},
	"a part of an address":           {method: "POST", target: pathAdminAccounts, who: "support", form: url.Values{"q": {"mar"}}, with: wrong("SearchAccounts", portal.Invalid("q", "Enter a whole address.")), status: 422, says: "Enter a whole address."},
	"an account, for support":        {target: person, who: "support", status: 200, says: "7 recovery codes left", hides: "What you can do"},
	"an account, its events":         {target: person, who: "security", status: 200, says: "Search events", hides: "Change the role"},
	"an account, without its words":  {target: person, who: "security", status: 200, says: "…x7kq", hides: "own word"},
	"an account, no reveal":          {target: person, who: "finance", status: 200, says: "m…@m….org", hides: "/reveal"},
	"an account, for an admin":       {target: person, who: "admin", status: 200, says: "Change the role"},
	"one's own account":              {target: pathAdminAccounts + "/adminqqqqqqqqqqqqqqqqqqqqq", who: "admin", status: 200, says: "This account is yours.", hides: "/disable"},
	"an account that is disabled":    {target: person, who: "admin", with: nothing, status: 200, says: "Enable the account"},
	"an account that there is not":   {target: person, with: wrong("Account", portal.ErrNotFound), status: 404, says: "There is no such thing"},
	"an audit log that is full":      {target: person, with: wrong("Account", &portal.Error{Message: "secret text"}), status: 500, says: "The mistake is ours", hides: "m…@m….org"},
	"reveal":                         {target: person + "/reveal", status: 200, says: "kept in the audit log"},
	"reveal of what is no id":        {target: pathAdminAccounts + "/x/reveal", status: 404, says: "There is no such thing"},
	"revealed":                       {method: "POST", target: person + "/reveal", form: url.Values{"reason": {"ticket 4711 says so"}}, status: 200, says: "marlene.weber@mail.example.org"},
	"reveal without a reason":        {method: "POST", target: person + "/reveal", form: url.Values{"reason": {"<b>"}}, with: wrong("Reveal", wrongReason), status: 422, says: "&lt;b&gt;", hides: "marlene"},
	"disable":                        {target: person + "/disable", status: 200, says: "its API tokens are revoked"},
	"disable an admin":               {method: "POST", target: person + "/disable", with: wrong("Disable", &portal.Error{Kind: portal.KindForbidden, Message: "Only an admin may."}), status: 403, says: "Only an admin may."},
	"disable twice":                  {method: "POST", target: person + "/disable", with: wrong("Disable", &portal.Error{Kind: portal.KindConflict, Message: "Disabled already."}), status: 409, says: "Disabled already."},
	"enable":                         {target: person + "/enable", status: 200, says: "The person can sign in again"},
	"end sessions":                   {target: person + "/end-sessions", status: 200, says: "is signed out"},
	"role":                           {target: person + "/role", who: "admin", status: 200, says: `<option value="finance">Finance</option>`},
	"a role that there is not":       {method: "POST", target: person + "/role", who: "admin", form: url.Values{"role": {"root"}}, with: wrong("SetRole", portal.Invalid("role", "Choose one.")), status: 422, says: "Choose one."},
	"holds":                          {target: pathAdminHolds, status: 200, says: "Review was due"},
	"no holds":                       {target: pathAdminHolds, with: nothing, status: 200, says: "Nothing is held."},
	"a new hold":                     {target: pathAdminHolds + "/new?account=" + idPerson, status: 200, says: `value="2026-04-01"`},
	"a hold on too much":             {method: "POST", target: pathAdminHolds + "/new", form: url.Values{"review": {"2026-04-01"}, "kind": {"sign-in"}}, with: wrong("PlaceHold", portal.Invalid("filter", "This would hold too much.")), status: 422, says: "This would hold too much."},
	"a hold without a review":        {method: "POST", target: pathAdminHolds + "/new", form: url.Values{"review": {"soon"}}, status: 422, says: "Choose a day."},
	"a review":                       {target: hold + "/review", status: 200, says: "Next review"},
	"a review without a day":         {method: "POST", target: hold + "/review", status: 422, says: "Choose a day."},
	"a release":                      {target: hold + "/release", status: 200, says: "undone"},
	"a release without a reason":     {method: "POST", target: hold + "/release", with: wrong("ReleaseHold", wrongReason), status: 422, says: "Say why"},
	"a release of what is released":  {target: pathAdminHolds + "/" + idOld + "/release", status: 404, says: "There is no such thing"},
	"a hold that there is not":       {method: "POST", target: pathAdminHolds + "/x/release", with: wrong("ReleaseHold", portal.ErrNotFound), status: 404, says: "There is no such thing"},
	"the audit log":                  {target: pathAdminAudit, status: 200, says: "a command on the server"},
	"an older page of the audit log": {target: pathAdminAudit + "?before=812", status: 200, says: "/admin/audit?before=809"},
	"a page of the log that is none": {target: pathAdminAudit + "?before=-1", status: 404, says: "There is no such thing"},
	"an audit log with no rows":      {target: pathAdminAudit + "?before=1", with: nothing, status: 200, says: "No rows."},
	"a log that is whole":            {method: "POST", target: pathAdminAudit + "/verify", status: 200, says: "The log is whole"},
	"a log that was tampered with":   {method: "POST", target: pathAdminAudit + "/verify", with: func(f *richReview) { f.report.BrokenAt = 17 }, status: 200, says: "Row 17 does not follow", hides: "whole: each"},
}

func (c adminShown) show(t *testing.T) (*httptest.ResponseRecorder, *richReview) {
	t.Helper()
	s, review := adminServer(t)
	if c.with != nil {
		c.with(review)
	}
	if c.method == "" {
		c.method = http.MethodGet
	}
	if c.who == "" {
		c.who = "security"
	}
	if c.form == nil && c.method == http.MethodPost {
		c.form = url.Values{}
	}
	return ask(s, c.method, c.target, c.who, c.form), review
}

func TestAdminPages(t *testing.T) {
	t.Parallel()
	for name, c := range adminPages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := c.show(t)
			body := w.Body.String()
			if w.Code != c.status {
				t.Fatalf("status %d, want %d:\n%s", w.Code, c.status, body)
			}
			if !strings.Contains(body, c.says) {
				t.Errorf("the page does not say %q:\n%s", c.says, body)
			}
			if c.hides != "" && strings.Contains(body, c.hides) || strings.Contains(body, "secret text") {
				t.Errorf("the page says %q:\n%s", c.hides, body)
			}
			if c.says != "marlene.weber@mail.example.org" && strings.Contains(body, "marlene.weber@mail") && c.form.Get("q") == "" {
				t.Errorf("the page tells an address in full:\n%s", body)
			}
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control is %q", w.Header().Get("Cache-Control"))
			}
			checkDocument(t, body, true)
		})
	}
}

func TestAdminFormsReachTheUseCase(t *testing.T) {
	t.Parallel()
	when := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	filterFields := url.Values{
		"account": {" " + idPerson + " "}, "network": {"203.0.113.9/24"}, "country": {"br"}, "from": {"2026-03-01T09:30"}, "to": {"2026-03-02"},
		"kind": {"sign-in", "sign-out", "nothing"},
	}
	want := portal.EventFilter{
		Account: idPerson, Network: netip.MustParsePrefix("203.0.113.0/24"), Country: "BR", From: when, To: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC),
		Kinds: []portal.EventKind{portal.EventSignIn, portal.EventSignOut},
	}
	prefixes := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

	search := with(filterFields, url.Values{"held": {"1"}, "after": {"1772442000000000." + strings.Repeat("e", 26)}})
	w, review := adminShown{method: "POST", target: pathAdminEvents, form: search}.show(t)
	held := want
	held.Held = true
	if diff := cmp.Diff(held, review.filter, prefixes); diff != "" || w.Code != 200 {
		t.Errorf("search: %d (-want +got):\n%s", w.Code, diff)
	}
	if review.after.Time.UnixMicro() != 1772442000000000 || len(review.after.ID) != 26 {
		t.Errorf("the search goes on after %+v", review.after)
	}

	w, review = adminShown{method: "POST", target: pathAdminHolds + "/new", form: with(filterFields, url.Values{
		"case": {" INC-17 "}, "reason": {"the police asked us to"}, "review": {"2026-04-01"},
	})}.show(t)
	wantHold := portal.Hold{Case: "INC-17", Reason: "the police asked us to", Filter: want, ReviewAt: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)}
	if diff := cmp.Diff(wantHold, review.hold, prefixes); diff != "" || w.Header().Get("Location") != pathAdminHolds {
		t.Errorf("hold: %d to %q (-want +got):\n%s", w.Code, w.Header().Get("Location"), diff)
	}

	for target, wantReason := range map[string]string{person + "/reveal": "ticket 4711", person + "/disable": "ticket 4711", person + "/role": "finance"} {
		_, review = adminShown{method: "POST", target: target, who: "admin", form: url.Values{"reason": {"ticket 4711"}, "role": {"finance"}}}.show(t)
		if review.reason != wantReason {
			t.Errorf("%s: %q reached the use case", target, review.reason)
		}
	}
	_, review = adminShown{method: "POST", target: hold + "/review", form: url.Values{"reason": {"still needed"}, "review": {"2026-04-01"}}}.show(t)
	if review.hold.ID != idHold || review.hold.Reason != "still needed" || !review.hold.ReviewAt.Equal(wantHold.ReviewAt) {
		t.Errorf("review: %+v", review.hold)
	}
}

func with(a, b url.Values) url.Values {
	all := url.Values{}
	for _, values := range []url.Values{a, b} {
		for name, list := range values {
			all[name] = list
		}
	}
	return all
}

func TestAdminActsLeadBackWithANotice(t *testing.T) {
	t.Parallel()
	for target, to := range map[string]string{
		person + "/disable": person, person + "/enable": person, person + "/end-sessions": person, person + "/role": person,
		hold + "/release": pathAdminHolds, hold + "/review": pathAdminHolds, pathAdminHolds + "/new": pathAdminHolds,
	} {
		w, _ := adminShown{method: "POST", target: target, who: "admin", form: url.Values{"reason": {"ticket 4711"}, "review": {"2026-04-01"}}}.show(t)
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != to {
			t.Errorf("%s: %d to %q, want to %s", target, w.Code, w.Header().Get("Location"), to)
		}
		cookies := w.Result().Cookies()
		if len(cookies) != 1 || notices[notice(cookies[0].Value)] == "" {
			t.Errorf("%s: cookies are %v, want a notice", target, cookies)
		}
	}
}

func TestAdminMenuByRole(t *testing.T) {
	t.Parallel()
	s, _ := adminServer(t)
	all := []string{"Security events", "Sign-in map", "Flags", "Accounts", "Holds", "Audit log"}
	for role, want := range map[string][]string{"support": {"Accounts"}, "finance": {"Accounts"}, "security": all, "admin": all} {
		body := ask(s, "GET", pathAdminAccounts, role, nil).Body.String()
		var got []string
		for _, label := range all {
			if strings.Contains(body, ">"+label+"</a></li>") {
				got = append(got, label)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", role, diff)
		}
		start := map[bool]string{true: pathAdminAccounts, false: pathAdminEvents}[len(want) == 1]
		if !strings.Contains(body, `<a href="`+start+`" aria-current="page">Admin</a>`) && !strings.Contains(body, `<a href="`+start+`" aria-current="true">Admin</a>`) {
			t.Errorf("%s: the header does not lead to %s", role, start)
		}
	}
}

func TestAdminSearchesAreNotInURLs(t *testing.T) {
	t.Parallel()
	s, _ := adminServer(t)
	for _, target := range []string{
		pathAdminEvents + "?network=203.0.113.9", pathAdminAccounts + "?q=marlene.weber@mail.example.org",
	} {
		body := ask(s, "GET", target, "security", nil).Body.String()
		if strings.Contains(body, "203.0.113.9<") || strings.Contains(body, "marlene") || strings.Contains(body, `value="203`) {
			t.Errorf("%s was looked up", target)
		}
	}
}

func TestBarsFitTheirBox(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ good, bad, most int }{{0, 0, 1}, {1, 0, 1000000}, {999999, 1, 1000000}, {500, 500, 1000}, {0, 7, 7}} {
		good, bad := share(c.good, c.most), share(c.bad, c.most)
		if good+bad > 101 || (c.good > 0) != (good > 0) || (c.bad > 0) != (bad > 0) {
			t.Errorf("%+v: %d and %d", c, good, bad)
		}
	}
}

func FuzzAdminFilter(f *testing.F) {
	f.Add("203.0.113.9", "2026-03-01T09:30")
	f.Add("::ffff:203.0.113.9", "2026-03-01")
	f.Add("fe80::1%eth0", "0000-01-01")
	f.Add("::ffff:0:0/96", "9999-12-31T23:59:59")
	f.Fuzz(func(t *testing.T, network, moment string) {
		if p, ok := parseNetwork(network); ok && network != "" && (!p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || p.Addr().Zone() != "") {
			t.Errorf("%q gave %v", network, p)
		}
		if at, ok := parseMoment(moment); ok && moment != "" && (at.Year() < 1970 || at.Year() > 9999 || at.Location() != time.UTC) {
			t.Errorf("%q gave %v", moment, at)
		}
	})
}
