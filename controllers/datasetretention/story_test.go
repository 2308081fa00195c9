package datasetretention

import (
	"context"
	"crypto/rand"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/datasetkey"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/hack/apitest"
)

func TestMain(m *testing.M) { apitest.Main(m) }

// stage is a namespace of a real API server where the controller is at work, on a
// store in memory.
type stage struct {
	t         *testing.T
	api       client.Client
	namespace string
	store     *warehouse
	keys      *datasetkey.Ring
	clock     *offsetClock
}

// offsetClock is ahead of the real time by what was skipped.
type offsetClock struct {
	clock.RealClock
	ahead atomic.Int64
}

func (c *offsetClock) Now() time.Time { return c.RealClock.Now().Add(time.Duration(c.ahead.Load())) }

func (c *offsetClock) skip(d time.Duration) { c.ahead.Add(int64(d)) }

func newStage(t *testing.T) *stage {
	t.Helper()
	cluster := apitest.Start(t)
	s := &stage{t: t, api: cluster.Client, namespace: cluster.Namespace(t), store: newWarehouse(t, &faults{}), clock: &offsetClock{}}
	mgr, err := ctrl.NewManager(cluster.Config, ctrl.Options{
		Scheme:     cluster.Scheme,
		Logger:     logr.Discard(),
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Cache:      cache.Options{DefaultNamespaces: map[string]cache.Config{s.namespace: {}}},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	s.must(err)
	engine, accounts, book := s.store.books(t, false)
	s.keys, err = datasetkey.New(datasetkey.Options{
		Client: cluster.Client, Live: cluster.Client, Namespace: cluster.Namespace(t), Random: rand.Reader,
	})
	s.must(err)
	keeper, err := New(mgr.GetClient(), mgr.GetAPIReader(), Options{
		DatasetsBucket: testBucket, Store: s.store.view, Eraser: engine,
		Keys: s.keys, Ledger: accounts, Receipts: book, Clock: s.clock,
		Events: mgr.GetEventRecorder(Name), Metrics: prometheus.NewRegistry(),
	})
	s.must(err)
	s.must(keeper.SetupWithManager(t.Context(), mgr))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Errorf("manager: %v", err)
		}
	})
	return s
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("test: %v", err)
	}
}

// create makes a dataset whose data stays for this long after training.
func (s *stage) create(window string) *v1alpha1.DatasetRetention {
	s.t.Helper()
	u := unstructuredDataset(s.namespace, map[string]any{"retention": map[string]any{"afterTraining": window}})
	u.SetName(testName)
	s.must(s.api.Create(s.t.Context(), u))
	return s.waitFor(v1alpha1.DatasetOpen)
}

func (s *stage) waitFor(state v1alpha1.DatasetState) *v1alpha1.DatasetRetention {
	s.t.Helper()
	return s.waitUntil("its state is "+string(state), func(d *v1alpha1.DatasetRetention) bool {
		return d.Status.State == state
	})
}

func (s *stage) waitUntil(what string, ok func(*v1alpha1.DatasetRetention) bool) *v1alpha1.DatasetRetention {
	s.t.Helper()
	var d v1alpha1.DatasetRetention
	s.poll(func(ctx context.Context) (bool, error) {
		err := s.api.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: testName}, &d)
		return err == nil && ok(&d), client.IgnoreNotFound(err)
	}, func() {
		s.t.Fatalf("the dataset was never so that %s: %s %s: %s", what, d.Status.State, d.Status.Reason, d.Status.Message)
	})
	return &d
}

// waitErased waits until the object is gone, and checks what that promises. It lets
// the time pass for which the erase waits for credentials to upload.
func (s *stage) waitErased(d *v1alpha1.DatasetRetention) {
	s.t.Helper()
	var last v1alpha1.DatasetRetention
	waiting := s.waitUntil("it waits for uploads", func(d *v1alpha1.DatasetRetention) bool {
		return d.Status.State == v1alpha1.DatasetErasing && d.Status.Reason == v1alpha1.ReasonUploadsPossible
	})
	if s.store.left(s.t, d.Status.Location.Prefix) == 0 {
		s.t.Error("the data is gone while somebody may still add to it")
	}
	s.clock.skip(staging.UploadLife + staging.ClockSkew)
	woken := waiting.DeepCopy()
	woken.Annotations = map[string]string{"example.com/woken": ""}
	s.must(s.api.Patch(s.t.Context(), woken, client.MergeFrom(waiting)))
	s.poll(func(ctx context.Context) (bool, error) {
		err := s.api.Get(ctx, client.ObjectKeyFromObject(d), &last)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	}, func() { s.t.Fatalf("the dataset never went: %s: %s", last.Status.Reason, last.Status.Message) })
	if left := s.store.left(s.t, d.Status.Location.Prefix); left > 0 {
		s.t.Errorf("the dataset is gone, and %d objects are left", left)
	}
	if _, there := s.store.receipts(s.t)[objectkey.Receipt(s.namespace, string(d.UID))]; !there {
		s.t.Error("the dataset is gone without a receipt")
	}
}

