package mail_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/mail"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

// box is an outbox in memory, for tests in which the time is made up. It knows only what
// a Sender does.
type box struct {
	portal.Tx
	mu      sync.Mutex
	waiting []portal.Mail
	// fails are errors of the next notes.
	fails []error
	sent  []portal.MailID
	looks int
}

func (b *box) Write(ctx context.Context, f func(context.Context, portal.Tx) error) error {
	return f(ctx, b)
}

func (b *box) Read(ctx context.Context, f func(context.Context, portal.Tx) error) error {
	return f(ctx, b)
}
func (b *box) Ping(context.Context) error { return nil }

func (b *box) ClaimMails(context.Context, time.Time, time.Time, int) ([]portal.Mail, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looks++
	claimed := b.waiting
	b.waiting = nil
	return claimed, nil
}

func (b *box) MailSent(_ context.Context, id portal.MailID, _ time.Time) error {
	if len(b.fails) > 0 {
		err := b.fails[0]
		b.fails = b.fails[1:]
		return err
	}
	b.sent = append(b.sent, id)
	return nil
}

func (b *box) sender(t *testing.T, by mail.Transport) *mail.Sender {
	t.Helper()
	sender, err := mail.New(mail.Dependencies{
		Store: b, Transport: by, Now: func() time.Time { return noon }, Random: portaltest.Random(1),
	}, options())
	if err != nil {
		t.Fatal(err)
	}
	return sender
}

// TestASentMailIsNotedWhenTheStoreIsBack has the store fail just after the mail server
// took the mail: without the note it would be sent again.
func TestASentMailIsNotedWhenTheStoreIsBack(t *testing.T) {
	t.Parallel()
	down := errors.New("disk full")
	tests := map[string]struct {
		fails []error
		noted int
		want  error
	}{
		"after a while":                     {fails: []error{down, down, down}, noted: 1},
		"never, and then it is told":        {fails: make([]error, 1000), noted: 0, want: down},
		"not when it has gone meanwhile":    {fails: []error{portal.ErrNotFound}, noted: 0},
		"at once when all is as it is most": {noted: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i := range test.fails {
				if test.fails[i] == nil {
					test.fails[i] = down
				}
			}
			synctest.Test(t, func(t *testing.T) {
				b := &box{waiting: []portal.Mail{example(portal.MailVerify)}, fails: test.fails}
				carrier := new(carrier)
				now := time.Now //nolint:forbidigo // It is the bubble's.
				begun := now()
				if _, err := b.sender(t, carrier).Deliver(t.Context()); !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				if len(b.sent) != test.noted || len(carrier.sent) != 1 {
					t.Errorf("sent %d times and noted %d times, want 1 and %d", len(carrier.sent), len(b.sent), test.noted)
				}
				if took := now().Sub(begun); took >= mail.Lease {
					t.Errorf("it took %v: another process has claimed the mail by now", took)
				}
			})
		})
	}
}

// TestRunLooksByItself holds that mails come that nobody was woken for.
func TestRunLooksByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := new(box)
		carrier := new(carrier)
		ctx, cancel := context.WithTimeout(t.Context(), 10*mail.Poll+time.Millisecond)
		defer cancel()
		time.AfterFunc(3*mail.Poll-time.Millisecond, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.waiting = []portal.Mail{example(portal.MailVerify)}
		})
		if err := b.sender(t, carrier).Run(ctx); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{string(example(portal.MailVerify).ID)}, carrier.ids()); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
		if b.looks != 12 { // at once, ten times by the clock, and once more after a mail
			t.Errorf("looked %d times", b.looks)
		}
	})
}
