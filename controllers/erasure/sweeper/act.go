package sweeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/datasetkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// What the receipt of an orphan does not speak about, in sentences.
const (
	notNodes     = "The object of this data was removed without an erase, so copies of it on nodes, which runs make, were not waited for."
	notEarly     = "The counts are those of the erase that was finished. What one before it, that was cut off, had removed is not in them."
	notLate      = "Uploads that arrive after the erase: requests that were under way, and new ones with credentials that the broker gave before, for as long as they live. The ledger says that the place is erased, so the operator removes what it finds there later."
	notListed    = "Unfinished uploads in parts that began before the last restart of a MinIO server: it does not list them, and removes them by itself after the time that it is set to (stale_uploads_expiry)."
	notElsewhere = "Copies of the data outside this store are not covered, such as backups, replicas, and what owners kept."
	notKeyCopies = "Copies of the key are not covered, such as backups of the cluster's own database."
	notTrash     = "The store's own trash and its drives that were offline are not covered."
)

// attempt is an erase that was begun and not finished. Its first counts are the true
// ones, and its key can not be asked for its name again.
type attempt struct {
	start   time.Time
	keyID   string
	keyGone *time.Time
	// counts are nil until they were taken.
	counts *erasure.Inventory
}

// errBlind says that the world can not be looked at any more, so nothing may be erased.
var errBlind = errors.New("can not look")

// act does what was planned, each as far as it goes: one that fails does not keep the
// others from their turn, unless the store is unavailable, the API server does not
// answer, or the time is over. It reports what it did, and joins what failed.
func (s *Sweeper) act(ctx context.Context, p planned, report *Report) error {
	var errs []error
	for _, step := range []struct {
		findings []finding
		do       func(context.Context, finding, *Report) error
	}{
		{p.late, s.eraseLate}, {p.marks, s.mark}, {p.due, s.eraseOrphan},
	} {
		for _, f := range step.findings {
			err := step.do(ctx, f, report)
			if err == nil {
				continue
			}
			errs = append(errs, fmt.Errorf("%s: %w", f.at.uid(), err))
			if ctx.Err() != nil || errors.Is(err, errBlind) || errors.Is(err, objectstore.ErrUnavailable) {
				return errors.Join(errs...)
			}
		}
	}
	return errors.Join(errs...)
}

// mark writes down that an orphan was seen, and opens a record for one that has none.
func (s *Sweeper) mark(ctx context.Context, f finding, report *Report) error {
	now := wholeSecond(s.opts.Clock.Now())
	if !f.account.Found() {
		err := s.opts.Ledger.Open(ctx, recordOf(f, s.rules(now)))
		if err != nil {
			return fmt.Errorf("open a record: %w", err)
		}
	}
	if err := s.note(ctx, f.at, objectkey.LedgerEvent{Event: objectkey.LedgerOrphaned, Time: now}); err != nil {
		return err
	}
	report.Marked++
	return nil
}

// recordOf is the record of data that was found without one.
func recordOf(f finding, r rules) objectkey.LedgerRecord {
	return objectkey.LedgerRecord{
		Kind: objectkey.LedgerKind, Resource: r.resources[f.at.bucket],
		Namespace: f.at.namespace, UID: string(f.at.uid()),
		Store: f.store, Bucket: f.at.bucket, Prefix: f.at.prefix(), CreatedTime: r.now,
	}
}

func (s *Sweeper) note(ctx context.Context, at place, event objectkey.LedgerEvent) error {
	event.Kind = objectkey.LedgerKind
	if err := s.opts.Ledger.Note(ctx, at.namespace, string(at.uid()), event); err != nil {
		return fmt.Errorf("note that it is %s: %w", event.Event, err)
	}
	return nil
}

// eraseLate removes what came after an erase. There is a receipt already.
func (s *Sweeper) eraseLate(ctx context.Context, f finding, report *Report) error {
	fresh, err := s.recheck(ctx, f)
	if err != nil || fresh.act != eraseLate {
		return err
	}
	if _, err := s.empty(ctx, fresh); err != nil {
		report.fail(f, err)
		return err
	}
	delete(s.begun, f.at)
	report.Erased[KindLateData]++
	return nil
}

// eraseOrphan erases what has no object any more: the key first, so that nobody can
// read the data wherever it is, then the data, then the words for it. Each step may be
// repeated.
func (s *Sweeper) eraseOrphan(ctx context.Context, f finding, report *Report) error {
	fresh, err := s.recheck(ctx, f)
	if err != nil || fresh.act != eraseOrphan {
		return err
	}
	used, err := s.opts.Objects.Used(ctx, f.at.namespace, f.at.uid())
	if errors.Is(err, ErrUnreadable) {
		report.fail(f, err)
		return fmt.Errorf("look for runs that use it: %w", err)
	}
	if err != nil {
		return fmt.Errorf("%w for runs that use it: %w", errBlind, err)
	}
	if used {
		report.add(f, KindOrphanInUse)
		return nil
	}
	if err := s.finish(ctx, fresh); err != nil {
		report.fail(f, err)
		return err
	}
	report.Erased[KindOrphan]++
	return nil
}

// recheck judges once more, right before what can not be undone. Errors wrap errBlind.
func (s *Sweeper) recheck(ctx context.Context, f finding) (finding, error) {
	id, err := s.opts.Engine.Identity(ctx, f.at.bucket)
	if err != nil {
		return finding{}, fmt.Errorf("%w at the identity of %s: %w", errBlind, f.at.bucket, err)
	}
	census, err := s.look(ctx, f.at.namespace)
	if err != nil {
		return finding{}, fmt.Errorf("%w: %w", errBlind, err)
	}
	one := suspect{at: f.at, data: true, suspicion: f.judgement}
	fresh, err := s.lookAgain(ctx, map[string]string{f.at.bucket: id}, census, one)
	if err != nil {
		return finding{}, fmt.Errorf("%w into the ledger: %w", errBlind, err)
	}
	return fresh, nil
}

