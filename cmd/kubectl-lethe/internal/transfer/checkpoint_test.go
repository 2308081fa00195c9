package transfer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

const checkpointID = "0001-000500"

// checkpoint stores one whose parts are these files by node, as a run that goes on
// would.
func (w *world) checkpoint(t *testing.T, parts map[int]map[string]string) *v1alpha1.TrainingRun {
	t.Helper()
	record := objectkey.CheckpointRecord{ID: checkpointID, Step: 500, Time: time.Unix(1000, 0)}
	for node := range objectkey.MaxNodes {
		files, ok := parts[node]
		if !ok {
			continue
		}
		sum := w.publishAt(t, objectkey.CheckpointPart(prefix, checkpointID, node), files)
		record.Parts = append(record.Parts, objectkey.CheckpointPartRecord{
			Node: node, ManifestDigest: sum.Digest, Objects: sum.Objects, Bytes: sum.Bytes,
		})
	}
	data, digest, err := record.Encode()
	if err != nil {
		t.Fatal(err)
	}
	w.objects[objectkey.CheckpointRecordKey(prefix, checkpointID)] = data
	run := &v1alpha1.TrainingRun{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "digits-1", UID: "uid"}}
	run.Status.Checkpoints = []v1alpha1.Checkpoint{{ID: "0001-000400", Digest: "sha256:other"}, {ID: checkpointID, Digest: digest, Step: 500}}
	return run
}

func newest(run *v1alpha1.TrainingRun) v1alpha1.Checkpoint { return run.Status.Checkpoints[1] }

func TestDownloadCheckpoint(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		parts map[int]map[string]string
		want  map[string]string
	}{
		"one part lies in the folder": {
			parts: map[int]map[string]string{0: {"step-500/model.bin": "weights", "step-500/empty": ""}},
			want:  map[string]string{"step-500/model.bin": "weights", "step-500/empty": ""},
		},
		"several lie beside each other": {
			parts: map[int]map[string]string{0: {"step-500": "a"}, 1: {"step-500": "b"}, 12: {"step-500": "c"}},
			want:  map[string]string{"node-0/step-500": "a", "node-1/step-500": "b", "node-12/step-500": "c"},
		},
		"also one with nothing in it": {
			parts: map[int]map[string]string{0: {"step-500": "a"}, 1: {}}, want: map[string]string{"node-0/step-500": "a"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, parent := newWorld(), t.TempDir()
			run, dir := w.checkpoint(t, tc.parts), filepath.Join(parent, "out")
			// A start before was cut off when it put the parts together.
			mkdir(t, filepath.Join(parent, ".out.lethe-uid-"+checkpointID, "all", "node-0", "left"), 0o700)
			sum, err := DownloadCheckpoint(t.Context(), w.options(), run, newest(run), dir)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, read(t, dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if sum.Digest != newest(run).Digest || sum.Files == 0 || w.meter.Snapshot().TotalFiles != sum.Files {
				t.Errorf("sum: got %+v; the meter expects %+v", sum, w.meter.Snapshot())
			}
			if entries, err := os.ReadDir(parent); err != nil || len(entries) != 1 {
				t.Errorf("left beside the folder: %v, %v", entries, err)
			}
		})
	}
}

func TestDownloadCheckpointRefuses(t *testing.T) {
	t.Parallel()
	record := objectkey.CheckpointRecordKey(prefix, checkpointID)
	part := objectkey.CheckpointPart(prefix, checkpointID, 0)
	denied := &brokerclient.ProblemError{Problem: staging.Problem{Status: 403, Reason: staging.ProblemForbidden, Detail: "you may not"}}
	away := &brokerclient.ProblemError{Problem: staging.Problem{Status: 503, Reason: staging.ProblemUnavailable, Detail: "the store is away"}}
	tests := map[string]struct {
		before func(w *world)
		want   string
		is     error
	}{
		"a record that was changed":   {func(w *world) { w.objects[record][3] ^= 1 }, "tell your administrator", ErrCorrupt},
		"a record that is missing":    {func(w *world) { delete(w.objects, record) }, "tell your administrator", ErrCorrupt},
		"a record without an end":     {func(w *world) { w.objects[record] = make([]byte, 1<<20) }, "longer than it may be", ErrCorrupt},
		"a manifest that was changed": {func(w *world) { w.objects[objectkey.Manifest(part)] = []byte("{}\n") }, "tell your administrator", ErrCorrupt},
		"a file that was changed":     {func(w *world) { w.objects[objectkey.Data(part, "step-500")] = []byte("b") }, "tell your administrator", ErrCorrupt},
		"a file that is missing":      {func(w *world) { delete(w.objects, objectkey.Data(part, "step-500")) }, "tell your administrator", ErrCorrupt},
		"who has no right":            {func(w *world) { w.deny = denied }, "you may not", ErrDenied},
		"while the broker is away":    {func(w *world) { w.deny = away }, "the store is away", ErrUnavailable},
		"what the store refuses": {func(w *world) {
			w.refuseGet = func(string) error { return objectstore.ErrDenied }
		}, "refused", ErrDenied},
		"a key where there is none": {func(w *world) { w.key = []byte(canary) }, "to be under no key", ErrDenied},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, dir := newWorld(), filepath.Join(t.TempDir(), "out")
			run := w.checkpoint(t, map[int]map[string]string{0: {"step-500": "a"}})
			tc.before(w)
			_, err := DownloadCheckpoint(t.Context(), w.options(), run, newest(run), dir)
			if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error: got %v, want %v with %q", err, tc.is, tc.want)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("the folder appeared all the same")
			}
		})
	}
}

func TestAStoreThatIsAwayForAMomentIsAskedAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		failures int
		is       error
	}{"for a moment": {readTries - 1, nil}, "for long": {readTries, ErrUnavailable}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, dir := newWorld(), filepath.Join(t.TempDir(), "out")
				run := w.checkpoint(t, map[int]map[string]string{0: {"step-500": "a"}})
				left := tc.failures
				w.refuseGet = func(string) error {
					if left--; left >= 0 {
						return objectstore.ErrUnavailable
					}
					return nil
				}
				if _, err := DownloadCheckpoint(t.Context(), w.options(), run, newest(run), dir); !errors.Is(err, tc.is) {
					t.Errorf("got %v, want %v", err, tc.is)
				}
			})
		})
	}
}

func TestFindCheckpoint(t *testing.T) {
	t.Parallel()
	run := newWorld().checkpoint(t, map[int]map[string]string{0: {"a": ""}})
	for id, want := range map[string]string{Latest: checkpointID, checkpointID: checkpointID, "0001-000400": "0001-000400"} {
		if got, err := FindCheckpoint(run, id); err != nil || got.ID != want {
			t.Errorf("%s: got %s, %v; want %s", id, got.ID, err, want)
		}
	}
	_, err := FindCheckpoint(run, "0009-000001")
	if !errors.Is(err, ErrNoCheckpoint) || !strings.Contains(err.Error(), "there are 0001-000400, 0001-000500, and latest") {
		t.Errorf("got %v, want what there is", err)
	}
	run.Status.Checkpoints = nil
	if _, err := FindCheckpoint(run, Latest); !errors.Is(err, ErrNoCheckpoint) || !strings.Contains(err.Error(), "run digits-1 has stored none") {
		t.Errorf("got %v, want that there is none", err)
	}
}
