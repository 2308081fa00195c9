package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/hack/freeport"
)

// counting is a TCP proxy before the store that counts what it gives out.
type counting struct {
	endpoint string
	target   string
	listener net.Listener
	given    atomic.Int64
	running  sync.WaitGroup
}

func startCounting(ctx context.Context, target string) (*counting, error) {
	address, err := freeport.Claim()
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	c := &counting{endpoint: "https://" + address, target: target, listener: listener}
	c.running.Go(c.serve)
	return c, nil
}

func (c *counting) serve() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return // It is closed.
		}
		c.running.Go(func() { c.pass(client) })
	}
}

func (c *counting) pass(client net.Conn) {
	server, err := net.Dial("tcp", c.target) //nolint:noctx // On this machine.
	if err != nil {
		_ = client.Close()
		return
	}
	done := func() { _, _ = client.Close(), server.Close() }
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(server, client)
		done()
	})
	both.Go(func() {
		_, _ = io.Copy(client, io.TeeReader(struct{ io.Reader }{server}, c))
		done()
	})
	both.Wait()
}

// Write counts.
func (c *counting) Write(p []byte) (int, error) {
	c.given.Add(int64(len(p)))
	return len(p), nil
}

func (c *counting) stop() {
	_ = c.listener.Close()
	c.running.Wait()
}

// crash kills the stager when half of the bytes have come and starts it again. It
// gives the share of all bytes that came twice: what the store gave out beyond what
// it gives out to a stager that is left alone.
func (b *stageBench) crash(s *script, data staged) (share float64, err error) {
	proxy, err := startCounting(s.Context(), b.server.Endpoint[len("https://"):])
	if err != nil {
		return 0, err
	}
	defer proxy.stop()
	var given [2]int64
	for i, kill := range []bool{false, true} {
		folder, err := b.newFolder()
		if err != nil {
			return 0, err
		}
		defer func() { _ = os.RemoveAll(folder) }()
		o := b.order(data, inward)
		o.Endpoint, o.Folder = proxy.endpoint, folder
		before := proxy.given.Load()
		if kill {
			if err := b.stager.runKilled(s.Context(), o, func() bool { return proxy.given.Load()-before > given[0]/2 }); err != nil {
				return 0, err
			}
		}
		if _, _, err := b.stager.run(s.Context(), o); err != nil {
			return 0, err
		}
		if err := data.check(filepath.Join(folder, staging.DatasetFolder)); err != nil {
			return 0, err
		}
		given[i] = proxy.given.Load() - before
	}
	share = max(0, float64(given[1]-given[0])/float64(given[0]))
	fmt.Fprintf(b.env.stdout, "crash: %s: %d MiB came, and with a SIGKILL at half %d MiB\n", data.name, given[0]>>20, given[1]>>20)
	return share, nil
}
