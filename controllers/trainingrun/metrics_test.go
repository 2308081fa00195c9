package trainingrun

import (
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// gathered are all metrics of a registry that are not zero, by name and labels.
func gathered(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.Metric {
			name := seriesOf(family.GetName(), metric.Label)
			value := metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + metric.GetHistogram().GetSampleSum()
			if value != 0 {
				got[name] = value
			}
		}
	}
	return got
}

func seriesOf(name string, labels []*dto.LabelPair) string {
	for _, label := range labels {
		name += " " + label.GetName() + "=" + label.GetValue()
	}
	return name
}

func metricsOf(t *testing.T) (*Metrics, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	metrics, err := NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	return metrics, registry
}

func TestCount(t *testing.T) {
	t.Parallel()
	condition := func(kind string, holds bool, when time.Duration) metav1.Condition {
		c := condition(kind, holds, v1alpha1.ReasonQueued, "")
		c.LastTransitionTime = at(when)
		return c
	}
	end := func(number int32, result v1alpha1.AttemptResult, reason string) v1alpha1.Attempt {
		return v1alpha1.Attempt{Number: number, Result: result, Reason: reason}
	}
	for name, c := range map[string]struct {
		old, now v1alpha1.TrainingRunStatus
		want     map[string]float64
	}{
		"nothing has happened": {want: map[string]float64{}},
		"a trainer starts": {
			now:  v1alpha1.TrainingRunStatus{StartTime: ptr.To(at(time.Minute))},
			want: map[string]float64{"lethe_run_start_seconds": 120},
		},
		"a clock that was set back does not go below zero": {
			now:  v1alpha1.TrainingRunStatus{StartTime: ptr.To(at(-time.Hour))},
			want: map[string]float64{},
		},
		"GPU time grows": {
			old:  v1alpha1.TrainingRunStatus{Usage: &v1alpha1.Usage{GPUSeconds: 10, LostGPUSeconds: 1}},
			now:  v1alpha1.TrainingRunStatus{Usage: &v1alpha1.Usage{GPUSeconds: 110, LostGPUSeconds: 31}},
			want: map[string]float64{"lethe_gpu_seconds_total": 100, "lethe_lost_gpu_seconds_total": 30},
		},
		"attempts end": {
			old: v1alpha1.TrainingRunStatus{Attempts: []v1alpha1.Attempt{
				end(1, v1alpha1.AttemptFailed, v1alpha1.ReasonOOMKilled), {Number: 2}, {Number: 3, Disruptions: 1},
			}},
			now: v1alpha1.TrainingRunStatus{Attempts: []v1alpha1.Attempt{
				end(1, v1alpha1.AttemptFailed, v1alpha1.ReasonOOMKilled), end(2, v1alpha1.AttemptFailed, v1alpha1.ReasonStalled),
				{Number: 3, Result: v1alpha1.AttemptSuspended, Reason: v1alpha1.ReasonSuspended, Disruptions: 3},
				end(4, v1alpha1.AttemptDisrupted, v1alpha1.ReasonDisrupted), end(5, v1alpha1.AttemptFailed, "something from outside"),
			}},
			want: map[string]float64{
				"lethe_attempts_total reason=Stalled result=Failed":      1,
				"lethe_attempts_total reason=Suspended result=Suspended": 1,
				"lethe_attempts_total reason=Disrupted result=Disrupted": 1,
				"lethe_attempts_total reason=Other result=Failed":        1,
				"lethe_stalls_total":      1,
				"lethe_disruptions_total": 2,
			},
		},
		"a queue admits": {
			old:  v1alpha1.TrainingRunStatus{Conditions: []metav1.Condition{condition(v1alpha1.ConditionQuotaReserved, false, 0)}},
			now:  v1alpha1.TrainingRunStatus{Conditions: []metav1.Condition{condition(v1alpha1.ConditionQuotaReserved, true, time.Minute)}},
			want: map[string]float64{"lethe_queue_wait_seconds": 60},
		},
		"a run succeeds": {
			old:  v1alpha1.TrainingRunStatus{State: v1alpha1.RunPublishing},
			now:  v1alpha1.TrainingRunStatus{State: v1alpha1.RunSucceeded, Reason: v1alpha1.ReasonPublished},
			want: map[string]float64{"lethe_runs_ended_total blame= outcome=Succeeded reason=Published": 1},
		},
		"a run that has ended ends once": {
			old:  v1alpha1.TrainingRunStatus{State: v1alpha1.RunSucceeded, Reason: v1alpha1.ReasonPublished},
			now:  v1alpha1.TrainingRunStatus{State: v1alpha1.RunSucceeded, Reason: v1alpha1.ReasonPublished},
			want: map[string]float64{},
		},
		"a limit ends a run": {
			old: v1alpha1.TrainingRunStatus{State: v1alpha1.RunRunning},
			now: v1alpha1.TrainingRunStatus{State: v1alpha1.RunFailed, Reason: v1alpha1.ReasonGPUBudgetReached},
			want: map[string]float64{
				"lethe_runs_ended_total blame=Budget outcome=Failed reason=GPUBudgetReached": 1,
				"lethe_limit_reached_total limit=maxGPUSeconds":                              1,
			},
		},
		"who is to blame is known better than by the reason": {
			old: v1alpha1.TrainingRunStatus{State: v1alpha1.RunRunning},
			now: v1alpha1.TrainingRunStatus{
				State: v1alpha1.RunFailed, Reason: v1alpha1.ReasonDiskFull,
				Failure: &v1alpha1.RunFailure{Reason: v1alpha1.ReasonDiskFull, Blame: v1alpha1.BlameUser},
			},
			want: map[string]float64{"lethe_runs_ended_total blame=User outcome=Failed reason=DiskFull": 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			metrics, registry := metricsOf(t)
			metrics.count(makeRun(func(r *v1alpha1.TrainingRun) { r.Status = c.old }), c.now)
			if diff := cmp.Diff(c.want, gathered(t, registry)); diff != "" {
				t.Errorf("metrics (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHowRunsStand(t *testing.T) {
	t.Parallel()
	metrics, registry := metricsOf(t)
	key := func(name string) types.NamespacedName { return types.NamespacedName{Namespace: "team-a", Name: name} }
	status := func(state v1alpha1.RunState, conditions ...metav1.Condition) v1alpha1.TrainingRunStatus {
		return v1alpha1.TrainingRunStatus{State: state, Conditions: conditions}
	}
	changed := func(kind string, holds bool, when time.Duration) metav1.Condition {
		c := condition(kind, holds, v1alpha1.ReasonPodStarting, "")
		c.LastTransitionTime = at(when)
		return c
	}
	seconds := func(when time.Duration) float64 { return float64(noon.Add(when).Unix()) }

	metrics.observe(key("waits"), status(v1alpha1.RunStarting,
		changed(v1alpha1.ConditionRunning, false, -24*time.Hour), changed(v1alpha1.ConditionDatasetBound, true, -time.Hour)))
	metrics.observe(key("waits-less"), status(v1alpha1.RunStarting,
		changed(v1alpha1.ConditionRunning, false, -30*time.Minute), changed(v1alpha1.ConditionDatasetBound, true, -time.Hour)))
	metrics.observe(key("new"), status(v1alpha1.RunPending))
	train := status(v1alpha1.RunRunning)
	train.StartTime = ptr.To(at(-5 * time.Hour))
	train.Attempts = []v1alpha1.Attempt{{Number: 2, StartTime: ptr.To(at(-2 * time.Hour))}}
	train.Checkpoints = []v1alpha1.Checkpoint{{Time: at(-3 * time.Hour)}}
	metrics.observe(key("trains"), train)
	saved := status(v1alpha1.RunRunning)
	saved.StartTime = ptr.To(at(-5 * time.Hour))
	saved.Checkpoints = []v1alpha1.Checkpoint{{Time: at(-4 * time.Hour)}, {Time: at(-time.Minute)}}
	metrics.observe(key("saved"), saved)
	held := condition(v1alpha1.ConditionArtifactsErased, false, v1alpha1.ReasonObjectLock, "")
	metrics.observe(key("done"), status(v1alpha1.RunSucceeded, held))

	want := map[string]float64{
		"lethe_runs state=Starting":                                 2,
		"lethe_runs state=Pending":                                  1,
		"lethe_runs state=Running":                                  2,
		"lethe_runs state=Succeeded":                                1,
		"lethe_runs_waiting_since_timestamp_seconds state=Starting": seconds(-time.Hour),
		"lethe_runs_unsaved_since_timestamp_seconds":                seconds(-2 * time.Hour),
		"lethe_artifacts_erase_blocked reason=ObjectLock":           1,
	}
	if diff := cmp.Diff(want, gathered(t, registry)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}

	metrics.observe(key("waits"), status(v1alpha1.RunSuspended))
	for _, name := range []string{"waits-less", "new", "trains", "saved", "done"} {
		metrics.gone(key(name))
	}
	want = map[string]float64{"lethe_runs state=Suspended": 1}
	if diff := cmp.Diff(want, gathered(t, registry)); diff != "" {
		t.Errorf("metrics when the others are gone (-want +got):\n%s", diff)
	}
}

// TestLabelsAreFew: whatever a status says, the series stay the same in number.
func TestLabelsAreFew(t *testing.T) {
	t.Parallel()
	metrics, registry := metricsOf(t)
	names := func() map[string]bool {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]bool{}
		for _, family := range families {
			for _, metric := range family.Metric {
				for _, label := range metric.Label {
					if strings.Contains(label.GetValue(), "team") {
						t.Errorf("%s has a label %s=%s", family.GetName(), label.GetName(), label.GetValue())
					}
				}
				all[seriesOf(family.GetName(), metric.Label)] = true
			}
		}
		return all
	}
	feed := func(suffix string) {
		run := makeRun(func(r *v1alpha1.TrainingRun) { r.Name = "team" + suffix })
		status := v1alpha1.TrainingRunStatus{
			State: v1alpha1.RunFailed, Reason: "team" + suffix, StartTime: ptr.To(at(0)),
			Attempts: []v1alpha1.Attempt{{Number: 1, Result: v1alpha1.AttemptFailed, Reason: "team" + suffix}},
		}
		metrics.count(run, status)
		metrics.observe(types.NamespacedName{Namespace: "team" + suffix, Name: suffix}, status)
	}
	feed("-1")
	before := maps.Clone(names())
	feed("-2")
	if diff := cmp.Diff(before, names()); diff != "" {
		t.Errorf("another run made other series (-before +after):\n%s", diff)
	}
}

func TestReasonsOfEraseHoldupsAreAllShown(t *testing.T) {
	t.Parallel()
	metrics, registry := metricsOf(t)
	for _, reason := range blockReasons {
		status := v1alpha1.TrainingRunStatus{Conditions: []metav1.Condition{condition(v1alpha1.ConditionArtifactsErased, false, reason, "")}}
		metrics.observe(types.NamespacedName{Name: reason}, status)
	}
	got := gathered(t, registry)
	for _, reason := range blockReasons {
		if got["lethe_artifacts_erase_blocked reason="+reason] != 1 {
			t.Errorf("%s is not shown: %v", reason, got)
		}
	}
}

// TestTheRunbookKnowsThePlatformsReasons: an alert is about these failures.
func TestTheRunbookKnowsThePlatformsReasons(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../config/observability/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## LethePlatformFailures\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for reason, known := range advices {
		// A run does not fail for a disruption: it is made good.
		if known.blame == v1alpha1.BlamePlatform && reason != v1alpha1.ReasonDisrupted && !strings.Contains(section, "`"+reason+"`") {
			t.Errorf("README.md does not say what to do about %s", reason)
		}
	}
}
