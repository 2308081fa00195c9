package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// TLSMode is how the connection to the mail server is encrypted. There is none without.
type TLSMode string

// Modes.
const (
	// StartTLS begins in the clear and gives up when the server can't encrypt; port 587.
	StartTLS TLSMode = "starttls"
	// ImplicitTLS encrypts from the first byte; port 465.
	ImplicitTLS TLSMode = "implicit"
)

// SMTPOptions say which server takes the mails.
type SMTPOptions struct {
	// Address is host:port. The server's certificate has to be the host's.
	Address string
	// TLS is StartTLS when "".
	TLS TLSMode
	// CAFile holds the authorities (PEM) to trust instead of the system's; "" for those.
	CAFile string
	// Username and Password sign in; "" for a server that asks for nothing.
	Username, Password string
	// Auth is the mechanism: plain (the default), login, or scram-sha-256.
	Auth string
	// Hello is the name that is given to the server; "" for the host's.
	Hello string
	// Timeout is for one delivery, from dialling to the server's last word; 0 for a
	// minute. It is at most two.
	Timeout time.Duration
}

// SMTP is the Transport that speaks SMTP, a connection for each mail.
type SMTP struct {
	options SMTPOptions
	host    string
	port    int
	tls     *tls.Config
	auth    gomail.SMTPAuthType
}

var mechanisms = map[string]gomail.SMTPAuthType{
	"": gomail.SMTPAuthPlain, "plain": gomail.SMTPAuthPlain,
	"login": gomail.SMTPAuthLogin, "scram-sha-256": gomail.SMTPAuthSCRAMSHA256,
}

// NewSMTP checks the options and reads CAFile. It does not connect. The error names the
// option that can't be used.
func NewSMTP(options SMTPOptions) (*SMTP, error) {
	host, service, err := net.SplitHostPort(options.Address)
	if err != nil || host == "" {
		return nil, errors.New("the mail server's address is not host:port")
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return nil, errors.New("the mail server's port is not a number from 1 to 65535")
	}
	if options.TLS == "" {
		options.TLS = StartTLS
	}
	if options.TLS != StartTLS && options.TLS != ImplicitTLS {
		return nil, fmt.Errorf("the encryption towards the mail server is %q, and not %s or %s", options.TLS, StartTLS, ImplicitTLS)
	}
	if (options.Username == "") != (options.Password == "") {
		return nil, errors.New("the mail server gets a name and a password, or neither")
	}
	auth, ok := mechanisms[options.Auth]
	if !ok {
		return nil, fmt.Errorf("the authentication towards the mail server is %q, and not plain, login or scram-sha-256", options.Auth)
	}
	if options.Timeout == 0 {
		options.Timeout = time.Minute
	}
	if options.Timeout < 0 || options.Timeout > maxDelivery {
		return nil, fmt.Errorf("the time for one mail is not between 0 and %v", maxDelivery)
	}
	s := &SMTP{
		options: options, host: host, port: int(port), auth: auth,
		tls: &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12},
	}
	if options.CAFile == "" {
		return s, nil
	}
	pem, err := os.ReadFile(options.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the authorities of the mail server: %w", err)
	}
	s.tls.RootCAs = x509.NewCertPool()
	if !s.tls.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the file %s holds no certificate of an authority (PEM)", options.CAFile)
	}
	return s, nil
}

// Send delivers a mail. The error is a *Refusal.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	ctx, done := context.WithTimeout(ctx, s.options.Timeout)
	defer done()
	mime, err := m.mime()
	if err != nil {
		return &Refusal{Stage: StageData, Reason: "it can't be put into MIME"}
	}
	dialled := &dialled{encrypt: s.tls}
	if s.options.TLS == StartTLS {
		dialled.encrypt = nil
	}
	defer dialled.close()
	client, err := gomail.NewClient(s.host, s.clientOptions(dialled)...)
	if err != nil {
		return &Refusal{Stage: StageConnect, Reason: err.Error()}
	}
	defer context.AfterFunc(ctx, dialled.close)()
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return refusedToConnect(ctx, err)
	}
	err = client.SendWithSMTPClient(session, mime)
	// Once the server has taken the mail, nothing that goes wrong after it is a failure.
	if err == nil || mime.IsDelivered() {
		_ = client.CloseWithSMTPClient(session) // it only says good-bye
		return nil
	}
	return refusedToTake(ctx, err)
}

func (s *SMTP) clientOptions(d *dialled) []gomail.Option {
	options := []gomail.Option{
		gomail.WithPort(s.port), gomail.WithTimeout(s.options.Timeout), gomail.WithTLSConfig(s.tls),
		gomail.WithDialContextFunc(d.dial),
		// For connections with many mails; ours have one.
		gomail.WithoutNoop(), gomail.WithoutRset(),
	}
	if s.options.TLS == ImplicitTLS {
		options = append(options, gomail.WithSSL())
	} else {
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if s.options.Hello != "" {
		options = append(options, gomail.WithHELO(s.options.Hello))
	}
	if s.options.Username != "" {
		options = append(options, gomail.WithSMTPAuth(s.auth),
			gomail.WithUsername(s.options.Username), gomail.WithPassword(s.options.Password))
	}
	return options
}

// dialled is the connection of one delivery. The library watches the context only while
// it dials, and leaves the connection open when the greeting fails; this does better.
type dialled struct {
	encrypt *tls.Config // nil for STARTTLS

	mu     sync.Mutex
	raw    net.Conn
	closed bool
}

func (d *dialled) dial(ctx context.Context, network, address string) (net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if !d.keep(raw) {
		return nil, net.ErrClosed
	}
	if d.encrypt == nil {
		return raw, nil
	}
	encrypted := tls.Client(raw, d.encrypt)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return encrypted, nil
}

// keep takes a connection over, and closes it when it comes too late.
func (d *dialled) keep(raw net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		_ = raw.Close()
		return false
	}
	d.raw = raw
	return true
}

// close may be called often, and from anywhere.
func (d *dialled) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.raw != nil {
		_ = d.raw.Close() // what was sent was answered or has failed already
	}
}
