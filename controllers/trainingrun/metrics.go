package trainingrun

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Metrics counts what happened to runs, and says how they stand. Its labels take few
// values: no name of a run, a namespace, a queue or a person is among them, and a reason
// that is not one of ours is told as "Other".
type Metrics struct {
	ended       *prometheus.CounterVec
	attempts    *prometheus.CounterVec
	limits      *prometheus.CounterVec
	stalls      prometheus.Counter
	disruptions prometheus.Counter

	gpuSeconds     prometheus.Counter
	lostGPUSeconds prometheus.Counter

	startLatency prometheus.Histogram
	queueWait    prometheus.Histogram

	erasedRuns     prometheus.Counter
	erasedVersions prometheus.Counter
	erasedBytes    prometheus.Counter

	crowd *crowd
}

// limitNames are the limits by the reasons of those runs that have come to them. A
// stall ends an attempt only and is counted apart.
var limitNames = map[string]string{
	v1alpha1.ReasonMaxDurationReached:    "maxDuration",
	v1alpha1.ReasonGPUBudgetReached:      "maxGPUSeconds",
	v1alpha1.ReasonStartDeadlineExceeded: "startWithin",
}

// waitBuckets are in seconds, from one to a day.
var waitBuckets = []float64{1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600}

// NewMetrics makes the metrics and registers them, once for a registry.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		ended: counters("lethe_runs_ended_total",
			"Training runs that have ended, by outcome (Succeeded, Failed), who can do something about it (blame), and reason.",
			"outcome", "blame", "reason"),
		attempts: counters("lethe_attempts_total",
			"Attempts of training runs that have ended, by result and reason.", "result", "reason"),
		limits: counters("lethe_limit_reached_total",
			"Training runs that a limit has ended, by limit.", "limit"),
		stalls: counter("lethe_stalls_total",
			"Attempts of training runs that were ended because their trainer did nothing any more."),
		disruptions: counter("lethe_disruptions_total",
			"Pods of training runs that the cluster took away and replaced within their attempt."),
		gpuSeconds: counter("lethe_gpu_seconds_total",
			"GPUs held by trainers, in GPU-seconds, counted when a trainer has ended."),
		lostGPUSeconds: counter("lethe_lost_gpu_seconds_total",
			"The part of the GPU-seconds whose work is lost: after the last checkpoint of an attempt that did not end well."),
		startLatency: waits("lethe_run_start_seconds",
			"Time from the creation of a training run to the start of its trainer."),
		queueWait: waits("lethe_queue_wait_seconds",
			"Time for which an attempt of a training run waited for its queue."),
		erasedRuns: counter("lethe_artifacts_erased_total",
			"Training runs whose artifacts were erased and verified to be gone."),
		erasedVersions: counter("lethe_artifacts_erased_versions_total",
			"Object versions and delete markers of erased artifacts."),
		erasedBytes: counter("lethe_artifacts_erased_bytes_total",
			"Bytes of erased artifacts."),
		crowd: newCrowd(),
	}
	m.begin()
	var errs []error
	for _, c := range []prometheus.Collector{
		m.ended, m.attempts, m.limits, m.stalls, m.disruptions, m.gpuSeconds, m.lostGPUSeconds,
		m.startLatency, m.queueWait, m.erasedRuns, m.erasedVersions, m.erasedBytes, m.crowd,
	} {
		errs = append(errs, registry.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register metrics of training runs: %w", err)
	}
	return m, nil
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func waits(name, help string) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: waitBuckets})
}

// begin puts the counters that alerts are about at zero: Prometheus sees no increase
// in a counter that begins at one.
func (m *Metrics) begin() {
	m.ended.WithLabelValues(string(v1alpha1.RunSucceeded), "", v1alpha1.ReasonPublished)
	m.ended.WithLabelValues(string(v1alpha1.RunCancelled), "", v1alpha1.ReasonCancelled)
	for reason, known := range advices {
		m.ended.WithLabelValues(string(v1alpha1.RunFailed), string(known.blame), reason)
	}
	for _, limit := range limitNames {
		m.limits.WithLabelValues(limit)
	}
}

// erased counts a finished erase of artifacts.
func (m *Metrics) erased(counts *v1alpha1.ErasureStatus) {
	m.erasedRuns.Inc()
	m.erasedVersions.Add(float64(counts.Versions))
	m.erasedBytes.Add(float64(counts.Bytes))
}

