package mail_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/hack/mailsink"
	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/mail"
)

// certificate is one for 127.0.0.1, and a file with who signed it.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return server.TLS.Certificates[0], file
}

// sink is a real mail server, and the options of who sends there.
func sink(t *testing.T, options mailsink.Options) (*mailsink.Sink, mail.SMTPOptions) {
	t.Helper()
	cert, authority := certificate(t)
	options.Certificate = cert
	server, err := mailsink.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	to := mail.SMTPOptions{
		Address: server.SMTPAddress(), CAFile: authority, Hello: "portal.example.org",
		Username: options.Username, Password: options.Password, TLS: mail.StartTLS,
	}
	if options.ImplicitTLS {
		to.TLS = mail.ImplicitTLS
	}
	return server, to
}

func newSMTP(t *testing.T, options mail.SMTPOptions) *mail.SMTP {
	t.Helper()
	transport, err := mail.NewSMTP(options)
	if err != nil {
		t.Fatal(err)
	}
	return transport
}

func TestAMailArrives(t *testing.T) {
	t.Parallel()
	tests := map[string]mailsink.Options{
		"by STARTTLS":             {},
		"by TLS from the start":   {ImplicitTLS: true},
		"with a password":         {Username: "portal", Password: "a password"},
		"with both, and from TLS": {Username: "portal", Password: "a password", ImplicitTLS: true},
	}
	for name, options := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, to := sink(t, options)
			message := render(t, example(portal.MailVerify))
			if err := newSMTP(t, to).Send(t.Context(), message); err != nil {
				t.Fatal(err)
			}
			mails := server.To("Ada@example.net")
			if len(mails) != 1 {
				t.Fatalf("%d mails arrived", len(mails))
			}
			got := mails[0]
			want := mailsink.Mail{
				ID: 1, From: "portal@example.org", To: []string{"Ada@example.net"}, MessageID: message.ID,
				Subject: message.Subject, Text: message.Text, HTML: message.HTML,
				Links: []string{"https://portal.example.org" + example(portal.MailVerify).Data.Link, "https://portal.example.org"},
			}
			got.Received, got.Headers, got.Raw = time.Time{}, nil, nil
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("mail (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAMailIsNotSentUnsafely(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		options mailsink.Options
		change  func(*mail.SMTPOptions)
		want    string
	}{
		"to a server whose authority is not trusted": {
			change: func(o *mail.SMTPOptions) { o.CAFile = "" }, want: "certificate",
		},
		"to a server of another name": {
			change: func(o *mail.SMTPOptions) { o.Address = strings.Replace(o.Address, "127.0.0.1", "localhost", 1) }, want: "certificate",
		},
		"with a wrong password": {
			options: mailsink.Options{Username: "portal", Password: "right"},
			change:  func(o *mail.SMTPOptions) { o.Password = "wrong" }, want: "connect): the server answered 454",
		},
		"with TLS from the start to a server that has none": {
			change: func(o *mail.SMTPOptions) { o.TLS = mail.ImplicitTLS }, want: "connect",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, to := sink(t, test.options)
			test.change(&to)
			err := newSMTP(t, to).Send(t.Context(), render(t, example(portal.MailVerify)))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if mails := server.Mails(); len(mails) != 0 {
				t.Errorf("%d mails arrived", len(mails))
			}
		})
	}
}

// talk is a mail server that says what it is told to, a line for each line it hears, and
// then nothing more.
func talk(t *testing.T, lines ...string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				heard := make([]byte, 1024)
				for _, line := range lines {
					_, _ = io.WriteString(conn, line+"\r\n")
					_, _ = conn.Read(heard)
				}
				_, _ = io.Copy(io.Discard, conn) // until the client goes
			}()
		}
	}()
	return listener.Addr().String()
}

func TestAServerThatDoesNotEncryptGetsNothing(t *testing.T) {
	t.Parallel()
	tests := map[string][]string{
		"it offers no encryption":           {"220 mail.example.org", "250 mail.example.org"},
		"it says so, and then refuses":      {"220 mail.example.org", "250-mail.example.org\r\n250 STARTTLS", "454 4.7.0 not today"},
		"it speaks something else":          {"SSH-2.0-OpenSSH"},
		"it says more than it was asked":    {"220 mail.example.org", "250-mail.example.org\r\n250 STARTTLS", "220 go on\r\n250 PIPELINED"},
		"it names Ada@example.net and ends": {"421 4.3.2 Ada@example.net"},
	}
	for name, lines := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transport := newSMTP(t, mail.SMTPOptions{Address: talk(t, lines...), Timeout: 2 * time.Second})
			err := transport.Send(t.Context(), render(t, example(portal.MailVerify)))
			var refusal *mail.Refusal
			if !errors.As(err, &refusal) || refusal.Stage != mail.StageConnect {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), "Ada") {
				t.Errorf("the error has the address: %v", err)
			}
		})
	}
}

