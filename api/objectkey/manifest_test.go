package objectkey_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
)

const sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func entry(path string, size int64) objectkey.Entry {
	return objectkey.Entry{Path: path, Size: size, SHA256: sum}
}

func write(entries ...objectkey.Entry) ([]byte, objectkey.ManifestSummary, error) {
	var out bytes.Buffer
	w := objectkey.NewManifestWriter(&out)
	for _, e := range entries {
		if err := w.Add(e); err != nil {
			return nil, objectkey.ManifestSummary{}, err
		}
	}
	summary, err := w.Close()
	return out.Bytes(), summary, err
}

func read(data []byte) (entries []objectkey.Entry, summary objectkey.ManifestSummary, err error) {
	summary, err = objectkey.ReadManifest(bytes.NewReader(data), func(e objectkey.Entry) error {
		entries = append(entries, e)
		return nil
	})
	return entries, summary, err
}

func TestManifestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]objectkey.Entry{
		"no files":       nil,
		"one empty file": {entry("a", 0)},
		"in byte order":  {entry("A", 1), entry("a", 2), entry("a b", 3), entry("a-b", 4), entry("b/a", 5), entry("ü<&>", 6)},
		"long paths":     {entry(strings.Repeat("a", objectkey.MaxPathLength), 1), entry(strings.Repeat("\u2028", objectkey.MaxPathLength/3), 1)},
		"a large file":   {entry("a", 1<<62)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, written, err := write(want...)
			if err != nil {
				t.Fatalf("write: %v", err)
			}
			got, summary, err := read(data)
			if err != nil {
				t.Fatalf("read: %v", err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(written, summary); diff != "" {
				t.Errorf("summary (-written +read):\n%s", diff)
			}
			if summary.Digest != objectkey.Digest(data) || summary.Objects != int64(len(want)) {
				t.Errorf("summary is %+v", summary)
			}
		})
	}
}

func TestManifestIsPlain(t *testing.T) {
	t.Parallel()
	data, _, err := write(entry("a<b", 1), entry("c", 2))
	want := `{"letheManifest":1}
{"path":"a<b","size":1,"sha256":"` + sum + `"}
{"path":"c","size":2,"sha256":"` + sum + `"}
`
	if diff := cmp.Diff(want, string(data)); diff != "" || err != nil {
		t.Errorf("%v, manifest (-want +got):\n%s", err, diff)
	}
}

func TestManifestWriterRefuses(t *testing.T) {
	t.Parallel()
	for name, entries := range map[string][]objectkey.Entry{
		"a way out":              {entry("../a", 1)},
		"the wrong order":        {entry("b", 1), entry("a", 1)},
		"the same twice":         {entry("a", 1), entry("a", 1)},
		"a negative size":        {entry("a", -1)},
		"no digest":              {{Path: "a"}},
		"a digest in upper case": {{Path: "a", SHA256: strings.ToUpper(sum)}},
		"sizes that overflow":    {entry("a", 1<<62), entry("b", 1<<62)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := write(entries...); !errors.Is(err, objectkey.ErrBadManifest) {
				t.Errorf("got error %v, want %v", err, objectkey.ErrBadManifest)
			}
		})
	}
}

func TestReadManifestRefuses(t *testing.T) {
	t.Parallel()
	const head = `{"letheManifest":1}` + "\n"
	file := func(path string) string { return fmt.Sprintf(`{"path":%q,"size":1,"sha256":%q}`, path, sum) + "\n" }
	for name, text := range map[string]string{
		"nothing":                     "",
		"an empty line":               "\n",
		"something else":              "hello\n",
		"no header":                   file("a"),
		"a version of the future":     `{"letheManifest":2}` + "\n",
		"a header with more in it":    `{"letheManifest":1,"x":1}` + "\n",
		"two headers":                 head + head,
		"an entry that is no JSON":    head + "a\n",
		"half an entry":               head + file("a")[:20],
		"an unknown field":            head + `{"path":"a","size":1,"sha256":"` + sum + `","x":1}` + "\n",
		"two entries on a line":       head + strings.TrimSpace(file("a")) + file("b"),
		"an entry and junk":           head + strings.TrimSpace(file("a")) + "]\n",
		"an empty line between":       head + file("a") + "\n" + file("b"),
		"a list":                      head + "[]\n",
		"null":                        head + "null\n",
		"the wrong order":             head + file("b") + file("a"),
		"the same twice":              head + file("a") + file("a"),
		"a way out":                   head + file("../alice"),
		"a size with a fraction":      head + `{"path":"a","size":1.5,"sha256":"` + sum + `"}` + "\n",
		"a line without an end":       head + strings.Repeat("x", 1<<20),
		"a header without an end":     strings.Repeat(" ", 1<<20),
		"a size that overflows":       head + `{"path":"a","size":9223372036854775807,"sha256":"` + sum + `"}` + "\n" + file("b"),
		"a manifest without last \\n": head + strings.TrimSpace(file("a")) + "\n" + strings.TrimSpace(file("b")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := read([]byte(text))
			if !errors.Is(err, objectkey.ErrBadManifest) || strings.Contains(err.Error(), "alice") {
				t.Errorf("got error %v, want %v and no path", err, objectkey.ErrBadManifest)
			}
		})
	}
}

