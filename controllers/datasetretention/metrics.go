package datasetretention

import (
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// metrics of the controller. Only the leader reconciles, so only its numbers count.
type metrics struct {
	datasets prometheus.Counter
	versions prometheus.Counter
	bytes    prometheus.Counter
	blocked  *prometheus.GaugeVec

	mu sync.Mutex
	// reasons holds the blocked datasets. Every deleted dataset is reconciled
	// after a restart, so it fills by itself.
	reasons map[types.NamespacedName]string
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
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
		reasons: map[types.NamespacedName]string{},
	}
	for _, reason := range []string{
		v1alpha1.ReasonRunsActive, v1alpha1.ReasonUploadsPossible, v1alpha1.ReasonStoreUnavailable,
		v1alpha1.ReasonEraseRefused, v1alpha1.ReasonEraseIncomplete,
	} {
		m.blocked.WithLabelValues(reason).Set(0)
	}
	err := errors.Join(registry.Register(m.datasets), registry.Register(m.versions),
		registry.Register(m.bytes), registry.Register(m.blocked))
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

// observe counts a dataset as blocked or not, as its status says.
func (m *metrics) observe(d *v1alpha1.DatasetRetention) {
	key := types.NamespacedName{Namespace: d.Namespace, Name: d.Name}
	c := apimeta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionErasureBlocked)
	if c == nil || c.Status != metav1.ConditionTrue {
		m.unblocked(key)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(key)
	m.reasons[key] = c.Reason
	m.blocked.WithLabelValues(c.Reason).Inc()
}

// unblocked forgets a dataset that is not held up any more, or is gone.
func (m *metrics) unblocked(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(key)
}

func (m *metrics) forget(key types.NamespacedName) {
	if reason, there := m.reasons[key]; there {
		delete(m.reasons, key)
		m.blocked.WithLabelValues(reason).Dec()
	}
}

// erased counts a finished erase.
func (m *metrics) erased(e *v1alpha1.ErasureStatus) {
	m.datasets.Inc()
	if e != nil {
		m.versions.Add(float64(e.Versions))
		m.bytes.Add(float64(e.Bytes))
	}
}
