package agent_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

const checkpointID = "0001-000007"

// leave puts a checkpoint into the store, as stage-out stores it, with a part for each of
// the nodes, and makes it the one to begin with.
func (w *world) leave(t *testing.T, parts ...map[string][]byte) {
	t.Helper()
	record := objectkey.CheckpointRecord{ID: checkpointID, Step: 500, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	for node, files := range parts {
		part := objectkey.CheckpointPart(prefix, checkpointID, node)
		var manifest bytes.Buffer
		mw := objectkey.NewManifestWriter(&manifest)
		for _, path := range slices.Sorted(maps.Keys(files)) {
			w.store.objects[objectkey.Data(part, path)] = files[path]
			if err := mw.Add(objectkey.Entry{Path: path, Size: int64(len(files[path])), SHA256: sum(files[path])}); err != nil {
				t.Fatal(err)
			}
		}
		sealed, err := mw.Close()
		if err != nil {
			t.Fatal(err)
		}
		w.store.objects[objectkey.Manifest(part)] = manifest.Bytes()
		record.Parts = append(record.Parts, objectkey.CheckpointPartRecord{
			Node: node, ManifestDigest: sealed.Digest, Objects: sealed.Objects, Bytes: sealed.Bytes,
		})
	}
	w.record(t, record)
}

func (w *world) record(t *testing.T, record objectkey.CheckpointRecord) {
	t.Helper()
	data, digest, err := record.Encode()
	if err != nil {
		t.Fatal(err)
	}
	w.store.objects[objectkey.CheckpointRecordKey(prefix, checkpointID)] = data
	w.broker.resume = &staging.ResumeGrant{ID: checkpointID, Digest: digest}
}

func weights(seed int) map[string][]byte {
	return map[string][]byte{
		"step-500/secret/model.bin": noise(9*mib + seed),
		"step-500/optimizer.bin":    noise(1000 + seed),
		"step-500/empty":            {},
	}
}

// newStart is a world whose run begins with a checkpoint.
func newStart(t *testing.T, volume, artifacts string, parts ...map[string][]byte) *world {
	t.Helper()
	w := newWorld(volume)
	w.artifacts = artifacts
	w.seal(t, map[string][]byte{"data.csv": noise(100)})
	w.leave(t, parts...)
	return w
}

// visible is the trainer's view of the folder of checkpoints.
func visible(t *testing.T, artifacts string) map[string]string {
	t.Helper()
	got := tree(t, filepath.Join(artifacts, "checkpoints"))
	maps.DeleteFunc(got, func(path, _ string) bool { return path == ".lethe-restored.json" })
	return got
}

func TestStageInRestoresTheCheckpointToBeginWith(t *testing.T) {
	t.Parallel()
	single := map[string][]byte{"last.ckpt": noise(5000)}
	cases := map[string]struct {
		parts []map[string][]byte
		node  agent.Node
		want  map[string][]byte
	}{
		"a folder":                              {parts: []map[string][]byte{weights(1)}, want: weights(1)},
		"a file":                                {parts: []map[string][]byte{single}, want: single},
		"the first node's, for another":         {parts: []map[string][]byte{weights(1)}, node: agent.Node{Index: 1, Count: 2}, want: weights(1)},
		"its own, where every node had one":     {parts: []map[string][]byte{weights(1), weights(2)}, node: agent.Node{Index: 1, Count: 2}, want: weights(2)},
		"the first's, where every node had one": {parts: []map[string][]byte{weights(1), weights(2)}, node: agent.Node{Index: 0, Count: 2}, want: weights(1)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume, artifacts := t.TempDir(), t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newStart(t, volume, artifacts, tc.parts...)
				w.node = tc.node
				for range 2 { // The second time is after a crash at the very end.
					report, code := w.stageIn(t.Context())
					if code != staging.ExitOK || report.Checkpoint != checkpointID {
						t.Fatalf("exit %d: %+v\n%s", code, report, w.log.String())
					}
					if diff := cmp.Diff(sums("", tc.want), visible(t, artifacts)); diff != "" {
						t.Errorf("checkpoints (-want +got):\n%s", diff)
					}
				}
				for path := range tc.want {
					if got := w.store.count("get", path); got > 2 {
						t.Errorf("a file was fetched again: %d requests", got)
					}
				}
				if strings.Contains(w.log.String(), "secret") {
					t.Errorf("a path leaked:\n%s", w.log.String())
				}
			})
		})
	}
}

