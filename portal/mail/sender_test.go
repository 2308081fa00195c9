package mail_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/mail"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

// carrier is a Transport that remembers, and fails as it is told.
type carrier struct {
	mu   sync.Mutex
	sent []mail.Message
	fail func(mail.Message) error
	// during runs while a mail is on its way.
	during func(context.Context)
}

func (c *carrier) Send(ctx context.Context, m mail.Message) error {
	if c.during != nil {
		c.during(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		if err := c.fail(m); err != nil {
			return err
		}
	}
	c.sent = append(c.sent, m)
	return nil
}

func (c *carrier) ids() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := []string{}
	for _, m := range c.sent {
		id, _, _ := strings.Cut(m.ID, "@")
		ids = append(ids, id)
	}
	return ids
}

// world is an outbox and who empties it.
type world struct {
	store    portal.Store
	clock    *portaltest.Clock
	carrier  *carrier
	registry *prometheus.Registry
	log      *strings.Builder
	sender   *mail.Sender
	account  portal.Account
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		store: portaltest.Store(t), clock: new(portaltest.Clock), carrier: new(carrier),
		registry: prometheus.NewRegistry(), log: new(strings.Builder), account: portaltest.Account(),
	}
	w.sender = w.another(t, w.carrier, w.registry)
	w.write(t, func(ctx context.Context, tx portal.Tx) error { return tx.CreateAccount(ctx, w.account) })
	return w
}

// another is one more sender for the same outbox.
func (w *world) another(t *testing.T, by mail.Transport, metrics prometheus.Registerer) *mail.Sender {
	t.Helper()
	sender, err := mail.New(mail.Dependencies{
		Store: w.store, Transport: by, Now: w.clock.Now, Random: portaltest.Random(1),
		Log: slog.New(slog.NewTextHandler(w.log, nil)), Metrics: metrics,
	}, options())
	if err != nil {
		t.Fatal(err)
	}
	return sender
}

func (w *world) write(t *testing.T, f func(context.Context, portal.Tx) error) {
	t.Helper()
	if err := w.store.Write(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// add puts a mail into the outbox, due at once.
func (w *world) add(t *testing.T, id portal.MailID, kind portal.MailKind) {
	t.Helper()
	m := example(kind)
	m.ID, m.Account, m.CreatedAt, m.DueAt = id, w.account.ID, w.clock.Now(), w.clock.Now()
	m.Data.Time = w.clock.Now()
	w.write(t, func(ctx context.Context, tx portal.Tx) error { return tx.AddMail(ctx, m) })
}

// deliver empties what is due, and checks how many mails that were.
func (w *world) deliver(t *testing.T, want int) {
	t.Helper()
	got, err := w.sender.Deliver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("%v: %d mails were due, want %d", w.clock.Now(), got, want)
	}
}

// metric checks the value of a metric; label is the value of its only one, "" for none.
func (w *world) metric(t *testing.T, name, label string, want float64) {
	t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() != name || (label != "" && m.GetLabel()[0].GetValue() != label) {
				continue
			}
			if got := m.GetCounter().GetValue() + m.GetGauge().GetValue(); got != want {
				t.Errorf("%s{%s} is %v, want %v", name, label, got, want)
			}
			return
		}
	}
	t.Errorf("there is no %s{%s}", name, label)
}

func TestAMailIsSentOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, "a", portal.MailVerify)
	w.deliver(t, 1)
	w.clock.Advance(mail.Lease + time.Second)
	w.deliver(t, 0)
	if diff := cmp.Diff([]string{"a"}, w.carrier.ids()); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	w.metric(t, "lethe_portal_mails_sent_total", "verify", 1)
}

func TestARefusedMailComesBackLaterAndLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.carrier.fail = func(mail.Message) error { return &mail.Refusal{Stage: mail.StageConnect, Code: 421} }
	w.add(t, "a", portal.MailPasswordChanged)
	w.deliver(t, 1)
	for _, wait := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		w.clock.Advance(wait - time.Second)
		w.deliver(t, 0)
		w.clock.Advance(wait/10 + time.Second)
		w.deliver(t, 1)
	}
	w.carrier.fail = nil
	w.clock.Advance(9 * time.Minute)
	w.deliver(t, 1)
	if diff := cmp.Diff([]string{"a"}, w.carrier.ids()); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	w.metric(t, "lethe_portal_mail_failures_total", "connect", 4)
	w.metric(t, "lethe_portal_mails_sent_total", "password-changed", 1)
}

func TestAMailIsGivenUpInTheEnd(t *testing.T) {
	t.Parallel()
	hopeless := &mail.Refusal{Stage: mail.StageRecipient, Code: 550, Enhanced: "5.1.1"}
	down := &mail.Refusal{Stage: mail.StageConnect}
	tests := map[string]struct {
		kind  portal.MailKind
		cause error
		tries int // -1 for any number over one
		after time.Duration
	}{
		"at once when there is no such mailbox": {
			kind: portal.MailPasswordChanged, cause: hopeless, tries: 1, after: 0,
		},
		"after three days": {
			kind: portal.MailPasswordChanged, cause: down, tries: -1, after: mail.GiveUpAfter,
		},
		"when its link has expired": {
			kind: portal.MailResetPassword, cause: down, tries: -1, after: portal.PurposeReset.Life(),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tries := 0
			w.carrier.fail = func(mail.Message) error { tries++; return test.cause }
			w.add(t, "a", test.kind)
			for {
				due, err := w.oldest(t)
				if err != nil {
					break // none waits any more
				}
				if due.After(w.clock.Now()) {
					w.clock.Set(due)
				}
				w.deliver(t, 1)
			}
			if past := w.past(); past > test.after || past < test.after-7*time.Hour {
				t.Errorf("given up after %v, want after %v", past, test.after)
			}
			if (test.tries >= 0 && tries != test.tries) || tries == 0 || (test.tries < 0 && tries < 2) {
				t.Errorf("%d tries, want %d", tries, test.tries)
			}
			w.metric(t, "lethe_portal_mails_given_up_total", "refused", 1)
			if _, err := w.oldest(t); portal.KindOf(err) != portal.KindNotFound {
				t.Errorf("it still waits (%v)", err)
			}
		})
	}
}

