package sqlstore

import (
	"context"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

const totpColumns = `id, account, key_id, box, last_step, created_at, confirmed_at`

func scanTOTP(r row) (portal.TOTP, error) {
	var f portal.TOTP
	err := r.Scan(&f.ID, &f.Account, &f.Seed.KeyID, &f.Seed.Box, &f.LastStep, into(&f.CreatedAt), into(&f.ConfirmedAt))
	return f, err
}

func (t *tx) PutPendingTOTP(ctx context.Context, f portal.TOTP) error {
	const doing = "put a pending factor"
	return t.atomic(ctx, doing, func() error {
		_, err := t.exec(ctx, doing, `DELETE FROM totp WHERE account = ? AND confirmed_at IS NULL`, f.Account)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, doing,
			`INSERT INTO totp (`+totpColumns+`) VALUES (?, ?, ?, ?, ?, ?, NULL)`,
			f.ID, f.Account, f.Seed.KeyID, f.Seed.Box, f.LastStep, f.CreatedAt)
		return err
	})
}

func (t *tx) PendingTOTP(ctx context.Context, a portal.AccountID) (portal.TOTP, error) {
	return one(ctx, t, "find a pending factor", scanTOTP,
		`SELECT `+totpColumns+` FROM totp WHERE account = ? AND confirmed_at IS NULL`, a)
}

func (t *tx) ConfirmedTOTP(ctx context.Context, a portal.AccountID) (portal.TOTP, error) {
	return one(ctx, t, "find a factor", scanTOTP,
		`SELECT `+totpColumns+` FROM totp WHERE account = ? AND confirmed_at IS NOT NULL`, a)
}

func (t *tx) ConfirmTOTP(ctx context.Context, id portal.FactorID, step int64, at time.Time) error {
	const doing = "confirm a factor"
	_, err := t.exec(ctx, doing,
		`DELETE FROM totp WHERE confirmed_at IS NOT NULL
			AND account = (SELECT account FROM totp WHERE id = ? AND confirmed_at IS NULL)`, id)
	if err != nil {
		return err
	}
	return t.execOne(ctx, doing,
		`UPDATE totp SET last_step = ?, confirmed_at = ? WHERE id = ? AND confirmed_at IS NULL`, step, at, id)
}

func (t *tx) TakeStep(ctx context.Context, id portal.FactorID, step int64) error {
	const doing = "take a time step"
	rows, err := t.exec(ctx, doing, `UPDATE totp SET last_step = ? WHERE id = ? AND last_step < ?`, step, id, step)
	if err != nil || rows > 0 {
		return err
	}
	if _, err := one(ctx, t, doing, scanInt, `SELECT 1 FROM totp WHERE id = ?`, id); err != nil {
		return err
	}
	return portal.ErrConflict
}

func (t *tx) DeleteTOTP(ctx context.Context, a portal.AccountID) error {
	_, err := t.exec(ctx, "delete factors", `DELETE FROM totp WHERE account = ?`, a)
	return err
}

func (t *tx) EachTOTP(ctx context.Context, f func(portal.TOTP) error) error {
	all, err := list(ctx, t, "list factors", scanTOTP, `SELECT `+totpColumns+` FROM totp ORDER BY id`)
	if err != nil {
		return err
	}
	for _, factor := range all {
		if err := f(factor); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) ReplaceSeed(ctx context.Context, id portal.FactorID, seed portal.Sealed) error {
	return t.execOne(ctx, "replace a seed", `UPDATE totp SET key_id = ?, box = ? WHERE id = ?`, seed.KeyID, seed.Box, id)
}
