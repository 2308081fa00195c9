package teardown

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/lethe-dev/lethe/hack/lab/site"
)

const cgroupFS = "/sys/fs/cgroup"

// EnsureCgroups makes the root of the pods' cgroups in every hierarchy, which
// kubelet wants to find.
func EnsureCgroups() error {
	for _, hierarchy := range hierarchies() {
		dir := filepath.Join(hierarchy, site.CgroupRoot)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) { //nolint:gosec // G301: as the kernel's own.
			return fmt.Errorf("make cgroup: %w", err)
		}
	}
	return nil
}

// hierarchies are the places that hold cgroups: one with cgroup v2, one per
// controller with v1.
func hierarchies() []string {
	if _, err := os.Stat(filepath.Join(cgroupFS, "cgroup.procs")); err == nil {
		return []string{cgroupFS}
	}
	found, _ := filepath.Glob(filepath.Join(cgroupFS, "*", "cgroup.procs"))
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	return found
}

// labCgroups are the roots of the lab's cgroups that exist.
func labCgroups() ([]string, error) {
	var roots []string
	for _, hierarchy := range hierarchies() {
		dir := filepath.Join(hierarchy, site.CgroupRoot)
		_, err := os.Stat(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for cgroup: %w", err)
		}
		roots = append(roots, dir)
	}
	return roots, nil
}

func removeCgroups(ctx context.Context) (string, error) {
	roots, err := labCgroups()
	if err != nil {
		return "", err
	}
	removed := 0
	for _, root := range roots {
		n, err := removeTree(ctx, root)
		removed += n
		if err != nil {
			return "", err
		}
	}
	return number(removed), nil
}

// removeTree removes a cgroup and all below it: the deepest first, as only an
// empty one can be removed.
func removeTree(ctx context.Context, root string) (int, error) {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("list cgroups: %w", err)
	}
	slices.Reverse(dirs)
	for i, dir := range dirs {
		if err := removeGroup(ctx, dir); err != nil {
			return i, err
		}
	}
	return len(dirs), nil
}

// removeGroup waits a little: a cgroup stays busy for a moment after its last
// process ended.
func removeGroup(ctx context.Context, dir string) error {
	const tries, wait = 100, 20 * time.Millisecond
	var err error
	for range tries {
		err = syscall.Rmdir(dir)
		if err == nil || errors.Is(err, syscall.ENOENT) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	return fmt.Errorf("remove cgroup %s: %w", dir, err)
}
