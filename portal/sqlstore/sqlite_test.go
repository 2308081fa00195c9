package sqlstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/sqlstore"
)

func TestSQLiteFilesArePrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "portal.db")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	store := migrated(t, path)
	appendAudit(t, store, "so that there is a log")
	for _, ending := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + ending)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s has mode %04o", path+ending, got)
		}
	}
}

func TestSQLiteTakesAPathAsItIs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b.db", "100%.db", "a?b=c.db", "a#b.db", "%20.db", "ünï.db", "a&_pragma=x.db", ":memory:", "file:x.db"} {
		folder := t.TempDir()
		store := migrated(t, filepath.Join(folder, name))
		appendAudit(t, store, "x")
		entries, err := fs.Glob(os.DirFS(folder), "*")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{name, name + "-shm", name + "-wal"}, entries); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
	}
}

func TestSQLiteIsSetUpToLoseNothing(t *testing.T) {
	t.Parallel()
	store, err := sqlstore.Open(t.Context(), filepath.Join(t.TempDir(), "portal.db"), sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000", "secure_delete": "1", "trusted_schema": "0",
	} {
		var writer, reader string
		err := errors.Join(store.DB().QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&writer),
			store.Readers().QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&reader))
		if err != nil {
			t.Fatal(err)
		}
		if writer != want || reader != want {
			t.Errorf("%s: want %s, got %s for writers and %s for readers", pragma, want, writer, reader)
		}
	}
	if n := store.DB().Stats().MaxOpenConnections; n != 1 {
		t.Errorf("want one writer, got %d", n)
	}
}

func TestWhatIsPurgedIsInNoFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	store := migrated(t, filepath.Join(folder, "portal.db"))
	canary := "canary-that-must-go"
	write(t, store, func(ctx context.Context, tx portal.Tx) error {
		for i := range 200 {
			e := portal.Event{ID: portal.EventID(fmt.Sprint(i)), Time: portaltest.Start, Kind: portal.EventSignIn, UserAgent: canary}
			if err := tx.AddEvent(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if !inFiles(t, folder, canary) {
		t.Fatal("the test looks in the wrong place: the events are not there")
	}
	write(t, store, func(ctx context.Context, tx portal.Tx) error {
		_, err := tx.PurgeEvents(ctx, portaltest.Start.Add(time.Hour), 1000)
		return err
	})
	if inFiles(t, folder, canary) {
		t.Error("the purged events are still in a file")
	}
}

func TestPathsOfADatasetThatWasErasedAreInNoFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	store := migrated(t, filepath.Join(folder, "portal.db"))
	_, tenant := portaltest.AddTenant(t, store)
	dataset := portaltest.AddDataset(t, store, tenant)
	canary := "canary-that-must-go"
	write(t, store, func(ctx context.Context, tx portal.Tx) error {
		for i := range 200 {
			if err := tx.PutFile(ctx, portal.File{Dataset: dataset.ID, Path: fmt.Sprint(canary, i)}); err != nil {
				return err
			}
		}
		return nil
	})
	if !inFiles(t, folder, canary) {
		t.Fatal("the test looks in the wrong place: the paths are not there")
	}
	dataset.ErasedAt = portaltest.Start
	write(t, store, func(ctx context.Context, tx portal.Tx) error { return tx.UpdateDataset(ctx, dataset) })
	if inFiles(t, folder, canary) {
		t.Error("the paths are still in a file")
	}
}

func inFiles(t *testing.T, folder, text string) bool {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(text)) {
			return true
		}
	}
	return false
}

func TestAFileThatIsNoDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "portal.db")
	text := bytes.Repeat([]byte("This is no database. "), 500)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlstore.Open(t.Context(), path, sqlstore.Options{}); err == nil {
		t.Error("it was opened")
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, got) {
		t.Error("the file was changed")
	}
	if _, err := sqlstore.Open(t.Context(), filepath.Join(t.TempDir(), "no folder", "portal.db"), sqlstore.Options{}); err == nil {
		t.Error("a file in no folder was opened")
	}
}

func TestAWriterThatStaysMakesOthersUnavailable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "portal.db")
	first := migrated(t, path)
	second, err := sqlstore.Open(t.Context(), path, sqlstore.Options{BusyTimeout: 50 * time.Millisecond, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = second.Close() })
	write(t, first, func(context.Context, portal.Tx) error {
		err := second.Write(t.Context(), func(context.Context, portal.Tx) error { return nil })
		if portal.KindOf(err) != portal.KindUnavailable {
			t.Errorf("write: want unavailable, got %v", err)
		}
		if err := second.Read(t.Context(), func(context.Context, portal.Tx) error { return nil }); err != nil {
			t.Errorf("a read has to wait for a write: %v", err)
		}
		return nil
	})
	write(t, second, func(context.Context, portal.Tx) error { return nil })
}
