package sqlstore

import (
	"context"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

const (
	mailColumns = `id, account, recipient, kind, data, created_at, due_at, attempts, sent_at, given_up_at`
	// mailWaits chooses what is neither sent nor given up.
	mailWaits = `sent_at IS NULL AND given_up_at IS NULL`
)

func scanMail(r row) (portal.Mail, error) {
	var m portal.Mail
	err := r.Scan(&m.ID, into(&m.Account), &m.To, &m.Kind, fromJSON(&m.Data), into(&m.CreatedAt),
		into(&m.DueAt), &m.Attempts, into(&m.SentAt), into(&m.GivenUpAt))
	return m, err
}

func (t *tx) AddMail(ctx context.Context, m portal.Mail) error {
	m.Data.Time = m.Data.Time.UTC().Truncate(time.Microsecond)
	_, err := t.put(ctx, "add a mail",
		`INSERT INTO mails (`+mailColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		m.ID, optional(m.Account), m.To, m.Kind, toJSON(m.Data), m.CreatedAt,
		m.DueAt, m.Attempts, maybe(m.SentAt), maybe(m.GivenUpAt))
	return err
}

func (t *tx) ClaimMails(ctx context.Context, now, until time.Time, limit int) ([]portal.Mail, error) {
	const doing = "claim mails"
	mails, err := list(ctx, t, doing, scanMail,
		`SELECT `+mailColumns+` FROM mails WHERE `+mailWaits+` AND due_at <= ? ORDER BY due_at, created_at, id LIMIT ?`,
		now, max(limit, 0))
	if err != nil {
		return nil, err
	}
	for i := range mails {
		if _, err := t.exec(ctx, doing, `UPDATE mails SET due_at = ? WHERE id = ?`, until, mails[i].ID); err != nil {
			return nil, err
		}
		mails[i].DueAt = until.UTC().Truncate(time.Microsecond)
	}
	return mails, nil
}

// MailSent implements portal.Outbox. A second time changes nothing.
func (t *tx) MailSent(ctx context.Context, id portal.MailID, at time.Time) error {
	return t.execOne(ctx, "note that a mail was sent",
		`UPDATE mails SET sent_at = coalesce(sent_at, ?), data = '' WHERE id = ?`, at, id)
}

// MailFailed implements portal.Outbox. Giving up empties the mail's data too: nobody needs
// its link any more. Of a mail that is sent or given up it changes nothing.
func (t *tx) MailFailed(ctx context.Context, id portal.MailID, at, next time.Time) error {
	const doing = "note that a mail was not sent"
	set, args := `due_at = ?`, []any{next, id}
	if next.IsZero() {
		set, args = `given_up_at = ?, data = ''`, []any{at, id}
	}
	rows, err := t.exec(ctx, doing,
		`UPDATE mails SET attempts = attempts + 1, `+set+` WHERE id = ? AND `+mailWaits, args...)
	if err != nil || rows > 0 {
		return err
	}
	_, err = one(ctx, t, doing, scanInt, `SELECT 1 FROM mails WHERE id = ?`, id)
	return err
}

func (t *tx) PurgeMails(ctx context.Context, before time.Time) (int, error) {
	return t.exec(ctx, "purge mails", `DELETE FROM mails WHERE sent_at < ? OR given_up_at < ?`, before, before)
}

func (t *tx) OldestDueMail(ctx context.Context) (time.Time, error) {
	return one(ctx, t, "find the oldest mail that waits", scanMoment,
		`SELECT due_at FROM mails WHERE `+mailWaits+` ORDER BY due_at LIMIT 1`)
}

func (t *tx) LastMail(ctx context.Context, a portal.AccountID, kind portal.MailKind) (time.Time, error) {
	return one(ctx, t, "find the last mail of a kind", scanMoment,
		`SELECT created_at FROM mails WHERE account = ? AND kind = ? ORDER BY created_at DESC LIMIT 1`, a, kind)
}
