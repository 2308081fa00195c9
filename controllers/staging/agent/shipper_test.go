package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

// trainsFor makes the trainer run for a while and then exit.
func (w *world) trainsFor(d time.Duration, code int32) {
	end := bubble.Now().Add(d)
	if w.broker.output == nil {
		w.broker.output = func(asked staging.LogRequest) (staging.LogAnswer, error) {
			return staging.LogAnswer{Last: asked.Since, Ended: !bubble.Now().Before(end)}, nil
		}
	}
	w.broker.trainer = func(int) (staging.TrainerStatus, error) {
		if bubble.Now().Before(end) {
			bubble.Sleep(time.Second)
			return staging.TrainerStatus{}, nil
		}
		return staging.TrainerStatus{Ended: true, ExitCode: code}, nil
	}
}

// after lets the trainer do something after a while.
func (w *world) after(d time.Duration, do func()) { time.AfterFunc(d, do) }

// writes lets the trainer write a checkpoint, whole at once.
func (w *world) writes(t *testing.T, name string, files map[string][]byte) {
	t.Helper()
	checkpoints := filepath.Join(w.folder, "checkpoints")
	write(t, filepath.Join(checkpoints, "tmp-"+name), files)
	if err := os.RemoveAll(filepath.Join(checkpoints, name)); err != nil {
		t.Error(err)
	}
	if err := os.Rename(filepath.Join(checkpoints, "tmp-"+name), filepath.Join(checkpoints, name)); err != nil {
		t.Error(err)
	}
}

func model(step int) map[string][]byte {
	return map[string][]byte{"secret.bin": noise(1000 + step), "deep/empty": {}}
}

