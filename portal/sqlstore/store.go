package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Options of a store. The zero value is good.
type Options struct {
	// BusyTimeout is how long SQLite waits for another process, 10 s when zero.
	BusyTimeout time.Duration
	// Connections bounds those to PostgreSQL, 16 when zero, and SQLite's readers, 4 when zero.
	Connections int
	// NoSync lets SQLite lose what was committed when the machine crashes. For tests.
	NoSync bool
}

// Store is a portal.Store.
type Store struct {
	dialect dialect
	// writer and reader are the same pool for PostgreSQL.
	writer, reader *sql.DB
	// path of the SQLite file; "" for PostgreSQL.
	path string
}

var _ portal.Store = (*Store)(nil)

// Open opens a database: PostgreSQL for postgres://..., else a SQLite file of that path,
// which is made if it isn't there. It connects, but does not look at the schema: Ping
// does.
func Open(ctx context.Context, dsn string, options Options) (*Store, error) {
	open := openSQLite
	if isPostgres(dsn) {
		open = openPostgres
	}
	s, err := open(dsn, options)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if err := errors.Join(s.writer.PingContext(ctx), s.reader.PingContext(ctx)); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to the database: %w", s.explain(ctx, err)), s.Close())
	}
	return s, nil
}

func isPostgres(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}

// Close closes all connections, once whatever runs on them has ended.
func (s *Store) Close() error {
	if s.writer == s.reader {
		return s.writer.Close()
	}
	// SQLite puts its log back into the file when the last connection is closed, which has
	// to be one that may write.
	return errors.Join(s.reader.Close(), s.writer.Close())
}

// inWrite marks the context of a write, to find a second one within it: with SQLite it
// would wait for ever.
type inWrite struct{}

// errNested is a mistake of the program.
var errNested = errors.New("a write within a write")

// Bounds of running a write anew.
const (
	maxTries = 6
	// freeTries are run beside others; who needs more waits for a turn, and is alone then.
	// More than one such try is needed only if somebody writes who is not this program.
	freeTries = 2
	// pause before the second try; it doubles up to maxPause.
	pause    = 2 * time.Millisecond
	maxPause = 100 * time.Millisecond
	// maxSettle is how long writers wait for readers after a purge.
	maxSettle = time.Second
)

// Write implements portal.Store. Besides f's own error it gives KindUnavailable when the
// database does not answer, or is too busy for a write to get through.
func (s *Store) Write(ctx context.Context, f func(context.Context, portal.Tx) error) error {
	if ctx.Value(inWrite{}) != nil {
		return errNested
	}
	ctx = context.WithValue(ctx, inWrite{}, true)
	for try := 1; ; try++ {
		again, err := s.tryWrite(ctx, try > freeTries, f)
		if !again {
			return err
		}
		if try == maxTries {
			return busy(err)
		}
		if err := wait(ctx, try); err != nil {
			return fmt.Errorf("wait to write: %w", err)
		}
	}
}

// tryWrite reports whether it is worth trying again.
func (s *Store) tryWrite(ctx context.Context, inTurn bool, f func(context.Context, portal.Tx) error) (again bool, _ error) {
	t, err := s.begin(ctx, s.writer, &s.dialect.write)
	if err != nil {
		return false, err
	}
	defer t.sql.Rollback() //nolint:errcheck // After a commit it does nothing; else there is nothing to save.
	if err := t.takePlace(ctx, inTurn); err != nil {
		return t.again, s.explain(ctx, err)
	}
	errF := f(ctx, t)
	if t.failed != nil {
		// What f made of it does not count: it may have taken it for an answer.
		return t.again, s.explain(ctx, t.failed)
	}
	if errF != nil {
		return false, errF
	}
	if err := t.sql.Commit(); err != nil {
		return s.dialect.classify(err) == classAgain, s.explain(ctx, fmt.Errorf("commit: %w", err))
	}
	if t.purged && s.dialect.settle != "" {
		s.settle(ctx)
	}
	return false, nil
}

// settle clears the log of what was purged. When readers stay in the way, the next purge
// or checkpoint does it.
func (s *Store) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, maxSettle)
	defer cancel()
	_, _ = s.writer.ExecContext(ctx, s.dialect.settle)
}

// Read implements portal.Store.
func (s *Store) Read(ctx context.Context, f func(context.Context, portal.Tx) error) error {
	t, err := s.begin(ctx, s.reader, &s.dialect.read)
	if err != nil {
		return err
	}
	defer t.sql.Rollback() //nolint:errcheck // Nothing was changed.
	errF := f(ctx, t)
	if t.failed != nil {
		return s.explain(ctx, t.failed)
	}
	return errF
}

func (s *Store) begin(ctx context.Context, db *sql.DB, options *sql.TxOptions) (*tx, error) {
	begun, err := db.BeginTx(ctx, options)
	if err != nil {
		return nil, s.explain(ctx, fmt.Errorf("begin a transaction: %w", err))
	}
	return &tx{sql: begun, dialect: &s.dialect}, nil
}

// explain makes KindUnavailable of an error that says that the database does not answer.
// When it is who asked who gave up, the error says that: what a database says then differs.
func (s *Store) explain(ctx context.Context, err error) error {
	switch cause := ctx.Err(); {
	case cause != nil && !errors.Is(err, cause):
		return fmt.Errorf("%w: %w", cause, err)
	case cause == nil && s.dialect.classify(err) == classBusy:
		return busy(err)
	}
	return err
}

func busy(cause error) error {
	return &portal.Error{
		Kind:    portal.KindUnavailable,
		Message: "The portal can't do this right now. Try again in a minute.",
		Err:     cause,
	}
}

// wait pauses before the next try, by chance longer or shorter, so that those who met do
// not meet again.
func wait(ctx context.Context, try int) error {
	most := maxPause
	if shift := try - 1; shift < 6 {
		most = min(pause<<shift, maxPause)
	}
	timer := time.NewTimer(rand.N(most)) //nolint:gosec // G404: It is no secret.
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
