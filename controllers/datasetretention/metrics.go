package datasetretention

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// metrics of the controller. Only the leader reconciles, so only its numbers count.
type metrics struct {
	clock    clock.PassiveClock
	datasets prometheus.Counter
	versions prometheus.Counter
	bytes    prometheus.Counter
	blocked  *prometheus.GaugeVec

	mu sync.Mutex
	// known holds the datasets that are to be erased. Every dataset is reconciled after
	// a restart, so it fills by itself.
	known map[types.NamespacedName]standpoint
}

// standpoint is where a dataset that is to be erased stands.
type standpoint struct {
	// pending: it is deleted and not erased yet.
	pending bool
	// blocked is the reason of its ErasureBlocked condition; empty: it is not.
	blocked string
	// since when it should have been erased; zero: what keeps it is allowed to.
	since time.Time
}

// standingOf is the standpoint of a dataset whose status is up to date.
func standingOf(seen observed) standpoint {
	s := standpoint{pending: seen.deleted(), since: overdueSince(seen)}
	c := apimeta.FindStatusCondition(seen.dataset.Status.Conditions, v1alpha1.ConditionErasureBlocked)
	if c != nil && c.Status == metav1.ConditionTrue {
		s.blocked = c.Reason
	}
	return s
}

// overdueSince is since when a dataset should have been erased: since its expiry or
// its deletion, or since the end of the last use or hold that was allowed to keep it
// longer. Zero: it is not due, or it is kept still.
func overdueSince(seen observed) time.Time {
	d := seen.dataset
	if len(holdVetoes(seen)) > 0 || len(seen.holders()) > 0 || len(seen.copies) > 0 {
		return time.Time{}
	}
	var since time.Time
	switch {
	case seen.deleted():
		since = d.DeletionTimestamp.UTC()
	case due(seen):
		since = expiry(seen)
	default:
		return since
	}
	for _, kind := range []string{v1alpha1.ConditionInUse, v1alpha1.ConditionHeld} {
		if c := apimeta.FindStatusCondition(d.Status.Conditions, kind); c != nil {
			since = latest(since, c.LastTransitionTime.Time)
		}
	}
	return since
}

func newMetrics(registry prometheus.Registerer, now clock.PassiveClock) (*metrics, error) {
	m := &metrics{
		clock: now,
		datasets: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lethe_datasets_erased_total",
			Help: "Datasets whose data was erased and verified to be gone.",
		}),
		versions: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lethe_erased_versions_total",
			Help: "Object versions and delete markers of erased datasets.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lethe_erased_bytes_total",
			Help: "Bytes of erased datasets.",
		}),
		blocked: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "lethe_erase_blocked",
			Help: "Deleted datasets whose erase is held up at the moment, by the reason of their ErasureBlocked condition.",
		}, []string{"reason"}),
		known: map[types.NamespacedName]standpoint{},
	}
	for _, reason := range []string{
		v1alpha1.ReasonOnHold, v1alpha1.ReasonRunsActive, v1alpha1.ReasonUploadsPossible, v1alpha1.ReasonStoreUnavailable,
		v1alpha1.ReasonUnknownStore, v1alpha1.ReasonObjectLock, v1alpha1.ReasonEraseRefused, v1alpha1.ReasonEraseIncomplete,
		v1alpha1.ReasonRunsNotTold, v1alpha1.ReasonWaitingForTurn,
	} {
		m.blocked.WithLabelValues(reason).Set(0)
	}
	pending := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "lethe_erase_pending",
		Help: "Deleted datasets that are not erased yet, whatever they wait for.",
	}, m.pending)
	overdue := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "lethe_erase_overdue_seconds",
		Help: "For how long the dataset that is overdue most should have been erased, counted at the scrape. " +
			"What runs use or a hold keeps is not overdue.",
	}, m.overdue)
	var err error
	for _, c := range []prometheus.Collector{m.datasets, m.versions, m.bytes, m.blocked, pending, overdue} {
		err = errors.Join(err, registry.Register(c))
	}
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

// pending counts the datasets that wait for their erase.
func (m *metrics) pending() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var n float64
	for _, s := range m.known {
		if s.pending {
			n++
		}
	}
	return n
}

// overdue is the longest time for which a dataset should have been erased, in seconds.
func (m *metrics) overdue() float64 {
	now := m.clock.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	var longest time.Duration
	for _, s := range m.known {
		if !s.since.IsZero() {
			longest = max(longest, now.Sub(s.since))
		}
	}
	return longest.Seconds()
}

// observe remembers where a dataset stands.
func (m *metrics) observe(key types.NamespacedName, s standpoint) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(key)
	if s == (standpoint{}) {
		return
	}
	m.known[key] = s
	if s.blocked != "" {
		m.blocked.WithLabelValues(s.blocked).Inc()
	}
}

// forget forgets a dataset that is gone, or none of our concern any more.
func (m *metrics) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(key)
}

func (m *metrics) drop(key types.NamespacedName) {
	if s := m.known[key]; s.blocked != "" {
		m.blocked.WithLabelValues(s.blocked).Dec()
	}
	delete(m.known, key)
}

// erased counts a finished erase.
func (m *metrics) erased(e *v1alpha1.ErasureStatus) {
	m.datasets.Inc()
	if e != nil {
		m.versions.Add(float64(e.Versions))
		m.bytes.Add(float64(e.Bytes))
	}
}
