package datasetretention

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// hold is what a holder does.
func (l *life) hold(reason string, until time.Time) {
	l.t.Helper()
	l.change(func(d *v1alpha1.DatasetRetention) {
		d.Spec.Hold = &v1alpha1.Hold{Reason: reason, Until: metav1.NewTime(until)}
	})
}

// toldTo are the events so far.
func toldTo(recorder *events.FakeRecorder) []string {
	var told []string
	for len(recorder.Events) > 0 {
		told = append(told, <-recorder.Events)
	}
	return told
}

func TestEveryChangeOfAHoldIsTold(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.create()
		recorder := events.NewFakeRecorder(100)
		l.keeper.opts.Events = recorder
		steps := []func(){
			func() { l.hold("case 1", after(10*hour)) },
			func() { l.hold("case 1", after(20*hour)) },
			func() { l.hold("case 2", after(20*hour)) },
			func() { l.change(func(d *v1alpha1.DatasetRetention) { d.Spec.Hold = nil }) },
			func() { l.hold("case 3", after(9*hour)) },
		}
		for i, step := range steps {
			l.until(after(time.Duration(i+1) * hour))
			step()
			l.settle()
		}
		l.until(after(30 * hour)) // The operator was away when the last one ended.
		l.settle()
		told := toldTo(recorder)
		want := []string{
			"Normal Held The data is on hold until 2026-11-23T22:00:00Z: case 1",
			"Normal Held The data is on hold until 2026-11-24T08:00:00Z: case 1",
			"Normal Held The data is on hold until 2026-11-24T08:00:00Z: case 2",
			"Normal Released The hold on the data has ended: case 2",
			"Normal Held The data is on hold until 2026-11-23T21:00:00Z: case 3",
			"Normal Released The hold on the data has ended: case 3",
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		event := func(kind, reason string, when, until time.Duration) objectkey.LedgerEvent {
			return objectkey.LedgerEvent{Kind: objectkey.LedgerKind, Event: kind, Time: after(when), Reason: reason, Until: after(until)}
		}
		noted := map[string][]objectkey.LedgerEvent{
			objectkey.LedgerHeld: {
				event("held", "case 1", hour, 10*hour), event("held", "case 1", 2*hour, 20*hour),
				event("held", "case 2", 3*hour, 20*hour), event("held", "case 3", 5*hour, 9*hour),
			},
			objectkey.LedgerReleased: {
				event("released", "case 2", 4*hour, 20*hour), event("released", "case 3", 9*hour, 9*hour),
			},
		}
		if diff := cmp.Diff(noted, l.warehouse.account(t, testNamespace, string(testUID)).Events); diff != "" {
			t.Errorf("ledger (-want +got):\n%s", diff)
		}
		d, _ := l.dataset()
		if c := apimeta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionHeld); d.Status.Hold != nil || c.Reason != v1alpha1.ReasonNoHold {
			t.Errorf("hold %+v, condition %+v", d.Status.Hold, c)
		}
	})
}

func TestHoldThatComesInTheMomentBeforeTheKeyGoes(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.create()
		l.upload()
		l.settle()
		l.delete()
		raced := false
		l.keeper.client = interceptor.NewClient(l.api, interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				if !raced {
					raced = true
					l.hold(testCase, after(time.Hour))
				}
				return c.SubResource(sub).Patch(ctx, o, p, opts...)
			},
		})
		for range 3 {
			if _, err := l.reconcile(); err != nil {
				t.Fatalf("reconcile: %v", err)
			}
		}
		d, _ := l.dataset()
		if !raced || d.Status.Reason != v1alpha1.ReasonOnHold || d.Status.Erasure != nil || !l.hasKey(testUID) {
			t.Errorf("status %s, erasure %+v, key there: %v", d.Status.Reason, d.Status.Erasure, l.hasKey(testUID))
		}
	})
}

func TestHoldThatComesTooLateSaysSo(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.create()
		l.delete()
		l.settle()
		if l.hasKey(testUID) {
			t.Fatal("the key is still there")
		}
		recorder := events.NewFakeRecorder(100)
		l.keeper.opts.Events = recorder
		l.hold(testCase, after(time.Hour))
		l.settle()
		l.settle()
		d, _ := l.dataset()
		if c := apimeta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionHeld); c == nil || c.Message != tooLate || d.Status.Hold != nil {
			t.Errorf("hold %+v, condition %+v", d.Status.Hold, c)
		}
		if diff := cmp.Diff([]string{"Warning NoHold " + tooLate}, toldTo(recorder)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		l.until(after(2 * time.Minute))
		l.settle()
		if _, there := l.dataset(); there {
			t.Error("it holds the erase up")
		}
	})
}

func TestHoldIsLookedAtWhenItEnds(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.create()
		l.hold(testCase, after(5*time.Hour))
		l.settle()
		if again, err := l.reconcile(); err != nil || again.RequeueAfter != 5*time.Hour {
			t.Errorf("looks again in %v (error %v), want 5h", again.RequeueAfter, err)
		}
		l.delete()
		l.settle()
		if again, err := l.reconcile(); err != nil || again.RequeueAfter != 70*time.Second {
			t.Errorf("looks again in %v (error %v), want the end of credentials", again.RequeueAfter, err)
		}
		l.until(after(time.Hour))
		if again, err := l.reconcile(); err != nil || again.RequeueAfter != 4*time.Hour {
			t.Errorf("looks again in %v (error %v), want 4h", again.RequeueAfter, err)
		}
	})
}
