package sqlstore

import (
	"context"

	"github.com/lethe-dev/lethe/portal"
)

const deviceColumns = `digest, account, created_at, last_seen`

func scanDevice(r row) (portal.Device, error) {
	var d portal.Device
	err := r.Scan(into(&d.Digest), &d.Account, into(&d.CreatedAt), into(&d.LastSeen))
	return d, err
}

func (t *tx) PutDevice(ctx context.Context, d portal.Device) error {
	_, err := t.put(ctx, "remember a device",
		`INSERT INTO devices (`+deviceColumns+`) VALUES (?, ?, ?, ?)
		ON CONFLICT (account, digest) DO UPDATE SET last_seen = excluded.last_seen`,
		d.Digest, d.Account, d.CreatedAt, d.LastSeen)
	return err
}

func (t *tx) Device(ctx context.Context, a portal.AccountID, d portal.Digest) (portal.Device, error) {
	return one(ctx, t, "find a device", scanDevice,
		`SELECT `+deviceColumns+` FROM devices WHERE account = ? AND digest = ?`, a, d)
}

func (t *tx) DeleteDevices(ctx context.Context, a portal.AccountID) error {
	_, err := t.exec(ctx, "forget devices", `DELETE FROM devices WHERE account = ?`, a)
	return err
}
