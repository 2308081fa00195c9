package lifecycle

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/lethe-dev/lethe/hack/lab/site"
	"github.com/lethe-dev/lethe/hack/lab/toolchain"
)

// install puts the built tools of the cache into the lab's own bin folder, so
// that a running lab does not depend on the clone that started it.
func install(s site.Site) error {
	for _, tool := range toolchain.Catalogue() {
		if err := installTool(s, tool); err != nil {
			return fmt.Errorf("install %s: %w", tool.Name, err)
		}
	}
	return nil
}

func installTool(s site.Site, tool toolchain.Tool) error {
	stamp, err := os.ReadFile(filepath.Join(s.CacheBin(), ".stamps", tool.Name))
	if err != nil {
		return err
	}
	target := s.Path("bin", ".stamps", tool.Name)
	if have, err := os.ReadFile(target); err == nil && string(have) == string(stamp) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil { //nolint:gosec // G301: programs are public.
		return err
	}
	for _, file := range tool.Provides {
		if err := place(filepath.Join(s.CacheBin(), file), s.Bin(file)); err != nil {
			return err
		}
	}
	for _, name := range tool.Links {
		if err := os.Symlink(tool.Provides[0], s.Bin(name)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return os.WriteFile(target, stamp, 0o644) //nolint:gosec // G306: programs are public.
}

// place makes target the file source, by a link where both are on one file
// system. A running program keeps its old file.
func place(source, target string) error {
	fresh := target + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if os.Link(source, fresh) != nil {
		if err := copyFile(source, fresh); err != nil {
			return err
		}
	}
	return os.Rename(fresh, target)
}

func copyFile(source, target string) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755) //nolint:gosec // G302, G304: a program.
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	return out.Close()
}

// installedStamps maps each installed program to the stamp of its build.
func installedStamps(s site.Site) (map[string]string, error) {
	stamps := map[string]string{}
	for _, tool := range toolchain.Catalogue() {
		stamp, err := os.ReadFile(s.Path("bin", ".stamps", tool.Name))
		if err != nil {
			return nil, fmt.Errorf("read stamp of %s: %w", tool.Name, err)
		}
		for _, file := range append(tool.Provides, tool.Links...) {
			stamps[file] = strings.TrimSpace(string(stamp))
		}
	}
	return stamps, nil
}
