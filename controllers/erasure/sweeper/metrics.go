package sweeper

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the sweeper. Only the leader sweeps, so only its numbers count. Those of
// findings are of the last sweep that could see both sides.
type metrics struct {
	findings *prometheus.GaugeVec
	erased   *prometheus.CounterVec
	sweeps   *prometheus.CounterVec
	success  prometheus.Gauge
	duration prometheus.Gauge
	breaker  prometheus.Gauge
	overdue  prometheus.Gauge
	active   prometheus.Gauge
	dryRun   prometheus.Gauge
	interval prometheus.Gauge
}

// Results of a sweep.
const (
	resultSuccess = "success"
	resultFailure = "failure"
)

func newMetrics(opts Options) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &metrics{
		findings: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "lethe_sweeper_findings",
			Help: "What the last comparison of the store with the ledger found, by kind.",
		}, []string{"kind"}),
		erased: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lethe_sweeper_erased_total",
			Help: "Owners whose data the sweeper erased, by why (Orphan, LateData).",
		}, []string{"kind"}),
		sweeps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lethe_sweeper_sweeps_total",
			Help: "Comparisons of the store with the ledger, by result (success, failure).",
		}, []string{"result"}),
		success: gauge("lethe_sweeper_last_success_timestamp_seconds",
			"When the store was last compared with the ledger to the end; 0: not since the start."),
		duration: gauge("lethe_sweeper_duration_seconds",
			"How long the last comparison of the store with the ledger took, with its erases."),
		breaker: gauge("lethe_sweeper_breaker_open",
			"1 if so many orphans are due that none is erased."),
		overdue: gauge("lethe_sweeper_overdue_seconds",
			"For how long the data has been due to be erased that is due the longest, by the ledger; 0: none is."),
		active: gauge("lethe_sweeper_active_records",
			"Records in the ledger whose data was not erased."),
		dryRun: gauge("lethe_sweeper_dry_run",
			"1 if the sweeper only reports."),
		interval: gauge("lethe_sweeper_interval_seconds",
			"Time between two comparisons of the store with the ledger."),
	}
	for _, kind := range kinds {
		m.findings.WithLabelValues(string(kind)).Set(0)
	}
	for _, kind := range []Kind{KindOrphan, KindLateData} {
		m.erased.WithLabelValues(string(kind)).Add(0)
	}
	for _, result := range []string{resultSuccess, resultFailure} {
		m.sweeps.WithLabelValues(result).Add(0)
	}
	m.interval.Set(opts.Interval.Seconds())
	m.dryRun.Set(number(opts.DryRun))
	var errs []error
	for _, c := range []prometheus.Collector{
		m.findings, m.erased, m.sweeps, m.success, m.duration, m.breaker, m.overdue, m.active, m.dryRun, m.interval,
	} {
		errs = append(errs, opts.Metrics.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register metrics of the sweeper: %w", err)
	}
	return m, nil
}

// found takes up what a sweep found and did.
func (m *metrics) found(r Report) {
	for _, kind := range kinds {
		m.findings.WithLabelValues(string(kind)).Set(float64(r.Findings[kind]))
	}
	for kind, n := range r.Erased {
		m.erased.WithLabelValues(string(kind)).Add(float64(n))
	}
	m.breaker.Set(float64(r.Findings[KindBreakerOpen]))
	m.overdue.Set(r.Overdue.Seconds())
	m.active.Set(float64(r.Active))
}

// swept takes up how a sweep ended.
func (m *metrics) swept(end time.Time, took time.Duration, err error) {
	m.duration.Set(took.Seconds())
	if err != nil {
		m.sweeps.WithLabelValues(resultFailure).Inc()
		return
	}
	m.sweeps.WithLabelValues(resultSuccess).Inc()
	m.success.Set(float64(end.Unix()))
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
