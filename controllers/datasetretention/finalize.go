package datasetretention

import (
	"context"
	"fmt"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
)

// Eraser takes data out of the store. Every method may be repeated after a crash or
// an error at any point. Errors wrap erasure.ErrRefused when a guard found the
// target not safe to erase, and erasure.ErrIncomplete when data is left; others
// are the store's and worth another try.
type Eraser interface {
	// Identity tells which store it is, as the bucket says at this moment.
	Identity(ctx context.Context, bucket string) (string, error)
	// Inventory counts what Erase would remove.
	Inventory(ctx context.Context, t erasure.Target) (erasure.Inventory, error)
	// Erase removes all versions, delete markers and unfinished uploads. It is
	// not an error when there are none. Progress is called with what was removed so
	// far, never twice at once and not after Erase has returned.
	Erase(ctx context.Context, t erasure.Target, progress func(erasure.Inventory)) (erasure.Inventory, error)
	// Verify lists the target anew, with other credentials and by other code, and
	// reports whether it is empty.
	Verify(ctx context.Context, t erasure.Target) (bool, error)
}

// Receipts keeps the signed receipts (receipts.Book is one).
type Receipts interface {
	// Write stores the receipt unless there is one for this object already, and
	// gives the digest of the one that is stored.
	Write(ctx context.Context, receipt objectkey.EraseReceipt) (digest string, err error)
}

// storeFault is a failure at the store, as opposed to one at the API server. Its
// cause decides what the dataset's status says.
type storeFault struct{ cause error }

func (f *storeFault) Error() string { return f.cause.Error() }
func (f *storeFault) Unwrap() error { return f.cause }

// bookFault is a failure to write the receipt or the ledger.
type bookFault struct{ cause error }

func (f *bookFault) Error() string { return f.cause.Error() }
func (f *bookFault) Unwrap() error { return f.cause }

// tellFault is a failure after the data was erased and the receipt written.
type tellFault struct {
	// what failed, as a clause for users.
	what  string
	cause error
}

func (f *tellFault) Error() string { return f.cause.Error() }
func (f *tellFault) Unwrap() error { return f.cause }

// destroyKey is the first step of an erase that can not be taken back. The status
// says already that it begins, and says afterwards when the key was gone; in between
// it is simply done again.
func (r *Reconciler) destroyKey(ctx context.Context, seen observed, p plan) error {
	if err := r.opts.Keys.Destroy(ctx, seen.dataset.UID); err != nil {
		return &storeFault{&keyFault{fmt.Errorf("destroy the dataset's key: %w", err)}}
	}
	seen.keyDestroyed = r.opts.Clock.Now().UTC().Truncate(time.Second)
	return r.writeReport(ctx, seen, p, nil)
}

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
	if err := r.markRuns(ctx, seen.dataset, digest); err != nil {
		return err
	}
	counts := seen.dataset.Status.Erasure
	r.emit(seen.dataset, erased(counts, digest))
	if err := r.release(ctx, seen.dataset); err != nil {
		return &tellFault{what: "the API server does not let the object go", cause: err}
	}
	r.metrics.erased(counts)
	return nil
}

// empty removes the data, makes sure that it is gone, and closes the books on it. It
// gives the digest of the receipt.
func (r *Reconciler) empty(ctx context.Context, seen observed) (string, error) {
	place := target(seen)
	if _, err := r.opts.Eraser.Erase(ctx, place, r.progressOf(ctx, seen)); err != nil {
		return "", fmt.Errorf("erase data: %w", err)
	}
	gone, err := r.opts.Eraser.Verify(ctx, place)
	if err != nil {
		return "", fmt.Errorf("verify erase: %w", err)
	}
	if !gone {
		return "", fmt.Errorf("verify erase: %w", erasure.ErrIncomplete)
	}
	end := r.opts.Clock.Now().UTC().Truncate(time.Second)
	digest, err := r.opts.Receipts.Write(ctx, receiptOf(seen, end))
	if err != nil {
		return "", &bookFault{fmt.Errorf("write receipt: %w", err)}
	}
	d := seen.dataset
	err = r.opts.Ledger.Note(ctx, d.Namespace, string(d.UID), objectkey.LedgerEvent{
		Kind: objectkey.LedgerKind, Event: objectkey.LedgerErased, Time: end, ReceiptDigest: digest,
	})
	if err != nil {
		return "", &bookFault{fmt.Errorf("note the erase in the ledger: %w", err)}
	}
	return digest, nil
}

// progressEvery is how often a long erase says in the status how far it is.
const progressEvery = 10 * time.Second

// progressOf writes status.erasure.removedVersions now and then, in the dataset as it
// is: nothing depends on it, and its failure is only logged. An erase that said that it
// waits for its turn does not any more.
func (r *Reconciler) progressOf(ctx context.Context, seen observed) func(erasure.Inventory) {
	d := seen.dataset
	last := r.opts.Clock.Now()
	var earlier int64
	if d.Status.Erasure != nil {
		earlier = d.Status.Erasure.RemovedVersions
	}
	return func(removed erasure.Inventory) {
		e, now := d.Status.Erasure, r.opts.Clock.Now()
		if e == nil || now.Sub(last) < progressEvery {
			return
		}
		last = now
		count := min(earlier+removed.Versions, e.Versions)
		if count <= e.RemovedVersions {
			return
		}
		before := d.DeepCopy()
		d.Status.Erasure.RemovedVersions = count
		hasItsTurn(seen)
		// The answer brings the new version of the object, for the patch that ends the erase.
		if err := r.client.Status().Patch(ctx, d, client.MergeFrom(before)); err != nil {
			before.DeepCopyInto(d)
			log.FromContext(ctx).Error(err, "Could not write the progress of the erase")
		}
	}
}

// hasItsTurn takes back that an erase waits for its turn.
func hasItsTurn(seen observed) {
	status := &seen.dataset.Status
	c := apimeta.FindStatusCondition(status.Conditions, v1alpha1.ConditionErasureBlocked)
	if c == nil || c.Reason != v1alpha1.ReasonWaitingForTurn {
		return
	}
	now := proceeding()
	now.ObservedGeneration, now.LastTransitionTime = seen.dataset.Generation, metav1.NewTime(seen.now)
	apimeta.SetStatusCondition(&status.Conditions, now)
	status.State, status.Reason, status.Message = summary(seen, status.Conditions)
}
