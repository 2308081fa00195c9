package mail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	netmail "net/mail"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lethe-dev/lethe/portal"
)

const (
	// poll is how often the outbox is looked at without being woken. Being woken is not
	// enough: mails come back from a failure by time, other replicas write them too, and
	// what a process that died had claimed becomes due again.
	poll = 5 * time.Second
	// parallel is how many mails are sent at once.
	parallel = 4
	// lease is how long a claimed mail is nobody else's. It is longer than any delivery.
	lease = 5 * time.Minute
	// maxDelivery is how long a delivery may take, whatever the transport thinks of it.
	maxDelivery = 2 * time.Minute
	// noteFor is for how long it is tried to note a mail as sent while the store fails:
	// until then another process may not claim it.
	noteFor   = lease - maxDelivery - time.Minute
	noteEvery = 2 * time.Second
)

// Transport hands one mail to a mail server.
type Transport interface {
	// Send returns nil once the server has said that it takes the mail; it is then not
	// sent again. A *Refusal says why it doesn't. Any other error must hold no address: it
	// is logged.
	Send(ctx context.Context, m Message) error
}

// Dependencies are what a Sender works with.
type Dependencies struct {
	Store     portal.Store
	Transport Transport
	Now       func() time.Time
	// Random spreads retries.
	Random io.Reader
	// Log may be nil.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Options say who writes, and where links lead.
type Options struct {
	// Service is the name of the service; "" for Lethe.
	Service string
	// From is who sends. Some mails ask for an answer: somebody reads this mailbox, or
	// ReplyTo, an address, names another.
	From    netmail.Address
	ReplyTo string
	// Origin is the portal's own, such as https://portal.example.org; without a path.
	Origin string
}

// Sender sends what is in the outbox.
type Sender struct {
	with    Dependencies
	options Options
	wake    chan struct{}
	metrics *metrics
}

// New checks the options; the error names the one that can't be used.
func New(with Dependencies, options Options) (*Sender, error) {
	if options.Service == "" {
		options.Service = "Lethe"
	}
	if with.Log == nil {
		with.Log = slog.New(slog.DiscardHandler)
	}
	if err := options.check(); err != nil {
		return nil, err
	}
	m, err := newMetrics(with.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register the metrics of mail: %w", err)
	}
	return &Sender{with: with, options: options, wake: make(chan struct{}, 1), metrics: m}, nil
}

func (o Options) check() error {
	if _, err := portal.ParseEmail(o.From.Address); err != nil {
		return errors.New("the sender of mails is not an address such as portal@example.org")
	}
	for _, name := range []string{o.From.Name, o.Service} {
		if name != "" && shown(name) != name {
			return errors.New("a name in mails has characters that can't be shown, or is too long")
		}
	}
	if _, err := portal.ParseEmail(o.ReplyTo); o.ReplyTo != "" && err != nil {
		return errors.New("the address for answers to mails is not one such as help@example.org")
	}
	origin, err := url.Parse(o.Origin)
	if err != nil || origin.Scheme != "https" || origin.Host == "" || "https://"+origin.Host != o.Origin || strings.ContainsAny(o.Origin, "\r\n ") {
		return errors.New("the origin of links in mails is not one such as https://portal.example.org")
	}
	return nil
}

// Wake makes Run look at the outbox at once. It never waits, and it is no loss when it is
// not called.
func (s *Sender) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run sends until the context ends, and then waits for the deliveries that have begun. It
// returns nil: what goes wrong is logged, counted and tried again.
func (s *Sender) Run(ctx context.Context) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		claimed, err := s.Deliver(ctx)
		if err != nil && ctx.Err() == nil {
			s.with.Log.Error("The outbox of mails could not be read or written.", "error", err)
		}
		if claimed > 0 && err == nil && ctx.Err() == nil {
			continue // there may be more
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-tick.C:
		}
	}
}

