package erasure_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }

func itoa(i int) string { return strconv.Itoa(i) }

// TestCrashAtEveryCall stops the caller at each call of the store in turn, before or
// after it took effect, and lets it begin again.
func TestCrashAtEveryCall(t *testing.T) {
	t.Parallel()
	build := func(t *testing.T) (*world, *objectstoretest.Store, map[string]bool) {
		t.Helper()
		w, s := memory(t)
		s.SetPage(700)
		w.fillNeighbours(t)
		neighbours := w.state(t)
		w.fillTarget(t)
		fillMany(t, w, objectstore.MaxBatch+200)
		return w, s, neighbours
	}
	w, s, _ := build(t)
	s.SetFault(objectstoretest.Fault{})
	if _, err := w.finish(t.Context()); err != nil {
		t.Fatalf("without a fault: %v", err)
	}
	calls := s.Calls()
	if calls < 15 {
		t.Fatalf("only %d calls to crash at", calls)
	}
	for call := 1; call <= calls; call++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("call %d of %d, after %v", call, calls, after), func(t *testing.T) {
				t.Parallel()
				w, s, want := build(t)
				s.SetFault(objectstoretest.Fault{Call: call, After: after, Crash: true})
				if _, err := w.finish(t.Context()); !errors.Is(err, objectstore.ErrUnavailable) {
					t.Errorf("the crash gave %v", err)
				}
				s.SetDown(false)
				digest, err := w.finish(t.Context())
				if err != nil {
					t.Fatalf("after the crash: %v", err)
				}
				if stored := w.storedReceipt(t); digest != stored {
					t.Errorf("the receipt's digest is %s, stored is %s", digest, stored)
				}
				wantVerify(t, w, true)
				got := w.state(t)
				if len(got) != len(want)+1 {
					t.Errorf("the store holds %d entries, want the neighbours' %d and a receipt", len(got), len(want))
				}
				for entry := range want {
					if !got[entry] {
						t.Errorf("a neighbour is gone: %s", entry)
					}
				}
			})
		}
	}
	t.Logf("%d crash points", 2*calls)
}

func TestOneFailingKeyKeepsNothingElse(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	w.fillTarget(t)
	fillMany(t, w, 2*objectstore.MaxBatch)
	s.FailKey(w.datasets, prefix+"data/b/c/d", objectstore.ErrDenied)
	_, err := w.engine.Erase(t.Context(), w.target)
	if !errors.Is(err, objectstore.ErrDenied) || strings.Contains(err.Error(), "data/") {
		t.Errorf("got error %v, want %v without a key", err, objectstore.ErrDenied)
	}
	if found, err := w.engine.Inventory(t.Context(), w.target); err != nil || found.Versions != 3 || found.Uploads != 0 {
		t.Errorf("%+v is left, %v; want the 3 versions of the key", found, err)
	}
	s.FailKey(w.datasets, prefix+"data/b/c/d", nil)
	if removed, err := w.engine.Erase(t.Context(), w.target); err != nil || removed.Versions != 3 {
		t.Errorf("then removed %+v, %v", removed, err)
	}
}

func TestEraseEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w, _ := memory(t)
	w.fillTarget(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.engine.Erase(ctx, w.target); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
	wantVerify(t, w, false)
}

// tricky is a store in memory some of whose methods are replaced.
type tricky struct {
	*objectstoretest.Store
	list   func(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Version, error]
	remove func(ctx context.Context, bucket string, versions []objectstore.Version) error
}

func (s *tricky) ListVersions(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Version, error] {
	if s.list == nil {
		return s.Store.ListVersions(ctx, bucket, prefix)
	}
	return s.list(ctx, bucket, prefix)
}

func (s *tricky) RemoveVersions(ctx context.Context, bucket string, versions []objectstore.Version) error {
	if s.remove == nil {
		return s.Store.RemoveVersions(ctx, bucket, versions)
	}
	return s.remove(ctx, bucket, versions)
}

func TestEraseAgainstAWriter(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	writer := &tricky{Store: s}
	var again atomic.Bool
	again.Store(true)
	writer.list = func(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Version, error] {
		if again.Load() {
			w.put(t, w.datasets, prefix+"data/again")
		}
		return s.ListVersions(ctx, bucket, prefix)
	}
	engine := newEngine(t, writer, w.receipts)
	if _, err := engine.Erase(t.Context(), w.target); !errors.Is(err, erasure.ErrIncomplete) {
		t.Errorf("got error %v, want %v", err, erasure.ErrIncomplete)
	}
	again.Store(false)
	if _, err := engine.Erase(t.Context(), w.target); err != nil {
		t.Errorf("once the writer is gone: %v", err)
	}
	wantVerify(t, w, true)
}

