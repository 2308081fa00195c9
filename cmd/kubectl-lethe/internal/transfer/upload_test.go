package transfer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/progress"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

var dataset = Dataset{Namespace: "team", Name: "digits"}

// TestOnlyFilesAndTheManifestAreSent: what a pod's stager leaves out, or would store
// beside them, is a dataset's like any other file.
func TestOnlyFilesAndTheManifestAreSent(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(), t.TempDir()
	write(t, dir, map[string]string{"progress.jsonl": `{"step":1}` + "\n", "checkpoints/step-1": "weights"})
	folder, err := Survey(dir)
	if err != nil {
		t.Fatal(err)
	}
	journal, err := OpenJournal(t.TempDir(), "uid", false)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := Upload(t.Context(), w.options(), dataset, folder, journal)
	if err != nil || sum.Files != 2 {
		t.Errorf("got %+v, %v; want two files", sum, err)
	}
	if len(w.objects) != 3 || len(w.notices) > 0 {
		t.Errorf("sent %v with %q, want the files and the manifest", w.puts, w.notices)
	}
}

func TestSurvey(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		make    func(t *testing.T, dir string)
		files   int64
		bytes   int64
		wantErr string
	}{
		"counts files in all folders": {
			make: func(t *testing.T, dir string) {
				t.Helper()
				write(t, dir, map[string]string{"a": "12", "b/c": "345", "b/empty": ""})
			},
			files: 3, bytes: 5,
		},
		"refuses an empty folder": {
			make: func(t *testing.T, dir string) {
				t.Helper()
				if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
					t.Fatal(err)
				}
			},
			wantErr: "there is no file in",
		},
		"refuses symbolic links and names them": {
			make: func(t *testing.T, dir string) {
				t.Helper()
				write(t, dir, map[string]string{"a": "12"})
				if err := os.Symlink("/etc", filepath.Join(dir, "link")); err != nil {
					t.Fatal(err)
				}
			},
			wantErr: `"link" is a symbolic link: put a copy`,
		},
		"refuses pipes": {
			make: func(t *testing.T, dir string) {
				t.Helper()
				if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			wantErr: `"pipe" is not a regular file`,
		},
		"refuses names that the store can not hold, and names a few": {
			make: func(t *testing.T, dir string) {
				t.Helper()
				for _, name := range []string{"a\n", "b\n", "c\n", "d\n", "e\n", "f\n", "g\n"} {
					write(t, dir, map[string]string{name: ""})
				}
			},
			wantErr: "control character; and 2 files more",
		},
		"refuses what does not exist": {
			make: func(t *testing.T, dir string) {
				t.Helper()
				if err := os.Remove(dir); err != nil {
					t.Fatal(err)
				}
			},
			wantErr: "no such file",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			tc.make(t, dir)
			folder, err := Survey(dir)
			if tc.wantErr != "" {
				if !errors.Is(err, ErrFolder) || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("error: got %v, want ErrFolder with %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if folder.Files != tc.files || folder.Bytes != tc.bytes {
				t.Errorf("got %d files, %d bytes; want %d, %d", folder.Files, folder.Bytes, tc.files, tc.bytes)
			}
		})
	}
}

// try uploads a folder with the journal in a folder beside it.
func (w *world) try(t *testing.T, dir, journals string, resume bool) (Sum, error) {
	t.Helper()
	folder, err := Survey(dir)
	if err != nil {
		t.Fatal(err)
	}
	journal, err := OpenJournal(journals, "uid", resume)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = journal.Close() }()
	w.meter = progress.Meter{}
	return Upload(t.Context(), w.options(), dataset, folder, journal)
}

