package erasure

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// maxPasses ends an erase that somebody keeps writing against; the caller tries
// again later.
const maxPasses = 5

var (
	// ErrRefused says that a guard found the target not safe to erase. Trying again
	// does not help; a person has to look.
	ErrRefused = errors.New("refused to erase")
	// ErrIncomplete says that data was still found after the last pass, because
	// somebody keeps writing. Worth another try once the writers are gone.
	ErrIncomplete = errors.New("the store still holds data after the erase")
)

// Emptier is what an erase needs of the object store. An error is the last thing
// that a listing yields; one without is complete. Removing what is gone is a
// success, so everything may be repeated, and no error means that all was removed.
type Emptier interface {
	ListVersions(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Version, error]
	ListUploads(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Upload, error]
	RemoveVersions(ctx context.Context, bucket string, versions []objectstore.Version) error
	AbortUpload(ctx context.Context, bucket string, upload objectstore.Upload) error
}

// Store is all that an Engine needs (objectstore.Client is one).
type Store interface {
	Emptier
	ReceiptStore
}

// Engine erases. It has no state and is safe for concurrent use.
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

func (i *Inventory) add(other Inventory) {
	i.Versions += other.Versions
	i.Bytes += other.Bytes
	i.Uploads += other.Uploads
}

// Inventory counts what Erase would remove. Errors wrap ErrRefused or are the
// store's.
func (e *Engine) Inventory(ctx context.Context, t Target) (Inventory, error) {
	var found Inventory
	err := e.visit(ctx, t, func(more Inventory) bool {
		found.add(more)
		return true
	})
	if err != nil {
		return Inventory{}, err
	}
	return found, nil
}

// Verify lists the target anew, versions, markers and uploads, and reports whether
// there is nothing. It never says so of a listing that was not complete, nor of a
// bucket that is not there: that one is an error.
func (e *Engine) Verify(ctx context.Context, t Target) (empty bool, err error) {
	empty = true
	err = e.visit(ctx, t, func(Inventory) bool {
		empty = false
		return false
	})
	return empty && err == nil, err
}

// visit calls found for each upload and version until it says false.
func (e *Engine) visit(ctx context.Context, t Target, found func(Inventory) bool) error {
	if err := t.check(e.receipts); err != nil {
		return err
	}
	for upload, err := range e.store.ListUploads(ctx, t.Bucket, t.Prefix) {
		if err := t.listed(upload.Key, err); err != nil {
			return err
		}
		if !found(Inventory{Uploads: 1}) {
			return nil
		}
	}
	for version, err := range e.store.ListVersions(ctx, t.Bucket, t.Prefix) {
		if err := t.listed(version.Key, err); err != nil {
			return err
		}
		if !found(Inventory{Versions: 1, Bytes: version.Size}) {
			return nil
		}
	}
	return nil
}

// Erase removes everything of a target and gives what it has removed at least, also
// along with an error. It ends well only after a pass that found nothing. What one
// key's removal says does not keep it from removing the rest; a store that is
// unavailable does. Errors wrap ErrRefused, ErrIncomplete or are the store's.
func (e *Engine) Erase(ctx context.Context, t Target) (Inventory, error) {
	var removed Inventory
	if err := t.check(e.receipts); err != nil {
		return removed, err
	}
	for range maxPasses {
		p := pass{store: e.store, target: t}
		err := p.run(ctx)
		removed.add(p.removed)
		if err != nil {
			return removed, fmt.Errorf("erase: %w", err)
		}
		if p.removed.Empty() {
			return removed, nil
		}
	}
	return removed, ErrIncomplete
}
