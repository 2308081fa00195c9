package sqlstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/sqlstore"
)

// onBoth runs a test on both databases; open gives a new one that is not migrated.
func onBoth(t *testing.T, test func(t *testing.T, open func() (dsn string))) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, func() string { return t.TempDir() + "/portal.db" })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		server := portaltest.StartPostgres(t)
		test(t, func() string { return server.Database(t) })
	})
}

func onPostgres(t *testing.T) bool {
	t.Helper()
	return strings.HasSuffix(t.Name(), "/PostgreSQL")
}

func open(t *testing.T, dsn string) *sqlstore.Store {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), dsn, sqlstore.Options{NoSync: true})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return store
}

func migrated(t *testing.T, dsn string) *sqlstore.Store {
	t.Helper()
	store := open(t, dsn)
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatalf("migrate: %v", err)
	}
	return store
}

func write(t *testing.T, s portal.Store, f func(context.Context, portal.Tx) error) {
	t.Helper()
	if err := s.Write(t.Context(), f); err != nil {
		t.Fatalf("write: %v", err)
	}
}

func appendAudit(t *testing.T, s portal.Store, reason string) portal.AuditEntry {
	t.Helper()
	var kept portal.AuditEntry
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		var err error
		kept, err = tx.AppendAudit(ctx, portal.AuditEntry{Time: portaltest.Start, Action: portal.AuditReveal, Reason: reason})
		return err
	})
	return kept
}

func auditLog(t *testing.T, s portal.Store) []portal.AuditEntry {
	t.Helper()
	var log []portal.AuditEntry
	err := s.Read(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		var err error
		log, err = tx.AuditLog(ctx, 0, 100_000)
		return err
	})
	if err != nil {
		t.Fatalf("read the audit log: %v", err)
	}
	return log
}

// checkChain checks a whole log, newest first.
func checkChain(t *testing.T, log []portal.AuditEntry) {
	t.Helper()
	prev := portal.AuditEntry{}
	for i := len(log) - 1; i >= 0; i-- {
		if !log[i].Follows(prev) {
			t.Fatalf("row %d does not follow row %d", log[i].Seq, prev.Seq)
		}
		prev = log[i]
	}
}

func TestTheDatabaseRefusesToChangeTheAuditLog(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn func() string) {
		t.Helper()
		store := migrated(t, dsn())
		want := []portal.AuditEntry{appendAudit(t, store, "second"), appendAudit(t, store, "first")}
		want[0], want[1] = want[1], want[0]
		copied := `SELECT %s, at, actor, action, subject, reason, query, %s, hash FROM audit WHERE seq = 2`
		statements := []string{
			`UPDATE audit SET reason = 'another' WHERE seq = 1`,
			`UPDATE audit SET reason = reason`,
			`DELETE FROM audit WHERE seq = 2`,
			`DELETE FROM audit`,
			`INSERT INTO audit ` + fmt.Sprintf(copied, "4", "hash"),
			`INSERT INTO audit ` + fmt.Sprintf(copied, "0", "hash"),
			`INSERT INTO audit ` + fmt.Sprintf(copied, "3", "prev"),
			`INSERT INTO audit ` + fmt.Sprintf(copied, "2", "prev"),
		}
		if onPostgres(t) {
			statements = append(statements, `TRUNCATE audit`, `TRUNCATE audit CASCADE`,
				`INSERT INTO audit `+fmt.Sprintf(copied, "2", "prev")+` ON CONFLICT (seq) DO UPDATE SET reason = 'another'`)
		} else {
			statements = append(statements, `INSERT OR REPLACE INTO audit `+fmt.Sprintf(copied, "2", "prev"), `REPLACE INTO audit `+fmt.Sprintf(copied, "1", "prev"),
				`UPDATE OR REPLACE audit SET seq = 1 WHERE seq = 2`)
		}
		for _, statement := range statements {
			if _, err := store.DB().ExecContext(t.Context(), statement); err == nil {
				t.Errorf("the database did: %s", statement)
			}
		}
		if diff := cmp.Diff(want, auditLog(t, store)); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
		appendAudit(t, store, "third")
		checkChain(t, auditLog(t, store))
	})
}

func TestTheDatabaseKeepsAnEventThatAHoldBinds(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn func() string) {
		t.Helper()
		store := migrated(t, dsn())
		write(t, store, func(ctx context.Context, tx portal.Tx) error {
			if err := tx.AddEvent(ctx, portal.Event{ID: "bound", Time: portaltest.Start, Kind: portal.EventSignIn, Account: "a"}); err != nil {
				return err
			}
			_, err := tx.PlaceHold(ctx, portal.Hold{ID: "h", Filter: portal.EventFilter{Account: "a"}, ReviewAt: portaltest.Start, PlacedAt: portaltest.Start})
			return err
		})
		for _, statement := range []string{`DELETE FROM events`, `DELETE FROM holds`} {
			if _, err := store.DB().ExecContext(t.Context(), statement); err == nil {
				t.Errorf("the database did: %s", statement)
			}
		}
	})
}