func TestUpload(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(), t.TempDir()
	files := map[string]string{"b": "data of b", "a/large": strings.Repeat("x", 17<<20), "a.txt": ""}
	write(t, dir, files)
	sum, err := w.try(t, dir, t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]string{}
	read, err := objectkey.ReadManifest(bytes.NewReader(w.objects[objectkey.Manifest(prefix)]), func(e objectkey.Entry) error {
		data := w.objects[objectkey.Data(prefix, e.Path)]
		stored[e.Path] = string(data)
		if objectkey.Digest(data) != "sha256:"+e.SHA256 {
			t.Errorf("%s: the manifest's hash is not that of the stored bytes", e.Path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files, stored); diff != "" {
		t.Errorf("stored files (-want +got):\n%s", diff)
	}
	want := Sum{Files: 3, Bytes: 9 + 17<<20, Digest: read.Digest}
	if diff := cmp.Diff(want, sum); diff != "" {
		t.Errorf("sum (-want +got):\n%s", diff)
	}
	wantMeter := progress.Snapshot{Files: 3, TotalFiles: 3, Bytes: want.Bytes, TotalBytes: want.Bytes}
	if diff := cmp.Diff(wantMeter, w.meter.Snapshot()); diff != "" {
		t.Errorf("meter (-want +got):\n%s", diff)
	}
	if last := w.puts[len(w.puts)-1]; last != objectkey.Manifest(prefix) {
		t.Errorf("last object put: got %s, want the manifest", last)
	}
}

func TestUploadGoesOn(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		resume  bool
		between func(t *testing.T, dir string)
		want    []string // sent the second time
		wantErr string
	}{
		"with what has not arrived":       {resume: true, want: []string{"c"}},
		"from the start without --resume": {want: []string{"a", "b", "c"}},
		"with what has changed in between": {
			resume: true,
			between: func(t *testing.T, dir string) {
				t.Helper()
				write(t, dir, map[string]string{"a": "other data of a"})
			},
			want: []string{"a", "c"},
		},
		"not when a change can not be seen from outside": {
			resume: true,
			between: func(t *testing.T, dir string) {
				t.Helper()
				name := filepath.Join(dir, "a")
				before, err := os.Stat(name)
				if err != nil {
					t.Fatal(err)
				}
				write(t, dir, map[string]string{"a": "DATA OF A"})
				if err := os.Chtimes(name, time.Time{}, before.ModTime()); err != nil {
					t.Fatal(err)
				}
			},
			wantErr: `"a" has changed since it was uploaded`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, dir, journals := newWorld(), t.TempDir(), t.TempDir()
			write(t, dir, map[string]string{"a": "data of a", "b": "data of b", "c": "data of c"})
			w.refuse = func(key string) error {
				if strings.HasSuffix(key, "/c") {
					return objectstore.ErrDenied
				}
				return nil
			}
			// A worker that is cancelled may leave a or b out, so they come alone first.
			for _, left := range []bool{true, false} {
				name := filepath.Join(dir, "c")
				if left {
					if err := os.Rename(name, filepath.Join(journals, "c")); err != nil {
						t.Fatal(err)
					}
				} else if err := os.Rename(filepath.Join(journals, "c"), name); err != nil {
					t.Fatal(err)
				}
				if _, err := w.try(t, dir, journals, !left); (err == nil) != left {
					t.Fatalf("first upload: got %v", err)
				}
			}
			w.refuse = nil
			w.sent()
			if tc.between != nil {
				tc.between(t, dir)
			}
			sum, err := w.try(t, dir, journals, tc.resume)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Errorf("error: got %v, want one with %q", err, tc.wantErr)
				}
				return
			}
			if err != nil || sum.Files != 3 {
				t.Fatalf("second upload: got %+v, %v", sum, err)
			}
			if diff := cmp.Diff(tc.want, w.sent()); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
			if got := w.meter.Snapshot(); got.Files != 3 || got.Bytes != got.TotalBytes {
				t.Errorf("meter: got %+v, want all", got)
			}
		})
	}
}

func TestJournalOutlivesACrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	journal, err := OpenJournal(dir, "uid", false)
	if err != nil {
		t.Fatal(err)
	}
	stat := fileStat{size: 3, modified: time.Unix(1000, 5)}
	if err := journal.add("a", stat, "hash"); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.file.WriteString(`{"path":"cut o`); err != nil {
		t.Fatal(err)
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenJournal(dir, "uid", true)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := again.lookup("a", stat); !ok || got != "hash" || again.Files() != 1 {
		t.Errorf("got %q, %v, %d files; want the note", got, ok, again.Files())
	}
	if err := again.Remove(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}
}

func TestUploadExplainsFailures(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		deny   error
		refuse error
		cancel bool
		want   string
		is     error
	}{
		"of the broker": {
			deny: &brokerclient.ProblemError{Problem: staging.Problem{
				Status: 403, Reason: staging.ProblemForbidden, Detail: "you need the verb create",
			}},
			want: "you need the verb create", is: ErrDenied,
		},
		"of the token":             {deny: errors.Join(brokerclient.ErrToken, errors.New("create it with: kubectl")), want: "create it with: kubectl"},
		"of the store":             {refuse: objectstore.ErrDenied, want: "refused", is: ErrDenied},
		"of the person's patience": {cancel: true, want: "canceled", is: context.Canceled},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, dir := newWorld(), t.TempDir()
			write(t, dir, map[string]string{"a": "data"})
			w.deny = tc.deny
			folder, err := Survey(dir)
			if err != nil {
				t.Fatal(err)
			}
			journal, err := OpenJournal(t.TempDir(), "uid", false)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w.refuse = func(string) error {
				if tc.cancel {
					cancel()
					return ctx.Err()
				}
				return tc.refuse
			}
			_, err = Upload(ctx, w.options(), dataset, folder, journal)
			if err == nil || !strings.Contains(err.Error(), tc.want) || (tc.is != nil && !errors.Is(err, tc.is)) {
				t.Errorf("error: got %v, want %v with %q", err, tc.is, tc.want)
			}
		})
	}
}
