package erasure_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

// TestCrashAtEveryCall stops the caller at each call of the store in turn, before or
// after it took effect, and lets it begin again.
func TestCrashAtEveryCall(t *testing.T) {
	t.Parallel()
	for path, change := range map[string]func(*erasure.Options){"portable": func(*erasure.Options) {}, "fast": fastPath} {
		build := func(t *testing.T) (*world, *objectstoretest.Store, map[string]bool) {
			t.Helper()
			w, s := memory(t)
			w.engine = w.newEngine(t, s, change)
			s.SetPage(700)
			w.fillNeighbours(t)
			neighbours := w.state(t)
			w.fillTarget(t)
			w.putMany(t, objectstore.MaxBatch+200)
			return w, s, neighbours
		}
		w, s, _ := build(t)
		s.SetFault(objectstoretest.Fault{})
		if err := w.finish(t.Context(), w.engine); err != nil {
			t.Fatalf("without a fault: %v", err)
		}
		calls := s.Calls()
		if calls < 15 {
			t.Fatalf("only %d calls to crash at", calls)
		}
		for call := 1; call <= calls; call++ {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, call %d of %d, after %v", path, call, calls, after), func(t *testing.T) {
					t.Parallel()
					w, s, want := build(t)
					s.SetFault(objectstoretest.Fault{Call: call, After: after, Crash: true})
					if err := w.finish(t.Context(), w.engine); !errors.Is(err, objectstore.ErrUnavailable) {
						t.Errorf("the crash gave %v", err)
					}
					s.SetDown(false)
					if err := w.finish(t.Context(), w.engine); err != nil {
						t.Fatalf("after the crash: %v", err)
					}
					if diff := cmp.Diff(want, w.state(t)); diff != "" {
						t.Errorf("the neighbours (-want +got):\n%s", diff)
					}
				})
			}
		}
		t.Logf("%s: %d crash points", path, 2*calls)
	}
}

func TestOneFailingKeyKeepsNothingElse(t *testing.T) {
	t.Parallel()
	for path, change := range map[string]func(*erasure.Options){"portable": func(*erasure.Options) {}, "fast": fastPath} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			w, s := memory(t)
			engine := w.newEngine(t, s, change)
			w.fillTarget(t)
			w.putMany(t, 2*objectstore.MaxBatch)
			s.FailKey(w.datasets, prefix+"data/b/c/d", objectstore.ErrDenied)
			_, err := engine.Erase(t.Context(), w.target, nil)
			wantNoKey(t, err)
			if !errors.Is(err, objectstore.ErrDenied) {
				t.Errorf("got error %v, want %v", err, objectstore.ErrDenied)
			}
			if found, err := engine.Inventory(t.Context(), w.target); err != nil || found.Versions != 3 || found.Uploads != 0 {
				t.Errorf("%+v is left, %v; want the 3 versions of the key", found, err)
			}
			s.FailKey(w.datasets, prefix+"data/b/c/d", nil)
			removed, err := w.engine.Erase(t.Context(), w.target, nil)
			if err != nil || removed.Versions != 3 {
				t.Errorf("then removed %+v, %v", removed, err)
			}
		})
	}
}

// errPassing is what a store says of single keys that it can not remove now.
var errPassing = errors.New("1 not removed: SomethingInternal")

func TestFailedRemovalsAreTriedAgain(t *testing.T) {
	t.Parallel()
	const shortPause, longPause = 500 * time.Millisecond, 2 * time.Second
	for name, c := range map[string]struct {
		failures int64 // of the first attempts
		err      error
		want     error
		pauses   []time.Duration
		attempts int64
	}{
		"it goes well at once":          {0, nil, nil, nil, 1},
		"it goes well the second time":  {1, errPassing, nil, []time.Duration{shortPause}, 2},
		"it goes well the third time":   {2, errPassing, nil, []time.Duration{shortPause, longPause}, 3},
		"it never goes well":            {100, errPassing, errPassing, []time.Duration{shortPause, longPause}, 3},
		"the store is busy for a while": {2, objectstore.ErrUnavailable, nil, []time.Duration{shortPause, longPause}, 3},
		"the store stays away":          {100, objectstore.ErrUnavailable, objectstore.ErrUnavailable, []time.Duration{shortPause, longPause}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := memory(t)
			w.fillTarget(t)
			var attempts atomic.Int64
			store := &tricky{Backend: s, remove: func(ctx context.Context, bucket string, versions []objectstore.Version) error {
				if attempts.Add(1) <= c.failures {
					// Some are removed all the same.
					return errors.Join(c.err, s.RemoveVersions(ctx, bucket, versions[1:]))
				}
				return s.RemoveVersions(ctx, bucket, versions)
			}}
			removed, err := w.newEngine(t, store).Erase(t.Context(), w.target, nil)
			if !errors.Is(err, c.want) || (c.want == nil) != (removed.Versions == 17) {
				t.Errorf("removed %+v, %v; want %v", removed, err, c.want)
			}
			if diff := cmp.Diff(c.pauses, w.clock.pauses); diff != "" || attempts.Load() != c.attempts {
				t.Errorf("%d attempts, want %d; pauses (-want +got):\n%s", attempts.Load(), c.attempts, diff)
			}
		})
	}
}

