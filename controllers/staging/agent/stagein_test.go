package agent_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

// dataset has a nested, an empty and a large file of three ranges.
var dataset = sync.OnceValue(func() map[string][]byte {
	return map[string][]byte{
		"a-b/secret.csv":    noise(1000),
		"a/deep/secret.bin": noise(300_000),
		"empty":             {},
		"large.bin":         noise(33*mib + 7),
		"z":                 noise(1),
	}
})

const (
	largeKey = prefix + "data/large.bin"
	smallKey = prefix + "data/a/deep/secret.bin"
)

func TestStageInBringsTheDatasetAndNothingElse(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		w.seal(t, dataset())
		report, code := w.stageIn(t.Context())
		want := staging.Report{
			Step: staging.StepStageIn, ManifestDigest: w.broker.digest, Objects: 5, Bytes: 33*mib + 301_008,
		}
		if diff := cmp.Diff(want, report); diff != "" || code != staging.ExitOK {
			t.Errorf("exit %d, report (-want +got):\n%s", code, diff)
		}
		if diff := cmp.Diff(sums("dataset", dataset()), tree(t, folder)); diff != "" {
			t.Errorf("volume (-want +got):\n%s", diff)
		}
		if w.broker.asked != 1 {
			t.Errorf("asked the broker %d times, want 1", w.broker.asked)
		}
	})
}

// Each case ends stage-in. None may leave a dataset, name a file, or hang.
func TestStageInFailsWithACauseAndAnExitCode(t *testing.T) {
	t.Parallel()
	always := func(key string, f fault) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) {
			w.store.faults = func(c call) fault {
				if c.key == key {
					return f
				}
				return fault{}
			}
		}
	}
	replace := func(key string, data []byte) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) { w.store.objects[key] = data }
	}
	manifest := func(lines ...string) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			t.Helper()
			w.pin(t, []byte(strings.Join(append([]string{`{"letheManifest":1}`}, lines...), "\n")+"\n"))
		}
	}
	entry := func(path string) string {
		return fmt.Sprintf(`{"path":%q,"size":0,"sha256":%q}`, path, sum(nil))
	}
	cases := map[string]struct {
		arrange func(*testing.T, *world)
		code    int
		message string
	}{
		"a small object has other bytes": {
			arrange: always(smallKey, fault{flip: true}),
			code:    staging.ExitDatasetCorrupt, message: "file 2 of 5 in manifest order is not what was sealed",
		},
		"a large object has other bytes": {
			arrange: always(largeKey, fault{flip: true}),
			code:    staging.ExitDatasetCorrupt, message: "file 4 of 5 in manifest order is not what was sealed",
		},
		"a small object is truncated": {
			arrange: replace(smallKey, noise(300_000)[:299_999]),
			code:    staging.ExitDatasetCorrupt, message: "file 2 of 5",
		},
		"a small object is longer": {
			arrange: replace(smallKey, append(noise(300_000), 0)),
			code:    staging.ExitDatasetCorrupt, message: "file 2 of 5",
		},
		"a large object is truncated": {
			arrange: replace(largeKey, noise(33*mib)),
			code:    staging.ExitDatasetCorrupt, message: "file 4 of 5",
		},
		"a large object lost whole ranges": {
			arrange: replace(largeKey, noise(mib)),
			code:    staging.ExitDatasetCorrupt, message: "file 4 of 5",
		},
		"a small object is missing": {
			arrange: func(_ *testing.T, w *world) { delete(w.store.objects, smallKey) },
			code:    staging.ExitDatasetCorrupt, message: "file 2 of 5 in manifest order is missing",
		},
		"a large object is missing": {
			arrange: func(_ *testing.T, w *world) { delete(w.store.objects, largeKey) },
			code:    staging.ExitDatasetCorrupt, message: "file 4 of 5 in manifest order is missing",
		},
		"an object is missing because the dataset is being erased": {
			arrange: func(_ *testing.T, w *world) {
				delete(w.store.objects, smallKey)
				w.broker.refuse = func(ask int) error {
					if ask == 1 {
						return nil
					}
					return problem(http.StatusGone, staging.ProblemDatasetErasing)
				}
			},
			code: staging.ExitDenied, message: "The operator refused: said the broker (DatasetErasing).",
		},
		"the manifest is missing": {
			arrange: func(_ *testing.T, w *world) { delete(w.store.objects, objectkey.Manifest(prefix)) },
			code:    staging.ExitDatasetCorrupt, message: "manifest is missing",
		},
		"the manifest is another one than was sealed": {
			arrange: replace(objectkey.Manifest(prefix), []byte(`{"letheManifest":1}`+"\n"+entry("x")+"\n")),
			code:    staging.ExitDatasetCorrupt, message: "not the one that was sealed",
		},
		"the manifest is empty": {
			arrange: manifest(), code: staging.ExitDatasetCorrupt, message: "The dataset is empty",
		},
		"the manifest is not sealed": {
			arrange: func(_ *testing.T, w *world) { w.broker.digest = "" },
			code:    staging.ExitDenied, message: "Seal the dataset",
		},
		"a path leads out of the folder": {
			arrange: manifest(entry("../secret")), code: staging.ExitDatasetCorrupt, message: "entry 1",
		},
		"a path leads out of the folder on its way": {
			arrange: manifest(entry("a"), entry("b/../../secret")), code: staging.ExitDatasetCorrupt, message: "entry 2",
		},
		"a path is absolute": {
			arrange: manifest(entry("/etc/secret")), code: staging.ExitDatasetCorrupt, message: "entry 1",
		},
		"a file and a folder have one name": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.seal(t, map[string][]byte{"secret": {}, "secret/x": {}})
			},
			code: staging.ExitIOError, message: "Could not ",
		},
		"the volume is too small": {
			arrange: func(_ *testing.T, w *world) { w.free.Bytes = 33 * mib },
			code:    staging.ExitDiskFull, message: "The dataset needs 33.3 MiB more on its volume, which has 33.0 MiB left.",
		},
		"the volume has too few inodes": {
			arrange: func(_ *testing.T, w *world) { w.free.Files = 4 },
			code:    staging.ExitDiskFull, message: "has 5 files and its volume has room for 4",
		},
		"the broker refuses": {
			arrange: func(_ *testing.T, w *world) {
				w.broker.refuse = func(int) error { return problem(http.StatusForbidden, staging.ProblemForbidden) }
			},
			code: staging.ExitDenied, message: "The operator refused: said the broker (Forbidden).",
		},
		"the store refuses fresh credentials": {
			arrange: func(_ *testing.T, w *world) { w.store.accepts = func(string) bool { return false } },
			code:    staging.ExitDenied, message: "The store refused credentials",
		},
		"the store stays away": {
			arrange: always(smallKey, fault{err: objectstore.ErrUnavailable}),
			code:    staging.ExitUnavailable, message: "The store stayed away for 6h0m0s (store is unavailable)",
		},
		"the broker stays away": {
			arrange: func(_ *testing.T, w *world) {
				w.patience = time.Hour
				w.broker.refuse = func(int) error { return problem(http.StatusServiceUnavailable, staging.ProblemUnavailable) }
			},
			code: staging.ExitUnavailable, message: "The broker stayed away for 1h0m0s",
		},
		"the volume is not mounted": {
			arrange: func(_ *testing.T, w *world) { w.folder = filepath.Join(w.folder, "none") },
			code:    staging.ExitUsage, message: "must be mounted",
		},
		"the dataset's folder is in use": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				write(t, w.folder, map[string][]byte{"dataset/x": {}, ".stage-in/files/y": {}})
			},
			code: staging.ExitIOError, message: "prepare the dataset's volume",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(folder)
				w.seal(t, dataset())
				tc.arrange(t, w)
				report, code := w.stageIn(t.Context())
				if code != tc.code || !strings.Contains(report.Message, tc.message) {
					t.Errorf("exit %d: %q, want %d: %q", code, report.Message, tc.code, tc.message)
				}
				if strings.Contains(report.Message+w.log.String(), "secret") {
					t.Errorf("a path leaked: %s\n%s", report.Message, w.log.String())
				}
				if _, err := os.Stat(filepath.Join(folder, "dataset", "z")); err == nil {
					t.Error("a part of the dataset is there")
				}
			})
		})
	}
}