// observe takes note of how a run stands, as its status says. Call it at each pass, also
// over a run that has not changed: a process that has just started knows of none.
func (m *Metrics) observe(run types.NamespacedName, status v1alpha1.TrainingRunStatus) {
	m.crowd.see(run, status)
}

// gone forgets a run that does not exist any more.
func (m *Metrics) gone(run types.NamespacedName) { m.crowd.forget(run) }

// count takes up the step from a run's old status to the one just written.
func (m *Metrics) count(run *v1alpha1.TrainingRun, now v1alpha1.TrainingRunStatus) {
	old := run.Status
	if old.StartTime == nil && now.StartTime != nil {
		m.startLatency.Observe(max(now.StartTime.Sub(run.CreationTimestamp.Time).Seconds(), 0))
	}
	was, is := used(old), used(now)
	m.gpuSeconds.Add(grown(was.GPUSeconds, is.GPUSeconds))
	m.lostGPUSeconds.Add(grown(was.LostGPUSeconds, is.LostGPUSeconds))
	m.countAttempts(old, now)
	m.countQueue(old, now)
	if now.State.Finished() && !old.State.Finished() {
		m.countEnd(now)
	}
}

// countAttempts counts the attempts that have ended in this step.
func (m *Metrics) countAttempts(old, now v1alpha1.TrainingRunStatus) {
	for _, is := range now.Attempts {
		was, _ := attemptOf(old, is.Number)
		m.disruptions.Add(grown(int64(was.Disruptions), int64(is.Disruptions)))
		if is.Result == "" || was.Result != "" {
			continue
		}
		m.attempts.WithLabelValues(string(is.Result), reasonLabel(is.Reason)).Inc()
		if is.Reason == v1alpha1.ReasonStalled {
			m.stalls.Inc()
		}
	}
}

// countQueue measures how long a queue that has just admitted the run took for it. One
// that did so before it was worth a write took no time.
func (m *Metrics) countQueue(old, now v1alpha1.TrainingRunStatus) {
	was := apimeta.FindStatusCondition(old.Conditions, v1alpha1.ConditionQuotaReserved)
	is := apimeta.FindStatusCondition(now.Conditions, v1alpha1.ConditionQuotaReserved)
	if is == nil || is.Status != metav1.ConditionTrue {
		return
	}
	switch {
	case was == nil:
		m.queueWait.Observe(0)
	case was.Status != metav1.ConditionTrue:
		m.queueWait.Observe(max(is.LastTransitionTime.Sub(was.LastTransitionTime.Time).Seconds(), 0))
	}
}

func (m *Metrics) countEnd(now v1alpha1.TrainingRunStatus) {
	blame := advices[now.Reason].blame
	if now.Failure != nil && now.Failure.Blame != "" {
		blame = now.Failure.Blame
	}
	m.ended.WithLabelValues(string(now.State), string(blame), reasonLabel(now.Reason)).Inc()
	if limit, is := limitNames[now.Reason]; is && now.State == v1alpha1.RunFailed {
		m.limits.WithLabelValues(limit).Inc()
	}
}

// attemptOf finds an attempt by its number.
func attemptOf(status v1alpha1.TrainingRunStatus, number int32) (v1alpha1.Attempt, bool) {
	for _, attempt := range status.Attempts {
		if attempt.Number == number {
			return attempt, true
		}
	}
	return v1alpha1.Attempt{}, false
}

func used(status v1alpha1.TrainingRunStatus) v1alpha1.Usage {
	if status.Usage == nil {
		return v1alpha1.Usage{}
	}
	return *status.Usage
}

// grown is by how much a number that never goes back has grown.
func grown(was, is int64) float64 { return float64(max(is-was, 0)) }

// reasonLabel keeps the values of a label few, whatever a reason is.
func reasonLabel(reason string) string {
	switch reason {
	case "", v1alpha1.ReasonPublished, v1alpha1.ReasonTrained, v1alpha1.ReasonSuspended, v1alpha1.ReasonSuspending, v1alpha1.ReasonPaymentRequired,
		v1alpha1.ReasonEnding, v1alpha1.ReasonCancelled:
		return reason
	}
	if _, known := advices[reason]; known {
		return reason
	}
	return "Other"
}
