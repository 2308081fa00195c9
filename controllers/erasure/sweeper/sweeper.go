package sweeper

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// Name of the sweeper, and of the reporter of its events.
const Name = "sweeper"

// Defaults of Options.
const (
	DefaultInterval   = time.Hour
	DefaultGrace      = 24 * time.Hour
	DefaultBreakerMin = 10
)

const (
	// sweepTimeout bounds a sweep. Two hours list a thousand owners a second and
	// erase more than ten million objects, see datasetretention's workTimeout.
	sweepTimeout = 2 * time.Hour
	// soonerAfterFailure is the part of an interval after which a failed sweep is
	// tried again.
	soonerAfterFailure = 10
	// breakerShare is how many active records stand against one orphan.
	breakerShare = 100
)

// Store tells who has data (objectstore.Client does).
type Store interface {
	// ListOwners yields each "<namespace>/<uid>/" below which there is anything, and
	// every key that is not below one. An error is the last thing that it yields; a
	// listing without one is complete.
	ListOwners(ctx context.Context, bucket string) iter.Seq2[string, error]
}

// Ledger is the ledger in the store (ledger.Ledger). Each method may be repeated.
type Ledger interface {
	// All yields every account. An error is the last thing that it yields.
	All(ctx context.Context) iter.Seq2[ledger.Account, error]
	// Read gives one account; an empty one is not an error.
	Read(ctx context.Context, namespace, uid string) (ledger.Account, error)
	// Open writes a record; it is not an error when the same is there.
	Open(ctx context.Context, record objectkey.LedgerRecord) error
	// Note writes an event; it is not an error when it was written before.
	Note(ctx context.Context, namespace, uid string, event objectkey.LedgerEvent) error
}

// Engine erases (erasure.Engine). Each method may be repeated. Errors wrap
// erasure.ErrRefused when a guard found the target not safe to erase; others are the
// store's and worth another try.
type Engine interface {
	// Identity is what the bucket says of its store.
	Identity(ctx context.Context, bucket string) (string, error)
	// Inventory counts what Erase would remove.
	Inventory(ctx context.Context, t erasure.Target) (erasure.Inventory, error)
	// Erase removes everything; that there is nothing is no error.
	Erase(ctx context.Context, t erasure.Target, progress func(erasure.Inventory)) (erasure.Inventory, error)
	// Verify reports whether there is nothing, by other means than Erase.
	Verify(ctx context.Context, t erasure.Target) (bool, error)
}

// Keys has the keys that data is under (datasetkey.Ring). Both may be repeated.
type Keys interface {
	// Get gives a key, so that a receipt can name it, or datasetkey.ErrNotFound, or
	// datasetkey.ErrMalformed for one that nobody can use.
	Get(ctx context.Context, uid types.UID) (objectstore.Key, error)
	// Destroy gives nil only when there is no key any more; that there was none is no
	// error.
	Destroy(ctx context.Context, uid types.UID) error
}

// Receipts writes receipts (receipts.Book). One that is there already is kept, and its
// digest given.
type Receipts interface {
	Write(ctx context.Context, receipt objectkey.EraseReceipt) (digest string, err error)
}

// Recorder publishes events. It must not block; an event may get lost.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// Options of a Sweeper. All without a default are required.
type Options struct {
	// DatasetsBucket and ArtifactsBucket are compared with the ledger, which lies in
	// LedgerBucket. Each must have an identity, or nothing is compared.
	DatasetsBucket, ArtifactsBucket, LedgerBucket string
	// Interval between two sweeps; default DefaultInterval.
	Interval time.Duration
	// Grace is how long an orphan is left alone after it was first seen; default
	// DefaultGrace. Negative for none, which is for tests.
	Grace time.Duration
	// BreakerMin is how many orphans of a resource one sweep may erase however few
	// records there are; default DefaultBreakerMin. It is raised for a while to let an erase of
	// many pass that somebody has looked at.
	BreakerMin int
	// EraseUnrecorded lets data that neither the ledger nor the API server knows become
	// orphans. Without it such data is only reported, because all data looks so when
	// the ledger is lost or set back. It is for an administrator who has seen that the
	// ledger is whole.
	EraseUnrecorded bool
	// DryRun finds and reports, and writes nothing.
	DryRun bool

	Store    Store
	Ledger   Ledger
	Objects  Objects
	Keys     Keys
	Engine   Engine
	Receipts Receipts
	Clock    clock.Clock
	Log      logr.Logger
	Events   Recorder
	Metrics  prometheus.Registerer
}