func TestTheTrainerMayChangeWhatWasRestored(t *testing.T) {
	t.Parallel()
	volume, artifacts := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newStart(t, volume, artifacts, weights(1))
		if report, code := w.stageIn(t.Context()); code != staging.ExitOK {
			t.Fatalf("exit %d: %s", code, report.Message)
		}
		for name, want := range map[string]os.FileMode{
			"checkpoints": 0o777, "checkpoints/step-500": 0o777, "checkpoints/step-500/secret/model.bin": 0o666,
		} {
			info, err := os.Stat(filepath.Join(artifacts, name))
			if err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: mode %v, %v; want %v", name, info.Mode(), err, want)
			}
		}
	})
}

func TestARunThatBeginsAnewHasAFolderForCheckpoints(t *testing.T) {
	t.Parallel()
	volume, artifacts := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newStart(t, volume, artifacts, weights(1))
		w.broker.resume = nil
		report, code := w.stageIn(t.Context())
		if code != staging.ExitOK || report.Checkpoint != "" {
			t.Fatalf("exit %d: %+v", code, report)
		}
		if got := visible(t, artifacts); len(got) > 0 {
			t.Errorf("there is a checkpoint: %v", got)
		}
	})
}

// Each case ends stage-in, and the trainer's folder has nothing of the checkpoint.
func TestACheckpointThatIsDamagedIsNotRestored(t *testing.T) {
	t.Parallel()
	part := objectkey.CheckpointPart(prefix, checkpointID, 0)
	modelKey := objectkey.Data(part, "step-500/secret/model.bin")
	recordKey := objectkey.CheckpointRecordKey(prefix, checkpointID)
	remove := func(key string) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) { delete(w.store.objects, key) }
	}
	flip := func(key string) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) {
			w.store.faults = func(c call) fault { return fault{flip: c.key == key} }
		}
	}
	cases := map[string]struct {
		arrange func(*testing.T, *world)
		code    int
		message string
	}{
		"a file has other bytes":         {flip(modelKey), staging.ExitCheckpointCorrupt, "The checkpoint 0001-000007 is damaged"},
		"a small file has other bytes":   {flip(objectkey.Data(part, "step-500/optimizer.bin")), staging.ExitCheckpointCorrupt, "damaged"},
		"a file is missing":              {remove(modelKey), staging.ExitCheckpointCorrupt, "damaged"},
		"the part's manifest is missing": {remove(objectkey.Manifest(part)), staging.ExitCheckpointCorrupt, "damaged"},
		"the part's manifest is another": {flip(objectkey.Manifest(part)), staging.ExitCheckpointCorrupt, "damaged"},
		"the record is missing":          {remove(recordKey), staging.ExitCheckpointCorrupt, "damaged"},
		"the record is another":          {flip(recordKey), staging.ExitCheckpointCorrupt, "damaged"},
		"the record is endless": {
			func(_ *testing.T, w *world) { w.store.objects[recordKey] = make([]byte, mib) }, staging.ExitCheckpointCorrupt, "damaged",
		},
		"the record is another checkpoint's": {
			func(t *testing.T, w *world) {
				t.Helper()
				w.record(t, objectkey.CheckpointRecord{ID: "0001-000008", Time: time.Unix(1, 0), Parts: []objectkey.CheckpointPartRecord{
					{ManifestDigest: objectkey.Digest(w.store.objects[objectkey.Manifest(part)])},
				}})
			}, staging.ExitCheckpointCorrupt, "damaged",
		},
		"it has no part for this node": {
			func(t *testing.T, w *world) {
				t.Helper()
				w.leave(t, weights(0), weights(1))
				w.node = agent.Node{Index: 2, Count: 3}
			}, staging.ExitCheckpointCorrupt, "written by 2 nodes and has no part for node 2",
		},
		"it is two": {
			func(t *testing.T, w *world) { t.Helper(); w.leave(t, map[string][]byte{"a": {1}, "b": {2}}) },
			staging.ExitCheckpointCorrupt, "damaged",
		},
		"it has a name of ours": {
			func(t *testing.T, w *world) {
				t.Helper()
				w.leave(t, map[string][]byte{".lethe-restored.json": {1}})
			}, staging.ExitCheckpointCorrupt, "damaged",
		},
		"its volume is too small": {
			func(_ *testing.T, w *world) { w.free.Bytes = mib }, staging.ExitDiskFull, "no room for the checkpoint 0001-000007",
		},
		"there is no volume for it": {
			func(_ *testing.T, w *world) { w.artifacts += "/none" }, staging.ExitUsage, "must be mounted",
		},
		"the store refuses it": {
			func(_ *testing.T, w *world) {
				w.store.accepts = func(key string) bool { return !strings.HasSuffix(key, "-resume") }
			}, staging.ExitDenied, "The store refused credentials",
		},
		"the store stays away": {
			func(_ *testing.T, w *world) {
				w.store.faults = func(c call) fault {
					if c.key == modelKey {
						return fault{err: objectstore.ErrUnavailable}
					}
					return fault{}
				}
			}, staging.ExitUnavailable, "The store stayed away",
		},
		"it is not there any more": {
			func(_ *testing.T, w *world) {
				w.broker.refuse = func(int) error { return problem(http.StatusGone, "CheckpointGone") }
			}, staging.ExitDenied, "(CheckpointGone)",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume, artifacts := t.TempDir(), t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newStart(t, volume, artifacts, weights(0))
				tc.arrange(t, w)
				report, code := w.stageIn(t.Context())
				if code != tc.code || !strings.Contains(report.Message, tc.message) || report.Checkpoint != "" {
					t.Errorf("exit %d: %+v, want %d: %q", code, report, tc.code, tc.message)
				}
				if strings.Contains(report.Message+w.log.String(), "secret") {
					t.Errorf("a path leaked: %s\n%s", report.Message, w.log.String())
				}
				entries, _ := os.ReadDir(filepath.Join(artifacts, "checkpoints")) // It may be missing.
				for _, e := range entries {
					if !strings.HasPrefix(e.Name(), ".lethe-") {
						t.Errorf("the trainer sees %s", e.Name())
					}
				}
			})
		})
	}
}

