package agent_test

import (
	"context"
	"fmt"
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

// team is a run on several nodes, each of which writes a part of every checkpoint.
type team struct {
	nodes []*world
}

func newTeam(folders ...string) *team {
	tm := &team{}
	for i, folder := range folders {
		w := newWorld(folder)
		w.everyNode, w.node = true, agent.Node{Index: i, Count: len(folders)}
		if i > 0 {
			w.store = tm.nodes[0].store
		}
		tm.nodes = append(tm.nodes, w)
	}
	return tm
}

// writes lets each node write its part, some seconds after the one before.
func (tm *team) writes(t *testing.T, at time.Duration, step int) {
	t.Helper()
	for i, w := range tm.nodes {
		w.after(at+time.Duration(i)*4*time.Second, func() { w.writes(t, fmt.Sprintf("rank-%d-step-%d", i, step), partOf(i, step)) })
	}
}

func partOf(node, step int) map[string][]byte {
	return map[string][]byte{"shard.bin": noise(100*step + node)}
}

func (tm *team) trainsFor(d time.Duration, code int32) {
	for _, w := range tm.nodes {
		w.trainsFor(d, code)
	}
}

// stageOut does it on all nodes at once.
func (tm *team) stageOut(ctx context.Context, t *testing.T) []int {
	t.Helper()
	codes := make([]int, len(tm.nodes))
	var group sync.WaitGroup
	for i, w := range tm.nodes {
		group.Go(func() { _, codes[i] = w.stageOut(ctx) })
	}
	group.Wait()
	return codes
}

// whole checks that a checkpoint has the part of each node.
func (tm *team) whole(t *testing.T, told staging.CheckpointRequest) {
	t.Helper()
	var want []map[string]string
	for i := range tm.nodes {
		want = append(want, sums(fmt.Sprintf("rank-%d-step-%d", i, told.Step), partOf(i, int(told.Step))))
	}
	if diff := cmp.Diff(want, content(t, tm.nodes[0], told)); diff != "" {
		t.Errorf("checkpoint %s (-want +got):\n%s", told.ID, diff)
	}
}

func TestWhereEveryNodeWritesACheckpointHasAllParts(t *testing.T) {
	t.Parallel()
	minute := time.Minute
	cases := map[string]struct {
		arrange func(*testing.T, *team)
		want    map[string]int64
		lines   map[string]int // in the first node's log
		codes   []int
	}{
		"at each interval, and at the end": {
			arrange: func(t *testing.T, tm *team) {
				t.Helper()
				for i := 1; i <= 6; i++ {
					tm.writes(t, time.Duration(i)*4*minute-10*time.Second, i*100)
				}
				tm.trainsFor(25*minute, 0)
			},
			want: map[string]int64{"0001-000200": 200, "0001-000500": 500, "0001-000600": 600},
		},
		"at the end of trainers that failed": {
			arrange: func(t *testing.T, tm *team) { t.Helper(); tm.writes(t, minute, 100); tm.trainsFor(2*minute, 1) },
			want:    map[string]int64{"0001-000100": 100},
		},
		"not one that a node lacks, but the next": {
			arrange: func(t *testing.T, tm *team) {
				t.Helper()
				first := tm.nodes[0]
				first.after(9*minute, func() { first.writes(t, "rank-0-step-100", partOf(0, 100)) })
				tm.writes(t, 15*minute, 200)
				tm.trainsFor(45*minute, 0)
			},
			want: map[string]int64{"0001-000200": 200}, lines: map[string]int{"A checkpoint was not stored": 1},
		},
		"not without a step": {
			arrange: func(t *testing.T, tm *team) {
				t.Helper()
				for i, w := range tm.nodes {
					w.after(minute, func() { w.writes(t, "last", partOf(i, 1)); w.writes(t, "step-1000000", partOf(i, 1)) })
				}
				tm.trainsFor(15*minute, 0)
			},
			want: map[string]int64{}, lines: map[string]int{"must end with the step": 1},
		},
		"not of a step before one that is stored": {
			arrange: func(t *testing.T, tm *team) {
				t.Helper()
				tm.writes(t, minute, 500)
				tm.writes(t, 15*minute, 400)
				tm.trainsFor(25*minute, 0)
			},
			want: map[string]int64{"0001-000500": 500},
		},
		"when the pods are told to stop": {
			arrange: func(t *testing.T, tm *team) {
				t.Helper()
				tm.writes(t, 5*minute+2*time.Second, 100)
				for _, w := range tm.nodes {
					w.after(5*minute, func() { close(w.terminate) })
				}
				tm.trainsFor(5*minute+12*time.Second, 143)
			},
			want: map[string]int64{"0001-000100": 100},
		},
		"when the pods are told to stop, by trainers of which nobody hears": {
			arrange: func(t *testing.T, tm *team) {
				t.Helper()
				tm.writes(t, 5*minute+2*time.Second, 100)
				for _, w := range tm.nodes {
					w.grace = time.Hour
					w.after(5*minute, func() { close(w.terminate) })
					w.broker.output = func(asked staging.LogRequest) (staging.LogAnswer, error) {
						return staging.LogAnswer{Last: asked.Since}, nil
					}
				}
				tm.trainsFor(2*time.Hour, 143)
			},
			want: map[string]int64{"0001-000100": 100}, codes: []int{143, 143, 143},
		},
		"the store is down for a while": {
			arrange: func(t *testing.T, tm *team) {
				t.Helper()
				tm.writes(t, 9*minute, 100)
				start := bubble.Now()
				tm.nodes[0].store.faults = func(call) fault {
					if gone := bubble.Since(start); gone > 10*minute && gone < 12*minute {
						return fault{err: objectstore.ErrUnavailable}
					}
					return fault{}
				}
				tm.trainsFor(25*minute, 1)
			},
			want: map[string]int64{"0001-000100": 100},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folders := []string{t.TempDir(), t.TempDir(), t.TempDir()}
			synctest.Test(t, func(t *testing.T) {
				tm := newTeam(folders...)
				tc.arrange(t, tm)
				if tc.codes == nil {
					tc.codes = []int{0, 0, 0}
				}
				if diff := cmp.Diff(tc.codes, tm.stageOut(t.Context(), t)); diff != "" {
					t.Errorf("exit codes (-want +got):\n%s\n%s", diff, tm.nodes[1].log.String())
				}
				first := tm.nodes[0]
				if diff := cmp.Diff(tc.want, shipped(t, first)); diff != "" {
					t.Errorf("stored (-want +got):\n%s\n%s\n%s", diff, first.log.String(), tm.nodes[1].log.String())
				}
				for _, told := range first.broker.stored {
					tm.whole(t, told)
				}
				for _, w := range tm.nodes[1:] {
					if len(w.broker.stored) > 0 {
						t.Error("another node than the first told of a checkpoint")
					}
				}
				for text, want := range tc.lines {
					if got := first.lines(text); got != want {
						t.Errorf("%d log lines with %q, want %d:\n%s", got, text, want, first.log.String())
					}
				}
			})
		})
	}
}

