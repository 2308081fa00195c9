package trainingrun

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

const (
	ownPrefix       = "team-a/" + runUID + "/"
	neighbourPrefix = "team-a/9a1c0f3e-0000-4000-8000-00000000000f/"
)

// depot is a store in memory with its engine, ledger and receipts. Each of its steps
// goes through the same faults as the calls to the API server.
type depot struct {
	calls *callLog
	mu    sync.Mutex
	// identity of the store, and the one prefix that may be erased there.
	identity, prefix string
	// versions of the artifacts bucket with their sizes, and its unfinished uploads.
	versions map[string]int64
	uploads  map[string]bool

	records  map[string]objectkey.LedgerRecord
	events   map[string][]objectkey.LedgerEvent
	receipts map[string]objectkey.EraseReceipt
	// err is what every step fails with; nil: none does.
	err error
	// removing is called before each removal.
	removing func()
}

func newDepot(calls *callLog) *depot {
	d := &depot{
		calls: calls, identity: testStore, prefix: ownPrefix, versions: map[string]int64{}, uploads: map[string]bool{},
		records: map[string]objectkey.LedgerRecord{}, events: map[string][]objectkey.LedgerEvent{},
		receipts: map[string]objectkey.EraseReceipt{}, removing: func() {},
	}
	d.put(neighbourPrefix+"data/model", 7)
	d.uploads[neighbourPrefix+"data/half"] = true
	return d
}

func (d *depot) put(key string, size int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.versions[key] = size
}

// left counts what lies under a prefix.
func (d *depot) left(prefix string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.under(prefix))
}

// under lists versions and uploads, in the order of their keys.
func (d *depot) under(prefix string) []string {
	keys := slices.Concat(slices.Collect(maps.Keys(d.versions)), slices.Collect(maps.Keys(d.uploads)))
	keys = slices.DeleteFunc(keys, func(key string) bool { return !strings.HasPrefix(key, prefix) })
	slices.Sort(keys)
	return keys
}

// expect names the prefix that may be erased.
func (d *depot) expect(prefix string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.prefix = prefix
}

// fail makes every step fail; with nil, no longer.
func (d *depot) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// told gives the events of the run, in the order in which they were noted.
func (d *depot) told() []string {
	_, told := d.endOf(ownPrefix)
	return told
}

// endOf gives the receipt for a prefix and the events of its owner.
func (d *depot) endOf(prefix string) (receipt objectkey.EraseReceipt, told []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, event := range d.events[prefix] {
		told = append(told, event.Event)
	}
	return d.receipts[prefix], told
}

// step is one call to the store.
func (d *depot) step(effect func() error) error {
	before, late := d.calls.fault()
	if before {
		return fmt.Errorf("step: %w", objectstore.ErrUnavailable)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return fmt.Errorf("step: %w", d.err)
	}
	if err := effect(); err != nil {
		return err
	}
	if late {
		return fmt.Errorf("step: %w", objectstore.ErrUnavailable)
	}
	return nil
}

func (d *depot) check(t erasure.Target) error {
	switch {
	case t.Bucket != "artifacts" || t.Prefix != d.prefix || !strings.HasSuffix(t.Prefix, "/"+t.UID+"/"):
		return erasure.ErrRefused
	case t.Store != d.identity:
		return erasure.ErrUnknownStore
	}
	return nil
}

func (d *depot) Identity(_ context.Context, bucket string) (identity string, err error) {
	err = d.step(func() error {
		if bucket != "artifacts" {
			return objectstore.ErrNotFound
		}
		identity = d.identity
		return nil
	})
	return identity, err
}

func (d *depot) Inventory(_ context.Context, t erasure.Target) (found erasure.Inventory, err error) {
	err = d.step(func() error {
		for _, key := range d.under(t.Prefix) {
			if d.uploads[key] {
				found.Uploads++
				continue
			}
			found.Versions++
			found.Bytes += d.versions[key]
		}
		return d.check(t)
	})
	return found, err
}

// Erase can break off at each entry.
func (d *depot) Erase(_ context.Context, t erasure.Target, progress func(erasure.Inventory)) (erasure.Inventory, error) {
	var removed erasure.Inventory
	var keys []string
	err := d.step(func() error {
		keys = d.under(t.Prefix)
		return d.check(t)
	})
	for _, key := range keys {
		if err != nil {
			break
		}
		d.removing()
		err = d.step(func() error {
			if !d.uploads[key] {
				removed.Versions++
				removed.Bytes += d.versions[key]
			}
			delete(d.versions, key)
			delete(d.uploads, key)
			return nil
		})
		progress(removed)
	}
	return removed, err
}

func (d *depot) Verify(_ context.Context, t erasure.Target) (empty bool, err error) {
	err = d.step(func() error {
		empty = len(d.under(t.Prefix)) == 0
		return d.check(t)
	})
	return empty, err
}

func (d *depot) Prune(_ context.Context, t erasure.Target, keep []string) (removed int64, err error) {
	err = d.step(func() error {
		if err := d.check(t); err != nil {
			return err
		}
		if len(keep) == 0 {
			return erasure.ErrRefused
		}
		for key := range d.versions {
			id, ok := objectkey.CheckpointOf(t.Prefix, key)
			if ok && id < slices.Max(keep) && !slices.Contains(keep, id) {
				delete(d.versions, key)
				removed++
			}
		}
		return nil
	})
	return removed, err
}

func (d *depot) Open(_ context.Context, record objectkey.LedgerRecord) error {
	key := objectkey.OwnerPrefix(record.Namespace, record.UID)
	return d.step(func() error {
		if err := record.Validate(); err != nil {
			return err
		}
		if d.has(key, objectkey.LedgerErased) {
			return ledger.ErrErased
		}
		if _, there := d.records[key]; !there {
			d.records[key] = record
		}
		return nil
	})
}

func (d *depot) Note(_ context.Context, namespace, uid string, event objectkey.LedgerEvent) error {
	key := objectkey.OwnerPrefix(namespace, uid)
	return d.step(func() error {
		if err := event.Validate(); err != nil {
			return err
		}
		if !d.has(key, event.Event) {
			d.events[key] = append(d.events[key], event)
		}
		return nil
	})
}

func (d *depot) has(key, event string) bool {
	return slices.ContainsFunc(d.events[key], func(e objectkey.LedgerEvent) bool { return e.Event == event })
}

func (d *depot) Read(_ context.Context, namespace, uid string) (account ledger.Account, err error) {
	key := objectkey.OwnerPrefix(namespace, uid)
	err = d.step(func() error {
		if record, there := d.records[key]; there {
			account.Record = &record
		}
		account.Events = map[string][]objectkey.LedgerEvent{}
		for _, event := range d.events[key] {
			account.Events[event.Event] = append(account.Events[event.Event], event)
		}
		return nil
	})
	return account, err
}

func (d *depot) Write(_ context.Context, receipt objectkey.EraseReceipt) (string, error) {
	key := objectkey.OwnerPrefix(receipt.Namespace, receipt.UID)
	err := d.step(func() error {
		receipt.Sequence = 1
		if err := receipt.Validate(); err != nil {
			return err
		}
		if len(d.under(key)) > 0 {
			return errors.New("a receipt for data that is there")
		}
		if _, there := d.receipts[key]; !there {
			receipt.Sequence = 0
			d.receipts[key] = receipt
		}
		return nil
	})
	return digest, err
}
