package sqlstoretest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

var accountTests = map[string]func(*testing.T, portal.Store){
	"an account is found by its name and its address":    testAccount,
	"an account that is not there is not found":          testNoAccount,
	"an address is one account's":                        testAddressTaken,
	"an update of an account writes all but its origin":  testUpdateAccount,
	"accounts are found by the beginning of an address":  testFindAccounts,
	"a search for accounts takes characters as they are": testFindAccountsExactly,
}

func testAccount(t *testing.T, s portal.Store) {
	for name, a := range map[string]portal.Account{
		"a full one": portaltest.Account(portaltest.WithRole(portal.RoleSecurity), func(a *portal.Account) { a.DisabledAt = minute(3) }),
		"a new one": portaltest.Account(func(a *portal.Account) {
			a.EmailVerifiedAt, a.PasswordHash, a.PasswordChangedAt = time.Time{}, "", time.Time{}
		}),
	} {
		write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.CreateAccount(ctx, a) })
		byID := read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Account, error) { return tx.Account(ctx, a.ID) })
		equal(t, name+" by its name", a, byID)
		byEmail := read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Account, error) {
			return tx.AccountByEmail(ctx, a.EmailKey)
		})
		equal(t, name+" by its address", a, byEmail)
	}
}

func testNoAccount(t *testing.T, s portal.Store) {
	a := portaltest.Account()
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		_, err := tx.Account(ctx, a.ID)
		gives(t, "by its name", portal.ErrNotFound, err)
		_, err = tx.AccountByEmail(ctx, a.EmailKey)
		gives(t, "by its address", portal.ErrNotFound, err)
		gives(t, "update", portal.ErrNotFound, tx.UpdateAccount(ctx, a))
		return nil
	})
}

func testAddressTaken(t *testing.T, s portal.Store) {
	first, second := account(t, s), account(t, s)
	third := portaltest.Account()
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		taken := portaltest.Account()
		taken.EmailKey = first.EmailKey
		gives(t, "create with an address that is taken", portal.ErrConflict, tx.CreateAccount(ctx, taken))
		taken = portaltest.Account()
		taken.ID = first.ID
		gives(t, "create with a name that is taken", portal.ErrConflict, tx.CreateAccount(ctx, taken))
		taken = second
		taken.EmailKey, taken.Role = first.EmailKey, portal.RoleAdmin
		gives(t, "update to an address that is taken", portal.ErrConflict, tx.UpdateAccount(ctx, taken))
		got, err := tx.Account(ctx, second.ID)
		if err != nil {
			return err
		}
		equal(t, "who wanted it", second, got)
		return tx.CreateAccount(ctx, third)
	})
	if !exists(t, s, third.ID) {
		t.Error("a write does not go on after an answer")
	}
}

func testUpdateAccount(t *testing.T, s portal.Store) {
	a, other := account(t, s), account(t, s)
	want := portaltest.Account(portaltest.WithRole(portal.RoleSupport), func(b *portal.Account) {
		b.EmailVerifiedAt, b.PasswordHash, b.PasswordChangedAt, b.DisabledAt = minute(1), "another", minute(2), minute(3)
	})
	want.ID, want.CreatedAt = a.ID, minute(99)
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.UpdateAccount(ctx, want) })
	want.CreatedAt = a.CreatedAt
	got := read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Account, error) { return tx.Account(ctx, a.ID) })
	equal(t, "account", want, got)
	got = read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Account, error) { return tx.Account(ctx, other.ID) })
	equal(t, "another account", other, got)

	want.DisabledAt, want.EmailVerifiedAt = time.Time{}, time.Time{}
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.UpdateAccount(ctx, want) })
	got = read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Account, error) { return tx.Account(ctx, a.ID) })
	equal(t, "account with times taken away", want, got)
}

// find gives the addresses that a search finds.
func find(t *testing.T, s portal.Store, prefix string, limit int) []string {
	t.Helper()
	found := read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.Account, error) {
		return tx.FindAccounts(ctx, prefix, limit)
	})
	return ids(found, func(a portal.Account) string { return a.EmailKey })
}

func testFindAccounts(t *testing.T, s portal.Store) {
	for _, email := range []portal.Email{"bob@example.org", "ann@example.org", "anna@example.org", "an-na@example.org", "an_na@example.org", "zoe@example.org"} {
		account(t, s, portaltest.WithEmail(email))
	}
	zoe := read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Account, error) {
		return tx.AccountByEmail(ctx, "zoe@example.org")
	})
	// In the order of bytes, whatever the database's language.
	all := []string{"an-na@example.org", "an_na@example.org", "ann@example.org", "anna@example.org", "bob@example.org", "zoe@example.org"}
	equal(t, "everybody", all, find(t, s, "", 100))
	equal(t, "a beginning", all[:4], find(t, s, "an", 100))
	equal(t, "a longer beginning", all[2:4], find(t, s, "ann", 100))
	equal(t, "a whole address", all[4:5], find(t, s, "bob@example.org", 100))
	equal(t, "a limit", all[:2], find(t, s, "an", 2))
	equal(t, "no room", []string{}, find(t, s, "an", 0))
	equal(t, "less than no room", []string{}, find(t, s, "an", -1))
	equal(t, "an end", []string{}, find(t, s, "example.org", 100))
	equal(t, "a name", all[5:], find(t, s, string(zoe.ID), 100))
	equal(t, "the beginning of a name", []string{}, find(t, s, string(zoe.ID)[:20], 100))
}

func testFindAccountsExactly(t *testing.T, s portal.Store) {
	keys := []string{"%@x", "A@x", "_@x", "a@x", "a\ud7ff@x", "a\ue000@x", "a\U0010ffff@x", "a\U0010ffff\U0010ffff@x", "b@x"}
	for _, key := range slices.Backward(keys) {
		account(t, s, func(a *portal.Account) { a.EmailKey = key })
	}
	equal(t, "order", keys, find(t, s, "", 100))
	equal(t, "percent", keys[:1], find(t, s, "%", 100))
	equal(t, "underscore", keys[2:3], find(t, s, "_", 100))
	equal(t, "case", keys[1:2], find(t, s, "A", 100))
	equal(t, "all after a letter", keys[3:8], find(t, s, "a", 100))
	equal(t, "the last before the surrogates", keys[4:5], find(t, s, "a\ud7ff", 100))
	equal(t, "the last character of all", keys[6:8], find(t, s, "a\U0010ffff", 100))
	equal(t, "nothing but last characters", []string{}, find(t, s, "\U0010ffff", 100))
}
