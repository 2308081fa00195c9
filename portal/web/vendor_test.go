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

// vendored are files of others, each as npm has it.
var vendored = []struct{ pkg, integrity, member, file, digest string }{
	{
		pkg:       "htmx.org@2.0.11",
		integrity: "sha512-Thx/WtpeOQqSrqBCw/A1cwGJGg4UrVa3+sW0GmrM3p4gJgO89ecH4qtbnyzDDWFvBTqjnIMCgELTNt636dtamA==",
		member:    "package/dist/htmx.min.js",
		file:      "static/vendor/htmx-2.0.11.min.js",
		digest:    "sha512-YdHy6FzjD4qoyI/yWGIbsKnJHe98r96np9XeYp3ovFL+0sNP/NbDrYlSLDr5a6Ndi5sRi9GgJj+suE7yLeUMNQ==",
	},
	{
		pkg:       "uplot@1.6.32",
		integrity: "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
		member:    "package/dist/uPlot.iife.min.js",
		file:      "static/vendor/uplot-1.6.32.min.js",
		digest:    "sha512-jfm4wrxgq73ZXFzyYPRmgfQd7yYjtsH57SzfgjpieX4rgnfHAMAZJgQ1YLTsc6HOX+1tnGjnkFuerbc8oI2mJg==",
	},
	{
		pkg:       "uplot@1.6.32",
		integrity: "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
		member:    "package/dist/uPlot.min.css",
		file:      "static/vendor/uplot-1.6.32.min.css",
		digest:    "sha512-xXYYvGoPqOjhMwkpkxWTDv7HvlyrkyEqzc4USFr/ZtBYC7eklE3DNBDccqiMj2VzRKSffZzeqVRckdYzJx9qfQ==",
	},
	{
		pkg:       "hash-wasm@4.13.0",
		integrity: "sha512-GrWl7wsV46fKIXQZB5ebskLZLAmKL6d9RS0fspCxDeQyjoNu1AfTJTMLPOJyfzaQm0ldFiwFN21/w+sE/kgEFQ==",
		member:    "package/dist/sha256.umd.min.js",
		file:      "static/vendor/hash-wasm-4.13.0.sha256.umd.min.js",
		digest:    "sha512-sCpSGXvKOxve51kuoQ6obqB9Uto5jk2KuVIhSV+RztLr8Xj1SfYAhjX/7HGvZRHjujfHA2d7By+ivNWjhvoQYA==",
	},
}

func integrityOf(content []byte) string {
	sum := sha512.Sum512(content)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

func TestVendoredFileIsTheOneThatWasLookedAt(t *testing.T) {
	t.Parallel()
	for _, v := range vendored {
		content, err := staticFiles.ReadFile(v.file)
		if err != nil {
			t.Fatal(err)
		}
		if got := integrityOf(content); got != v.digest {
			t.Errorf("%s has the digest %s, want %s", v.file, got, v.digest)
		}
	}
}

func TestVendoredFileIsNPMs(t *testing.T) {
	t.Parallel()
	if !*askNPM {
		t.Skip("npm is not asked: it needs a network; use -npm")
	}
	for _, v := range vendored {
		dir := t.TempDir()
		pack := exec.CommandContext(t.Context(), "npm", "pack", v.pkg, "--silent")
		pack.Dir = dir
		name, err := pack.Output()
		if err != nil {
			t.Fatalf("npm pack %s: %v", v.pkg, err)
		}
		pkg, err := os.ReadFile(filepath.Join(dir, string(bytes.TrimSpace(name))))
		if err != nil {
			t.Fatal(err)
		}
		if got := integrityOf(pkg); got != v.integrity {
			t.Errorf("the package %s has the integrity %s, want %s", v.pkg, got, v.integrity)
		}
		if got := integrityOf(member(t, pkg, v.member)); got != v.digest {
			t.Errorf("%s in the package has the digest %s, want %s", v.member, got, v.digest)
		}
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
