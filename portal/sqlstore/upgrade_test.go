package sqlstore_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/sqlstore"
)

func TestADatabaseOfTheFirstVersionIsBroughtUpAndKeepsWhatItHas(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn func() string) {
		t.Helper()
		store := open(t, dsn())
		if err := store.MigrateTo(t.Context(), 1); err != nil {
			t.Fatalf("migrate to the first version: %v", err)
		}
		account := portaltest.Account()
		write(t, store, func(ctx context.Context, tx portal.Tx) error { return tx.CreateAccount(ctx, account) })
		if err := store.Ping(t.Context()); !errors.Is(err, sqlstore.ErrSchemaOlder) {
			t.Errorf("ping before: want %v, got %v", sqlstore.ErrSchemaOlder, err)
		}
		if err := store.Migrate(t.Context()); err != nil {
			t.Fatalf("migrate: %v", err)
		}
		if err := store.Ping(t.Context()); err != nil {
			t.Errorf("ping after: %v", err)
		}
		var got portal.Account
		write(t, store, func(ctx context.Context, tx portal.Tx) error {
			var err error
			if got, err = tx.Account(ctx, account.ID); err != nil {
				return err
			}
			return tx.CreateTenant(ctx, portaltest.Tenant(account))
		})
		if diff := cmp.Diff(account, got); diff != "" {
			t.Errorf("account (-want +got):\n%s", diff)
		}
	})
}
