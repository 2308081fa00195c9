package mailsink_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/hack/mailsink"
)

// certificate is one for 127.0.0.1, and who trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	trust := x509.NewCertPool()
	trust.AddCert(server.Certificate())
	return server.TLS.Certificates[0], trust
}

// world is a sink and who trusts it.
type world struct {
	*mailsink.Sink
	trust *x509.CertPool
}

func start(t *testing.T, options mailsink.Options) world {
	t.Helper()
	cert, trust := certificate(t)
	options.Certificate = cert
	sink, err := mailsink.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	})
	return world{sink, trust}
}

func (w world) client(t *testing.T, encrypt bool) *smtp.Client {
	t.Helper()
	client, err := smtp.Dial(w.SMTPAddress())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if encrypt {
		if err := client.StartTLS(&tls.Config{RootCAs: w.trust, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}); err != nil {
			t.Fatal(err)
		}
	}
	return client
}

func send(client *smtp.Client, to, text string) error {
	if err := client.Mail("portal@example.org"); err != nil {
		return err
	}
	if err := client.Rcpt(to); err != nil {
		return err
	}
	body, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(body, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		return err
	}
	return body.Close()
}

const hello = `From: Lethe <portal@example.org>
To: ada@example.org
Subject: =?UTF-8?q?Caf=C3=A9?=
Message-ID: <abc@example.org>
Content-Type: multipart/alternative; boundary=b

--b
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: quoted-printable

Open https://127.0.0.1/verify?token=3Dabc, please. <b>=E2=9C=93</b>
--b
Content-Type: text/html; charset=UTF-8
Content-Transfer-Encoding: base64

PGh0bWw+PGhlYWQ+PC9oZWFkPmhpPHNjcmlwdD48L3NjcmlwdD48L2h0bWw+
--b--
`

func TestAMailIsKeptDecoded(t *testing.T) {
	t.Parallel()
	sink := start(t, mailsink.Options{})
	if err := send(sink.client(t, true), "ada@example.org", hello); err != nil {
		t.Fatal(err)
	}
	got, err := sink.Wait(t.Context(), func(m mailsink.Mail) bool { return m.Subject == "Café" })
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(got.Received); age < 0 || age > time.Minute {
		t.Errorf("received %v ago", age)
	}
	got.Received, got.Raw, got.Headers = time.Time{}, nil, nil
	want := mailsink.Mail{
		ID: 1, From: "portal@example.org", To: []string{"ada@example.org"}, MessageID: "abc@example.org", Subject: "Café",
		Text:  "Open https://127.0.0.1/verify?token=abc, please. <b>✓</b>",
		HTML:  "<html><head></head>hi<script></script></html>",
		Links: []string{"https://127.0.0.1/verify?token=abc"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mail (-want +got):\n%s", diff)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	sink := start(t, mailsink.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if m, err := sink.Wait(ctx, func(mailsink.Mail) bool { return true }); err == nil {
		t.Errorf("got %v without any mail", m)
	}
}

func TestWhatIsNotTaken(t *testing.T) {
	t.Parallel()
	refuse := func(string) error {
		return &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 1, 1}, Message: "nobody of that name"}
	}
	tests := map[string]struct {
		options mailsink.Options
		encrypt bool
		auth    smtp.Auth
		text    string
		want    string
	}{
		"a mail in the clear": {text: hello, want: "530"},
		"one without a name where a name is needed": {
			options: mailsink.Options{Username: "portal", Password: "right"}, encrypt: true, text: hello, want: "530",
		},
		"one with a wrong password": {
			options: mailsink.Options{Username: "portal", Password: "right"}, encrypt: true, text: hello,
			auth: smtp.PlainAuth("", "portal", "wrong", "127.0.0.1"), want: "454",
		},
		"one to a recipient that is refused": {options: mailsink.Options{Refuse: refuse}, encrypt: true, text: hello, want: "550"},
		"what is no mail":                    {encrypt: true, text: "no header", want: "554"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := start(t, test.options)
			client := sink.client(t, test.encrypt)
			var err error
			if test.auth != nil {
				err = client.Auth(test.auth)
			} else {
				err = send(client, "ada@example.org", test.text)
			}
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v, want an answer %s", err, test.want)
			}
			if mails := sink.Mails(); len(mails) != 0 {
				t.Errorf("kept %v", mails)
			}
		})
	}
}

