package datasetretention

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
)

func TestTrigger(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	deletedAt := func(when time.Time) datasetMod {
		return func(d *v1alpha1.DatasetRetention) { d.DeletionTimestamp = at(when) }
	}
	cases := map[string]struct {
		seen observed
		want string
	}{
		"deleted at its maximal age": {saw(after(testMaxAge), newDataset(usable, deletedAt(after(testMaxAge)))), objectkey.TriggerExpired},
		"a second before":            {saw(after(testMaxAge), newDataset(usable, deletedAt(after(testMaxAge-time.Second)))), objectkey.TriggerDeleted},
		"after its window": {
			saw(after(90*hour), newDataset(usable, lastUsed(after(hour)), deletedAt(after(25*hour)))), objectkey.TriggerExpired,
		},
		"within its window": {
			saw(after(90*hour), newDataset(usable, lastUsed(after(2*hour)), deletedAt(after(25*hour)))), objectkey.TriggerDeleted,
		},
		"at the administrator's ceiling": {
			saw(after(90*hour), newDataset(usable, deletedAt(after(10*hour))), under(Limits{MaxAgeCeiling: 10 * hour})), objectkey.TriggerExpired,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := receiptOf(c.seen, c.seen.now).Trigger; got != c.want {
				t.Errorf("trigger %s, want %s", got, c.want)
			}
		})
	}
}

func TestReceiptsMakeSense(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	destroyed := []string{objectkey.MethodKeyDestroyed, objectkey.MethodObjectsRemoved}
	removed := []string{objectkey.MethodObjectsRemoved}
	cases := map[string]struct {
		seen    observed
		end     time.Time
		methods []string
		ends    time.Time
	}{
		"with a key":       {saw(after(2*hour), newDataset(usable, deleted, inventoried)), after(2 * hour), destroyed, after(2 * hour)},
		"without one":      {saw(after(2*hour), newDataset(usable, underBucketKey, deleted, func(d *v1alpha1.DatasetRetention) { begins(d) })), after(2 * hour), removed, after(2 * hour)},
		"a key unnamed":    {saw(after(2*hour), newDataset(deleted, keyless), recorded), after(2 * hour), removed, after(2 * hour)},
		"never begun":      {saw(after(2*hour), newDataset(deleted)), after(2 * hour), removed, after(2 * hour)},
		"a clock set back": {saw(after(0), newDataset(usable, deleted, inventoried)), after(0), destroyed, after(hour)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := receiptOf(c.seen, c.end)
			if diff := cmp.Diff(c.methods, got.Methods); diff != "" || !got.EndTime.Equal(c.ends) {
				t.Errorf("ends at %v, methods (-want +got):\n%s", got.EndTime, diff)
			}
			if len(got.NotCovered) < 3 {
				t.Errorf("says only %q of what is not covered", got.NotCovered)
			}
			got.Sequence = 1
			if err := got.Validate(); err != nil {
				t.Errorf("receipt: %v", err)
			}
		})
	}
}
