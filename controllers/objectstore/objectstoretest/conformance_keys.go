package objectstoretest

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// Key makes a key of one byte's repetition, for tests.
func Key(t testing.TB, of byte) objectstore.Key {
	t.Helper()
	k, err := objectstore.NewKey(bytes.Repeat([]byte{of}, objectstore.KeySize))
	if err != nil {
		t.Fatalf("make a key: %v", err)
	}
	return k
}

// eachBucket runs a test on all kinds of bucket that data may lie in, with and
// without encryption of their own.
func eachBucket(t *testing.T, h Harness, test func(t *testing.T, bucket string, kind Kind)) {
	t.Helper()
	eachKind(t, h, test)
	plain := h
	plain.Bucket = h.Plain
	t.Run("not encrypted by itself", func(t *testing.T) {
		t.Parallel()
		eachKind(t, plain, test)
	})
}

func testUnderKey(t *testing.T, h Harness) {
	eachBucket(t, h, func(t *testing.T, bucket string, _ Kind) {
		own := h
		own.Backend = h.Under(Key(t, 1))
		for name, size := range map[string]int{"empty": 0, "tiny": 1, "small": 70_000, "in parts": 17<<20 + 3} {
			want := pattern(size)
			for how, body := range map[string]io.Reader{"once": stream{bytes.NewReader(want)}, "anywhere": bytes.NewReader(want)} {
				key := "ns/uid/data/" + name + "/" + how
				if err := own.Put(t.Context(), bucket, key, body, int64(size), objectstore.PutOptions{}); err != nil {
					t.Fatalf("put %s: %v", key, err)
				}
				if got := get(t, own, bucket, key, 0, -1); !bytes.Equal(got, want) {
					t.Errorf("%s: got %d other bytes, want %d", key, len(got), len(want))
				}
				from, to := size/3, 2*size/3
				if got := get(t, own, bucket, key, int64(from), int64(to-from)); !bytes.Equal(got, want[from:to]) {
					t.Errorf("%s: a range is %d other bytes, want %d", key, len(got), to-from)
				}
				if size == 0 {
					continue
				}
				wantUnreadable(t, h.Backend, bucket, key)
				wantUnreadable(t, h.Under(objectstore.Key{}), bucket, key)
				wantUnreadable(t, h.Under(Key(t, 2)), bucket, key)
			}
		}
		// Nobody needs the key to remove what lies under it.
		empty(t, h, bucket, "ns/uid/")
	})
}

// wantUnreadable reads an object in all ways, without success.
func wantUnreadable(t *testing.T, s Backend, bucket, key string) {
	t.Helper()
	for what, length := range map[string]int64{"all": -1, "a range": 1, "nothing": 0} {
		wantError(t, "get "+what, closed(s.Get(t.Context(), bucket, key, 0, length)), objectstore.ErrKey)
	}
}

func testSizesUnderKey(t *testing.T, h Harness) {
	eachBucket(t, h, func(t *testing.T, bucket string, _ Kind) {
		own := h.Under(Key(t, 1))
		var objects []objectstore.Object
		var versions []objectstore.Version
		for i, size := range []int64{0, 1, 70_000, 16 << 20, 17<<20 + 3, 33 << 20} {
			key := "ns/uid/data/" + string(rune('a'+i))
			if err := own.Put(t.Context(), bucket, key, bytes.NewReader(pattern(int(size))), size, objectstore.PutOptions{}); err != nil {
				t.Fatalf("put %d bytes: %v", size, err)
			}
			objects = append(objects, objectstore.Object{Key: key, Size: size})
			versions = append(versions, objectstore.Version{Key: key, Size: size})
		}
		for name, s := range map[string]Backend{"without the key": h.Backend, "with the key": own} {
			got := collect(t, s.List(t.Context(), bucket, "ns/uid/"))
			if diff := cmp.Diff(objects, got, cmpopts.IgnoreFields(objectstore.Object{}, "ETag")); diff != "" {
				t.Errorf("objects listed %s (-want +got):\n%s", name, diff)
			}
			all := collect(t, s.ListVersions(t.Context(), bucket, "ns/uid/"))
			if diff := cmp.Diff(versions, all, cmpopts.IgnoreFields(objectstore.Version{}, "ID")); diff != "" {
				t.Errorf("versions listed %s (-want +got):\n%s", name, diff)
			}
		}
	})
}

func testKeyErrors(t *testing.T, h Harness) {
	bucket := h.Bucket(t, Versioned)
	first, second := h.Under(Key(t, 1)), h.Under(Key(t, 2))
	const key = "ns/uid/data/" + private
	only := objectstore.PutOptions{IfAbsent: true}
	store := func(s Backend, contents string, options objectstore.PutOptions) error {
		return s.Put(t.Context(), bucket, key, strings.NewReader(contents), int64(len(contents)), options)
	}
	wantError(t, "get what is not there", closed(first.Get(t.Context(), bucket, key, 0, -1)), objectstore.ErrNotFound)
	wantError(t, "touch what is not there", closed(first.Get(t.Context(), bucket, key, 0, 0)), objectstore.ErrNotFound)
	wantError(t, "get from no bucket", closed(first.Get(t.Context(), "absent", key, 0, -1)), objectstore.ErrNotFound)
	wantError(t, "put", store(first, "first", only), nil)
	wantError(t, "put under the same key", store(first, "again", only), objectstore.ErrPrecondition)
	wantError(t, "put under another key", store(second, "second", only), objectstore.ErrPrecondition)
	wantError(t, "put under no key", store(h.Backend, "third", only), objectstore.ErrPrecondition)
	own := h
	own.Backend = first
	if got := string(get(t, own, bucket, key, 0, -1)); got != "first" {
		t.Errorf("the object is %q now", got)
	}
	wantError(t, "overwrite under another key", store(second, "second", objectstore.PutOptions{}), nil)
	wantUnreadable(t, first, bucket, key)
	wantError(t, "overwrite under no key", store(h.Backend, "plain", objectstore.PutOptions{}), nil)
	wantUnreadable(t, first, bucket, key)
	if got := string(get(t, h, bucket, key, 0, -1)); got != "plain" {
		t.Errorf("the object is %q now", got)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, "get too late", closed(first.Get(cancelled, bucket, key, 0, -1)), context.Canceled)
}