func TestStoreThatListsWhatItWasNotAskedFor(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	w.fillNeighbours(t)
	want := w.state(t)
	liar := &tricky{Store: s, list: func(ctx context.Context, bucket, _ string) iter.Seq2[objectstore.Version, error] {
		return s.ListVersions(ctx, bucket, "")
	}}
	engine := newEngine(t, liar, w.receipts)
	if _, err := engine.Erase(t.Context(), w.target); !errors.Is(err, erasure.ErrRefused) {
		t.Errorf("erase gives %v, want %v", err, erasure.ErrRefused)
	}
	if empty, err := engine.Verify(t.Context(), w.target); empty || !errors.Is(err, erasure.ErrRefused) {
		t.Errorf("verify says %v, %v; want %v", empty, err, erasure.ErrRefused)
	}
	if diff := cmp.Diff(want, w.state(t)); diff != "" {
		t.Errorf("the neighbours (-want +got):\n%s", diff)
	}
}

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
			var mu sync.Mutex
			var sent []objectstore.Version
			batchesOf := map[string]int{}
			listed := versionsOf(histories)
			var emptied, flying, most atomic.Int64
			store := &tricky{Store: objectstoretest.NewStore()}
			store.AddBucket("bucket", objectstoretest.Versioned)
			store.list = func(context.Context, string, string) iter.Seq2[objectstore.Version, error] {
				return func(yield func(objectstore.Version, error) bool) {
					if emptied.Add(1) > 1 {
						return
					}
					for _, v := range listed {
						if !yield(v, nil) {
							return
						}
					}
				}
			}
			store.remove = func(_ context.Context, _ string, batch []objectstore.Version) error {
				most.Store(max(most.Load(), flying.Add(1)))
				defer flying.Add(-1)
				mu.Lock()
				defer mu.Unlock()
				if len(batch) == 0 || len(batch) > objectstore.MaxBatch {
					t.Errorf("a batch has %d versions", len(batch))
				}
				keys := map[string]bool{}
				for _, v := range batch {
					keys[v.Key] = true
				}
				for key := range keys {
					batchesOf[key]++
				}
				sent = append(sent, batch...)
				return nil
			}
			removed, err := newEngine(t, store, "receipts").Erase(t.Context(), erasure.Target{Bucket: "bucket", Prefix: prefix, UID: uid})
			if err != nil || removed.Versions != int64(len(listed)) || removed.Bytes != int64(len(listed)) {
				t.Errorf("removed %+v of %d: %v", removed, len(listed), err)
			}
			seen := map[objectstore.Version]int{}
			for _, v := range sent {
				seen[v]++
			}
			if len(seen) != len(listed) || len(sent) != len(listed) {
				t.Errorf("sent %d, %d of them different; want %d", len(sent), len(seen), len(listed))
			}
			for i, n := range histories {
				if n <= objectstore.MaxBatch && batchesOf[keyOf(i)] != 1 {
					t.Errorf("the %d versions of key %d are in %d batches", n, i, batchesOf[keyOf(i)])
				}
			}
			if most.Load() > 4 {
				t.Errorf("%d batches were on their way at once", most.Load())
			}
		})
	}
}

func keyOf(i int) string { return fmt.Sprintf("%sdata/%05d", prefix, i) }

func versionsOf(histories []int) []objectstore.Version {
	var all []objectstore.Version
	for i, n := range histories {
		for v := range n {
			all = append(all, objectstore.Version{Key: keyOf(i), ID: itoa(v), Size: 1})
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

func TestReceiptIsWrittenOnce(t *testing.T) {
	t.Parallel()
	server := func(t *testing.T) *world {
		t.Helper()
		return newWorld(t, objectstoretest.Real(t, objectstoretest.StartMinIO(t)), objectstoretest.Unversioned)
	}
	inMemory := func(t *testing.T) *world { t.Helper(); w, _ := memory(t); return w }
	for name, build := range map[string]func(*testing.T) *world{"in memory": inMemory, "on MinIO": server} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := build(t)
			first, err := w.engine.WriteReceipt(t.Context(), w.receipt())
			if _, want, _ := w.receipt().Encode(); err != nil || first != want || first != w.storedReceipt(t) {
				t.Fatalf("got digest %s, %v; want %s", first, err, want)
			}
			later := w.receipt()
			later.Versions, later.EndTime = 0, later.EndTime.AddDate(0, 0, 1)
			second, err := w.engine.WriteReceipt(t.Context(), later)
			if err != nil || second != first || second != w.storedReceipt(t) {
				t.Errorf("the second gives %s, %v; want the first's %s", second, err, first)
			}
			other := w.receipt()
			other.UID = otherUID
			if digest, err := w.engine.WriteReceipt(t.Context(), other); err != nil || digest == first {
				t.Errorf("another object's gives %s, %v", digest, err)
			}
		})
	}
}

func TestReceiptsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*objectkey.EraseReceipt)
		there  string
	}{
		"no UID":                    {change: func(r *objectkey.EraseReceipt) { r.UID = "" }},
		"no namespace":              {change: func(r *objectkey.EraseReceipt) { r.Namespace = "" }},
		"a way out":                 {change: func(r *objectkey.EraseReceipt) { r.Namespace = "../x" }},
		"something else is there":   {there: "not a receipt"},
		"another's is there":        {there: `{"kind":"lethe.dev/erase-receipt/v1","namespace":"ns","uid":"` + otherUID + `"}`},
		"another format is there":   {there: `{"kind":"lethe.dev/erase-receipt/v9","namespace":"ns","uid":"` + uid + `"}`},
		"half a receipt":            {there: `{"kind":"lethe.dev/erase-receipt/v1","namespace":"ns","uid":"` + uid + `"`},
		"something huge is there":   {there: strings.Repeat(" ", 100<<10) + `{}`},
		"a receipt and then more":   {there: `{"kind":"lethe.dev/erase-receipt/v1","namespace":"ns","uid":"` + uid + `"} and more`},
		"an empty file is in place": {there: " "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := memory(t)
			if c.there != "" {
				err := w.Put(t.Context(), w.receipts, objectkey.Receipt("ns", uid), strings.NewReader(c.there), int64(len(c.there)), objectstore.PutOptions{})
				if err != nil {
					t.Fatalf("put: %v", err)
				}
			}
			r := w.receipt()
			if c.change != nil {
				c.change(&r)
			}
			if digest, err := w.engine.WriteReceipt(t.Context(), r); digest != "" || !errors.Is(err, erasure.ErrRefused) {
				t.Errorf("got digest %q and error %v, want %v", digest, err, erasure.ErrRefused)
			}
		})
	}
}