func (s *stage) poll(ok wait.ConditionWithContextFunc, otherwise func()) {
	s.t.Helper()
	err := wait.PollUntilContextTimeout(s.t.Context(), 50*time.Millisecond, time.Minute, true, ok)
	if wait.Interrupted(err) || errors.Is(err, context.DeadlineExceeded) {
		otherwise()
	}
	s.must(err)
}

// upload puts the data into the dataset's place and seals it.
func (s *stage) upload(d *v1alpha1.DatasetRetention) *v1alpha1.DatasetRetention {
	s.t.Helper()
	prefix := d.Status.Location.Prefix
	key, err := s.keys.Get(s.t.Context(), d.UID)
	s.must(err)
	store := s.store.under(key)
	store.put(s.t, objectkey.Data(prefix, "a"), []byte("12345"))
	store.put(s.t, objectkey.Manifest(prefix), manifestOf(s.t, map[string]int64{"a": 5}))
	before := d.DeepCopy()
	d.Spec.Sealed = true
	s.must(s.api.Patch(s.t.Context(), d, client.MergeFrom(before)))
	return s.waitFor(v1alpha1.DatasetReady)
}

// startRun makes a run that is bound to the dataset, as its controller would.
func (s *stage) startRun(d *v1alpha1.DatasetRetention) *v1alpha1.TrainingRun {
	s.t.Helper()
	r := &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "run-1"},
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: d.Name},
			Trainer:    v1alpha1.Trainer{Image: "example.com/trainer:1"},
		},
	}
	s.must(s.api.Create(s.t.Context(), r))
	r.Status.State = v1alpha1.RunRunning
	r.Status.Dataset = &v1alpha1.BoundDataset{UID: d.UID, ManifestDigest: d.Status.ManifestDigest}
	s.must(s.api.Status().Update(s.t.Context(), r))
	return r
}

func (s *stage) endRun(r *v1alpha1.TrainingRun) {
	s.t.Helper()
	now := metav1.Now()
	r.Status.State, r.Status.CompletionTime = v1alpha1.RunSucceeded, &now
	s.must(s.api.Status().Update(s.t.Context(), r))
}

func TestStoryOfADatasetThatExpires(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	d := s.create("3s")
	if len(d.Finalizers) != 1 || d.Finalizers[0] != v1alpha1.FinalizerErase {
		t.Fatalf("the dataset has a place, and the finalizers %v", d.Finalizers)
	}
	if want := objectkey.OwnerPrefix(s.namespace, string(d.UID)); d.Status.Location.Prefix != want {
		t.Errorf("its place is %s, want %s", d.Status.Location.Prefix, want)
	}
	if want := d.CreationTimestamp.Add(720 * time.Hour); !d.Status.ExpiresAt.Time.Equal(want) {
		t.Errorf("an unused dataset expires at %v, want %v", d.Status.ExpiresAt, want)
	}
	d = s.upload(d)
	r := s.startRun(d)
	s.waitFor(v1alpha1.DatasetInUse)
	s.endRun(r)
	d = s.waitFor(v1alpha1.DatasetExpiring)
	if want := d.Status.LastUsedTime.Add(3 * time.Second); !d.Status.ExpiresAt.Time.Equal(want) {
		t.Errorf("a used dataset expires at %v, want %v", d.Status.ExpiresAt, want)
	}
	s.waitErased(d)
	s.waitForEvents(eventExpired, eventErased)
	receipt, digest := s.store.receipt(t, objectkey.Receipt(s.namespace, string(d.UID)))
	if receipt.Trigger != objectkey.TriggerExpired || receipt.KeyID != d.Status.KeyID {
		t.Errorf("receipt %+v", receipt)
	}
	s.must(s.api.Get(t.Context(), client.ObjectKeyFromObject(r), r))
	if r.Status.Dataset.ReceiptDigest != digest || !apimeta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionDatasetErased) {
		t.Errorf("the run says %+v of its dataset's erase, want the digest %s", r.Status.Dataset, digest)
	}
	if _, err := s.keys.Get(t.Context(), d.UID); !errors.Is(err, datasetkey.ErrNotFound) {
		t.Errorf("the key is still there: %v", err)
	}
}

