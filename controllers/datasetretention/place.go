package datasetretention

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// Keys makes, gives and destroys the keys of datasets (datasetkey.Ring is one). All
// methods may be repeated.
type Keys interface {
	// Ensure gives the dataset's key, and makes it if there is none.
	Ensure(ctx context.Context, uid types.UID) (objectstore.Key, error)
	// Get gives the key as it is now, read live; datasetkey.ErrNotFound if there is none.
	Get(ctx context.Context, uid types.UID) (objectstore.Key, error)
	// Destroy gives nil only when there is no key any more, by a live read.
	Destroy(ctx context.Context, uid types.UID) error
}

// Ledger is the record outside of Kubernetes of what may be in the store
// (ledger.Ledger is one). All methods may be repeated.
type Ledger interface {
	// Open writes the record before the first byte may enter. ledger.ErrErased: the
	// data of this UID was erased before.
	Open(ctx context.Context, record objectkey.LedgerRecord) error
	// Note adds an event.
	Note(ctx context.Context, namespace, uid string, event objectkey.LedgerEvent) error
	// Read gives what is known of an object, which may be nothing.
	Read(ctx context.Context, namespace, uid string) (ledger.Account, error)
}

const (
	// siteLife is how long what was read of the bucket is good for new datasets. An
	// erase never relies on it.
	siteLife = time.Minute
	// siteRetry is when a bucket that was found unsuitable is looked at again. Nothing
	// tells when an administrator has mended it.
	siteRetry = time.Minute
)

// site is what was read of the datasets bucket.
type site struct {
	// store is the identity of the store.
	store string
	// locked: the bucket has an object lock.
	locked bool
}

// sites remembers the site for a while.
type sites struct {
	mu    sync.Mutex
	known site
	until time.Time
}

func (s *sites) recall(now time.Time) (site, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known, now.Before(s.until)
}

func (s *sites) remember(found site, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known, s.until = found, now.Add(siteLife)
}

// placing is what came of giving a dataset its place.
type placing struct {
	// location and keyID are for the status; a nil location: it got none.
	location *v1alpha1.ObjectLocation
	keyID    string
	// refused is the Reason constant for which it can not have one for now.
	refused string
}

// keyFault is trouble with a dataset's own key, as opposed to the store's.
type keyFault struct{ cause error }

func (f *keyFault) Error() string { return f.cause.Error() }
func (f *keyFault) Unwrap() error { return f.cause }

// place gives a dataset its place: the record that data may be there first, then its
// key. The location that is published last lets uploads begin. What was done before a
// crash is found done: the record is the same, and so is the key.
func (r *Reconciler) place(ctx context.Context, seen *observed, p plan) {
	if !p.place {
		return
	}
	here, err := r.site(ctx, seen.now)
	if err != nil {
		seen.storeErr = err
		return
	}
	if here.locked {
		seen.placing.refused = v1alpha1.ReasonStoreUnsuitable
		return
	}
	switch err := r.opts.Ledger.Open(ctx, recordOf(*seen, here.store)); {
	case errors.Is(err, ledger.ErrErased):
		seen.placing.refused = v1alpha1.ReasonErased
		return
	case err != nil:
		seen.storeErr = fmt.Errorf("open the dataset's account in the ledger: %w", err)
		return
	}
	if ownKey(seen.dataset) {
		key, err := r.opts.Keys.Ensure(ctx, seen.dataset.UID)
		if err != nil {
			seen.storeErr = &keyFault{fmt.Errorf("make the dataset's key: %w", err)}
			return
		}
		seen.placing.keyID = key.ID()
	}
	location := seen.home
	location.Store = here.store
	seen.placing.location = &location
}

// site reads which store this is, and whether data may be put there.
func (r *Reconciler) site(ctx context.Context, now time.Time) (site, error) {
	if known, fresh := r.sites.recall(now); fresh {
		return known, nil
	}
	store, err := r.opts.Eraser.Identity(ctx, r.opts.DatasetsBucket)
	if err != nil {
		return site{}, fmt.Errorf("read the store's identity: %w", err)
	}
	facts, err := r.opts.Store(objectstore.Key{}).Facts(ctx, r.opts.DatasetsBucket)
	if err != nil {
		return site{}, fmt.Errorf("read the bucket's configuration: %w", err)
	}
	found := site{store: store, locked: facts.ObjectLock}
	r.sites.remember(found, now)
	return found, nil
}

// recordOf is the ledger's record of a dataset. The owner may still change maxAge, so
// its last day is that of the ceiling.
func recordOf(seen observed, store string) objectkey.LedgerRecord {
	d := seen.dataset
	return objectkey.LedgerRecord{
		Kind: objectkey.LedgerKind, Resource: objectkey.ResourceDataset,
		Namespace: d.Namespace, UID: string(d.UID),
		Store: store, Bucket: seen.home.Bucket, Prefix: seen.home.Prefix,
		CreatedTime: seen.now,
		EraseBy:     d.CreationTimestamp.UTC().Add(seen.limits.longest()),
	}
}

// ownKey reports whether the dataset's data is under a key of its own.
func ownKey(d *v1alpha1.DatasetRetention) bool {
	return d.Spec.Encryption != v1alpha1.EncryptionBucket || d.Status.KeyID != ""
}
