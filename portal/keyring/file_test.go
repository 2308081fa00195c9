package keyring_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/lethe-dev/lethe/portal/keyring"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

func TestAKeyFileIsPrivateAndNeverReplaced(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	before := read(t, path)
	if err := keyring.Create(path, portaltest.Random(2)); !errors.Is(err, os.ErrExist) {
		t.Errorf("create over a key file: got %v", err)
	}
	if string(read(t, path)) != string(before) {
		t.Error("the file was replaced")
	}
	rotate(t, path, 2)
	if err := keyring.Retire(path, "k1"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode(); got != 0o600 {
		t.Errorf("the file's mode is %v", got)
	}
	checkAlone(t, path)
}

// checkAlone looks for what a change left.
func checkAlone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("the folder has %v", entries)
	}
}

func TestAKeyFileThatOthersMayUseIsRefused(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	for mode, want := range map[os.FileMode]bool{
		0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o620: false, 0o644: false, 0o601: false, 0o610: false, 0o666: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := keyring.Load(path); (err == nil) != want {
			t.Errorf("mode %04o: got %v", mode, err)
		}
		if err := keyring.Rotate(path, portaltest.Random(uint64(mode))); (err == nil) != want {
			t.Errorf("rotate with mode %04o: got %v", mode, err)
		}
		checkAlone(t, path)
	}
	if _, err := keyring.Load(filepath.Dir(path)); err == nil {
		t.Error("a folder was loaded")
	}
	if _, err := keyring.Load(path + "none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
}

const (
	keyA = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	keyB = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

func TestAKeyFileThatIsNotWhatWeWriteIsRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing":                 ``,
		"no JSON":                 `current: k1`,
		"null":                    `null`,
		"a list":                  `[]`,
		"no keys":                 `{"current":"k1","keys":{}}`,
		"no current":              `{"keys":{"k1":"` + keyA + `"}}`,
		"current is not there":    `{"current":"k2","keys":{"k1":"` + keyA + `"}}`,
		"a short key":             `{"current":"k1","keys":{"k1":"AAECAwQFBgcICQoLDA0ODw=="}}`,
		"a long key":              `{"current":"k1","keys":{"k1":"` + strings.Repeat("A", 60) + `"}}`,
		"an empty key":            `{"current":"k1","keys":{"k1":""}}`,
		"a key of zeros":          `{"current":"k1","keys":{"k1":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}`,
		"a key that is no base64": `{"current":"k1","keys":{"k1":"` + strings.Replace(keyA, "A", "!", 1) + `"}}`,
		"loose bits":              `{"current":"k1","keys":{"k1":"` + strings.Replace(keyA, "h8=", "h9=", 1) + `"}}`,
		"the same key twice":      `{"current":"k1","keys":{"k1":"` + keyA + `","k2":"` + keyA + `"}}`,
		"another name":            `{"current":"one","keys":{"one":"` + keyA + `"}}`,
		"a name with a zero":      `{"current":"k01","keys":{"k01":"` + keyA + `"}}`,
		"a name without a number": `{"current":"k","keys":{"k":"` + keyA + `"}}`,
		"a huge name":             `{"current":"k1","keys":{"k1":"` + keyA + `","k99999999999999999999":"` + keyB + `"}}`,
		"an unknown field":        `{"current":"k1","keys":{"k1":"` + keyA + `"},"old":"k0"}`,
		"something behind":        `{"current":"k1","keys":{"k1":"` + keyA + `"}} {}`,
		"too long":                `{"current":"k1","keys":{"k1":"` + keyA + `"}}` + strings.Repeat(" ", 70_000),
	} {
		path := filepath.Join(t.TempDir(), "keys.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := keyring.Load(path)
		if err == nil {
			t.Errorf("%s: it was loaded", name)
			continue
		}
		if strings.Contains(err.Error(), "AAECA") || strings.Contains(err.Error(), "AQECA") {
			t.Errorf("%s: the error quotes a key: %v", name, err)
		}
	}
}

func TestAKeyIsRetiredOnlyWhenAnotherIsCurrent(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	rotate(t, path, 2)
	before := read(t, path)
	if err := keyring.Retire(path, "k2"); err == nil {
		t.Error("the current key was retired")
	}
	for _, id := range []string{"k3", "", "../k1"} {
		if err := keyring.Retire(path, id); !errors.Is(err, keyring.ErrUnknownKey) {
			t.Errorf("retire %q: got %v", id, err)
		}
	}
	if string(read(t, path)) != string(before) {
		t.Error("the file was changed")
	}
	checkAlone(t, path)
}

func TestAChangeThatWasCutShortIsNotOverlooked(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	before := read(t, path)
	if err := os.WriteFile(path+".new", []byte(`{"current":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := keyring.Rotate(path, portaltest.Random(2)); err == nil || !strings.Contains(err.Error(), path+".new") {
		t.Errorf("rotate: got %v", err)
	}
	if string(read(t, path)) != string(before) {
		t.Error("the file was changed")
	}
	load(t, path)
}

func TestNoKeyIsMadeWithoutRandomness(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	before := read(t, path)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a key was made")
			}
		}()
		_ = keyring.Rotate(path, iotest.ErrReader(errors.New("no randomness")))
	}()
	if string(read(t, path)) != string(before) {
		t.Error("the file was changed")
	}
	checkAlone(t, path)
}

func TestOfManyRotationsAtOnceNoKeyIsLost(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	var group sync.WaitGroup
	var done atomic.Int64
	for i := range uint64(8) {
		group.Go(func() {
			if keyring.Rotate(path, portaltest.Random(i+2)) == nil {
				done.Add(1)
			}
		})
	}
	group.Wait()
	if got := len(load(t, path).IDs()); int64(got) != done.Load()+1 {
		t.Errorf("%d rotations went through, and there are %d keys", done.Load(), got)
	}
	checkAlone(t, path)
}

func TestALinkToAKeyFileStaysALink(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	link := filepath.Join(t.TempDir(), "link.json")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	rotate(t, link, 2)
	if got := load(t, path).Current(); got != "k2" {
		t.Errorf("the file behind the link has %s", got)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
}
