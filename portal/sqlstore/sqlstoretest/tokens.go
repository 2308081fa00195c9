package sqlstoretest

import (
	"context"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

var tokenTests = map[string]func(*testing.T, portal.Store){
	"an API token is found by its secret's digest":        testToken,
	"an API token's name, digest and account are checked": testTokenRefused,
	"an account's API tokens are listed newest first":     testAccountTokens,
	"an API token is revoked once and by its owner":       testRevokeToken,
	"the use of an API token is noted":                    testTouchToken,
}

func newToken(a portal.AccountID, id portal.TokenID, created time.Time) portal.APIToken {
	return portal.APIToken{
		ID: id, Account: a, Digest: digest(string(id)), Name: "laptop", Hint: "ab12",
		Scopes: []portal.Scope{portal.ScopeEventsRead, portal.ScopeAccountRead}, CreatedAt: created, ExpiresAt: created.Add(portal.DefaultTokenLife),
	}
}

func putToken(t *testing.T, s portal.Store, token portal.APIToken) portal.APIToken {
	t.Helper()
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.CreateToken(ctx, token) })
	return token
}

func tokenOf(t *testing.T, s portal.Store, d portal.Digest) portal.APIToken {
	t.Helper()
	return read(t, s, func(ctx context.Context, tx portal.Tx) (portal.APIToken, error) { return tx.TokenByDigest(ctx, d) })
}

func tokensOf(t *testing.T, s portal.Store, a portal.AccountID) []portal.TokenID {
	t.Helper()
	all := read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.APIToken, error) { return tx.AccountTokens(ctx, a) })
	return ids(all, func(t portal.APIToken) portal.TokenID { return t.ID })
}

func testToken(t *testing.T, s portal.Store) {
	a := account(t, s)
	plain := putToken(t, s, newToken(a.ID, "plain", start))
	full := newToken(a.ID, "full", start)
	full.LastUsedAt, full.RevokedAt, full.Scopes = minute(1), minute(2), nil
	putToken(t, s, full)
	equal(t, "token", plain, tokenOf(t, s, plain.Digest))
	equal(t, "token that was used and revoked", full, tokenOf(t, s, full.Digest))
	_, err := tryRead(t, s, func(ctx context.Context, tx portal.Tx) (portal.APIToken, error) {
		return tx.TokenByDigest(ctx, digest("another"))
	})
	gives(t, "another digest", portal.ErrNotFound, err)
}

func testTokenRefused(t *testing.T, s portal.Store) {
	a := account(t, s)
	first := putToken(t, s, newToken(a.ID, "first", start))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		again := newToken(a.ID, "first", start)
		again.Digest = digest("another")
		gives(t, "a name that is taken", portal.ErrConflict, tx.CreateToken(ctx, again))
		again = newToken(a.ID, "another", start)
		again.Digest = first.Digest
		gives(t, "a digest that is taken", portal.ErrConflict, tx.CreateToken(ctx, again))
		gives(t, "nobody's", portal.ErrNotFound, tx.CreateToken(ctx, newToken("nobody", "nobodys", start)))
		return nil
	})
	equal(t, "tokens", []portal.TokenID{"first"}, tokensOf(t, s, a.ID))
}

func testAccountTokens(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	expired, revoked := newToken(a.ID, "expired", minute(3)), newToken(a.ID, "revoked", minute(4))
	expired.ExpiresAt, revoked.RevokedAt = minute(3), minute(5)
	for _, token := range []portal.APIToken{
		newToken(a.ID, "a", minute(1)), newToken(a.ID, "b", minute(1)), newToken(a.ID, "old", minute(0)), expired, revoked, newToken(b.ID, "others", minute(1)),
	} {
		putToken(t, s, token)
	}
	equal(t, "tokens", []portal.TokenID{"expired", "b", "a", "old"}, tokensOf(t, s, a.ID))
	equal(t, "nobody's", []portal.TokenID{}, tokensOf(t, s, "nobody"))
}

func testRevokeToken(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	token := putToken(t, s, newToken(a.ID, "it", start))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "by another", portal.ErrNotFound, tx.RevokeToken(ctx, b.ID, token.ID, minute(1)))
		gives(t, "one that is not there", portal.ErrNotFound, tx.RevokeToken(ctx, a.ID, "none", minute(1)))
		return tx.RevokeToken(ctx, a.ID, token.ID, minute(2))
	})
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "again", portal.ErrNotFound, tx.RevokeToken(ctx, a.ID, token.ID, minute(3)))
		return nil
	})
	token.RevokedAt = minute(2)
	equal(t, "token", token, tokenOf(t, s, token.Digest))
	equal(t, "tokens", []portal.TokenID{}, tokensOf(t, s, a.ID))
}

func testTouchToken(t *testing.T, s portal.Store) {
	a := account(t, s)
	token, other := putToken(t, s, newToken(a.ID, "it", start)), putToken(t, s, newToken(a.ID, "other", start))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "one that is not there", portal.ErrNotFound, tx.TouchToken(ctx, "none", minute(1)))
		return tx.TouchToken(ctx, token.ID, minute(2))
	})
	token.LastUsedAt = minute(2)
	equal(t, "token", token, tokenOf(t, s, token.Digest))
	equal(t, "another", other, tokenOf(t, s, other.Digest))
}
