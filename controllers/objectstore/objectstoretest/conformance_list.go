package objectstoretest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

func testList(t *testing.T, h Harness) {
	eachKind(t, h, func(t *testing.T, bucket string, _ Kind) {
		for _, key := range []string{"ns/uid/data/b", "ns/uid/data/a", "ns/uid/data/a-b", "ns/uid/data/c/d", "ns/uid/manifest", "ns/uidx/data/a", "other/uid/a"} {
			put(t, h, bucket, key, "old contents")
			put(t, h, bucket, key, "new")
		}
		put(t, h, bucket, "ns/uid/data/deleted", "x")
		h.Delete(t, bucket, "ns/uid/data/deleted")
		want := []objectstore.Object{
			{Key: "ns/uid/data/a", Size: 3},
			{Key: "ns/uid/data/a-b", Size: 3},
			{Key: "ns/uid/data/b", Size: 3},
			{Key: "ns/uid/data/c/d", Size: 3},
			{Key: "ns/uid/manifest", Size: 3},
		}
		got := collect(t, h.List(t.Context(), bucket, "ns/uid/"))
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(objectstore.Object{}, "ETag")); diff != "" {
			t.Errorf("objects (-want +got):\n%s", diff)
		}
		for _, o := range got {
			if o.ETag == "" {
				t.Errorf("%s has no ETag", o.Key)
			}
		}
		if got := collect(t, h.List(t.Context(), bucket, "none/")); len(got) > 0 {
			t.Errorf("an absent prefix lists %d objects", len(got))
		}
	})
}

func testVersions(t *testing.T, h Harness) {
	eachKind(t, h, func(t *testing.T, bucket string, kind Kind) {
		put(t, h, bucket, "ns/uid/data/a", "12")
		put(t, h, bucket, "ns/uid/data/a", "1")
		put(t, h, bucket, "ns/uid/data/b/c", "")
		put(t, h, bucket, "ns/uid/data/gone", "123")
		h.Delete(t, bucket, "ns/uid/data/gone")
		put(t, h, bucket, "ns/uidx/data/a", "")
		want := []objectstore.Version{
			{Key: "ns/uid/data/a", Size: 1},
			{Key: "ns/uid/data/b/c"},
		}
		if kind == Versioned {
			want = []objectstore.Version{
				{Key: "ns/uid/data/a", Size: 1},
				{Key: "ns/uid/data/a", Size: 2},
				{Key: "ns/uid/data/b/c"},
				{Key: "ns/uid/data/gone", Marker: true},
				{Key: "ns/uid/data/gone", Size: 3},
			}
		}
		got := collect(t, h.ListVersions(t.Context(), bucket, "ns/uid/"))
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(objectstore.Version{}, "ID")); diff != "" {
			t.Errorf("versions (-want +got):\n%s", diff)
		}
		for _, v := range got {
			if v.ID == "" || (kind == Unversioned) != (v.ID == "null") {
				t.Errorf("a version of %s has the ID %q", v.Key, v.ID)
			}
		}
	})
}

// testNested is about MinIO: while there is an object "a", it lists nothing below
// "a/". Whoever empties a prefix lists again until nothing comes.
func testNested(t *testing.T, h Harness) {
	eachKind(t, h, func(t *testing.T, bucket string, _ Kind) {
		nested := []string{"ns/uid/data/a/b/c", "ns/uid/data/a/b", "ns/uid/data/a"}
		for _, key := range nested {
			put(t, h, bucket, key, "x")
		}
		for pass := 0; ; pass++ {
			found := collect(t, h.ListVersions(t.Context(), bucket, "ns/uid/"))
			if len(found) == 0 {
				break
			}
			if pass == len(nested) {
				t.Fatalf("%d versions are left after %d passes", len(found), pass)
			}
			if err := h.RemoveVersions(t.Context(), bucket, found); err != nil {
				t.Fatalf("remove versions: %v", err)
			}
		}
		for _, key := range nested {
			wantError(t, "get what was removed", closed(h.Get(t.Context(), bucket, key, 0, -1)), objectstore.ErrNotFound)
		}
	})
}

func testPages(t *testing.T, h Harness) {
	bucket := h.Bucket(t, Versioned)
	const keys = objectstore.MaxBatch/2 + 10
	putTwice(t, h, bucket, keys)
	versions := collect(t, h.ListVersions(t.Context(), bucket, "ns/uid/"))
	if len(versions) != 2*keys {
		t.Fatalf("listed %d versions, want %d", len(versions), 2*keys)
	}
	for i := 1; i < len(versions); i++ {
		if versions[i].Key < versions[i-1].Key || versions[i] == versions[i-1] {
			t.Fatalf("version %d is out of order", i)
		}
	}
	if got := len(collect(t, h.List(t.Context(), bucket, "ns/uid/"))); got != keys {
		t.Errorf("listed %d objects, want %d", got, keys)
	}
	testBrokenListing(t, h, bucket, 2*keys)
	if err := h.RemoveVersions(t.Context(), bucket, versions); err != nil {
		t.Fatalf("remove more than a page: %v", err)
	}
	empty(t, h, bucket, "ns/uid/")
}

