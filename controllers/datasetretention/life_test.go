package datasetretention

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/datasetkey"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
)

const (
	operatorNamespace = "lethe-system"
	neighbourUID      = types.UID("11111111-2222-4333-8444-555555555555")
	neighbourPrefix   = testNamespace + "/" + string(neighbourUID) + "/"
)

// life is one dataset's whole life, beside a neighbour that must not notice. The
// engine, the ledger, the receipts and the keys are the real ones.
type life struct {
	t      *testing.T
	faults *faults
	// api is the API server without faults: what users and other controllers see.
	api       client.WithWatch
	warehouse *warehouse
	// random gives the keys, of which none comes twice.
	random io.Reader
	clock  clock.RealClock
	keeper *Reconciler
	key    client.ObjectKey
	// shape is how the dataset is made.
	shape []datasetMod
	// fast is whether whole prefixes are removed at once.
	fast bool
	// uploaded is whether the upload was finished; keyID names the dataset's key, and
	// began is when its erase did.
	uploaded bool
	keyID    string
	began    time.Time
}

// alive lets the test begin when every test dataset is created, in a bubble where
// time passes only when the test says so, for the API server too.
func alive(t *testing.T, f *faults, test func(l *life)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		test(newLife(t, f))
	})
}

func newLife(t *testing.T, f *faults) *life {
	t.Helper()
	l := &life{
		t: t, faults: f, api: newFakeAPI(t), warehouse: newWarehouse(t, f), random: rand.NewChaCha8([32]byte{1}),
		key: client.ObjectKey{Namespace: testNamespace, Name: testName},
	}
	l.until(created())
	l.add(newDataset(func(d *v1alpha1.DatasetRetention) { d.Name, d.UID = "neighbour", neighbourUID }, usable))
	l.warehouse.put(l.t, neighbourPrefix+"data/a", []byte("theirs"))
	l.warehouse.inner.BeginUpload(testBucket, neighbourPrefix+"data/b")
	l.restart()
	return l
}

// until lets the time pass.
func (l *life) until(t time.Time) { l.clock.Sleep(t.Sub(l.clock.Now())) }

func (l *life) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatalf("test: %v", err)
	}
}

func (l *life) ring(through client.Client) *datasetkey.Ring {
	l.t.Helper()
	ring, err := datasetkey.New(datasetkey.Options{Client: through, Live: through, Namespace: operatorNamespace, Random: l.random})
	l.must(err)
	return ring
}

// restart is a new process of the operator; what it held in memory is lost.
func (l *life) restart() {
	l.t.Helper()
	l.faults.restart()
	through := l.faults.between(l.api)
	engine, accounts, book := l.warehouse.books(l.t, l.fast)
	keeper, err := New(through, through, Options{
		DatasetsBucket: testBucket, Store: l.warehouse.view, Eraser: engine,
		Keys: l.ring(through), Ledger: accounts, Receipts: book, Clock: l.clock,
		Events: events.NewFakeRecorder(100), Metrics: prometheus.NewRegistry(),
	})
	l.must(err)
	l.keeper = keeper
}

func requestOf(key client.ObjectKey) ctrl.Request { return ctrl.Request{NamespacedName: key} }

func (l *life) reconcile() (ctrl.Result, error) {
	l.t.Helper()
	result, err := l.keeper.Reconcile(l.t.Context(), requestOf(l.key))
	l.checkInvariants()
	return result, err
}

