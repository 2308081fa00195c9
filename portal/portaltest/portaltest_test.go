package portaltest_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

func TestAStoreKeepsAccountsOfOurs(t *testing.T) {
	t.Parallel()
	store := portaltest.Store(t)
	if err := store.Ping(t.Context()); err != nil {
		t.Fatalf("ping: %v", err)
	}
	want := portaltest.Account()
	var got portal.Account
	err := store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		if err := tx.CreateAccount(ctx, want); err != nil {
			return err
		}
		var err error
		got, err = tx.AccountByEmail(ctx, want.EmailKey)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("account (-want +got):\n%s", diff)
	}
}

func TestAServerOfPostgreSQLServes(t *testing.T) {
	t.Parallel()
	if err := portaltest.StartPostgres(t).Store(t).Ping(t.Context()); err != nil {
		t.Fatalf("ping: %v", err)
	}
}
