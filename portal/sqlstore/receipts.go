package sqlstore

import (
	"context"

	"github.com/lethe-dev/lethe/portal"
)

const receiptColumns = `uid, account, name, digest, envelope, erased_at`

func scanReceipt(r row) (portal.Receipt, error) {
	var p portal.Receipt
	err := r.Scan(&p.UID, &p.Account, &p.Name, &p.Digest, &p.Envelope, into(&p.ErasedAt))
	return p, err
}

func (t *tx) PutReceipt(ctx context.Context, r portal.Receipt) error {
	_, err := t.put(ctx, "keep a receipt",
		`INSERT INTO receipts (`+receiptColumns+`) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (uid) DO NOTHING`,
		r.UID, r.Account, r.Name, r.Digest, append([]byte{}, r.Envelope...), r.ErasedAt)
	return err
}

func (t *tx) Receipt(ctx context.Context, a portal.AccountID, uid string) (portal.Receipt, error) {
	return one(ctx, t, "read a receipt", scanReceipt,
		`SELECT `+receiptColumns+` FROM receipts WHERE account = ? AND uid = ?`, a, uid)
}

func (t *tx) AccountReceipts(ctx context.Context, a portal.AccountID, after portal.PageCursor, limit int) ([]portal.Receipt, error) {
	where, args := olderThan(`account = ?`, []any{a}, `erased_at, uid`, after)
	return list(ctx, t, "list receipts", scanReceipt,
		`SELECT `+receiptColumns+` FROM receipts WHERE `+where+` ORDER BY erased_at DESC, uid DESC LIMIT ?`,
		append(args, max(limit, 0))...)
}
