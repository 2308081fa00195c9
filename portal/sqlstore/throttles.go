package sqlstore

import (
	"context"
	"errors"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

func scanThrottle(r row) (portal.Throttle, error) {
	var c portal.Throttle
	err := r.Scan(&c.Key, &c.Failures, into(&c.FirstAt), into(&c.LastAt))
	return c, err
}

func (t *tx) Throttle(ctx context.Context, key string) (portal.Throttle, error) {
	count, err := one(ctx, t, "read a throttle", scanThrottle,
		`SELECT key, failures, first_at, last_at FROM throttles WHERE key = ?`, key)
	if errors.Is(err, portal.ErrNotFound) {
		return portal.Throttle{Key: key}, nil
	}
	return count, err
}

func (t *tx) PutThrottle(ctx context.Context, c portal.Throttle) error {
	_, err := t.exec(ctx, "write a throttle",
		`INSERT INTO throttles (key, failures, first_at, last_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET failures = excluded.failures, first_at = excluded.first_at, last_at = excluded.last_at`,
		c.Key, c.Failures, c.FirstAt, c.LastAt)
	return err
}

func (t *tx) DeleteThrottle(ctx context.Context, key string) error {
	_, err := t.exec(ctx, "delete a throttle", `DELETE FROM throttles WHERE key = ?`, key)
	return err
}

func (t *tx) PurgeThrottles(ctx context.Context, before time.Time) (int, error) {
	return t.exec(ctx, "purge throttles", `DELETE FROM throttles WHERE last_at < ?`, before)
}
