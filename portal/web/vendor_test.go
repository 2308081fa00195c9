package web

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var askNPM = flag.Bool("npm", false, "compare files of others with the packages that npm gives")

// vendored is htmx as npm has it.
var vendored = struct{ pkg, integrity, member, file, digest string }{
	pkg:       "htmx.org@2.0.11",
	integrity: "sha512-Thx/WtpeOQqSrqBCw/A1cwGJGg4UrVa3+sW0GmrM3p4gJgO89ecH4qtbnyzDDWFvBTqjnIMCgELTNt636dtamA==",
	member:    "package/dist/htmx.min.js",
	file:      "static/vendor/htmx-2.0.11.min.js",
	digest:    "sha512-YdHy6FzjD4qoyI/yWGIbsKnJHe98r96np9XeYp3ovFL+0sNP/NbDrYlSLDr5a6Ndi5sRi9GgJj+suE7yLeUMNQ==",
}

func integrityOf(content []byte) string {
	sum := sha512.Sum512(content)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

func TestVendoredFileIsTheOneThatWasLookedAt(t *testing.T) {
	t.Parallel()
	content, err := staticFiles.ReadFile(vendored.file)
	if err != nil {
		t.Fatal(err)
	}
	if got := integrityOf(content); got != vendored.digest {
		t.Errorf("%s has the digest %s, want %s", vendored.file, got, vendored.digest)
	}
}

func TestVendoredFileIsNPMs(t *testing.T) {
	t.Parallel()
	if !*askNPM {
		t.Skip("npm is not asked: it needs a network; use -npm")
	}
	dir := t.TempDir()
	pack := exec.CommandContext(t.Context(), "npm", "pack", vendored.pkg, "--silent")
	pack.Dir = dir
	name, err := pack.Output()
	if err != nil {
		t.Fatalf("npm pack %s: %v", vendored.pkg, err)
	}
	pkg, err := os.ReadFile(filepath.Join(dir, string(bytes.TrimSpace(name))))
	if err != nil {
		t.Fatal(err)
	}
	if got := integrityOf(pkg); got != vendored.integrity {
		t.Errorf("the package has the integrity %s, want %s", got, vendored.integrity)
	}
	if got := integrityOf(member(t, pkg, vendored.member)); got != vendored.digest {
		t.Errorf("%s in the package has the digest %s, want %s", vendored.member, got, vendored.digest)
	}
}

// member gives a file of a package.
func member(t *testing.T, pkg []byte, name string) []byte {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(pkg))
	if err != nil {
		t.Fatal(err)
	}
	for files := tar.NewReader(unzipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			t.Fatalf("the package has no %s", name)
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Name != name {
			continue
		}
		content, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
}