// content reads a stored checkpoint as one would who resumes: path -> SHA-256 for each
// node, everything verified.
func content(t *testing.T, w *world, told staging.CheckpointRequest) []map[string]string {
	t.Helper()
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	record, err := objectkey.DecodeCheckpointRecord(w.store.objects[objectkey.CheckpointRecordKey(prefix, told.ID)], told.Digest)
	if err != nil {
		t.Fatalf("the record of %s: %v", told.ID, err)
	}
	if objects, size := record.Size(); objects != told.Objects || size != told.Bytes || record.Step != told.Step || record.ID != told.ID {
		t.Errorf("told %+v, the record has %+v", told, record)
	}
	var nodes []map[string]string
	for _, p := range record.Parts {
		part := objectkey.CheckpointPart(prefix, told.ID, p.Node)
		manifest := w.store.objects[objectkey.Manifest(part)]
		if objectkey.Digest(manifest) != p.ManifestDigest {
			t.Errorf("checkpoint %s: the manifest of node %d is another", told.ID, p.Node)
		}
		files := map[string]string{}
		if _, err := objectkey.ReadManifest(bytes.NewReader(manifest), func(e objectkey.Entry) error {
			if data, found := w.store.objects[objectkey.Data(part, e.Path)]; !found || sum(data) != e.SHA256 {
				t.Errorf("checkpoint %s: an object is not what its manifest says", told.ID)
			}
			files[e.Path] = e.SHA256
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, files)
	}
	return nodes
}

// shipped are the checkpoints that the broker knows: id -> step.
func shipped(t *testing.T, w *world) map[string]int64 {
	t.Helper()
	got := map[string]int64{}
	for _, told := range w.broker.stored {
		content(t, w, told)
		got[told.ID] = told.Step
	}
	return got
}

// Each case is a trainer that writes checkpoints, and which of them are stored.
func TestCheckpointsAreStored(t *testing.T) {
	t.Parallel()
	minute := time.Minute
	each := func(t *testing.T, w *world, every time.Duration, count int) {
		t.Helper()
		for i := 1; i <= count; i++ {
			w.after(time.Duration(i)*every, func() { w.writes(t, fmt.Sprintf("step-%d", i), model(i)) })
		}
	}
	cases := map[string]struct {
		arrange func(*testing.T, *world)
		want    map[string]int64
		lines   map[string]int
		code    int
	}{
		"none are written": {
			arrange: func(_ *testing.T, w *world) { w.trainsFor(25*minute, 0) }, want: map[string]int64{},
		},
		"the newest at each interval, and at the end": {
			arrange: func(t *testing.T, w *world) { t.Helper(); each(t, w, 3*minute, 8); w.trainsFor(25*minute, 0) },
			want:    map[string]int64{"0001-000001": 3, "0001-000002": 6, "0001-000003": 8},
		},
		"the last one of a trainer that failed": {
			arrange: func(t *testing.T, w *world) { t.Helper(); each(t, w, minute, 3); w.trainsFor(5*minute, 1) },
			want:    map[string]int64{"0001-000001": 3},
		},
		"one that is late is stored soon": {
			arrange: func(t *testing.T, w *world) { t.Helper(); each(t, w, 11*minute, 2); w.trainsFor(23*minute, 0) },
			want:    map[string]int64{"0001-000001": 1, "0001-000002": 2},
		},
		"in another attempt": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.attempt, w.broker.newest = 3, "0002-000009"
				each(t, w, minute, 1)
				w.trainsFor(5*minute, 1)
			},
			want: map[string]int64{"0003-000001": 1},
		},
		"after those that are known": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.broker.newest = "0001-000041"
				each(t, w, minute, 1)
				w.trainsFor(5*minute, 1)
			},
			want: map[string]int64{"0001-000042": 1},
		},
		"not under a name that was begun": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.store.objects[objectkey.CheckpointClaimKey(prefix, "0001-000001")] = nil
				w.store.objects[objectkey.CheckpointClaimKey(prefix, "0001-000002")] = nil
				each(t, w, minute, 1)
				w.trainsFor(5*minute, 1)
			},
			want: map[string]int64{"0001-000003": 1},
		},
		"not what is being written, nor links, nor what is ours": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.after(minute, func() {
					write(t, w.folder, map[string][]byte{
						"checkpoints/.step-9": {1}, "checkpoints/tmp-step-9/x": {1}, "checkpoints/step-9.tmp": {1},
						"checkpoints/step-9.partial/x": {1}, "checkpoints/.lethe-x": {1}, "checkpoints/step-3": {3},
					})
					for _, err := range []error{
						os.Symlink("step-3", filepath.Join(w.folder, "checkpoints", "step-10")),
						syscall.Mkfifo(filepath.Join(w.folder, "checkpoints", "step-11"), 0o600),
						os.Mkdir(filepath.Join(w.folder, "checkpoints", "step-12"), 0o750),
					} {
						if err != nil {
							t.Error(err)
						}
					}
				})
				w.trainsFor(25*minute, 0)
			},
			want: map[string]int64{"0001-000001": 3},
		},
		"not one that changes all the time, but the one before": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.after(minute, func() { w.writes(t, "step-1", model(1)) })
				for i := range 2000 {
					w.after(2*minute+time.Duration(2*i+1)*time.Second/4, func() {
						write(t, w.folder, map[string][]byte{"checkpoints/step-2": noise(i)})
					})
				}
				w.trainsFor(15*minute, 1)
			},
			want: map[string]int64{"0001-000001": 1, "0001-000002": 2},
		},
		"one that is written again under the same name": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.after(minute, func() { w.writes(t, "last", model(1)) })
				w.after(15*minute, func() { w.writes(t, "last", model(2)) })
				w.trainsFor(45*minute, 0)
			},
			want: map[string]int64{"0001-000001": 0, "0001-000002": 0},
		},
		"one of two copies with the same times, once": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.after(minute, func() {
					for _, name := range []string{"best.pt", "last.pt"} {
						write(t, w.folder, map[string][]byte{"checkpoints/" + name: noise(9)})
						at := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
						if err := os.Chtimes(filepath.Join(w.folder, "checkpoints", name), at, at); err != nil {
							t.Error(err)
						}
					}
				})
				w.trainsFor(45*minute, 0)
			},
			want: map[string]int64{"0001-000001": 0},
		},
		"under names that were not begun, by one node where every one writes": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.everyNode = true
				w.store.objects[objectkey.CheckpointClaimKey(prefix, "0001-000001")] = nil
				each(t, w, minute, 3)
				w.trainsFor(5*minute, 1)
			},
			want: map[string]int64{"0001-000002": 3},
		},
		"the store is down for an hour": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				each(t, w, 9*minute, 9)
				start := bubble.Now()
				w.store.faults = func(call) fault {
					if gone := bubble.Since(start); gone > 9*minute && gone < 69*minute {
						return fault{err: objectstore.ErrUnavailable}
					}
					return fault{}
				}
				w.trainsFor(85*minute, 0)
			},
			// The first is under way when the store comes back, the next is overdue.
			want: map[string]int64{"0001-000001": 1, "0001-000002": 7, "0001-000003": 8, "0001-000004": 9},
		},
		"the broker is away when it is told": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				each(t, w, 9*minute, 1)
				start := bubble.Now()
				w.broker.store = func(staging.CheckpointRequest) error {
					if bubble.Since(start) < 30*minute {
						return errors.New("no route to the broker")
					}
					return nil
				}
				w.trainsFor(50*minute, 0)
			},
			want: map[string]int64{"0001-000001": 1},
		},
		"the broker refuses one, and takes it later": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				each(t, w, 9*minute, 1)
				start := bubble.Now()
				w.broker.store = func(staging.CheckpointRequest) error {
					if bubble.Since(start) < 15*minute {
						return problem(http.StatusForbidden, staging.ProblemForbidden)
					}
					return nil
				}
				w.trainsFor(50*minute, 0)
			},
			want: map[string]int64{"0001-000001": 1}, lines: map[string]int{"A checkpoint was not stored": 1},
		},
		"the store refuses all of them": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				each(t, w, 4*minute, 4)
				w.store.faults = func(c call) fault {
					if strings.Contains(c.key, "/checkpoints/") {
						return fault{err: objectstore.ErrDenied}
					}
					return fault{}
				}
				w.trainsFor(25*minute, 0)
			},
			want: map[string]int64{}, lines: map[string]int{"A checkpoint was not stored": 2, "The last checkpoint was not stored": 1},
		},
		"a name can not be stored": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.after(minute, func() { w.writes(t, "step-1", model(1)) })
				w.after(2*minute, func() { w.writes(t, "step-2", map[string][]byte{"secret\n": {}}) })
				w.trainsFor(45*minute, 0)
			},
			want: map[string]int64{"0001-000002": 1}, lines: map[string]int{"can not be stored as it is": 1},
		},
		"the folder leads elsewhere": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				outside := t.TempDir()
				write(t, outside, map[string][]byte{"token": noise(9)})
				if err := os.Symlink(outside, filepath.Join(w.folder, "checkpoints")); err != nil {
					t.Fatal(err)
				}
				w.trainsFor(15*minute, 0)
			},
			want: map[string]int64{},
		},
		"the folder is a file": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				write(t, w.folder, map[string][]byte{"checkpoints": noise(9)})
				w.trainsFor(15*minute, 1)
			},
			want: map[string]int64{},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(folder)
				tc.arrange(t, w)
				report, code := w.stageOut(t.Context())
				if code != tc.code {
					t.Errorf("exit %d: %+v", code, report)
				}
				if diff := cmp.Diff(tc.want, shipped(t, w)); diff != "" {
					t.Errorf("stored (-want +got):\n%s\n%s", diff, w.log.String())
				}
				for text, want := range tc.lines {
					if got := w.lines(text); got != want {
						t.Errorf("%d log lines with %q, want %d:\n%s", got, text, want, w.log.String())
					}
				}
				if strings.Contains(w.log.String(), "secret") {
					t.Errorf("a path leaked:\n%s", w.log.String())
				}
			})
		})
	}
}

