package web

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/net/html"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/auth"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/preferences"
	"github.com/lethe-dev/lethe/portal/review"
)

// portalUnderTest is the pages with the real use cases and a real store behind them, over
// TLS.
type portalUnderTest struct {
	server *httptest.Server
	web    *Server
	auth   *auth.Service
	store  portal.Store
	clock  *portaltest.Clock
	// cluster is where runs are made.
	cluster *countingCluster
}

func newPortal(t *testing.T) *portalUnderTest {
	t.Helper()
	p := &portalUnderTest{store: portaltest.Store(t), clock: &portaltest.Clock{}}
	keys, random := portaltest.Keys(t), portaltest.Random(3)
	var err error
	p.auth, err = auth.New(
		auth.Dependencies{Store: p.store, Keys: keys, Now: p.clock.Now, Random: random, Issuer: "Lethe"},
		auth.Options{Argon2: auth.Argon2{MemoryKiB: 19 << 10, Time: 2, Threads: 1}},
	)
	if err != nil {
		t.Fatal(err)
	}
	staff, err := review.New(review.Dependencies{Store: p.store, Now: p.clock.Now, Random: random, MAC: keys.MAC})
	if err != nil {
		t.Fatal(err)
	}
	choices, err := preferences.New(p.store)
	if err != nil {
		t.Fatal(err)
	}
	p.web, err = New(Dependencies{
		Auth: p.auth, Review: staff, Preferences: choices, Runs: realRuns(t, p), Clients: fakeClients{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Now: p.clock.Now, Random: random, Browser: func(string) string { return "Firefox on Linux" },
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p.server = httptest.NewTLSServer(p.web)
	t.Cleanup(p.server.Close)
	return p
}

// mail gives the link of the newest mail of a kind, and takes all mails out.
func (p *portalUnderTest) mail(t *testing.T, kind portal.MailKind) string {
	t.Helper()
	link := ""
	err := p.store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		link = ""
		mails, err := tx.ClaimMails(ctx, p.clock.Now(), p.clock.Now().Add(time.Hour), 100)
		for _, m := range mails {
			if m.Kind == kind {
				link = "mailed " + m.Data.Link
			}
		}
		return err
	})
	if err != nil || link == "" {
		t.Fatalf("no mail of kind %s: %v", kind, err)
	}
	return strings.TrimPrefix(link, "mailed ")
}

// code is what an authenticator app with that secret shows now.
func (p *portalUnderTest) code(t *testing.T, secret string) string {
	t.Helper()
	code, err := totp.GenerateCode(secret, p.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// browser is a person's: it keeps cookies, follows redirects, and sends the forms that are
// on the page.
type browser struct {
	t      *testing.T
	p      *portalUnderTest
	client *http.Client
	// path, status and page are what is shown.
	path   string
	status int
	page   string
}

func (p *portalUnderTest) browser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := p.server.Client()
	return &browser{t: t, p: p, client: &http.Client{Transport: client.Transport, Jar: jar}}
}

func (b *browser) open(path string) *browser {
	b.t.Helper()
	return b.send(http.MethodGet, path, nil)
}

func (b *browser) send(method, path string, form url.Values) *browser {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.p.server.URL+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if b.path != "" {
		r.Header.Set("Referer", b.p.server.URL+b.path)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	answer, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.path, b.status, b.page = answer.Request.URL.Path, answer.StatusCode, string(text)
	return b
}

// submit fills in the form that goes to a path and sends it. Pairs are fields and values.
func (b *browser) submit(path string, pairs ...string) *browser {
	b.t.Helper()
	form, ok := b.form(path)
	if !ok {
		b.t.Fatalf("no form to %s on %s:\n%s", path, b.path, b.page)
	}
	for i := 0; i < len(pairs); i += 2 {
		if _, ok := form[pairs[i]]; !ok {
			b.t.Fatalf("the form to %s has no field %s", path, pairs[i])
		}
		form.Set(pairs[i], pairs[i+1])
	}
	return b.send(http.MethodPost, path, form)
}

// form gives the fields of the form that goes to a path.
func (b *browser) form(path string) (url.Values, bool) {
	b.t.Helper()
	root, err := html.Parse(strings.NewReader(b.page))
	if err != nil {
		b.t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Data == "form" && attribute(n, "action") == path {
			return fieldsOf(n), true
		}
	}
	return nil, false
}

func fieldsOf(form *html.Node) url.Values {
	values := url.Values{}
	for n := range form.Descendants() {
		name := attribute(n, "name")
		switch {
		case name == "":
		case n.Data == "select":
			values.Set(name, chosen(n))
		case n.Data == "input" || n.Data == "textarea":
			values.Set(name, attribute(n, "value")) // boxes are all checked; of a list, the last
		}
	}
	return values
}

// chosen is the option of a list that is selected.
func chosen(list *html.Node) string {
	for n := range list.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "selected" {
				return attribute(n, "value")
			}
		}
	}
	return ""
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// text gives what an element says; "" when there is none with that id.
func (b *browser) text(id string) []string {
	b.t.Helper()
	root, err := html.Parse(strings.NewReader(b.page))
	if err != nil {
		b.t.Fatal(err)
	}
	var found []string
	for n := range root.Descendants() {
		if attribute(n, "id") != id {
			continue
		}
		for inner := range n.Descendants() {
			if inner.Type == html.TextNode && strings.TrimSpace(inner.Data) != "" {
				found = append(found, strings.TrimSpace(inner.Data))
			}
		}
	}
	return found
}

// sees stops the test when the browser does not show that page with that text.
func (b *browser) sees(status int, path, text string) *browser {
	b.t.Helper()
	if b.status != status || b.path != path || !strings.Contains(b.page, text) {
		b.t.Fatalf("the browser shows %s with status %d, want %s, %d and %q:\n%s", b.path, b.status, path, status, text, b.page)
	}
	return b
}

// cookie is the value of one that the browser keeps.
func (b *browser) cookie(name string) string {
	b.t.Helper()
	u, err := url.Parse(b.p.server.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

const goodPassword = "seven pale otters hum"

// signedUp has an account with that address, and is signed in.
func (p *portalUnderTest) signedUp(t *testing.T, email string) *browser {
	t.Helper()
	b := p.browser(t)
	b.open("/sign-up").submit("/sign-up", "email", email, "password", goodPassword).sees(200, "/sign-up/sent", "Check your mail")
	b.open(p.mail(t, portal.MailVerify)).submit("/verify").sees(200, "/sign-in", "Your email address is confirmed.")
	return b.submit("/sign-in", "email", email, "password", goodPassword).sees(200, "/account", "Your account")
}

// enrolled has a second factor too; it gives the app's secret and the recovery codes.
func (b *browser) enrolled() (secret string, codes []string) {
	b.t.Helper()
	b.open("/account/two-factor").open("/account/two-factor/setup").submit("/account/two-factor/setup").sees(200, "/account/two-factor/setup", "Scan this")
	secret = strings.ReplaceAll(strings.Join(b.text("totp-secret"), ""), " ", "")
	b.submit("/account/two-factor/confirm", "code", b.p.code(b.t, secret)).sees(200, "/account/two-factor/confirm", "Two-factor sign-in is on.")
	return secret, b.text("recovery-codes")
}
