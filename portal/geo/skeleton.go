// Package geo finds the country of an address in a local file.
package geo

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of Open.
type Options struct {
	Now     func() time.Time
	Log     *slog.Logger          // may be nil
	Metrics prometheus.Registerer // may be nil
}

// Countries knows the country of addresses.
type Countries struct{}

// MaxAge is how old the file may be before readiness warns (the GeoLite2 licence asks for 30 days).
const MaxAge = 30 * 24 * time.Hour

// Open reads the file; path "" gives Countries that know none.
func Open(path string, options Options) (*Countries, error) { panic("not yet") }

// Country is the ISO 3166-1 alpha-2 code, or portal.UnknownCountry.
func (c *Countries) Country(ip netip.Addr) string { panic("not yet") }

// Age is how long ago the file was built; false when there is none.
func (c *Countries) Age(now time.Time) (time.Duration, bool) { panic("not yet") }

// Run reads the file again whenever it changed, until the context ends.
func (c *Countries) Run(ctx context.Context) error { panic("not yet") }
