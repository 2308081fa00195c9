package web

import (
	"crypto/tls"
	"flag"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/portal"
)

var preview = flag.String("preview", "", "serve all pages with made-up data at this address until interrupted")

// TestPreview is for who works on the look of the pages. Pages of an account are shown as
// somebody signed in; a query "as=plain" shows them without a second factor.
func TestPreview(t *testing.T) {
	if *preview == "" {
		t.Skip("not asked for: use -preview 127.0.0.1:8443")
	}
	s, auth := fakeServer(t)
	auth.needsCode = true
	auth.person("ada")
	auth.person("plain", func(p *portal.Principal) { p.SecondFactor = false })
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if as := r.URL.Query().Get("as"); as != "" {
			r.AddCookie(&http.Cookie{Name: cookieSession, Value: secretOf(as)})
		} else if strings.HasPrefix(r.URL.Path, "/account") || r.URL.Path == "/step-up" {
			r.AddCookie(&http.Cookie{Name: cookieSession, Value: secretOf("ada")})
		}
		if r.URL.Path == "/sign-in/code" {
			r.AddCookie(&http.Cookie{Name: cookieChallenge, Value: secretOf("challenge")})
		}
		if notice := r.URL.Query().Get("notice"); notice != "" {
			r.AddCookie(&http.Cookie{Name: cookieNotice, Value: notice})
		}
		// A query "post=..." is sent as a form, so that answers to forms can be looked at too.
		if form, ok := strings.CutPrefix(r.URL.RawQuery, "post="); ok {
			auth.fail("SignUp", portal.Invalid("password", "This password is too short. Use at least 15 characters."))
			auth.fail("SignIn", &portal.Error{Kind: portal.KindTooMany, Message: "There were too many failed attempts. Try again in 4 minutes."})
			w := httptest.NewRecorder()
			_ = w
			r, _ = http.NewRequestWithContext(r.Context(), http.MethodPost, r.URL.Path, strings.NewReader(form))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.AddCookie(&http.Cookie{Name: cookieSession, Value: secretOf("ada")})
			if strings.HasPrefix(r.URL.Path, "/sign") {
				r.Header.Del("Cookie")
			}
		}
		s.ServeHTTP(w, r)
	}))
	listener, err := net.Listen("tcp", *preview)
	if err != nil {
		t.Fatal(err)
	}
	server.Listener = listener
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	t.Logf("look at %s", server.URL)
	<-t.Context().Done()
}