func TestANodeStoresNoPartWithoutAStep(t *testing.T) {
	t.Parallel()
	folders := []string{t.TempDir(), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		tm := newTeam(folders...)
		other := tm.nodes[1]
		other.writes(t, "step-100", partOf(1, 100))
		other.writes(t, "last", partOf(1, 100))
		tm.trainsFor(time.Minute, 0)
		if diff := cmp.Diff([]int{0, 0}, tm.stageOut(t.Context(), t)); diff != "" {
			t.Errorf("exit codes (-want +got):\n%s", diff)
		}
		part := objectkey.CheckpointPart(prefix, objectkey.CheckpointID(1, 100), 1)
		for key := range other.store.objects {
			if id, ok := objectkey.CheckpointOf(prefix, key); ok && !strings.HasPrefix(key, part) {
				t.Errorf("stored %s of %s", key, id)
			}
		}
		if _, found := other.store.objects[objectkey.Manifest(part)]; !found {
			t.Error("the part with a step is missing")
		}
	})
}

// The stage-out of each node may be killed at any of its requests and started again.
func TestWhereEveryNodeWritesAKilledStageOutGoesOn(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 16; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			folders := []string{t.TempDir(), t.TempDir()}
			synctest.Test(t, func(t *testing.T) {
				tm := newTeam(folders...)
				first := tm.nodes[0]
				tm.writes(t, 9*time.Minute, 100)
				tm.writes(t, 19*time.Minute, 200)
				tm.trainsFor(25*time.Minute, 1)
				ctx, kill := context.WithCancel(t.Context())
				calls := 0
				first.store.faults = func(c call) fault {
					if strings.Contains(c.key, "/checkpoints/") {
						if calls++; calls == n {
							kill()
						}
					}
					return fault{}
				}
				var group sync.WaitGroup
				for _, w := range tm.nodes {
					group.Go(func() {
						_, _ = w.stageOut(ctx)
						if _, code := w.stageOut(t.Context()); code != staging.ExitOK {
							t.Errorf("exit %d", code)
						}
					})
				}
				group.Wait()
				kill()
				digests := map[string]string{}
				for _, told := range first.broker.stored {
					tm.whole(t, told)
					if known, twice := digests[told.ID]; twice && known != told.Digest {
						t.Errorf("checkpoint %s was told with two digests", told.ID)
					}
					digests[told.ID] = told.Digest
				}
				if digests[objectkey.CheckpointID(1, 200)] == "" {
					t.Errorf("the newest is missing: %v\n%s", digests, first.log.String())
				}
			})
		})
	}
}
