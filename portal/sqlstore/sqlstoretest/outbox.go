package sqlstoretest

import (
	"context"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

var outboxTests = map[string]func(*testing.T, portal.Store){
	"a mail comes back as it was, when it is due":   testMail,
	"a mail's name and account are checked":         testMailRefused,
	"mails are claimed oldest first, and then wait": testClaimMails,
	"a mail that was sent is not claimed again":     testMailSent,
	"a mail that failed is tried again or given up": testMailFailed,
	"a purge takes mails that are done":             testPurgeMails,
	"the last mail of a kind is known":              testLastMail,
}

func newMail(a portal.AccountID, id portal.MailID, due time.Time) portal.Mail {
	return portal.Mail{
		ID: id, Account: a, To: "Person@example.org", Kind: portal.MailVerify, CreatedAt: start, DueAt: due,
		Data: portal.MailData{Time: minute(1), Link: "/verify?token=x&y=<z>", Browser: "Firefox", Country: "NZ", Name: "näme", Left: 3},
	}
}

func putMails(t *testing.T, s portal.Store, mails ...portal.Mail) {
	t.Helper()
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		for _, m := range mails {
			if err := tx.AddMail(ctx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

func claim(t *testing.T, s portal.Store, now, until time.Time, limit int) []portal.Mail {
	t.Helper()
	var mails []portal.Mail
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		var err error
		mails, err = tx.ClaimMails(ctx, now, until, limit)
		return err
	})
	return mails
}

func claimIDs(t *testing.T, s portal.Store, now, until time.Time) []portal.MailID {
	t.Helper()
	return ids(claim(t, s, now, until, 100), func(m portal.Mail) portal.MailID { return m.ID })
}

func oldestDue(t *testing.T, s portal.Store) (time.Time, error) {
	t.Helper()
	return tryRead(t, s, func(ctx context.Context, tx portal.Tx) (time.Time, error) { return tx.OldestDueMail(ctx) })
}

func testMail(t *testing.T, s portal.Store) {
	a := account(t, s)
	plain := newMail(a.ID, "plain", minute(5))
	plain.Data.Time = plain.Data.Time.Add(99)
	nobodys := newMail("", "without an account", minute(6))
	nobodys.Data = portal.MailData{}
	putMails(t, s, plain, nobodys)
	equal(t, "before it is due", 0, len(claim(t, s, minute(5).Add(-time.Microsecond), minute(9), 10)))
	plain.Data.Time = plain.Data.Time.Truncate(time.Microsecond)
	plain.DueAt, nobodys.DueAt = minute(9), minute(9)
	equal(t, "when it is due", []portal.Mail{plain}, claim(t, s, minute(5), minute(9).Add(99), 10))
	equal(t, "when the next is due", []portal.Mail{nobodys}, claim(t, s, minute(6), minute(9), 10))
}

func testMailRefused(t *testing.T, s portal.Store) {
	a := account(t, s)
	putMails(t, s, newMail(a.ID, "1", start))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "a name that is taken", portal.ErrConflict, tx.AddMail(ctx, newMail(a.ID, "1", start)))
		gives(t, "nobody's", portal.ErrNotFound, tx.AddMail(ctx, newMail("nobody", "2", start)))
		gives(t, "sent, but not there", portal.ErrNotFound, tx.MailSent(ctx, "none", start))
		gives(t, "failed, but not there", portal.ErrNotFound, tx.MailFailed(ctx, "none", start, minute(1)))
		gives(t, "given up, but not there", portal.ErrNotFound, tx.MailFailed(ctx, "none", start, time.Time{}))
		return nil
	})
}

func testClaimMails(t *testing.T, s portal.Store) {
	_, err := oldestDue(t, s)
	gives(t, "the oldest of none", portal.ErrNotFound, err)
	a := account(t, s)
	putMails(t, s, newMail(a.ID, "three", minute(3)), newMail(a.ID, "one", minute(1)), newMail(a.ID, "two", minute(2)))
	oldest, err := oldestDue(t, s)
	gives(t, "the oldest", nil, err)
	equal(t, "the oldest", minute(1), oldest)
	equal(t, "no room", 0, len(claim(t, s, minute(9), minute(10), 0)))
	equal(t, "less than no room", 0, len(claim(t, s, minute(9), minute(10), -1)))
	got := claim(t, s, minute(9), minute(10), 2)
	equal(t, "claimed", []portal.MailID{"one", "two"}, ids(got, func(m portal.Mail) portal.MailID { return m.ID }))
	equal(t, "claimed next", []portal.MailID{"three"}, claimIDs(t, s, minute(9), minute(11)))
	equal(t, "claimed while others send them", []portal.MailID{}, claimIDs(t, s, minute(9), minute(12)))
	equal(t, "claimed when they didn't", []portal.MailID{"one", "two"}, claimIDs(t, s, minute(10), minute(13)))
}

