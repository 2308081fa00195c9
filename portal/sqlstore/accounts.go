package sqlstore

import (
	"context"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/portal"
)

const accountColumns = `id, email, email_key, email_verified_at, password_hash, password_changed_at, role, created_at, disabled_at`

func scanAccount(r row) (portal.Account, error) {
	var a portal.Account
	err := r.Scan(&a.ID, &a.Email, &a.EmailKey, into(&a.EmailVerifiedAt), &a.PasswordHash,
		into(&a.PasswordChangedAt), &a.Role, into(&a.CreatedAt), into(&a.DisabledAt))
	return a, err
}

func (t *tx) CreateAccount(ctx context.Context, a portal.Account) error {
	_, err := t.put(ctx, "create an account",
		`INSERT INTO accounts (`+accountColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		a.ID, a.Email, a.EmailKey, maybe(a.EmailVerifiedAt), a.PasswordHash,
		maybe(a.PasswordChangedAt), a.Role, a.CreatedAt, maybe(a.DisabledAt))
	return err
}

func (t *tx) Account(ctx context.Context, id portal.AccountID) (portal.Account, error) {
	return one(ctx, t, "read an account", scanAccount,
		`SELECT `+accountColumns+` FROM accounts WHERE id = ?`, id)
}

func (t *tx) AccountByEmail(ctx context.Context, key string) (portal.Account, error) {
	return one(ctx, t, "find an account by address", scanAccount,
		`SELECT `+accountColumns+` FROM accounts WHERE email_key = ?`, key)
}

func (t *tx) UpdateAccount(ctx context.Context, a portal.Account) error {
	rows, err := t.put(ctx, "update an account",
		`UPDATE accounts SET email = ?, email_key = ?, email_verified_at = ?, password_hash = ?,
			password_changed_at = ?, role = ?, disabled_at = ? WHERE id = ?`,
		a.Email, a.EmailKey, maybe(a.EmailVerifiedAt), a.PasswordHash,
		maybe(a.PasswordChangedAt), a.Role, maybe(a.DisabledAt), a.ID)
	return found(rows, err)
}

func (t *tx) FindAccounts(ctx context.Context, prefix string, limit int) ([]portal.Account, error) {
	// A range, and not LIKE, takes every character as itself, and the index.
	where, args := `email_key >= ?`, []any{prefix}
	if after, ok := afterPrefix(prefix); ok {
		where, args = where+` AND email_key < ?`, append(args, after)
	}
	return list(ctx, t, "find accounts", scanAccount,
		`SELECT `+accountColumns+` FROM accounts WHERE (`+where+`) OR id = ? ORDER BY email_key LIMIT ?`,
		append(args, prefix, max(limit, 0))...)
}

// afterPrefix is the first text, by its bytes, that is behind all those that begin with a
// prefix; none when there is no such text.
func afterPrefix(prefix string) (string, bool) {
	for prefix != "" {
		last, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch last {
		case utf8.MaxRune:
			continue
		case 0xd7ff: // Surrogates follow, which are no characters.
			return prefix + "\ue000", true
		default:
			return prefix + string(last+1), true
		}
	}
	return "", false
}

// found makes ErrNotFound of a statement that changed no row.
func found(rows int, err error) error {
	if err == nil && rows == 0 {
		return portal.ErrNotFound
	}
	return err
}
