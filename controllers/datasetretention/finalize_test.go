package datasetretention

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// balky is an Eraser that fails as it is told, and else does what it should.
type balky struct {
	Eraser
	inventoryErr, eraseErr error
	// idle makes Erase claim to have erased.
	idle        bool
	inventories int
}

func (b *balky) Inventory(ctx context.Context, t erasure.Target) (erasure.Inventory, error) {
	b.inventories++
	if b.inventoryErr != nil {
		return erasure.Inventory{}, b.inventoryErr
	}
	return b.Eraser.Inventory(ctx, t)
}

func (b *balky) Erase(ctx context.Context, t erasure.Target, progress func(erasure.Inventory)) (erasure.Inventory, error) {
	if b.eraseErr != nil || b.idle {
		return erasure.Inventory{}, b.eraseErr
	}
	return b.Eraser.Erase(ctx, t, progress)
}

// cause is the error that it makes.
func (b *balky) cause() error {
	switch {
	case b.inventoryErr != nil:
		return b.inventoryErr
	case b.eraseErr != nil:
		return b.eraseErr
	}
	return erasure.ErrIncomplete
}

func TestFailedEraseIsReportedAndTriedAgain(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		eraser balky
		want   string
		// inventories is how often the data is counted over all five tries.
		inventories int
	}{
		"the store is away at the count":        {balky{inventoryErr: objectstore.ErrUnavailable}, v1alpha1.ReasonStoreUnavailable, 5},
		"the store is away at the erase":        {balky{eraseErr: objectstore.ErrUnavailable}, v1alpha1.ReasonStoreUnavailable, 1},
		"a guard refuses the count":             {balky{inventoryErr: erasure.ErrRefused}, v1alpha1.ReasonEraseRefused, 5},
		"a guard refuses the erase":             {balky{eraseErr: erasure.ErrRefused}, v1alpha1.ReasonEraseRefused, 1},
		"the bucket was given a lock":           {balky{eraseErr: &erasure.LockedError{Until: after(9 * time.Hour)}}, v1alpha1.ReasonObjectLock, 1},
		"the store is another":                  {balky{inventoryErr: erasure.ErrUnknownStore}, v1alpha1.ReasonUnknownStore, 5},
		"somebody keeps writing":                {balky{eraseErr: erasure.ErrIncomplete}, v1alpha1.ReasonEraseIncomplete, 1},
		"an erase that claims more than it did": {balky{idle: true}, v1alpha1.ReasonEraseIncomplete, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alive(t, &faults{}, func(l *life) { checkFailedErase(l, &c.eraser, c.want, c.inventories) })
		})
	}
}

func checkFailedErase(l *life, eraser *balky, want string, inventories int) {
	t := l.t
	t.Helper()
	l.until(after(time.Hour))
	eraser.Eraser = l.keeper.opts.Eraser
	l.keeper.opts.Eraser = eraser
	l.warehouse.put(t, testPrefix+"data/a", []byte("x"))
	d := newDataset(usable)
	l.add(d)
	l.must(l.api.Delete(t.Context(), d))

	if _, err := l.reconcile(); err != nil {
		t.Fatalf("destroy the key: %v", err)
	}
	if _, err := l.reconcile(); !errors.Is(err, eraser.cause()) {
		t.Errorf("error %v, want %v for the rate limiter", err, eraser.cause())
	}
	got, there := l.dataset()
	blocked := apimeta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionErasureBlocked)
	if !there || blocked == nil || blocked.Reason != want || got.Status.Reason != want {
		t.Fatalf("status %+v (object there: %v), want %s", got.Status, there, want)
	}
	if value := valueOf(t, l.keeper.metrics.blocked.WithLabelValues(want)); value != 1 {
		t.Errorf("metric says %v are blocked", value)
	}

	writes := l.faults.writes
	var err error
	for range 3 {
		_, err = l.reconcile()
	}
	if err == nil || l.faults.writes != writes {
		t.Errorf("three more failures (%v) made %d writes", err, l.faults.writes-writes)
	}

	eraser.inventoryErr, eraser.eraseErr, eraser.idle = nil, nil, false
	l.settle()
	if _, there := l.dataset(); there || len(l.warehouse.receipts(t)) != 1 {
		t.Errorf("the second try: object there %v, receipts %d", there, len(l.warehouse.receipts(t)))
	}
	if diff := cmp.Diff(inventories, eraser.inventories); diff != "" {
		t.Errorf("inventories (-want +got):\n%s", diff)
	}
	if value := valueOf(t, l.keeper.metrics.blocked.WithLabelValues(want)); value != 0 {
		t.Errorf("metric says %v are still blocked", value)
	}
}

// snail is an Eraser that takes its time, and tells how far it is.
type snail struct {
	Eraser
	steps []func(progress func(erasure.Inventory))
}

func (s *snail) Erase(ctx context.Context, t erasure.Target, progress func(erasure.Inventory)) (erasure.Inventory, error) {
	for _, step := range s.steps {
		step(progress)
	}
	return s.Eraser.Erase(ctx, t, progress)
}

func TestProgressOfAnErase(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.until(after(2 * time.Hour))
		d := newDataset(usable, inventoried, func(d *v1alpha1.DatasetRetention) {
			d.Status.Erasure.Versions, d.Status.Erasure.RemovedVersions = 1000, 100
		})
		l.add(d)
		l.must(l.api.Delete(t.Context(), d))
		var seen []int64
		step := func(pause time.Duration, removed int64) func(func(erasure.Inventory)) {
			return func(progress func(erasure.Inventory)) {
				l.clock.Sleep(pause)
				progress(erasure.Inventory{Versions: removed})
				d, _ := l.dataset()
				seen = append(seen, d.Status.Erasure.RemovedVersions)
			}
		}
		l.keeper.opts.Eraser = &snail{Eraser: l.keeper.opts.Eraser, steps: []func(func(erasure.Inventory)){
			step(9*time.Second, 10), step(time.Second, 20), step(9*time.Second, 30), step(time.Second, 40),
			step(time.Minute, 40), step(time.Minute, 5000),
		}}
		l.settle()
		if diff := cmp.Diff([]int64{100, 120, 120, 140, 140, 1000}, seen); diff != "" {
			t.Errorf("removed versions (-want +got):\n%s", diff)
		}
		if _, there := l.dataset(); there {
			t.Error("the dataset is still there")
		}
	})
}

func TestProgressThatCanNotBeWrittenHoldsNothingUp(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.until(after(2 * time.Hour))
		d := newDataset(usable, inventoried)
		l.add(d)
		l.must(l.api.Delete(t.Context(), d))
		l.keeper.opts.Eraser = &snail{Eraser: l.keeper.opts.Eraser, steps: []func(func(erasure.Inventory)){
			func(progress func(erasure.Inventory)) {
				l.clock.Sleep(time.Minute)
				l.faults.mu.Lock()
				l.faults.at = l.faults.calls + 1
				l.faults.mu.Unlock()
				progress(erasure.Inventory{Versions: 2})
			},
		}}
		l.settle()
		if _, there := l.dataset(); there {
			t.Error("the dataset is still there")
		}
	})
}
