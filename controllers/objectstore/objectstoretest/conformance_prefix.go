package objectstoretest

import (
	"bytes"
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

func testRemovePrefix(t *testing.T, h Harness) {
	eachKind(t, h, func(t *testing.T, bucket string, _ Kind) {
		for _, key := range []string{
			"ns/uid/manifest.json", "ns/uid/data/a", "ns/uid/data/a/b/c", "ns/uid/data/deleted", "ns/uid/data/folder/",
			"ns/uid/data/ümläut/a b+c%41", "ns/uid/",
		} {
			put(t, h, bucket, key, "1")
			put(t, h, bucket, key, "2")
		}
		h.Delete(t, bucket, "ns/uid/data/deleted")
		under := h
		under.Backend = h.Under(Key(t, 1))
		put(t, under, bucket, "ns/uid/data/under-a-key", "1")
		const large = 17 << 20
		err := under.Put(t.Context(), bucket, "ns/uid/data/large", bytes.NewReader(pattern(large)), large, objectstore.PutOptions{})
		wantError(t, "put in parts", err, nil)
		neighbours := []string{"n/uid/x", "ns/ui/x", "ns/uid-/x", "ns/uid2/x", "ns2/uid/x", "other/uid/x"}
		for _, key := range neighbours {
			put(t, h, bucket, key, "neighbour")
		}
		upload := h.BeginUpload(t, bucket, "ns/uid/data/unfinished")
		wantError(t, "remove the prefix", h.RemovePrefix(t.Context(), bucket, "ns/uid/"), nil)
		wantError(t, "remove it again", h.RemovePrefix(t.Context(), bucket, "ns/uid/"), nil)
		wantError(t, "remove what never was", h.RemovePrefix(t.Context(), bucket, "ns/never/"), nil)
		if left := collect(t, h.ListVersions(t.Context(), bucket, "ns/uid/")); len(left) > 0 {
			t.Errorf("left are %v", left)
		}
		var got []string
		for _, v := range collect(t, h.ListVersions(t.Context(), bucket, "")) {
			got = append(got, v.Key)
		}
		if diff := cmp.Diff(neighbours, got); diff != "" {
			t.Errorf("neighbours (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]objectstore.Upload{upload}, collect(t, h.ListUploads(t.Context(), bucket, "ns/uid/"))); diff != "" {
			t.Errorf("unfinished uploads stay (-want +got):\n%s", diff)
		}
	})
}

func testRemovePrefixRefused(t *testing.T, h Harness) {
	locked, open := h.Bucket(t, Locked), h.Bucket(t, Versioned)
	for _, bucket := range []string{locked, open} {
		put(t, h, bucket, "ns/uid/data/"+private, "x")
	}
	wantError(t, "object lock", h.RemovePrefix(t.Context(), locked, "ns/uid/"), objectstore.ErrUnsupported)
	wantError(t, "no bucket", h.RemovePrefix(t.Context(), "absent", "ns/uid/"), objectstore.ErrNotFound)
	wantError(t, "no server", h.Down.RemovePrefix(t.Context(), open, "ns/uid/"), objectstore.ErrUnavailable)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, "too late", h.RemovePrefix(cancelled, open, "ns/uid/"), context.Canceled)
	if err := h.Stranger.RemovePrefix(t.Context(), open, "ns/uid/"); err == nil {
		t.Error("a stranger removes a prefix")
	}
	for _, prefix := range []string{"", "/", "ns", "ns/", "ns/uid", "ns//", "//", "/ns/", "ns/../", "../ns/", "ns/./", "ns/uid//", "./ns/", "ns/uid/../"} {
		err := h.RemovePrefix(t.Context(), open, prefix)
		if err == nil {
			t.Errorf("the prefix %q is taken", prefix)
		}
		wantError(t, "bad prefix", err, nil)
	}
	for _, bucket := range []string{locked, open} {
		if got := len(collect(t, h.ListVersions(t.Context(), bucket, ""))); got != 1 {
			t.Errorf("%d versions are left", got)
		}
	}
}
