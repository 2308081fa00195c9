package datasetretention

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/datasetkey"
)

func TestDatasetsAtRestAreNotWritten(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		var keys []client.ObjectKey
		for i := range 200 {
			d := newDataset(raw, func(d *v1alpha1.DatasetRetention) {
				d.Name = fmt.Sprintf("dataset-%03d", i)
				d.UID = types.UID(fmt.Sprintf("6a1f8c1e-0c9b-4f5e-9a53-%012d", i))
			})
			if i%2 == 0 {
				usable(d)
				d.Finalizers = []string{v1alpha1.FinalizerErase}
			}
			if i%4 == 0 {
				r := l.startRun("run-of-" + d.Name)
				r.Spec.DatasetRef.Name = d.Name
				l.must(l.api.Update(t.Context(), r))
				r.Status.Dataset.UID = d.UID
				l.endRun(r)
			}
			l.add(d)
			keys = append(keys, client.ObjectKeyFromObject(d))
		}
		resync := func() int {
			writes := l.faults.onDatasets
			for _, key := range keys {
				if _, err := l.keeper.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}); err != nil {
					t.Fatalf("reconcile %s: %v", key.Name, err)
				}
			}
			return l.faults.onDatasets - writes
		}
		if first := resync(); first != 300 {
			t.Errorf("%d writes at first, want 2 for each of 100 new datasets and 1 for each of 100 known ones", first)
		}
		l.restart()
		if second := resync(); second != 0 {
			t.Errorf("%d writes at the resync, want none", second)
		}
	})
}

func TestWritesOfARunsLife(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.must(l.api.Create(t.Context(), newDataset(raw)))
		l.settle()
		l.upload()
		l.settle()
		before := l.faults.onDatasets
		r := l.startRun("run-1")
		bound := r.Status.DeepCopy()
		r.Status.State, r.Status.Dataset = v1alpha1.RunPending, nil
		l.must(l.api.Status().Update(t.Context(), r))
		l.settle()
		r.Status = *bound
		l.must(l.api.Status().Update(t.Context(), r))
		l.settle()
		l.until(after(time.Hour))
		l.settle()
		l.endRun(r)
		l.settle()
		l.must(l.api.Delete(t.Context(), r))
		l.until(after(2 * time.Hour))
		l.settle()
		if got := l.faults.onDatasets - before; got != 2 {
			t.Errorf("%d writes on the dataset in a run's life, want 2", got)
		}
		d, _ := l.dataset()
		if want := at(after(time.Hour)); !d.Status.LastUsedTime.Equal(want) {
			t.Errorf("last used %v, want %v", d.Status.LastUsedTime, want)
		}
	})
}

func TestReconcileAsksForItsTime(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.add(newDataset(usable))
		l.until(after(time.Hour))
		got, err := l.keeper.Reconcile(t.Context(), ctrl.Request{NamespacedName: l.key})
		if err != nil || got.RequeueAfter != testMaxAge-time.Hour {
			t.Errorf("looks again in %v (error %v), want %v", got.RequeueAfter, err, testMaxAge-time.Hour)
		}
	})
}

func TestRunThatNeverBeganMakesNoUse(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.add(newDataset(usable))
		r := l.startRun("run-1")
		r.Status.State, r.Status.Dataset = v1alpha1.RunPending, nil
		l.must(l.api.Status().Update(t.Context(), r))
		l.settle()
		l.wantState(v1alpha1.DatasetReady)
		l.must(l.api.Delete(t.Context(), r))
		l.until(after(time.Hour))
		l.settle()
		l.wantState(v1alpha1.DatasetReady)
		d, _ := l.dataset()
		if d.Status.LastUsedTime != nil || !d.Status.ExpiresAt.Equal(at(after(testMaxAge))) {
			t.Errorf("last used %v, expires %v", d.Status.LastUsedTime, d.Status.ExpiresAt)
		}
	})
}

func TestPredecessorsRunsAreNoUsers(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.add(newDataset(usable))
		r := l.startRun("run-1")
		r.Status.Dataset.UID = "predecessor"
		l.must(l.api.Status().Update(t.Context(), r))
		l.settle()
		l.wantState(v1alpha1.DatasetReady)
	})
}

