package datasetretention

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

const testReceipts = "receipts"

// warehouse is an object store in memory for the real erase engine, whose every
// single step goes through the same faults as the calls to the API server. Keys
// start with their bucket.
type warehouse struct {
	faults *faults

	mu      sync.Mutex
	objects map[string][]byte // each has one version
	uploads map[string]bool   // unfinished
}

var (
	_ Store         = (*warehouse)(nil)
	_ erasure.Store = (*warehouse)(nil)
)

func newWarehouse(f *faults) *warehouse {
	return &warehouse{faults: f, objects: map[string][]byte{}, uploads: map[string]bool{}}
}

// put is done by users, and never fails.
func (w *warehouse) put(key string, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.objects[testBucket+"/"+key] = data
}

// begin begins an upload that nobody finishes.
func (w *warehouse) begin(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.uploads[testBucket+"/"+key] = true
}

// left counts what lies under a prefix, unfinished uploads included.
func (w *warehouse) left(prefix string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(under(w.objects, testBucket+"/"+prefix)) + len(under(w.uploads, testBucket+"/"+prefix))
}

// receipts are the receipts by key.
func (w *warehouse) receipts() map[string][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := map[string][]byte{}
	for _, key := range under(w.objects, testReceipts+"/") {
		found[strings.TrimPrefix(key, testReceipts+"/")] = w.objects[key]
	}
	return found
}

func under[V any](things map[string]V, prefix string) []string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(things)) {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys
}

// step is one call to the store.
func (w *warehouse) step(effect func()) error {
	before, late := w.faults.next()
	if before {
		return fmt.Errorf("step: %w", objectstore.ErrUnavailable)
	}
	w.mu.Lock()
	effect()
	w.mu.Unlock()
	if late {
		return fmt.Errorf("step: %w", objectstore.ErrUnavailable)
	}
	return nil
}

func (w *warehouse) Get(_ context.Context, bucket, key string, _, _ int64) (io.ReadCloser, error) {
	var data []byte
	var there bool
	if err := w.step(func() { data, there = w.objects[bucket+"/"+key] }); err != nil {
		return nil, err
	}
	if !there {
		return nil, objectstore.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (w *warehouse) Put(_ context.Context, bucket, key string, body io.Reader, _ int64, opts objectstore.PutOptions) error {
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var there bool
	err = w.step(func() {
		if _, there = w.objects[bucket+"/"+key]; !there || !opts.IfAbsent {
			w.objects[bucket+"/"+key] = data
		}
	})
	if err == nil && there && opts.IfAbsent {
		return objectstore.ErrPrecondition
	}
	return err
}

func (w *warehouse) List(_ context.Context, bucket, prefix string) iter.Seq2[objectstore.Object, error] {
	return listing(w, bucket, prefix, w.objects, func(key string) objectstore.Object {
		return objectstore.Object{Key: key, Size: int64(len(w.objects[bucket+"/"+key]))}
	})
}

func (w *warehouse) ListVersions(_ context.Context, bucket, prefix string) iter.Seq2[objectstore.Version, error] {
	return listing(w, bucket, prefix, w.objects, func(key string) objectstore.Version {
		return objectstore.Version{Key: key, ID: "null", Size: int64(len(w.objects[bucket+"/"+key]))}
	})
}

func (w *warehouse) ListUploads(_ context.Context, bucket, prefix string) iter.Seq2[objectstore.Upload, error] {
	return listing(w, bucket, prefix, w.uploads, func(key string) objectstore.Upload {
		return objectstore.Upload{Key: key, ID: "upload"}
	})
}

// listing is one page of what one call found.
func listing[V, T any](w *warehouse, bucket, prefix string, things map[string]V, item func(key string) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var found []T
		err := w.step(func() {
			for _, key := range under(things, bucket+"/"+prefix) {
				found = append(found, item(strings.TrimPrefix(key, bucket+"/")))
			}
		})
		for _, one := range found {
			if err == nil && !yield(one, nil) {
				return
			}
		}
		if err != nil {
			var none T
			yield(none, err)
		}
	}
}

// RemoveVersions can break off after each version.
func (w *warehouse) RemoveVersions(_ context.Context, bucket string, versions []objectstore.Version) error {
	for _, v := range versions {
		if err := w.step(func() { delete(w.objects, bucket+"/"+v.Key) }); err != nil {
			return err
		}
	}
	return nil
}

func (w *warehouse) AbortUpload(_ context.Context, bucket string, upload objectstore.Upload) error {
	return w.step(func() { delete(w.uploads, bucket+"/"+upload.Key) })
}
