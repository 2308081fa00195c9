package datasetretention

import (
	"context"
	"strings"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// stranger is an Eraser at a store that says to be another one, or nothing.
type stranger struct {
	Eraser
	is    string
	err   error
	asked int
}

func (s *stranger) Identity(context.Context, string) (string, error) {
	s.asked++
	return s.is, s.err
}

// strangers are the stores that end no dataset's time. S3 answers a clock that is a
// quarter of an hour off with RequestTimeTooSkewed, which is objectstore.ErrDenied.
func strangers() map[string]stranger {
	return map[string]stranger{
		"the store does not answer":         {err: objectstore.ErrUnavailable},
		"the clock is off for the store":    {err: objectstore.ErrDenied},
		"the store is another one":          {is: strings.Repeat("0", 32)},
		"the store does not say what it is": {err: erasure.ErrUnknownStore},
	}
}

func TestNothingExpiresWithoutItsStore(t *testing.T) {
	t.Parallel()
	for name, s := range strangers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alive(t, &faults{}, func(l *life) {
				t := l.t
				l.add(newDataset(usable))
				l.settle()
				l.until(after(testMaxAge))
				sound := l.keeper.opts.Eraser
				s.Eraser = sound
				l.keeper.opts.Eraser = &s
				writes := l.faults.onDatasets
				for range 3 {
					if _, err := l.reconcile(); err == nil {
						t.Fatal("not tried again")
					}
				}
				d, there := l.dataset()
				if !there || d.DeletionTimestamp != nil || !l.hasKey(testUID) {
					t.Fatalf("it went (object there: %v, key there: %v)", there, l.hasKey(testUID))
				}
				if d.Status.Reason != v1alpha1.ReasonExpired || !strings.Contains(d.Status.Message, "tried again") {
					t.Errorf("says %s: %s", d.Status.Reason, d.Status.Message)
				}
				if got := l.faults.onDatasets - writes; got != 1 || s.asked != 3 {
					t.Errorf("%d writes, asked %d times, want 1 and 3: what it was a minute ago does not count", got, s.asked)
				}
				l.keeper.opts.Eraser = sound
				l.settle()
				if _, there := l.dataset(); there {
					t.Error("it does not expire when the store is back")
				}
			})
		})
	}
}

func TestNoKeyOfAnExpiredDatasetGoesWithoutItsStore(t *testing.T) {
	t.Parallel()
	for name, s := range strangers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alive(t, &faults{}, func(l *life) {
				t := l.t
				l.add(newDataset(usable))
				l.settle()
				l.until(after(testMaxAge))
				l.delete()
				sound := l.keeper.opts.Eraser
				s.Eraser = sound
				l.keeper.opts.Eraser = &s
				for range 3 {
					if _, err := l.reconcile(); err == nil {
						t.Fatal("not tried again")
					}
				}
				d, there := l.dataset()
				if !there || d.Status.Erasure != nil || !l.hasKey(testUID) {
					t.Fatalf("erasure %+v, key there: %v", d.Status.Erasure, l.hasKey(testUID))
				}
				c := apimeta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionErasureBlocked)
				if c.Reason != v1alpha1.ReasonStoreUnavailable && c.Reason != v1alpha1.ReasonUnknownStore {
					t.Errorf("blocked because of %s: %s", c.Reason, c.Message)
				}
				l.keeper.opts.Eraser = sound
				l.settle()
				if _, there := l.dataset(); there {
					t.Error("it is not erased when the store is back")
				}
			})
		})
	}
}

func TestKeyOfADeletedDatasetGoesAlsoWithoutTheStore(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		l.add(newDataset(usable))
		l.settle()
		l.delete()
		l.keeper.opts.Eraser = &stranger{err: objectstore.ErrUnavailable, Eraser: l.keeper.opts.Eraser}
		_, err := l.reconcile()
		l.must(err)
		if l.hasKey(testUID) {
			l.t.Error("an owner's delete waits for the store before it destroys the key")
		}
	})
}