func TestExpiryDeletesOnlyWhatItSaw(t *testing.T) {
	t.Parallel()
	f := &faults{}
	alive(t, f, func(l *life) {
		t := l.t
		l.add(newDataset(usable))
		l.settle()
		l.until(after(testMaxAge))
		// The owner makes the time longer in the moment before the delete.
		longer := interceptor.NewClient(l.api, interceptor.Funcs{
			Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
				d, _ := l.dataset()
				d.Spec.Retention.MaxAge.Duration = 2 * testMaxAge
				l.must(l.api.Update(ctx, d))
				return c.Delete(ctx, o, opts...)
			},
		})
		l.keeper.client = longer
		if _, err := l.keeper.Reconcile(t.Context(), ctrl.Request{NamespacedName: l.key}); err != nil {
			t.Errorf("a dataset that changed is no error: %v", err)
		}
		if d, there := l.dataset(); !there || d.DeletionTimestamp != nil {
			t.Error("a dataset was deleted whose time had been made longer")
		}
	})
}

func TestStaleCacheNeverTakesData(t *testing.T) {
	t.Parallel()
	cases := map[string]func(l *life){
		"at the expiry": func(l *life) { l.until(after(testMaxAge)) },
		"at the erase": func(l *life) {
			d, _ := l.dataset()
			l.must(l.api.Delete(l.t.Context(), d))
		},
	}
	for name, end := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alive(t, &faults{}, func(l *life) {
				t := l.t
				l.add(newDataset(usable))
				l.warehouse.put(t, testPrefix+"data/a", []byte("x"))
				l.settle()
				l.startRun("run-1")
				end(l)
				// The cache has not seen the run yet.
				l.keeper.client = interceptor.NewClient(l.api, interceptor.Funcs{
					List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return nil },
				})
				if _, err := l.keeper.Reconcile(t.Context(), ctrl.Request{NamespacedName: l.key}); err != nil {
					t.Fatalf("reconcile: %v", err)
				}
				if d, there := l.dataset(); !there || len(d.Status.ActiveRuns) != 1 || l.warehouse.left(t, testPrefix) != 1 {
					t.Errorf("the run was overlooked: %+v", d.Status)
				}
			})
		})
	}
}

func TestEraseWaitsForLocalCopies(t *testing.T) {
	t.Parallel()
	label := map[string]string{v1alpha1.LabelDatasetUID: string(testUID)}
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.until(after(time.Hour))
		d := newDataset(usable)
		l.add(d)
		l.warehouse.put(t, testPrefix+"data/a", []byte("x"))
		job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: testNamespace, Name: "j", Labels: label}}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: testNamespace, Name: "p", Labels: label}}
		other := pod.DeepCopy()
		other.Name, other.Labels = "q", map[string]string{v1alpha1.LabelDatasetUID: "another"}
		for _, o := range []client.Object{job, pod, other} {
			l.must(l.api.Create(t.Context(), o))
		}
		l.must(l.api.Delete(t.Context(), d))
		blocked := func(want string) {
			t.Helper()
			l.settle()
			got, there := l.dataset()
			if !there || got.Status.Reason != v1alpha1.ReasonRunsActive || !strings.Contains(got.Status.Message, want) {
				t.Fatalf("status %s: %q (object there: %v), want it to wait for %s", got.Status.Reason, got.Status.Message, there, want)
			}
		}
		blocked("job/j, pod/p have")
		again, err := l.keeper.Reconcile(t.Context(), ctrl.Request{NamespacedName: l.key})
		if err != nil || again.RequeueAfter != time.Minute {
			t.Errorf("looks again in %v (error %v), want a minute: no watch sees a foreign job", again.RequeueAfter, err)
		}
		l.must(l.api.Delete(t.Context(), job))
		blocked("as pod/p has ended")
		pod.Status.Phase = corev1.PodFailed
		l.must(l.api.Status().Update(t.Context(), pod))
		l.settle()
		if _, there := l.dataset(); there || l.warehouse.left(t, testPrefix) > 0 {
			t.Error("a pod that has ended holds the erase up")
		}
	})
}

func TestForeignPlaceIsLeftAlone(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		d := newDataset(usable, movedTo(testBucket, neighbourPrefix))
		l.add(d)
		l.must(l.api.Delete(t.Context(), d))
		l.settle()
		got, there := l.dataset()
		if !there || got.Status.Reason != v1alpha1.ReasonEraseRefused || got.Status.Erasure != nil {
			t.Errorf("status %+v (object there: %v)", got.Status, there)
		}
		if value := valueOf(t, l.keeper.metrics.blocked.WithLabelValues(v1alpha1.ReasonEraseRefused)); value != 1 {
			t.Errorf("metric says %v blocked datasets", value)
		}
	})
}

