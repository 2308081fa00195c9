package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/lethe-dev/lethe/portal"
)

// shown is one way to get to see a page.
type shown struct {
	method, target, who string
	form                url.Values
	status              int
	// says is a text on the page.
	says string
	// with prepares what is behind the pages.
	with func(f *fakeAuth)
	part bool // htmx asks
}

func failing(method string, err error) func(*fakeAuth) {
	return func(f *fakeAuth) { f.fail(method, err) }
}

var (
	wrongField = portal.Invalid("password", "This is too short.")
	tooMany    = &portal.Error{Kind: portal.KindTooMany, Message: "Too many failed attempts.", RetryAfter: 30e9}
	token      = url.Values{"token": {secretOf("token")}}
)

// pages are all pages, and what they say to whom.
var pages = map[string]shown{
	"the first page":                        {target: "/", status: 200, says: "Then forget the data"},
	"the first page, signed in":             {target: "/", who: "ada", status: 200, says: "Sign out"},
	"sign-up":                               {target: "/sign-up", status: 200, says: "Create your account"},
	"sign-up with a short password":         {method: "POST", target: "/sign-up", form: url.Values{"email": {"a@b.org"}}, with: failing("SignUp", wrongField), status: 422, says: "This is too short."},
	"sign-up done":                          {target: "/sign-up/sent", status: 200, says: "Check your mail"},
	"asking again with a wrong address":     {method: "POST", target: "/sign-up/resend", with: failing("ResendVerification", portal.Invalid("email", "No address.")), status: 422, says: "No address."},
	"sign-in":                               {target: "/sign-in?next=/account/tokens", status: 200, says: `value="/account/tokens"`},
	"sign-in that fails":                    {method: "POST", target: "/sign-in", form: url.Values{"email": {"a@b.org"}}, with: failing("SignIn", &portal.Error{Kind: portal.KindUnauthenticated, Message: "Email or password is wrong."}), status: 401, says: "Email or password is wrong."},
	"sign-in that is slowed down":           {method: "POST", target: "/sign-in", form: url.Values{"email": {"a@b.org"}}, with: failing("SignIn", tooMany), status: 429, says: `name="email" value="a@b.org"`},
	"the code":                              {target: "/sign-in/code", status: 200, says: "authenticator app"},
	"a wrong code":                          {method: "POST", target: "/sign-in/code", with: failing("FinishSignIn", &portal.Error{Kind: portal.KindUnauthenticated, Field: "code", Message: "Wrong code."}), status: 401, says: "f-code\">Wrong code."},
	"a code after the sign-in is over":      {method: "POST", target: "/sign-in/code", with: failing("FinishSignIn", &portal.Error{Kind: portal.KindUnauthenticated, Message: "Sign in again."}), status: 401, says: "Forgot your password?"},
	"a code that is slowed down":            {method: "POST", target: "/sign-in/code", with: failing("FinishSignIn", tooMany), status: 429, says: "Try again in 30 seconds"},
	"a browser to confirm":                  {target: "/sign-in/device", status: 200, says: "Confirm this browser"},
	"a browser to confirm, no address":      {method: "POST", target: "/sign-in/device", with: failing("AskDevice", portal.Invalid("email", "No address.")), status: 422, says: "No address."},
	"a browser to confirm, mail sent":       {target: "/sign-in/device/sent", status: 200, says: "in this browser"},
	"forgotten password":                    {target: "/forgot", status: 200, says: "Mail me a link"},
	"forgotten password, no address":        {method: "POST", target: "/forgot", with: failing("AskReset", portal.Invalid("email", "No address.")), status: 422, says: "No address."},
	"forgotten password, mail sent":         {target: "/forgot/sent", status: 200, says: "half an hour"},
	"verify link":                           {target: "/verify?token=" + secretOf("token"), status: 200, says: secretOf("token")},
	"verify link that is dead":              {target: "/verify?token=nonsense", status: 404, says: "Ask for a new link"},
	"verify link that died meanwhile":       {method: "POST", target: "/verify", form: token, with: failing("VerifyEmail", portal.ErrNotFound), status: 404, says: "does not work any more"},
	"new-email link":                        {target: "/new-email?token=" + secretOf("token"), status: 200, says: "Change my address"},
	"undo-email link":                       {target: "/undo-email?token=" + secretOf("token"), status: 200, says: "Undo the change"},
	"device link":                           {target: "/device?token=" + secretOf("token"), status: 200, says: "Confirm this browser"},
	"device link that is dead":              {method: "POST", target: "/device", form: token, with: failing("ConfirmDevice", portal.ErrNotFound), status: 404, says: "does not work any more"},
	"reset link":                            {target: "/reset?token=" + secretOf("token"), status: 200, says: "New password"},
	"reset link of who has a second factor": {target: "/reset?token=" + secretOf("token"), with: func(f *fakeAuth) { f.needsCode = true }, status: 200, says: "or a recovery code"},
	"reset with a short password":           {method: "POST", target: "/reset", form: token, with: failing("Reset", wrongField), status: 422, says: "This is too short."},
	"reset link that is dead":               {target: "/reset", status: 404, says: "Ask for a new link"},
	"step-up":                               {target: "/step-up?next=/account/email", who: "ada", status: 200, says: `value="/account/email"`},
	"step-up without a second factor":       {target: "/step-up", who: "plain", status: 200, says: "Confirm that it is you"},
	"step-up that fails":                    {method: "POST", target: "/step-up", who: "ada", with: failing("StepUp", &portal.Error{Kind: portal.KindUnauthenticated, Message: "Password or code is wrong."}), status: 401, says: "Password or code is wrong."},
	"overview":                              {target: "/account", who: "ada", status: 200, says: "8 recovery codes left"},
	"overview without a second factor":      {target: "/account", who: "plain", status: 200, says: "Add a second factor"},
	"password":                              {target: "/account/password", who: "ada", status: 200, says: "Change your password"},
	"password that is too short":            {method: "POST", target: "/account/password", who: "ada", with: failing("ChangePassword", wrongField), status: 422, says: "This is too short."},
	"email":                                 {target: "/account/email", who: "ada", status: 200, says: "ada@example.org"},
	"email that is none":                    {method: "POST", target: "/account/email", who: "ada", form: url.Values{"email": {"<b>"}}, with: failing("ChangeEmail", portal.Invalid("email", "No address.")), status: 422, says: "&lt;b&gt;"},
	"two-factor, on":                        {target: "/account/two-factor", who: "ada", status: 200, says: "Replace the app"},
	"two-factor, off":                       {target: "/account/two-factor", who: "plain", status: 200, says: "Add an authenticator app"},
	"two-factor of staff":                   {target: "/account/two-factor", who: "staff", status: 200, says: "so it stays on"},
	"set-up, not begun":                     {target: "/account/two-factor/setup", who: "plain", with: failing("PendingTOTP", portal.ErrNotFound), status: 200, says: "Show the QR code"},
	"set-up, begun":                         {target: "/account/two-factor/setup", who: "plain", status: 200, says: "JBSW Y3DP"},
	"set-up with a wrong code":              {method: "POST", target: "/account/two-factor/confirm", who: "plain", with: failing("ConfirmTOTP", portal.Invalid("code", "Wrong code.")), status: 422, says: "Wrong code."},
	"set-up done":                           {method: "POST", target: "/account/two-factor/confirm", who: "plain", status: 200, says: "Two-factor sign-in is on."},
	"turning off":                           {target: "/account/two-factor/remove", who: "ada", status: 200, says: "Turn it off"},
	"recovery codes":                        {target: "/account/recovery-codes", who: "ada", status: 200, says: "Make new codes"},
	"new recovery codes":                    {method: "POST", target: "/account/recovery-codes", who: "ada", status: 200, says: codes()[3]},
	"sessions":                              {target: "/account/sessions", who: "ada", status: 200, says: "Safari on iPhone"},
	"one's only session":                    {target: "/account/sessions", who: "ada", with: func(f *fakeAuth) { f.list = nil }, status: 200, says: "This one"},
	"a session ended, by htmx":              {method: "POST", target: "/account/sessions/other/end", who: "ada", part: true, status: 200, says: "The session was ended."},
	"somebody else's session, by htmx":      {method: "POST", target: "/account/sessions/theirs/end", who: "ada", part: true, status: 404, says: "not yours"},
	"tokens":                                {target: "/account/tokens", who: "ada", status: 200, says: "nightly export"},
	"no tokens":                             {target: "/account/tokens", who: "ada", with: func(f *fakeAuth) { f.tokens = nil }, status: 200, says: "You have no tokens."},
	"a token revoked, by htmx":              {method: "POST", target: "/account/tokens/mine/revoke", who: "ada", part: true, status: 200, says: "The token was revoked."},
	"somebody else's token":                 {method: "POST", target: "/account/tokens/theirs/revoke", who: "ada", status: 404, says: "not yours"},
	"a new token":                           {target: "/account/tokens/new", who: "ada", status: 200, says: "Read your account"},
	"a new token without a scope":           {method: "POST", target: "/account/tokens/new", who: "ada", form: url.Values{"days": {"7"}, "scope": {"events:read"}}, with: failing("CreateToken", portal.Invalid("scopes", "Choose.")), status: 422, says: `value="events:read" checked`},
	"mails":                                 {target: "/account/mails", who: "ada", status: 200, says: `value="run-failed" checked`},
	"mails that can't be chosen":            {method: "POST", target: "/account/mails", who: "ada", form: url.Values{"kind": {"run-started", "password-changed"}}, with: failing("SetWantedMails", portal.Invalid("kind", "No choice.")), status: 422, says: `value="run-started" checked`},
	"mails chosen":                          {method: "POST", target: "/account/mails", who: "ada", form: url.Values{"kind": {"run-started"}}, status: 303},
	"a token made":                          {method: "POST", target: "/account/tokens/new", who: "ada", form: url.Values{"name": {"x"}, "scope": {"events:read", "account:read"}, "days": {"90"}}, status: 200, says: "lethe_pat_"},
	"history":                               {target: "/account/history", who: "ada", status: 200, says: "Sign-in failed"},
	"a longer history":                      {target: "/account/history?before=1772442000000000.eeeeeeeeeeeeeeeeeeeeeeeeee", who: "ada", with: func(f *fakeAuth) { f.events = append(f.events, f.events...) }, status: 200, says: "Older"},
	"an empty history":                      {target: "/account/history", who: "ada", with: func(f *fakeAuth) { f.events = nil }, status: 200, says: "Nothing yet."},
	"a history at a place that is none":     {target: "/account/history?before=yesterday", who: "ada", status: 404, says: "There is no such thing"},
	"what is not there":                     {target: "/nothing", status: 404, says: "There is no such thing"},
	"a method that is not there":            {method: "DELETE", target: "/sign-in", status: 405, says: "Not in this way"},
	"a store that does not answer":          {target: "/account", who: "ada", with: failing("Sessions", &portal.Error{Kind: portal.KindUnavailable, Message: "We are back in a moment."}), status: 503, says: "We are back in a moment."},
	"an error of ours":                      {target: "/account", who: "ada", with: failing("Tokens", fmt.Errorf("secret text")), status: 500, says: "The mistake is ours"},
	"an error of ours in a form":            {method: "POST", target: "/sign-in", with: failing("SignIn", &portal.Error{Kind: portal.KindInternal, Message: "secret text"}), status: 500, says: "The mistake is ours"},
	"an error of ours, by htmx":             {method: "POST", target: "/account/sessions/other/end", who: "ada", part: true, with: failing("EndSession", fmt.Errorf("secret text")), status: 500, says: "The mistake is ours"},
}