func TestTimeThatIsOverTakesNoFurtherRun(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		ready := func() *v1alpha1.DatasetRetention {
			t.Helper()
			l.settle()
			d, _ := l.dataset()
			return d
		}
		isReady := func(d *v1alpha1.DatasetRetention) bool {
			return apimeta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionReady)
		}
		l.create()
		l.upload()
		r := l.startRun("run-1")
		if d := ready(); !isReady(d) {
			t.Fatalf("status %+v", d.Status)
		}
		l.until(after(testMaxAge))
		if d := ready(); isReady(d) || d.Status.State != v1alpha1.DatasetInUse || !l.hasKey(testUID) {
			t.Errorf("in use past its time: %s %s, key there: %v", d.Status.State, d.Status.Reason, l.hasKey(testUID))
		}
		l.hold(testCase, after(2*testMaxAge))
		l.endRun(r)
		if d := ready(); isReady(d) || d.Status.Reason != v1alpha1.ReasonExpired || !strings.Contains(d.Status.Message, "on hold until") {
			t.Errorf("on hold past its time: %s %s: %s", d.Status.State, d.Status.Reason, d.Status.Message)
		}
		longer := func(d *v1alpha1.DatasetRetention) {
			d.Spec.Retention.MaxAge.Duration, d.Spec.Retention.AfterTraining.Duration = 3*testMaxAge, 3*testMaxAge
		}
		l.change(longer)
		if d := ready(); !isReady(d) || d.Status.State != v1alpha1.DatasetExpiring {
			t.Errorf("its time was made longer: %s %s", d.Status.State, d.Status.Reason)
		}
		l.until(after(3 * testMaxAge))
		l.began = l.clock.Now()
		l.settle()
		l.checkEnd(story{marked: []string{"run-1"}, trigger: objectkey.TriggerExpired})
	})
}

// closeAccount lets the ledger say that the dataset was erased, and a backup bring
// its object back.
func (l *life) closeAccount() {
	l.t.Helper()
	_, accounts, _ := l.warehouse.books(l.t, false)
	l.must(accounts.Note(l.t.Context(), testNamespace, string(testUID), objectkey.LedgerEvent{
		Kind: objectkey.LedgerKind, Event: objectkey.LedgerErased, Time: created(), ReceiptDigest: testDigest,
	}))
}

func TestDatasetThatCameBackIsNotHeld(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.add(newDataset(usable))
		l.settle()
		l.wantState(v1alpha1.DatasetReady)
		l.closeAccount()
		l.hold(testCase, after(10*time.Hour))
		l.settle()
		check := func() {
			t.Helper()
			d, _ := l.dataset()
			c := apimeta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionHeld)
			if d.Status.Hold != nil || c == nil || c.Message != nothingHeld || d.Status.Reason != v1alpha1.ReasonErased {
				t.Errorf("%s %s, hold %+v: %+v", d.Status.State, d.Status.Reason, d.Status.Hold, c)
			}
		}
		check()
		l.restart()
		writes := l.faults.writes
		l.settle()
		check()
		if l.faults.writes != writes {
			t.Errorf("%d writes at rest", l.faults.writes-writes)
		}
	})
}

func TestHoldKeepsNoDeletedDatasetThatCameBack(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.add(newDataset(usable, onHold(after(10*time.Hour))))
		l.closeAccount()
		l.delete()
		for range 3 {
			// Its first receipt is one of another life, so the last step is not looked at.
			_, _ = l.keeper.Reconcile(t.Context(), requestOf(l.key))
		}
		d, there := l.dataset()
		if there && (d.Status.Reason == v1alpha1.ReasonOnHold || d.Status.Erasure == nil) {
			t.Errorf("waits because of %s: %s", d.Status.Reason, d.Status.Message)
		}
	})
}
