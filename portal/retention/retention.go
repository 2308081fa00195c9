package retention

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lethe-dev/lethe/portal"
)

// Defaults of Options.
const (
	// DefaultBatch keeps a transaction short: others write meanwhile.
	DefaultBatch = 1000
	DefaultEvery = time.Hour
)

// again is when a sweep that failed is tried again.
const again = 5 * time.Minute

// Options of a Sweeper. Zero values are the defaults.
type Options struct {
	// Batch is how many security events one transaction removes.
	Batch int
	// Every is the time between two sweeps; a tenth of it more or less, so that replicas
	// that were started together don't sweep together.
	Every time.Duration
	// Random is for that; nil for the system's.
	Random io.Reader
	// Log and Metrics may be nil.
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Report is how many rows a sweep has removed.
type Report struct {
	Events int
	// Sessions counts challenges and devices too.
	Sessions  int
	Links     int
	Throttles int
	Mails     int
	// Notices are of runs and datasets that are gone.
	Notices int
}

// Sweeper removes what has been kept long enough.
type Sweeper struct {
	store   portal.Store
	now     func() time.Time
	options Options
	metrics *metrics
}

// New makes a Sweeper. The error says which option can't be used.
func New(store portal.Store, now func() time.Time, options Options) (*Sweeper, error) {
	if options.Batch == 0 {
		options.Batch = DefaultBatch
	}
	if options.Every == 0 {
		options.Every = DefaultEvery
	}
	if options.Batch < 0 || options.Every < 0 {
		return nil, errors.New("the batch and the interval of sweeps are not negative")
	}
	if options.Random == nil {
		options.Random = rand.Reader
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(options.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register the metrics of retention: %w", err)
	}
	return &Sweeper{store: store, now: now, options: options, metrics: m}, nil
}

// Sweep removes all that is due, and gives what it has removed also when it fails: what
// can't be removed of one kind doesn't keep the others. It may be called at any time.
func (s *Sweeper) Sweep(ctx context.Context) (Report, error) {
	now := s.now()
	var report Report
	events, err := s.sweepEvents(ctx, now.Add(-portal.EventRetention))
	report.Events = events
	errs := []error{err}
	others := []struct {
		name  string
		into  *int
		purge func(context.Context, portal.Tx) (int, error)
	}{
		{"sessions", &report.Sessions, func(ctx context.Context, tx portal.Tx) (int, error) { return tx.PurgeSessions(ctx, now) }},
		{"links", &report.Links, func(ctx context.Context, tx portal.Tx) (int, error) { return tx.PurgeLinks(ctx, now) }},
		{"throttles", &report.Throttles, func(ctx context.Context, tx portal.Tx) (int, error) {
			return tx.PurgeThrottles(ctx, now.Add(-portal.ThrottleRetention))
		}},
		{"mails", &report.Mails, func(ctx context.Context, tx portal.Tx) (int, error) {
			return tx.PurgeMails(ctx, now.Add(-portal.MailRetention))
		}},
		{"notices", &report.Notices, func(ctx context.Context, tx portal.Tx) (int, error) {
			return tx.PurgeNotices(ctx, now.Add(-portal.MailRetention))
		}},
	}
	for _, other := range others {
		n, err := s.purge(ctx, other.purge)
		if err != nil {
			errs = append(errs, fmt.Errorf("purge %s: %w", other.name, err))
		}
		*other.into = n
	}
	s.metrics.count(report)
	if err := errors.Join(errs...); err != nil {
		return report, err
	}
	s.metrics.success.Set(float64(now.Unix()))
	return report, nil
}

// sweepEvents removes events in batches until none is left that is due.
func (s *Sweeper) sweepEvents(ctx context.Context, before time.Time) (int, error) {
	all := 0
	for {
		n, err := s.purge(ctx, func(ctx context.Context, tx portal.Tx) (int, error) {
			return tx.PurgeEvents(ctx, before, s.options.Batch)
		})
		if err != nil {
			return all, fmt.Errorf("purge security events: %w", err)
		}
		all += n
		if n < s.options.Batch {
			return all, nil
		}
	}
}

// purge is one transaction.
func (s *Sweeper) purge(ctx context.Context, f func(context.Context, portal.Tx) (int, error)) (int, error) {
	var n int
	err := s.store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		n, err = f(ctx, tx)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// Late is by how much the oldest security event that no hold keeps is over its time; 0
// when none is. More than two hours mean that sweeps don't work: it is for an alarm.
func (s *Sweeper) Late(ctx context.Context) (time.Duration, error) {
	var oldest time.Time
	err := s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		oldest, err = tx.OldestUnheldEvent(ctx)
		return err
	})
	if portal.KindOf(err) == portal.KindNotFound {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find the oldest security event: %w", err)
	}
	return max(s.now().Sub(oldest)-portal.EventRetention, 0), nil
}

// Run sweeps at once and then each Options.Every, until the context ends; then it returns
// nil. What goes wrong is logged, counted and tried again soon.
func (s *Sweeper) Run(ctx context.Context) error {
	for {
		pause := s.options.Every
		report, err := s.Sweep(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			pause = min(again, pause)
			s.metrics.failures.Inc()
			s.options.Log.Error("What is due to be removed could not be removed.", "error", err)
		case err == nil && report != Report{}:
			s.options.Log.Info("What was due to be removed was removed.",
				"events", report.Events, "sessions", report.Sessions, "links", report.Links, "throttles", report.Throttles,
				"mails", report.Mails, "notices", report.Notices)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(s.spread(pause)):
		}
	}
}

// spread is a time between 0.9 and 1.1 times another.
func (s *Sweeper) spread(d time.Duration) time.Duration {
	var b [2]byte
	if _, err := io.ReadFull(s.options.Random, b[:]); err != nil {
		return d // sweeping together is no harm
	}
	return d*9/10 + d/5*time.Duration(binary.LittleEndian.Uint16(b[:]))/(1<<16)
}
