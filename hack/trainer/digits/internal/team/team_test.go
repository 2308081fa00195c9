package team_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/team"
)

// address is one that nobody listens on at the moment.
func address(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }() // only its number was wanted
	return listener.Addr().String()
}

// teams makes one for each greeting and lets them meet.
func teams(t *testing.T, greetings ...string) ([]*team.Team, []error) {
	t.Helper()
	at := address(t)
	made, errs := make([]*team.Team, len(greetings)), make([]error, len(greetings))
	var all sync.WaitGroup
	for i, greeting := range greetings {
		made[i] = team.New(team.Place{Index: i, Count: len(greetings), Address: at, MeetLimit: 10 * time.Second, StepLimit: 10 * time.Second})
		t.Cleanup(made[i].Close)
		all.Go(func() { errs[i] = made[i].Meet(t.Context(), greeting) })
	}
	all.Wait()
	return made, errs
}

func met(t *testing.T, nodes int) []*team.Team {
	t.Helper()
	made, errs := teams(t, make([]string, nodes)...)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return made
}

func TestEveryNodeGetsTheSameSum(t *testing.T) {
	t.Parallel()
	nodes := met(t, 3)
	for step := range 3 {
		got, stops := make([][][]float64, 3), make([]bool, 3)
		var all sync.WaitGroup
		for i, node := range nodes {
			got[i] = [][]float64{{float64(i), 0.1}, {}, {float64(10 * step)}}
			all.Go(func() {
				var err error
				if stops[i], err = node.Sum(got[i], step == 2 && i == 1); err != nil {
					t.Errorf("step %d, node %d: %v", step, i, err)
				}
			})
		}
		all.Wait()
		tenths := 0.1 // Added up as the nodes do, one after the other.
		tenths += 0.1
		tenths += 0.1
		want := [][]float64{{3, tenths}, {}, {float64(30 * step)}}
		for i := range nodes {
			if diff := cmp.Diff(want, got[i]); diff != "" {
				t.Errorf("step %d, node %d (-want +got):\n%s", step, i, diff)
			}
			if stops[i] != (step == 2) {
				t.Errorf("step %d, node %d: stop is %t", step, i, stops[i])
			}
		}
	}
}

func TestNodesThatDifferDoNotTrain(t *testing.T) {
	t.Parallel()
	_, errs := teams(t, "step 30", "step 30", "step 60")
	for i, err := range errs {
		if !errors.Is(err, team.ErrDiffer) || !strings.Contains(err.Error(), `node 2 says "step 60"`) {
			t.Errorf("node %d: %v, want %v and who differs", i, err, team.ErrDiffer)
		}
	}
}

func TestLostNodeIsAnErrorForAllOthers(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]int{"node 0": 0, "another node": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nodes := met(t, 3)
			nodes[gone].Close()
			var all sync.WaitGroup
			for i, node := range nodes {
				if i == gone {
					continue
				}
				all.Go(func() {
					defer node.Close() // as a process that fails does
					if _, err := node.Sum([][]float64{{1}}, false); !errors.Is(err, team.ErrLost) {
						t.Errorf("node %d: %v, want %v", i, err, team.ErrLost)
					}
				})
			}
			all.Wait()
		})
	}
}

func TestSilentNodeIsLost(t *testing.T) {
	t.Parallel()
	at, errs := address(t), make([]error, 2)
	quiet := team.New(team.Place{Index: 1, Count: 2, Address: at})
	defer quiet.Close()
	first := team.New(team.Place{Index: 0, Count: 2, Address: at, StepLimit: 50 * time.Millisecond})
	defer first.Close()
	var all sync.WaitGroup
	all.Go(func() { errs[0] = first.Meet(t.Context(), "") })
	all.Go(func() { errs[1] = quiet.Meet(t.Context(), "") })
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Sum([][]float64{{1}}, false); !errors.Is(err, team.ErrLost) || !strings.Contains(err.Error(), "node 1") {
		t.Errorf("%v, want %v and its name", err, team.ErrLost)
	}
}

func TestNobodyWaitsForEver(t *testing.T) {
	t.Parallel()
	for name, index := range map[string]int{"node 0": 0, "another node": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := team.New(team.Place{Index: index, Count: 2, Address: address(t), MeetLimit: 50 * time.Millisecond})
			if err := node.Meet(t.Context(), ""); !errors.Is(err, team.ErrLost) {
				t.Errorf("%v, want %v", err, team.ErrLost)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			patient := team.New(team.Place{Index: index, Count: 2, Address: address(t)})
			if err := patient.Meet(ctx, ""); !errors.Is(err, context.Canceled) {
				t.Errorf("asked to stop: %v, want %v", err, context.Canceled)
			}
		})
	}
}

// TestStrangersAreSentAway: a probe of the port is no node.
func TestStrangersAreSentAway(t *testing.T) {
	t.Parallel()
	at, errs := address(t), make([]error, 2)
	first := team.New(team.Place{Index: 0, Count: 2, Address: at, MeetLimit: 10 * time.Second})
	defer first.Close()
	second := team.New(team.Place{Index: 1, Count: 2, Address: at, MeetLimit: 10 * time.Second})
	defer second.Close()
	var all sync.WaitGroup
	all.Go(func() { errs[0] = first.Meet(t.Context(), "") })
	stranger := knock(t, at)
	if _, err := io.WriteString(stranger, "GET / HTTP/1.1\r\nHost: lethe\r\nUser-Agent: scanner\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(stranger); err != nil && errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the stranger was not sent away: %v", err)
	}
	all.Go(func() { errs[1] = second.Meet(t.Context(), "") })
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

// knock connects as soon as somebody listens.
func knock(t *testing.T, at string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
		if err == nil {
			t.Cleanup(func() { _ = conn.Close() })
			return conn
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}
