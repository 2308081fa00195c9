package datasetretention

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"testing"

	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

const testReceipts = "receipts"

// warehouse is an object store in memory whose every single step goes through the
// same faults as the calls to the API server.
type warehouse struct {
	inner  *objectstoretest.Store
	faults *faults
}

var (
	_ Store         = (*warehouse)(nil)
	_ erasure.Store = (*warehouse)(nil)
)

func newWarehouse(f *faults, datasets objectstoretest.Kind) *warehouse {
	w := &warehouse{inner: objectstoretest.NewStore(), faults: f}
	w.inner.AddBucket(testBucket, datasets)
	w.inner.AddBucket(testReceipts, objectstoretest.Versioned)
	return w
}

// put is done by users, and never fails.
func (w *warehouse) put(t *testing.T, key string, data []byte) {
	t.Helper()
	err := w.inner.Put(t.Context(), testBucket, key, bytes.NewReader(data), int64(len(data)), objectstore.PutOptions{})
	if err != nil {
		t.Fatalf("put: %v", err)
	}
}

// left counts the versions, markers and unfinished uploads under a prefix.
func (w *warehouse) left(t *testing.T, prefix string) int {
	t.Helper()
	n := 0
	for _, err := range w.inner.ListVersions(t.Context(), testBucket, prefix) {
		if err != nil {
			t.Fatalf("list versions: %v", err)
		}
		n++
	}
	for _, err := range w.inner.ListUploads(t.Context(), testBucket, prefix) {
		if err != nil {
			t.Fatalf("list uploads: %v", err)
		}
		n++
	}
	return n
}

// receipts are all versions of all receipts, by key.
func (w *warehouse) receipts(t *testing.T) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for v, err := range w.inner.ListVersions(t.Context(), testReceipts, "") {
		if err != nil {
			t.Fatalf("list receipts: %v", err)
		}
		if found[v.Key] != nil {
			t.Fatalf("the receipt %s was written twice", v.Key)
		}
		body, err := w.inner.Get(t.Context(), testReceipts, v.Key, 0, -1)
		if err != nil {
			t.Fatalf("get receipt: %v", err)
		}
		if found[v.Key], err = io.ReadAll(body); err != nil {
			t.Fatalf("read receipt: %v", err)
		}
	}
	return found
}

// step is one call to the store.
func (w *warehouse) step(effect func() error) error {
	before, late := w.faults.next()
	if before {
		return fmt.Errorf("step: %w", objectstore.ErrUnavailable)
	}
	if err := effect(); err != nil {
		return err
	}
	if late {
		return fmt.Errorf("step: %w", objectstore.ErrUnavailable)
	}
	return nil
}

func (w *warehouse) Get(ctx context.Context, bucket, key string, offset, length int64) (body io.ReadCloser, err error) {
	err = w.step(func() error {
		body, err = w.inner.Get(ctx, bucket, key, offset, length)
		return err
	})
	return body, err
}

func (w *warehouse) Put(ctx context.Context, bucket, key string, body io.Reader, size int64, opts objectstore.PutOptions) error {
	return w.step(func() error { return w.inner.Put(ctx, bucket, key, body, size, opts) })
}

func (w *warehouse) List(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Object, error] {
	return listing(w, w.inner.List(ctx, bucket, prefix))
}

func (w *warehouse) ListVersions(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Version, error] {
	return listing(w, w.inner.ListVersions(ctx, bucket, prefix))
}

func (w *warehouse) ListUploads(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Upload, error] {
	return listing(w, w.inner.ListUploads(ctx, bucket, prefix))
}

// listing breaks off before the first entry, or after the last.
func listing[T any](w *warehouse, all iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		err := w.step(func() error {
			for one, err := range all {
				if !yield(one, err) || err != nil {
					return errEnough
				}
			}
			return nil
		})
		if err != nil && err != errEnough { //nolint:errorlint // it is never wrapped
			var none T
			yield(none, err)
		}
	}
}

var errEnough = fmt.Errorf("the listing was broken off by its reader")

// RemoveVersions can break off after each version.
func (w *warehouse) RemoveVersions(ctx context.Context, bucket string, versions []objectstore.Version) error {
	for _, v := range versions {
		one := []objectstore.Version{v}
		if err := w.step(func() error { return w.inner.RemoveVersions(ctx, bucket, one) }); err != nil {
			return err
		}
	}
	return nil
}

func (w *warehouse) AbortUpload(ctx context.Context, bucket string, upload objectstore.Upload) error {
	return w.step(func() error { return w.inner.AbortUpload(ctx, bucket, upload) })
}