func testMailSent(t *testing.T, s portal.Store) {
	a := account(t, s)
	putMails(t, s, newMail(a.ID, "1", minute(1)), newMail(a.ID, "2", minute(2)))
	for range 2 { // It may be told twice.
		write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.MailSent(ctx, "1", minute(3)) })
	}
	// Whoever was slower does not send it again, nor give it up.
	for _, next := range []time.Time{minute(5), {}} {
		write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.MailFailed(ctx, "1", minute(-10), next) })
	}
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		n, err := tx.PurgeMails(ctx, minute(3))
		equal(t, "purged as given up", 0, n)
		return err
	})
	equal(t, "claimed", []portal.MailID{"2"}, claimIDs(t, s, minute(100), minute(101)))
}

func testMailFailed(t *testing.T, s portal.Store) {
	a := account(t, s)
	mail := newMail(a.ID, "1", minute(1))
	putMails(t, s, mail)
	for range 2 {
		write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.MailFailed(ctx, "1", minute(2), minute(20)) })
	}
	equal(t, "before the next try", []portal.MailID{}, claimIDs(t, s, minute(19), minute(30)))
	mail.Attempts, mail.DueAt = 2, minute(30)
	equal(t, "at the next try", []portal.Mail{mail}, claim(t, s, minute(20), minute(30), 10))
	for range 2 {
		write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.MailFailed(ctx, "1", minute(31), time.Time{}) })
	}
	equal(t, "given up", []portal.MailID{}, claimIDs(t, s, minute(1000), minute(1001)))
	_, err := oldestDue(t, s)
	gives(t, "the oldest", portal.ErrNotFound, err)
}

func testPurgeMails(t *testing.T, s portal.Store) {
	a := account(t, s)
	putMails(t, s, newMail(a.ID, "waits", minute(1)), newMail(a.ID, "sent", minute(1)), newMail(a.ID, "sent later", minute(1)), newMail(a.ID, "given up", minute(1)))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		for _, err := range []error{
			tx.MailSent(ctx, "sent", minute(2)), tx.MailSent(ctx, "sent later", minute(3)), tx.MailFailed(ctx, "given up", minute(2), time.Time{}),
		} {
			if err != nil {
				return err
			}
		}
		n, err := tx.PurgeMails(ctx, minute(3))
		equal(t, "rows", 2, n)
		return err
	})
	equal(t, "claimed", []portal.MailID{"waits"}, claimIDs(t, s, minute(9), minute(10)))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "sent", portal.ErrNotFound, tx.MailSent(ctx, "sent", minute(4)))
		gives(t, "given up", portal.ErrNotFound, tx.MailSent(ctx, "given up", minute(4)))
		return tx.MailSent(ctx, "sent later", minute(4))
	})
}

func testLastMail(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	last := func(owner portal.AccountID, kind portal.MailKind) (time.Time, error) {
		return tryRead(t, s, func(ctx context.Context, tx portal.Tx) (time.Time, error) { return tx.LastMail(ctx, owner, kind) })
	}
	_, err := last(a.ID, portal.MailVerify)
	gives(t, "before", portal.ErrNotFound, err)
	for i, created := range []int{3, 5, 4} {
		m := newMail(a.ID, portal.MailID(rune('a'+i)), minute(9))
		m.CreatedAt = minute(created)
		putMails(t, s, m)
	}
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.MailSent(ctx, "b", minute(9)) })
	got, err := last(a.ID, portal.MailVerify)
	gives(t, "the last", nil, err)
	equal(t, "the last", minute(5), got)
	_, err = last(a.ID, portal.MailResetPassword)
	gives(t, "another kind", portal.ErrNotFound, err)
	_, err = last(b.ID, portal.MailVerify)
	gives(t, "another account", portal.ErrNotFound, err)
}
