package sqlstore

import (
	"context"
	"database/sql"
)

// DB is the pool of writers, for tests that go behind the store's back.
func (s *Store) DB() *sql.DB { return s.writer }

// Readers is the pool of readers.
func (s *Store) Readers() *sql.DB { return s.reader }

// MaxTries is how often a write is run; all but FreeTries alone.
const (
	MaxTries  = maxTries
	FreeTries = freeTries
)

// MigrateTo brings the schema to an older version than this program's.
func (s *Store) MigrateTo(ctx context.Context, version int64) error {
	provider, err := s.provider()
	if err != nil {
		return err
	}
	_, err = provider.UpTo(ctx, version)
	return err
}
