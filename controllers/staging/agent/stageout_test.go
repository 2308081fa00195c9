package agent_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

var artifacts = sync.OnceValue(func() map[string][]byte {
	return map[string][]byte{
		"model.bin":        noise(17*mib + 3),
		"notes/secret.ckp": noise(70_000),
		"notes-old":        noise(3),
		"empty":            {},
	}
})

// published reads the store as somebody would who downloads a run: the manifest and
// the files that it lists, each verified.
func published(t *testing.T, w *world, digest string) map[string]string {
	t.Helper()
	manifest := w.store.objects[objectkey.Manifest(prefix)]
	got := map[string]string{}
	sealed, err := objectkey.ReadManifest(bytes.NewReader(manifest), func(e objectkey.Entry) error {
		data, found := w.store.objects[objectkey.Data(prefix, e.Path)]
		if !found || int64(len(data)) != e.Size || sum(data) != e.SHA256 {
			return fmt.Errorf("object %q is not what the manifest says", e.Path)
		}
		got[e.Path] = e.SHA256
		return nil
	})
	if err != nil {
		t.Fatalf("read the published artifacts: %v", err)
	}
	if sealed.Digest != digest {
		t.Errorf("digest of the manifest: %s, reported %s", sealed.Digest, digest)
	}
	return got
}

// Each case ends with everything published.
func TestStageOutPublishesWhatTheTrainerLeft(t *testing.T) {
	t.Parallel()
	hour := time.Hour
	cases := map[string]struct {
		files   map[string][]byte
		arrange func(*testing.T, *world)
		message string
		lines   map[string]int
	}{
		"all files": {files: artifacts()},
		"nothing":   {files: map[string][]byte{}},
		"a torn upload": {files: artifacts(), arrange: func(_ *testing.T, w *world) {
			w.store.faults = func(c call) fault {
				if c.try <= 3 {
					return fault{tear: 50_000}
				}
				return fault{}
			}
		}},
		"a stalled upload": {files: artifacts(), arrange: func(_ *testing.T, w *world) {
			w.store.faults = func(c call) fault { return fault{stall: c.try == 1} }
		}},
		"the store is down for hours": {
			files: artifacts(),
			arrange: func(_ *testing.T, w *world) {
				up := bubble.Now().Add(20 * hour)
				w.store.faults = func(call) fault {
					if bubble.Now().Before(up) {
						return fault{err: objectstore.ErrUnavailable}
					}
					return fault{}
				}
			},
			lines: map[string]int{"The store does not answer": 1, "The store answers again": 1},
		},
		"the operator is away while the trainer runs": {
			files: artifacts(),
			arrange: func(_ *testing.T, w *world) {
				start := bubble.Now()
				w.broker.trainer = func(int) (staging.TrainerStatus, error) {
					switch gone := bubble.Since(start); {
					case gone < hour || gone > 5*hour && gone < 6*hour:
						bubble.Sleep(staging.TrainerWait)
						return staging.TrainerStatus{}, nil
					case gone < 5*hour:
						return staging.TrainerStatus{}, problem(http.StatusBadGateway, "")
					}
					return staging.TrainerStatus{Ended: true}, nil
				}
			},
			lines: map[string]int{"The broker does not answer": 1, "The broker answers again": 1},
		},
		"links, pipes and their targets": {
			files: artifacts(),
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				outside := t.TempDir()
				write(t, outside, map[string][]byte{"mine": noise(5)})
				for name, target := range map[string]string{
					"inside": "empty", "outside": filepath.Join(outside, "mine"), "notes/folder": outside,
				} {
					if err := os.Symlink(target, filepath.Join(w.folder, name)); err != nil {
						t.Fatal(err)
					}
				}
				if err := syscall.Mkfifo(filepath.Join(w.folder, "pipe"), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			message: "4 symbolic links and special files were not published.",
		},
		"told to stop with time enough": {
			files: artifacts(),
			arrange: func(_ *testing.T, w *world) {
				time.AfterFunc(time.Second, func() { close(w.terminate) })
				w.store.faults = func(call) fault { return fault{slow: 2 * time.Second} }
			},
			lines: map[string]int{"told to stop": 1},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(folder)
				write(t, folder, tc.files)
				if tc.arrange != nil {
					tc.arrange(t, w)
				}
				report, code := w.stageOut(t.Context())
				if code != staging.ExitOK || !report.Published || report.Message != tc.message {
					t.Fatalf("exit %d: %+v\n%s", code, report, w.log.String())
				}
				if report.Objects != int64(len(tc.files)) {
					t.Errorf("%d objects reported, want %d", report.Objects, len(tc.files))
				}
				if diff := cmp.Diff(sums("", tc.files), published(t, w, report.ManifestDigest)); diff != "" {
					t.Errorf("published (-want +got):\n%s", diff)
				}
				if last := w.store.order[len(w.store.order)-1]; last != objectkey.Manifest(prefix) {
					t.Errorf("the manifest was not the last object but %s", last)
				}
				for text, want := range tc.lines {
					if got := w.lines(text); got != want {
						t.Errorf("%d log lines with %q, want %d:\n%s", got, text, want, w.log.String())
					}
				}
			})
		})
	}
}

