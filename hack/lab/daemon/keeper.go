package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lethe-dev/lethe/hack/lab/files"
)

const (
	pollEvery = 25 * time.Millisecond
	// graceful is how long a program may take to end by itself.
	graceful = 10 * time.Second
	// maxLog is the size above which a log is set aside at the next start.
	maxLog = 20 << 20
)

// Record is what is remembered of a started component.
type Record struct {
	Process
	Fingerprint string    `json:"fingerprint"`
	Started     time.Time `json:"started"`
}

// Keeper starts and stops components and keeps their records in Dir.
type Keeper struct {
	Dir string
	// Marker is put into the environment of each program, as "NAME=value".
	Marker string
	Now    func() time.Time
}

// Ensure makes the component run as the spec says. It returns what it did:
// "started", "restarted" or "running". It does not wait for health.
func (k Keeper) Ensure(ctx context.Context, s Spec) (string, error) {
	want, err := Fingerprint(s, os.ReadFile)
	if err != nil {
		return "", err
	}
	record, known, err := k.Record(s.Name)
	if err != nil {
		return "", err
	}
	did := "started"
	if known && record.Alive() {
		if record.Fingerprint == want {
			return "running", nil
		}
		if err := k.Stop(ctx, s.Name); err != nil {
			return "", err
		}
		did = "restarted"
	}
	process, err := k.start(s)
	if err != nil {
		return "", err
	}
	return did, k.write(s.Name, Record{Process: process, Fingerprint: want, Started: k.Now()})
}

// start runs the program in a session of its own, so that it outlives us and
// our terminal.
func (k Keeper) start(s Spec) (Process, error) {
	for _, path := range s.Clear {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return Process{}, fmt.Errorf("clear before %s: %w", s.Name, err)
		}
	}
	log, err := openLog(s.Log)
	if err != nil {
		return Process{}, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(s.Exe, s.Args...) //nolint:gosec,noctx // G204: our own components; they must outlive any context.
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append([]string{
		k.Marker,
		"PATH=" + filepath.Dir(s.Exe) + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C.UTF-8",
	}, s.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Process{}, fmt.Errorf("start %s: %w", s.Name, err)
	}
	// Collect it should it end while we still run, or it would stay a zombie.
	go func() { _ = cmd.Wait() }()
	process, _, err := inspect(cmd.Process.Pid)
	return process, err
}

func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make log folder: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, fmt.Errorf("set log aside: %w", err)
		}
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return log, nil
}

// Stop ends a component: politely first, by force after ten seconds. One that
// does not run is no error.
func (k Keeper) Stop(ctx context.Context, name string) error {
	record, known, err := k.Record(name)
	if err != nil || !known {
		return err
	}
	if err := record.Kill(syscall.SIGTERM); err != nil {
		return err
	}
	if !Gone(ctx, record.Process, graceful) {
		if err := record.Kill(syscall.SIGKILL); err != nil {
			return err
		}
		if !Gone(ctx, record.Process, graceful) {
			return fmt.Errorf("stop %s: process %d does not end", name, record.PID)
		}
	}
	if err := os.Remove(k.file(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget %s: %w", name, err)
	}
	return nil
}

// Gone waits until the process has ended, and tells whether it has.
func Gone(ctx context.Context, p Process, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for p.Alive() {
		select {
		case <-ctx.Done():
			return !p.Alive()
		case <-tick.C:
		}
	}
	return true
}

// Record returns what is known of a component; known is false when it was
// never started or was stopped.
func (k Keeper) Record(name string) (record Record, known bool, err error) {
	data, err := os.ReadFile(k.file(name))
	if errors.Is(err, os.ErrNotExist) {
		return Record{}, false, nil
	}
	if err != nil {
		return Record{}, false, fmt.Errorf("read record of %s: %w", name, err)
	}
	if err := json.Unmarshal(data, &record); err != nil {
		return Record{}, false, fmt.Errorf("parse record of %s: %w", name, err)
	}
	return record, true, nil
}

func (k Keeper) file(name string) string { return filepath.Join(k.Dir, name+".json") }

func (k Keeper) write(name string, record Record) error {
	data, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encode record of %s: %w", name, err)
	}
	return files.WriteSecret(k.file(name), data)
}
