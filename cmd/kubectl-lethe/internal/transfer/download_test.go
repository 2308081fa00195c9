package transfer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
)

var artifacts = map[string]string{
	"model.bin": strings.Repeat("weights", 3<<20), "checkpoints/1": "one", "empty": "",
}

func TestDownload(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		before func(t *testing.T, dir string)
	}{
		"makes the folder and its parents": {},
		"takes an empty folder":            {func(t *testing.T, dir string) { t.Helper(); mkdir(t, dir, 0o700) }},
		"goes on with what was fetched before": {func(t *testing.T, dir string) {
			t.Helper()
			work := workFolder(dir)
			mkdir(t, work, 0o700)
			write(t, filepath.Join(work, ".stage-in", "files"), map[string]string{"model.bin": artifacts["model.bin"], "empty": ""})
		}},
		"does not trust what was fetched before": {func(t *testing.T, dir string) {
			t.Helper()
			work := workFolder(dir)
			mkdir(t, work, 0o700)
			write(t, filepath.Join(work, ".stage-in", "files"), map[string]string{"checkpoints/1": "two"})
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, parent := newWorld(), filepath.Join(t.TempDir(), "some")
			run, dir := w.publish(t, artifacts), filepath.Join(parent, "out")
			if tc.before != nil {
				tc.before(t, dir)
			}
			sum, err := Download(t.Context(), w.options(), run, dir)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(artifacts, read(t, dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			want := Sum{Files: 3, Bytes: run.Status.Artifacts.Bytes, Digest: run.Status.Artifacts.ManifestDigest}
			if diff := cmp.Diff(want, sum); diff != "" {
				t.Errorf("sum (-want +got):\n%s", diff)
			}
			if entries, err := os.ReadDir(parent); err != nil || len(entries) != 1 {
				t.Errorf("left beside the folder: %v, %v", entries, err)
			}
		})
	}
}

func mkdir(t *testing.T, dir string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(dir, mode); err != nil {
		t.Fatal(err)
	}
}

func workFolder(dir string) string {
	return filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".lethe-uid")
}

func TestDownloadRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		before func(t *testing.T, w *world, dir string)
		want   string
		is     error
	}{
		"a folder that is not empty": {
			func(t *testing.T, _ *world, dir string) { t.Helper(); write(t, dir, map[string]string{"mine": ""}) },
			"nothing there is overwritten", ErrFolder,
		},
		"a file": {
			func(t *testing.T, _ *world, dir string) {
				t.Helper()
				write(t, filepath.Dir(dir), map[string]string{filepath.Base(dir): ""})
			},
			"is not a folder", ErrFolder,
		},
		"a link": {
			func(t *testing.T, _ *world, dir string) {
				t.Helper()
				if err := os.Symlink(t.TempDir(), dir); err != nil {
					t.Fatal(err)
				}
			},
			"is not a folder", ErrFolder,
		},
		"a working folder that others can write to": {
			func(t *testing.T, _ *world, dir string) {
				t.Helper()
				mkdir(t, workFolder(dir), 0o700)
				if err := os.Chmod(workFolder(dir), 0o777); err != nil {
					t.Fatal(err)
				}
			},
			"is not what an earlier download left", ErrFolder,
		},
		"files that are not what was published": {
			func(_ *testing.T, w *world, _ string) {
				w.objects[objectkey.Data(prefix, "checkpoints/1")] = []byte("two")
			},
			"tell your administrator", ErrCorrupt,
		},
		"files that are missing": {
			func(_ *testing.T, w *world, _ string) { delete(w.objects, objectkey.Data(prefix, "checkpoints/1")) },
			"tell your administrator", ErrCorrupt,
		},
		"another manifest than the run's": {
			func(_ *testing.T, w *world, _ string) { w.objects[objectkey.Manifest(prefix)] = []byte("{}\n") },
			"tell your administrator", ErrCorrupt,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, dir := newWorld(), filepath.Join(t.TempDir(), "out")
			run := w.publish(t, artifacts)
			tc.before(t, w, dir)
			_, err := Download(t.Context(), w.options(), run, dir)
			if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error: got %v, want %v with %q", err, tc.is, tc.want)
			}
			if _, err := os.Stat(filepath.Join(dir, "model.bin")); err == nil {
				t.Error("files appeared all the same")
			}
		})
	}
}