func TestACheckpointHasTheNamesThatTheTrainerGave(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		w.writes(t, "step-7", model(7))
		w.trainsFor(time.Minute, 1)
		if report, code := w.stageOut(t.Context()); code != staging.ExitOK || len(w.broker.stored) != 1 {
			t.Fatalf("exit %d: %+v; stored %v", code, report, w.broker.stored)
		}
		want := []map[string]string{sums("step-7", model(7))}
		if diff := cmp.Diff(want, content(t, w, w.broker.stored[0])); diff != "" {
			t.Errorf("checkpoint (-want +got):\n%s", diff)
		}
	})
}

func TestCheckpointsAreNotPublished(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		write(t, folder, artifacts())
		w.writes(t, "step-7", model(7))
		report, code := w.stageOut(t.Context())
		if code != staging.ExitOK || !report.Published {
			t.Fatalf("exit %d: %+v", code, report)
		}
		if diff := cmp.Diff(sums("", artifacts()), published(t, w, report.ManifestDigest)); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]int64{"0001-000001": 7}, shipped(t, w)); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
	})
}

func TestWhatWasRestoredIsNotStoredAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		then func(*testing.T, *world)
		want map[string]int64
	}{
		"unchanged": {then: func(*testing.T, *world) {}, want: map[string]int64{}},
		"changed": {
			then: func(t *testing.T, w *world) {
				t.Helper()
				write(t, w.folder, map[string][]byte{"checkpoints/step-500/more": {1}})
			},
			want: map[string]int64{"0002-000001": 500},
		},
		"another": {
			then: func(t *testing.T, w *world) { t.Helper(); w.writes(t, "step-600", model(6)) },
			want: map[string]int64{"0002-000001": 600},
		},
		"another one at an earlier step": {
			then: func(t *testing.T, w *world) { t.Helper(); w.writes(t, "step-100", model(6)) },
			want: map[string]int64{"0002-000001": 100},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume, folder := t.TempDir(), t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newStart(t, volume, folder, weights(0))
				if report, code := w.stageIn(t.Context()); code != staging.ExitOK {
					t.Fatalf("exit %d: %+v", code, report)
				}
				w.folder, w.attempt = folder, 2
				w.trainsFor(25*time.Minute, 1)
				w.after(time.Minute, func() { tc.then(t, w) })
				if report, code := w.stageOut(t.Context()); code != staging.ExitOK {
					t.Fatalf("exit %d: %+v", code, report)
				}
				if diff := cmp.Diff(tc.want, shipped(t, w)); diff != "" {
					t.Errorf("stored (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A checkpoint that changes while it is uploaded is tried again as it is then.
func TestACheckpointThatChangesMeanwhileIsDiscarded(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testing.T, *world){
		"other bytes": func(t *testing.T, w *world) {
			t.Helper()
			write(t, w.folder, map[string][]byte{"checkpoints/step-1/a": noise(2001)})
		},
		"fewer bytes": func(t *testing.T, w *world) {
			t.Helper()
			write(t, w.folder, map[string][]byte{"checkpoints/step-1/a": noise(1)})
		},
		"another file": func(t *testing.T, w *world) {
			t.Helper()
			write(t, w.folder, map[string][]byte{"checkpoints/step-1/c": noise(5)})
		},
		"a file less": func(t *testing.T, w *world) {
			t.Helper()
			if err := os.Remove(filepath.Join(w.folder, "checkpoints/step-1/b")); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(folder)
				w.writes(t, "step-1", map[string][]byte{"a": noise(2000), "b": noise(30)})
				changed := false
				w.store.faults = func(c call) fault {
					if strings.HasSuffix(c.key, "step-1/a") && !changed {
						changed = true
						change(t, w)
					}
					return fault{}
				}
				w.trainsFor(15*time.Minute, 1)
				if report, code := w.stageOut(t.Context()); code != staging.ExitOK || !changed {
					t.Fatalf("exit %d: %+v", code, report)
				}
				if diff := cmp.Diff(map[string]int64{"0001-000002": 1}, shipped(t, w)); diff != "" {
					t.Fatalf("stored (-want +got):\n%s\n%s", diff, w.log.String())
				}
				want := []map[string]string{tree(t, filepath.Join(folder, "checkpoints"))}
				if diff := cmp.Diff(want, content(t, w, w.broker.stored[0])); diff != "" {
					t.Errorf("checkpoint (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Each case is a pod that is told to stop after 90 s while the trainer runs.
func TestWhenThePodIsToldToStopTheLastCheckpointIsStored(t *testing.T) {
	t.Parallel()
	ninety := 90 * time.Second
	cases := map[string]struct {
		arrange func(*testing.T, *world)
		want    map[string]int64
		code    int
		// most is how long the pod takes from then.
		most time.Duration
	}{
		"one that is there already": {
			arrange: func(t *testing.T, w *world) { t.Helper(); w.writes(t, "step-1", model(1)); w.trainsFor(time.Hour, 0) },
			want:    map[string]int64{"0001-000001": 1}, code: staging.ExitTerminated, most: 26 * time.Second,
		},
		"one that is written then, by a trainer of which nobody hears": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.grace = time.Hour
				w.after(ninety+20*time.Second, func() { w.writes(t, "step-2", model(2)) })
				w.trainsFor(2*time.Hour, 0)
			},
			want: map[string]int64{"0001-000001": 2}, code: staging.ExitTerminated, most: 110 * time.Second,
		},
		"one that is written then, by a trainer that ends": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.writes(t, "step-1", model(1))
				w.after(ninety+19*time.Second, func() { w.writes(t, "step-2", model(2)) })
				w.trainsFor(ninety+20*time.Second, 143)
			},
			want: map[string]int64{"0001-000001": 1, "0001-000002": 2}, most: 24 * time.Second,
		},
		"one that is written then, by a trainer whose output ends": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.grace = time.Hour
				start := bubble.Now()
				w.after(ninety+19*time.Second, func() { w.writes(t, "step-2", model(2)) })
				w.broker.output = func(asked staging.LogRequest) (staging.LogAnswer, error) {
					return staging.LogAnswer{Last: asked.Since, Ended: bubble.Since(start) > ninety+20*time.Second}, nil
				}
				w.trainsFor(time.Hour, 143)
			},
			want: map[string]int64{"0001-000001": 2}, code: staging.ExitTerminated, most: 30 * time.Second,
		},
		"none, of a trainer whose output ends": {
			arrange: func(_ *testing.T, w *world) {
				w.grace = time.Hour
				w.trainsFor(ninety+10*time.Second, 143)
				w.broker.trainer = func(int) (staging.TrainerStatus, error) {
					bubble.Sleep(time.Second)
					return staging.TrainerStatus{}, nil
				}
			},
			want: map[string]int64{}, code: staging.ExitTerminated, most: 20 * time.Second,
		},
		"not for longer than the grace": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.writes(t, "step-1", model(1))
				w.store.faults = func(call) fault { return fault{stall: true} }
				w.trainsFor(time.Hour, 0)
			},
			want: map[string]int64{}, code: staging.ExitTerminated, most: 26 * time.Second,
		},
		"but no artifacts, of a trainer that ends well because of that": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				write(t, w.folder, map[string][]byte{"model": noise(5)})
				w.after(ninety+9*time.Second, func() { w.writes(t, "step-2", model(2)) })
				w.trainsFor(ninety+10*time.Second, 0)
			},
			want: map[string]int64{"0001-000001": 2}, code: staging.ExitTerminated, most: 15 * time.Second,
		},
		"one that is written then, by a trainer whose output only seemed to end": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.grace = time.Hour
				start := bubble.Now()
				w.after(ninety+29*time.Second, func() { w.writes(t, "step-2", model(2)) })
				w.broker.output = func(asked staging.LogRequest) (staging.LogAnswer, error) {
					gone := bubble.Since(start) - ninety
					if gone > 4*time.Second && gone < 20*time.Second {
						return staging.LogAnswer{}, problem(http.StatusServiceUnavailable, staging.ProblemUnavailable)
					}
					return staging.LogAnswer{Last: asked.Since, Ended: gone > 0 && gone <= 4*time.Second || gone > 30*time.Second}, nil
				}
				w.trainsFor(ninety+30*time.Second, 143)
			},
			want: map[string]int64{"0001-000001": 2}, most: 40 * time.Second,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(folder)
				start := bubble.Now()
				w.after(ninety, func() { close(w.terminate) })
				tc.arrange(t, w)
				report, code := w.stageOut(t.Context())
				if code != tc.code {
					t.Errorf("exit %d, want %d: %+v", code, tc.code, report)
				}
				if took := bubble.Since(start) - ninety; took > tc.most {
					t.Errorf("took %s, want %s", took, tc.most)
				}
				if diff := cmp.Diff(tc.want, shipped(t, w)); diff != "" {
					t.Errorf("stored (-want +got):\n%s\n%s", diff, w.log.String())
				}
				if got := w.lines("told to stop"); got != 1 {
					t.Errorf("%d log lines say that the pod is told to stop, want 1", got)
				}
				if _, manifest := w.store.objects[objectkey.Manifest(prefix)]; report.Published || manifest {
					t.Errorf("published: %t, manifest in the store: %t", report.Published, manifest)
				}
			})
		})
	}
}

