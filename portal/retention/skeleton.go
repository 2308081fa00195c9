// Package retention removes what has been kept long enough.
package retention

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lethe-dev/lethe/portal"
)

// Options of a Sweeper. Zero values are the defaults.
type Options struct {
	Batch   int           // events removed in one transaction; 1,000
	Every   time.Duration // between sweeps; an hour
	Random  io.Reader     // for jitter
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Report is what a sweep removed.
type Report struct{ Events, Sessions, Links, Throttles, Mails int }

// Sweeper sweeps.
type Sweeper struct{}

// New makes one.
func New(store portal.Store, now func() time.Time, options Options) (*Sweeper, error) { panic("not yet") }

// Sweep removes all that is due.
func (s *Sweeper) Sweep(ctx context.Context) (Report, error) { panic("not yet") }

// Late is how overdue the oldest event is that no hold keeps; 0 for none.
func (s *Sweeper) Late(ctx context.Context) (time.Duration, error) { panic("not yet") }

// Run sweeps until the context ends.
func (s *Sweeper) Run(ctx context.Context) error { panic("not yet") }
