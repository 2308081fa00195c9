package datasetretention

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// life is one dataset's whole life, beside a neighbour that must not notice.
type life struct {
	t      *testing.T
	faults *faults
	// api is the API server without faults: what users and other controllers see.
	api       client.WithWatch
	warehouse *warehouse
	clock     *clocktesting.FakePassiveClock
	keeper    *Reconciler
	key       client.ObjectKey
	// uploaded is whether the upload was finished.
	uploaded bool
}

const neighbourPrefix = testNamespace + "/neighbour-uid/"

func newLife(t *testing.T, f *faults) *life {
	t.Helper()
	l := &life{
		t: t, faults: f, api: newFakeAPI(t), warehouse: newWarehouse(f, objectstoretest.Versioned),
		clock: clocktesting.NewFakePassiveClock(created()),
		key:   client.ObjectKey{Namespace: testNamespace, Name: testName},
	}
	neighbour := newDataset(usable, func(d *v1alpha1.DatasetRetention) { d.Name, d.UID = "neighbour", "neighbour-uid" })
	l.must(l.api.Create(t.Context(), neighbour))
	l.warehouse.put(l.t, neighbourPrefix+"data/a", []byte("theirs"))
	l.warehouse.inner.BeginUpload(testBucket, neighbourPrefix+"data/b")
	l.restart()
	return l
}

func (l *life) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatalf("test: %v", err)
	}
}

// restart is a new process of the operator; what it held in memory is lost.
func (l *life) restart() {
	l.t.Helper()
	l.faults.restart()
	through := l.faults.between(l.api)
	engine, err := erasure.New(l.warehouse, testReceipts)
	l.must(err)
	keeper, err := New(through, through, Options{
		DatasetsBucket: testBucket, Store: l.warehouse, Eraser: engine, Clock: l.clock,
		Events: events.NewFakeRecorder(100), Metrics: prometheus.NewRegistry(),
	})
	l.must(err)
	l.keeper = keeper
}

// settle reconciles until nothing changes any more, restarting after every error.
func (l *life) settle() {
	l.t.Helper()
	for range 20 {
		writes := l.faults.writes
		_, err := l.keeper.Reconcile(l.t.Context(), ctrl.Request{NamespacedName: l.key})
		l.checkInvariants()
		if err != nil || l.faults.dead {
			l.restart()
			continue
		}
		if writes == l.faults.writes {
			return
		}
	}
	l.t.Fatal("does not settle")
}

func (l *life) dataset() (*v1alpha1.DatasetRetention, bool) {
	l.t.Helper()
	d := &v1alpha1.DatasetRetention{}
	err := l.api.Get(l.t.Context(), l.key, d)
	if !apierrors.IsNotFound(err) {
		l.must(err)
	}
	return d, err == nil
}

// checkInvariants is called after every single reconcile.
func (l *life) checkInvariants() {
	l.t.Helper()
	d, there := l.dataset()
	left := l.warehouse.left(l.t, testPrefix)
	adopted := controllerutil.ContainsFinalizer(d, v1alpha1.FinalizerErase)
	if left > 0 && (!there || !adopted) {
		l.t.Fatalf("%d objects are left, and nothing keeps their record (object there: %v)", left, there)
	}
	if there && d.Status.Location != nil && !adopted && d.DeletionTimestamp == nil {
		l.t.Fatal("the dataset has a place and no finalizer")
	}
	if theirs := l.warehouse.left(l.t, neighbourPrefix); theirs != 2 {
		l.t.Fatalf("of the neighbour's two objects %d are left", theirs)
	}
	if receipts := len(l.warehouse.receipts(l.t)); receipts > 1 || (receipts == 1 && left > 0) {
		l.t.Fatalf("%d receipts while %d objects are left", receipts, left)
	}
}

// upload does what kubectl lethe upload does: data, a manifest, the seal.
func (l *life) upload() {
	l.t.Helper()
	files := map[string]int64{"a": 5, "b/c": 7}
	for path, size := range files {
		l.warehouse.put(l.t, testPrefix+"data/"+path, bytes.Repeat([]byte("x"), int(size)))
	}
	l.warehouse.put(l.t, testPrefix+"data/a", []byte("again"))
	l.warehouse.put(l.t, testPrefix+"data/mistake", []byte("?"))
	l.warehouse.inner.Delete(testBucket, testPrefix+"data/mistake")
	l.warehouse.inner.BeginUpload(testBucket, testPrefix+"data/half")
	l.warehouse.put(l.t, objectkey.Manifest(testPrefix), manifestOf(l.t, files))
	d, _ := l.dataset()
	d.Spec.Sealed = true
	l.must(l.api.Update(l.t.Context(), d))
	l.uploaded = true
}

func (l *life) startRun(name string) *v1alpha1.TrainingRun {
	l.t.Helper()
	r := &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: testNamespace, Name: name},
		Spec:       v1alpha1.TrainingRunSpec{DatasetRef: v1alpha1.DatasetReference{Name: testName}},
	}
	l.must(l.api.Create(l.t.Context(), r))
	r.Status.State = v1alpha1.RunRunning
	r.Status.Dataset = &v1alpha1.BoundDataset{UID: testUID}
	l.must(l.api.Status().Update(l.t.Context(), r))
	return r
}

func (l *life) endRun(r *v1alpha1.TrainingRun) {
	l.t.Helper()
	r.Status.State, r.Status.CompletionTime = v1alpha1.RunSucceeded, at(l.clock.Now())
	l.must(l.api.Status().Update(l.t.Context(), r))
}

func (l *life) wantState(want v1alpha1.DatasetState) {
	l.t.Helper()
	if d, there := l.dataset(); !there || d.Status.State != want {
		l.t.Fatalf("state %q (object there: %v), want %q: %s", d.Status.State, there, want, d.Status.Message)
	}
}

