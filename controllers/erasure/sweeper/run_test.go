package sweeper

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/lethe-dev/lethe/api/objectkey"
)

var (
	_ manager.Runnable               = (*Sweeper)(nil)
	_ manager.LeaderElectionRunnable = (*Sweeper)(nil)
)

func TestNewNeedsEverything(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Options){
		"no bucket":          func(o *Options) { o.DatasetsBucket = "" },
		"one bucket for two": func(o *Options) { o.ArtifactsBucket = o.DatasetsBucket },
		"no ledger's bucket": func(o *Options) { o.LedgerBucket = "" },
		"data in the ledger": func(o *Options) { o.LedgerBucket = o.ArtifactsBucket },
		"no store":           func(o *Options) { o.Store = nil },
		"no ledger":          func(o *Options) { o.Ledger = nil },
		"no objects":         func(o *Options) { o.Objects = nil },
		"no keys":            func(o *Options) { o.Keys = nil },
		"no engine":          func(o *Options) { o.Engine = nil },
		"no receipts":        func(o *Options) { o.Receipts = nil },
		"no clock":           func(o *Options) { o.Clock = nil },
		"no events":          func(o *Options) { o.Events = nil },
		"no metrics":         func(o *Options) { o.Metrics = nil },
		"an interval < 0":    func(o *Options) { o.Interval = -1 },
		"a breaker < 0":      func(o *Options) { o.BreakerMin = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := newWorld().opts
			change(&opts)
			if _, err := New(opts); err == nil {
				t.Error("it is made")
			}
		})
	}
	w := newWorld()
	w.opts.Interval, w.opts.Grace = 0, 0
	s := w.sweeper(t)
	if s.opts.Interval != DefaultInterval || s.opts.Grace != DefaultGrace || s.opts.BreakerMin != DefaultBreakerMin {
		t.Errorf("the defaults are not set: %+v", s.opts)
	}
	if !s.NeedLeaderElection() {
		t.Error("every replica would sweep")
	}
}

// TestStart runs in a bubble, so that the real clock is fake.
func TestStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.opts.Clock = clock.RealClock{}
		s := w.sweeper(t)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Start(ctx) }()
		sweeps := func() int { return w.did("identity") / 3 }
		synctest.Wait()
		if got := sweeps(); got != 1 {
			t.Errorf("%d sweeps at the start, want 1", got)
		}
		later(2*time.Hour + time.Minute)
		synctest.Wait()
		if got := sweeps(); got != 3 {
			t.Errorf("%d sweeps after two intervals, want 3", got)
		}
		w.failSoon(4) // Behind all identities.
		later(time.Hour)
		synctest.Wait()
		if got := sweeps(); got != 4 {
			t.Errorf("%d sweeps after three intervals, want 4", got)
		}
		later(6 * time.Minute)
		synctest.Wait()
		if got := sweeps(); got != 5 {
			t.Errorf("a failed sweep is not tried again soon: %d sweeps", got)
		}
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the end of the context is an error: %v", err)
		}
		if !strings.Contains(w.logs.String(), errTest.Error()) {
			t.Error("the failure is not logged")
		}
	})
}

func TestAnEndedContextIsNoFailure(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := w.sweeper(t)
	ctx, stop := context.WithCancel(t.Context())
	w.before["identity"] = stop
	w.gate.failAt = 1
	if err := s.Start(ctx); err != nil {
		t.Errorf("start: %v", err)
	}
	if strings.Contains(w.logs.String(), "ERROR") {
		t.Errorf("the log complains:\n%s", w.logs)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.clock.SetTime(epoch)
	late, orphan := at(datasets, "ns", uid1), at(datasets, "ns", uid2)
	w.record(late)
	w.note(late, objectkey.LedgerErased, epoch)
	w.record(orphan).Record.EraseBy = epoch.Add(-time.Minute)
	w.fill(late)
	w.fill(orphan)
	w.foreign[artifacts] = append(w.foreign[artifacts], "thing")
	s := w.sweeper(t)
	if got := w.values(t)["lethe_sweeper_last_success_timestamp_seconds"]; got != 0 {
		t.Errorf("there was a success before the first sweep: %v", got)
	}
	w.before["look"] = func() { w.clock.Step(time.Second) }
	sweep(t, s)
	took := w.clock.Since(epoch).Seconds()
	want := map[string]float64{
		"lethe_sweeper_findings{Orphan}":               1,
		"lethe_sweeper_findings{LateData}":             1,
		"lethe_sweeper_findings{Overdue}":              1,
		"lethe_sweeper_findings{Foreign}":              1,
		"lethe_sweeper_erased_total{LateData}":         1,
		"lethe_sweeper_sweeps_total{success}":          1,
		"lethe_sweeper_last_success_timestamp_seconds": float64(w.clock.Now().Unix()),
		"lethe_sweeper_duration_seconds":               took,
		"lethe_sweeper_overdue_seconds":                62, // One look before the confirming one.
		"lethe_sweeper_active_records":                 1,
		"lethe_sweeper_interval_seconds":               3600,
	}
	if diff := cmp.Diff(want, w.values(t)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	w.failSoon(1)
	if _, err := s.Sweep(t.Context()); err == nil {
		t.Fatal("the sweep does not fail")
	}
	want["lethe_sweeper_sweeps_total{failure}"] = 1
	delete(want, "lethe_sweeper_duration_seconds") // It failed at once.
	if diff := cmp.Diff(want, w.values(t)); diff != "" {
		t.Errorf("metrics after a failure (-want +got):\n%s", diff)
	}
}

// values are the metrics that are not 0, with the values of their labels.
func (w *world) values(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := w.opts.Metrics.(*prometheus.Registry).Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			name := family.GetName()
			for _, label := range m.Label {
				name += "{" + label.GetValue() + "}"
			}
			if v := value(m); v != 0 {
				out[name] = v
			}
		}
	}
	return out
}

func value(m *dto.Metric) float64 { return m.GetGauge().GetValue() + m.GetCounter().GetValue() }

// TestEveryKindIsExplained: in the log, and by a metric from the first scrape on.
func TestEveryKindIsExplained(t *testing.T) {
	t.Parallel()
	if len(meanings) != len(kinds) {
		t.Errorf("%d meanings of %d kinds", len(meanings), len(kinds))
	}
	for _, kind := range kinds {
		if meanings[kind] == "" {
			t.Errorf("%s has no meaning", kind)
		}
	}
}

// TestEventsComeOnce: an event for what is new, and again when it was gone.
func TestEventsComeOnce(t *testing.T) {
	t.Parallel()
	w := newWorld()
	p := at(datasets, "ns", uid1)
	w.alive(p)
	s := w.sweeper(t)
	missing := "Warning DatasetRetention ns/thing DataMissing"
	for i, there := range []bool{true, false, false, true, false} {
		delete(w.data, p)
		if there {
			w.fill(p)
		}
		sweep(t, s)
		want := [][]string{nil, {missing}, {missing}, {missing}, {missing, missing}}[i]
		if !slices.Equal(w.events, want) {
			t.Errorf("events after sweep %d: %v, want %v", i, w.events, want)
		}
	}
}

// later lets the bubble's own time pass.
func later(d time.Duration) { <-time.After(d) }
