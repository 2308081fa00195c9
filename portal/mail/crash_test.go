package mail_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/hack/mailsink"
	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/mail"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/sqlstore"
)

var crash = flag.String("crash", "", "be the process that dies: `database,server,authority` (the test starts itself with it)")

// lethal is a Transport that does its work and then dies, as a machine does: before
// anything can be noted.
type lethal struct{ mail.Transport }

func (l lethal) Send(ctx context.Context, m mail.Message) error {
	if err := l.Transport.Send(ctx, m); err != nil {
		return err
	}
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// TestMain is the tests, or the process that one of them starts.
func TestMain(m *testing.M) {
	flag.Parse()
	if *crash == "" {
		os.Exit(m.Run())
	}
	fmt.Fprintln(os.Stderr, die(strings.Split(*crash, ",")))
	os.Exit(1)
}

// die delivers one mail and is killed; an error says why not.
func die(with []string) error {
	store, err := sqlstore.Open(context.Background(), with[0], sqlstore.Options{})
	if err != nil {
		return err
	}
	transport, err := mail.NewSMTP(mail.SMTPOptions{Address: with[1], CAFile: with[2]})
	if err != nil {
		return err
	}
	sender, err := mail.New(mail.Dependencies{
		Store: store, Transport: lethal{transport}, Now: new(portaltest.Clock).Now, Random: portaltest.Random(1),
	}, options())
	if err != nil {
		return err
	}
	sent, err := sender.Deliver(context.Background())
	return fmt.Errorf("still alive after %d mails: %w", sent, err)
}

func openFile(t *testing.T, path string) *sqlstore.Store {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), path, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

// TestACrashSendsAMailTwiceAtMost kills a process between the mail server's word that it
// takes the mail and the note of it, with a real server, a real file and a real SIGKILL.
func TestACrashSendsAMailTwiceAtMost(t *testing.T) {
	t.Parallel()
	server, to := sink(t, mailsink.Options{})
	file := filepath.Join(t.TempDir(), "portal.db")
	w := &world{store: openFile(t, file), clock: new(portaltest.Clock), log: new(strings.Builder), account: portaltest.Account()}
	w.sender = w.another(t, newSMTP(t, to), nil)
	w.write(t, func(ctx context.Context, tx portal.Tx) error { return tx.CreateAccount(ctx, w.account) })
	w.add(t, "a", portal.MailVerify)

	child := exec.CommandContext(t.Context(), os.Args[0], "-crash="+strings.Join([]string{file, to.Address, to.CAFile}, ","))
	said, err := child.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the other process did not die as it should: %v\n%s", err, said)
	}
	if got := len(server.Mails()); got != 1 {
		t.Fatalf("%d mails arrived before the crash, want 1", got)
	}
	w.deliver(t, 0) // it is still the dead one's
	w.clock.Advance(mail.Lease + time.Second)
	w.deliver(t, 1)
	for range 10 {
		w.clock.Advance(time.Hour)
		w.deliver(t, 0)
	}
	mails := server.Mails()
	if len(mails) != 2 {
		t.Fatalf("%d mails arrived, want 2", len(mails))
	}
	if diff := cmp.Diff(string(mails[0].Raw), string(mails[1].Raw)); diff != "" {
		t.Errorf("the second is not the first again (-first +second):\n%s", diff)
	}
}