func TestWithTheRightPasswordAndOverTLSFromTheStart(t *testing.T) {
	t.Parallel()
	sink := start(t, mailsink.Options{Username: "portal", Password: "right", ImplicitTLS: true})
	conn, err := tls.Dial("tcp", sink.SMTPAddress(), &tls.Config{RootCAs: sink.trust, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	client, err := smtp.NewClient(conn, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if err := client.Auth(smtp.PlainAuth("", "portal", "right", "127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	if err := send(client, "ada@example.org", hello); err != nil {
		t.Fatal(err)
	}
	if got := len(sink.To("ada@example.org")); got != 1 {
		t.Errorf("kept %d mails, want 1", got)
	}
}

// get asks the sink's page.
func (w world) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: w.trust, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
	}}
	response, err := client.Get(w.URL() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestThePage(t *testing.T) {
	t.Parallel()
	sink := start(t, mailsink.Options{})
	if _, body := sink.get(t, "/"); !strings.Contains(body, "No mail yet") {
		t.Errorf("without mails the page says:\n%s", body)
	}
	if err := send(sink.client(t, true), "ada@example.org", hello); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		path, want string
		status     int
		policy     string
	}{
		"the list names the mail":           {path: "/", want: `<a href="/mails/1">`, status: 200, policy: "script-src 'self'"},
		"a mail's links can be clicked":     {path: "/mails/1", want: `<a href="https://127.0.0.1/verify?token=abc" target="_blank" rel="noopener noreferrer">`, status: 200, policy: "frame-ancestors 'none'"},
		"its text is text":                  {path: "/mails/1", want: "&lt;b&gt;✓&lt;/b&gt;", status: 200},
		"its HTML can run no script":        {path: "/mails/1/html", want: `<base target="_blank">`, status: 200, policy: "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox allow-popups"},
		"it can be seen as it came":         {path: "/mails/1/raw", want: "Message-ID: <abc@example.org>", status: 200},
		"the last one's number":             {path: "/api/last", want: "1", status: 200},
		"the style":                         {path: "/page.css", want: ":root", status: 200},
		"the script":                        {path: "/page.js", want: "/api/last", status: 200},
		"a mail that isn't there":           {path: "/mails/2", want: "no such mail", status: 404},
		"a mail whose number isn't one":     {path: "/mails/x", want: "no such mail", status: 404},
		"no mails of another as JSON":       {path: "/api/mails?to=eve@example.org", want: "[]", status: 200},
		"the mails of a recipient, as JSON": {path: "/api/mails?to=ada@example.org", want: `"messageID":"abc@example.org"`, status: 200},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response, body := sink.get(t, test.path)
			if response.StatusCode != test.status {
				t.Errorf("status %d, want %d", response.StatusCode, test.status)
			}
			if !strings.Contains(body, test.want) {
				t.Errorf("no %q in:\n%s", test.want, body)
			}
			if policy := response.Header.Get("Content-Security-Policy"); !strings.Contains(policy, test.policy) {
				t.Errorf("policy %q lacks %q", policy, test.policy)
			}
		})
	}
}

func TestTheJSONIsTheMails(t *testing.T) {
	t.Parallel()
	sink := start(t, mailsink.Options{})
	if err := send(sink.client(t, true), "ada@example.org", hello); err != nil {
		t.Fatal(err)
	}
	_, body := sink.get(t, "/api/mails")
	var got []mailsink.Mail
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := sink.Mails()
	want[0].Raw = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mails (-want +got):\n%s", diff)
	}
	sink.Clear()
	if _, body := sink.get(t, "/api/mails"); strings.TrimSpace(body) != "[]" {
		t.Errorf("after Clear: %s", body)
	}
}

func TestACertificateIsNeeded(t *testing.T) {
	t.Parallel()
	if _, err := mailsink.Start(mailsink.Options{}); err == nil {
		t.Error("started without a certificate")
	}
}
