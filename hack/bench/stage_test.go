package main

import (
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

// TestMain lets this binary be the methods of the benchmark.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == stageChildName {
		main()
		return
	}
	os.Exit(m.Run())
}

// stagedRounds are rounds of one load in which the methods took so many tenths of a
// second.
func stagedRounds(rounds ...map[string]int) []map[string]sample {
	var all []map[string]sample
	for _, round := range rounds {
		samples := map[string]sample{}
		for method, tenths := range round {
			samples[method] = sample{took: time.Duration(tenths) * 100 * time.Millisecond, peak: 60 << 20}
		}
		all = append(all, samples)
	}
	return all
}

func TestStageBars(t *testing.T) {
	t.Parallel()
	large, small := load{name: "large", count: 1, size: 100}, load{name: "small", count: 10, size: 1}
	for name, c := range map[string]struct {
		times  map[string]int
		load   load
		where  string
		peak   int64
		twice  float64
		missed []string
	}{
		"all is kept":                  {},
		"slower than bare":             {times: map[string]int{ours: 118, bare: 100, rival: 200}, missed: []string{"large in >= 0.85 x bare"}},
		"small files come slower":      {times: map[string]int{ours: 142, bare: 100, rival: 200}, load: small},
		"small files come much slower": {times: map[string]int{ours: 143, bare: 100, rival: 200}, load: small, missed: []string{"small in >= 0.70 x bare"}},
		"small files go slower":        {times: map[string]int{ours: 118, bare: 100, rival: 200}, load: small, where: outward, missed: []string{"small out >= 0.85 x bare"}},
		"slower than rclone":           {times: map[string]int{ours: 110, bare: 100, rival: 109}, missed: []string{"large in >= 1.00 x rclone"}},
		"slower than with a hash":      {times: map[string]int{ours: 118, bare: 101, hashed: 100}, missed: []string{"large in >= 0.85 x bare, hashed"}},
		"rclone is left out":           {times: map[string]int{ours: 110, bare: 100}},
		"too much memory":              {peak: 128 << 20, missed: []string{"memory of large in < 128 MiB"}},
		"too much is fetched twice":    {twice: 0.051, missed: []string{"large, SIGKILL at half: fetched twice <= 5 %"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.times == nil {
				c.times = map[string]int{ours: 117, bare: 100, rival: 118}
			}
			if c.load.name == "" {
				c.load = large
			}
			if c.where == "" {
				c.where = inward
			}
			m := stageMeasure{load: c.load, direction: c.where, rounds: stagedRounds(c.times, c.times)}
			if c.peak > 0 {
				m.rounds[1][ours] = sample{took: m.rounds[1][ours].took, peak: c.peak}
			}
			r := stageResults{measures: []stageMeasure{m}, twice: []stageTwice{{name: c.load.name, share: c.twice}}}
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

func TestContentsAreTheSameFromEverywhere(t *testing.T) {
	t.Parallel()
	l := load{count: 3, size: 3*patternBlock + 5}
	whole, err := io.ReadAll(l.contents(1).reader())
	if err != nil || int64(len(whole)) != l.size {
		t.Fatalf("%d bytes: %v", len(whole), err)
	}
	for _, at := range []int64{0, 1, patternBlock - 1, patternBlock, 2*patternBlock + 9, l.size - 1} {
		piece := make([]byte, min(l.size-at, patternBlock+3))
		if n, err := l.contents(1).ReadAt(piece, at); err != nil || !bytes.Equal(piece[:n], whole[at:at+int64(len(piece))]) {
			t.Errorf("other bytes at %d: %v", at, err)
		}
	}
	other, _ := io.ReadAll(l.contents(2).reader())
	if bytes.Equal(whole, other) || bytes.Equal(whole[:patternBlock], whole[patternBlock:2*patternBlock]) {
		t.Error("there are equal blocks")
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	l := load{count: 2, size: patternBlock + 1}
	for name, c := range map[string]struct {
		change func(folder string) error
		wrong  bool
	}{
		"nothing":        {change: func(string) error { return nil }},
		"other bytes":    {change: func(f string) error { return os.WriteFile(filepath.Join(f, l.path(1)), make([]byte, l.size), 0o600) }, wrong: true},
		"a short file":   {change: func(f string) error { return os.Truncate(filepath.Join(f, l.path(0)), l.size-1) }, wrong: true},
		"a file is gone": {change: func(f string) error { return os.Remove(filepath.Join(f, l.path(0))) }, wrong: true},
		"one too many":   {change: func(f string) error { return os.WriteFile(filepath.Join(f, "more"), nil, 0o600) }, wrong: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			if err := l.write(folder); err != nil {
				t.Fatal(err)
			}
			if err := c.change(folder); err != nil {
				t.Fatal(err)
			}
			if err := l.check(folder); (err != nil) != c.wrong {
				t.Errorf("it finds %v", err)
			}
		})
	}
}

func TestStageRefuses(t *testing.T) {
	t.Parallel()
	env := environment{getenv: func(string) string { return "" }, stdout: io.Discard, stderr: io.Discard}
	for name, args := range map[string][]string{
		"no bytes":             {"stage", "-bytes", "0"},
		"no objects":           {"stage", "-objects", "0"},
		"no rounds":            {"stage", "-rounds", "0"},
		"an argument too many": {"stage", "all"},
		"a child by hand":      {stageChildName},
	} {
		if err := run(t.Context(), args, env); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestStageMeasures runs the benchmark on a real store, too small to say anything about
// speed: whether promises are kept does not matter, but all methods must do their work.
func TestStageMeasures(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	env := environment{getenv: os.Getenv, stdout: &out, stderr: &out}
	o, err := parseStage([]string{"-bytes", "70000001", "-objects", "300", "-rounds", "1", "-rclone=false", "-folder", t.TempDir()}, env)
	if err != nil {
		t.Fatal(err)
	}
	b := &stageBench{stageOptions: o, env: env, checked: map[string]bool{}}
	var r stageResults
	measured := map[string]bool{}
	err = under(t.Context(), func(s *script) error {
		b.server = objectstoretest.StartMinIO(t) // It says what is missing.
		if err := b.prepare(s); err != nil {
			return err
		}
		for _, l := range o.loads() {
			if err := b.measureLoad(s, l, &r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, m := range r.measures {
		measured[m.name()] = true
		for method := range m.rounds[0] {
			if s := m.rounds[0][method]; s.took <= 0 || s.peak <= 0 || s.peak > 1<<30 {
				t.Errorf("%s, %s: %+v", m.name(), method, s)
			}
		}
	}
	want := []string{"large in", "large out", "small in", "small out"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(measured))); diff != "" {
		t.Errorf("measured (-want +got):\n%s", diff)
	}
	if methods := len(r.measures[0].rounds[0]); methods != 3 {
		t.Errorf("%d methods bring the large file, want 3", methods)
	}
	if len(r.twice) != 2 {
		t.Errorf("crashes: %+v", r.twice)
	}
}

func TestStageChildSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	variables := map[string]string{stageVariable: `{"Direction":" in","CA":"/nowhere"}`}
	env := environment{getenv: func(name string) string { return variables[name] }, stdout: io.Discard, stderr: io.Discard}
	if err := run(t.Context(), []string{stageChildName}, env); err == nil || !strings.Contains(err.Error(), "authority") {
		t.Errorf("it says %v", err)
	}
}
