package sqlstore

import (
	"context"

	"github.com/lethe-dev/lethe/portal"
)

const challengeColumns = `digest, account, created_at, expires_at, tries`

func scanChallenge(r row) (portal.Challenge, error) {
	var c portal.Challenge
	err := r.Scan(into(&c.Digest), &c.Account, into(&c.CreatedAt), into(&c.ExpiresAt), &c.Tries)
	return c, err
}

func (t *tx) CreateChallenge(ctx context.Context, c portal.Challenge) error {
	_, err := t.put(ctx, "create a challenge",
		`INSERT INTO challenges (`+challengeColumns+`) VALUES (?, ?, ?, ?, ?)`,
		c.Digest, c.Account, c.CreatedAt, c.ExpiresAt, c.Tries)
	return err
}

func (t *tx) Challenge(ctx context.Context, d portal.Digest) (portal.Challenge, error) {
	return one(ctx, t, "find a challenge", scanChallenge,
		`SELECT `+challengeColumns+` FROM challenges WHERE digest = ?`, d)
}

func (t *tx) UpdateChallengeTries(ctx context.Context, d portal.Digest, tries int) error {
	return t.execOne(ctx, "count a try", `UPDATE challenges SET tries = ? WHERE digest = ?`, tries, d)
}

func (t *tx) DeleteChallenge(ctx context.Context, d portal.Digest) error {
	return t.execOne(ctx, "delete a challenge", `DELETE FROM challenges WHERE digest = ?`, d)
}
