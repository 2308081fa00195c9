package sqlstore

import (
	"context"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

const linkColumns = `digest, account, purpose, email, created_at, expires_at`

func scanLink(r row) (portal.Link, error) {
	var l portal.Link
	err := r.Scan(into(&l.Digest), &l.Account, &l.Purpose, &l.Email, into(&l.CreatedAt), into(&l.ExpiresAt))
	return l, err
}

func (t *tx) CreateLink(ctx context.Context, l portal.Link) error {
	_, err := t.put(ctx, "create a link",
		`INSERT INTO links (`+linkColumns+`) VALUES (?, ?, ?, ?, ?, ?)`,
		l.Digest, l.Account, l.Purpose, l.Email, l.CreatedAt, l.ExpiresAt)
	return err
}

func (t *tx) Link(ctx context.Context, d portal.Digest) (portal.Link, error) {
	return one(ctx, t, "find a link", scanLink, `SELECT `+linkColumns+` FROM links WHERE digest = ?`, d)
}

func (t *tx) UseLink(ctx context.Context, d portal.Digest) error {
	return t.execOne(ctx, "use a link", `DELETE FROM links WHERE digest = ?`, d)
}

func (t *tx) DeleteLinks(ctx context.Context, a portal.AccountID, p portal.Purpose) error {
	_, err := t.exec(ctx, "delete links", `DELETE FROM links WHERE account = ? AND purpose = ?`, a, p)
	return err
}

func (t *tx) PurgeLinks(ctx context.Context, now time.Time) (int, error) {
	return t.exec(ctx, "purge links", `DELETE FROM links WHERE expires_at <= ?`, now)
}