func TestNeverPlacedDatasetIsLetGoWithoutAReceipt(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		d := newDataset()
		l.add(d)
		l.must(l.api.Delete(t.Context(), d))
		l.settle()
		if _, there := l.dataset(); there || len(l.warehouse.receipts(t)) > 0 {
			t.Errorf("object there: %v, receipts: %d", there, len(l.warehouse.receipts(t)))
		}
	})
}

func TestForeignFinalizerStays(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.until(after(time.Hour))
		d := newDataset(usable, func(d *v1alpha1.DatasetRetention) { d.Finalizers = append(d.Finalizers, "example.com/audit") })
		l.add(d)
		l.must(l.api.Delete(t.Context(), d))
		l.settle()
		writes := l.faults.writes
		l.settle()
		got, there := l.dataset()
		if diff := cmp.Diff([]string{"example.com/audit"}, got.Finalizers); !there || diff != "" {
			t.Errorf("finalizers (-want +got):\n%s", diff)
		}
		if l.faults.writes != writes {
			t.Error("a dataset that is not ours any more was written")
		}
	})
}

func TestEventsOfALife(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		recorder := events.NewFakeRecorder(100)
		l.keeper.opts.Events = recorder
		l.expires()
		close(recorder.Events)
		var got []string
		for e := range recorder.Events {
			got = append(got, strings.Join(strings.Fields(e)[:2], " "))
		}
		if diff := cmp.Diff([]string{"Normal Verified", "Normal Expired", "Normal Erased"}, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		want := map[string]float64{"datasets": 1, "versions": 6}
		counts := map[string]float64{
			"datasets": valueOf(t, l.keeper.metrics.datasets), "versions": valueOf(t, l.keeper.metrics.versions),
		}
		if diff := cmp.Diff(want, counts); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
	})
}

