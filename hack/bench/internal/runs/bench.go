package runs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
)

// Environment is what comes from outside.
type Environment struct {
	Getenv         func(string) string
	Stdout, Stderr io.Writer
}

// bench is the benchmark while it goes on.
type bench struct {
	options
	env     Environment
	bin     string
	results results
	// ended is a run of the fleet that has ended well.
	ended *family
}

// Run measures, prints a table, and fails when a promise was not kept.
func Run(ctx context.Context, args []string, e Environment) error {
	o, err := parse(args, e.Stderr)
	if err != nil {
		return err
	}
	e.setLogs()
	b := &bench{options: o, env: e}
	if b.bin, err = binaries(ctx, e); err != nil {
		return err
	}
	for _, step := range []struct {
		name  string
		times int
		do    func(context.Context, *plane) error
	}{
		{partCreate, o.times(o.rounds, partCreate), b.create},
		{partLatency, o.times(1, partLatency), b.latency},
		{partFleet, o.times(1, partFleet, partRest), b.fleetOf},
		{partRest, o.times(1, partRest), b.rest},
	} {
		for range step.times {
			if err := b.onPlane(ctx, step.do); err != nil {
				return fmt.Errorf("%s: %w", step.name, err)
			}
		}
	}
	if !b.results.print(e.Stdout) {
		return errors.New("a promise is not kept")
	}
	return nil
}

// onPlane gives a part a plane of its own.
func (b *bench) onPlane(ctx context.Context, do func(context.Context, *plane) error) error {
	p, err := startPlane(ctx, b.bin)
	if err != nil {
		return err
	}
	// The API server waits for its clients when it is told to stop.
	parts, leave := context.WithCancel(ctx)
	err = do(parts, p)
	leave()
	return errors.Join(err, p.stop())
}

func (b *bench) logf(format string, args ...any) { fmt.Fprintf(b.env.Stdout, format, args...) }

// binaries is the folder with the programs that `make tools` has built.
func binaries(ctx context.Context, e Environment) (string, error) {
	cache := e.Getenv("LETHE_CACHE")
	if cache == "" {
		root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
		if err != nil {
			return "", fmt.Errorf("find the repository: %w", err)
		}
		cache = filepath.Join(strings.TrimSpace(string(root)), ".cache")
	}
	return filepath.Join(cache, "bin"), nil
}