// Each case is a fault that passes; the dataset must arrive whole.
func TestStageInOutlivesFaults(t *testing.T) {
	t.Parallel()
	first := func(key string, tries int, f fault) func(*world) {
		return func(w *world) {
			w.store.faults = func(c call) fault {
				if c.key == key && c.try <= tries {
					return f
				}
				return fault{}
			}
		}
	}
	during := func(d time.Duration, set func(w *world, down func() bool)) func(*world) {
		return func(w *world) {
			end := bubble.Now().Add(d)
			set(w, func() bool { return bubble.Now().Before(end) })
		}
	}
	cases := map[string]struct {
		arrange func(*world)
		log     map[string]int // text -> lines with it
	}{
		"a small object is torn":       {arrange: first(smallKey, 3, fault{tear: 100_000})},
		"a large object is torn":       {arrange: first(largeKey, 20, fault{tear: 3 * mib})},
		"a small object is wrong once": {arrange: first(smallKey, 1, fault{flip: true})},
		"a large object is wrong once": {arrange: first(largeKey, 1, fault{flip: true})},
		"the manifest is wrong once":   {arrange: first(objectkey.Manifest(prefix), 1, fault{flip: true})},
		"the manifest is torn":         {arrange: first(objectkey.Manifest(prefix), 2, fault{tear: 100})},
		"a small object stalls":        {arrange: first(smallKey, 2, fault{stall: true})},
		"a range stalls":               {arrange: first(largeKey, 2, fault{stall: true})},
		"everything is slow": {arrange: func(w *world) {
			w.store.faults = func(call) fault { return fault{slow: 50 * time.Second} }
		}},
		"the store is down for hours": {
			arrange: during(5*time.Hour, func(w *world, down func() bool) {
				w.store.faults = func(call) fault {
					if down() {
						return fault{err: objectstore.ErrUnavailable}
					}
					return fault{}
				}
			}),
			log: map[string]int{"The store does not answer": 1, "The store answers again": 1},
		},
		"the store goes down between the files": {
			arrange: func(w *world) {
				var down, up time.Time
				w.store.faults = func(c call) fault {
					if c.key == smallKey && down.IsZero() {
						down = bubble.Now()
						up = down.Add(time.Hour)
					}
					if !down.IsZero() && bubble.Now().Before(up) {
						return fault{err: objectstore.ErrUnavailable}
					}
					return fault{}
				}
			},
			log: map[string]int{"The store does not answer": 1, "The store answers again": 1},
		},
		"the operator is away at first": {
			arrange: during(time.Hour, func(w *world, down func() bool) {
				w.broker.refuse = func(int) error {
					if down() {
						return fmt.Errorf("ask the broker: %w", context.DeadlineExceeded)
					}
					return nil
				}
			}),
			log: map[string]int{"The broker does not answer": 1, "The broker answers again": 1},
		},
		"the dataset is too new": {
			arrange: during(3*time.Second, func(w *world, down func() bool) {
				w.broker.refuse = func(int) error {
					if down() {
						return problem(http.StatusConflict, staging.ProblemNotYet)
					}
					return nil
				}
			}),
			log: map[string]int{"said the broker": 1},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(folder)
				w.seal(t, dataset())
				tc.arrange(w)
				if report, code := w.stageIn(t.Context()); code != staging.ExitOK {
					t.Fatalf("exit %d: %s\n%s", code, report.Message, w.log.String())
				}
				if diff := cmp.Diff(sums("dataset", dataset()), tree(t, folder)); diff != "" {
					t.Errorf("volume (-want +got):\n%s", diff)
				}
				for text, want := range tc.log {
					if got := w.lines(text); got != want {
						t.Errorf("%d log lines with %q, want %d:\n%s", got, text, want, w.log.String())
					}
				}
			})
		})
	}
}

