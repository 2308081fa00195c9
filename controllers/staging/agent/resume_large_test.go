package agent_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// rangeLength is how long the ranges of a large file are.
const rangeLength = 16 * mib

// longFile has four ranges and a bit.
var longFile = sync.OnceValue(func() []byte { return noise(4*rangeLength + 5) })

// interrupted is a volume on which stage-in ended when two ranges of the file had come
// and the others had not.
func interrupted(t *testing.T, folder string) {
	t.Helper()
	w := newWorld(folder)
	w.seal(t, map[string][]byte{"large.bin": longFile()})
	w.store.faults = func(c call) fault {
		return fault{stall: c.key == largeKey && c.offset >= 2*rangeLength}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	time.AfterFunc(time.Second, cancel)
	if report, code := w.stageIn(ctx); code != staging.ExitTerminated {
		t.Fatalf("exit %d: %s", code, report.Message)
	}
}

// Each case is what became of the volume of a stage-in that ended in the middle of a
// large file. What is good of it is not fetched again, and nothing else is believed.
func TestStageInGoesOnInTheMiddleOfALargeFile(t *testing.T) {
	t.Parallel()
	missing := []int64{2, 3, 4}
	all := []int64{0, 1, 2, 3, 4}
	const journal, part = ".stage-in/journal", ".stage-in/parts/1"
	remove := func(name string) func(*testing.T, string, string) {
		return func(t *testing.T, volume, _ string) {
			t.Helper()
			if err := os.RemoveAll(filepath.Join(volume, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := func(name, target string) func(*testing.T, string, string) {
		return func(t *testing.T, volume, outside string) {
			t.Helper()
			remove(name)(t, volume, outside)
			if target == "" {
				target = filepath.Join(outside, "mine")
			}
			if err := os.Symlink(target, filepath.Join(volume, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	overwrite := func(name string, at int64, data []byte) func(*testing.T, string, string) {
		return func(t *testing.T, volume, _ string) {
			t.Helper()
			f, err := os.OpenFile(filepath.Join(volume, name), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteAt(data, at)
			if err != nil || f.Close() != nil {
				t.Fatal(err)
			}
		}
	}
	cases := map[string]struct {
		change func(t *testing.T, volume, outside string)
		// ranges are those that are fetched, in order; again those of a second try.
		ranges, again []int64
	}{
		"nothing":                                {ranges: missing},
		"the journal is gone":                    {change: remove(journal), ranges: all},
		"the journal is a link":                  {change: link(journal, ""), ranges: all},
		"the journal is a folder":                {change: func(t *testing.T, v, o string) { t.Helper(); remove(journal)(t, v, o); mkdir(t, v, journal) }, ranges: all},
		"the journal is damaged":                 {change: overwrite(journal, 20, []byte("xxxx")), ranges: all},
		"the part is gone":                       {change: remove(part), ranges: all},
		"the part is a link":                     {change: link(part, ""), ranges: all},
		"the part is a link to itself":           {change: link(part, "1"), ranges: all},
		"the part has other bytes":               {change: overwrite(part, 5, []byte("other")), ranges: missing, again: all},
		"the part lost its bytes":                {change: func(t *testing.T, v, _ string) { t.Helper(); truncate(t, filepath.Join(v, part), 3) }, ranges: missing, again: all},
		"the part is longer":                     {change: func(t *testing.T, v, _ string) { t.Helper(); truncate(t, filepath.Join(v, part), 5*rangeLength) }, ranges: missing},
		"other bytes after the ranges that came": {change: overwrite(part, 2*rangeLength, []byte("other")), ranges: missing},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume, outside := t.TempDir(), t.TempDir()
			write(t, outside, map[string][]byte{"mine": []byte("mine")})
			synctest.Test(t, func(t *testing.T) {
				interrupted(t, volume)
				if tc.change != nil {
					tc.change(t, volume, outside)
				}
				w := newWorld(volume)
				w.parallel.Ranges = 1
				w.seal(t, map[string][]byte{"large.bin": longFile()})
				if report, code := w.stageIn(t.Context()); code != staging.ExitOK {
					t.Fatalf("exit %d: %s", code, report.Message)
				}
				if diff := cmp.Diff(map[string]string{"dataset/large.bin": sum(longFile())}, tree(t, volume)); diff != "" {
					t.Errorf("volume (-want +got):\n%s", diff)
				}
				var ranges []int64
				for _, c := range w.store.calls {
					if c.key == largeKey {
						ranges = append(ranges, c.offset/rangeLength)
					}
				}
				if diff := cmp.Diff(append(append([]int64{}, tc.ranges...), tc.again...), ranges); diff != "" {
					t.Errorf("fetched ranges (-want +got):\n%s", diff)
				}
				if got := tree(t, outside); cmp.Diff(map[string]string{"mine": sum([]byte("mine"))}, got) != "" {
					t.Errorf("outside of the volume: %v", got)
				}
			})
		})
	}
}

func truncate(t *testing.T, name string, size int64) {
	t.Helper()
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
}
