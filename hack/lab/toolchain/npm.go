package toolchain

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// NPMPackage is a package of the npm registry. Nothing of it is run when it is fetched.
type NPMPackage struct {
	Name string
	// Integrity is the digest of the archive as the registry and package-lock.json write
	// it: "sha512-" and base64.
	Integrity string
}

// fetch takes the provided files of a package of npm into the folder out. The registry is
// the one that npm is set up with; the digest says whether it gave the right thing.
func (b Builder) fetch(ctx context.Context, t Tool, out string) error {
	spec := t.NPM.Name + "@" + t.Version
	if err := b.logged(ctx, t.Name, nil, out, "npm", "pack", "--ignore-scripts", "--pack-destination", out, spec); err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(out, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("npm pack %s left %d archives, not one", spec, len(archives))
	}
	archive, err := os.ReadFile(archives[0])
	if err != nil {
		return fmt.Errorf("read the archive of %s: %w", spec, err)
	}
	if err := t.NPM.check(archive); err != nil {
		return fmt.Errorf("%s: %w", spec, err)
	}
	return unpack(archive, t.Provides, out)
}

func (p NPMPackage) check(archive []byte) error {
	sum := sha512.Sum512(archive)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != p.Integrity {
		return fmt.Errorf("the registry gave an archive with digest %s, not %s", got, p.Integrity)
	}
	return nil
}

// maxNPMFile bounds what one file of an archive may grow to.
const maxNPMFile = 64 << 20

// unpack writes the named files of the archive's top folder ("package/") into out.
func unpack(archive []byte, files []string, out string) error {
	zip, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	missing := slices.Clone(files)
	for entries := tar.NewReader(zip); len(missing) > 0; {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("the archive has no %v", missing)
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		folder, name := path.Split(header.Name)
		at := slices.Index(missing, name)
		if folder != "package/" || at < 0 || header.Size > maxNPMFile {
			continue
		}
		missing = slices.Delete(missing, at, at+1)
		content, err := io.ReadAll(io.LimitReader(entries, maxNPMFile))
		if err != nil {
			return fmt.Errorf("read %s of the archive: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(out, name), content, 0o644); err != nil { //nolint:gosec // G306: tools are public.
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}
