package sqlstore_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/sqlstore"
)

func TestAServerThatGoesIsUnavailableUntilItComesBack(t *testing.T) {
	t.Parallel()
	server := portaltest.StartPostgres(t)
	store := server.Store(t)
	appendAudit(t, store, "before")
	for name, end := range map[string]func(){"a stop": server.Stop, "a crash": server.Crash} {
		end()
		for what, err := range map[string]error{
			"ping":  store.Ping(t.Context()),
			"read":  store.Read(t.Context(), func(context.Context, portal.Tx) error { return nil }),
			"write": store.Write(t.Context(), func(context.Context, portal.Tx) error { return nil }),
		} {
			if portal.KindOf(err) != portal.KindUnavailable {
				t.Errorf("%s after %s: want unavailable, got %v", what, name, err)
			}
		}
		server.Start(t)
		if err := store.Ping(t.Context()); err != nil {
			t.Errorf("ping after %s and a start: %v", name, err)
		}
		appendAudit(t, store, "after "+name)
		checkChain(t, auditLog(t, store))
	}
	if got := len(auditLog(t, store)); got != 3 {
		t.Errorf("want 3 rows, got %d", got)
	}
}

func TestAServerThatGoesDuringAWriteMakesItUnavailable(t *testing.T) {
	t.Parallel()
	server := portaltest.StartPostgres(t)
	store := server.Store(t)
	account := portaltest.Account()
	err := store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		if err := tx.CreateAccount(ctx, account); err != nil {
			return err
		}
		server.Crash()
		_, err := tx.Account(ctx, account.ID)
		return err
	})
	if portal.KindOf(err) != portal.KindUnavailable {
		t.Errorf("want unavailable, got %v", err)
	}
}