// show gets a page.
func (c shown) show(t *testing.T) *httptest.ResponseRecorder {
	t.Helper()
	s, f := fakeServer(t)
	f.person("ada")
	f.person("plain", func(p *portal.Principal) { p.SecondFactor = false })
	f.person("staff", func(p *portal.Principal) { p.Account.Role = portal.RoleSupport })
	if c.with != nil {
		c.with(f)
	}
	if c.method == "" {
		c.method = http.MethodGet
	}
	if c.form == nil && c.method == http.MethodPost {
		c.form = url.Values{}
	}
	return ask(s, c.method, c.target, c.who, c.form, func(r *http.Request) {
		r.AddCookie(&http.Cookie{Name: cookieChallenge, Value: secretOf("challenge")})
		if c.part {
			r.Header.Set("HX-Request", "true")
		}
	})
}

func TestPages(t *testing.T) {
	t.Parallel()
	for name, c := range pages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := c.show(t)
			if w.Code != c.status {
				t.Fatalf("status %d, want %d:\n%s", w.Code, c.status, w.Body)
			}
			body := w.Body.String()
			if !strings.Contains(body, c.says) {
				t.Errorf("the page does not say %q:\n%s", c.says, body)
			}
			if strings.Contains(body, "secret text") {
				t.Errorf("the page shows a text that is not for people:\n%s", body)
			}
			if c.part == strings.Contains(body, "<!doctype html>") && body != "" {
				t.Errorf("a whole page instead of a part, or the other way round:\n%s", body)
			}
			if live := strings.Contains(body, "hx-"); !c.part && live != strings.Contains(body, "vendor/htmx") {
				t.Error("htmx is loaded without need, or needed and not loaded")
			}
			if body != "" {
				checkDocument(t, body, !c.part)
			}
		})
	}
}

