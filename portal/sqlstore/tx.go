package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lethe-dev/lethe/portal"
)

// tx is one transaction. Methods of the nouns are in files of their own.
type tx struct {
	sql     *sql.Tx
	dialect *dialect
	// failed is the first error that is not an answer. Nothing is run after it, since
	// what a database does then differs, and nothing is committed, whatever the caller
	// made of it.
	failed error
	// again says that failed is others' fault, and the whole may work now.
	again bool
	// purged says that rows were removed that must not be found in a file any more.
	purged bool
}

var _ portal.Tx = (*tx)(nil)

// takePlace is a write's first statement: it goes beside others, or waits until it is
// alone.
func (t *tx) takePlace(ctx context.Context, alone bool) error {
	statement := t.dialect.beside
	if alone {
		statement = t.dialect.alone
	}
	if statement == "" {
		return nil
	}
	_, err := t.exec(ctx, "wait for a turn", statement)
	return err
}

// exec runs one statement and gives how many rows it changed. Doing is for the error:
// "create an account".
func (t *tx) exec(ctx context.Context, doing, query string, args ...any) (int, error) {
	bound, err := t.ready(args)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", doing, err)
	}
	result, err := t.sql.ExecContext(ctx, t.dialect.rewrite(query), bound...)
	if err != nil {
		return 0, t.fault(doing, err)
	}
	rows, err := result.RowsAffected()
	if err != nil {
		return 0, t.fault(doing, err)
	}
	return int(rows), nil
}

// execOne is exec for what has to change a row; ErrNotFound when it changed none.
func (t *tx) execOne(ctx context.Context, doing, query string, args ...any) error {
	rows, err := t.exec(ctx, doing, query, args...)
	if err == nil && rows == 0 {
		return portal.ErrNotFound
	}
	return err
}

// put is exec for what the schema may refuse: ErrConflict for a value that is taken,
// ErrNotFound for a reference to nothing. The transaction can go on after these.
func (t *tx) put(ctx context.Context, doing, query string, args ...any) (int, error) {
	rows := 0
	err := t.atomic(ctx, doing, func() error {
		var err error
		rows, err = t.exec(ctx, doing, query, args...)
		return err
	})
	return rows, err
}

// atomic runs statements of which the schema may refuse one. Then none of them has
// happened, and the transaction can go on.
func (t *tx) atomic(ctx context.Context, doing string, f func() error) error {
	if _, err := t.exec(ctx, doing, `SAVEPOINT method`); err != nil {
		return err
	}
	answer := f()
	if t.failed == nil {
		if answer != nil {
			if _, err := t.exec(ctx, doing, `ROLLBACK TO SAVEPOINT method`); err != nil {
				return err
			}
		}
		if _, err := t.exec(ctx, doing, `RELEASE SAVEPOINT method`); err != nil {
			return err
		}
	}
	return answer
}

// ready refuses to go on after a failure, and binds arguments.
func (t *tx) ready(args []any) ([]any, error) {
	if t.failed != nil {
		return nil, t.failed
	}
	return bind(args)
}

// fault says what a database's error means, and remembers one that is no answer.
func (t *tx) fault(doing string, err error) error {
	switch t.dialect.classify(err) {
	case classUnique:
		return portal.ErrConflict
	case classMissing:
		return portal.ErrNotFound
	case classAgain:
		t.again = true
	case classOther, classBusy:
	}
	t.failed = fmt.Errorf("%s: %w", doing, err)
	return t.failed
}

// row is what a scan function reads from.
type row interface {
	Scan(destinations ...any) error
}

// one reads one row; ErrNotFound when there is none.
func one[T any](ctx context.Context, t *tx, doing string, scan func(row) (T, error), query string, args ...any) (T, error) {
	var none T
	bound, err := t.ready(args)
	if err != nil {
		return none, fmt.Errorf("%s: %w", doing, err)
	}
	value, err := scan(t.sql.QueryRowContext(ctx, t.dialect.rewrite(query), bound...))
	if errors.Is(err, sql.ErrNoRows) {
		return none, portal.ErrNotFound
	}
	if err != nil {
		return none, t.fault(doing, err)
	}
	return value, nil
}

// list reads all rows before it returns: a connection can do one thing at a time.
func list[T any](ctx context.Context, t *tx, doing string, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	bound, err := t.ready(args)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	rows, err := t.sql.QueryContext(ctx, t.dialect.rewrite(query), bound...)
	if err != nil {
		return nil, t.fault(doing, err)
	}
	defer rows.Close() //nolint:errcheck // Err says what went wrong.
	values := []T{}
	for rows.Next() {
		value, err := scan(rows)
		if err != nil {
			return nil, t.fault(doing, err)
		}
		values = append(values, value)
	}
	if err := rows.Err(); err != nil {
		return nil, t.fault(doing, err)
	}
	return values, nil
}

// scanInt reads a count.
func scanInt(r row) (int, error) {
	var n int
	err := r.Scan(&n)
	return n, err
}
