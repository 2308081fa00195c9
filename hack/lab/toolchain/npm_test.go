package toolchain

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"
)

func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	entries := tar.NewWriter(zip)
	for name, text := range files {
		if err := entries.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := entries.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := entries.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func TestUnpackTakesOnlyWhatIsNamed(t *testing.T) {
	t.Parallel()
	packed := archive(t, map[string]string{
		"package/a.js": "right", "package/lib/a.js": "deeper", "../a.js": "outside", "package/b.js": "unnamed",
	})
	out := t.TempDir()
	if err := unpack(packed, []string{"a.js"}, out); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(out)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v; want a.js alone", entries, err)
	}
	if text, err := os.ReadFile(filepath.Join(out, "a.js")); err != nil || string(text) != "right" {
		t.Errorf("a.js: %q, %v", text, err)
	}
	if err := unpack(packed, []string{"c.js"}, out); err == nil {
		t.Error("a file that is not in the archive is no error")
	}
}

func TestArchiveWithAnotherDigestIsRefused(t *testing.T) {
	t.Parallel()
	packed := archive(t, map[string]string{"package/a.js": "x"})
	sum := sha512.Sum512(packed)
	p := NPMPackage{Name: "a", Integrity: "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}
	if err := p.check(packed); err != nil {
		t.Errorf("the right archive: %v", err)
	}
	if p.check(append(packed, 0)) == nil {
		t.Error("a changed archive was taken")
	}
}

func TestSettingsOfPackagesAreThereOnlyForTheInstallation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d", "x.conf")
	remove, err := placeSettings([]DebianPackage{{Name: "x", Settings: path, SettingsText: "a = b\n"}, iptables})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "a = b\n" {
		t.Errorf("settings: %q, %v", text, err)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !os.IsNotExist(err) {
		t.Errorf("something is left: %v", err)
	}
}
