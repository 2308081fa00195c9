package sqlstore

import (
	"context"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

func (t *tx) TakeNotice(ctx context.Context, subject string, kind portal.MailKind, at time.Time) error {
	_, err := t.put(ctx, "take a notice",
		`INSERT INTO notices (subject, kind, taken_at) VALUES (?, ?, ?)`, subject, kind, at)
	return err
}

func (t *tx) DropNotices(ctx context.Context, subject string, kind portal.MailKind) error {
	_, err := t.exec(ctx, "drop notices", `DELETE FROM notices WHERE subject = ? AND kind = ?`, subject, kind)
	return err
}

func (t *tx) PurgeNotices(ctx context.Context, before time.Time) (int, error) {
	return t.exec(ctx, "purge notices",
		`DELETE FROM notices WHERE taken_at < ?
			AND NOT EXISTS (SELECT 1 FROM datasets WHERE id = subject AND erased_at IS NULL)
			AND NOT EXISTS (SELECT 1 FROM runs WHERE id = subject AND gone_at IS NULL AND refused = '')`, before)
}

func (t *tx) UnwantedMails(ctx context.Context, a portal.AccountID) ([]portal.MailKind, error) {
	return list(ctx, t, "list unwanted mails", scanMailKind,
		`SELECT kind FROM unwanted_mails WHERE account = ? ORDER BY kind`, a)
}

func scanMailKind(r row) (portal.MailKind, error) {
	var kind portal.MailKind
	err := r.Scan(&kind)
	return kind, err
}

func (t *tx) SetUnwantedMails(ctx context.Context, a portal.AccountID, kinds []portal.MailKind) error {
	const doing = "set unwanted mails"
	return t.atomic(ctx, doing, func() error {
		if _, err := t.exec(ctx, doing, `DELETE FROM unwanted_mails WHERE account = ?`, a); err != nil {
			return err
		}
		for _, kind := range kinds {
			_, err := t.exec(ctx, doing,
				`INSERT INTO unwanted_mails (account, kind) VALUES (?, ?) ON CONFLICT (account, kind) DO NOTHING`, a, kind)
			if err != nil {
				return err
			}
		}
		return nil
	})
}