func TestReadManifestPassesErrorsOn(t *testing.T) {
	t.Parallel()
	data, _, err := write(entry("a", 1), entry("b", 1))
	if err != nil {
		t.Fatalf("write: %v", err)
	}
	errStop := errors.New("stop")
	count := 0
	_, err = objectkey.ReadManifest(bytes.NewReader(data), func(objectkey.Entry) error { count++; return errStop })
	if !errors.Is(err, errStop) || count != 1 {
		t.Errorf("visit failed; got error %v after %d entries", err, count)
	}
	errDisk := errors.New("disk")
	for cut := range data {
		in := iotest.DataErrReader(bytes.NewReader(data[:cut]))
		_, err := objectkey.ReadManifest(readThen{in, errDisk}, func(objectkey.Entry) error { return nil })
		if !errors.Is(err, errDisk) || errors.Is(err, objectkey.ErrBadManifest) {
			t.Fatalf("the reader failed after %d bytes: got error %v", cut, err)
		}
	}
}

// readThen gives err where in ends.
type readThen struct {
	in  interface{ Read(p []byte) (int, error) }
	err error
}

func (r readThen) Read(p []byte) (int, error) {
	n, err := r.in.Read(p)
	if err != nil {
		err = r.err
	}
	return n, err
}

func TestManifestWriterPassesErrorsOn(t *testing.T) {
	t.Parallel()
	for _, room := range []int{0, 10, 30} {
		w := objectkey.NewManifestWriter(&limited{left: room})
		errAdd := w.Add(entry("a", 1))
		_, errClose := w.Close()
		if err := errors.Join(errAdd, errClose); !errors.Is(err, errFull) {
			t.Errorf("with room for %d bytes: got error %v", room, err)
		}
		if errClose == nil {
			t.Errorf("with room for %d bytes: a manifest that was not written whole is closed", room)
		}
	}
}

var errFull = errors.New("disk is full")

type limited struct{ left int }

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, errFull
	}
	l.left -= len(p)
	return len(p), nil
}

// FuzzReadManifest: what is read without an error, written again, is the same
// entries, and whatever is read passes the checks.
func FuzzReadManifest(f *testing.F) {
	data, _, _ := write(entry("a", 1), entry("b/c", 2))
	f.Add(data)
	f.Add([]byte(`{"letheManifest":1}` + "\n"))
	f.Add([]byte(`{"letheManifest":1}` + "\r\n" + `{"PATH":"a","size":1,"sha256":"` + sum + `"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, summary, err := read(data)
		if err != nil {
			if summary.Digest != "" {
				t.Error("a manifest that was not read whole has a digest")
			}
			return
		}
		for _, e := range entries {
			if objectkey.ValidatePath(e.Path) != nil || e.Size < 0 || len(e.SHA256) != 64 {
				t.Errorf("a bad entry passes: %+v", e)
			}
		}
		again, written, err := write(entries...)
		if err != nil {
			t.Fatalf("write again: %v", err)
		}
		back, _, err := read(again)
		if err != nil {
			t.Fatalf("read again: %v", err)
		}
		if diff := cmp.Diff(entries, back); diff != "" {
			t.Errorf("entries (-read +again):\n%s", diff)
		}
		if summary.Digest != objectkey.Digest(data) || written.Objects != summary.Objects || written.Bytes != summary.Bytes {
			t.Errorf("summary is %+v, written %+v", summary, written)
		}
	})
}
