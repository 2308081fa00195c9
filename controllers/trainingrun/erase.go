package trainingrun

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
)

const (
	// eraseTimeout bounds what one pass does at the store. Ten million objects at the
	// 3,000 a second that a small MinIO removes take 55 minutes. An erase that is cut
	// off goes on from what is left.
	eraseTimeout = 60 * time.Minute
	// progressInterval is how often the status says how far an erase has come, at most.
	progressInterval = 10 * time.Second
)

// notCovered is what the receipt for artifacts does not speak about.
var notCovered = []string{
	"Artifacts are not under a key of their own: copies that left this place before the erase, " +
		"such as downloads, backups and replicas of the store, are as readable as before.",
	"What the trainer wrote elsewhere, such as its log.",
	"Uploads that arrive after the erase: requests that were under way, and new ones with the credentials of the run's Pod, " +
		"which live on for as long as the broker gave them. The ledger says that the place is erased, so the operator removes what it finds there later.",
	"Unfinished uploads in parts that began before the last restart of a MinIO server: it does not list them, " +
		"and removes them by itself after the time that it is set to (stale_uploads_expiry).",
}

// eraseArtifacts empties the run's place, has that verified, and writes the receipt
// and then the ledger. Every step may be repeated: the counts are in the status by
// now, so a crash at any point costs nothing of the receipt. The error is errBusy
// when there was no turn, or too little time.
func (r *Reconciler) eraseArtifacts(ctx context.Context, o observed, _ plan) error {
	if !r.erases.take(ctx) {
		return errBusy
	}
	ctx, cancel := context.WithTimeout(ctx, eraseTimeout)
	defer cancel()
	digest, err := r.empty(ctx, o)
	r.erases.give()
	switch {
	case err != nil && ctx.Err() != nil:
		return errBusy // Its time was over, or the operator ends: it goes on later.
	case err != nil:
		return atStore(err)
	}
	if err := r.note(ctx, o, objectkey.LedgerEvent{Event: objectkey.LedgerErased, ReceiptDigest: digest}); err != nil {
		return err
	}
	counts := o.Run.Status.ArtifactsErasure
	r.emit(o.Run, corev1.EventTypeNormal, v1alpha1.ReasonErased, actionErase, fmt.Sprintf(
		"The artifacts were erased: %d object versions, %d bytes. The receipt has the digest %s.",
		counts.Versions, counts.Bytes, digest))
	r.metrics.erased(counts)
	return nil
}

// retainArtifacts notes that the artifacts outlive their run. They go with their
// namespace; the sweeper sees to that.
func (r *Reconciler) retainArtifacts(ctx context.Context, o observed, _ plan) error {
	return r.note(ctx, o, objectkey.LedgerEvent{Event: objectkey.LedgerRetained})
}

// empty removes the artifacts, makes sure that they are gone, and gives the digest
// of the receipt for that.
func (r *Reconciler) empty(ctx context.Context, o observed) (string, error) {
	from := target(o, r.options)
	if _, err := r.eraser.Erase(ctx, from, r.progress(ctx, o.Run)); err != nil {
		return "", fmt.Errorf("erase artifacts: %w", err)
	}
	gone, err := r.eraser.Verify(ctx, from)
	if err != nil {
		return "", fmt.Errorf("verify erase: %w", err)
	}
	if !gone {
		return "", fmt.Errorf("verify erase: %w", erasure.ErrIncomplete)
	}
	receipt := receiptOf(o.Run, from)
	if now := r.clock.Now().UTC().Truncate(time.Second); now.After(receipt.EndTime) {
		receipt.EndTime = now
	}
	digest, err := r.receipts.Write(ctx, receipt)
	if err != nil {
		return "", fmt.Errorf("write receipt: %w", err)
	}
	return digest, nil
}

// receiptOf is the receipt of an erase that ends when it starts: identifiers, and
// counts that were written to the status before the first object was removed.
func receiptOf(run *v1alpha1.TrainingRun, from erasure.Target) objectkey.EraseReceipt {
	counts := run.Status.ArtifactsErasure
	receipt := objectkey.EraseReceipt{
		Kind:         objectkey.ReceiptKind,
		Resource:     objectkey.ResourceRun,
		Namespace:    run.Namespace,
		UID:          string(run.UID),
		Store:        from.Store,
		Bucket:       from.Bucket,
		Prefix:       from.Prefix,
		Trigger:      objectkey.TriggerDeleted,
		Methods:      []string{objectkey.MethodObjectsRemoved},
		Versions:     counts.Versions,
		VersionBytes: counts.Bytes,
		Uploads:      counts.Uploads,
		StartTime:    counts.StartTime.UTC(),
		EndTime:      counts.StartTime.UTC(), // later, unless the clock was put back
		NotCovered:   notCovered,
	}
	if published := run.Status.Artifacts; published != nil {
		receipt.ManifestDigest = published.ManifestDigest
		receipt.Objects, receipt.ObjectBytes = published.Objects, published.Bytes
	}
	return receipt
}

// progress shows in the status how far an erase has come. It keeps the run up to
// date, so that the status that follows the erase is computed from the newest one.
func (r *Reconciler) progress(ctx context.Context, run *v1alpha1.TrainingRun) func(erasure.Inventory) {
	before, shown := run.Status.ArtifactsErasure.RemovedVersions, r.clock.Now()
	return func(removed erasure.Inventory) {
		now := r.clock.Now()
		if now.Sub(shown) < progressInterval {
			return
		}
		shown = now
		after := run.DeepCopy()
		counts := after.Status.ArtifactsErasure
		counts.RemovedVersions = max(counts.RemovedVersions, min(before+removed.Versions, counts.Versions))
		set(&after.Status, artifactsProceeding(), observed{Run: run, Now: now})
		r.showProgress(ctx, run, after)
	}
}

// showProgress writes a status that is only for show: when that fails, what is there
// stays until the next time.
func (r *Reconciler) showProgress(ctx context.Context, run, after *v1alpha1.TrainingRun) {
	if equality.Semantic.DeepEqual(run.Status, after.Status) {
		return
	}
	switch err := r.patchStatus(ctx, run, after); {
	case err == nil:
		*run = *after
	case apierrors.IsConflict(err):
		r.refresh(ctx, run)
	}
}

// refresh reads a run anew that was written by somebody else. One that can not be
// read stays as it is: what is written on it then is refused as outdated.
func (r *Reconciler) refresh(ctx context.Context, run *v1alpha1.TrainingRun) {
	fresh := &v1alpha1.TrainingRun{}
	err := r.live.Get(ctx, client.ObjectKeyFromObject(run), fresh)
	if err == nil && fresh.UID == run.UID && fresh.Status.ArtifactsErasure != nil {
		*run = *fresh
	}
}
