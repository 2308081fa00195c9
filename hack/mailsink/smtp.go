package mailsink

import (
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

var (
	errEncryptFirst = &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Must issue a STARTTLS command first"}
	errSignInFirst  = &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	errUnreadable   = &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "This is not a mail that can be read"}
)

func newMailServer(s *Sink, options Options, encryption *tls.Config) *smtp.Server {
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		session := &session{sink: s, options: options, conn: c}
		if options.Username == "" {
			return session, nil
		}
		return &authSession{session}, nil
	}))
	server.Domain = "mailsink.invalid"
	server.TLSConfig = encryption
	server.MaxMessageBytes = maxMessage
	server.MaxRecipients = 10
	server.ReadTimeout, server.WriteTimeout = timeout, timeout
	// Tests break connections on purpose.
	server.ErrorLog = log.New(io.Discard, "", 0)
	return server
}

// session is one connection of a client.
type session struct {
	sink    *Sink
	options Options
	conn    *smtp.Conn
	known   bool // has authenticated

	from string
	to   []string
}

// Mail begins a mail.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if _, encrypted := s.conn.TLSConnectionState(); !encrypted {
		return errEncryptFirst
	}
	if s.options.Username != "" && !s.known {
		return errSignInFirst
	}
	s.from = from
	return nil
}

// Rcpt adds a recipient.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.options.Refuse != nil {
		if err := s.options.Refuse(to); err != nil {
			return err
		}
	}
	s.to = append(s.to, to)
	return nil
}

// Data keeps the mail.
func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("read a mail: %w", err)
	}
	m, err := parse(raw)
	if err != nil {
		return errUnreadable
	}
	m.From, m.To, m.Received = s.from, s.to, time.Now().UTC()
	s.sink.add(m)
	return nil
}

// Reset forgets the mail that was begun.
func (s *session) Reset() { s.from, s.to = "", nil }

// Logout ends the connection.
func (s *session) Logout() error { return nil }

// authSession offers AUTH PLAIN.
type authSession struct{ *session }

// AuthMechanisms are those offered.
func (s *authSession) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth checks name and password.
func (s *authSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		name := subtle.ConstantTimeCompare([]byte(username), []byte(s.options.Username))
		if name&subtle.ConstantTimeCompare([]byte(password), []byte(s.options.Password)) != 1 {
			return errors.New("wrong name or password")
		}
		s.known = true
		return nil
	}), nil
}
