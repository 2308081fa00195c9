package erasure_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

func TestEraseInMemory(t *testing.T) {
	t.Parallel()
	eraseOn(t, func(t *testing.T) objectstoretest.Harness { t.Helper(); return objectstoretest.Memory(t) })
}

func TestEraseOnMinIO(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	eraseOn(t, func(t *testing.T) objectstoretest.Harness { t.Helper(); return objectstoretest.Real(t, server) })
}

func eraseOn(t *testing.T, harness func(*testing.T) objectstoretest.Harness) {
	t.Helper()
	for name, kind := range map[string]objectstoretest.Kind{"unversioned": objectstoretest.Unversioned, "versioned": objectstoretest.Versioned} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, harness(t), kind)
			w.fillNeighbours(t)
			want := w.state(t)
			held := w.fillTarget(t)
			if kind == objectstoretest.Unversioned {
				held.Versions, held.Bytes = 5, 5*int64(len(contents))
			}
			checkErase(t, w, held)
			if diff := cmp.Diff(want, w.state(t)); diff != "" {
				t.Errorf("the neighbours (-want +got):\n%s", diff)
			}
		})
		t.Run("more than one batch, "+name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, harness(t), kind)
			fillMany(t, w, 2*objectstore.MaxBatch+100)
			removed, err := w.engine.Erase(t.Context(), w.target)
			if err != nil || removed.Versions < 2*objectstore.MaxBatch {
				t.Errorf("removed %+v: %v", removed, err)
			}
			if left := w.state(t); len(left) > 0 {
				t.Errorf("%d entries are left", len(left))
			}
		})
		t.Run("keys below keys, "+name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, harness(t), kind)
			// MinIO shows each only when the one above is gone.
			w.put(t, w.datasets, "ns/"+uid)
			for _, key := range []string{"a", "a/b", "a/b/c", "a/b/c/d"} {
				w.put(t, w.datasets, prefix+"data/"+key)
			}
			if _, err := w.engine.Erase(t.Context(), w.target); err != nil {
				t.Errorf("erase: %v", err)
			}
			if left := w.state(t); len(left) != 1 {
				t.Errorf("%d entries are left, want the one that is not in the prefix: %v", len(left), left)
			}
		})
	}
}

// checkErase walks through the life of an erase, and once more.
func checkErase(t *testing.T, w *world, held erasure.Inventory) {
	t.Helper()
	got, err := w.engine.Inventory(t.Context(), w.target)
	if diff := cmp.Diff(held, got); diff != "" || err != nil {
		t.Errorf("inventory: %v (-want +got):\n%s", err, diff)
	}
	wantVerify(t, w, false)
	removed, err := w.engine.Erase(t.Context(), w.target)
	if diff := cmp.Diff(held, removed); diff != "" || err != nil {
		t.Errorf("erase: %v; removed (-want +got):\n%s", err, diff)
	}
	wantVerify(t, w, true)
	removed, err = w.engine.Erase(t.Context(), w.target)
	if err != nil || !removed.Empty() {
		t.Errorf("erase again: %v, removed %+v", err, removed)
	}
}

func wantVerify(t *testing.T, w *world, want bool) {
	t.Helper()
	if empty, err := w.engine.Verify(t.Context(), w.target); err != nil || empty != want {
		t.Errorf("verify says %v, %v; want %v", empty, err, want)
	}
}

func fillMany(t *testing.T, w *world, n int) {
	t.Helper()
	put := make(chan int)
	done := make(chan error)
	for range 16 {
		go func() {
			var failed error
			for i := range put {
				key := prefix + "data/" + string(rune('a'+i%26)) + "/" + string(rune('0'+i%10)) + "/" + itoa(i)
				failed = errors.Join(failed, w.Put(t.Context(), w.datasets, key, nothing{}, 0, objectstore.PutOptions{}))
			}
			done <- failed
		}()
	}
	for i := range n {
		put <- i
	}
	close(put)
	for range 16 {
		if err := <-done; err != nil {
			t.Fatalf("put: %v", err)
		}
	}
}

func TestVerifySeesEverything(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*testing.T, *world){
		"an object": func(t *testing.T, w *world) { t.Helper(); w.put(t, w.datasets, prefix+"data/a") },
		"a marker":  func(t *testing.T, w *world) { t.Helper(); w.Delete(t, w.datasets, prefix+"data/a") },
		"an upload": func(t *testing.T, w *world) { t.Helper(); w.BeginUpload(t, w.datasets, prefix+"data/a") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := memory(t)
			w.fillNeighbours(t)
			wantVerify(t, w, true)
			leave(t, w)
			wantVerify(t, w, false)
		})
	}
}

