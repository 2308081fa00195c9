// Package console prints what the lab does: one line per step, with the time
// it took, so that a slow or failed step is seen at once.
package console

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Console writes steps to one stream. It is safe for concurrent use.
type Console struct {
	mu  sync.Mutex
	out io.Writer
	now func() time.Time
}

// New makes a console that writes to out and measures time with now.
func New(out io.Writer, now func() time.Time) *Console {
	return &Console{out: out, now: now}
}

// Step runs do and prints its name, the word it returns and the time it took.
// An error is printed as "failed" and returned unchanged, for the caller to explain.
func (c *Console) Step(name string, do func() (string, error)) error {
	start := c.now()
	did, err := do()
	if err != nil {
		did = "failed"
	}
	c.Line(name, did, c.now().Sub(start))
	return err
}

// Line prints one finished step.
func (c *Console) Line(name, did string, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = fmt.Fprintf(c.out, "  %-26s %-34s %8s\n", name, did, round(took))
}

// Say prints a sentence of its own.
func (c *Console) Say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = fmt.Fprintf(c.out, format+"\n", args...)
}

// round keeps three digits at most: nobody needs the microseconds of a build.
func round(d time.Duration) time.Duration {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(time.Millisecond)
	}
}