func TestRetriesAreBounded(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	w.putMany(t, 40*objectstore.MaxBatch)
	var attempts atomic.Int64
	var batches sync.Map
	store := &tricky{Backend: s, remove: func(_ context.Context, _ string, batch []objectstore.Version) error {
		attempts.Add(1)
		batches.Store(batch[0].Key, true)
		return objectstore.ErrDenied
	}}
	if _, err := w.newEngine(t, store).Erase(t.Context(), w.target, nil); !errors.Is(err, objectstore.ErrDenied) {
		t.Errorf("got error %v, want %v", err, objectstore.ErrDenied)
	}
	different := int64(0)
	batches.Range(func(any, any) bool { different++; return true })
	if again := attempts.Load() - different; different < 40 || again != 16 {
		t.Errorf("%d batches and %d attempts more, want 40 and 16", different, again)
	}
}

func TestUnavailableStoreEndsTheCall(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	w.putMany(t, 40*objectstore.MaxBatch)
	var attempts atomic.Int64
	store := &tricky{Backend: s, remove: func(context.Context, string, []objectstore.Version) error {
		attempts.Add(1)
		return objectstore.ErrUnavailable
	}}
	if _, err := w.newEngine(t, store).Erase(t.Context(), w.target, nil); !errors.Is(err, objectstore.ErrUnavailable) {
		t.Errorf("got error %v, want %v", err, objectstore.ErrUnavailable)
	}
	if n := attempts.Load(); n > 3*4 {
		t.Errorf("%d attempts, want 3 of each worker at most", n)
	}
}

func TestFailedAbortsAreErrors(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	w.fillTarget(t)
	s.SetFault(objectstoretest.Fault{Call: 4, Err: objectstore.ErrDenied}) // The first abort; it is made again.
	if removed, err := w.engine.Erase(t.Context(), w.target, nil); err != nil || removed.Uploads != 3 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	if len(w.clock.pauses) != 1 {
		t.Errorf("%d pauses, want one", len(w.clock.pauses))
	}
}

func TestEraseEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w, _ := memory(t)
	w.fillTarget(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.engine.Erase(ctx, w.target, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
	wantVerify(t, w, false)
}

func TestEraseAgainstAWriter(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	writer := &tricky{Backend: s}
	var again atomic.Bool
	again.Store(true)
	writer.list = func(ctx context.Context, bucket, prefix, after string) iter.Seq2[objectstore.Version, error] {
		if again.Load() {
			w.put(t, w.datasets, prefix+"data/again")
		}
		return s.ListVersionsFrom(ctx, bucket, prefix, after)
	}
	engine := w.newEngine(t, writer)
	if _, err := engine.Erase(t.Context(), w.target, nil); !errors.Is(err, erasure.ErrIncomplete) {
		t.Errorf("got error %v, want %v", err, erasure.ErrIncomplete)
	}
	again.Store(false)
	if _, err := engine.Erase(t.Context(), w.target, nil); err != nil {
		t.Errorf("once the writer is gone: %v", err)
	}
	wantVerify(t, w, true)
}

func TestStoreThatListsWhatItWasNotAskedFor(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	w.fillNeighbours(t)
	want := w.state(t)
	liar := &tricky{Backend: s, list: func(ctx context.Context, bucket, _, after string) iter.Seq2[objectstore.Version, error] {
		return s.ListVersionsFrom(ctx, bucket, "", after)
	}}
	engine := w.newEngine(t, liar)
	_, errErase := engine.Erase(t.Context(), w.target, nil)
	_, errInventory := engine.Inventory(t.Context(), w.target)
	for what, err := range map[string]error{"erase": errErase, "inventory": errInventory} {
		wantNoKey(t, err)
		if !errors.Is(err, erasure.ErrRefused) {
			t.Errorf("%s gives %v, want %v", what, err, erasure.ErrRefused)
		}
	}
	if diff := cmp.Diff(want, w.state(t)); diff != "" {
		t.Errorf("the neighbours (-want +got):\n%s", diff)
	}
}
