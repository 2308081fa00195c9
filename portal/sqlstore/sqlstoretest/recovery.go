package sqlstoretest

import (
	"context"
	"testing"

	"github.com/lethe-dev/lethe/portal"
)

var recoveryTests = map[string]func(*testing.T, portal.Store){
	"a recovery code is good once":                   testUseRecoveryCode,
	"new recovery codes replace the old":             testPutRecoveryCodes,
	"recovery codes that are refused change nothing": testRecoveryCodesRefused,
}

func codes(texts ...string) []portal.Digest {
	all := []portal.Digest{}
	for _, text := range texts {
		all = append(all, digest(text))
	}
	return all
}

func codesLeft(t *testing.T, s portal.Store, a portal.AccountID) int {
	t.Helper()
	return read(t, s, func(ctx context.Context, tx portal.Tx) (int, error) { return tx.RecoveryCodesLeft(ctx, a) })
}

func testUseRecoveryCode(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		if err := tx.PutRecoveryCodes(ctx, a.ID, codes("1", "2", "3")); err != nil {
			return err
		}
		return tx.PutRecoveryCodes(ctx, b.ID, codes("1", "b"))
	})
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		left, err := tx.UseRecoveryCode(ctx, a.ID, digest("1"), start)
		equal(t, "left", 2, left)
		if err != nil {
			return err
		}
		for what, code := range map[string]string{"used": "1", "another's": "b", "nobody's": "x"} {
			_, err = tx.UseRecoveryCode(ctx, a.ID, digest(code), start)
			gives(t, "a code that is "+what, portal.ErrNotFound, err)
		}
		return nil
	})
	equal(t, "left", 2, codesLeft(t, s, a.ID))
	equal(t, "left of another with the same code", 2, codesLeft(t, s, b.ID))
	equal(t, "left of nobody", 0, codesLeft(t, s, "nobody"))
}

func testPutRecoveryCodes(t *testing.T, s portal.Store) {
	a := account(t, s)
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		if err := tx.PutRecoveryCodes(ctx, a.ID, codes("1", "2", "3")); err != nil {
			return err
		}
		_, err := tx.UseRecoveryCode(ctx, a.ID, digest("1"), start)
		return err
	})
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.PutRecoveryCodes(ctx, a.ID, codes("1", "9")) })
	equal(t, "left", 2, codesLeft(t, s, a.ID))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		_, err := tx.UseRecoveryCode(ctx, a.ID, digest("2"), start)
		gives(t, "an old code", portal.ErrNotFound, err)
		_, err = tx.UseRecoveryCode(ctx, a.ID, digest("1"), start)
		return err
	})
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.PutRecoveryCodes(ctx, a.ID, nil) })
	equal(t, "left", 0, codesLeft(t, s, a.ID))
}

func testRecoveryCodesRefused(t *testing.T, s portal.Store) {
	a := account(t, s)
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		if err := tx.PutRecoveryCodes(ctx, a.ID, codes("1", "2", "3")); err != nil {
			return err
		}
		gives(t, "the same twice", portal.ErrConflict, tx.PutRecoveryCodes(ctx, a.ID, codes("8", "9", "8")))
		gives(t, "nobody's", portal.ErrNotFound, tx.PutRecoveryCodes(ctx, "nobody", codes("8")))
		return nil
	})
	equal(t, "left", 3, codesLeft(t, s, a.ID))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		_, err := tx.UseRecoveryCode(ctx, a.ID, digest("3"), start)
		return err
	})
}