func TestStageOutAsksForCredentialsOnlyAfterTheTrainersEnd(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		write(t, folder, artifacts())
		w.broker.trainer = func(ask int) (staging.TrainerStatus, error) {
			if w.broker.asked > 0 {
				t.Error("credentials were asked for while the trainer ran")
			}
			return staging.TrainerStatus{Ended: ask > 60}, nil
		}
		start := bubble.Now()
		if report, code := w.stageOut(t.Context()); code != staging.ExitOK {
			t.Fatalf("exit %d: %+v", code, report)
		}
		if took := bubble.Since(start); took < time.Minute {
			t.Errorf("asked 60 times in %s", took)
		}
	})
}

func TestAFailedTrainerPublishesNothing(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		write(t, folder, artifacts())
		w.broker.trainer = func(int) (staging.TrainerStatus, error) {
			return staging.TrainerStatus{Ended: true, ExitCode: 3}, nil
		}
		report, code := w.stageOut(t.Context())
		if diff := cmp.Diff(staging.Report{Step: staging.StepStageOut}, report); diff != "" || code != staging.ExitOK {
			t.Errorf("exit %d, report (-want +got):\n%s", code, diff)
		}
		if len(w.store.calls) > 0 || w.broker.asked > 0 {
			t.Error("asked for credentials or for the store")
		}
	})
}

// Each case ends stage-out without a manifest in the store.
func TestStageOutFailsWithACauseAndAnExitCode(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		arrange func(*testing.T, *world)
		code    int
		message string
	}{
		"a name can not be stored": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				write(t, w.folder, map[string][]byte{"secret\n": {}})
			},
			code: staging.ExitIOError, message: "control character",
		},
		"folders without end": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				write(t, w.folder, map[string][]byte{strings.Repeat("d/", 129) + "secret": {}})
			},
			code: staging.ExitIOError, message: "pack them into archives",
		},
		"a file changes while it is uploaded": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.store.faults = func(c call) fault {
					if strings.HasSuffix(c.key, "secret.ckp") {
						write(t, w.folder, map[string][]byte{"notes/secret.ckp": noise(70_001)})
					}
					return fault{}
				}
			},
			code: staging.ExitIOError, message: "An artifact changed",
		},
		"a file shrinks while it is uploaded": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.store.faults = func(c call) fault {
					if strings.HasSuffix(c.key, "secret.ckp") {
						write(t, w.folder, map[string][]byte{"notes/secret.ckp": noise(10)})
					}
					return fault{}
				}
			},
			code: staging.ExitIOError, message: "An artifact changed",
		},
		"the folder is missing": {
			arrange: func(_ *testing.T, w *world) { w.folder = filepath.Join(w.folder, "none") },
			code:    staging.ExitIOError, message: "read the artifacts: no such file or directory",
		},
		"the store refuses fresh credentials": {
			arrange: func(_ *testing.T, w *world) { w.store.accepts = func(string) bool { return false } },
			code:    staging.ExitDenied, message: "The store refused credentials",
		},
		"the run is deleted while the trainer runs": {
			arrange: func(_ *testing.T, w *world) {
				w.broker.trainer = func(int) (staging.TrainerStatus, error) {
					return staging.TrainerStatus{}, problem(http.StatusGone, staging.ProblemRunEnded)
				}
			},
			code: staging.ExitDenied, message: "(RunEnded)",
		},
		"the store stays away": {
			arrange: func(_ *testing.T, w *world) {
				w.store.faults = func(call) fault { return fault{err: objectstore.ErrUnavailable} }
			},
			code: staging.ExitUnavailable, message: "The store stayed away for 24h0m0s",
		},
		"told to stop while the trainer runs": {
			arrange: func(_ *testing.T, w *world) {
				close(w.terminate)
				w.broker.trainer = func(int) (staging.TrainerStatus, error) { return staging.TrainerStatus{}, nil }
			},
			code: staging.ExitTerminated, message: "told to stop",
		},
		"told to stop without time enough": {
			arrange: func(_ *testing.T, w *world) {
				time.AfterFunc(time.Second, func() { close(w.terminate) })
				w.store.faults = func(call) fault { return fault{slow: 40 * time.Second} }
			},
			code: staging.ExitTerminated, message: "told to stop",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(folder)
				write(t, folder, artifacts())
				tc.arrange(t, w)
				report, code := w.stageOut(t.Context())
				if code != tc.code || !strings.Contains(report.Message, tc.message) || report.Published {
					t.Errorf("exit %d: %q, want %d: %q", code, report.Message, tc.code, tc.message)
				}
				if _, found := w.store.objects[objectkey.Manifest(prefix)]; found {
					t.Error("the manifest is in the store")
				}
				if strings.Contains(report.Message+w.log.String(), "secret") {
					t.Errorf("a path leaked: %s\n%s", report.Message, w.log.String())
				}
			})
		})
	}
}

func TestManySmallArtifactsStayWithinThePool(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	files := map[string][]byte{}
	for i := range 2000 {
		files[fmt.Sprintf("%02d/%04d", i%50, i)] = noise(i % 100)
	}
	write(t, folder, files)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		w.parallel = agent.Parallel{Small: 8}
		w.store.faults = func(call) fault { return fault{slow: time.Millisecond} }
		report, code := w.stageOut(context.WithoutCancel(t.Context()))
		if code != staging.ExitOK || report.Objects != 2000 {
			t.Fatalf("exit %d: %+v", code, report)
		}
		if diff := cmp.Diff(sums("", files), published(t, w, report.ManifestDigest)); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
		if w.store.most != 8 {
			t.Errorf("%d transfers at once, want 8", w.store.most)
		}
	})
}
