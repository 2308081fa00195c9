package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// watched is a process whose memory is watched while it runs: what getrusage tells of
// that afterwards includes the most that this process has had.
type watched struct {
	command *exec.Cmd
	started time.Time
	peak    atomic.Int64 // bytes
	ended   chan struct{}
	err     error // of the end; valid once it has ended
}

// watch starts a command.
func watch(command *exec.Cmd) (*watched, error) {
	w := &watched{command: command, started: time.Now(), ended: make(chan struct{})}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(command.Path), err)
	}
	go w.poll()
	go func() {
		defer close(w.ended)
		w.err = command.Wait()
	}()
	return w, nil
}

// poll reads the peak until the end. It comes early in a process's life and not in its
// last moments.
func (w *watched) poll() {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	status := filepath.Join("/proc", strconv.Itoa(w.command.Process.Pid), "status")
	for {
		select {
		case <-w.ended:
			return
		case <-tick.C:
		}
		text, err := os.ReadFile(status)
		_, rest, _ := strings.Cut(string(text), "VmHWM:")
		var kib int64
		if _, errScan := fmt.Sscan(rest, &kib); err == nil && errScan == nil {
			w.peak.Store(max(w.peak.Load(), kib<<10))
		}
	}
}

// kill kills the process when it is time.
func (w *watched) kill(due func() bool) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !due() {
		select {
		case <-w.ended:
			return fmt.Errorf("it ended before it was killed: %w", w.err)
		case <-tick.C:
		}
	}
	if err := w.command.Process.Kill(); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	if <-w.ended; w.err == nil {
		return errors.New("it ended before it was killed")
	}
	return nil
}

// measure runs a command and measures its whole life, and what the server does
// meanwhile.
func measure(command *exec.Cmd) (got sample, err error) {
	before, err := childrenCPU()
	if err != nil {
		return got, err
	}
	w, err := watch(command)
	if err != nil {
		return got, err
	}
	<-w.ended
	got.took = time.Since(w.started)
	after, err := childrenCPU()
	if err != nil {
		return got, err
	}
	state := command.ProcessState
	got.cpu, got.server, got.peak = state.UserTime()+state.SystemTime(), after-before, w.peak.Load()
	if w.err != nil {
		return got, fmt.Errorf("run %s: %w", filepath.Base(command.Path), w.err)
	}
	return got, nil
}

// command makes a command with this environment and nothing else.
func (e environment) command(ctx context.Context, variables []string, program string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, program, args...) //nolint:gosec // G204: programs that were built here.
	c.Env = append([]string{"HOME=" + e.getenv("HOME"), "PATH=" + e.getenv("PATH")}, variables...)
	c.Stderr = e.stderr
	return c
}