func TestPingRefusesAnotherSchema(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn func() string) {
		t.Helper()
		store := open(t, dsn())
		if err := store.Ping(t.Context()); !errors.Is(err, sqlstore.ErrSchemaOlder) {
			t.Errorf("nothing migrated: want %v, got %v", sqlstore.ErrSchemaOlder, err)
		}
		for range 2 {
			if err := store.Migrate(t.Context()); err != nil {
				t.Fatalf("migrate: %v", err)
			}
			if err := store.Ping(t.Context()); err != nil {
				t.Errorf("migrated: %v", err)
			}
		}
		execute(t, store.DB(), `INSERT INTO schema_versions (version_id, is_applied) VALUES (99999, true)`)
		for name, err := range map[string]error{"ping": store.Ping(t.Context()), "migrate": store.Migrate(t.Context())} {
			if !errors.Is(err, sqlstore.ErrSchemaNewer) {
				t.Errorf("%s a newer one: want %v, got %v", name, sqlstore.ErrSchemaNewer, err)
			}
		}
	})
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestManyMayMigrateAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn func() string) {
		t.Helper()
		address := dsn()
		var group sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			store := open(t, address)
			group.Go(func() {
				if errs[i] = store.Migrate(t.Context()); errs[i] == nil {
					errs[i] = store.Ping(t.Context())
				}
			})
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
	})
}

// dump gives all that a database holds, table by table.
func dump(t *testing.T, store *sqlstore.Store) map[string][]byte {
	t.Helper()
	tables := `SELECT name FROM sqlite_schema WHERE type = 'table'`
	if onPostgres(t) {
		tables = `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`
	}
	all := map[string][]byte{}
	for _, table := range column(t, store.DB(), tables) {
		rows, err := store.DB().QueryContext(t.Context(), `SELECT * FROM `+string(table))
		if err != nil {
			t.Fatalf("read %s: %v", table, err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatalf("read %s: %v", table, err)
		}
		for rows.Next() {
			values, places := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				places[i] = &values[i]
			}
			if err := rows.Scan(places...); err != nil {
				t.Fatalf("read %s: %v", table, err)
			}
			for _, value := range values {
				if b, ok := value.([]byte); ok {
					all[string(table)] = append(all[string(table)], b...)
				}
				all[string(table)] = fmt.Append(all[string(table)], value, "\n")
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatalf("read %s: %v", table, err)
		}
	}
	return all
}

func column(t *testing.T, db *sql.DB, query string) [][]byte {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close() //nolint:errcheck // Err says what went wrong.
	all := [][]byte{}
	for rows.Next() {
		var value []byte
		if err := rows.Scan(&value); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		all = append(all, value)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return all
}

func TestALinkIsGoneWhenItsMailIsSentOrGivenUp(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn func() string) {
		t.Helper()
		store := migrated(t, dsn())
		write(t, store, func(ctx context.Context, tx portal.Tx) error {
			for _, id := range []portal.MailID{"sent", "given-up", "waits"} {
				m := portal.Mail{ID: id, To: "person@example.org", Kind: portal.MailVerify, CreatedAt: portaltest.Start, DueAt: portaltest.Start}
				m.Data.Link = "/verify?token=secret-of-" + string(id)
				if err := tx.AddMail(ctx, m); err != nil {
					return err
				}
			}
			return nil
		})
		for _, id := range []string{"sent", "given-up", "waits"} {
			if !bytes.Contains(dump(t, store)["mails"], []byte("secret-of-"+id)) {
				t.Fatalf("the test looks for secrets in the wrong place: %s is not there", id)
			}
		}
		write(t, store, func(ctx context.Context, tx portal.Tx) error {
			return errors.Join(tx.MailSent(ctx, "sent", portaltest.Start), tx.MailFailed(ctx, "given-up", portaltest.Start, time.Time{}),
				tx.MailFailed(ctx, "waits", portaltest.Start, portaltest.Start.Add(1)))
		})
		mails := dump(t, store)["mails"]
		for id, want := range map[string]bool{"sent": false, "given-up": false, "waits": true} {
			if bytes.Contains(mails, []byte("secret-of-"+id)) != want {
				t.Errorf("%s: want its link there: %t", id, want)
			}
		}
	})
}

func TestOnlyEventsHoldAddresses(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn func() string) {
		t.Helper()
		store := migrated(t, dsn())
		client := portaltest.Client("203.0.113.77")
		account := portaltest.Account()
		write(t, store, func(ctx context.Context, tx portal.Tx) error {
			return errors.Join(
				tx.CreateAccount(ctx, account),
				tx.AddEvent(ctx, portal.NewEvent("event", portaltest.Start, portal.EventSignIn, account.ID, client)),
				tx.CreateSession(ctx, portal.Session{ID: "s", Account: account.ID, Browser: "Firefox on Linux", Country: client.Country}),
			)
		})
		for table, content := range dump(t, store) {
			raw, text := bytes.Contains(content, client.IP.AsSlice()), bytes.Contains(content, []byte("203.0.113.77"))
			// The request's name in the test's client holds it as a text too.
			if (raw || text) != (table == "events") {
				t.Errorf("table %s: the address is there: %t", table, raw || text)
			}
		}
	})
}