func TestNothingIsEmptyThatCannotBeListed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breakIt func(*objectstoretest.Store, *world)
		want    error
	}{
		"no bucket":       {func(_ *objectstoretest.Store, w *world) { w.target.Bucket = "absent" }, objectstore.ErrNotFound},
		"no server":       {func(s *objectstoretest.Store, _ *world) { s.SetDown(true) }, objectstore.ErrUnavailable},
		"no right":        {func(s *objectstoretest.Store, _ *world) { s.FailAll(objectstore.ErrDenied) }, objectstore.ErrDenied},
		"no second page":  {func(s *objectstoretest.Store, _ *world) { s.SetFault(objectstoretest.Fault{Call: 3}); s.SetPage(1) }, objectstore.ErrUnavailable},
		"no versions":     {func(s *objectstoretest.Store, _ *world) { s.SetFault(objectstoretest.Fault{Call: 2}) }, objectstore.ErrUnavailable},
		"no uploads even": {func(s *objectstoretest.Store, _ *world) { s.SetFault(objectstoretest.Fault{Call: 1}) }, objectstore.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for what, do := range map[string]func(context.Context, *world) (empty bool, err error){
				"verify": func(ctx context.Context, w *world) (bool, error) {
					if w.target.Bucket == w.datasets { // Nothing that ends the listing early.
						return w.engine.Verify(ctx, erasure.Target{Bucket: w.datasets, Prefix: "other/" + uid + "/", UID: uid})
					}
					return w.engine.Verify(ctx, w.target)
				},
				"inventory": func(ctx context.Context, w *world) (bool, error) {
					found, err := w.engine.Inventory(ctx, w.target)
					return found.Empty() && err == nil, err
				},
				"erase": func(ctx context.Context, w *world) (bool, error) {
					_, err := w.engine.Erase(ctx, w.target)
					return err == nil, err
				},
			} {
				w, s := memory(t)
				for _, key := range []string{"1", "2", "3"} {
					w.put(t, w.datasets, prefix+key)
				}
				c.breakIt(s, w)
				empty, err := do(t.Context(), w)
				if what == "verify" && name == "no second page" && err == nil {
					continue // There was no second page to ask for.
				}
				if empty || !errors.Is(err, c.want) {
					t.Errorf("%s says %v, %v; want %v", what, empty, err, c.want)
				}
			}
		})
	}
}

func TestEraseRefuses(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	w.fillNeighbours(t)
	w.fillTarget(t)
	want := w.state(t)
	for name, target := range map[string]erasure.Target{
		"nothing":                      {},
		"no bucket":                    {Prefix: prefix, UID: uid},
		"the receipts":                 {Bucket: w.receipts, Prefix: prefix, UID: uid},
		"no prefix":                    {Bucket: w.datasets, UID: uid},
		"a slash":                      {Bucket: w.datasets, Prefix: "/", UID: uid},
		"a whole namespace":            {Bucket: w.datasets, Prefix: "ns/", UID: uid},
		"a UID without a namespace":    {Bucket: w.datasets, Prefix: uid + "/", UID: uid},
		"an empty namespace":           {Bucket: w.datasets, Prefix: "/" + uid + "/", UID: uid},
		"a prefix without its slash":   {Bucket: w.datasets, Prefix: "ns/" + uid, UID: uid},
		"another object's prefix":      {Bucket: w.datasets, Prefix: "ns/" + otherUID + "/", UID: uid},
		"a part of the prefix":         {Bucket: w.datasets, Prefix: prefix + "data/", UID: uid},
		"a deeper place":               {Bucket: w.datasets, Prefix: "a/b/" + uid + "/", UID: uid},
		"a place above":                {Bucket: w.datasets, Prefix: "../" + uid + "/", UID: uid},
		"no UID":                       {Bucket: w.datasets, Prefix: "ns//"},
		"no UID at all":                {Bucket: w.datasets, Prefix: "ns/"},
		"a UID that is a name":         {Bucket: w.datasets, Prefix: "ns/digits/", UID: "digits"},
		"a UID that is too short":      {Bucket: w.datasets, Prefix: "ns/" + uid[:35] + "/", UID: uid[:35]},
		"a UID in upper case":          {Bucket: w.datasets, Prefix: "ns/6F9619FF-8B86-4011-B42D-00C04FC964FF/", UID: "6F9619FF-8B86-4011-B42D-00C04FC964FF"},
		"a namespace of strange bytes": {Bucket: w.datasets, Prefix: "n s/" + uid + "/", UID: uid},
	} {
		s.SetFault(objectstoretest.Fault{})
		_, errErase := w.engine.Erase(t.Context(), target)
		_, errInventory := w.engine.Inventory(t.Context(), target)
		empty, errVerify := w.engine.Verify(t.Context(), target)
		for what, err := range map[string]error{"erase": errErase, "inventory": errInventory, "verify": errVerify} {
			if !errors.Is(err, erasure.ErrRefused) {
				t.Errorf("%s: %s gives %v, want %v", name, what, err, erasure.ErrRefused)
			}
		}
		if empty || s.Calls() > 0 {
			t.Errorf("%s: verify says %v after %d calls of the store", name, empty, s.Calls())
		}
	}
	if diff := cmp.Diff(want, w.state(t)); diff != "" {
		t.Errorf("the store (-want +got):\n%s", diff)
	}
}

func TestNewNeedsAPlaceForReceipts(t *testing.T) {
	t.Parallel()
	if _, err := erasure.New(objectstoretest.NewStore(), ""); err == nil {
		t.Error("an engine without a bucket for receipts is made")
	}
	if _, err := erasure.New(nil, "receipts"); err == nil {
		t.Error("an engine without a store is made")
	}
}
