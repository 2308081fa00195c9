package datasetretention

import (
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
)

// What a receipt does not speak about, in sentences.
const (
	notCopies = "Copies of the data outside this store are not covered, such as backups, replicas, what owners kept, " +
		"and the disks of the nodes that trained on it."
	notKeyCopies  = "Copies of the key are not covered, such as backups of the cluster's own database."
	notArtifacts  = "The artifacts of the runs that trained on the data are not covered; they have receipts of their own."
	notUnderneath = "The store's own trash and its drives that were offline are not covered; without the key nobody can read what is there."
	notTrash      = "The store's own trash and its drives that were offline are not covered."
	notParts      = "MinIO can not list uploads in parts that were unfinished before its last restart; they are not covered and go by the store's own expiry."
	notKeyParts   = notParts + " Without the key nobody can read them."
)

// receiptOf is the receipt for an erase that ended at a time: identifiers, and what
// was written to the status before the first object was removed. Its place in the
// chain is the book's to give.
func receiptOf(seen observed, end time.Time) objectkey.EraseReceipt {
	d := seen.dataset
	receipt := objectkey.EraseReceipt{
		Kind:      objectkey.ReceiptKind,
		Resource:  objectkey.ResourceDataset,
		Namespace: d.Namespace, UID: string(d.UID),
		Store: seen.store, Bucket: seen.home.Bucket, Prefix: seen.home.Prefix,
		Trigger:        trigger(seen),
		Methods:        []string{objectkey.MethodObjectsRemoved},
		ManifestDigest: d.Status.ManifestDigest,
		NotCovered:     []string{notCopies, notArtifacts, notTrash, notParts},
	}
	if d.Status.Objects != nil && d.Status.Bytes != nil {
		receipt.Objects, receipt.ObjectBytes = *d.Status.Objects, *d.Status.Bytes
	}
	e := d.Status.Erasure
	if e == nil {
		receipt.StartTime, receipt.EndTime = end, end
		return receipt
	}
	receipt.StartTime, receipt.EndTime = e.StartTime.UTC(), latest(end, e.StartTime.Time)
	receipt.Versions, receipt.VersionBytes, receipt.Uploads = e.Versions, e.Bytes, e.Uploads
	// A key whose name was lost is gone as well, but that can not be shown.
	if e.KeyDestroyedTime != nil && d.Status.KeyID != "" {
		destroyed := e.KeyDestroyedTime.UTC()
		receipt.KeyID, receipt.KeyDestroyedTime = d.Status.KeyID, &destroyed
		receipt.EndTime = latest(receipt.EndTime, destroyed)
		receipt.Methods = []string{objectkey.MethodKeyDestroyed, objectkey.MethodObjectsRemoved}
		receipt.NotCovered = []string{notCopies, notKeyCopies, notArtifacts, notUnderneath, notKeyParts}
	}
	return receipt
}

// trigger tells an expiry from an owner's delete, both of which are a deletion.
func trigger(seen observed) string {
	if seen.deleted() && !seen.dataset.DeletionTimestamp.Time.Before(expiry(seen)) {
		return objectkey.TriggerExpired
	}
	return objectkey.TriggerDeleted
}

// latest is the later of two times: a clock that was set back must not make a receipt
// end before it began.
func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b.UTC()
	}
	return a.UTC()
}