// Deliver claims a few mails that are due, tries to send them, and gives how many it
// claimed. The error is the store's; failures to send are noted with the mail.
func (s *Sender) Deliver(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	now := s.with.Now()
	var mails []portal.Mail
	err := s.with.Store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		mails, err = tx.ClaimMails(ctx, now, now.Add(lease), parallel)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("claim mails: %w", err)
	}
	// What was claimed is sent also when the process is asked to end meanwhile: to cut a
	// delivery off is how mails come twice. It takes lease at most.
	ctx = context.WithoutCancel(ctx)
	errs := make([]error, len(mails))
	var sending sync.WaitGroup
	for i, m := range mails {
		sending.Go(func() { errs[i] = s.deliver(ctx, m) })
	}
	sending.Wait()
	return len(mails), errors.Join(errs...)
}

// deliver sends one mail and notes how that went.
func (s *Sender) deliver(ctx context.Context, m portal.Mail) error {
	if stillSealed(m) && s.with.Now().Before(deadline(m)) {
		return s.failed(ctx, m, errStillSealed)
	}
	message, err := s.options.render(m)
	if err != nil {
		s.with.Log.Error("A mail can't be made and is given up.", "mail", m.ID, "error", err)
		return s.giveUp(ctx, m, reasonBroken)
	}
	if !s.with.Now().Before(deadline(m)) {
		s.with.Log.Warn("A mail is given up: it is too late for it.", "mail", m.ID, "kind", m.Kind, "attempts", m.Attempts)
		return s.giveUp(ctx, m, reasonLate)
	}
	sending, done := context.WithTimeout(ctx, maxDelivery)
	defer done()
	if err := s.with.Transport.Send(sending, message); err != nil {
		return s.failed(ctx, m, err)
	}
	s.metrics.sent.WithLabelValues(string(m.Kind)).Inc()
	s.metrics.success.Set(seconds(s.with.Now()))
	return s.note(ctx, func(ctx context.Context, tx portal.Tx) error { return tx.MailSent(ctx, m.ID, s.with.Now()) })
}

// failed notes a failure and when the mail is tried again.
func (s *Sender) failed(ctx context.Context, m portal.Mail, cause error) error {
	s.metrics.failures.WithLabelValues(stageOf(cause)).Inc()
	now := s.with.Now()
	at := next(m, now, fraction(s.with.Random))
	var refusal *Refusal
	if errors.As(cause, &refusal) && refusal.NoSuchMailbox() {
		at = time.Time{}
	}
	if at.IsZero() {
		s.with.Log.Warn("A mail is given up.", "mail", m.ID, "kind", m.Kind, "attempts", m.Attempts+1, "error", cause)
		return s.giveUp(ctx, m, reasonRefused)
	}
	s.with.Log.Warn("A mail could not be sent; it is tried again.", "mail", m.ID, "kind", m.Kind, "attempts", m.Attempts+1, "next", at, "error", cause)
	return s.note(ctx, func(ctx context.Context, tx portal.Tx) error { return tx.MailFailed(ctx, m.ID, now, at) })
}

func (s *Sender) giveUp(ctx context.Context, m portal.Mail, reason string) error {
	s.metrics.givenUp.WithLabelValues(reason).Inc()
	return s.note(ctx, func(ctx context.Context, tx portal.Tx) error {
		return tx.MailFailed(ctx, m.ID, s.with.Now(), time.Time{})
	})
}

// note writes how a delivery went, and tries that for a while: a mail that is not noted
// as sent is sent again.
func (s *Sender) note(ctx context.Context, write func(context.Context, portal.Tx) error) error {
	ctx, done := context.WithTimeout(ctx, noteFor)
	defer done()
	for {
		err := s.with.Store.Write(ctx, write)
		// The row may be gone with its account: then there is nothing left to note.
		if err == nil || portal.KindOf(err) == portal.KindNotFound {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("note how a delivery went: %w", err)
		case <-time.After(noteEvery):
		}
	}
}

// Late is for how long the mail that has waited longest has been due; 0 when none is. It
// is for an alarm.
func (s *Sender) Late(ctx context.Context) (time.Duration, error) {
	var due time.Time
	err := s.with.Store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		due, err = tx.OldestDueMail(ctx)
		return err
	})
	if portal.KindOf(err) == portal.KindNotFound {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find the oldest mail: %w", err)
	}
	return max(s.with.Now().Sub(due), 0), nil
}
