package sqlstoretest

import (
	"context"
	"testing"

	"github.com/lethe-dev/lethe/portal"
)

var receiptTests = map[string]func(*testing.T, portal.Store){
	"a receipt stays as it was first kept":              testReceipt,
	"an account's receipts are paged, newest first":     testAccountReceipts,
	"a notice is taken once, until it is dropped":       testNotice,
	"notices of what is gone go after a time":           testPurgeNotices,
	"the kinds of mails that are unwanted are replaced": testUnwantedMails,
}

func newReceipt(a portal.AccountID, uid string, erased int) portal.Receipt {
	return portal.Receipt{
		UID: uid, Account: a, Name: "Speech", Digest: "sha256:" + uid, Envelope: []byte{0, 0xff, '{'}, ErasedAt: minute(erased),
	}
}

func putReceipt(t *testing.T, s portal.Store, r portal.Receipt) portal.Receipt {
	t.Helper()
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.PutReceipt(ctx, r) })
	return r
}

func testReceipt(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	first := putReceipt(t, s, newReceipt(a.ID, "it", 0))
	putReceipt(t, s, newReceipt(b.ID, "it", 1))
	get := func(a portal.AccountID, uid string) (portal.Receipt, error) {
		return tryRead(t, s, func(ctx context.Context, tx portal.Tx) (portal.Receipt, error) { return tx.Receipt(ctx, a, uid) })
	}
	got, err := get(a.ID, "it")
	equal(t, "receipt", first, got)
	gives(t, "receipt", nil, err)
	_, err = get(b.ID, "it")
	gives(t, "by another account", portal.ErrNotFound, err)
	_, err = get(a.ID, "none")
	gives(t, "one that is not there", portal.ErrNotFound, err)
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "nobody's", portal.ErrNotFound, tx.PutReceipt(ctx, newReceipt("nobody", "x", 0)))
		empty := newReceipt(a.ID, "empty", 0)
		empty.Envelope = nil
		return tx.PutReceipt(ctx, empty)
	})
}

func testAccountReceipts(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	for uid, erased := range map[string]int{"old": 0, "a": 1, "b": 1, "new": 3} {
		putReceipt(t, s, newReceipt(a.ID, uid, erased))
	}
	putReceipt(t, s, newReceipt(b.ID, "others", 1))
	page := func(after portal.PageCursor, limit int) []string {
		all := read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.Receipt, error) {
			return tx.AccountReceipts(ctx, a.ID, after, limit)
		})
		return ids(all, func(r portal.Receipt) string { return r.UID })
	}
	equal(t, "all", []string{"new", "b", "a", "old"}, page(portal.PageCursor{}, 10))
	equal(t, "a first page", []string{"new", "b"}, page(portal.PageCursor{}, 2))
	equal(t, "the next", []string{"a", "old"}, page(portal.PageCursor{Time: minute(1), ID: "b"}, 2))
	equal(t, "no room", []string{}, page(portal.PageCursor{}, -1))
}

func testNotice(t *testing.T, s portal.Store) {
	take := func(subject string, kind portal.MailKind) error {
		return s.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error { return tx.TakeNotice(ctx, subject, kind, start) })
	}
	gives(t, "the first time", nil, take("run", portal.MailRunStarted))
	gives(t, "again", portal.ErrConflict, take("run", portal.MailRunStarted))
	gives(t, "another kind", nil, take("run", portal.MailRunFinished))
	gives(t, "another subject", nil, take("other", portal.MailRunStarted))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		if err := tx.DropNotices(ctx, "none", portal.MailRunStarted); err != nil {
			return err
		}
		return tx.DropNotices(ctx, "run", portal.MailRunStarted)
	})
	gives(t, "once it was dropped", nil, take("run", portal.MailRunStarted))
	gives(t, "another kind that was not", portal.ErrConflict, take("run", portal.MailRunFinished))
	gives(t, "another subject that was not", portal.ErrConflict, take("other", portal.MailRunStarted))
	// Who loses goes on with the transaction.
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "in a transaction", portal.ErrConflict, tx.TakeNotice(ctx, "run", portal.MailRunStarted, start))
		return tx.TakeNotice(ctx, "run", portal.MailRunFailed, start)
	})
	gives(t, "what the transaction took", portal.ErrConflict, take("run", portal.MailRunFailed))
}

func testPurgeNotices(t *testing.T, s portal.Store) {
	n := tenant(t, s)
	there, gone := putDataset(t, s, newDataset(n, "there", 0)), newDataset(n, "gone", 0)
	gone.ErasedAt = minute(1)
	putDataset(t, s, gone)
	lost, refused := newRun(there, "run-lost", 0), newRun(there, "run-refused", 0)
	lost.GoneAt, refused.Refused = minute(1), "no"
	for _, r := range []portal.Run{newRun(there, "run-there", 0), lost, refused} {
		putRun(t, s, r)
	}
	subjects := []string{"gone", "nothing", "run-lost", "run-refused", "run-there", "there"}
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		for _, subject := range subjects {
			if err := tx.TakeNotice(ctx, subject, portal.MailRunFinished, minute(2)); err != nil {
				return err
			}
		}
		return tx.TakeNotice(ctx, "gone", portal.MailDatasetErased, minute(3))
	})
	purge := func(before int) (n int) {
		write(t, s, func(ctx context.Context, tx portal.Tx) error {
			var err error
			n, err = tx.PurgeNotices(ctx, minute(before))
			return err
		})
		return n
	}
	equal(t, "too early", 0, purge(2))
	equal(t, "of what is gone", 4, purge(3))
	equal(t, "again", 0, purge(3))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		for subject, want := range map[string]error{"gone": nil, "run-lost": nil, "run-there": portal.ErrConflict, "there": portal.ErrConflict} {
			gives(t, subject, want, tx.TakeNotice(ctx, subject, portal.MailRunFinished, minute(4)))
		}
		gives(t, "a later one", portal.ErrConflict, tx.TakeNotice(ctx, "gone", portal.MailDatasetErased, minute(4)))
		return nil
	})
}

func testUnwantedMails(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	set := func(a portal.AccountID, kinds ...portal.MailKind) {
		write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.SetUnwantedMails(ctx, a, kinds) })
	}
	get := func(a portal.AccountID) []portal.MailKind {
		return read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.MailKind, error) { return tx.UnwantedMails(ctx, a) })
	}
	equal(t, "from the beginning", []portal.MailKind{}, get(a.ID))
	set(a.ID, portal.MailRunStarted, portal.MailDatasetExpires, portal.MailRunStarted)
	set(b.ID, portal.MailRunFailed)
	equal(t, "set", []portal.MailKind{portal.MailDatasetExpires, portal.MailRunStarted}, get(a.ID))
	set(a.ID, portal.MailRunFinished)
	equal(t, "replaced", []portal.MailKind{portal.MailRunFinished}, get(a.ID))
	set(a.ID)
	equal(t, "wanted again", []portal.MailKind{}, get(a.ID))
	equal(t, "another's", []portal.MailKind{portal.MailRunFailed}, get(b.ID))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "nobody's", portal.ErrNotFound, tx.SetUnwantedMails(ctx, "nobody", []portal.MailKind{portal.MailRunFailed}))
		return nil
	})
}