func TestAConnectionThatIsEndedMakesAWriteUnavailable(t *testing.T) {
	t.Parallel()
	store := portaltest.StartPostgres(t).Store(t)
	account := portaltest.Account()
	err := store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		if err := tx.CreateAccount(ctx, account); err != nil {
			return err
		}
		execute(t, store.DB(), `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		return tx.UpdateAccount(ctx, account)
	})
	if portal.KindOf(err) != portal.KindUnavailable {
		t.Errorf("want unavailable, got %v", err)
	}
	appendAudit(t, store, "after it")
}

func TestAWriteThatNeverGetsThroughIsGivenUp(t *testing.T) {
	t.Parallel()
	store := portaltest.StartPostgres(t).Store(t)
	count := func(ctx context.Context, tx portal.Tx) error {
		throttle, err := tx.Throttle(ctx, "key")
		if err != nil {
			return err
		}
		throttle.Failures++
		return tx.PutThrottle(ctx, throttle)
	}
	tries := 0
	err := store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		tries++
		if _, err := tx.Throttle(ctx, "key"); err != nil {
			return err
		}
		jump(t, store)     // Somebody who takes no turns is always faster.
		_ = count(ctx, tx) // Who overlooks the error changes nothing about it.
		return nil
	})
	if portal.KindOf(err) != portal.KindUnavailable {
		t.Errorf("want unavailable, got %v", err)
	}
	if tries != sqlstore.MaxTries {
		t.Errorf("want %d tries, got %d", sqlstore.MaxTries, tries)
	}
	write(t, store, func(ctx context.Context, tx portal.Tx) error {
		throttle, err := tx.Throttle(ctx, "key")
		if throttle.Failures != tries {
			t.Errorf("want the %d that got through, got %d", tries, throttle.Failures)
		}
		return err
	})
}

// jump counts past all of the store's rules.
func jump(t *testing.T, store *sqlstore.Store) {
	t.Helper()
	execute(t, store.DB(), `BEGIN ISOLATION LEVEL SERIALIZABLE; INSERT INTO throttles VALUES ('key', 1, 0, 0)
		ON CONFLICT (key) DO UPDATE SET failures = throttles.failures + 1; COMMIT`)
}

func TestAWriteThatWaitsToTryAgainEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	store := portaltest.StartPostgres(t).Store(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		if _, err := tx.Throttle(ctx, "key"); err != nil {
			return err
		}
		write(t, store, func(ctx context.Context, tx portal.Tx) error {
			return tx.PutThrottle(ctx, portal.Throttle{Key: "key", Failures: 1})
		})
		err := tx.PutThrottle(ctx, portal.Throttle{Key: "key", Failures: 2})
		cancel()
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("want the caller's reason, got %v", err)
	}
}

func TestAnAddressThatIsWrongIsNotQuoted(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, dsn := range map[string]string{
		"no address":    "postgres://lethe:hunter2@host:port/portal",
		"no such mode":  "postgres://lethe:hunter2@localhost/portal?sslmode=hunter2",
		"nobody serves": "postgresql:///portal?user=lethe&password=hunter2&" + url.Values{"host": {folder}}.Encode(),
	} {
		_, err := sqlstore.Open(t.Context(), dsn, sqlstore.Options{})
		if err == nil {
			t.Errorf("%s: it was opened", name)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error has the password: %v", name, err)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) > 0 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
}

func TestADatabaseThatCannotKeepAllTextsIsRefused(t *testing.T) {
	t.Parallel()
	server := portaltest.StartPostgres(t)
	store := open(t, server.Database(t))
	execute(t, store.DB(), `CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'`)
	address, err := url.Parse(server.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	address.Path = "/latin"
	err = open(t, address.String()).Migrate(t.Context())
	if err == nil || !strings.Contains(err.Error(), "UTF8") {
		t.Errorf("want it refused for its encoding, got %v", err)
	}
}

func TestADumpOfPostgreSQLIsRestoredAndGoesOn(t *testing.T) {
	t.Parallel()
	server := portaltest.StartPostgres(t)
	from, to := server.Database(t), server.Database(t)
	store := migrated(t, from)
	want := []portal.AuditEntry{appendAudit(t, store, "before the dump")}
	if err := store.Backup(t.Context(), filepath.Join(t.TempDir(), "backup.db")); !errors.Is(err, sqlstore.ErrNotSQLite) {
		t.Errorf("backup: want %v, got %v", sqlstore.ErrNotSQLite, err)
	}
	dump := filepath.Join(t.TempDir(), "portal.dump")
	server.Run(t, "", dump, "pg_dump", "--format", "custom", "--dbname", from)
	appendAudit(t, store, "after the dump")
	server.Run(t, dump, "", "pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--dbname", to)

	again := open(t, to)
	if err := again.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	if diff := cmp.Diff(want, auditLog(t, again)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	appendAudit(t, again, "after the restore")
	checkChain(t, auditLog(t, again))
	if _, err := again.DB().ExecContext(t.Context(), `DELETE FROM audit`); err == nil {
		t.Error("the restored log can be deleted")
	}
}

func TestAReadEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	store := portaltest.StartPostgres(t).Store(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		<-ctx.Done()
		_, err := tx.AuditLog(ctx, 0, 1)
		return err
	})
	if !errors.Is(err, context.DeadlineExceeded) || portal.KindOf(err) == portal.KindUnavailable {
		t.Errorf("want the caller's reason, got %v", err)
	}
}

func TestWhoIsAloneGetsThroughInACrowd(t *testing.T) {
	t.Parallel()
	store := portaltest.StartPostgres(t).Store(t)
	const crowd = 60
	tries, errs := make([]int, crowd), make([]error, crowd)
	var group sync.WaitGroup
	for i := range crowd {
		group.Go(func() {
			errs[i] = store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
				tries[i]++
				count, err := tx.Throttle(ctx, "key")
				if err != nil {
					return err
				}
				count.Failures++
				return tx.PutThrottle(ctx, count)
			})
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	most := slices.Max(tries)
	t.Logf("who needed most tries needed %d", most)
	if most > sqlstore.FreeTries+1 {
		t.Errorf("somebody needed %d tries: the last was not alone", most)
	}
}