// past is how much time went by.
func (w *world) past() time.Duration { return w.clock.Now().Sub(portaltest.Start) }

func (w *world) oldest(t *testing.T) (time.Time, error) {
	t.Helper()
	var due time.Time
	err := w.store.Read(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		var err error
		due, err = tx.OldestDueMail(ctx)
		return err
	})
	return due, err
}

func TestAMailThatComesTooLateIsNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, "a", portal.MailResetPassword)
	w.add(t, "b", portal.MailEmailChanged)
	w.clock.Advance(portal.PurposeReset.Life())
	w.deliver(t, 2)
	if diff := cmp.Diff([]string{"b"}, w.carrier.ids()); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	w.metric(t, "lethe_portal_mails_given_up_total", "late", 1)
}

func TestARowThatCannotBeAMailDoesNotBlockOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, "a", "newsletter")
	w.add(t, "b", portal.MailVerify)
	w.deliver(t, 2)
	w.clock.Advance(mail.Lease + time.Second)
	w.deliver(t, 0)
	if diff := cmp.Diff([]string{"b"}, w.carrier.ids()); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	w.metric(t, "lethe_portal_mails_given_up_total", "broken", 1)
}

// TestTwoSendersDoNotSendTheSame has two replicas empty one outbox.
func TestTwoSendersDoNotSendTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const mails = 40
	for i := range mails {
		w.add(t, portal.MailID("m"+strings.Repeat("a", i)), portal.MailVerify)
	}
	other := w.another(t, w.carrier, nil)
	var both sync.WaitGroup
	for _, sender := range []*mail.Sender{w.sender, other} {
		both.Go(func() {
			for {
				n, err := sender.Deliver(t.Context())
				if err != nil {
					t.Error(err)
				}
				if n == 0 || err != nil {
					return
				}
			}
		})
	}
	both.Wait()
	seen := map[string]int{}
	for _, id := range w.carrier.ids() {
		seen[id]++
		if seen[id] > 1 {
			t.Errorf("%s was sent %d times", id, seen[id])
		}
	}
	if len(seen) != mails {
		t.Errorf("%d mails were sent, want %d", len(seen), mails)
	}
}

// TestNothingPersonalIsLogged has a mail server that repeats addresses in its answers.
func TestNothingPersonalIsLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.carrier.fail = func(mail.Message) error {
		return &mail.Refusal{Stage: mail.StageRecipient, Code: 450, Enhanced: "4.2.1"}
	}
	w.add(t, "a", portal.MailResetPassword)
	w.add(t, "b", "newsletter")
	w.deliver(t, 2)
	w.clock.Advance(24 * time.Hour)
	w.deliver(t, 1)
	log := w.log.String()
	for _, secret := range []string{"Ada", "example.net", "token=", "laptop"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has %q:\n%s", secret, log)
		}
	}
	for _, useful := range []string{"mail=a", "the server answered 450 4.2.1", "kind=reset-password", "too late"} {
		if !strings.Contains(log, useful) {
			t.Errorf("the log lacks %q:\n%s", useful, log)
		}
	}
}

func TestLateIsSinceTheOldestMailWasDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check := func(want time.Duration) {
		t.Helper()
		if got, err := w.sender.Late(t.Context()); err != nil || got != want {
			t.Errorf("late by %v (%v), want %v", got, err, want)
		}
	}
	check(0)
	w.add(t, "a", portal.MailVerify)
	w.clock.Advance(time.Hour)
	w.add(t, "b", portal.MailVerify)
	check(time.Hour)
	w.deliver(t, 2)
	check(0)
}

// TestADeliveryThatHasBegunIsNotCutOff asks the process to end while a mail is on its way.
func TestADeliveryThatHasBegunIsNotCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, "a", portal.MailVerify)
	ctx, cancel := context.WithCancel(t.Context())
	w.carrier.during = func(sending context.Context) {
		cancel()
		if err := sending.Err(); err != nil {
			t.Errorf("the delivery was cut off: %v", err)
		}
	}
	if err := w.sender.Run(ctx); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(mail.Lease + time.Second)
	w.deliver(t, 0)
	if diff := cmp.Diff([]string{"a"}, w.carrier.ids()); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if _, err := w.sender.Deliver(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

func TestRunIsWoken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arrived := make(chan struct{}, 1)
	w.carrier.during = func(context.Context) { arrived <- struct{}{} }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.sender.Run(ctx) }()
	w.add(t, "a", portal.MailVerify)
	w.sender.Wake()
	w.sender.Wake() // never waits
	select {
	case <-arrived:
	case <-time.After(time.Minute):
		t.Error("no mail was sent")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
