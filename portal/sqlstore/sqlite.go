package sqlstore

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"modernc.org/sqlite"
)

const (
	defaultBusyTimeout = 10 * time.Second
	defaultReaders     = 4
)

// openSQLite opens one file with two pools: one connection that writes, and readers.
func openSQLite(path string, options Options) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the folder: %w", err)
	}
	if err := makePrivate(path); err != nil {
		return nil, err
	}
	if options.BusyTimeout == 0 {
		options.BusyTimeout = defaultBusyTimeout
	}
	if options.Connections == 0 {
		options.Connections = defaultReaders
	}
	writer, err := connectSQLite(path, options, url.Values{"_txlock": {"immediate"}})
	if err != nil {
		return nil, err
	}
	writer.SetMaxOpenConns(1)
	reader, err := connectSQLite(path, options, url.Values{"_query_only": {"1"}})
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	reader.SetMaxOpenConns(options.Connections)
	reader.SetMaxIdleConns(options.Connections)
	return &Store{dialect: sqliteDialect(), writer: writer, reader: reader, path: path}, nil
}

// connectSQLite makes a pool; nothing is opened yet.
func connectSQLite(path string, options Options, more url.Values) (*sql.DB, error) {
	sync := "FULL"
	if options.NoSync {
		sync = "OFF"
	}
	query := url.Values{
		"_busy_timeout": {strconv.FormatInt(options.BusyTimeout.Milliseconds(), 10)},
		"_journal_mode": {"WAL"},
		"_synchronous":  {sync},
		"_foreign_keys": {"1"},
		"_dqs":          {"0"},
		"_defensive":    {"1"},
		// What is removed is overwritten, not only forgotten.
		"_pragma": {"secure_delete(1)", "trusted_schema(0)"},
	}
	for key, values := range more {
		query[key] = values
	}
	file := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}
	connector, err := sqlite.NewConnector(file.String())
	if err != nil {
		return nil, fmt.Errorf("prepare connections: %w", err)
	}
	return sql.OpenDB(connector), nil
}

// makePrivate makes sure that the file is there and only its owner may read it. The files
// that SQLite puts beside it get the same mode.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("make the file: %w", err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return fmt.Errorf("make the file private: %w", err)
	}
	return nil
}
