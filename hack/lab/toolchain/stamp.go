package toolchain

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Stamp identifies what a tool would be built from: its recipe and, for a
// tool built from a folder of this repository, every file of that folder. Two
// equal stamps mean that a rebuild would change nothing.
func Stamp(t Tool, sources fs.FS) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", []any{t.Name, t.Version, t.Packages, t.Source, t.Tags, t.LDFlags, t.CGO, t.Provides})
	if t.NPM.Name != "" {
		fmt.Fprintf(h, "%q\n", t.NPM)
	}
	if t.Source == "" {
		return hex.EncodeToString(h.Sum(nil)), nil
	}
	err := fs.WalkDir(sources, t.Source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(sources, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %x\n", path, sha256.Sum256(content))
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("read sources of %s: %w", t.Name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// stampFile is where the stamp of a built tool lies beside the tools.
func stampFile(bin, name string) string { return filepath.Join(bin, ".stamps", name) }

// Built tells whether bin holds the tool of this very stamp, whole.
func Built(bin string, t Tool, stamp string) (bool, error) {
	have, err := os.ReadFile(stampFile(bin, t.Name))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read stamp of %s: %w", t.Name, err)
	}
	if strings.TrimSpace(string(have)) != stamp {
		return false, nil
	}
	missing := slices.ContainsFunc(t.Provides, func(file string) bool {
		_, err := os.Stat(filepath.Join(bin, file))
		return err != nil
	})
	return !missing, nil
}

// writeStamp records that bin now holds the tool of this stamp.
func writeStamp(bin, name, stamp string) error {
	file := stampFile(bin, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // G301: tools are public.
		return fmt.Errorf("make stamp folder: %w", err)
	}
	if err := os.WriteFile(file, []byte(stamp+"\n"), 0o644); err != nil { //nolint:gosec // G306: tools are public.
		return fmt.Errorf("write stamp of %s: %w", name, err)
	}
	return nil
}