// A stage-out that is killed at any of its requests and started again keeps what it has
// told the broker: no name is used twice, and each checkpoint is whole.
func TestStageOutThatIsKilledUsesNoNameTwice(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 24; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(folder)
				w.interval = time.Minute
				for i := 1; i <= 4; i++ {
					w.after(time.Duration(i)*50*time.Second, func() { w.writes(t, fmt.Sprintf("step-%d", i), model(i)) })
				}
				w.trainsFor(5*time.Minute, 1)
				ctx, kill := context.WithCancel(t.Context())
				calls := 0
				count := func() {
					if calls++; calls == n {
						kill()
					}
				}
				w.store.faults = func(c call) fault {
					if strings.Contains(c.key, "/checkpoints/") {
						count()
					}
					return fault{}
				}
				// The broker may write down what it answers to nobody.
				w.broker.store = func(staging.CheckpointRequest) error { count(); return nil }
				_, _ = w.stageOut(ctx)
				kill()
				for _, told := range w.broker.stored {
					w.broker.newest = max(w.broker.newest, told.ID)
				}
				if report, code := w.stageOut(t.Context()); code != staging.ExitOK {
					t.Fatalf("exit %d: %+v", code, report)
				}
				names := map[string]bool{}
				for _, told := range w.broker.stored {
					if names[told.ID] {
						t.Errorf("the name %s is used twice", told.ID)
					}
					names[told.ID] = true
					content(t, w, told)
				}
				last := w.broker.stored[len(w.broker.stored)-1]
				if diff := cmp.Diff([]map[string]string{sums("step-4", model(4))}, content(t, w, last)); diff != "" {
					t.Errorf("the newest checkpoint (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestOnlyTheFirstNodeStoresAndPublishes(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		w.node = agent.Node{Index: 1, Count: 2}
		write(t, folder, map[string][]byte{"model": noise(5), "progress.jsonl": []byte("{\"step\":1}\n")})
		w.writes(t, "step-1", model(1))
		w.trainsFor(25*time.Minute, 0)
		report, code := w.stageOut(t.Context())
		if code != staging.ExitOK || report.Published || len(w.broker.stored) > 0 || len(w.broker.told) > 0 {
			t.Errorf("exit %d: %+v; stored %v, told %v", code, report, w.broker.stored, w.broker.told)
		}
		for key := range w.store.objects {
			if !strings.HasPrefix(key, prefix+"logs/attempt-0001/node-1/") {
				t.Errorf("stored %s", key)
			}
		}
		if got := w.lines("The artifacts of this node are not published"); got != 1 {
			t.Errorf("%d log lines about that, want 1:\n%s", got, w.log.String())
		}
	})
}
