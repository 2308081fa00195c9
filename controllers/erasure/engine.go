package erasure

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// maxPasses ends an erase that somebody keeps writing against; the caller tries
// again later.
const maxPasses = 5

// Remover is what takes data away. An error is the last thing that a listing yields;
// one without is complete. Removing what is gone is a success, so everything may be
// repeated, and no error means that all was removed. ListVersionsFrom begins after
// the given key, in the order of the keys' bytes.
type Remover interface {
	ListVersionsFrom(ctx context.Context, bucket, prefix, after string) iter.Seq2[objectstore.Version, error]
	ListUploads(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Upload, error]
	RemoveVersions(ctx context.Context, bucket string, versions []objectstore.Version) error
	AbortUpload(ctx context.Context, bucket string, upload objectstore.Upload) error
	// RemovePrefix may remove anything from nothing to all, also without an error;
	// with objectstore.ErrUnsupported it has removed nothing.
	RemovePrefix(ctx context.Context, bucket, prefix string) error
}

// Describer tells what decides whether data can be removed.
type Describer interface {
	Reader
	Facts(ctx context.Context, bucket string) (objectstore.BucketFacts, error)
	// RetainedUntil gives when the lock of a version ends, or the zero time.
	RetainedUntil(ctx context.Context, bucket string, v objectstore.Version) (time.Time, error)
}

// Store is all that an Engine needs (objectstore.Client is one).
type Store interface {
	Remover
	Describer
}

// Auditor looks at the store with other credentials and by other code than what
// removes (audit.Auditor is one). Both methods may be repeated.
type Auditor interface {
	// Empty reports whether there is no version, marker and unfinished upload. A
	// bucket that is not there is an error.
	Empty(ctx context.Context, bucket, prefix string) (bool, error)
	// Identity gives what the bucket's identity object says.
	Identity(ctx context.Context, bucket string) (string, error)
}

// Options of an Engine.
type Options struct {
	// Store and Auditor are required.
	Store   Store
	Auditor Auditor
	// ReceiptsBucket and LedgerBucket are never erased from. Required.
	ReceiptsBucket, LedgerBucket string
	// Cluster is what the buckets must be claimed for; see EnsureIdentity.
	Cluster string
	// Limit bounds what is removed, in entries a second, all erases of the engine
	// together; 0 for no bound. The fast path is one entry, however much it removes.
	Limit rate.Limit
	// FastPath allows MinIO's removal of a whole prefix.
	FastPath bool
	// Clock for pauses, the limit and progress; nil for the real one.
	Clock clock.Clock
}

// Engine erases. It has no state but its limit and is safe for concurrent use.
type Engine struct {
	store    Store
	auditor  Auditor
	reserved []string
	cluster  string
	limiter  *rate.Limiter
	fast     bool
	clock    clock.Clock
}

// New makes an engine; it sends nothing.
func New(o Options) (*Engine, error) {
	if o.Store == nil || o.Auditor == nil {
		return nil, errors.New("erasure needs a store and an auditor")
	}
	if o.ReceiptsBucket == "" || o.LedgerBucket == "" {
		return nil, errors.New("erasure needs to know the buckets of the receipts and of the ledger, to keep out of them")
	}
	e := &Engine{
		store: o.Store, auditor: o.Auditor,
		reserved: []string{o.ReceiptsBucket, o.LedgerBucket},
		cluster:  o.Cluster,
		fast:     o.FastPath, clock: o.Clock,
	}
	if o.Limit < 0 {
		return nil, errors.New("the limit of an erase is negative")
	}
	if o.Limit > 0 {
		e.limiter = rate.NewLimiter(o.Limit, batchSize)
	}
	if e.clock == nil {
		e.clock = clock.RealClock{}
	}
	return e, nil
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
	if _, err := e.guard(ctx, t); err != nil {
		return Inventory{}, fmt.Errorf("count what is stored: %w", err)
	}
	p := e.newPass(t, nil)
	if err := p.countAll(ctx); err != nil {
		return Inventory{}, fmt.Errorf("count what is stored: %w", err)
	}
	return p.tally.sum(), nil
}

// Erase removes everything of a target. It ends well only after a pass that found
// nothing; what is there already gone is gone, so a call that was cut off is simply
// made again. What one key's removal says does not keep it from removing the rest;
// it is tried again a few times, and then is the error. A store that is unavailable
// ends the call.
//
// It gives what it has removed one by one, at least, also along with an error. What
// the fast path removed is not among it, since nobody counts there: the record of
// what was erased is the Inventory that was taken before.
//
// Progress, if not nil, is called with what this call has removed so far, at most
// once a second and never twice at once; removing goes on meanwhile. Errors wrap
// ErrRefused, ErrIncomplete or are the store's.
func (e *Engine) Erase(ctx context.Context, t Target, progress func(Inventory)) (Inventory, error) {
	facts, err := e.guard(ctx, t)
	if err != nil {
		return Inventory{}, fmt.Errorf("erase: %w", err)
	}
	job := e.newPass(t, progress)
	var fastError error
	if e.fast && prefixRemovable(facts) {
		fastError = e.removePrefix(ctx, job)
		if hopeless(ctx, fastError) {
			return job.tally.sum(), fmt.Errorf("erase: %w", fastError)
		}
	}
	err = job.runUntilEmpty(ctx)
	if err != nil && !errors.Is(err, ErrIncomplete) {
		err = fmt.Errorf("erase: %w", errors.Join(err, fastError))
	}
	return job.tally.sum(), err
}

// Verify has the auditor look at the target, and reports whether it found nothing.
// Errors wrap ErrRefused, also where the auditor sees another store, or are the
// auditor's; a listing that was not complete is one.
func (e *Engine) Verify(ctx context.Context, t Target) (empty bool, err error) {
	if err := t.check(e.reserved); err != nil {
		return false, fmt.Errorf("verify erase: %w", err)
	}
	if err := t.sameStore(e.auditor.Identity(ctx, t.Bucket)); err != nil {
		return false, fmt.Errorf("verify erase: %w", err)
	}
	empty, err = e.auditor.Empty(ctx, t.Bucket, t.Prefix)
	if err != nil {
		return false, fmt.Errorf("verify erase: %w", refuseHidden(err))
	}
	return empty, nil
}

// wait lets n entries pass within the limit.
func (e *Engine) wait(ctx context.Context, n int) error {
	if e.limiter == nil {
		return ctx.Err()
	}
	now := e.clock.Now()
	place := e.limiter.ReserveN(now, n)
	if err := e.pause(ctx, place.DelayFrom(now)); err != nil {
		place.CancelAt(e.clock.Now())
		return err
	}
	return nil
}

func (e *Engine) pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := e.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
