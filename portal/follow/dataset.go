package follow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

// applyDataset writes what was seen of a dataset, and mails what is worth it.
func (f *Follower) applyDataset(ctx context.Context, k key, s sight) error {
	id, ok := idOf[portal.DatasetID](k.object, "d-")
	if !ok {
		return nil
	}
	dataset, err := f.datasetRow(ctx, k.namespace, id)
	if missing(err) {
		return nil // Made by other means than the portal.
	}
	if err != nil {
		return fmt.Errorf("read the dataset: %w", err)
	}
	if s.missed && dataset.UID == "" || s.uid != "" && dataset.UID != "" && s.uid != dataset.UID {
		return nil
	}
	receipt, err := f.datasetReceipt(dataset, s)
	if err != nil {
		return err // Without a receipt nothing is erased.
	}
	for range conflicts {
		dataset, err = f.writeDataset(ctx, k.namespace, id, s, receipt)
		if portal.KindOf(err) != portal.KindConflict {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("write the dataset: %w", err)
	}
	f.remind(k, dataset)
	return nil
}

// datasetReceipt is the receipt for a dataset that has gone; nil for one that has not, or
// whose receipt is kept.
func (f *Follower) datasetReceipt(dataset portal.Dataset, s sight) (*portal.Receipt, error) {
	if !s.gone || !dataset.ErasedAt.IsZero() {
		return nil, nil //nolint:nilnil // No receipt is no error here.
	}
	uid := cmp.Or(dataset.UID, s.uid)
	receipt, err := receiptIn(s, dataset.Namespace, uid)
	if missing(err) && f.neverStored(dataset, s, uid) {
		return &portal.Receipt{ErasedAt: f.now()}, nil
	}
	if err != nil {
		return nil, err
	}
	f.mutex.Lock()
	delete(f.unanswered, uid)
	f.mutex.Unlock()
	receipt.Account, receipt.Name = dataset.Account, dataset.Name
	return &receipt, nil
}

// unanswered is for how long a receipt has to be missing before it is taken for one that
// never comes. The operator writes receipts before it lets an object go.
const unanswered = time.Hour

// neverStored reports whether a dataset that has gone never had a place in the store: there
// was nothing to erase then, and the operator gives no receipt.
func (f *Follower) neverStored(d portal.Dataset, s sight, uid string) bool {
	for _, seen := range []portal.DatasetSeen{d.Seen, s.dataset} {
		if seen.Files > 0 || seen.Bytes > 0 || seen.Manifest != "" || seen.Versions > 0 || !seen.EraseStartedAt.IsZero() {
			return false
		}
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.unanswered == nil {
		f.unanswered = map[string]time.Time{}
	}
	since, known := f.unanswered[uid]
	if !known {
		f.unanswered[uid] = f.now()
		return false
	}
	if f.now().Sub(since) < unanswered {
		return false
	}
	delete(f.unanswered, uid)
	return true
}

func (f *Follower) datasetRow(ctx context.Context, namespace string, id portal.DatasetID) (portal.Dataset, error) {
	var dataset portal.Dataset
	err := f.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		dataset, err = tx.DatasetByObject(ctx, namespace, id)
		return err
	})
	return dataset, err
}

// writeDataset writes one dataset when something of it has changed or a mail is due, and
// gives the row.
func (f *Follower) writeDataset(ctx context.Context, namespace string, id portal.DatasetID, s sight, receipt *portal.Receipt) (portal.Dataset, error) {
	dataset, err := f.datasetRow(ctx, namespace, id)
	if err != nil {
		return dataset, err
	}
	// A reminder that was taken before costs a transaction that changes nothing.
	if next, changed := f.nextDataset(dataset, s, receipt); !changed && !f.expiresSoon(next) {
		return next, nil
	}
	err = f.store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		if dataset, err = tx.DatasetByObject(ctx, namespace, id); err != nil {
			return err
		}
		next, changed := f.nextDataset(dataset, s, receipt)
		if err := putReceipt(ctx, tx, receipt); err != nil {
			return err
		}
		if changed {
			if err := updateDataset(ctx, tx, dataset, next); err != nil {
				return err
			}
		}
		before := dataset
		dataset = next
		return f.mailDataset(ctx, tx, before, next)
	})
	return dataset, err
}

// putReceipt keeps a receipt, if there is one.
func putReceipt(ctx context.Context, tx portal.Tx, receipt *portal.Receipt) error {
	if receipt == nil || receipt.Digest == "" {
		return nil
	}
	if err := tx.PutReceipt(ctx, *receipt); err != nil {
		return fmt.Errorf("keep the receipt: %w", err)
	}
	return nil
}

// updateDataset writes the row. Once the manifest is verified the files' rows go: until
// then whoever finishes the upload may still need them.
func updateDataset(ctx context.Context, tx portal.Tx, before, next portal.Dataset) error {
	if err := tx.UpdateDataset(ctx, next); err != nil {
		return fmt.Errorf("write the row: %w", err)
	}
	if verified(before.Seen) || !verified(next.Seen) {
		return nil
	}
	if err := tx.DeleteFiles(ctx, next.ID); err != nil {
		return fmt.Errorf("forget files: %w", err)
	}
	return nil
}

// verified reports whether the operator has checked the manifest against the store.
func verified(seen portal.DatasetSeen) bool {
	switch v1alpha1.DatasetState(seen.State) {
	case v1alpha1.DatasetReady, v1alpha1.DatasetInUse, v1alpha1.DatasetExpiring:
		return true
	case v1alpha1.DatasetOpen, v1alpha1.DatasetSealing, v1alpha1.DatasetInvalid, v1alpha1.DatasetErasing:
	}
	return false
}