// putTwice stores two versions of each key.
func putTwice(t *testing.T, h Harness, bucket string, keys int) {
	const workers = 8
	var g sync.WaitGroup
	for worker := range workers {
		g.Go(func() {
			for i := worker; i < 2*keys; i += workers {
				key := fmt.Sprintf("ns/uid/data/%05d", i%keys)
				if err := h.Put(t.Context(), bucket, key, strings.NewReader("x"), 1, objectstore.PutOptions{}); err != nil {
					t.Errorf("put: %v", err)
				}
			}
		})
	}
	g.Wait()
}

// testBrokenListing stops listing whenever it likes, and is stopped by its context,
// which never looks like the end of the listing.
func testBrokenListing(t *testing.T, h Harness, bucket string, all int) {
	for _, err := range h.ListVersions(t.Context(), bucket, "ns/uid/") {
		if err != nil {
			t.Fatalf("list versions: %v", err)
		}
		break
	}
	cancelled, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	seen := 0
	for _, err := range h.ListVersions(cancelled, bucket, "ns/uid/") {
		seen, last = seen+1, err
		cancel()
	}
	if seen == all || !errors.Is(last, context.Canceled) {
		t.Errorf("a listing that was cancelled gave %d entries and then %v", seen, last)
	}
}

func testUploads(t *testing.T, h Harness) {
	eachKind(t, h, func(t *testing.T, bucket string, _ Kind) {
		want := []objectstore.Upload{
			h.BeginUpload(t, bucket, "ns/uid/data/a/b"),
			h.BeginUpload(t, bucket, "ns/uid/data/a/b"),
			h.BeginUpload(t, bucket, "ns/uid/data/c"),
		}
		others := []objectstore.Upload{h.BeginUpload(t, bucket, "ns/uidx/data/a/b"), h.BeginUpload(t, bucket, "ns/ui/data/a")}
		inOrder := cmpopts.SortSlices(func(a, b objectstore.Upload) bool { return a.Key+a.ID < b.Key+b.ID })
		if diff := cmp.Diff(want, collect(t, h.ListUploads(t.Context(), bucket, "ns/uid/")), inOrder); diff != "" {
			t.Errorf("uploads under the prefix (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want[:2], collect(t, h.ListUploads(t.Context(), bucket, "ns/uid/data/a/b")), inOrder); diff != "" {
			t.Errorf("uploads of the key (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(append(others, want...), collect(t, h.ListUploads(t.Context(), bucket, "")), inOrder); diff != "" {
			t.Errorf("uploads of the bucket (-want +got):\n%s", diff)
		}
		for _, upload := range append(want, want[0], objectstore.Upload{Key: "ns/uid/data/never", ID: want[0].ID}) {
			if err := h.AbortUpload(t.Context(), bucket, upload); err != nil {
				t.Errorf("abort an upload: %v", err)
			}
		}
		if diff := cmp.Diff(others, collect(t, h.ListUploads(t.Context(), bucket, "")), inOrder); diff != "" {
			t.Errorf("uploads left (-want +got):\n%s", diff)
		}
	})
}

func collect[T any](t *testing.T, entries iter.Seq2[T, error]) []T {
	t.Helper()
	var all []T
	for entry, err := range entries {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		all = append(all, entry)
	}
	return all
}

// empty removes all that a prefix holds and makes sure of it.
func empty(t *testing.T, h Harness, bucket, prefix string) {
	t.Helper()
	for _, upload := range collect(t, h.ListUploads(t.Context(), bucket, prefix)) {
		if err := h.AbortUpload(t.Context(), bucket, upload); err != nil {
			t.Errorf("abort an upload: %v", err)
		}
	}
	if err := h.RemoveVersions(t.Context(), bucket, collect(t, h.ListVersions(t.Context(), bucket, prefix))); err != nil {
		t.Errorf("remove versions: %v", err)
	}
	left := len(collect(t, h.ListVersions(t.Context(), bucket, prefix))) + len(collect(t, h.ListUploads(t.Context(), bucket, prefix)))
	if left > 0 {
		t.Errorf("%d versions and uploads are left", left)
	}
}

func put(t *testing.T, h Harness, bucket, key, contents string) {
	t.Helper()
	if err := h.Put(t.Context(), bucket, key, strings.NewReader(contents), int64(len(contents)), objectstore.PutOptions{}); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func get(t *testing.T, h Harness, bucket, key string, offset, length int64) []byte {
	t.Helper()
	body, err := h.Get(t.Context(), bucket, key, offset, length)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	defer func() { _ = body.Close() }()
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("read %s: %v", key, err)
	}
	return data
}

// pattern gives bytes of which no two parts are equal.
func pattern(size int) []byte {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data) // Never fails.
	return data
}
