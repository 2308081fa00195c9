package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/lethe-dev/lethe/hack/mailsink"
	"github.com/lethe-dev/lethe/hack/portaldemo/stand"
)

// built is the portal, built once for all tests that run it as a process of its own.
var built struct {
	sync.Once
	folder, program string
	err             error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.folder != "" {
		_ = os.RemoveAll(built.folder)
	}
	os.Exit(code)
}

func program(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		//nolint:usetesting // it outlives the test that is first to need it
		if built.folder, built.err = os.MkdirTemp("", "lethe-portal-"); built.err != nil {
			return
		}
		built.program = filepath.Join(built.folder, "portal")
		if out, err := exec.Command("go", "build", "-o", built.program, ".").CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build the portal: %w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.program
}

// runPortal runs a portal until the test ends.
func runPortal(t *testing.T, options stand.Options) *stand.Stand {
	t.Helper()
	options.Program = program(t)
	if options.Dir == "" {
		options.Dir = t.TempDir()
	}
	s, err := stand.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the portal's log:\n%s", s.Log())
		}
	})
	return s
}

// visitor is a browser without a screen: it keeps cookies and follows no redirects.
type visitor struct {
	t      *testing.T
	client *http.Client
}

func newVisitor(t *testing.T, s *stand.Stand) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := s.Client()
	client.Jar = jar
	return &visitor{t, client}
}

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   string
}

func (v *visitor) get(address string) reply {
	v.t.Helper()
	return v.send(http.MethodGet, address, "")
}

func (v *visitor) post(address string, pairs ...string) reply {
	v.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return v.send(http.MethodPost, address, form.Encode())
}

func (v *visitor) send(method, address, body string) reply {
	v.t.Helper()
	request, err := http.NewRequestWithContext(v.t.Context(), method, address, bytes.NewBufferString(body))
	if err != nil {
		v.t.Fatal(err)
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Origin", request.URL.Scheme+"://"+request.URL.Host)
	}
	answer, err := v.do(request)
	if err != nil {
		v.t.Fatalf("%s %s: %v", method, request.URL.Path, err)
	}
	return answer
}

func (v *visitor) do(request *http.Request) (reply, error) {
	response, err := v.client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, string(text)}, err
}

// goes fails unless the answer sends the visitor to a path.
func (v *visitor) goes(answer reply, path string) {
	v.t.Helper()
	if answer.status != http.StatusSeeOther || answer.header.Get("Location") != path {
		v.t.Fatalf("the answer is %d to %q, not a redirect to %s:\n%s", answer.status, answer.header.Get("Location"), path, answer.body)
	}
}

const herons = "seven grey herons over the water"

// signUp makes an account and proves its address.
func (v *visitor) signUp(s *stand.Stand, email string) {
	v.t.Helper()
	v.goes(v.post(s.URL+"/sign-up", "email", email, "password", herons), "/sign-up/sent")
	link := mailedLink(v.t, s, email, "/verify")
	v.goes(v.post(s.URL+"/verify", "token", link.Query().Get("token")), "/sign-in")
}

func mailedLink(t *testing.T, s *stand.Stand, email, path string) *url.URL {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var found *url.URL
	_, err := s.Sink.Wait(ctx, func(m mailsink.Mail) bool {
		if !slices.Contains(m.To, email) {
			return false
		}
		for _, link := range m.Links {
			if parsed, err := url.Parse(link); err == nil && parsed.Path == path && parsed.Query().Has("token") {
				found = parsed
				return true
			}
		}
		return false
	})
	if err != nil {
		t.Fatalf("no mail with a link to %s came: %v", path, err)
	}
	return found
}

var seedForm = regexp.MustCompile(`id="totp-secret">([A-Z2-7 ]+)<`)

// enrol sets an authenticator app up with the code of the step before this one, and gives
// its seed: so the codes of this step and the next are still good.
func (v *visitor) enrol(s *stand.Stand) string {
	v.t.Helper()
	const setup = "/account/two-factor/setup"
	v.goes(v.post(s.URL+setup), setup)
	found := seedForm.FindStringSubmatch(v.get(s.URL + setup).body)
	if found == nil {
		v.t.Fatal("the page shows no seed")
	}
	seed := strings.ReplaceAll(found[1], " ", "")
	answer := v.post(s.URL+"/account/two-factor/confirm", "code", codeAt(v.t, seed, -1))
	if answer.status != http.StatusOK || !strings.Contains(answer.body, "recovery-codes") {
		v.t.Fatalf("the app was not enrolled: %d\n%s", answer.status, answer.body)
	}
	return seed
}

// codeAt is the code so many steps from now.
func codeAt(t *testing.T, seed string, steps int) string {
	t.Helper()
	code, err := totp.GenerateCode(seed, time.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return code
}
