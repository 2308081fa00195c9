package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Process names one process for the life of the kernel: ids are reused, pairs
// of id and start time are not.
type Process struct {
	PID int `json:"pid"`
	// Start is the time of the start in clock ticks after boot.
	Start uint64 `json:"start"`
}

// Alive tells whether this very process runs. A zombie does not.
func (p Process) Alive() bool {
	found, state, err := inspect(p.PID)
	return err == nil && found.Start == p.Start && state != 'Z' && state != 'X'
}

// Kill sends a signal to this very process; a process that is gone is no error.
func (p Process) Kill(signal syscall.Signal) error {
	if !p.Alive() {
		return nil
	}
	if err := syscall.Kill(p.PID, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal process %d: %w", p.PID, err)
	}
	return nil
}

// Name is the program's name as the kernel knows it, empty if it is gone.
func (p Process) Name() string {
	name, err := os.ReadFile(procFile(p.PID, "comm"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(name))
}

func procFile(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}

func inspect(pid int) (Process, byte, error) {
	stat, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return Process{}, 0, fmt.Errorf("inspect process %d: %w", pid, err)
	}
	start, state, err := parseStat(string(stat))
	return Process{PID: pid, Start: start}, state, err
}

// parseStat reads state and start time (fields 3 and 22, see proc(5)). The
// second field is the program's name in parentheses, which may hold anything.
func parseStat(stat string) (start uint64, state byte, err error) {
	end := strings.LastIndexByte(stat, ')')
	fields := strings.Fields(stat[end+1:])
	const startField = 22 - 3
	if end < 0 || len(fields) <= startField {
		return 0, 0, fmt.Errorf("parse process state: %d fields", len(fields))
	}
	start, err = strconv.ParseUint(fields[startField], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("parse process start: %w", err)
	}
	return start, fields[0][0], nil
}

// Find returns every living process that carries the marker ("NAME=value") in
// its environment or runs in a cgroup of that root, however it was started.
func Find(marker, cgroupRoot string) ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// A process that ends while we look is simply not there.
		environ, _ := os.ReadFile(procFile(pid, "environ"))
		cgroups, _ := os.ReadFile(procFile(pid, "cgroup"))
		if !HasVariable(environ, marker) && !InCgroup(string(cgroups), cgroupRoot) {
			continue
		}
		if p, state, err := inspect(pid); err == nil && state != 'Z' && state != 'X' {
			found = append(found, p)
		}
	}
	return found, nil
}

// HasVariable tells whether an environment, as in /proc/PID/environ, sets
// exactly this "NAME=value".
func HasVariable(environ []byte, variable string) bool {
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		if string(entry) == variable {
			return true
		}
	}
	return false
}

// InCgroup tells whether a process, by its /proc/PID/cgroup, is in the cgroup
// /root or below in any hierarchy.
func InCgroup(cgroups, root string) bool {
	for line := range strings.Lines(cgroups) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		if path := parts[2]; path == "/"+root || strings.HasPrefix(path, "/"+root+"/") {
			return true
		}
	}
	return false
}

// BootID is different after every boot of the machine.
func BootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}
