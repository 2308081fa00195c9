package datasetretention

import (
	"context"
	"fmt"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
)

// Eraser takes data out of the store. Every method may be repeated after a crash or
// an error at any point. Errors wrap erasure.ErrRefused when a guard found the
// target not safe to erase, and erasure.ErrIncomplete when data is left; others
// are the store's and worth another try.
type Eraser interface {
	// Inventory counts what Erase would remove.
	Inventory(ctx context.Context, t erasure.Target) (erasure.Inventory, error)
	// Erase removes all versions, delete markers and unfinished uploads. It is
	// not an error when there are none.
	Erase(ctx context.Context, t erasure.Target) (erasure.Inventory, error)
	// Verify lists the target anew and reports whether it is empty.
	Verify(ctx context.Context, t erasure.Target) (bool, error)
	// WriteReceipt stores the receipt unless there is one for this object
	// already, and gives the digest of the one that is stored.
	WriteReceipt(ctx context.Context, receipt objectkey.EraseReceipt) (digest string, err error)
}

// storeFault is a failure at the store, as opposed to one at the API server. Its
// cause decides what the dataset's status says.
type storeFault struct{ cause error }

func (f *storeFault) Error() string { return f.cause.Error() }
func (f *storeFault) Unwrap() error { return f.cause }

// erase does the last steps of a dataset's life, each of which may be repeated: the
// counts are in the status by now, so a crash at any point costs nothing of the
// receipt. The finalizer goes last and only if all before it succeeded. The error
// is errBusy when nothing was done.
func (r *Reconciler) erase(ctx context.Context, seen observed) error {
	if !r.turns.take(ctx) {
		return errBusy
	}
	digest, err := r.empty(ctx, seen)
	r.turns.give()
	if err != nil {
		return &storeFault{cause: err}
	}
	counts := seen.dataset.Status.Erasure
	r.emit(seen.dataset, erased(counts, digest))
	if err := r.release(ctx, seen.dataset); err != nil {
		return err
	}
	r.metrics.erased(counts)
	return nil
}

// empty removes the data, makes sure that it is gone, and gives the digest of the
// receipt for it.
func (r *Reconciler) empty(ctx context.Context, seen observed) (string, error) {
	place := target(seen)
	if _, err := r.opts.Eraser.Erase(ctx, place); err != nil {
		return "", fmt.Errorf("erase data: %w", err)
	}
	gone, err := r.opts.Eraser.Verify(ctx, place)
	if err != nil {
		return "", fmt.Errorf("verify erase: %w", err)
	}
	if !gone {
		return "", fmt.Errorf("verify erase: %w", erasure.ErrIncomplete)
	}
	receipt := receiptOf(seen)
	receipt.EndTime = r.opts.Clock.Now()
	digest, err := r.opts.Eraser.WriteReceipt(ctx, receipt)
	if err != nil {
		return "", fmt.Errorf("write receipt: %w", err)
	}
	return digest, nil
}

// receiptOf is the receipt without its end: identifiers, and counts that were
// written to the status before the first object was removed.
func receiptOf(seen observed) objectkey.EraseReceipt {
	d := seen.dataset
	receipt := objectkey.EraseReceipt{
		Kind:           objectkey.ReceiptKind,
		Namespace:      d.Namespace,
		Name:           d.Name,
		UID:            string(d.UID),
		Bucket:         seen.home.Bucket,
		Prefix:         seen.home.Prefix,
		ManifestDigest: d.Status.ManifestDigest,
	}
	if d.Status.Objects != nil && d.Status.Bytes != nil {
		receipt.Objects, receipt.ObjectBytes = *d.Status.Objects, *d.Status.Bytes
	}
	if e := d.Status.Erasure; e != nil {
		receipt.Versions, receipt.VersionBytes, receipt.Uploads = e.Versions, e.Bytes, e.Uploads
		receipt.StartTime = e.StartTime.Time
	}
	return receipt
}
