package retention

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	removed  *prometheus.CounterVec
	failures prometheus.Counter
	success  prometheus.Gauge
}

func newMetrics(into prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		removed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lethe_portal_purged_rows_total",
			Help: "Rows that were removed because they had been kept long enough, by what they were.",
		}, []string{"what"}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lethe_portal_purge_failures_total",
			Help: "Sweeps that could not remove all that was due.",
		}),
		success: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lethe_portal_purge_last_success_timestamp_seconds",
			Help: "When a sweep last removed all that was due; 0: not since the start.",
		}),
	}
	m.count(Report{})
	if into == nil {
		return m, nil
	}
	return m, errors.Join(into.Register(m.removed), into.Register(m.failures), into.Register(m.success))
}

func (m *metrics) count(r Report) {
	for what, n := range map[string]int{
		"events": r.Events, "sessions": r.Sessions, "links": r.Links, "throttles": r.Throttles, "mails": r.Mails,
		"notices": r.Notices,
	} {
		m.removed.WithLabelValues(what).Add(float64(n))
	}
}
