package geo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lethe-dev/lethe/portal"
)

const (
	// MaxAge is how old a file may get before somebody should look: GeoLite2's licence asks
	// to replace it within 30 days of a new one.
	MaxAge = 30 * 24 * time.Hour
	// poll is how often the file is looked at. Its name and time are asked for instead of
	// the kernel's notices: those don't come from network file systems, and are easily lost
	// when Kubernetes exchanges the link to a whole folder. A minute is soon enough for a
	// file that comes twice a week.
	poll = time.Minute
)

// Options of Open.
type Options struct {
	// Now is for the age in the metric.
	Now func() time.Time
	// Log may be nil.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Countries knows the country of addresses. Many may ask at once.
type Countries struct {
	path string
	log  *slog.Logger
	// file is nil while there is none.
	file atomic.Pointer[maxminddb.Reader]
	// seen is the state of the file that was read last, good or bad; only Run uses it.
	seen state
}

// Open reads the file. With path "" no country is ever known. A file that isn't there is
// waited for, and told of in the log; one that is there and can't be used is an error.
func Open(path string, options Options) (*Countries, error) {
	c := &Countries{path: path, log: options.Log}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if err := c.register(options); err != nil {
		return nil, fmt.Errorf("register the metrics of countries: %w", err)
	}
	if path == "" {
		return c, nil
	}
	err := c.reload()
	if errors.Is(err, fs.ErrNotExist) {
		c.log.Warn("The file of countries is not there; until it is, countries are not known.", "file", path)
		return c, nil
	}
	return c, err
}

// Country is the ISO 3166-1 alpha-2 code for an address, and portal.UnknownCountry when
// the file doesn't know it, for addresses that are in no country, and without a file.
func (c *Countries) Country(ip netip.Addr) string {
	file := c.file.Load()
	ip = ip.Unmap().WithZone("")
	if file == nil || !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return portal.UnknownCountry
	}
	var record struct {
		Country    country `maxminddb:"country"`
		Registered country `maxminddb:"registered_country"`
	}
	if err := file.Lookup(ip).Decode(&record); err != nil {
		return portal.UnknownCountry // it was verified whole: the address is of a kind that the file hasn't
	}
	for _, code := range []string{record.Country.Code, record.Registered.Code} {
		if isCode(code) {
			return code
		}
	}
	return portal.UnknownCountry
}

type country struct {
	Code string `maxminddb:"iso_code"`
}

func isCode(code string) bool {
	return len(code) == 2 && code[0] >= 'A' && code[0] <= 'Z' && code[1] >= 'A' && code[1] <= 'Z'
}

// Age is how long ago the file in use was built, and false without a file.
func (c *Countries) Age(now time.Time) (time.Duration, bool) {
	file := c.file.Load()
	if file == nil {
		return 0, false
	}
	return now.Sub(file.Metadata.BuildTime()), true
}

// Run reads the file again whenever it has changed, until the context ends; then it
// returns nil. What can't be read is logged, once for each state of the file.
func (c *Countries) Run(ctx context.Context) error {
	if c.path == "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			c.Refresh()
		}
	}
}

// Refresh reads the file again if it has changed. Run calls it; only one may at a time.
func (c *Countries) Refresh() {
	before := c.seen
	if c.path == "" || stateOf(c.path) == before {
		return
	}
	switch err := c.reload(); {
	case err == nil:
		c.log.Info("The file of countries was read again.", "file", c.path, "built", c.file.Load().Metadata.BuildTime())
	case c.file.Load() == nil:
		c.log.Warn("The file of countries can't be used; countries are not known.", "file", c.path, "error", err)
	default:
		c.log.Warn("The file of countries can't be used; the last good one stays.", "file", c.path, "error", err)
	}
}

// reload takes the file into use, or says why it can't be.
func (c *Countries) reload() error {
	before := stateOf(c.path)
	file, err := read(c.path)
	// A file that was written meanwhile is not the one that was read: look again next time.
	c.seen = state{}
	if after := stateOf(c.path); after == before {
		c.seen = after
	}
	if err != nil {
		return err
	}
	c.file.Store(file)
	return nil
}

func (c *Countries) register(options Options) error {
	if options.Metrics == nil {
		return nil
	}
	return options.Metrics.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "lethe_portal_countries_built_timestamp_seconds",
		Help: "When the file of countries in use was built; 0: there is none.",
	}, func() float64 {
		if file := c.file.Load(); file != nil {
			return float64(file.Metadata.BuildTime().Unix())
		}
		return 0
	}))
}
