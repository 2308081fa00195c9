package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// measured are rounds in which the methods took so many tenths of a second.
func measured(rounds ...map[string]int) results {
	r := results{objects: 1000, memory: map[int]int64{1_000_000: 40 << 20, 1000: 30 << 20}}
	for _, round := range rounds {
		samples := map[string]sample{}
		for method, tenths := range round {
			samples[method] = sample{took: time.Duration(tenths) * 100 * time.Millisecond, peak: 60 << 20}
		}
		r.rounds = append(r.rounds, samples)
	}
	return r
}

func good() map[string]int {
	return map[string]int{portable: 100, fast: 5, bare: 90, bareListing: 110, rclonePurge: 400, rcloneDelete: 150}
}

func TestBars(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(map[string]int)
		memory int64
		missed []string
	}{
		"all is kept":                 {},
		"slower than rclone's better": {change: func(m map[string]int) { m[rcloneDelete] = 149 }, missed: []string{"portable >= 1.5 x rclone delete"}},
		"slower than the server":      {change: func(m map[string]int) { m[bare] = 89 }, missed: []string{"portable >= 0.9 x bare"}},
		"slower than who lists too":   {change: func(m map[string]int) { m[bareListing] = 89 }, missed: []string{"portable >= 0.9 x bare, listed"}},
		"a fast path that is not":     {change: func(m map[string]int) { m[fast] = 6 }, missed: []string{"fast >= 20.0 x portable"}},
		"too much memory":             {memory: 128 << 20, missed: []string{"memory of the engine with 1000 versions < 128 MiB"}},
		"no memory was measured":      {memory: -1, missed: []string{"memory of the engine with 1000 versions < 128 MiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			round := good()
			if c.change != nil {
				c.change(round)
			}
			r := measured(round)
			if c.memory != 0 {
				r.memory[1000] = max(0, c.memory)
			}
			var missed []string
			for _, b := range r.bars() {
				if !b.kept {
					missed = append(missed, b.promise)
				}
			}
			if diff := cmp.Diff(c.missed, missed); diff != "" {
				t.Errorf("missed (-want +got):\n%s", diff)
			}
			var out strings.Builder
			if kept := r.print(&out); kept != (len(c.missed) == 0) || strings.Contains(out.String(), "MISSED") == kept {
				t.Errorf("the report says %v:\n%s", kept, out.String())
			}
		})
	}
}

func TestRatiosAreOfTheBestRounds(t *testing.T) {
	t.Parallel()
	// The machine was busy in the second round, and for one method in the third.
	slow, odd := map[string]int{}, good()
	for method, tenths := range good() {
		slow[method] = 2 * tenths
	}
	odd[portable] = 200
	got := measured(good(), slow, odd).ratio(portable, rcloneDelete, 1.5)
	want := bar{promise: "portable >= 1.5 x rclone delete", measured: "1.50 (0.75 to 1.50)", kept: true}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(bar{})); diff != "" {
		t.Errorf("ratio (-want +got):\n%s", diff)
	}
}
