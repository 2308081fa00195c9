package trainingrun

import (
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Metrics counts what happened to runs. Its labels take few values: no name of a
// run or namespace is among them.
type Metrics struct {
	ended        *prometheus.CounterVec
	gpuSeconds   prometheus.Counter
	startLatency prometheus.Histogram

	erasedRuns     prometheus.Counter
	erasedVersions prometheus.Counter
	erasedBytes    prometheus.Counter
	blocked        *prometheus.GaugeVec

	mu sync.Mutex
	// reasons holds the deleted runs that are held up. Every deleted run is looked at
	// after a restart, so it fills by itself.
	reasons map[types.NamespacedName]string
}

// blockReasons are all reasons for which the end of a deleted run can be held up.
var blockReasons = []string{
	v1alpha1.ReasonStoreUnavailable, v1alpha1.ReasonUnknownStore, v1alpha1.ReasonObjectLock,
	v1alpha1.ReasonEraseRefused, v1alpha1.ReasonEraseIncomplete,
}

// NewMetrics makes the metrics and registers them, once for a registry.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lethe_runs_ended_total",
			Help: "Training runs that have ended, by outcome (Succeeded, Failed) and reason.",
		}, []string{"outcome", "reason"}),
		gpuSeconds: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lethe_gpu_seconds_total",
			Help: "GPUs held by trainers, in GPU-seconds, counted when a trainer has ended.",
		}),
		startLatency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "lethe_run_start_seconds",
			Help:    "Time from the creation of a training run to the start of its trainer.",
			Buckets: []float64{1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600},
		}),
		erasedRuns: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lethe_artifacts_erased_total",
			Help: "Training runs whose artifacts were erased and verified to be gone.",
		}),
		erasedVersions: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lethe_artifacts_erased_versions_total",
			Help: "Object versions and delete markers of erased artifacts.",
		}),
		erasedBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lethe_artifacts_erased_bytes_total",
			Help: "Bytes of erased artifacts.",
		}),
		blocked: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "lethe_artifacts_erase_blocked",
			Help: "Deleted training runs whose end is held up at the moment, by the reason of their ArtifactsErased condition.",
		}, []string{"reason"}),
		reasons: map[types.NamespacedName]string{},
	}
	for _, reason := range blockReasons {
		m.blocked.WithLabelValues(reason).Set(0)
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.ended, m.gpuSeconds, m.startLatency, m.erasedRuns, m.erasedVersions, m.erasedBytes, m.blocked,
	} {
		errs = append(errs, registry.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register metrics of training runs: %w", err)
	}
	return m, nil
}

// erased counts a finished erase of artifacts.
func (m *Metrics) erased(counts *v1alpha1.ErasureStatus) {
	m.erasedRuns.Inc()
	m.erasedVersions.Add(float64(counts.Versions))
	m.erasedBytes.Add(float64(counts.Bytes))
}

// observe counts a run as held up or not, as its status says.
func (m *Metrics) observe(run types.NamespacedName, status v1alpha1.TrainingRunStatus) {
	held := holdup(status)
	if held == nil {
		m.unblocked(run)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(run)
	m.reasons[run] = held.Reason
	m.blocked.WithLabelValues(held.Reason).Inc()
}

// unblocked forgets a run that is not held up any more, or is gone.
func (m *Metrics) unblocked(run types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(run)
}

func (m *Metrics) forget(run types.NamespacedName) {
	if reason, there := m.reasons[run]; there {
		delete(m.reasons, run)
		m.blocked.WithLabelValues(reason).Dec()
	}
}

// count takes up the step from a run's old status to the one just written.
func (m *Metrics) count(run *v1alpha1.TrainingRun, now v1alpha1.TrainingRunStatus) {
	old := run.Status
	if old.StartTime == nil && now.StartTime != nil {
		m.startLatency.Observe(now.StartTime.Sub(run.CreationTimestamp.Time).Seconds())
	}
	if grown := gpuSeconds(now) - gpuSeconds(old); grown > 0 {
		m.gpuSeconds.Add(float64(grown))
	}
	if now.State.Finished() && !old.State.Finished() {
		m.ended.WithLabelValues(string(now.State), now.Reason).Inc()
	}
}

func gpuSeconds(status v1alpha1.TrainingRunStatus) int64 {
	if status.Usage == nil {
		return 0
	}
	return status.Usage.GPUSeconds
}