func TestStoryOfADatasetOnHold(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	d := s.upload(s.create("24h"))
	before := d.DeepCopy()
	d.Spec.Hold = &v1alpha1.Hold{Reason: testCase, Until: metav1.NewTime(s.clock.Now().Add(4 * time.Second))}
	s.must(s.api.Patch(t.Context(), d, client.MergeFrom(before)))
	s.must(s.api.Delete(t.Context(), d))
	s.waitUntil("a hold keeps it", func(d *v1alpha1.DatasetRetention) bool {
		return d.Status.Reason == v1alpha1.ReasonOnHold && d.Status.Hold != nil && d.Status.Hold.Reason == testCase
	})
	s.waitErased(d)
	s.waitForEvents(eventHeld, eventReleased, eventErased)
	account := s.store.account(t, s.namespace, string(d.UID))
	if len(account.Events[objectkey.LedgerHeld]) == 0 || len(account.Events[objectkey.LedgerReleased]) == 0 {
		t.Errorf("the ledger has %+v", account.Events)
	}
}

func (s *stage) waitForEvents(reasons ...string) {
	s.t.Helper()
	missing := map[string]bool{}
	s.poll(func(ctx context.Context) (bool, error) {
		for _, reason := range reasons {
			missing[reason] = true
		}
		var list eventsv1.EventList
		err := s.api.List(ctx, &list, client.InNamespace(s.namespace))
		for i := range list.Items {
			delete(missing, list.Items[i].Reason)
		}
		return len(missing) == 0, err
	}, func() { s.t.Fatalf("there were no events %v", missing) })
}

func TestStoryOfADatasetDeletedInUse(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	d := s.upload(s.create("24h"))
	r := s.startRun(d)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.namespace, Name: "run-1-x", Labels: map[string]string{v1alpha1.LabelDatasetUID: string(d.UID)},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "trainer", Image: "example.com/trainer:1"}}},
	}
	s.must(s.api.Create(t.Context(), pod))
	s.waitFor(v1alpha1.DatasetInUse)
	s.must(s.api.Delete(t.Context(), d))
	s.waitUntil("it waits for the run", func(d *v1alpha1.DatasetRetention) bool {
		return d.Status.State == v1alpha1.DatasetErasing && d.Status.Reason == v1alpha1.ReasonRunsActive
	})
	s.endRun(r)
	s.waitUntil("it waits for the pod", func(d *v1alpha1.DatasetRetention) bool {
		return len(d.Status.ActiveRuns) == 0 && d.Status.Reason == v1alpha1.ReasonRunsActive
	})
	if left := s.store.left(s.t, d.Status.Location.Prefix); left != 2 {
		t.Errorf("of 2 objects in use %d are left", left)
	}
	pod.Status.Phase = corev1.PodSucceeded
	s.must(s.api.Status().Update(t.Context(), pod))
	s.waitErased(d)
}

func TestStoryOfADatasetInANamespaceThatGoes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	d := s.upload(s.create("24h"))
	s.must(s.api.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}))
	s.poll(func(ctx context.Context) (bool, error) {
		// From now on nothing can be created there, events neither.
		err := s.api.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, GenerateName: "probe-"}})
		return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), nil
	}, func() { t.Fatal("the namespace never went") })
	s.must(s.api.Delete(t.Context(), d))
	s.waitErased(d)
}

func TestStoryOfADatasetNeverFinished(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	d := s.create("24h")
	s.store.put(s.t, objectkey.Data(d.Status.Location.Prefix, "a"), []byte("half"))
	before := d.DeepCopy()
	d.Spec.Retention.MaxAge.Duration = clock.RealClock{}.Since(d.CreationTimestamp.Time).Truncate(time.Second) + 2*time.Second
	s.must(s.api.Patch(t.Context(), d, client.MergeFrom(before)))
	s.waitErased(d)
}

func TestStoryOfADatasetSealedEmpty(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	d := s.create("24h")
	before := d.DeepCopy()
	d.Spec.Sealed = true
	s.must(s.api.Patch(t.Context(), d, client.MergeFrom(before)))
	d = s.waitFor(v1alpha1.DatasetInvalid)
	if d.Status.Reason != v1alpha1.ReasonManifestMissing {
		t.Errorf("reason %s: %s", d.Status.Reason, d.Status.Message)
	}
	s.waitForEvents(v1alpha1.ReasonManifestMissing)
}
