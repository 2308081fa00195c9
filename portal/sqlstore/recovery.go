package sqlstore

import (
	"context"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

func (t *tx) PutRecoveryCodes(ctx context.Context, a portal.AccountID, codes []portal.Digest) error {
	const doing = "put recovery codes"
	return t.atomic(ctx, doing, func() error {
		if _, err := t.exec(ctx, doing, `DELETE FROM recovery_codes WHERE account = ?`, a); err != nil {
			return err
		}
		for _, code := range codes {
			_, err := t.exec(ctx, doing, `INSERT INTO recovery_codes (account, digest) VALUES (?, ?)`, a, code)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) UseRecoveryCode(ctx context.Context, a portal.AccountID, code portal.Digest, at time.Time) (int, error) {
	err := t.execOne(ctx, "use a recovery code",
		`UPDATE recovery_codes SET used_at = ? WHERE account = ? AND digest = ? AND used_at IS NULL`, at, a, code)
	if err != nil {
		return 0, err
	}
	return t.RecoveryCodesLeft(ctx, a)
}

func (t *tx) RecoveryCodesLeft(ctx context.Context, a portal.AccountID) (int, error) {
	return one(ctx, t, "count recovery codes", scanInt,
		`SELECT COUNT(*) FROM recovery_codes WHERE account = ? AND used_at IS NULL`, a)
}
