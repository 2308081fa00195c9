package sqlstore_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/sqlstore"
)

// crashing makes the test's program a writer that is to be killed.
var crashing = flag.String("crashing-store", "", "write to this SQLite file until somebody kills the program")

func TestMain(m *testing.M) {
	flag.Parse()
	if *crashing != "" {
		if err := writeUntilKilled(*crashing); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writeUntilKilled writes pairs of rows and says so for each pair that was committed.
func writeUntilKilled(path string) error {
	ctx := context.Background()
	store, err := sqlstore.Open(ctx, path, sqlstore.Options{})
	if err != nil {
		return err
	}
	for {
		var last portal.AuditEntry
		err := store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
			for range 2 {
				var err error
				if last, err = tx.AppendAudit(ctx, portal.AuditEntry{Time: portaltest.Start, Action: portal.AuditViewMap}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, last.Seq)
	}
}

func TestAProgramThatIsKilledLosesNothingItCommitted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "portal.db")
	store, err := sqlstore.Open(t.Context(), path, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	const kills = 6
	for range kills {
		promised := killWriter(t, path)
		store, err := sqlstore.Open(t.Context(), path, sqlstore.Options{})
		if err != nil {
			t.Fatalf("open after a kill: %v", err)
		}
		log := auditLog(t, store)
		checkChain(t, log)
		if len(log) < promised || len(log)%2 != 0 {
			t.Errorf("promised %d rows, found %d", promised, len(log))
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killWriter lets another process write for a moment, and gives the last row that it said
// was committed.
func killWriter(t *testing.T, path string) int {
	t.Helper()
	ctx, kill := context.WithTimeout(t.Context(), time.Minute)
	defer kill()
	command := exec.CommandContext(ctx, os.Args[0], "-crashing-store", path)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	promised, lines := 0, 0
	most := 10 + rand.IntN(40)
	for scanner := bufio.NewScanner(output); scanner.Scan(); lines++ {
		if promised, err = strconv.Atoi(scanner.Text()); err != nil {
			t.Fatal(err)
		}
		if lines == most {
			kill() // What it said before it died still counts.
		}
	}
	if err := command.Wait(); err == nil || lines < most {
		t.Fatalf("the writer ended by itself after %d lines: %v", lines, err)
	}
	return promised
}
