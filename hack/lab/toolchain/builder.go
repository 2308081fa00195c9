package toolchain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/lethe-dev/lethe/hack/lab/console"
)

// Builder builds tools into Bin, each once.
type Builder struct {
	// Bin is where the tools go, Logs where the output of each build goes.
	Bin  string
	Logs string
	// LabDir is the folder of the lab's module.
	LabDir  string
	Console *console.Console
}

// Select returns the named tools in the catalogue's order; no name means all.
func Select(names ...string) ([]Tool, error) {
	all := All()
	known := make([]string, len(all))
	for i, t := range all {
		known[i] = t.Name
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no tool %q; there are: %s", name, strings.Join(known, " "))
		}
	}
	if len(names) == 0 {
		return all, nil
	}
	return slices.DeleteFunc(all, func(t Tool) bool { return !slices.Contains(names, t.Name) }), nil
}

// Ensure builds those of the tools that are missing or outdated. With quiet,
// tools that are ready are not mentioned.
func (b Builder) Ensure(ctx context.Context, tools []Tool, quiet bool) error {
	if err := b.installPackages(ctx, missingPackages(tools)); err != nil {
		return err
	}
	if err := os.MkdirAll(b.Bin, 0o755); err != nil { //nolint:gosec // G301: tools are public.
		return fmt.Errorf("make tool folder: %w", err)
	}
	unlock, err := lock(filepath.Join(b.Bin, ".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	for _, t := range tools {
		if err := b.ensure(ctx, t, quiet); err != nil {
			return err
		}
	}
	return nil
}

func (b Builder) ensure(ctx context.Context, t Tool, quiet bool) error {
	if t.installed() {
		if quiet {
			return nil
		}
		return b.Console.Step("tool "+t.Name, func() (string, error) { return t.Version + " ready", nil })
	}
	stamp, err := Stamp(t, os.DirFS(b.LabDir))
	if err != nil {
		return err
	}
	built, err := Built(b.Bin, t, stamp)
	if err != nil {
		return err
	}
	if built && quiet {
		return nil
	}
	return b.Console.Step("tool "+t.Name, func() (string, error) {
		if built {
			return shortVersion(t) + " ready", nil
		}
		return shortVersion(t) + " built", b.build(ctx, t, stamp)
	})
}

// build makes the tool in a folder beside the tools and moves it in place when
// whole, so that a broken build never leaves half a tool.
func (b Builder) build(ctx context.Context, t Tool, stamp string) error {
	fresh := filepath.Join(b.Bin, ".build-"+t.Name)
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("clear build folder: %w", err)
	}
	if err := os.MkdirAll(fresh, 0o755); err != nil { //nolint:gosec // G301: tools are public.
		return fmt.Errorf("make build folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	bring := b.compile
	if t.NPM.Name != "" {
		bring = b.fetch
	}
	if err := bring(ctx, t, fresh); err != nil {
		return err
	}
	for _, file := range t.Provides {
		if err := os.Rename(filepath.Join(fresh, file), filepath.Join(b.Bin, file)); err != nil {
			return fmt.Errorf("install %s: %w", t.Name, err)
		}
	}
	for _, name := range t.Links {
		if err := link(t.Provides[0], filepath.Join(b.Bin, name)); err != nil {
			return err
		}
	}
	return writeStamp(b.Bin, t.Name, stamp)
}

// compile builds a tool of Go into the folder out.
func (b Builder) compile(ctx context.Context, t Tool, out string) error {
	dir, args := b.command(t, out)
	cgo := "CGO_ENABLED=0"
	if t.CGO {
		cgo = "CGO_ENABLED=1"
	}
	return b.logged(ctx, t.Name, []string{cgo, "GOBIN=" + out}, dir, args...)
}

// command is the go command that builds a tool into the folder out.
func (b Builder) command(t Tool, out string) (dir string, args []string) {
	flags := []string{"-trimpath", "-ldflags", t.LDFlags}
	if t.Tags != "" {
		flags = append(flags, "-tags", t.Tags)
	}
	if t.Source == "" {
		// Outside of any module: go install path@version ignores ours, but
		// not our go.mod's errors.
		return out, slices.Concat([]string{"go", "install"}, flags, t.Packages)
	}
	dir = b.LabDir
	pkg := "./" + t.Source
	if t.OwnModule {
		dir, pkg = filepath.Join(b.LabDir, t.Source), "."
	}
	return dir, slices.Concat([]string{"go", "build"}, flags, []string{"-o", filepath.Join(out, t.Provides[0]), pkg})
}

// logged runs a command with its output in a log of its own, which the error names.
func (b Builder) logged(ctx context.Context, name string, env []string, dir string, args ...string) error {
	if err := os.MkdirAll(b.Logs, 0o755); err != nil { //nolint:gosec // G301: build logs are public.
		return fmt.Errorf("make log folder: %w", err)
	}
	path := filepath.Join(b.Logs, "build-"+name+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644) //nolint:gosec // G302, G304: as above.
	if err != nil {
		return fmt.Errorf("open build log: %w", err)
	}
	defer func() { _ = log.Close() }()
	_, _ = fmt.Fprintf(log, "$ %s\n", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // G204: commands come from the catalogue.
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s (its output: %s): %w", strings.Join(args[:2], " "), path, err)
	}
	return nil
}

func link(target, path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replace link: %w", err)
	}
	if err := os.Symlink(target, path); err != nil {
		return fmt.Errorf("link %s: %w", filepath.Base(path), err)
	}
	return nil
}

// lock serialises builders of one cache, also those of other processes.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644) //nolint:gosec // G302, G304: an empty file.
	if err != nil {
		return nil, fmt.Errorf("open build lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("take build lock: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

// shortVersion leaves the time and commit out of a pseudo-version's end.
func shortVersion(t Tool) string {
	if len(t.Version) > 24 {
		return t.Version[:24]
	}
	return t.Version
}
