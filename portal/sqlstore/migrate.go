package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// versions is goose's table of what has been applied.
const versions = "schema_versions"

// migrateTries is how often steps are tried beyond their number.
const migrateTries = 5

// Errors of Ping about the schema.
var (
	ErrSchemaOlder = errors.New("the database's schema is older than this program: run the command migrate")
	ErrSchemaNewer = errors.New("the database's schema is newer than this program: run a newer version of it")
)

// Migrate brings the schema to this program's version; ErrSchemaNewer when it is beyond
// that. Each step is a transaction. Several replicas may do it at once.
func (s *Store) Migrate(ctx context.Context) error {
	if err := s.migrate(ctx); err != nil {
		return fmt.Errorf("migrate the database: %w", s.explain(ctx, err))
	}
	return nil
}

func (s *Store) migrate(ctx context.Context) error {
	if err := s.checkEncoding(ctx); err != nil {
		return err
	}
	current, target, err := s.schema(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return ErrSchemaNewer
	}
	provider, err := s.provider()
	if err != nil {
		return err
	}
	// With SQLite there is no lock over all steps: a process that does the same at once may
	// be a step ahead, and ours then fails and is taken back. Each time somebody got on.
	// (The provider's own Close would close our pool.)
	for try := 1; ; try++ {
		_, err := provider.Up(ctx)
		if err == nil {
			return nil
		}
		if s.path == "" || try > len(provider.ListSources())+migrateTries {
			return fmt.Errorf("apply the steps: %w", err)
		}
		if err := wait(ctx, try); err != nil {
			return fmt.Errorf("wait to apply the steps: %w", err)
		}
	}
}

func (s *Store) provider() (*goose.Provider, error) {
	folder, err := fs.Sub(migrations, s.dialect.folder)
	if err != nil {
		return nil, fmt.Errorf("find the steps: %w", err)
	}
	options := []goose.ProviderOption{
		goose.WithTableName(versions),
		goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()),
	}
	if s.dialect.goose == goose.DialectPostgres {
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return nil, fmt.Errorf("make the lock: %w", err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(s.dialect.goose, s.writer, folder, options...)
	if err != nil {
		return nil, fmt.Errorf("prepare the steps: %w", err)
	}
	return provider, nil
}

// Ping implements portal.Store: KindUnavailable when the database does not answer,
// ErrSchemaOlder or ErrSchemaNewer when its schema is not this program's.
func (s *Store) Ping(ctx context.Context) error {
	current, target, err := s.schema(ctx)
	switch {
	case err != nil:
		return s.explain(ctx, fmt.Errorf("look at the database's schema: %w", err))
	case current < target:
		return fmt.Errorf("version %d of %d: %w", current, target, ErrSchemaOlder)
	case current > target:
		return fmt.Errorf("version %d of %d: %w", current, target, ErrSchemaNewer)
	}
	return nil
}

// schema gives the version that the database has, 0 for none, and this program's.
func (s *Store) schema(ctx context.Context) (current, target int64, err error) {
	provider, err := s.provider()
	if err != nil {
		return 0, 0, err
	}
	for _, source := range provider.ListSources() {
		target = max(target, source.Version)
	}
	// Goose would make its table, which a read must not.
	tables := 0
	if err := s.reader.QueryRowContext(ctx, s.dialect.table, versions).Scan(&tables); err != nil || tables == 0 {
		return 0, target, err
	}
	var newest sql.NullInt64
	err = s.reader.QueryRowContext(ctx, `SELECT MAX(version_id) FROM `+versions).Scan(&newest)
	return newest.Int64, target, err
}

// checkEncoding refuses a database of PostgreSQL that can't keep all texts.
func (s *Store) checkEncoding(ctx context.Context) error {
	if s.path != "" {
		return nil
	}
	encoding := ""
	if err := s.reader.QueryRowContext(ctx, `SHOW server_encoding`).Scan(&encoding); err != nil {
		return fmt.Errorf("ask for the encoding: %w", err)
	}
	if encoding != "UTF8" {
		return errEncoding
	}
	return nil
}
