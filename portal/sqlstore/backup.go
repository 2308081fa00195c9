package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
)

// ErrNotSQLite says that backups of PostgreSQL are made with its own tools (pg_dump,
// pg_basebackup).
var ErrNotSQLite = errors.New("this is done with PostgreSQL's own tools: pg_dump, pg_restore")

// Backup writes a copy of a SQLite database, as of one moment, to a path where nothing
// is. Writers go on meanwhile. Only the owner may read the copy. It is whole or not there.
func (s *Store) Backup(ctx context.Context, path string) error {
	if s.path == "" {
		return ErrNotSQLite
	}
	err := makeWhole(path, func(part string) error {
		// A connection of its own, so that nobody waits for it.
		db, err := connectSQLite(s.path, Options{BusyTimeout: defaultBusyTimeout}, url.Values{})
		if err != nil {
			return err
		}
		_, err = db.ExecContext(ctx, `VACUUM INTO ?`, part)
		return errors.Join(err, db.Close())
	})
	if err != nil {
		return fmt.Errorf("back the database up: %w", err)
	}
	return nil
}

// Restore copies a backup of a SQLite database to a path where no database is, and checks
// that the copy is sound. The key file is not part of either.
func Restore(ctx context.Context, backup, path string) error {
	// SQLite would take these for the new file's log.
	for _, ending := range []string{"-wal", "-shm", "-journal"} {
		if _, err := os.Lstat(path + ending); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("restore the database: %s is there: move the old database away with all its files", path+ending)
		}
	}
	if info, err := os.Stat(backup + "-wal"); err == nil && info.Size() > 0 {
		return fmt.Errorf("restore the database: %s is a database in use, not a backup", backup)
	}
	err := makeWhole(path, func(part string) error {
		if err := copyFile(backup, part); err != nil {
			return err
		}
		return checkSQLite(ctx, part)
	})
	if err != nil {
		return fmt.Errorf("restore the database: %w", err)
	}
	return nil
}

// makeWhole has a file written beside the path, and moves it there when it is on the disk.
func makeWhole(path string, write func(part string) error) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("find the folder: %w", err)
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already", path)
	}
	part, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part-*") // mode 0600
	if err != nil {
		return fmt.Errorf("make a file: %w", err)
	}
	err = write(part.Name())
	if err == nil {
		err = part.Sync()
	}
	if err == nil {
		// Unlike a rename, a second name never replaces a file that has come meanwhile.
		err = os.Link(part.Name(), path)
	}
	if err := errors.Join(err, part.Close(), os.Remove(part.Name())); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("open the backup: %w", err)
	}
	defer source.Close() //nolint:errcheck // It was only read.
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("open the copy: %w", err)
	}
	if _, err := io.Copy(target, source); err != nil {
		return errors.Join(fmt.Errorf("copy the backup: %w", err), target.Close())
	}
	return target.Close()
}

// checkSQLite reads all of a file that nobody else uses, without changing it.
func checkSQLite(ctx context.Context, path string) error {
	// Immutable: no log is looked for and none is left.
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: "immutable=1"}).String())
	if err != nil {
		return err
	}
	finding, steps := "", 0
	err = db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&finding)
	if err == nil {
		// An empty file is a sound database too.
		err = db.QueryRowContext(ctx, `SELECT COUNT(*) FROM `+versions).Scan(&steps)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("check the backup: %w", err)
	}
	if finding != "ok" || steps == 0 {
		return errors.New("check the backup: it is damaged")
	}
	return nil
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the folder: %w", err)
	}
	if err := errors.Join(folder.Sync(), folder.Close()); err != nil {
		return fmt.Errorf("write the folder to the disk: %w", err)
	}
	return nil
}
