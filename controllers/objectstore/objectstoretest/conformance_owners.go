package objectstoretest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

func testListFrom(t *testing.T, h Harness) {
	eachKind(t, h, func(t *testing.T, bucket string, kind Kind) {
		for _, key := range []string{"a", "ns/uid/data/a", "ns/uid/data/b", "ns/uid/data/b/c", "ns/uid/data/c", "ns/uidx/data/a", "z"} {
			put(t, h, bucket, key, "1")
			put(t, h, bucket, key, "2")
		}
		for name, c := range map[string]struct {
			after string
			want  []string
		}{
			"from the start":          {"", []string{"a", "b", "c"}},
			"from before the prefix":  {"a", []string{"a", "b", "c"}},
			"from the prefix":         {"ns/uid/", []string{"a", "b", "c"}},
			"after a key":             {"ns/uid/data/a", []string{"b", "c"}},
			"after what is not there": {"ns/uid/data/bbb", []string{"c"}},
			"after the last":          {"ns/uid/data/c", nil},
			"from behind the prefix":  {"ns/uidx/data/a", nil},
			"from far behind":         {"z", nil},
		} {
			var got []string
			for _, v := range collect(t, h.ListVersionsFrom(t.Context(), bucket, "ns/uid/", c.after)) {
				// MinIO tells of "b/c" or not, while there is a "b".
				key := strings.TrimSuffix(strings.TrimPrefix(v.Key, "ns/uid/data/"), "/c")
				if !slices.Contains(got, key) {
					got = append(got, key)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s of a bucket of kind %d (-want +got):\n%s", name, kind, diff)
			}
		}
	})
}

func testOwners(t *testing.T, h Harness) {
	eachKind(t, h, func(t *testing.T, bucket string, kind Kind) {
		keys := []string{
			"lethe-identity.json", "top/", "ns/uid-a/data/x", "ns/uid-a/data/y", "ns/uid-a/manifest.json", "ns/uid-b/x/y/z",
			"other/uid/manifest.json", "ns/stray", "ns/folder/",
			"n s/u+i%d/x", "ümläut/日本/x", "a&b<c>/'d\"e/x",
		}
		if h.AnyKeys {
			keys = append(keys, "a//b", "/x", "//y", "a///c", "ns/stray/below/it", "name", "name/uid/below")
		}
		for range 2 {
			for _, key := range keys {
				put(t, h, bucket, key, "")
			}
		}
		want := map[string]bool{"up/load/": true, "up-here": true}
		for _, key := range keys {
			want[objectstore.OwnerOf(key)] = true
		}
		h.BeginUpload(t, bucket, "up/load/data/x")
		h.BeginUpload(t, bucket, "up/load/data/y")
		h.BeginUpload(t, bucket, "up-here")
		h.Delete(t, bucket, "other/uid/manifest.json")
		if kind == Unversioned {
			delete(want, "other/uid/")
		}
		got := map[string]bool{}
		for _, owner := range collect(t, h.ListOwners(t.Context(), bucket)) {
			if got[owner] {
				t.Errorf("%q is listed twice", owner)
			}
			got[owner] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("owners (-want +got):\n%s", diff)
		}
		empty(t, h, bucket, "")
		if left := collect(t, h.ListOwners(t.Context(), bucket)); len(left) > 0 {
			t.Errorf("an empty bucket has the owners %q", left)
		}
	})
}

func testManyOwners(t *testing.T, h Harness) {
	bucket := h.Bucket(t, Unversioned)
	const namespaces, all = 3, objectstore.MaxBatch + 50
	var g sync.WaitGroup
	for worker := range 8 {
		g.Go(func() {
			for i := worker; i < all; i += 8 {
				// Most of them in one namespace, which is then more than a page.
				key := fmt.Sprintf("ns-%d/uid-%05d/data/x", max(0, i-all+namespaces), i)
				if err := h.Put(t.Context(), bucket, key, strings.NewReader("x"), 1, objectstore.PutOptions{}); err != nil {
					t.Errorf("put: %v", err)
				}
			}
		})
	}
	g.Wait()
	got := collect(t, h.ListOwners(t.Context(), bucket))
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != all {
		t.Errorf("listed %d owners, want %d", n, all)
	}
	for _, err := range h.ListOwners(t.Context(), bucket) {
		if err != nil {
			t.Error(err)
		}
		break // Stops whenever it likes.
	}
}

func testFacts(t *testing.T, h Harness) {
	for kind, want := range map[Kind]objectstore.BucketFacts{
		Unversioned: {Server: "MinIO"},
		Versioned:   {Server: "MinIO", Versioning: objectstore.VersioningEnabled},
		Locked:      {Server: "MinIO", Versioning: objectstore.VersioningEnabled, ObjectLock: true, DefaultRetention: 24 * time.Hour},
	} {
		got, err := h.Facts(t.Context(), h.Bucket(t, kind))
		wantError(t, "facts", err, nil)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("facts of a bucket of kind %d (-want +got):\n%s", kind, diff)
		}
	}
}

func testRetained(t *testing.T, h Harness) {
	for kind, retained := range map[Kind]bool{Unversioned: false, Versioned: false, Locked: true} {
		bucket := h.Bucket(t, kind)
		put(t, h, bucket, "ns/uid/data/"+private, "x")
		h.Delete(t, bucket, "ns/uid/data/"+private)
		for _, v := range collect(t, h.ListVersions(t.Context(), bucket, "ns/")) {
			var want time.Time
			if retained && !v.Marker {
				want = time.Now().Add(24 * time.Hour)
			}
			got, err := h.RetainedUntil(t.Context(), bucket, v)
			wantError(t, "retained until", err, nil)
			if diff := cmp.Diff(want, got, cmpopts.EquateApproxTime(time.Minute)); diff != "" {
				t.Errorf("end of retention in a bucket of kind %d (-want +got):\n%s", kind, diff)
			}
		}
	}
	_, err := h.RetainedUntil(t.Context(), h.Bucket(t, Locked), objectstore.Version{Key: "ns/uid/data/" + private, ID: "null"})
	wantError(t, "retained until, of no object", err, objectstore.ErrNotFound)
}