// nextDataset is the row after a sight, and whether that is another one.
func (f *Follower) nextDataset(dataset portal.Dataset, s sight, receipt *portal.Receipt) (portal.Dataset, bool) {
	if !s.seen {
		return dataset, false
	}
	next := dataset
	// One whose windows are not those of the row gets its UID from who makes them so.
	asWanted := s.dataset.AfterTraining == next.AfterTraining && s.dataset.MaxAge == next.MaxAge
	if next.UID == "" && (asWanted || s.gone || next.Wish == portal.WishErased) {
		next.UID = s.uid
	}
	if s.gone && receipt != nil && next.ErasedAt.IsZero() {
		next.ErasedAt, next.Receipt = receipt.ErasedAt, receipt.Digest
	}
	if s.dataset.Version > dataset.Seen.Version && !sameDataset(dataset.Seen, s.dataset) {
		next.Seen = s.dataset
	}
	return next, next.UID != dataset.UID || !next.ErasedAt.Equal(dataset.ErasedAt) || next.Seen.Version != dataset.Seen.Version
}

// sameDataset compares but for when it was seen.
func sameDataset(a, b portal.DatasetSeen) bool {
	a.Version, a.At = b.Version, b.At
	if !slices.Equal(a.ActiveRuns, b.ActiveRuns) {
		return false
	}
	a.ActiveRuns = b.ActiveRuns
	return reflect.DeepEqual(a, b)
}

// receiptIn reads the record of an erase that was asked for and looks whether it is about that object. What
// signed it is for whoever verifies it to ask: the portal keeps it as it came.
func receiptIn(s sight, namespace, uid string) (portal.Receipt, error) {
	if s.answer == nil {
		return portal.Receipt{}, wanting{namespace, uid}
	}
	if s.answer.err != nil {
		return portal.Receipt{}, fmt.Errorf("get the receipt: %w", s.answer.err)
	}
	envelope := s.answer.envelope
	var outer struct {
		Payload []byte `json:"payload"`
	}
	var said objectkey.EraseReceipt
	if json.Unmarshal(envelope, &outer) != nil || json.Unmarshal(outer.Payload, &said) != nil {
		return portal.Receipt{}, errors.New("read the receipt: it is not one")
	}
	if err := said.Validate(); err != nil {
		return portal.Receipt{}, fmt.Errorf("read the receipt: %w", err)
	}
	if said.Namespace != namespace || said.UID != uid {
		return portal.Receipt{}, errors.New("read the receipt: it is another object's")
	}
	return portal.Receipt{UID: uid, Digest: objectkey.Digest(envelope), Envelope: envelope, ErasedAt: said.EndTime.UTC()}, nil
}

// noticeAt is when the owner is told that a dataset will go; zero for never.
func (f *Follower) noticeAt(d portal.Dataset) time.Time {
	ends := d.Seen.EndsAt()
	if ends.IsZero() || !d.ErasedAt.IsZero() || !d.Seen.EraseStartedAt.IsZero() || d.Wish == portal.WishErased {
		return time.Time{}
	}
	before := f.options.NoticeBefore
	if window := windowOf(d); window < before {
		before = window / 3
	}
	return ends.Add(-before)
}

// windowOf is for how long a dataset is kept from when its time began to run: the end that
// comes first says which of the two.
func windowOf(d portal.Dataset) time.Duration {
	most, after := d.Seen.MaxAge, d.Seen.AfterTraining
	if most == 0 {
		most = d.MaxAge
	}
	if after == 0 {
		after = d.AfterTraining
	}
	if most > 0 && (after <= 0 || !d.Seen.ExpiresAt.Before(d.CreatedAt.Add(most-time.Minute))) {
		return most
	}
	return after
}

// expiresSoon reports whether the owner is to be told now.
func (f *Follower) expiresSoon(d portal.Dataset) bool {
	at := f.noticeAt(d)
	return !at.IsZero() && !f.now().Before(at) && f.now().Before(d.Seen.EndsAt())
}

// remind sets the timer for the mail that tells of a dataset's end.
func (f *Follower) remind(k key, d portal.Dataset) {
	at := f.noticeAt(d)
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if at.IsZero() || !f.now().Before(at) {
		delete(f.timers, k)
		return
	}
	f.timers[k] = at
}

// mailDataset tells the owner that a dataset will go, or is gone: each once, but the first
// again when its end was put off.
func (f *Follower) mailDataset(ctx context.Context, tx portal.Tx, before, now portal.Dataset) error {
	n := notice{account: now.Account, subject: string(now.ID), data: portal.MailData{Name: now.Name, Link: "/datasets/" + string(now.ID)}}
	if !now.ErasedAt.IsZero() {
		if !before.ErasedAt.IsZero() {
			return nil
		}
		if now.Receipt == "" {
			return nil // nothing was ever stored
		}
		n.kind, n.data.Text = portal.MailDatasetErased, now.Receipt
		return f.mail(ctx, tx, n)
	}
	n.kind = portal.MailDatasetExpires
	if !f.expiresSoon(now) {
		if now.Seen.EndsAt().Equal(before.Seen.EndsAt()) {
			return nil
		}
		if err := tx.DropNotices(ctx, n.subject, n.kind); err != nil {
			return fmt.Errorf("forget a notice: %w", err)
		}
		return nil
	}
	n.data.Until = now.Seen.EndsAt()
	return f.mail(ctx, tx, n)
}