func TestTornRangesGoOnWhereTheyBroke(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		w.seal(t, map[string][]byte{"large.bin": noise(17 * mib)})
		w.store.faults = func(c call) fault {
			if c.key == largeKey && c.offset == 0 {
				return fault{tear: 15 * mib}
			}
			return fault{}
		}
		if report, code := w.stageIn(t.Context()); code != staging.ExitOK {
			t.Fatalf("exit %d: %s", code, report.Message)
		}
		for _, c := range w.store.calls {
			if c.key == largeKey && c.offset == 15*mib && c.length == mib {
				return
			}
		}
		t.Errorf("no call for the rest of the range: %+v", w.store.calls)
	})
}

// The buffers of all large files together are as many as the ranges of one at once.
func TestLargeFilesShareTheirBuffers(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		files := map[string][]byte{}
		for i := range 4 {
			files[fmt.Sprintf("large-%d", i)] = noise(65*mib + i)
		}
		w.seal(t, files)
		w.parallel = agent.Parallel{Large: 2}
		w.store.faults = func(call) fault { return fault{slow: time.Millisecond} }
		if report, code := w.stageIn(t.Context()); code != staging.ExitOK {
			t.Fatalf("exit %d: %s", code, report.Message)
		}
		if diff := cmp.Diff(sums("dataset", files), tree(t, folder)); diff != "" {
			t.Errorf("volume (-want +got):\n%s", diff)
		}
		if w.store.most > 4 {
			t.Errorf("%d transfers at once, want at most 4", w.store.most)
		}
	})
}

func TestStageInStopsWhenToldTo(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		w.seal(t, dataset())
		w.store.faults = func(c call) fault { return fault{stall: c.key == largeKey} }
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute/2, nil)
		defer cancel()
		stopped, stop := context.WithCancel(t.Context())
		context.AfterFunc(ctx, stop)
		if report, code := w.stageIn(stopped); code != staging.ExitTerminated || report.Message == "" {
			t.Errorf("exit %d: %q, want %d", code, report.Message, staging.ExitTerminated)
		}
	})
}

func TestThousandsOfSmallFilesStayWithinThePool(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		files := map[string][]byte{}
		for i := range 3000 {
			files[fmt.Sprintf("%02d/%04d", i%50, i)] = noise(i % 100)
		}
		w.seal(t, files)
		w.parallel = agent.Parallel{Small: 8}
		w.store.faults = func(call) fault { return fault{slow: time.Millisecond} }
		if report, code := w.stageIn(t.Context()); code != staging.ExitOK || report.Objects != 3000 {
			t.Fatalf("exit %d: %+v", code, report)
		}
		if diff := cmp.Diff(sums("dataset", files), tree(t, folder)); diff != "" {
			t.Errorf("volume (-want +got):\n%s", diff)
		}
		if w.store.most != 8 {
			t.Errorf("%d transfers at once, want 8", w.store.most)
		}
		if got := w.store.count("get", ""); got != 3001 {
			t.Errorf("%d requests, want one per file and one for the manifest", got)
		}
	})
}
