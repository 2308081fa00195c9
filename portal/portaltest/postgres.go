package portaltest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx

	"github.com/lethe-dev/lethe/portal/sqlstore"
)

// Bounds of the throw-away server.
const (
	postgresStart = 60 * time.Second
	postgresStop  = 20 * time.Second
)

// Postgres is a throw-away server of a test's own, reachable by a socket in its folder.
type Postgres struct {
	bin, folder string
	owner       *syscall.Credential
	command     *exec.Cmd
	output      *bytes.Buffer
	ended       chan struct{} // closed then
	databases   atomic.Int64
}

// StartPostgres starts a server and stops it when the test ends. When PostgreSQL isn't
// installed it skips the test, or fails it if LETHE_TEST_REQUIRE_REAL is 1.
//
// Its texts sort as people in America like it, so that a query shows that relies on what
// the database's default happens to be.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	p := &Postgres{bin: postgresBin(t), folder: postgresFolder(t)}
	p.lendFolder(t)
	initdb := p.run(t, "initdb", "--pgdata", p.data(), "--username", "lethe", "--auth", "trust", "--no-sync",
		"--encoding", "UTF8", "--locale", "C.UTF-8", "--locale-provider", "icu", "--icu-locale", "en-US")
	if output, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("make a database cluster: %v\n%s", err, output)
	}
	p.Start(t)
	t.Cleanup(p.Stop)
	return p
}

// Start starts the server, which must not run, and waits until it serves.
func (p *Postgres) Start(t testing.TB) {
	t.Helper()
	p.command = p.run(t, "postgres", "-D", p.data(), "-k", p.folder,
		"-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off",
		"-c", "max_connections=60", "-c", "shared_buffers=32MB")
	p.output, p.ended = &bytes.Buffer{}, make(chan struct{})
	p.command.Stdout, p.command.Stderr = p.output, p.output
	if err := p.command.Start(); err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	go func(command *exec.Cmd, ended chan struct{}) {
		_ = command.Wait() // It may be killed, which is an error.
		close(ended)
	}(p.command, p.ended)
	p.await(t)
}

// Stop ends the server, if it runs; its data stay until the test ends.
func (p *Postgres) Stop() { p.end(syscall.SIGINT) }

// Crash ends the server as if it had lost its power, but for what the kernel keeps.
func (p *Postgres) Crash() { p.end(syscall.SIGQUIT) }

// Database makes a database and gives its address.
func (p *Postgres) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("portal_%d", p.databases.Add(1))
	db, err := sql.Open("pgx", p.address("postgres"))
	if err != nil {
		t.Fatalf("prepare to make a database: %v", err)
	}
	_, err = db.ExecContext(t.Context(), "CREATE DATABASE "+name)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatalf("make a database: %v", err)
	}
	return p.address(name)
}

// Store is a migrated store in a database of its own.
func (p *Postgres) Store(t testing.TB) *sqlstore.Store {
	t.Helper()
	return open(t, p.Database(t))
}

// Run runs one of PostgreSQL's programs, such as pg_dump; input is the file that it reads,
// output the one that it writes, "" for none.
func (p *Postgres) Run(t testing.TB, input, output, program string, arguments ...string) {
	t.Helper()
	command, complaints := p.run(t, program, arguments...), &bytes.Buffer{}
	command.Stderr = complaints
	if input != "" {
		f, err := os.Open(input)
		if err != nil {
			t.Fatalf("open the input of %s: %v", program, err)
		}
		defer f.Close() //nolint:errcheck // It was only read.
		command.Stdin = f
	}
	if output != "" {
		f, err := os.Create(output)
		if err != nil {
			t.Fatalf("make the output of %s: %v", program, err)
		}
		defer f.Close() //nolint:errcheck // What misses shows when it is read.
		command.Stdout = f
	}
	if err := command.Run(); err != nil {
		t.Fatalf("run %s: %v\n%s", program, err, complaints)
	}
}

func (p *Postgres) data() string { return filepath.Join(p.folder, "data") }

func (p *Postgres) address(database string) string {
	query := url.Values{"host": {p.folder}, "user": {"lethe"}, "sslmode": {"disable"}}
	return "postgres:///" + database + "?" + query.Encode()
}

// run prepares one of PostgreSQL's programs, as the folder's owner.
func (p *Postgres) run(t testing.TB, program string, arguments ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(filepath.Join(p.bin, program), arguments...) //nolint:noctx // It ends with the test, by Stop.
	command.Dir = p.folder
	command.Env = []string{"LC_ALL=C.UTF-8", "PATH=" + p.bin + ":/usr/bin:/bin"}
	command.SysProcAttr = dieWithTest(p.owner)
	return command
}

func (p *Postgres) await(t testing.TB) {
	t.Helper()
	db, err := sql.Open("pgx", p.address("postgres"))
	if err != nil {
		t.Fatalf("prepare to ask PostgreSQL: %v", err)
	}
	defer db.Close() //nolint:errcheck // It was only asked.
	ctx, cancel := context.WithTimeout(t.Context(), postgresStart)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.ended:
			t.Fatalf("PostgreSQL ended at once:\n%s", p.output)
		case <-ctx.Done():
			p.Stop()
			t.Fatalf("PostgreSQL does not serve after %s:\n%s", postgresStart, p.output)
		case <-tick.C:
		}
		if db.PingContext(ctx) == nil {
			return
		}
	}
}

func (p *Postgres) end(signal syscall.Signal) {
	if p.command == nil {
		return
	}
	_ = p.command.Process.Signal(signal) // It may have ended.
	select {
	case <-p.ended:
	case <-time.After(postgresStop):
		_ = p.command.Process.Kill()
		<-p.ended
	}
	p.command = nil
}

// lendFolder gives the folder to somebody else if we are root, whom PostgreSQL refuses.
func (p *Postgres) lendFolder(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	owner, err := user.Lookup("postgres")
	if err != nil {
		owner, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Fatalf("find somebody but root to run PostgreSQL: %v", err)
	}
	uid, errUID := strconv.ParseUint(owner.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(owner.Gid, 10, 32)
	if err := errors.Join(errUID, errGID, os.Chown(p.folder, int(uid), int(gid))); err != nil {
		t.Fatalf("give the folder to %s: %v", owner.Username, err)
	}
	p.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// postgresFolder is a folder with a short name: a socket's may not be long. Folders of
// t.TempDir lie in one that only root may enter.
func postgresFolder(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "lethe-pg-") //nolint:usetesting // see above
	if err != nil {
		t.Fatalf("make a folder for PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Errorf("remove PostgreSQL's folder: %v", err)
		}
	})
	return folder
}

// postgresBin finds the newest PostgreSQL of Debian's packages, or one in the path.
func postgresBin(t testing.TB) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		t.Fatalf("look for PostgreSQL: %v", err)
	}
	if len(found) > 0 {
		version := func(path string) int {
			n, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
			if err != nil {
				return 0
			}
			return n
		}
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) }))
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	const message = "NOT TESTED: there is no PostgreSQL; `apt-get install postgresql` brings it"
	if os.Getenv("LETHE_TEST_REQUIRE_REAL") == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
	return ""
}
