package sqlstore

import (
	"context"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

const tokenColumns = `id, account, digest, name, hint, scopes, created_at, expires_at, last_used_at, revoked_at`

func scanToken(r row) (portal.APIToken, error) {
	var a portal.APIToken
	err := r.Scan(&a.ID, &a.Account, into(&a.Digest), &a.Name, &a.Hint, fromJSON(&a.Scopes),
		into(&a.CreatedAt), into(&a.ExpiresAt), into(&a.LastUsedAt), into(&a.RevokedAt))
	return a, err
}

func (t *tx) CreateToken(ctx context.Context, a portal.APIToken) error {
	scopes := a.Scopes
	if scopes == nil {
		scopes = []portal.Scope{}
	}
	_, err := t.put(ctx, "create an API token",
		`INSERT INTO tokens (`+tokenColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		a.ID, a.Account, a.Digest, a.Name, a.Hint, toJSON(scopes),
		a.CreatedAt, a.ExpiresAt, maybe(a.LastUsedAt), maybe(a.RevokedAt))
	return err
}

func (t *tx) TokenByDigest(ctx context.Context, d portal.Digest) (portal.APIToken, error) {
	return one(ctx, t, "find an API token", scanToken,
		`SELECT `+tokenColumns+` FROM tokens WHERE digest = ?`, d)
}

func (t *tx) AccountTokens(ctx context.Context, a portal.AccountID) ([]portal.APIToken, error) {
	return list(ctx, t, "list API tokens", scanToken,
		`SELECT `+tokenColumns+` FROM tokens WHERE account = ? AND revoked_at IS NULL ORDER BY created_at DESC, id DESC`, a)
}

func (t *tx) RevokeToken(ctx context.Context, a portal.AccountID, id portal.TokenID, at time.Time) error {
	return t.execOne(ctx, "revoke an API token",
		`UPDATE tokens SET revoked_at = ? WHERE account = ? AND id = ? AND revoked_at IS NULL`, at, a, id)
}

func (t *tx) TouchToken(ctx context.Context, id portal.TokenID, at time.Time) error {
	return t.execOne(ctx, "note the use of an API token", `UPDATE tokens SET last_used_at = ? WHERE id = ?`, at, id)
}
