package datasetretention

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"

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

func (b *balky) Erase(ctx context.Context, t erasure.Target) (erasure.Inventory, error) {
	if b.eraseErr != nil || b.idle {
		return erasure.Inventory{}, b.eraseErr
	}
	return b.Eraser.Erase(ctx, t)
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
		"somebody keeps writing":                {balky{eraseErr: erasure.ErrIncomplete}, v1alpha1.ReasonEraseIncomplete, 1},
		"an erase that claims more than it did": {balky{idle: true}, v1alpha1.ReasonEraseIncomplete, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLife(t, &faults{})
			l.clock.SetTime(after(time.Hour))
			c.eraser.Eraser = l.keeper.opts.Eraser
			l.keeper.opts.Eraser = &c.eraser
			l.warehouse.put(t, testPrefix+"data/a", []byte("x"))
			d := newDataset(usable)
			l.must(l.api.Create(t.Context(), d))
			l.must(l.api.Delete(t.Context(), d))

			_, err := l.keeper.Reconcile(t.Context(), ctrl.Request{NamespacedName: l.key})
			l.checkInvariants()
			if !errors.Is(err, c.eraser.cause()) {
				t.Errorf("error %v, want %v for the rate limiter", err, c.eraser.cause())
			}
			got, there := l.dataset()
			blocked := apimeta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionErasureBlocked)
			if !there || blocked == nil || blocked.Reason != c.want || got.Status.Reason != c.want {
				t.Fatalf("status %+v (object there: %v), want %s", got.Status, there, c.want)
			}
			if value := valueOf(t, l.keeper.metrics.blocked.WithLabelValues(c.want)); value != 1 {
				t.Errorf("metric says %v are blocked", value)
			}

			writes := l.faults.writes
			for range 3 {
				_, err = l.keeper.Reconcile(t.Context(), ctrl.Request{NamespacedName: l.key})
			}
			if err == nil || l.faults.writes != writes {
				t.Errorf("three more failures (%v) made %d writes", err, l.faults.writes-writes)
			}

			c.eraser.inventoryErr, c.eraser.eraseErr, c.eraser.idle = nil, nil, false
			l.settle()
			if _, there := l.dataset(); there || len(l.warehouse.receipts(t)) != 1 {
				t.Errorf("the second try: object there %v, receipts %d", there, len(l.warehouse.receipts(t)))
			}
			if diff := cmp.Diff(c.inventories, c.eraser.inventories); diff != "" {
				t.Errorf("inventories (-want +got):\n%s", diff)
			}
			if value := valueOf(t, l.keeper.metrics.blocked.WithLabelValues(c.want)); value != 0 {
				t.Errorf("metric says %v are still blocked", value)
			}
		})
	}
}
