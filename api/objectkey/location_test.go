package objectkey_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
)

const uid = "6f9619ff-8b86-4011-b42d-00c04fc964ff"

func TestKeys(t *testing.T) {
	t.Parallel()
	prefix := objectkey.OwnerPrefix("ns", uid)
	want := map[string]string{
		"prefix":   "ns/" + uid + "/",
		"data":     "ns/" + uid + "/data/a/b.txt",
		"folder":   "ns/" + uid + "/data/",
		"manifest": "ns/" + uid + "/manifest.jsonl",
		"receipt":  "ns/" + uid + ".json",
	}
	got := map[string]string{
		"prefix":   prefix,
		"data":     objectkey.Data(prefix, "a/b.txt"),
		"folder":   objectkey.DataPrefix(prefix),
		"manifest": objectkey.Manifest(prefix),
		"receipt":  objectkey.Receipt("ns", uid),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	prefix := objectkey.OwnerPrefix("ns", uid)
	for name, c := range map[string]struct {
		key  string
		want string
		ok   bool
	}{
		"a file":                 {prefix + "data/a/b", "a/b", true},
		"the manifest":           {prefix + "manifest.jsonl", "", false},
		"the folder itself":      {prefix + "data/", "", false},
		"a file of another":      {"ns/other/data/a", "", false},
		"a file beside the data": {prefix + "database/a", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := objectkey.Path(prefix, c.key)
			if ok != c.ok || (ok && got != c.want) {
				t.Errorf("got %q, %v; want %q, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

var badPaths = map[string]string{
	"an empty path":            "",
	"a root":                   "/",
	"an absolute path":         "/etc/passwd",
	"a dot":                    ".",
	"two dots":                 "..",
	"a way out":                "../a",
	"a way out later":          "a/../../b",
	"a way that comes back":    "a/../b",
	"a dot inside":             "a/./b",
	"a doubled slash":          "a//b",
	"a slash at the end":       "a/",
	"a backslash":              `a\..\..\b`,
	"a line break":             "a\nb",
	"a null byte":              "a\x00b",
	"a control of Unicode":     "a\u0085b",
	"bytes that are not UTF-8": "a\xffb",
	"one byte too many":        strings.Repeat("a", objectkey.MaxPathLength+1),
}

var goodPaths = map[string]string{
	"a file":               "a",
	"a file in a folder":   "images/0001.png",
	"a hidden file":        ".hidden",
	"three dots":           ".../a",
	"dots in a name":       "a..b/c...",
	"a space":              "a b",
	"other scripts":        "ümläut/日本語.txt",
	"a drive that is none": "c:a",
	"as long as may be":    strings.Repeat("a", objectkey.MaxPathLength),
}

func TestValidatePath(t *testing.T) {
	t.Parallel()
	for name, path := range badPaths {
		err := objectkey.ValidatePath(path)
		if !errors.Is(err, objectkey.ErrBadPath) {
			t.Errorf("%s: got error %v, want %v", name, err, objectkey.ErrBadPath)
		} else if len(path) > 2 && strings.Contains(err.Error(), path) {
			t.Errorf("%s: the error repeats the path", name)
		}
	}
	for name, path := range goodPaths {
		if err := objectkey.ValidatePath(path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzValidatePath: a path that passes, joined to a folder, never leaves it, and its
// key gives it back.
func FuzzValidatePath(f *testing.F) {
	for _, path := range badPaths {
		f.Add(path)
	}
	for _, path := range goodPaths {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if objectkey.ValidatePath(path) != nil {
			return
		}
		for _, folder := range []string{"/data", "/", "relative", "."} {
			joined := filepath.Join(folder, filepath.FromSlash(path))
			back, err := filepath.Rel(folder, joined)
			if err != nil || back != path || !filepath.IsLocal(back) {
				t.Errorf("%q joined to %q is %q: %q, %v", path, folder, joined, back, err)
			}
		}
		if !utf8.ValidString(path) || strings.ContainsAny(path, "\x00\n\r") {
			t.Errorf("%q passes", path)
		}
		prefix := objectkey.OwnerPrefix("ns", uid)
		if back, ok := objectkey.Path(prefix, objectkey.Data(prefix, path)); !ok || back != path {
			t.Errorf("the key of %q gives back %q, %v", path, back, ok)
		}
		if len(objectkey.Data(objectkey.OwnerPrefix(strings.Repeat("n", 63), uid), path)) > 1024 {
			t.Errorf("the key of %q is too long for S3", path)
		}
	})
}