// finish erases an orphan, writes its receipt and closes its account.
func (s *Sweeper) finish(ctx context.Context, f finding) error {
	tried, err := s.empty(ctx, f)
	if err != nil {
		return err
	}
	digest, err := s.opts.Receipts.Write(ctx, receiptOf(f, tried, s.opts.Clock.Now()))
	if err != nil {
		return fmt.Errorf("write its receipt: %w", err)
	}
	err = s.note(ctx, f.at, objectkey.LedgerEvent{
		Event: objectkey.LedgerErased, Time: wholeSecond(s.opts.Clock.Now()), ReceiptDigest: digest,
	})
	if err != nil {
		return err
	}
	delete(s.begun, f.at)
	return nil
}

// empty takes key and data away and makes sure that the data is gone. What was known
// before the first removal is remembered until the erase is finished.
func (s *Sweeper) empty(ctx context.Context, f finding) (attempt, error) {
	tried, again := s.begun[f.at]
	if !again {
		tried.start = wholeSecond(s.opts.Clock.Now())
	}
	defer func() { s.begun[f.at] = tried }()
	if err := s.destroyKey(ctx, f, &tried); err != nil {
		return tried, err
	}
	place := target(f.at, f.account.Record.Store)
	if tried.counts == nil {
		counts, err := s.opts.Engine.Inventory(ctx, place)
		if err != nil {
			return tried, fmt.Errorf("count its data: %w", err)
		}
		tried.counts = &counts
	}
	if _, err := s.opts.Engine.Erase(ctx, place, nil); err != nil {
		return tried, fmt.Errorf("erase its data: %w", err)
	}
	gone, err := s.opts.Engine.Verify(ctx, place)
	if err != nil {
		return tried, fmt.Errorf("verify its erase: %w", err)
	}
	if !gone {
		return tried, fmt.Errorf("verify its erase: %w", erasure.ErrIncomplete)
	}
	return tried, nil
}

// destroyKey asks the key for its name and destroys it, if it is the owner's. A key that
// nobody can use has no name.
func (s *Sweeper) destroyKey(ctx context.Context, f finding, tried *attempt) error {
	uid := f.at.uid()
	if own, err := s.hasKey(ctx, f); err != nil || !own {
		return err
	}
	if tried.keyID == "" {
		tried.keyID = f.account.Record.KeyID
	}
	key, err := s.opts.Keys.Get(ctx, uid)
	switch {
	case err == nil:
		tried.keyID = key.ID()
	case !errors.Is(err, datasetkey.ErrNotFound) && !errors.Is(err, datasetkey.ErrMalformed):
		return fmt.Errorf("find its key: %w", err)
	}
	if err := s.opts.Keys.Destroy(ctx, uid); err != nil {
		return fmt.Errorf("destroy its key: %w", err)
	}
	if tried.keyGone == nil {
		gone := wholeSecond(s.opts.Clock.Now())
		tried.keyGone = &gone
	}
	return nil
}

// hasKey reports whether the key of this UID is the owner's. A key is found by its UID
// alone, and data can be copied to the place of another owner with the same one: so only
// a dataset whose record the operator has opened has a key, and only while no other
// namespace has a dataset with this UID.
func (s *Sweeper) hasKey(ctx context.Context, f finding) (bool, error) {
	if f.account.Record.Resource != objectkey.ResourceDataset || f.account.found() {
		return false, nil
	}
	elsewhere, err := s.opts.Objects.Elsewhere(ctx, f.at.namespace, f.at.uid())
	switch {
	case errors.Is(err, ErrUnreadable):
		return false, fmt.Errorf("find out whose its key is: %w", err)
	case err != nil:
		return false, fmt.Errorf("%w for others with its key: %w", errBlind, err)
	}
	return !elsewhere, nil
}

// receiptOf is the receipt for the erase of an orphan. Its place in the chain is the
// book's to give.
func receiptOf(f finding, tried attempt, end time.Time) objectkey.EraseReceipt {
	record := f.account.Record
	receipt := objectkey.EraseReceipt{
		Kind:     objectkey.ReceiptKind,
		Resource: record.Resource, Namespace: record.Namespace, UID: record.UID,
		Store: record.Store, Bucket: record.Bucket, Prefix: record.Prefix,
		Trigger:  objectkey.TriggerOrphaned,
		Methods:  []string{objectkey.MethodObjectsRemoved},
		Versions: tried.counts.Versions, VersionBytes: tried.counts.Bytes, Uploads: tried.counts.Uploads,
		StartTime: tried.start, EndTime: latest(wholeSecond(end), tried.start),
		NotCovered: []string{notNodes, notEarly, notLate, notListed, notElsewhere, notTrash},
	}
	// A key whose name was lost is gone as well, but that can not be shown.
	if tried.keyID != "" && tried.keyGone != nil {
		receipt.KeyID, receipt.KeyDestroyedTime = tried.keyID, tried.keyGone
		receipt.EndTime = latest(receipt.EndTime, *tried.keyGone)
		receipt.Methods = []string{objectkey.MethodKeyDestroyed, objectkey.MethodObjectsRemoved}
		receipt.NotCovered = append(receipt.NotCovered, notKeyCopies)
	}
	return receipt
}

func wholeSecond(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// latest is the later of two times: a clock that was set back must not make a receipt
// end before it began.
func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
