package erasure_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

func TestEraseRefuses(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	w.fillNeighbours(t)
	w.fillTarget(t)
	want := w.state(t)
	id := w.target.Store
	for name, target := range map[string]erasure.Target{
		"nothing":                      {},
		"no bucket":                    {Prefix: prefix, UID: uid, Store: id},
		"the receipts":                 {Bucket: w.receipts, Prefix: prefix, UID: uid, Store: id},
		"the ledger":                   {Bucket: w.ledger, Prefix: prefix, UID: uid, Store: id},
		"no prefix":                    {Bucket: w.datasets, UID: uid, Store: id},
		"a slash":                      {Bucket: w.datasets, Prefix: "/", UID: uid, Store: id},
		"a whole namespace":            {Bucket: w.datasets, Prefix: "ns/", UID: uid, Store: id},
		"a UID without a namespace":    {Bucket: w.datasets, Prefix: uid + "/", UID: uid, Store: id},
		"an empty namespace":           {Bucket: w.datasets, Prefix: "/" + uid + "/", UID: uid, Store: id},
		"a prefix without its slash":   {Bucket: w.datasets, Prefix: "ns/" + uid, UID: uid, Store: id},
		"another object's prefix":      {Bucket: w.datasets, Prefix: "ns/" + otherUID + "/", UID: uid, Store: id},
		"a part of the prefix":         {Bucket: w.datasets, Prefix: prefix + "data/", UID: uid, Store: id},
		"a deeper place":               {Bucket: w.datasets, Prefix: "a/b/" + uid + "/", UID: uid, Store: id},
		"a place above":                {Bucket: w.datasets, Prefix: "../" + uid + "/", UID: uid, Store: id},
		"no UID":                       {Bucket: w.datasets, Prefix: "ns//", Store: id},
		"no UID at all":                {Bucket: w.datasets, Prefix: "ns/", Store: id},
		"a UID that is a name":         {Bucket: w.datasets, Prefix: "ns/digits/", UID: "digits", Store: id},
		"a UID that is too short":      {Bucket: w.datasets, Prefix: "ns/" + uid[:35] + "/", UID: uid[:35], Store: id},
		"a UID in upper case":          {Bucket: w.datasets, Prefix: "ns/6F9619FF-8B86-4011-B42D-00C04FC964FF/", UID: "6F9619FF-8B86-4011-B42D-00C04FC964FF", Store: id},
		"a namespace of strange bytes": {Bucket: w.datasets, Prefix: "n s/" + uid + "/", UID: uid, Store: id},
		"no store":                     {Bucket: w.datasets, Prefix: prefix, UID: uid},
		"a store that is no identity":  {Bucket: w.datasets, Prefix: prefix, UID: uid, Store: "minio"},
	} {
		s.SetFault(objectstoretest.Fault{})
		for what, err := range tryAll(t.Context(), w, target) {
			if !errors.Is(err, erasure.ErrRefused) {
				t.Errorf("%s: %s gives %v, want %v", name, what, err, erasure.ErrRefused)
			}
		}
		if s.Calls() > 0 {
			t.Errorf("%s: the store was called %d times", name, s.Calls())
		}
	}
	if diff := cmp.Diff(want, w.state(t)); diff != "" {
		t.Errorf("the store (-want +got):\n%s", diff)
	}
}

// tryAll gives the errors of all that can be asked of an engine about a target.
func tryAll(ctx context.Context, w *world, target erasure.Target) map[string]error {
	_, errErase := w.engine.Erase(ctx, target, nil)
	_, errInventory := w.engine.Inventory(ctx, target)
	empty, errVerify := w.engine.Verify(ctx, target)
	if empty {
		errVerify = errors.New("verify says that it is empty")
	}
	return map[string]error{"erase": errErase, "inventory": errInventory, "verify": errVerify}
}

func TestUnknownStoreIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testing.T, *world){
		"another store":     func(_ *testing.T, w *world) { w.target.Store = otherStore },
		"no such bucket":    func(_ *testing.T, w *world) { w.target.Bucket = "absent" },
		"a store anonymous": func(t *testing.T, w *world) { t.Helper(); w.target.Bucket = w.artifacts },
		"a damaged identity": func(t *testing.T, w *world) {
			t.Helper()
			w.putText(t, w.datasets, objectkey.IdentityKey, `{"kind":"`+objectkey.IdentityKind+`","store":"all"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := memory(t)
			w.fillNeighbours(t)
			w.fillTarget(t)
			change(t, w)
			want := w.state(t)
			for what, err := range tryAll(t.Context(), w, w.target) {
				if !errors.Is(err, erasure.ErrUnknownStore) || !errors.Is(err, erasure.ErrRefused) {
					t.Errorf("%s gives %v, want %v", what, err, erasure.ErrUnknownStore)
				}
			}
			if diff := cmp.Diff(want, w.state(t)); diff != "" {
				t.Errorf("the store (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLockedBuckets(t *testing.T) {
	t.Parallel()
	for name, empty := range map[string]func(*testing.T) *world{
		"in memory": func(t *testing.T) *world { t.Helper(); return inMemory(t, objectstoretest.Locked) },
		"on MinIO": func(t *testing.T) *world {
			t.Helper()
			return onMinIO(t, objectstoretest.StartMinIO(t), objectstoretest.Locked)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := empty(t)
			w.engine = w.newEngine(t, w.Backend, fastPath)
			wantLocked(t, w, false) // Nothing is there that could be retained.
			w.put(t, w.datasets, prefix+"data/a")
			w.Delete(t, w.datasets, prefix+"data/a")
			w.put(t, w.datasets, prefix+"data/b")
			want := w.state(t)
			wantLocked(t, w, true)
			wantVerify(t, w, false)
			if diff := cmp.Diff(want, w.state(t)); diff != "" {
				t.Errorf("the store (-want +got):\n%s", diff)
			}
		})
	}
}

func wantLocked(t *testing.T, w *world, retained bool) {
	t.Helper()
	_, errErase := w.engine.Erase(t.Context(), w.target, nil)
	_, errInventory := w.engine.Inventory(t.Context(), w.target)
	for what, err := range map[string]error{"erase": errErase, "inventory": errInventory} {
		var locked *erasure.LockedError
		if !errors.As(err, &locked) || !errors.Is(err, erasure.ErrRefused) || errors.Is(err, erasure.ErrUnknownStore) {
			t.Errorf("%s gives %v, want that the bucket is locked", what, err)
			continue
		}
		tomorrow := wall.Now().Add(24 * time.Hour)
		if retained && (locked.Until.After(tomorrow.Add(time.Minute)) || locked.Until.Before(tomorrow.Add(-time.Hour))) {
			t.Errorf("%s says until %s, want in a day", what, locked.Until)
		}
		if !retained && !locked.Until.IsZero() {
			t.Errorf("%s says until %s of nothing", what, locked.Until)
		}
	}
}

func TestIdentityIsGivenOnce(t *testing.T) {
	t.Parallel()
	for name, empty := range map[string]func(*testing.T) *world{
		"in memory": func(t *testing.T) *world { t.Helper(); return inMemory(t, objectstoretest.Versioned) },
		"on MinIO": func(t *testing.T) *world {
			t.Helper()
			return onMinIO(t, objectstoretest.StartMinIO(t), objectstoretest.Versioned)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := empty(t)
			bucket := w.Bucket(t, objectstoretest.Versioned)
			if id, err := w.engine.Identity(t.Context(), bucket); id != "" || !errors.Is(err, erasure.ErrUnknownStore) {
				t.Errorf("before it has one: %q, %v", id, err)
			}
			var mu sync.Mutex
			names := map[string]int{}
			var group sync.WaitGroup
			for range 8 {
				group.Go(func() {
					id, err := erasure.EnsureIdentity(t.Context(), w, bucket, "", rand.Reader)
					if err != nil {
						t.Errorf("ensure identity: %v", err)
					}
					mu.Lock()
					names[id]++
					mu.Unlock()
				})
			}
			group.Wait()
			id, err := w.engine.Identity(t.Context(), bucket)
			if diff := cmp.Diff(map[string]int{id: 8}, names); diff != "" || err != nil || len(id) != 32 {
				t.Errorf("identity is %q, %v; given were (-want +got):\n%s", id, err, diff)
			}
		})
	}
}

func TestEnsureIdentityFails(t *testing.T) {
	t.Parallel()
	full := strings.Repeat("r", 16)
	for name, c := range map[string]struct {
		bucket, there, random string
		fault                 objectstoretest.Fault
		want                  error
	}{
		"no bucket":               {bucket: "absent", random: full, want: objectstore.ErrNotFound},
		"no randomness":           {random: "short", want: io.ErrUnexpectedEOF},
		"no reading":              {random: full, fault: objectstoretest.Fault{Call: 1}, want: objectstore.ErrUnavailable},
		"no writing":              {random: full, fault: objectstoretest.Fault{Call: 2, Err: objectstore.ErrDenied}, want: objectstore.ErrDenied},
		"no reading again":        {random: full, fault: objectstoretest.Fault{Call: 3}, want: objectstore.ErrUnavailable},
		"something else is there": {random: full, there: "hello", want: erasure.ErrUnknownStore},
		"another kind is there":   {random: full, there: `{"kind":"v9","store":"` + otherStore + `"}`, want: erasure.ErrUnknownStore},
		"nothing is said there":   {random: full, there: `{"kind":"` + objectkey.IdentityKind + `"}`, want: erasure.ErrUnknownStore},
		"another cluster's":       {random: full, there: `{"kind":"` + objectkey.IdentityKind + `","store":"` + otherStore + `","cluster":"c2"}`, want: erasure.ErrUnknownStore},
		"something huge is there": {random: full, there: strings.Repeat(" ", 8<<10) + `{}`, want: erasure.ErrUnknownStore},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := objectstoretest.NewStore()
			s.AddBucket("bucket", objectstoretest.Versioned)
			bucket := "bucket"
			if c.bucket != "" {
				bucket = c.bucket
			}
			if c.there != "" {
				if err := s.Put(t.Context(), bucket, objectkey.IdentityKey, strings.NewReader(c.there), int64(len(c.there)), objectstore.PutOptions{}); err != nil {
					t.Fatalf("put: %v", err)
				}
			}
			s.SetFault(c.fault)
			id, err := erasure.EnsureIdentity(t.Context(), s, bucket, "", strings.NewReader(c.random))
			if id != "" || !errors.Is(err, c.want) {
				t.Errorf("got %q, %v; want %v", id, err, c.want)
			}
		})
	}
}

// TestBucketOfAnotherCluster: what has no object in this cluster has one in another.
func TestBucketOfAnotherCluster(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	w.fillTarget(t)
	want := w.state(t)
	other, err := erasure.New(erasure.Options{
		Store: s, Auditor: objectstoretest.Auditor{Store: s}, Cluster: "c2",
		ReceiptsBucket: "receipts", LedgerBucket: "ledger", FastPath: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Identity(t.Context(), w.datasets); !errors.Is(err, erasure.ErrUnknownStore) {
		t.Errorf("identity: %v, want %v", err, erasure.ErrUnknownStore)
	}
	if _, err := other.Erase(t.Context(), w.target, nil); !errors.Is(err, erasure.ErrUnknownStore) {
		t.Errorf("erase: %v, want %v", err, erasure.ErrUnknownStore)
	}
	if diff := cmp.Diff(want, w.state(t)); diff != "" {
		t.Errorf("the store (-want +got):\n%s", diff)
	}
}

func TestEnsureIdentityAfterALostAnswer(t *testing.T) {
	t.Parallel()
	s := objectstoretest.NewStore()
	s.AddBucket("bucket", objectstoretest.Versioned)
	s.SetFault(objectstoretest.Fault{Call: 2, After: true})
	if _, err := erasure.EnsureIdentity(t.Context(), s, "bucket", "", rand.Reader); !errors.Is(err, objectstore.ErrUnavailable) {
		t.Errorf("the lost answer gives %v", err)
	}
	first, err := erasure.EnsureIdentity(t.Context(), s, "bucket", "", rand.Reader)
	if err != nil {
		t.Fatalf("then: %v", err)
	}
	if second, err := erasure.EnsureIdentity(t.Context(), s, "bucket", "", bytes.NewReader(nil)); err != nil || second != first {
		t.Errorf("and then: %q, %v; want %q", second, err, first)
	}
}

func (w *world) putText(t *testing.T, bucket, key, text string) {
	t.Helper()
	if err := w.Put(t.Context(), bucket, key, strings.NewReader(text), int64(len(text)), objectstore.PutOptions{}); err != nil {
		t.Fatalf("put: %v", err)
	}
}