func TestTransitions(t *testing.T) {
	t.Parallel()
	status := func(kind string, value metav1.ConditionStatus, reason string) v1alpha1.DatasetRetentionStatus {
		var s v1alpha1.DatasetRetentionStatus
		apimeta.SetStatusCondition(&s.Conditions, metav1.Condition{Type: kind, Status: value, Reason: reason})
		return s
	}
	const ready, blocked = v1alpha1.ConditionReady, v1alpha1.ConditionErasureBlocked
	cases := map[string]struct {
		before, after v1alpha1.DatasetRetentionStatus
		want          []string
	}{
		"an open dataset is no news":     {v1alpha1.DatasetRetentionStatus{}, status(ready, "False", "UploadOpen"), nil},
		"a whole dataset is":             {status(ready, "False", "CheckingManifest"), status(ready, "True", "Verified"), []string{"Normal Verified"}},
		"an unusable one is a warning":   {status(ready, "False", "CheckingManifest"), status(ready, "False", "Empty"), []string{"Warning Empty"}},
		"it is told once":                {status(ready, "False", "Empty"), status(ready, "False", "Empty"), nil},
		"a store that is away":           {status(ready, "False", "CheckingManifest"), status(ready, "False", "StoreUnavailable"), []string{"Warning StoreUnavailable"}},
		"an erase that waits":            {status(blocked, "False", "Proceeding"), status(blocked, "True", "RunsActive"), []string{"Warning RunsActive"}},
		"an erase that now waits else":   {status(blocked, "True", "RunsActive"), status(blocked, "True", "StoreUnavailable"), []string{"Warning StoreUnavailable"}},
		"an erase that waits a moment":   {v1alpha1.DatasetRetentionStatus{}, status(blocked, "True", "UploadsPossible"), nil},
		"an erase that goes on silently": {status(blocked, "True", "RunsActive"), status(blocked, "False", "Proceeding"), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, e := range transitions(c.before, c.after) {
				got = append(got, e.kind+" "+e.reason)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNewWantsEverything(t *testing.T) {
	t.Parallel()
	whole := func() Options {
		w := newWarehouse(t, &faults{})
		engine, accounts, book := w.books(t, false)
		return Options{
			DatasetsBucket: testBucket, Store: w.view, Eraser: engine, Keys: &datasetkey.Ring{}, Ledger: accounts, Receipts: book,
			Clock: clocktesting.NewFakePassiveClock(created()), Events: events.NewFakeRecorder(1), Metrics: prometheus.NewRegistry(),
		}
	}
	cases := map[string]struct {
		change func(*Options)
		ok     bool
	}{
		"all there":   {func(*Options) {}, true},
		"no bucket":   {func(o *Options) { o.DatasetsBucket = "" }, false},
		"no store":    {func(o *Options) { o.Store = nil }, false},
		"no eraser":   {func(o *Options) { o.Eraser = nil }, false},
		"no keys":     {func(o *Options) { o.Keys = nil }, false},
		"no ledger":   {func(o *Options) { o.Ledger = nil }, false},
		"no receipts": {func(o *Options) { o.Receipts = nil }, false},
		"limits that leave nothing": {func(o *Options) {
			o.Limits = Limits{MaxAgeFloor: 2 * time.Hour, MaxAgeCeiling: time.Hour}
		}, false},
		"no clock":    {func(o *Options) { o.Clock = nil }, false},
		"no recorder": {func(o *Options) { o.Events = nil }, false},
		"no registry": {func(o *Options) { o.Metrics = nil }, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := whole()
			c.change(&opts)
			api := newFakeAPI(t)
			if _, err := New(api, api, opts); (err == nil) != c.ok {
				t.Errorf("error %v", err)
			}
		})
	}
}

// valueOf reads a counter or a gauge.
func valueOf(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatalf("read metric: %v", err)
	}
	return out.GetCounter().GetValue() + out.GetGauge().GetValue()
}

func TestStaleCacheGivesNoPlaceAndNotesNoHold(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		old   datasetMod
		ahead func(l *life)
		check func(l *life)
	}{
		"a dataset that is deleted gets no key again": {
			func(d *v1alpha1.DatasetRetention) { d.Status = v1alpha1.DatasetRetentionStatus{} },
			func(l *life) { l.delete(); l.settle() },
			func(l *life) {
				if l.hasKey(testUID) {
					l.t.Error("a key was made for a dataset whose key is destroyed")
				}
			},
		},
		"a hold that is known is not noted again": {
			onHold(after(time.Hour)),
			func(l *life) { l.hold(testCase, after(time.Hour)); l.settle(); l.until(after(time.Minute)) },
			func(l *life) {
				if held := l.warehouse.account(l.t, testNamespace, string(testUID)).Events["held"]; len(held) != 1 {
					l.t.Errorf("the ledger has %+v", held)
				}
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alive(t, &faults{}, func(l *life) {
				l.create()
				old, _ := l.dataset()
				c.old(old)
				c.ahead(l)
				l.keeper.client = interceptor.NewClient(l.api, interceptor.Funcs{
					Get: func(_ context.Context, _ client.WithWatch, _ client.ObjectKey, o client.Object, _ ...client.GetOption) error {
						if d, is := o.(*v1alpha1.DatasetRetention); is {
							old.DeepCopyInto(d)
						}
						return nil
					},
				})
				if _, err := l.reconcile(); err != nil {
					l.t.Fatalf("reconcile: %v", err)
				}
				c.check(l)
			})
		})
	}
}

// The API server takes no change of a dataset whose namespace was finalized by force, and
// says so in the words for what is not there; the dataset is, and is not given up.
func TestRefusedWritesAreTold(t *testing.T) {
	t.Parallel()
	other := errors.New("connection refused")
	tests := map[string]struct {
		err   error
		after time.Duration
		want  error
	}{
		"the dataset has gone":   {apierrors.NewNotFound(schema.GroupResource{Group: "lethe.dev", Resource: "datasetretentions"}, "digits"), 0, nil},
		"the dataset changed":    {apierrors.NewConflict(schema.GroupResource{Resource: "datasetretentions"}, "digits", nil), 0, nil},
		"its namespace has gone": {fmt.Errorf("patch: %w", apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "team")), strayRetry, nil},
		"something else":         {other, 0, other},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, err := outdated(c.err)
			if result.RequeueAfter != c.after || !errors.Is(err, c.want) {
				t.Errorf("got %v, %v, want %v, %v", result.RequeueAfter, err, c.after, c.want)
			}
		})
	}
}
