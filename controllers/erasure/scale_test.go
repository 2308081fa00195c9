package erasure_test

import (
	"context"
	"fmt"
	"iter"
	"sort"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

func TestBatches(t *testing.T) {
	t.Parallel()
	for name, histories := range map[string][]int{ // of the keys: how many versions each has
		"one full batch":               {400, 600},
		"a history at the edge":        {600, 600, 600},
		"a history that fits exactly":  {1000, 1, 999, 1},
		"a history of several batches": {2500, 3},
		"one after another":            {1, 2500, 1, 1500},
		"many short ones":              repeat(7, 500),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := memory(t)
			r := &recorder{Backend: s, versions: versionsOf(histories)}
			removed, err := w.newEngine(t, r).Erase(t.Context(), w.target, nil)
			total := int64(len(r.versions))
			if err != nil || removed.Versions != total || removed.Bytes != total {
				t.Errorf("removed %+v of %d: %v", removed, total, err)
			}
			r.wantAllOnce(t)
			for i, n := range histories {
				if n <= objectstore.MaxBatch && r.batchesOf[keyOf(i)] != 1 {
					t.Errorf("the %d versions of key %d are in %d batches", n, i, r.batchesOf[keyOf(i)])
				}
			}
			if r.most.Load() > 4 {
				t.Errorf("%d batches were on their way at once", r.most.Load())
			}
		})
	}
}

// recorder is a store that holds a list of versions, in order, takes its time, and
// keeps what was removed.
type recorder struct {
	objectstoretest.Backend
	versions []objectstore.Version
	// listing and removing are how long a request takes.
	listing, removing time.Duration

	flying, most, pages atomic.Int64
	mu                  sync.Mutex
	removed             map[objectstore.Version]int
	batchesOf           map[string]int
}

func (r *recorder) ListVersionsFrom(ctx context.Context, _, _, after string) iter.Seq2[objectstore.Version, error] {
	return func(yield func(objectstore.Version, error) bool) {
		inPage := 0
		start := sort.Search(len(r.versions), func(i int) bool { return r.versions[i].Key > after })
		for _, v := range r.versions[start:] {
			if r.gone(v) {
				continue
			}
			if inPage%objectstore.MaxBatch == 0 {
				r.request(r.listing)
			}
			inPage++
			if !yield(v, ctx.Err()) || ctx.Err() != nil {
				return
			}
		}
		if inPage == 0 {
			r.request(r.listing)
		}
	}
}

func (r *recorder) request(d time.Duration) {
	r.pages.Add(1)
	if d > 0 {
		wall.Sleep(d)
	}
}

func (r *recorder) gone(v objectstore.Version) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.removed[v] > 0
}

func (r *recorder) RemoveVersions(_ context.Context, _ string, batch []objectstore.Version) error {
	flying := r.flying.Add(1)
	for most := r.most.Load(); flying > most && !r.most.CompareAndSwap(most, flying); most = r.most.Load() {
	}
	defer r.flying.Add(-1)
	if r.removing > 0 {
		wall.Sleep(r.removing)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.removed == nil {
		r.removed, r.batchesOf = map[objectstore.Version]int{}, map[string]int{}
	}
	if len(batch) == 0 || len(batch) > objectstore.MaxBatch {
		return fmt.Errorf("a batch has %d versions", len(batch))
	}
	keys := map[string]bool{}
	for _, v := range batch {
		keys[v.Key] = true
		r.removed[v]++
	}
	for key := range keys {
		r.batchesOf[key]++
	}
	return nil
}

func (r *recorder) wantAllOnce(t *testing.T) {
	t.Helper()
	for _, v := range r.versions {
		if n := r.removed[v]; n != 1 {
			t.Fatalf("a version was removed %d times", n)
		}
	}
	if len(r.removed) != len(r.versions) {
		t.Errorf("%d versions were removed, want %d", len(r.removed), len(r.versions))
	}
}

func keyOf(i int) string { return fmt.Sprintf("%sdata/%05d", prefix, i) }

func versionsOf(histories []int) []objectstore.Version {
	var all []objectstore.Version
	for i, n := range histories {
		for v := range n {
			all = append(all, objectstore.Version{Key: keyOf(i), ID: fmt.Sprint(v), Size: 1})
		}
	}
	return all
}

func repeat(n, times int) []int {
	all := make([]int, times)
	for i := range all {
		all[i] = n
	}
	return all
}

func keysLike(n int, format string) []objectstore.Version {
	all := make([]objectstore.Version, n)
	for i := range all {
		all[i] = objectstore.Version{Key: fmt.Sprintf(prefix+format, i), ID: "null", Size: 1}
	}
	return all
}

// TestKeysAreDividedWhileRemoversWait: with a listing that is slower than removing,
// several listers share the keys; each version is removed once, whatever the keys
// look like. With one that is not, there is one lister and no request too many.
func TestKeysAreDividedWhileRemoversWait(t *testing.T) {
	t.Parallel()
	const n = 300_000
	folders := keysLike(n, "data/%05x")
	for i := range folders {
		folders[i].Key = fmt.Sprintf("%sdata/%02d/%04d.png", prefix, i/6000, i%6000)
	}
	histories := versionsOf(repeat(20, n/20))
	for name, c := range map[string]struct {
		versions          []objectstore.Version
		listing, removing time.Duration
		atMost            float64 // of what one lister needs
		extra             int64   // requests of the listing
	}{
		"numbers":                   {keysLike(n, "data/image-%09d.png"), time.Second, time.Second, 0.5, 100},
		"hashes":                    {keysLike(n, "data/%08x"), time.Second, time.Second, 0.5, 100},
		"folders":                   {folders, time.Second, time.Second, 0.5, 100},
		"other scripts":             {keysLike(n, "data/日本語/画像-%06d"), time.Second, time.Second, 0.5, 100},
		"many versions of each":     {histories, time.Second, time.Second, 0.5, 100},
		"a long name":               {keysLike(n, "data/abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz/%06d/x"), time.Second, time.Second, 0.5, 100},
		"a listing that is quicker": {keysLike(n, "data/%06d"), 100 * time.Millisecond, time.Second, 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := memory(t)
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{Backend: s, versions: c.versions, listing: c.listing, removing: c.removing}
				engine := w.newEngine(t, r, func(o *erasure.Options) { o.Clock = wall })
				start := wall.Now()
				removed, err := engine.Erase(t.Context(), w.target, nil)
				took := wall.Since(start)
				if err != nil || removed.Versions != int64(len(c.versions)) {
					t.Errorf("removed %+v: %v", removed, err)
				}
				r.wantAllOnce(t)
				alone := time.Duration(len(c.versions)/objectstore.MaxBatch) * c.listing
				if float64(took) > c.atMost*float64(alone) {
					t.Errorf("it took %s; one lister alone needs %s", took, alone)
				}
				if pages := r.pages.Load() - int64(len(c.versions)/objectstore.MaxBatch) - 1; pages > c.extra {
					t.Errorf("%d more requests than pages, want %d at most", pages, c.extra)
				}
			})
		})
	}
}

