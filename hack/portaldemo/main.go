// Command portaldemo shows the portal on this machine: with TLS, a database of its own,
// and a mail server whose mails are on a page, so that signing up works to its end.
//
// It is run by `make demo-portal`, stays in the foreground, and leaves nothing behind when
// it is told to stop. With --once it looks by itself whether all of it answers, and ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/lethe-dev/lethe/hack/portaldemo/stand"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := demo{cache: os.Getenv("LETHE_CACHE"), out: os.Stdout, listen: ifFree(ctx, portalAddress), sink: ifFree(ctx, sinkAddress)}
	flag.BoolVar(&d.once, "once", false, "see by itself that everything answers, and end")
	flag.Parse()
	if err := d.run(ctx); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "portal demo:", err)
		os.Exit(1)
	}
}

// Where the demo likes to be; taken ports are replaced by free ones.
const (
	portalAddress = "127.0.0.1:8443"
	sinkAddress   = "127.0.0.1:8444"
	adminEmail    = "admin@lethe.example"
)

// demo is one show.
type demo struct {
	once bool
	// cache is where the demo's folder is made, ".cache" when it is empty.
	cache string
	// listen and sink are addresses; free ones when they are empty.
	listen, sink string
	out          io.Writer
}

func (d demo) run(ctx context.Context) (err error) {
	if d.cache == "" {
		d.cache = ".cache"
	}
	if err := os.MkdirAll(d.cache, 0o755); err != nil { //nolint:gosec // G301: as make does
		return fmt.Errorf("make the cache folder: %w", err)
	}
	dir, err := os.MkdirTemp(d.cache, "portal-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	fmt.Fprintln(d.out, "Building the portal ...")
	program := filepath.Join(dir, "portal")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/lethe-dev/lethe/cmd/portal") //nolint:gosec // G204: our own program
	build.Stdout, build.Stderr = d.out, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the portal: %w", err)
	}
	s, err := stand.Start(ctx, stand.Options{Program: program, Dir: dir, Listen: d.listen, SinkPage: d.sink})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	link, err := s.Invite(ctx, adminEmail, "admin")
	if err != nil {
		return err
	}
	tell(d.out, s, link)
	if d.once {
		return prove(ctx, s, link, d.out)
	}
	fmt.Fprintln(d.out, "\nIt runs until you press Ctrl-C.")
	select {
	case <-ctx.Done():
		fmt.Fprintln(d.out, "\nStopping ...")
		return nil
	case <-s.Ended():
		return fmt.Errorf("the portal ended by itself; its log:\n%s", s.Log())
	}
}

// ifFree gives the address when nobody listens there, and "" otherwise.
func ifFree(ctx context.Context, address string) string {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return ""
	}
	_ = listener.Close()
	return address
}

func tell(out io.Writer, s *stand.Stand, link string) {
	fmt.Fprintf(out, `
The portal     %s
Its mails      %s
Health         %s/readyz
Metrics        %s/metrics

Your browser does not know the certificate: it was made a moment ago. Go on past the
warning, or trust the authority for this time: %s

To see it as a person: press "Sign up", use any address and a password of 15 characters
or more, and open the link in the mail that appears on the page of the mails. Then sign in
and set up two-factor sign-in with any authenticator app.

To see it as the first administrator (%s): open this link within half an
hour, set a password, sign in, set up two-factor sign-in, and press "Admin".
%s
`, s.URL, s.Sink.URL(), s.OpsURL, s.OpsURL, s.Certificate.CAFile, adminEmail, link)
}
