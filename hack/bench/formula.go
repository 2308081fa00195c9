package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// formula is a store whose n versions are made up as they are listed, with keys like
// those of the template. It remembers which of them were removed by a bit each.
type formula struct {
	n int

	mu      sync.Mutex
	removed []uint64
	left    int
}

func newFormula(n int) *formula { return &formula{n: n, removed: make([]uint64, n/64+1), left: n} }

// ListVersionsFrom makes up a page at a time, as a client's memory holds one.
func (f *formula) ListVersionsFrom(ctx context.Context, _, _, after string) iter.Seq2[objectstore.Version, error] {
	return func(yield func(objectstore.Version, error) bool) {
		for from := 0; from < f.n; from += objectstore.MaxBatch {
			for _, v := range f.page(from, after) {
				if !yield(v, ctx.Err()) || ctx.Err() != nil {
					return
				}
			}
		}
	}
}

func (f *formula) page(from int, after string) []objectstore.Version {
	f.mu.Lock()
	defer f.mu.Unlock()
	to := min(from+objectstore.MaxBatch, f.n)
	if keyOf(to-1) <= after {
		return nil
	}
	page := make([]objectstore.Version, 0, objectstore.MaxBatch)
	for i := from; i < to; i++ {
		if f.removed[i/64]&(1<<(i%64)) != 0 {
			continue
		}
		if key := keyOf(i); key > after {
			page = append(page, objectstore.Version{Key: key, ID: fmt.Sprintf("%08x-0000-4000-8000-%012x", i, i), Size: 1})
		}
	}
	return page
}

// RemoveVersions notes what is removed.
func (f *formula) RemoveVersions(_ context.Context, _ string, versions []objectstore.Version) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range versions {
		var i int
		if _, err := fmt.Sscanf(v.ID, "%08x", &i); err != nil {
			return fmt.Errorf("understand version: %w", err)
		}
		if bit := uint64(1) << (i % 64); f.removed[i/64]&bit == 0 {
			f.removed[i/64] |= bit
			f.left--
		}
	}
	return nil
}

// ListUploads lists none.
func (f *formula) ListUploads(context.Context, string, string) iter.Seq2[objectstore.Upload, error] {
	return func(func(objectstore.Upload, error) bool) {}
}

// AbortUpload has none to abort.
func (f *formula) AbortUpload(context.Context, string, objectstore.Upload) error { return nil }

// RemovePrefix is not among what it can do.
func (f *formula) RemovePrefix(context.Context, string, string) error {
	return objectstore.ErrUnsupported
}

// Facts are those of a bucket like any.
func (f *formula) Facts(context.Context, string) (objectstore.BucketFacts, error) {
	return objectstore.BucketFacts{}, nil
}

// RetainedUntil is never asked for.
func (f *formula) RetainedUntil(context.Context, string, objectstore.Version) (time.Time, error) {
	return time.Time{}, nil
}

// Get gives the only object that can be read.
func (f *formula) Get(context.Context, string, string, int64, int64) (io.ReadCloser, error) {
	data, err := json.Marshal(objectkey.Identity{Kind: objectkey.IdentityKind, Store: formulaStore})
	return io.NopCloser(strings.NewReader(string(data))), err
}

// formulaStore is what the store calls itself.
const formulaStore = "0123456789abcdef0123456789abcdef"

// Identity makes it an auditor too.
func (f *formula) Identity(context.Context, string) (string, error) { return formulaStore, nil }

// Empty counts.
func (f *formula) Empty(context.Context, string, string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.left == 0, nil
}
