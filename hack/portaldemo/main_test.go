package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestDemoProvesItself is `make demo-portal` with --once: everything that it tells people to
// do is there, and nothing is left when it has ended.
func TestDemoProvesItself(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	var out bytes.Buffer
	if err := (demo{once: true, cache: cache, out: &out}).run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if n := strings.Count(out.String(), "  seen: "); n != 5 {
		t.Errorf("%d things were seen, not 5:\n%s", n, out.String())
	}
	empty(t, cache)
}

// TestDemoEndsWhenItIsTold: Ctrl-C is no error and leaves nothing.
func TestDemoEndsWhenItIsTold(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	out := &watched{words: "Ctrl-C", seen: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- demo{cache: cache, out: out}.run(ctx) }()
	select {
	case <-out.seen:
	case err := <-ended:
		t.Fatalf("it ended by itself: %v", err)
	case <-time.After(5 * time.Minute):
		t.Fatal("it does not start")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	empty(t, cache)
}

func empty(t *testing.T, folder string) {
	t.Helper()
	left, err := os.ReadDir(folder)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the cache: %v, %v", left, err)
	}
}

// watched tells when some words were written.
type watched struct {
	words string
	seen  chan struct{}
	mu    sync.Mutex
	text  string
	told  bool
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text += string(p)
	if !w.told && strings.Contains(w.text, w.words) {
		w.told = true
		close(w.seen)
	}
	return len(p), nil
}