// expires is a life that ends by itself: uploaded, used by a run, kept, expired.
func (l *life) expires() {
	l.must(l.api.Create(l.t.Context(), newDataset(raw)))
	l.settle()
	l.wantState(v1alpha1.DatasetOpen)
	l.upload()
	l.settle()
	l.wantState(v1alpha1.DatasetReady)
	r := l.startRun("run-1")
	l.settle()
	l.wantState(v1alpha1.DatasetInUse)
	l.clock.SetTime(after(2 * time.Hour))
	l.endRun(r)
	l.settle()
	l.wantState(v1alpha1.DatasetReady)
	l.clock.SetTime(after(2*time.Hour + testWindow))
	l.settle()
}

// isDeleted is a life that its owner ends while a run still uses the data.
func (l *life) isDeleted() {
	l.must(l.api.Create(l.t.Context(), newDataset(raw)))
	l.settle()
	l.upload()
	l.settle()
	r := l.startRun("run-1")
	l.settle()
	d, _ := l.dataset()
	l.must(l.api.Delete(l.t.Context(), d))
	l.settle()
	l.wantState(v1alpha1.DatasetErasing)
	if left := l.warehouse.left(l.t, testPrefix); left != 7 {
		l.t.Fatalf("of 7 versions in use %d are left", left)
	}
	l.endRun(r)
	l.settle()
	l.waitForUploads(7)
}

// isGivenUp is a life that its owner ends in the middle of an upload, which goes on
// for as long as its credentials do.
func (l *life) isGivenUp() {
	l.must(l.api.Create(l.t.Context(), newDataset(raw)))
	l.settle()
	l.warehouse.put(l.t, testPrefix+"data/a", []byte("12345"))
	d, _ := l.dataset()
	l.must(l.api.Delete(l.t.Context(), d))
	// The fake API server has a clock of its own.
	d, _ = l.dataset()
	l.clock.SetTime(d.DeletionTimestamp.Time)
	l.settle()
	l.warehouse.put(l.t, testPrefix+"data/stray", []byte("1"))
	l.waitForUploads(2)
}

// waitForUploads lets the time pass for which credentials to upload may be good.
func (l *life) waitForUploads(wantLeft int) {
	l.t.Helper()
	for range 2 {
		l.wantState(v1alpha1.DatasetErasing)
		d, _ := l.dataset()
		if left := l.warehouse.left(l.t, testPrefix); left != wantLeft || d.Status.Reason != v1alpha1.ReasonUploadsPossible {
			l.t.Fatalf("of %d objects %d are left, and it waits because of %s", wantLeft, left, d.Status.Reason)
		}
		if d.Status.Erasure != nil {
			l.t.Fatalf("counted while objects may still come: %+v", d.Status.Erasure)
		}
		l.clock.SetTime(l.clock.Now().Add((staging.UploadLife + staging.ClockSkew) / 2))
		l.settle()
	}
}

// checkEnd wants the same end, whatever happened on the way.
func (l *life) checkEnd() {
	l.t.Helper()
	if _, there := l.dataset(); there {
		l.t.Fatal("the dataset is still there")
	}
	if left := l.warehouse.left(l.t, testPrefix); left != 0 {
		l.t.Fatalf("%d objects are left", left)
	}
	var got objectkey.EraseReceipt
	l.must(json.Unmarshal(l.warehouse.receipts(l.t)[objectkey.Receipt(testNamespace, string(testUID))], &got))
	if diff := cmp.Diff(l.receipt(), got); diff != "" {
		l.t.Errorf("receipt (-want +got):\n%s", diff)
	}
}

// receipt is the one that is wanted.
func (l *life) receipt() objectkey.EraseReceipt {
	l.t.Helper()
	want := objectkey.EraseReceipt{
		Kind: objectkey.ReceiptKind, Namespace: testNamespace, Name: testName, UID: string(testUID),
		Bucket: testBucket, Prefix: testPrefix, Versions: 2, VersionBytes: 6,
		StartTime: l.clock.Now().UTC(), EndTime: l.clock.Now().UTC(),
	}
	if l.uploaded {
		manifest := manifestOf(l.t, map[string]int64{"a": 5, "b/c": 7})
		want.ManifestDigest, want.Objects, want.ObjectBytes = objectkey.Digest(manifest), 2, 12
		want.Versions, want.VersionBytes, want.Uploads = 6, 18+int64(len(manifest)), 1
	}
	return want
}

// TestEveryCrashPoint runs whole lives and lets every single call to the API server
// and to the store fail in turn, before and after its effect, alone and as the
// death of the process.
func TestEveryCrashPoint(t *testing.T) {
	t.Parallel()
	lives := map[string]func(*life){"expires": (*life).expires, "is deleted in use": (*life).isDeleted, "is given up": (*life).isGivenUp}
	kinds := map[string]fault{
		"call fails": {}, "answer is lost": {late: true},
		"process dies before": {kill: true}, "process dies after": {kill: true, late: true},
	}
	for name, story := range lives {
		quiet := &faults{}
		l := newLife(t, quiet)
		story(l)
		l.checkEnd()
		t.Logf("a dataset that %s: %d crash points", name, quiet.calls*len(kinds))
		for kind, f := range kinds {
			t.Run(fmt.Sprintf("%s, %s", name, kind), func(t *testing.T) {
				t.Parallel()
				for n := 1; n <= quiet.calls; n++ {
					l := newLife(t, &faults{at: n, fault: f})
					story(l)
					l.checkEnd()
					if t.Failed() {
						t.Fatalf("at call %d", n)
					}
				}
			})
		}
	}
}
