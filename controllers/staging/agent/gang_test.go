package agent_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

func TestOneOfSeveralNodesWaitsForTheOthers(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		gang    func(ask int) (staging.GangStatus, error)
		code    int
		message string
		least   time.Duration
	}{
		"all are there": {},
		"one comes late": {
			gang:  func(ask int) (staging.GangStatus, error) { return staging.GangStatus{Ready: ask > 30}, nil },
			least: 30 * time.Second,
		},
		"the operator is away meanwhile": {
			gang: func(ask int) (staging.GangStatus, error) {
				if ask < 20 {
					return staging.GangStatus{}, errors.New("no route to the broker")
				}
				return staging.GangStatus{Ready: true}, nil
			},
			least: time.Minute,
		},
		"the run is deleted meanwhile": {
			gang: func(int) (staging.GangStatus, error) {
				return staging.GangStatus{}, problem(http.StatusGone, staging.ProblemRunEnded)
			},
			code: staging.ExitDenied, message: "(RunEnded)",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(folder)
				w.seal(t, map[string][]byte{"a": noise(5)})
				w.node = agent.Node{Index: 1, Count: 2}
				w.broker.gang = func(ask int) (staging.GangStatus, error) {
					if _, err := os.Stat(filepath.Join(folder, "dataset", "a")); err != nil {
						t.Errorf("asked before the dataset was there: %v", err)
					}
					if tc.gang == nil {
						return staging.GangStatus{Ready: true}, nil
					}
					return tc.gang(ask)
				}
				started := bubble.Now()
				report, code := w.stageIn(t.Context())
				if code != tc.code || !strings.Contains(report.Message, tc.message) {
					t.Errorf("exit %d: %s", code, report.Message)
				}
				if took := bubble.Since(started); took < tc.least {
					t.Errorf("waited %s, want %s", took, tc.least)
				}
			})
		})
	}
}

func TestASingleNodeWaitsForNobody(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		w.seal(t, map[string][]byte{"a": noise(5)})
		if report, code := w.stageIn(t.Context()); code != staging.ExitOK || w.broker.gathered > 0 {
			t.Errorf("exit %d: %s; asked %d times", code, report.Message, w.broker.gathered)
		}
		if diff := cmp.Diff(map[string]string{"dataset/a": sum(noise(5))}, tree(t, folder)); diff != "" {
			t.Errorf("volume (-want +got):\n%s", diff)
		}
	})
}

func TestLaunchersFindTheListOfNodes(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		w.seal(t, map[string][]byte{"a": noise(5)})
		w.node, w.hosts = agent.Node{Index: 1, Count: 2}, []string{"r-0.lethe-r.team.svc", "r-1.lethe-r.team.svc"}
		if report, code := w.stageIn(t.Context()); code != staging.ExitOK {
			t.Fatalf("exit %d: %s", code, report.Message)
		}
		got, err := os.ReadFile(filepath.Join(folder, "run", "hostfile"))
		if err != nil {
			t.Fatal(err)
		}
		want := "r-0.lethe-r.team.svc slots=8\nr-1.lethe-r.team.svc slots=8\n"
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("hostfile (-want +got):\n%s", diff)
		}
	})
}

// The shares of all nodes together are the dataset, and no file is in two of them.
func TestEachNodeGetsItsShareOfTheDataset(t *testing.T) {
	t.Parallel()
	for _, nodes := range []int{1, 2, 3, 7} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			t.Parallel()
			got := map[string]string{}
			for index := range nodes {
				folder := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(folder)
					w.seal(t, dataset())
					w.shard, w.node = true, agent.Node{Index: index, Count: nodes}
					w.free.Bytes = 34 * mib // Room for the large file, and not for more than is there.
					report, code := w.stageIn(t.Context())
					if code != staging.ExitOK {
						t.Fatalf("exit %d: %s", code, report.Message)
					}
					here := tree(t, folder)
					if want := (5 - index + nodes - 1) / nodes; len(here) != want || report.Objects != int64(want) {
						t.Errorf("node %d has %d files and reports %d, want %d", index, len(here), report.Objects, want)
					}
					for path, sum := range here {
						if _, twice := got[path]; twice {
							t.Errorf("%s is in two shares", path)
						}
						got[path] = sum
					}
				})
			}
			if diff := cmp.Diff(sums("dataset", dataset()), got); diff != "" {
				t.Errorf("all shares (-want +got):\n%s", diff)
			}
		})
	}
}

func TestADamagedFileOfAShareIsNamedByItsPlaceInTheManifest(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		w.seal(t, dataset())
		w.shard, w.node = true, agent.Node{Index: 1, Count: 2}
		w.store.faults = func(c call) fault { return fault{flip: c.key == largeKey} }
		report, code := w.stageIn(t.Context())
		if code != staging.ExitDatasetCorrupt || !strings.Contains(report.Message, "file 4 of 5 in manifest order") {
			t.Errorf("exit %d: %s", code, report.Message)
		}
	})
}