// settle reconciles until nothing changes any more, restarting after every error.
func (l *life) settle() {
	l.t.Helper()
	for range 20 {
		writes := l.faults.writes
		_, err := l.reconcile()
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

// hasKey reports whether there is a key for a dataset.
func (l *life) hasKey(uid types.UID) bool {
	l.t.Helper()
	_, err := l.ring(l.api).Get(context.WithoutCancel(l.t.Context()), uid)
	return err == nil
}

// checkInvariants is called after every single reconcile.
func (l *life) checkInvariants() {
	l.t.Helper()
	d, there := l.dataset()
	left := l.warehouse.left(l.t, testPrefix)
	account := l.warehouse.account(l.t, testNamespace, string(testUID))
	adopted := controllerutil.ContainsFinalizer(d, v1alpha1.FinalizerErase)
	if left > 0 && (!there || !adopted) {
		l.t.Fatalf("%d objects are left, and nothing keeps their record (object there: %v)", left, there)
	}
	if there && d.Status.Location != nil && !adopted && d.DeletionTimestamp == nil {
		l.t.Fatal("the dataset has a place and no finalizer")
	}
	if there && d.Status.Location != nil && account.Record == nil {
		l.t.Fatal("the dataset has a place and no record in the ledger")
	}
	if there && d.Status.KeyID != "" && d.Status.Erasure == nil && !l.hasKey(testUID) {
		l.t.Fatal("the key is gone, and nothing says that the erase has begun")
	}
	if theirs := l.warehouse.left(l.t, neighbourPrefix); theirs != 2 || !l.hasKey(neighbourUID) {
		l.t.Fatalf("of the neighbour's two objects %d are left (key there: %v)", theirs, l.hasKey(neighbourUID))
	}
	receipts := len(l.warehouse.receipts(l.t))
	if receipts > 1 || (receipts == 1 && left > 0) {
		l.t.Fatalf("%d receipts while %d objects are left", receipts, left)
	}
	if there {
		return
	}
	if l.hasKey(testUID) {
		l.t.Fatal("the dataset is gone, and its key is not")
	}
	if _, erased := account.Last(objectkey.LedgerErased); account.Record != nil && (!erased || receipts != 1) {
		l.t.Fatalf("the dataset is gone, %d receipts, the ledger knows: %v", receipts, erased)
	}
}

// create makes the dataset and waits until it has its place.
func (l *life) create() *v1alpha1.DatasetRetention {
	l.t.Helper()
	l.must(l.api.Create(l.t.Context(), newDataset(append([]datasetMod{raw}, l.shape...)...)))
	l.settle()
	d, _ := l.dataset()
	l.keyID = d.Status.KeyID
	return d
}

// add makes a dataset as it is, with the record and the key that belong to its place.
func (l *life) add(d *v1alpha1.DatasetRetention) *v1alpha1.DatasetRetention {
	l.t.Helper()
	if d.Status.Location != nil {
		accounts, err := ledger.New(l.warehouse.inner, testLedger)
		l.must(err)
		l.must(accounts.Open(l.t.Context(), recordOf(saw(created(), d), testStore)))
	}
	if d.Status.KeyID != "" && (d.Status.Erasure == nil || d.Status.Erasure.KeyDestroyedTime == nil) {
		key, err := l.ring(l.api).Ensure(l.t.Context(), d.UID)
		l.must(err)
		d.Status.KeyID = key.ID()
	}
	l.must(l.api.Create(l.t.Context(), d))
	return d
}

// underKey is the store as somebody sees it to whom the broker gave the dataset's key.
func (l *life) underKey() *warehouse {
	l.t.Helper()
	d, _ := l.dataset()
	if d.Status.KeyID == "" {
		return l.warehouse
	}
	key, err := l.ring(l.api).Get(l.t.Context(), testUID)
	l.must(err)
	if key.ID() != d.Status.KeyID {
		l.t.Fatalf("the key is %s, and the status says %s", key.ID(), d.Status.KeyID)
	}
	return l.warehouse.under(key)
}

// upload does what kubectl lethe upload does: data, a manifest, the seal.
func (l *life) upload() {
	l.t.Helper()
	store := l.underKey()
	files := map[string]int64{"a": 5, "b/c": 7}
	for path, size := range files {
		store.put(l.t, testPrefix+"data/"+path, bytes.Repeat([]byte("x"), int(size)))
	}
	store.put(l.t, testPrefix+"data/a", []byte("again"))
	store.put(l.t, testPrefix+"data/mistake", []byte("?"))
	store.inner.Delete(testBucket, testPrefix+"data/mistake")
	store.inner.BeginUpload(testBucket, testPrefix+"data/half")
	store.put(l.t, objectkey.Manifest(testPrefix), manifestOf(l.t, files))
	l.change(func(d *v1alpha1.DatasetRetention) { d.Spec.Sealed = true })
	l.uploaded = true
}

// change is a change by a user.
func (l *life) change(how func(*v1alpha1.DatasetRetention)) {
	l.t.Helper()
	d, _ := l.dataset()
	how(d)
	l.must(l.api.Update(l.t.Context(), d))
}

func (l *life) delete() {
	l.t.Helper()
	d, _ := l.dataset()
	l.must(l.api.Delete(l.t.Context(), d))
}

func (l *life) startRun(name string) *v1alpha1.TrainingRun {
	l.t.Helper()
	r := &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: testNamespace, Name: name, UID: types.UID("uid-of-" + name)},
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

// checkMarked wants a run to say that its dataset is erased, or not.
func (l *life) checkMarked(name, digest string) {
	l.t.Helper()
	var r v1alpha1.TrainingRun
	l.must(l.api.Get(l.t.Context(), client.ObjectKey{Namespace: testNamespace, Name: name}, &r))
	erased := apimeta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionDatasetErased)
	if erased != (digest != "") || r.Status.Dataset.ReceiptDigest != digest {
		l.t.Errorf("run %s: erased %v, digest %q, want %q", name, erased, r.Status.Dataset.ReceiptDigest, digest)
	}
}
