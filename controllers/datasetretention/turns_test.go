package datasetretention

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := newTurns(4)
		for n := range 4 {
			if !all.take(t.Context()) {
				t.Fatalf("only %d turns", n)
			}
		}
		begin := time.Now() //nolint:forbidigo // the time inside the bubble
		if all.take(t.Context()) {
			t.Fatal("a fifth turn")
		}
		if waited := time.Since(begin); waited != patience { //nolint:forbidigo // the time inside the bubble
			t.Errorf("waited %v", waited)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if all.take(ended) {
			t.Error("a turn after the end")
		}
		go func() {
			time.Sleep(patience / 2) //nolint:forbidigo // the time inside the bubble
			all.give()
		}()
		if !all.take(t.Context()) {
			t.Error("did not wait for a turn that was given back")
		}
	})
}

// atTheStore takes all turns, as others would that are at work for an hour.
func (l *life) atTheStore() (leave func()) {
	erases, checks := l.takeTurns(l.keeper.turns), l.takeTurns(l.keeper.checks)
	return func() { erases(); checks() }
}

func (l *life) takeTurns(all turns) (leave func()) {
	for range cap(all) {
		all <- struct{}{}
	}
	return func() {
		for range cap(all) {
			all.give()
		}
	}
}

func TestHeavyWorkWaitsForATurnAndLightWorkDoesNot(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		leave := l.atTheStore()
		l.create()
		l.wantState(v1alpha1.DatasetOpen)
		l.upload()
		l.settle()
		l.wantState(v1alpha1.DatasetSealing)
		l.wantBusy()
		leave()
		l.settle()
		l.wantState(v1alpha1.DatasetReady)

		leave = l.atTheStore()
		l.until(after(testMaxAge))
		l.settle()
		l.wantState(v1alpha1.DatasetErasing)
		l.wantBusy()
		l.began = after(testMaxAge)
		leave()
		l.settle()
		l.checkEnd(story{trigger: objectkey.TriggerExpired})
	})
}

// wantBusy wants that nothing happens, nothing is said to be wrong, and that it is
// tried again.
func (l *life) wantBusy() {
	l.t.Helper()
	left, writes := l.warehouse.left(l.t, testPrefix), l.faults.writes
	got, err := l.reconcile()
	if err != nil || got.RequeueAfter != busyRetry {
		l.t.Errorf("looks again in %v (error %v), want %v", got.RequeueAfter, err, busyRetry)
	}
	if now := l.warehouse.left(l.t, testPrefix); now != left || l.faults.writes != writes {
		l.t.Errorf("%d of %d objects are left, %d writes", now, left, l.faults.writes-writes)
	}
	d, _ := l.dataset()
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionErasureBlocked} {
		if c := apimeta.FindStatusCondition(d.Status.Conditions, kind); c != nil && c.Reason == v1alpha1.ReasonStoreUnavailable {
			l.t.Errorf("blames the store: %s", c.Message)
		}
	}
}

func TestEraseThatWasCountedWaitsForATurn(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.until(after(2 * time.Hour))
		d := newDataset(usable, inventoried)
		l.add(d)
		l.warehouse.put(t, testPrefix+"data/a", []byte("x"))
		l.must(l.api.Delete(t.Context(), d))
		leave := l.atTheStore()
		l.settle()
		l.wantBusy()
		leave()
		l.settle()
		if _, there := l.dataset(); there {
			t.Error("the dataset is still there")
		}
		if held := len(l.keeper.turns) + len(l.keeper.checks); held != 0 {
			t.Errorf("%d turns were not given back", held)
		}
	})
}

// ruler is a Store that notes how much of a manifest is asked for.
type ruler struct {
	Store
	asked *int64
}

func (r ruler) Get(ctx context.Context, bucket, key string, offset, length int64) (io.ReadCloser, error) {
	*r.asked = length
	return r.Store.Get(ctx, bucket, key, offset, length)
}

func TestManifestIsReadUpToItsBound(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		var asked int64
		l.keeper.opts.Store = func(key objectstore.Key) Store { return ruler{l.warehouse.view(key), &asked} }
		l.create()
		l.upload()
		l.settle()
		l.wantState(v1alpha1.DatasetReady)
		if want := int64(1<<30) + 1; asked != want {
			t.Errorf("asked for %d bytes, want %d", asked, want)
		}
	})
}
