package sqlstore

import (
	"context"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

const sessionColumns = `id, account, digest, created_at, expires_at, authenticated_at, last_seen_at, second_factor, browser, country`

func scanSession(r row) (portal.Session, error) {
	var s portal.Session
	err := r.Scan(&s.ID, &s.Account, into(&s.Digest), into(&s.CreatedAt), into(&s.ExpiresAt),
		into(&s.AuthenticatedAt), into(&s.LastSeenAt), &s.SecondFactor, &s.Browser, &s.Country)
	return s, err
}

func (t *tx) CreateSession(ctx context.Context, s portal.Session) error {
	_, err := t.put(ctx, "create a session",
		`INSERT INTO sessions (`+sessionColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		s.ID, s.Account, s.Digest, s.CreatedAt, s.ExpiresAt,
		s.AuthenticatedAt, s.LastSeenAt, s.SecondFactor, s.Browser, s.Country)
	return err
}

func (t *tx) SessionByDigest(ctx context.Context, d portal.Digest) (portal.Session, error) {
	return one(ctx, t, "find a session", scanSession,
		`SELECT `+sessionColumns+` FROM sessions WHERE digest = ?`, d)
}

func (t *tx) UpdateSession(ctx context.Context, s portal.Session) error {
	return found(t.put(ctx, "update a session",
		`UPDATE sessions SET digest = ?, expires_at = ?, authenticated_at = ?, last_seen_at = ?,
			second_factor = ?, browser = ?, country = ? WHERE id = ?`,
		s.Digest, s.ExpiresAt, s.AuthenticatedAt, s.LastSeenAt,
		s.SecondFactor, s.Browser, s.Country, s.ID))
}

func (t *tx) AccountSessions(ctx context.Context, a portal.AccountID) ([]portal.Session, error) {
	return list(ctx, t, "list sessions", scanSession,
		`SELECT `+sessionColumns+` FROM sessions WHERE account = ? ORDER BY created_at DESC, id DESC`, a)
}

func (t *tx) DeleteSession(ctx context.Context, a portal.AccountID, id portal.SessionID) error {
	return t.execOne(ctx, "delete a session",
		`DELETE FROM sessions WHERE account = ? AND id = ?`, a, id)
}

func (t *tx) DeleteSessions(ctx context.Context, a portal.AccountID, except portal.SessionID) error {
	_, err := t.exec(ctx, "delete sessions",
		`DELETE FROM sessions WHERE account = ? AND id <> ?`, a, except)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, "delete challenges", `DELETE FROM challenges WHERE account = ?`, a)
	return err
}

func (t *tx) PurgeSessions(ctx context.Context, now time.Time) (int, error) {
	// The opposite of Session.Live.
	sessions, err := t.exec(ctx, "purge sessions",
		`DELETE FROM sessions WHERE expires_at <= ? OR last_seen_at <= ?`, now, now.Add(-portal.SessionIdle))
	if err != nil {
		return 0, err
	}
	challenges, err := t.exec(ctx, "purge challenges",
		`DELETE FROM challenges WHERE expires_at <= ?`, now)
	if err != nil {
		return 0, err
	}
	devices, err := t.exec(ctx, "purge devices",
		`DELETE FROM devices WHERE last_seen <= ?`, now.Add(-portal.DeviceLife))
	return sessions + challenges + devices, err
}