func TestInventoryOfManyIsExact(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	r := &recorder{Backend: s, versions: keysLike(33_333, "data/%07d")}
	got, err := w.newEngine(t, r).Inventory(t.Context(), w.target)
	if want := (erasure.Inventory{Versions: 33_333, Bytes: 33_333}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit rate.Limit
		want  time.Duration
	}{
		"no limit":             {0, 0},
		"a limit":              {500, 16 * time.Second}, // The first 1,000 of 9,000 are free.
		"a high limit":         {1e6, 8 * time.Millisecond},
		"less than a batch":    {100, 80 * time.Second},
		"rather not at all":    {1, 8000 * time.Second},
		"a fraction a second":  {0.5, 16000 * time.Second},
		"as much as it can be": {rate.Inf, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := memory(t)
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{Backend: s, versions: keysLike(9000, "data/%07d")}
				engine := w.newEngine(t, r, func(o *erasure.Options) { o.Limit, o.Clock = c.limit, wall })
				start := wall.Now()
				if _, err := engine.Erase(t.Context(), w.target, nil); err != nil {
					t.Errorf("erase: %v", err)
				}
				if took := wall.Since(start); took < c.want || took > c.want+c.want/100+time.Millisecond {
					t.Errorf("it took %s, want %s", took, c.want)
				}
			})
		})
	}
}

func TestLimitEndsWithTheContext(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{Backend: s, versions: keysLike(9000, "data/%07d")}
		engine := w.newEngine(t, r, func(o *erasure.Options) { o.Limit, o.Clock = 1, wall })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := wall.Now()
		if _, err := engine.Erase(ctx, w.target, nil); err == nil || wall.Since(start) > time.Minute {
			t.Errorf("after %s: %v", wall.Since(start), err)
		}
	})
}

func TestProgress(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{Backend: s, versions: keysLike(100_000, "data/%07d"), removing: 300 * time.Millisecond}
		engine := w.newEngine(t, r, func(o *erasure.Options) { o.Clock = wall })
		var told []erasure.Inventory
		var at []time.Time
		var inside atomic.Int64
		removed, err := engine.Erase(t.Context(), w.target, func(i erasure.Inventory) {
			if inside.Add(1) > 1 {
				t.Error("it is told twice at once")
			}
			told, at = append(told, i), append(at, wall.Now())
			wall.Sleep(1500 * time.Millisecond)
			inside.Add(-1)
		})
		if err != nil || removed.Versions != 100_000 || len(told) < 3 {
			t.Fatalf("told %d times; removed %+v: %v", len(told), removed, err)
		}
		for i := range told[1:] {
			if told[i+1].Versions <= told[i].Versions || at[i+1].Sub(at[i]) < time.Second {
				t.Errorf("after %+v it is told %+v, %s later", told[i], told[i+1], at[i+1].Sub(at[i]))
			}
		}
		if last := told[len(told)-1]; last.Versions > removed.Versions {
			t.Errorf("at last it is told %+v of %+v", last, removed)
		}
	})
}