func TestASilentServerDoesNotHoldUs(t *testing.T) {
	t.Parallel()
	transport := newSMTP(t, mail.SMTPOptions{Address: talk(t), Timeout: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := transport.Send(ctx, render(t, example(portal.MailVerify)))
	if err == nil || !strings.Contains(err.Error(), "it took too long") {
		t.Errorf("got %v", err)
	}
}

func TestWhatTheServerRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer *gosmtp.SMTPError
		want   mail.Refusal
		no     bool // there is no such mailbox
	}{
		"no such mailbox": {
			answer: &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 1, 1}, Message: "Ada@example.net is not here"},
			want:   mail.Refusal{Stage: mail.StageRecipient, Code: 550, Enhanced: "5.1.1"}, no: true,
		},
		"we may not relay, which can be mended": {
			answer: &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 7, 1}, Message: "Ada@example.net: relaying denied"},
			want:   mail.Refusal{Stage: mail.StageRecipient, Code: 550, Enhanced: "5.7.1"},
		},
		"not now": {
			answer: &gosmtp.SMTPError{Code: 451, EnhancedCode: gosmtp.EnhancedCode{4, 1, 1}, Message: "Ada@example.net is full"},
			want:   mail.Refusal{Stage: mail.StageRecipient, Code: 451, Enhanced: "4.1.1"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, to := sink(t, mailsink.Options{Refuse: func(string) error { return test.answer }})
			err := newSMTP(t, to).Send(t.Context(), render(t, example(portal.MailVerify)))
			var got *mail.Refusal
			if !errors.As(err, &got) {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(test.want, *got); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
			if got.NoSuchMailbox() != test.no {
				t.Errorf("no such mailbox: %v", got.NoSuchMailbox())
			}
			if strings.Contains(err.Error(), "Ada") {
				t.Errorf("the error has the address: %v", err)
			}
		})
	}
}

func TestSMTPOptionsThatAreRefused(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]mail.SMTPOptions{
		"no port":                   {Address: "mail.example.org"},
		"no host":                   {Address: ":587"},
		"a port that is none":       {Address: "mail.example.org:smtp"},
		"no encryption":             {Address: "mail.example.org:587", TLS: "none"},
		"an odd mechanism":          {Address: "mail.example.org:587", Auth: "cram-md5"},
		"a file that is not there":  {Address: "mail.example.org:587", CAFile: empty + "x"},
		"a file without authority":  {Address: "mail.example.org:587", CAFile: empty},
		"more time than the lease":  {Address: "mail.example.org:587", Timeout: time.Hour},
		"less time than none":       {Address: "mail.example.org:587", Timeout: -1},
		"a name without a password": {Address: "mail.example.org:587", Username: "portal"},
	}
	for name, options := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := mail.NewSMTP(options); err == nil {
				t.Errorf("took %+v", options)
			}
		})
	}
}

// abrupt is a mail server, with TLS from the start, that reads a mail to its end, says
// what it is told to, and hangs up.
func abrupt(t *testing.T, last string) mail.SMTPOptions {
	t.Helper()
	cert, authority := certificate(t)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		lines := bufio.NewReader(conn)
		_, _ = io.WriteString(conn, "220 mail.example.org\r\n")
		for _, answer := range []string{"250 mail.example.org", "250 sender", "250 recipient", "354 go on"} {
			_, _ = lines.ReadString('\n')
			_, _ = io.WriteString(conn, answer+"\r\n")
		}
		for {
			line, err := lines.ReadString('\n')
			if err != nil || line == ".\r\n" {
				break
			}
		}
		_, _ = io.WriteString(conn, last)
	}()
	return mail.SMTPOptions{Address: listener.Addr().String(), CAFile: authority, TLS: mail.ImplicitTLS}
}

// TestWhatCountsIsTheServersWord holds that a mail which was taken is not sent again for
// what comes after it, and one that may not have been taken is.
func TestWhatCountsIsTheServersWord(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		last string
		want *mail.Refusal
	}{
		"taken, and no good-bye":    {last: "250 2.0.0 taken\r\n"},
		"hung up without a word":    {want: &mail.Refusal{Stage: mail.StageData, Reason: "the server broke off"}},
		"refused after all":         {last: "554 5.7.1 Ada@example.net gets no such thing\r\n", want: &mail.Refusal{Stage: mail.StageData, Code: 554}},
		"hung up within its answer": {last: "250-tak", want: &mail.Refusal{Stage: mail.StageData, Reason: "the server broke off"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := newSMTP(t, abrupt(t, test.last)).Send(t.Context(), render(t, example(portal.MailVerify)))
			var got *mail.Refusal
			if err != nil && !errors.As(err, &got) {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
		})
	}
}
