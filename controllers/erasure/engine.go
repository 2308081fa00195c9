package erasure

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

const (
	// batchSize is what one request removes at most (S3 DeleteObjects).
	batchSize = objectstore.MaxBatch
	// batchWorkers remove at once. A MinIO server removes a batch serially, so a
	// few at once use it fully; more only wait.
	batchWorkers = 4
	// maxPasses ends an erase that somebody keeps writing against; the caller
	// tries again later.
	maxPasses = 5
)

// ErrIncomplete: data was still found after the last pass, because somebody keeps
// writing. Worth another try once the writers are gone.
var ErrIncomplete = errors.New("the store still holds data after the erase")

// Store is what an erase needs of the object store. Removing what is gone is a
// success; an error that names a key's failure says that at least it is left.
type Store interface {
	ListVersions(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Version, error]
	ListUploads(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Upload, error]
	RemoveVersions(ctx context.Context, bucket string, versions []objectstore.Version) error
	AbortUpload(ctx context.Context, bucket string, upload objectstore.Upload) error
	ReceiptStore
}

// Engine erases. It is safe for concurrent use on different targets.
type Engine struct {
	store    Store
	receipts string
}

// New makes an engine that writes receipts to the given bucket.
func New(store Store, receiptsBucket string) (*Engine, error) {
	if store == nil || receiptsBucket == "" {
		return nil, errors.New("erasure needs a store and a bucket for receipts")
	}
	return &Engine{store: store, receipts: receiptsBucket}, nil
}

// Inventory counts what the store holds of a target.
type Inventory struct {
	// Versions of objects, and delete markers.
	Versions int64
	// Bytes is the size of the versions.
	Bytes int64
	// Uploads are unfinished multipart uploads; the store does not tell their size.
	Uploads int64
}

// Empty reports whether nothing is held.
func (i Inventory) Empty() bool { return i == Inventory{} }

// Inventory counts what Erase would remove.
func (e *Engine) Inventory(ctx context.Context, t Target) (Inventory, error) {
	if err := t.check(e.receipts); err != nil {
		return Inventory{}, err
	}
	var found Inventory
	for upload, err := range e.store.ListUploads(ctx, t.Bucket, t.Prefix) {
		if err != nil {
			return Inventory{}, fmt.Errorf("count uploads: %w", err)
		}
		if err := t.owns(upload.Key); err != nil {
			return Inventory{}, err
		}
		found.Uploads++
	}
	for version, err := range e.store.ListVersions(ctx, t.Bucket, t.Prefix) {
		if err != nil {
			return Inventory{}, fmt.Errorf("count versions: %w", err)
		}
		if err := t.owns(version.Key); err != nil {
			return Inventory{}, err
		}
		found.Versions++
		found.Bytes += version.Size
	}
	return found, nil
}

// Verify lists the target anew and reports whether nothing is left.
func (e *Engine) Verify(ctx context.Context, t Target) (bool, error) {
	found, err := e.Inventory(ctx, t)
	return err == nil && found.Empty(), err
}

// Erase removes everything of a target and gives what it has removed, also with
// an error. It ends well only after a pass that found nothing. Errors wrap
// ErrRefused, ErrIncomplete or what the store said.
func (e *Engine) Erase(ctx context.Context, t Target) (Inventory, error) {
	var removed Inventory
	if err := t.check(e.receipts); err != nil {
		return removed, err
	}
	for range maxPasses {
		pass, err := e.pass(ctx, t)
		removed.Versions += pass.Versions
		removed.Bytes += pass.Bytes
		removed.Uploads += pass.Uploads
		if err != nil {
			return removed, err
		}
		if pass.Empty() {
			return removed, nil
		}
	}
	return removed, ErrIncomplete
}

// pass removes all that one listing finds. Uploads go first: one that is
// completed meanwhile becomes a version, which is then found.
func (e *Engine) pass(ctx context.Context, t Target) (Inventory, error) {
	var removed Inventory
	for upload, err := range e.store.ListUploads(ctx, t.Bucket, t.Prefix) {
		if err != nil {
			return removed, fmt.Errorf("list uploads: %w", err)
		}
		if err := t.owns(upload.Key); err != nil {
			return removed, err
		}
		if err := e.store.AbortUpload(ctx, t.Bucket, upload); err != nil {
			return removed, err
		}
		removed.Uploads++
	}
	versions, err := e.removeVersions(ctx, t)
	removed.Versions, removed.Bytes = versions.Versions, versions.Bytes
	return removed, err
}

// removeVersions lists and removes at the same time. It holds at most
// batchWorkers batches and one page of the listing, however many there are.
func (e *Engine) removeVersions(ctx context.Context, t Target) (Inventory, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var (
		mu      sync.Mutex
		removed Inventory
		workers sync.WaitGroup
		slots   = make(chan struct{}, batchWorkers)
	)
	remove := func(batch []objectstore.Version) {
		defer workers.Done()
		defer func() { <-slots }()
		if err := e.store.RemoveVersions(ctx, t.Bucket, batch); err != nil {
			stop(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, v := range batch {
			removed.Versions++
			removed.Bytes += v.Size
		}
	}
	listErr := e.batches(ctx, t, func(batch []objectstore.Version) {
		slots <- struct{}{}
		workers.Add(1)
		go remove(batch)
	})
	workers.Wait()
	// A failed removal cancels the listing, whose error then is only its echo.
	if cause := context.Cause(ctx); cause != nil {
		return removed, cause
	}
	return removed, listErr
}

// batches cuts the listing into requests. All versions of a key come in one batch
// where they fit, because the store then rewrites the key once.
func (e *Engine) batches(ctx context.Context, t Target, send func([]objectstore.Version)) error {
	batch := make([]objectstore.Version, 0, batchSize)
	start := 0 // of the last key's versions
	for v, err := range e.store.ListVersions(ctx, t.Bucket, t.Prefix) {
		if err != nil {
			return fmt.Errorf("list versions: %w", err)
		}
		if err := t.owns(v.Key); err != nil {
			return err
		}
		if len(batch) == batchSize {
			cut := start
			if cut == 0 || batch[start].Key != v.Key {
				cut = batchSize
			}
			rest := make([]objectstore.Version, 0, batchSize)
			rest = append(rest, batch[cut:]...)
			send(batch[:cut])
			batch, start = rest, 0
		}
		if len(batch) > 0 && batch[len(batch)-1].Key != v.Key {
			start = len(batch)
		}
		batch = append(batch, v)
	}
	if len(batch) > 0 {
		send(batch)
	}
	return nil
}

// owns guards against a store that lists what it was not asked for.
func (t Target) owns(key string) error {
	if !strings.HasPrefix(key, t.Prefix) {
		return fmt.Errorf("%w: the store listed a key that is not under the prefix", ErrRefused)
	}
	return nil
}
