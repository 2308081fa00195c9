package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/sqlstore"
)

func TestABackupIsRestoredAndGoesOn(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	store := migrated(t, filepath.Join(folder, "portal.db"))
	account := portaltest.Account()
	write(t, store, func(ctx context.Context, tx portal.Tx) error { return tx.CreateAccount(ctx, account) })
	want := []portal.AuditEntry{appendAudit(t, store, "before the backup")}

	backup, restored := filepath.Join(folder, "backup %.db"), filepath.Join(folder, "restored.db")
	if err := store.Backup(t.Context(), backup); err != nil {
		t.Fatalf("backup: %v", err)
	}
	appendAudit(t, store, "after the backup")
	if err := sqlstore.Restore(t.Context(), backup, restored); err != nil {
		t.Fatalf("restore: %v", err)
	}
	for _, path := range []string{backup, restored} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s has mode %04o", path, got)
		}
	}

	again := open(t, restored)
	if err := again.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	if diff := cmp.Diff(want, auditLog(t, again)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	var got portal.Account
	err := again.Read(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		var err error
		got, err = tx.Account(ctx, account.ID)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(account, got); diff != "" {
		t.Errorf("account (-want +got):\n%s", diff)
	}
	appendAudit(t, again, "after the restore")
	checkChain(t, auditLog(t, again))
	if _, err := again.DB().ExecContext(t.Context(), `DELETE FROM audit`); err == nil {
		t.Error("the restored log can be deleted")
	}
	checkNothingLeft(t, folder)
}

// checkNothingLeft looks for parts of files.
func checkNothingLeft(t *testing.T, folder string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(folder, "*.part-*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("parts are left: %q", left)
	}
}

func TestABackupIsOfOneMomentWhileOthersWrite(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	store := migrated(t, filepath.Join(folder, "portal.db"))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			// Two rows that belong together.
			err := store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
				for range 2 {
					if _, err := tx.AppendAudit(ctx, portal.AuditEntry{Time: portaltest.Start, Action: portal.AuditViewMap}); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil && ctx.Err() == nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for i := range 5 {
		backup := filepath.Join(folder, fmt.Sprintf("backup-%d.db", i))
		if err := store.Backup(t.Context(), backup); err != nil {
			t.Fatalf("backup: %v", err)
		}
		log := auditLog(t, open(t, backup))
		checkChain(t, log)
		if len(log)%2 != 0 {
			t.Errorf("backup %d has half of a write", i)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("writes beside a backup: %v", err)
	}
}

func TestBackupsReplaceNothing(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "portal.db")
	store := migrated(t, path)
	execute(t, store.DB(), `PRAGMA wal_checkpoint(TRUNCATE)`)
	appendAudit(t, store, "so that there is a log, and what is missing without it is not the schema")
	backup := filepath.Join(folder, "backup.db")
	if err := store.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(folder, "precious")
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"backup over a file":             store.Backup(t.Context(), precious),
		"backup over the database":       store.Backup(t.Context(), path),
		"backup into no folder":          store.Backup(t.Context(), filepath.Join(folder, "none", "backup.db")),
		"restore over a file":            sqlstore.Restore(t.Context(), backup, precious),
		"restore over the database":      sqlstore.Restore(t.Context(), backup, path),
		"restore of what is not there":   sqlstore.Restore(t.Context(), filepath.Join(folder, "none"), filepath.Join(folder, "new.db")),
		"restore of what is no database": sqlstore.Restore(t.Context(), precious, filepath.Join(folder, "new.db")),
		"restore of an empty file":       sqlstore.Restore(t.Context(), put(t, nil), filepath.Join(folder, "new.db")),
		"restore of a database in use":   sqlstore.Restore(t.Context(), path, filepath.Join(folder, "new.db")),
		"restore beside an old log":      restoreBesideLog(t, backup, folder),
		"restore of a damaged backup":    sqlstore.Restore(t.Context(), damaged(t, backup), filepath.Join(folder, "new.db")),
		"restore of a half backup":       sqlstore.Restore(t.Context(), half(t, backup), filepath.Join(folder, "new.db")),
	} {
		if err == nil {
			t.Errorf("%s was done", name)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "new.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a restore that failed left something: %v", err)
	}
	if got, err := os.ReadFile(precious); err != nil || string(got) != "precious" {
		t.Errorf("the file is now %q, %v", got, err)
	}
	if err := store.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	checkNothingLeft(t, folder)
}

func restoreBesideLog(t *testing.T, backup, folder string) error {
	t.Helper()
	path := filepath.Join(folder, "beside.db")
	if err := os.WriteFile(path+"-wal", []byte("an old log"), 0o600); err != nil {
		t.Fatal(err)
	}
	return sqlstore.Restore(t.Context(), backup, path)
}

func damaged(t *testing.T, backup string) string {
	t.Helper()
	content, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	for i := 10 * 4096; i < 11*4096; i++ { // one table's page; the rest is well
		content[i] ^= 0xff
	}
	return put(t, content)
}

func half(t *testing.T, backup string) string {
	t.Helper()
	content, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	return put(t, content[:len(content)/2])
}

func put(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "backup.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
