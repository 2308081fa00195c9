package mail_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/mail"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

// raw gives what a copy of the database has of a mail's link.
func raw(t *testing.T, store portal.Store, w *world) string {
	t.Helper()
	link, looked := "", errors.New("only looked")
	err := store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		mails, err := tx.ClaimMails(ctx, w.clock.Now(), w.clock.Now(), 10)
		if err != nil {
			return err
		}
		if len(mails) != 1 {
			t.Errorf("%d mails wait, want 1", len(mails))
			return looked
		}
		link = mails[0].Data.Link
		return looked
	})
	if !errors.Is(err, looked) {
		t.Fatal(err)
	}
	return link
}

// TestLinksWaitSealed: who has a copy of the database has no link, and the mail has it.
func TestLinksWaitSealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plain := w.store
	w.store = mail.Sealed(plain, portaltest.Keys(t))
	w.sender = w.another(t, w.carrier, nil)
	w.add(t, "one", portal.MailResetPassword)
	link := example(portal.MailResetPassword).Data.Link
	_, secret, _ := strings.Cut(link, "token=")
	if got := raw(t, plain, w); got == "" || strings.Contains(got, secret) {
		t.Errorf("the database has %q", got)
	}
	w.deliver(t, 1)
	if len(w.carrier.sent) != 1 || !strings.Contains(w.carrier.sent[0].Text, link) {
		t.Errorf("the mail lacks its link: %v", w.carrier.ids())
	}
}

// TestALinkUnderAnUnknownKeyIsTriedAgain: another replica may have had the new key first.
func TestALinkUnderAnUnknownKeyIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plain, keys := w.store, portaltest.Keys(t)
	w.store = mail.Sealed(plain, keys)
	w.add(t, "one", portal.MailResetPassword)

	w.store = mail.Sealed(plain, noKeys{})
	w.sender = w.another(t, w.carrier, nil)
	w.deliver(t, 1)
	if len(w.carrier.sent) != 0 {
		t.Fatal("a mail was sent without its link")
	}
	w.clock.Advance(mail.GiveUpAfter / 300) // about a quarter of an hour: longer than the first wait
	w.store = mail.Sealed(plain, keys)
	w.sender = w.another(t, w.carrier, nil)
	w.deliver(t, 1)
	if len(w.carrier.sent) != 1 {
		t.Error("the mail was not sent once the key was there")
	}
}

// TestASealedLinkIsGoodForItsMailOnly: put into another's mail it does not open.
func TestASealedLinkIsGoodForItsMailOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plain := w.store
	w.store = mail.Sealed(plain, portaltest.Keys(t))
	w.add(t, "one", portal.MailResetPassword)
	stolen := raw(t, plain, w)
	w.write(t, func(ctx context.Context, tx portal.Tx) error {
		return tx.MailFailed(ctx, "one", w.clock.Now(), w.clock.Now().AddDate(1, 0, 0))
	})

	m := example(portal.MailResetPassword)
	m.ID, m.Account, m.CreatedAt, m.DueAt, m.To = "two", w.account.ID, w.clock.Now(), w.clock.Now(), "thief@example.org"
	m.Data.Time, m.Data.Link = w.clock.Now(), stolen
	if err := plain.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error { return tx.AddMail(ctx, m) }); err != nil {
		t.Fatal(err)
	}
	w.sender = w.another(t, w.carrier, nil)
	w.deliver(t, 1)
	if len(w.carrier.sent) != 0 {
		t.Errorf("the mail was sent: %s", w.carrier.sent[0].Text)
	}
}

type noKeys struct{}

func (noKeys) Seal([]byte, []byte) (portal.Sealed, error) {
	return portal.Sealed{}, errors.New("no key")
}

func (noKeys) Open(portal.Sealed, []byte) ([]byte, error) { return nil, errors.New("no key") }