// checkDocument looks at what each page has to keep to.
func checkDocument(t *testing.T, text string, whole bool) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatalf("parse the page: %v", err)
	}
	d := document{t: t, ids: map[string]bool{}, labels: map[string]bool{}}
	for n := range root.Descendants() {
		switch n.Type {
		case html.ElementNode:
			d.element(n)
		case html.TextNode:
			checkWords(t, n.Data)
		default:
		}
	}
	for _, id := range d.refersTo {
		if !d.ids[id] {
			t.Errorf("something refers to #%s, which is not there", id)
		}
	}
	for _, id := range d.inputs {
		if !d.labels[id] {
			t.Errorf("the input %q has no label", id)
		}
	}
	if whole && d.headings != 1 {
		t.Errorf("%d headings of the first order, want 1", d.headings)
	}
}

// checkWords keeps words off the pages that say nothing to the people they are for.
func checkWords(t *testing.T, text string) {
	t.Helper()
	for _, word := range []string{"please ", "oops", "invalid", "successfully", "error occurred", "unauthorized", "nil", "%!", "<no value>", "zgotmplz"} {
		if strings.Contains(strings.ToLower(text), word) {
			t.Errorf("the page says %q: %s", word, text)
		}
	}
}

// document gathers what is found on a page.
type document struct {
	t                *testing.T
	ids, labels      map[string]bool
	refersTo, inputs []string
	headings         int
}

