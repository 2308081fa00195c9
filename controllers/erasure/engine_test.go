package erasure_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

func TestEraseInMemory(t *testing.T) {
	t.Parallel()
	eraseOn(t, inMemory)
}

func TestEraseOnMinIO(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	eraseOn(t, func(t *testing.T, kind objectstoretest.Kind) *world { t.Helper(); return onMinIO(t, server, kind) })
}

// eraseOn is the suite that both paths pass on both stores and kinds of buckets.
func eraseOn(t *testing.T, empty func(*testing.T, objectstoretest.Kind) *world) {
	t.Helper()
	for name, kind := range map[string]objectstoretest.Kind{"unversioned": objectstoretest.Unversioned, "versioned": objectstoretest.Versioned} {
		for path, change := range map[string]func(*erasure.Options){"portable": func(*erasure.Options) {}, "fast": fastPath} {
			build := func(t *testing.T) *world {
				t.Helper()
				w := empty(t, kind)
				w.engine = w.newEngine(t, w.Backend, change)
				return w
			}
			t.Run(name+", "+path, func(t *testing.T) {
				t.Parallel()
				w := build(t)
				w.fillNeighbours(t)
				want := w.state(t)
				held := w.fillTarget(t)
				if kind == objectstoretest.Unversioned {
					held.Versions, held.Bytes = 5, 5*int64(len(contents))
				}
				removed := held
				if path == "fast" {
					removed = erasure.Inventory{Uploads: held.Uploads} // Nobody counts the rest.
				}
				checkErase(t, w, held, removed)
				if diff := cmp.Diff(want, w.state(t)); diff != "" {
					t.Errorf("the neighbours (-want +got):\n%s", diff)
				}
			})
			t.Run("more than one batch, "+name+", "+path, func(t *testing.T) {
				t.Parallel()
				w := build(t)
				want := w.state(t)
				w.putMany(t, 2*objectstore.MaxBatch+100)
				removed, err := w.engine.Erase(t.Context(), w.target, nil)
				if err != nil || (path == "portable") != (removed.Versions == 2*objectstore.MaxBatch+100) {
					t.Errorf("removed %+v: %v", removed, err)
				}
				if diff := cmp.Diff(want, w.state(t)); diff != "" {
					t.Errorf("the store (-want +got):\n%s", diff)
				}
			})
			t.Run("keys below keys, "+name+", "+path, func(t *testing.T) {
				t.Parallel()
				w := build(t)
				want := w.state(t)
				// MinIO shows each only when the one above is gone.
				for _, key := range []string{"a", "a/b", "a/b/c", "a/b/c/d"} {
					w.put(t, w.datasets, prefix+"data/"+key)
				}
				if _, err := w.engine.Erase(t.Context(), w.target, nil); err != nil {
					t.Errorf("erase: %v", err)
				}
				if diff := cmp.Diff(want, w.state(t)); diff != "" {
					t.Errorf("the store (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestObjectInThePrefixsPlace: for MinIO an object "ns/uid" and the folder "ns/uid/" are
// one. It shows nothing below the first, and would remove it along with the second.
func TestObjectInThePrefixsPlace(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	for path, change := range map[string]func(*erasure.Options){"portable": func(*erasure.Options) {}, "fast": fastPath} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			w := onMinIO(t, server, objectstoretest.Unversioned)
			w.engine = w.newEngine(t, w.Backend, change)
			w.put(t, w.datasets, prefix+"data/a")
			want := w.state(t)
			w.put(t, w.datasets, "ns/"+uid)
			for what, err := range tryAll(t.Context(), w, w.target) {
				if !errors.Is(err, erasure.ErrRefused) {
					t.Errorf("%s gives %v, want %v", what, err, erasure.ErrRefused)
				}
			}
			w.Delete(t, w.datasets, "ns/"+uid)
			if diff := cmp.Diff(want, w.state(t)); diff != "" {
				t.Errorf("the store (-want +got):\n%s", diff)
			}
			if _, err := w.engine.Erase(t.Context(), w.target, nil); err != nil {
				t.Errorf("once it is gone: %v", err)
			}
			wantVerify(t, w, true)
		})
	}
}

// checkErase walks through the life of an erase, and once more.
func checkErase(t *testing.T, w *world, held, removed erasure.Inventory) {
	t.Helper()
	got, err := w.engine.Inventory(t.Context(), w.target)
	if diff := cmp.Diff(held, got); diff != "" || err != nil {
		t.Errorf("inventory: %v (-want +got):\n%s", err, diff)
	}
	wantVerify(t, w, false)
	got, err = w.engine.Erase(t.Context(), w.target, nil)
	if diff := cmp.Diff(removed, got); diff != "" || err != nil {
		t.Errorf("erase: %v; removed (-want +got):\n%s", err, diff)
	}
	wantVerify(t, w, true)
	got, err = w.engine.Erase(t.Context(), w.target, nil)
	if err != nil || !got.Empty() {
		t.Errorf("erase again: %v, removed %+v", err, got)
	}
}

func wantVerify(t *testing.T, w *world, want bool) {
	t.Helper()
	if empty, err := w.engine.Verify(t.Context(), w.target); err != nil || empty != want {
		t.Errorf("verify says %v, %v; want %v", empty, err, want)
	}
}

// witness is an auditor that says what it was told to.
type witness struct {
	store            string
	empty            bool
	errStore, errAll error
}

func (a witness) Identity(context.Context, string) (string, error) { return a.store, a.errStore }

func (a witness) Empty(context.Context, string, string) (bool, error) { return a.empty, a.errAll }

func TestVerifyIsTheAuditorsWord(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	w.fillTarget(t)
	here := w.target.Store
	for name, c := range map[string]struct {
		auditor witness
		want    bool
		err     error
	}{
		"he finds nothing":              {witness{store: here, empty: true}, true, nil},
		"he finds something":            {witness{store: here}, false, nil},
		"he sees another store":         {witness{store: otherStore, empty: true}, false, erasure.ErrUnknownStore},
		"he sees a store without name":  {witness{empty: true, errStore: objectstore.ErrNotFound}, false, erasure.ErrUnknownStore},
		"he can not see which store":    {witness{empty: true, errStore: objectstore.ErrDenied}, false, objectstore.ErrDenied},
		"he can not see all":            {witness{store: here, errAll: objectstore.ErrUnavailable}, false, objectstore.ErrUnavailable},
		"he sees nothing and an error":  {witness{store: here, empty: true, errAll: objectstore.ErrDenied}, false, objectstore.ErrDenied},
		"he sees no bucket at all":      {witness{store: here, errAll: objectstore.ErrNotFound}, false, objectstore.ErrNotFound},
		"he sees a store, not for sure": {witness{store: here, empty: true, errStore: objectstore.ErrUnavailable}, false, objectstore.ErrUnavailable},
	} {
		engine := w.newEngine(t, s, func(o *erasure.Options) { o.Auditor = c.auditor })
		s.SetFault(objectstoretest.Fault{})
		got, err := engine.Verify(t.Context(), w.target)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: verify says %v, %v; want %v, %v", name, got, err, c.want, c.err)
		}
		if s.Calls() > 0 {
			t.Errorf("%s: the store was asked %d times by who removes", name, s.Calls())
		}
	}
}

func TestNothingIsEmptyThatCannotBeListed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breakIt func(*objectstoretest.Store, *world)
		want    error
	}{
		"no bucket":       {func(_ *objectstoretest.Store, w *world) { w.target.Bucket = "absent" }, erasure.ErrUnknownStore},
		"no server":       {func(s *objectstoretest.Store, _ *world) { s.SetDown(true) }, objectstore.ErrUnavailable},
		"no right":        {func(s *objectstoretest.Store, _ *world) { s.FailAll(objectstore.ErrDenied) }, objectstore.ErrDenied},
		"no identity":     {func(s *objectstoretest.Store, _ *world) { s.SetFault(objectstoretest.Fault{Call: 1}) }, objectstore.ErrUnavailable},
		"no facts":        {func(s *objectstoretest.Store, _ *world) { s.SetFault(objectstoretest.Fault{Call: 2}) }, objectstore.ErrUnavailable},
		"no uploads":      {func(s *objectstoretest.Store, _ *world) { s.SetFault(objectstoretest.Fault{Call: 3}) }, objectstore.ErrUnavailable},
		"no versions":     {func(s *objectstoretest.Store, _ *world) { s.SetFault(objectstoretest.Fault{Call: 4}) }, objectstore.ErrUnavailable},
		"no second page":  {func(s *objectstoretest.Store, _ *world) { s.SetFault(objectstoretest.Fault{Call: 5}); s.SetPage(1) }, objectstore.ErrUnavailable},
		"a page on which": {func(s *objectstoretest.Store, _ *world) { s.SetFault(objectstoretest.Fault{Call: 4, After: true}) }, objectstore.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for what, do := range map[string]func(context.Context, *world) (done bool, err error){
				"inventory": func(ctx context.Context, w *world) (bool, error) {
					found, err := w.engine.Inventory(ctx, w.target)
					return !found.Empty() || err == nil, err
				},
				"erase": func(ctx context.Context, w *world) (bool, error) {
					_, err := w.engine.Erase(ctx, w.target, nil)
					return err == nil, err
				},
			} {
				w, s := memory(t)
				for _, key := range []string{"1", "2", "3"} {
					w.put(t, w.datasets, prefix+key)
				}
				c.breakIt(s, w)
				done, err := do(t.Context(), w)
				if done || !errors.Is(err, c.want) {
					t.Errorf("%s says %v, %v; want %v", what, done, err, c.want)
				}
			}
		})
	}
}

func TestNewNeedsAll(t *testing.T) {
	t.Parallel()
	s := objectstoretest.NewStore()
	whole := erasure.Options{Store: s, Auditor: auditor{s}, ReceiptsBucket: "receipts", LedgerBucket: "ledger"}
	if _, err := erasure.New(whole); err != nil {
		t.Errorf("with all: %v", err)
	}
	for name, change := range map[string]func(*erasure.Options){
		"no store":         func(o *erasure.Options) { o.Store = nil },
		"no auditor":       func(o *erasure.Options) { o.Auditor = nil },
		"no receipts":      func(o *erasure.Options) { o.ReceiptsBucket = "" },
		"no ledger":        func(o *erasure.Options) { o.LedgerBucket = "" },
		"a negative limit": func(o *erasure.Options) { o.Limit = -1 },
	} {
		o := whole
		change(&o)
		if _, err := erasure.New(o); err == nil {
			t.Errorf("%s: an engine is made", name)
		}
	}
}

// wantNoKey looks for the names of files.
func wantNoKey(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), "data/") {
		t.Errorf("the error names a key: %v", err)
	}
}
