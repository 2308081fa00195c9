// Package lifecycle brings the lab up, tells how it is, and starts and stops
// its parts. Taking it down is package teardown's.
//
// Bringing up is idempotent: each part compares what it would do with what is,
// so a second run only looks. A lab of an earlier clone or another version is
// taken over; only the parts that differ are restarted.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/hack/lab/components"
	"github.com/lethe-dev/lethe/hack/lab/console"
	"github.com/lethe-dev/lethe/hack/lab/daemon"
	"github.com/lethe-dev/lethe/hack/lab/site"
	"github.com/lethe-dev/lethe/hack/lab/store"
	"github.com/lethe-dev/lethe/hack/lab/toolchain"
)

// healthTimeout bounds the wait for one component on a slow machine.
const healthTimeout = 90 * time.Second

// Lab is the lab of one site.
type Lab struct {
	Site    site.Site
	Console *console.Console
	Now     func() time.Time
}

func (l *Lab) keeper() daemon.Keeper {
	return daemon.Keeper{Dir: l.Site.Path("run", "components"), Marker: site.Marker + "=" + l.Site.State, Now: l.Now}
}

// Builder builds the lab's tools into the site's cache.
func (l *Lab) Builder() toolchain.Builder {
	return toolchain.Builder{
		Bin: l.Site.CacheBin(), Logs: l.Site.Cache + "/logs", LabDir: l.Site.LabDir(), Console: l.Console,
	}
}

// list returns the components as this clone would run them.
func (l *Lab) list() ([]components.Component, store.Credentials, error) {
	creds, err := store.LoadCredentials(l.Site.Path("credentials.json"))
	if err != nil {
		return nil, store.Credentials{}, err
	}
	stamps, err := installedStamps(l.Site)
	if err != nil {
		return nil, store.Credentials{}, err
	}
	return components.All(l.Site, components.Store{
		RootUser: creds.RootUser, RootPassword: creds.RootPassword, KMSKey: creds.KMSKey,
	}, stamps), creds, nil
}

// IsUp tells whether there is any state of a lab.
func (l *Lab) IsUp() bool {
	_, err := os.Stat(l.Site.Path("credentials.json"))
	return err == nil
}

// RequireUp returns an error that says what to do when there is no lab.
func (l *Lab) RequireUp() error {
	if !l.IsUp() {
		return errors.New("the lab is down; bring it up first: lab up")
	}
	return nil
}

// Lock keeps other lab commands on this machine waiting until it is released.
// It is an abstract socket: gone with the process, without a file.
func Lock(ctx context.Context, c *console.Console) (release func(), err error) {
	said := false
	for {
		var config net.ListenConfig
		listener, err := config.Listen(ctx, "unix", "@"+site.NodeName)
		if err == nil {
			return func() { _ = listener.Close() }, nil
		}
		if !said {
			c.Say("Another lab command is at work; waiting for it.")
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, errors.New("gave up waiting for another lab command")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// await polls until check returns nil, the time is over, or alive says that
// waiting is no use.
func await(ctx context.Context, within time.Duration, check func(context.Context) error, alive func() error) error {
	waiting, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		last := check(waiting)
		if last == nil {
			return nil
		}
		if err := alive(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stopped waiting: %w", context.Cause(ctx))
		case <-waiting.Done():
			return fmt.Errorf("not ready after %s: %w", within, last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// tail returns the last lines of a log, for an error message.
func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
