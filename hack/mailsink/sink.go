package mailsink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Bounds.
const (
	// keep is how many mails are kept.
	keep = 1000
	// maxMessage is the size of a mail, in bytes.
	maxMessage = 1 << 20
	// timeout is for one command of SMTP and for one request of HTTP.
	timeout = 30 * time.Second
)

// Options of Start. Only Certificate is needed.
type Options struct {
	// Certificate is the server's, for mail and page.
	Certificate tls.Certificate
	// SMTPAddress and WebAddress are where to listen; "" for any port of 127.0.0.1.
	SMTPAddress, WebAddress string
	// ImplicitTLS expects TLS from the first byte, instead of STARTTLS.
	ImplicitTLS bool
	// Username and Password are asked for by AUTH PLAIN; "" for no AUTH.
	Username, Password string
	// Refuse decides about each recipient of a mail; nil takes all. A *smtp.SMTPError
	// (github.com/emersion/go-smtp) chooses the codes of the answer.
	Refuse func(to string) error
}

// Mail is one that came in.
type Mail struct {
	// ID counts from 1.
	ID       int       `json:"id"`
	Received time.Time `json:"received"`
	// From and To are of the envelope.
	From string   `json:"from"`
	To   []string `json:"to"`
	// MessageID has no angle brackets.
	MessageID string              `json:"messageID"`
	Subject   string              `json:"subject"`
	Headers   map[string][]string `json:"headers"`
	Text      string              `json:"text"`
	HTML      string              `json:"html"`
	// Links are those of the text part, in its order.
	Links []string `json:"links"`
	// Raw is the mail as it came.
	Raw []byte `json:"-"`
}

// Sink is a running mail server.
type Sink struct {
	mail *smtp.Server
	web  *http.Server
	// mails and pages are where they listen.
	mails, pages net.Listener
	served       sync.WaitGroup

	mu     sync.Mutex
	kept   []Mail
	lastID int
	// changed is closed, and made anew, whenever a mail came.
	changed chan struct{}
}

// Start listens and serves until Close.
func Start(options Options) (*Sink, error) {
	if len(options.Certificate.Certificate) == 0 {
		return nil, errors.New("start the mail sink: it needs a certificate")
	}
	s := &Sink{changed: make(chan struct{})}
	encryption := &tls.Config{Certificates: []tls.Certificate{options.Certificate}, MinVersion: tls.VersionTLS12}
	s.mail = newMailServer(s, options, encryption)
	s.web = newWebServer(s)

	var err error
	if s.mails, err = listen(options.SMTPAddress); err != nil {
		return nil, fmt.Errorf("listen for mail: %w", err)
	}
	if s.pages, err = listen(options.WebAddress); err != nil {
		return nil, errors.Join(fmt.Errorf("listen for the page: %w", err), s.mails.Close())
	}
	if options.ImplicitTLS {
		s.mails = tls.NewListener(s.mails, encryption)
	}
	s.pages = tls.NewListener(s.pages, encryption)
	// Both end when Close closes their listeners; there is nobody to tell more.
	s.served.Go(func() { _ = s.mail.Serve(s.mails) })
	s.served.Go(func() { _ = s.web.Serve(s.pages) })
	return s, nil
}

func listen(address string) (net.Listener, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	return net.Listen("tcp", address) //nolint:noctx // Listening doesn't wait.
}

// SMTPAddress is the mail server's host:port.
func (s *Sink) SMTPAddress() string { return s.mails.Addr().String() }

// URL is where the page is. The mails are also at URL + "/api/mails", as JSON; with
// ?to=ADDRESS those to one recipient.
func (s *Sink) URL() string { return "https://" + s.pages.Addr().String() }

// Mails are those that are kept, oldest first.
func (s *Sink) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.kept)
}

// To are the mails to one recipient, oldest first.
func (s *Sink) To(recipient string) []Mail {
	return slices.DeleteFunc(s.Mails(), func(m Mail) bool { return !slices.Contains(m.To, recipient) })
}

// Wait gives the first mail that matches, now or as soon as it comes. The error is the
// context's.
func (s *Sink) Wait(ctx context.Context, match func(Mail) bool) (Mail, error) {
	for {
		s.mu.Lock()
		at, changed := slices.IndexFunc(s.kept, match), s.changed
		if at >= 0 {
			defer s.mu.Unlock()
			return s.kept[at], nil
		}
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return Mail{}, fmt.Errorf("wait for a mail: %w", ctx.Err())
		}
	}
}

// Clear forgets all mails.
func (s *Sink) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = nil
}

// Close stops both servers and waits for them.
func (s *Sink) Close() error {
	err := errors.Join(s.mail.Close(), s.web.Close())
	// A mail server that is closed before it has begun to serve knows no listener yet.
	if closed := s.mails.Close(); !errors.Is(closed, net.ErrClosed) {
		err = errors.Join(err, closed)
	}
	s.served.Wait()
	return err
}

// add keeps a mail.
func (s *Sink) add(m Mail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastID++
	m.ID = s.lastID
	if len(s.kept) == keep {
		s.kept = slices.Delete(s.kept, 0, 1)
	}
	s.kept = append(s.kept, m)
	close(s.changed)
	s.changed = make(chan struct{})
}

// find gives one, and false when it isn't there.
func (s *Sink) find(id int) (Mail, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.kept, func(m Mail) bool { return m.ID == id })
	if at < 0 {
		return Mail{}, false
	}
	return s.kept[at], true
}

// last is the newest mail's ID, 0 for none.
func (s *Sink) last() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) == 0 {
		return 0
	}
	return s.kept[len(s.kept)-1].ID
}