func (d *document) element(n *html.Node) {
	attributes := map[string]string{}
	for _, a := range n.Attr {
		attributes[a.Key] = a.Val
		d.attribute(n.Data, a.Key, a.Val)
	}
	switch n.Data {
	case "h1":
		d.headings++
	case "style", "iframe", "object", "embed", "base":
		d.t.Errorf("there is a <%s>", n.Data)
	case "script":
		if attributes["src"] == "" || n.FirstChild != nil {
			d.t.Error("there is an inline script")
		}
	case "label":
		d.labels[attributes["for"]] = true
	case "img":
		if attributes["alt"] == "" {
			d.t.Error("a picture has no text in its place")
		}
	case "input", "select", "textarea":
		hidden := attributes["type"] == "hidden" || attributes["type"] == "checkbox" || attributes["aria-hidden"] == "true"
		if !hidden {
			d.inputs = append(d.inputs, attributes["id"])
		}
	case "form":
		if attributes["method"] != "post" && attributes["method"] != "get" {
			d.t.Errorf("a form has the method %q", attributes["method"])
		}
	}
}

// urlAttributes hold addresses.
var urlAttributes = map[string]bool{"href": true, "src": true, "action": true, "formaction": true, "hx-post": true, "hx-get": true, "poster": true, "srcset": true}

func (d *document) attribute(element, key, value string) {
	switch {
	case key == "style" || strings.HasPrefix(key, "on") || strings.HasPrefix(key, "hx-on") || key == "hx-vals" || key == "hx-headers":
		d.t.Errorf("<%s> has the inline code %s=%q", element, key, value)
	case urlAttributes[key]:
		local := strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "//") || strings.HasPrefix(value, "#")
		if !local {
			d.t.Errorf("<%s %s=%q> does not stay with us", element, key, value)
		}
		if rest, ok := strings.CutPrefix(value, "#"); ok {
			d.refersTo = append(d.refersTo, rest)
		}
	case key == "id":
		if d.ids[value] {
			d.t.Errorf("two elements have the id %q", value)
		}
		d.ids[value] = true
	case key == "aria-describedby" || key == "aria-labelledby" || key == "data-copy":
		d.refersTo = append(d.refersTo, strings.Fields(value)...)
	}
}

func TestStaticFilesFetchNothing(t *testing.T) {
	t.Parallel()
	css, err := staticFiles.ReadFile("static/lethe.css")
	if err != nil {
		t.Fatal(err)
	}
	js, err := staticFiles.ReadFile("static/lethe.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"url(", "@import", "http:", "https:"} {
		if strings.Contains(string(css), word) {
			t.Errorf("the stylesheet has %q", word)
		}
	}
	for _, word := range []string{"eval(", "innerHTML", "outerHTML", "document.write", "insertAdjacentHTML", "http:", "https:", "localStorage", "setItem", "document.cookie"} {
		if strings.Contains(string(js), word) {
			t.Errorf("the script has %q", word)
		}
	}
}
