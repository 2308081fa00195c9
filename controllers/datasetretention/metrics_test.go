package datasetretention

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

func TestOverdueSince(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	changed := func(kind string, when time.Time) datasetMod {
		return func(d *v1alpha1.DatasetRetention) {
			d.Status.Conditions = append(d.Status.Conditions, metav1.Condition{
				Type: kind, Status: metav1.ConditionFalse, LastTransitionTime: metav1.NewTime(when),
			})
		}
	}
	var never time.Time
	cases := map[string]struct {
		seen observed
		want time.Time
	}{
		"a dataset that stays":            {saw(after(hour), newDataset(usable)), never},
		"one whose time is over":          {saw(after(testMaxAge+hour), newDataset(usable)), after(testMaxAge)},
		"one that runs keep":              {saw(after(testMaxAge+hour), newDataset(usable), runs(using("a"))), never},
		"one that a hold keeps":           {saw(after(testMaxAge+hour), newDataset(usable, onHold(after(9999*hour)))), never},
		"one that is deleted":             {saw(after(9*hour), newDataset(usable, deleted, inventoried)), after(hour)},
		"a deleted one that runs keep":    {saw(after(9*hour), newDataset(usable, deleted), runs(waiting("a"))), never},
		"a deleted one with local copies": {saw(after(9*hour), newDataset(usable, deleted), copies("pod/a")), never},
		"a deleted one that a hold keeps": {saw(after(9*hour), newDataset(usable, deleted, onHold(after(10*hour)))), never},
		"one that was used for long": {
			saw(after(9*hour), newDataset(usable, deleted, changed(v1alpha1.ConditionInUse, after(5*hour)))), after(5 * hour),
		},
		"one that was on hold for long": {
			saw(after(9*hour), newDataset(usable, deleted, changed(v1alpha1.ConditionHeld, after(6*hour)))), after(6 * hour),
		},
		"one that was used before": {
			saw(after(9*hour), newDataset(usable, deleted, changed(v1alpha1.ConditionInUse, after(0)))), after(hour),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := overdueSince(c.seen); !got.Equal(c.want) {
				t.Errorf("since %v, want %v", got, c.want)
			}
		})
	}
}

func TestPendingAndOverdueAreCountedAtTheScrape(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		want := func(when string, pending float64, overdue time.Duration) {
			t.Helper()
			m := l.keeper.metrics
			if m.pending() != pending || m.overdue() != overdue.Seconds() {
				t.Errorf("%s: %v pending, overdue for %vs; want %v and %v", when, m.pending(), m.overdue(), pending, overdue)
			}
		}
		l.create()
		want("an open dataset", 0, 0)
		l.delete()
		l.settle()
		want("a moment after the deletion", 1, 0)
		l.until(after(30 * time.Second))
		want("half a minute after", 1, 30*time.Second)
		l.until(after(2 * time.Minute))
		l.settle()
		want("erased", 0, 0)
	})
}
