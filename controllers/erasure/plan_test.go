package erasure

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

func TestGuesses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first, last, through, end string
		want                      []string
	}{
		"numbers":                    {"p/d/img0000", "p/d/img0999", "", "", []string{"p/o", "p/d/r", "p/d/it", "p/d/imq", "p/d/img5", "p/d/img0:"}},
		"numbers that begin to end":  {"p/9000", "p/9999", "", "", []string{"p/:", "p/9:"}},
		"a page with many folders":   {"p/a/1", "p/q/2", "", "", []string{"p/v"}},
		"one key only":               {"p/a1", "p/a1", "", "", []string{"p/n", "p/a5"}},
		"a part with an end":         {"p/img0000", "p/img0999", "p/img5", "", []string{"p/img0:"}},
		"a part that is nearly done": {"p/img4000", "p/img4999", "p/img5", "", []string{"p/img4:"}},
		"nothing is left":            {"p/img4990", "p/img4999", "p/img4:", "", []string{"p/img49:", "p/img499:"}},
		"other scripts":              {"p/日1", "p/日1", "", "", []string{"p/日5"}},
		"no letters at all":          {"p/--", "p/--", "", "", nil},
		"the prefix itself":          {"p/", "p/", "", "", nil},
		"a known end":                {"p/img0000", "p/img0999", "", "p/img4", []string{"p/img2", "p/img0:"}},
		"a known end that is near":   {"p/img0000", "p/img0999", "p/t", "p/img1", []string{"p/img0:"}},
		"upper case":                 {"p/A", "p/A", "", "", []string{"p/N"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := span{through: c.through, end: c.end}.guesses("p/", c.first, c.last)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("guesses (-want +got):\n%s", diff)
			}
			for i, guess := range got {
				if guess <= c.last || (i > 0 && guess >= got[i-1]) || (c.through != "" && guess >= c.through) {
					t.Errorf("%q is out of order", guess)
				}
			}
		})
	}
}

// FuzzGuesses: whatever the keys, a guess divides what is left into two parts that
// are both within the span.
func FuzzGuesses(f *testing.F) {
	f.Add("img0000", "img0999", "img5")
	f.Add("", "z", "")
	f.Add("日", "日本", "")
	f.Fuzz(func(t *testing.T, first, last, through string) {
		first, last = "p/"+first, "p/"+last
		if through != "" {
			through = "p/" + through
		}
		s := span{through: through}
		if first > last || !s.holds(last) {
			return
		}
		previous := ""
		for _, guess := range s.guesses("p/", first, last) {
			if guess <= last || (through != "" && guess >= through) || (previous != "" && guess >= previous) {
				t.Errorf("after %q up to %q: %q follows %q", last, through, guess, previous)
			}
			previous = guess
		}
	})
}

func TestPatience(t *testing.T) {
	t.Parallel()
	var p patience
	var got []int // how many batches passed before each search
	for batches := 0; len(got) < 4; batches++ {
		if p.over() {
			got = append(got, batches)
			p.learn(false)
			batches = -1
		}
	}
	if diff := cmp.Diff([]int{0, 4, 8, 16}, got); diff != "" {
		t.Errorf("searches (-want +got):\n%s", diff)
	}
	for !p.over() {
		continue
	}
	p.learn(true)
	if !p.over() {
		t.Error("after a find there is no next search")
	}
}

func TestPrefixRemovable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		facts objectstore.BucketFacts
		want  bool
	}{
		"a plain bucket":       {objectstore.BucketFacts{}, true},
		"versions":             {objectstore.BucketFacts{Versioning: objectstore.VersioningEnabled}, true},
		"rules that end them":  {objectstore.BucketFacts{Lifecycle: true}, true},
		"a lock":               {objectstore.BucketFacts{ObjectLock: true}, false},
		"copies":               {objectstore.BucketFacts{Replication: true}, false},
		"somebody who is told": {objectstore.BucketFacts{Notification: true}, false},
		"another place":        {objectstore.BucketFacts{Tiering: true}, false},
	} {
		if got := prefixRemovable(c.facts); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