// A stage-in that is killed at any of its requests is started again, and goes on.
func TestARestoreThatIsKilledGoesOn(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 12; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			volume, artifacts := t.TempDir(), t.TempDir()
			write(t, artifacts, map[string][]byte{"checkpoints/step-900/newer": noise(7)})
			synctest.Test(t, func(t *testing.T) {
				w := newStart(t, volume, artifacts, weights(0))
				ctx, kill := context.WithCancel(t.Context())
				calls := 0
				w.store.faults = func(call) fault {
					if calls++; calls == n {
						kill()
					}
					return fault{}
				}
				_, _ = w.stageIn(ctx)
				kill()
				w.store.faults = nil
				report, code := w.stageIn(t.Context())
				if code != staging.ExitOK || report.Checkpoint != checkpointID {
					t.Fatalf("exit %d: %+v", code, report)
				}
				want := sums("", weights(0))
				want["step-900/newer"] = sum(noise(7))
				if diff := cmp.Diff(want, visible(t, artifacts)); diff != "" {
					t.Errorf("checkpoints (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What lies in the way, be it a link, is replaced and never followed.
func TestARestoreLeavesItsFolderBeOthers(t *testing.T) {
	t.Parallel()
	volume, artifacts, outside := t.TempDir(), t.TempDir(), t.TempDir()
	mine := map[string][]byte{"secret/model.bin": noise(3), "whole/x": noise(4)}
	write(t, outside, mine)
	write(t, artifacts, map[string][]byte{"checkpoints/other": noise(1)})
	for _, name := range []string{"step-500", ".lethe-restored.json"} {
		if err := os.Symlink(outside, filepath.Join(artifacts, "checkpoints", name)); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newStart(t, volume, artifacts, weights(0))
		if report, code := w.stageIn(t.Context()); code != staging.ExitOK {
			t.Fatalf("exit %d: %+v", code, report)
		}
		if diff := cmp.Diff(sums("", mine), tree(t, outside)); diff != "" {
			t.Errorf("outside (-want +got):\n%s", diff)
		}
		want := sums("", weights(0))
		want["other"] = sum(noise(1))
		if diff := cmp.Diff(want, visible(t, artifacts)); diff != "" {
			t.Errorf("checkpoints (-want +got):\n%s", diff)
		}
	})
}

// The credentials of the checkpoint are renewed with the others, and it stays the same.
func TestACheckpointThatChangesMeanwhileEndsStageIn(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*staging.ResumeGrant){
		"the same one": func(*staging.ResumeGrant) {},
		"another one":  func(g *staging.ResumeGrant) { g.ID = "0001-000008" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume, artifacts := t.TempDir(), t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				files := map[string][]byte{}
				for i := range 200 {
					files["step-500/"+strings.Repeat("x", i+1)] = noise(10)
				}
				w := newStart(t, volume, artifacts, files)
				w.broker.refuse = func(ask int) error {
					if ask > 1 {
						change(w.broker.resume)
					}
					return nil
				}
				w.parallel.Small = 2
				w.store.faults = func(call) fault { return fault{slow: 59 * time.Second} } // 3.3 h; a grant lives for 2.
				report, code := w.stageIn(t.Context())
				if name == "another one" {
					if code != staging.ExitCheckpointCorrupt || !strings.Contains(report.Message, "no longer the one") {
						t.Errorf("exit %d: %s", code, report.Message)
					}
				} else if code != staging.ExitOK {
					t.Errorf("exit %d: %s", code, report.Message)
				}
			})
		})
	}
}
