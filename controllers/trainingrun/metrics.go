package trainingrun

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Metrics counts what happened to runs. Its labels take few values: no name of a
// run or namespace is among them.
type Metrics struct {
	ended        *prometheus.CounterVec
	gpuSeconds   prometheus.Counter
	startLatency prometheus.Histogram
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
	}
	if err := errors.Join(registry.Register(m.ended), registry.Register(m.gpuSeconds), registry.Register(m.startLatency)); err != nil {
		return nil, fmt.Errorf("register metrics of training runs: %w", err)
	}
	return m, nil
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
