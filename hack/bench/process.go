package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// runProcess runs a program and measures its whole life.
func runProcess(ctx context.Context, env environment, variables []string, program string, args ...string) (sample, []byte, error) {
	var stdout bytes.Buffer
	command := exec.CommandContext(ctx, program, args...) //nolint:gosec // G204: this program, or the one that was just built.
	command.Env = append([]string{"HOME=" + env.getenv("HOME"), "PATH=" + env.getenv("PATH")}, variables...)
	command.Stdout, command.Stderr = &stdout, env.stderr
	server, err := childrenCPU()
	if err != nil {
		return sample{}, nil, err
	}
	start := time.Now()
	err = command.Run()
	took := time.Since(start)
	if err != nil {
		return sample{}, nil, fmt.Errorf("run %s: %w", args[0], err)
	}
	later, err := childrenCPU()
	if err != nil {
		return sample{}, nil, err
	}
	usage, ok := command.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return sample{}, nil, errors.New("this system does not tell what a process has used")
	}
	return sample{
		took:   took,
		cpu:    command.ProcessState.UserTime() + command.ProcessState.SystemTime(),
		server: later - server,
		peak:   usage.Maxrss << 10, // Linux counts in KiB.
	}, stdout.Bytes(), nil
}

// childrenCPU is what the processes that this one has started and that still run have
// used: the server.
func childrenCPU() (time.Duration, error) {
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return 0, fmt.Errorf("find the server's process: %w", err)
	}
	var ticks int64
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // A thread that has ended.
		}
		for _, pid := range strings.Fields(string(text)) {
			stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
			if err != nil {
				return 0, fmt.Errorf("read the server's usage: %w", err)
			}
			used, err := ticksOf(string(stat))
			if err != nil {
				return 0, err
			}
			ticks += used
		}
	}
	const tick = 10 * time.Millisecond // Linux shows 100 a second to everybody.
	return time.Duration(ticks) * tick, nil
}

// ticksOf reads user and system time out of /proc/PID/stat; see proc_pid_stat(5).
func ticksOf(stat string) (int64, error) {
	_, rest, _ := strings.Cut(stat, ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("understand the server's usage: it has too few fields")
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("understand the server's usage: %w", err)
	}
	return user + system, nil
}