func (o *Options) complete() error {
	switch {
	case !distinct(o.DatasetsBucket, o.ArtifactsBucket, o.LedgerBucket):
		return errors.New("the sweeper needs the names of three buckets")
	case o.Store == nil || o.Ledger == nil || o.Objects == nil:
		return errors.New("the sweeper needs a store, a ledger, and a look at the objects")
	case o.Keys == nil || o.Engine == nil || o.Receipts == nil:
		return errors.New("the sweeper needs keys, an engine and receipts")
	case o.Clock == nil || o.Events == nil || o.Metrics == nil:
		return errors.New("the sweeper needs a clock, an event recorder and a metrics registry")
	case o.Interval < 0 || o.BreakerMin < 0:
		return errors.New("the sweeper's interval and the least number of its breaker are not negative")
	}
	if o.Interval == 0 {
		o.Interval = DefaultInterval
	}
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.BreakerMin == 0 {
		o.BreakerMin = DefaultBreakerMin
	}
	return nil
}

// distinct reports whether these are three names.
func distinct(a, b, c string) bool {
	return a != "" && b != "" && c != "" && a != b && b != c && c != a
}

// Sweeper compares the store with the ledger. It is a manager.Runnable. Sweep must not
// be called by two at once.
type Sweeper struct {
	opts    Options
	metrics *metrics
	// seen are the orphans of the last complete sweep, told what was told of then.
	seen map[place]bool
	told map[alarm]bool
	// begun are erases that were not finished.
	begun map[place]attempt
}

// New makes a Sweeper and registers its metrics. It fails when an option is missing.
func New(opts Options) (*Sweeper, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	m, err := newMetrics(opts)
	if err != nil {
		return nil, err
	}
	return &Sweeper{opts: opts, metrics: m, begun: map[place]attempt{}}, nil
}

// NeedLeaderElection makes one replica sweep.
func (s *Sweeper) NeedLeaderElection() bool { return true }

// Start sweeps at once and then in every interval, until the context ends. A failed
// sweep never ends the operator; it is tried again sooner than others.
func (s *Sweeper) Start(ctx context.Context) error {
	for {
		pause := s.opts.Interval
		if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.opts.Log.Error(err, "The store could not be compared with the ledger to the end; it is tried again")
			pause /= soonerAfterFailure
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.opts.Clock.After(pause):
		}
	}
}

// Sweep compares once and does what follows. The error says why the sweep is not
// complete; nothing was erased if it comes from a listing or a look-up. The report is
// of what was found until then.
func (s *Sweeper) Sweep(ctx context.Context) (Report, error) {
	start := s.opts.Clock.Now()
	within, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	report, err := s.sweep(within)
	s.metrics.swept(s.opts.Clock.Now(), s.opts.Clock.Since(start), err)
	return report, err
}

func (s *Sweeper) sweep(ctx context.Context) (Report, error) {
	seen, err := s.observe(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("observe: %w", err)
	}
	p := plan(seen, s.seen, s.opts.BreakerMin, resourcesOf(s.opts.DatasetsBucket, s.opts.ArtifactsBucket))
	report := newReport(seen, p)
	if !s.opts.DryRun {
		err = s.act(ctx, p, &report)
	}
	s.tell(&report)
	s.metrics.found(report)
	s.seen = p.orphans
	// Who is no orphan any more begins anew if it comes to that.
	maps.DeleteFunc(s.begun, func(at place, _ attempt) bool { return !p.orphans[at] })
	return report, err
}
