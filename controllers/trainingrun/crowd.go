package trainingrun

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// crowd is what the reconciler last saw of each run, summed up when Prometheus asks.
// Every run is looked at after a restart, so it fills by itself. A run takes about 200
// bytes in it.
type crowd struct {
	mu   sync.Mutex
	runs map[types.NamespacedName]seen

	count, waiting, unsaved, blocked *prometheus.Desc
}

// seen is how a run stands.
type seen struct {
	state v1alpha1.RunState
	// held is the reason that holds the end of a deleted run up; see holdup.
	held string
	// since is when a run that waits began to, and saved when one that runs last had all
	// its work in the store, in Unix seconds. 0: neither.
	since, saved int64
}

// blockReasons are all reasons for which the end of a deleted run can be held up.
var blockReasons = []string{
	v1alpha1.ReasonStoreUnavailable, v1alpha1.ReasonUnknownStore, v1alpha1.ReasonObjectLock,
	v1alpha1.ReasonEraseRefused, v1alpha1.ReasonEraseIncomplete,
}

// runStates are all states, in their order.
var runStates = []v1alpha1.RunState{
	v1alpha1.RunPending, v1alpha1.RunQueued, v1alpha1.RunStarting, v1alpha1.RunRunning,
	v1alpha1.RunPublishing, v1alpha1.RunSuspended, v1alpha1.RunSucceeded, v1alpha1.RunFailed,
	v1alpha1.RunCancelled,
}

func newCrowd() *crowd {
	return &crowd{
		runs: map[types.NamespacedName]seen{},
		count: prometheus.NewDesc("lethe_runs",
			"Training runs by state.", []string{"state"}, nil),
		waiting: prometheus.NewDesc("lethe_runs_waiting_since_timestamp_seconds",
			"When the run that has waited longest began to, by state. Missing: none waits.", []string{"state"}, nil),
		unsaved: prometheus.NewDesc("lethe_runs_unsaved_since_timestamp_seconds",
			"Of the runs that train, the time of the oldest last checkpoint, or of the start without one. Missing: none trains.", nil, nil),
		blocked: prometheus.NewDesc("lethe_artifacts_erase_blocked",
			"Deleted training runs whose end is held up at the moment, by the reason of their ArtifactsErased condition.", []string{"reason"}, nil),
	}
}

// see takes note of a run.
func (c *crowd) see(run types.NamespacedName, status v1alpha1.TrainingRunStatus) {
	now := seen{state: status.State, since: waitsSince(status), saved: savedAt(status)}
	if held := holdup(status); held != nil {
		now.held = held.Reason
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs[run] = now
}

// forget takes a run out that does not exist any more.
func (c *crowd) forget(run types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.runs, run)
}

// waitsSince is when a run that waits came to what it waits for: the last change of one
// of the conditions that lead to a trainer that runs. 0: it does not wait.
func waitsSince(status v1alpha1.TrainingRunStatus) int64 {
	switch status.State {
	case v1alpha1.RunPending, v1alpha1.RunQueued, v1alpha1.RunStarting:
	default:
		return 0
	}
	var latest metav1.Time
	for _, kind := range []string{
		v1alpha1.ConditionDatasetBound, v1alpha1.ConditionQuotaReserved, v1alpha1.ConditionRunning, v1alpha1.ConditionSuspended,
	} {
		if c := apimeta.FindStatusCondition(status.Conditions, kind); c != nil && latest.Before(&c.LastTransitionTime) {
			latest = c.LastTransitionTime
		}
	}
	return unix(&latest)
}

// savedAt is the moment up to which the work of a run that trains is safe. 0: it does
// not train.
func savedAt(status v1alpha1.TrainingRunStatus) int64 {
	if status.State != v1alpha1.RunRunning {
		return 0
	}
	at := unix(status.StartTime)
	if n := len(status.Attempts); n > 0 {
		at = max(at, unix(status.Attempts[n-1].StartTime))
	}
	if n := len(status.Checkpoints); n > 0 {
		at = max(at, unix(&status.Checkpoints[n-1].Time))
	}
	return at
}

func unix(t *metav1.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// Describe implements prometheus.Collector.
func (c *crowd) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.count, c.waiting, c.unsaved, c.blocked} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *crowd) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	sum := c.sum()
	for _, state := range runStates {
		gauge(c.count, float64(sum.count[state]), string(state))
		if since := sum.waiting[state]; since != 0 {
			gauge(c.waiting, float64(since), string(state))
		}
	}
	if sum.unsaved != 0 {
		gauge(c.unsaved, float64(sum.unsaved))
	}
	for _, reason := range blockReasons {
		gauge(c.blocked, float64(sum.blocked[reason]), reason)
	}
}

// summary is the crowd in numbers.
type summary struct {
	count   map[v1alpha1.RunState]int
	waiting map[v1alpha1.RunState]int64
	unsaved int64
	blocked map[string]int
}

func (c *crowd) sum() summary {
	s := summary{count: map[v1alpha1.RunState]int{}, waiting: map[v1alpha1.RunState]int64{}, blocked: map[string]int{}}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, run := range c.runs {
		s.count[run.state]++
		s.blocked[run.held]++
		s.waiting[run.state] = oldest(s.waiting[run.state], run.since)
		s.unsaved = oldest(s.unsaved, run.saved)
	}
	return s
}

// oldest is the earlier of two times; 0 is none.
func oldest(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}
