package datasetretention

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/hack/apitest"
)

// story is a dataset's life.
type story struct {
	tell func(*life)
	// marked are the runs that have to say in the end that the dataset is erased, and
	// unmarked those that must not.
	marked, unmarked []string
	// trigger is what the receipt has to say; empty: there was nothing to erase.
	trigger string
	// anyEnd: whether there is a receipt depends on how far the dataset had come.
	anyEnd bool
}

func stories() map[string]story {
	return map[string]story{
		"expires":            {tell: (*life).expires, marked: []string{"run-1"}, unmarked: []string{"other"}, trigger: objectkey.TriggerExpired},
		"is never finished":  {tell: (*life).isNeverFinished, trigger: objectkey.TriggerExpired},
		"is deleted in use":  {tell: (*life).isDeleted, marked: []string{"run-1"}, trigger: objectkey.TriggerDeleted},
		"is given up":        {tell: (*life).isGivenUp, trigger: objectkey.TriggerDeleted},
		"is removed at once": {tell: (*life).isRemovedAtOnce, trigger: objectkey.TriggerDeleted},
		"is on hold":         {tell: (*life).isOnHold, trigger: objectkey.TriggerDeleted},
		"never gets a place": {tell: (*life).isNeverPlaced},
		"is regretted":       {tell: (*life).isRegretted, anyEnd: true},
		"loses its status":   {tell: (*life).losesItsStatus, trigger: objectkey.TriggerDeleted},
	}
}

// expires is a life that ends by itself: uploaded, used by a run, kept, expired.
func (l *life) expires() {
	l.create()
	l.wantState(v1alpha1.DatasetOpen)
	l.upload()
	l.settle()
	l.wantState(v1alpha1.DatasetReady)
	r := l.startRun("run-1")
	other := l.startRun("other")
	other.Status.Dataset.UID = "predecessor"
	l.must(l.api.Status().Update(l.t.Context(), other))
	l.settle()
	l.wantState(v1alpha1.DatasetInUse)
	l.until(after(2 * time.Hour))
	l.endRun(r)
	l.settle()
	l.wantState(v1alpha1.DatasetExpiring)
	l.until(after(2*time.Hour + testWindow))
	l.began = l.clock.Now()
	l.settle()
}

// isNeverFinished is an upload that is never sealed, in a store without SSE-C.
func (l *life) isNeverFinished() {
	l.shape = []datasetMod{func(d *v1alpha1.DatasetRetention) { d.Spec.Encryption = v1alpha1.EncryptionBucket }}
	l.create()
	l.warehouse.put(l.t, testPrefix+"data/a", []byte("12345"))
	l.warehouse.put(l.t, testPrefix+"data/b", []byte("1"))
	l.until(after(testMaxAge))
	l.settle()
	l.wantState(v1alpha1.DatasetErasing)
	l.until(l.clock.Now().Add(staging.UploadLife + staging.ClockSkew))
	l.began = l.clock.Now()
	l.settle()
}

// isDeleted is a life that its owner ends while a run still uses the data.
func (l *life) isDeleted() {
	l.create()
	l.upload()
	l.settle()
	r := l.startRun("run-1")
	l.settle()
	l.delete()
	l.settle()
	l.wantState(v1alpha1.DatasetErasing)
	if left := l.warehouse.left(l.t, testPrefix); left != 7 || !l.hasKey(testUID) {
		l.t.Fatalf("of 7 versions in use %d are left (key there: %v)", left, l.hasKey(testUID))
	}
	l.endRun(r)
	l.began = l.clock.Now()
	l.settle()
	l.waitForUploads(7)
}

// isGivenUp is a life that its owner ends in the middle of an upload, which goes on
// for as long as its credentials do.
func (l *life) isGivenUp() {
	l.create()
	uploader := l.underKey()
	uploader.put(l.t, testPrefix+"data/a", []byte("12345"))
	l.delete()
	l.began = l.clock.Now()
	l.settle()
	uploader.put(l.t, testPrefix+"data/stray", []byte("1"))
	l.waitForUploads(2)
}

// isRemovedAtOnce is the same in a store that removes whole prefixes.
func (l *life) isRemovedAtOnce() {
	l.fast = true
	l.restart()
	l.isGivenUp()
}

// isOnHold is a life that goes on after its owner has ended it: a duty keeps the data.
func (l *life) isOnHold() {
	const hour = time.Hour
	hold := func(until time.Time) {
		l.change(func(d *v1alpha1.DatasetRetention) {
			d.Spec.Hold = &v1alpha1.Hold{Reason: testCase, Until: metav1.NewTime(until)}
		})
		l.settle()
	}
	l.create()
	l.upload()
	l.settle()
	l.until(after(hour))
	hold(after(10 * hour))
	l.wantState(v1alpha1.DatasetReady)
	l.delete()
	l.until(after(9 * hour))
	hold(after(20 * hour))
	l.until(after(20*hour - time.Second))
	l.settle()
	d, _ := l.dataset()
	if left := l.warehouse.left(l.t, testPrefix); left != 7 || !l.hasKey(testUID) || d.Status.Reason != v1alpha1.ReasonOnHold {
		l.t.Fatalf("of 7 versions on hold %d are left, it waits because of %s (key there: %v)", left, d.Status.Reason, l.hasKey(testUID))
	}
	l.until(after(20 * hour))
	l.began = l.clock.Now()
	l.settle()
	events := l.warehouse.account(l.t, testNamespace, string(testUID)).Events
	if held, released := len(events[objectkey.LedgerHeld]), len(events[objectkey.LedgerReleased]); held != 2 || released != 1 {
		l.t.Errorf("the ledger has %d holds and %d ends, want 2 and 1", held, released)
	}
}

// isNeverPlaced is a dataset for which there is no fit bucket.
func (l *life) isNeverPlaced() {
	l.warehouse.inner.SetFacts(testBucket, func(f *objectstore.BucketFacts) { f.ObjectLock = true })
	l.create()
	l.wantState(v1alpha1.DatasetOpen)
	l.delete()
	l.settle()
}

// isRegretted is deleted while it is being given its place, wherever that was
// interrupted.
func (l *life) isRegretted() {
	l.must(l.api.Create(l.t.Context(), newDataset(raw)))
	if _, err := l.reconcile(); err != nil || l.faults.dead {
		l.restart()
	}
	d, _ := l.dataset()
	l.keyID = d.Status.KeyID
	l.delete()
	l.settle()
	l.until(l.clock.Now().Add(staging.UploadLife + staging.ClockSkew))
	l.settle()
}

// losesItsStatus is a dataset of which only the ledger still knows that it had a place.
func (l *life) losesItsStatus() {
	l.create()
	l.underKey().put(l.t, testPrefix+"data/a", []byte("12345"))
	l.underKey().put(l.t, testPrefix+"data/b", []byte("1"))
	d, _ := l.dataset()
	d.Status = v1alpha1.DatasetRetentionStatus{}
	l.must(l.api.Status().Update(l.t.Context(), d))
	l.delete()
	l.began = l.clock.Now()
	l.settle()
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
		if e := d.Status.Erasure; l.hasKey(testUID) || e == nil || e.KeyDestroyedTime == nil || e.InventoryTime != nil {
			l.t.Fatalf("the key was to be destroyed first, and nothing counted while objects may still come: %+v", e)
		}
		l.until(l.clock.Now().Add((staging.UploadLife + staging.ClockSkew) / 2))
		l.settle()
	}
}

// checkEnd wants the same end, whatever happened on the way.
func (l *life) checkEnd(s story) {
	l.t.Helper()
	if _, there := l.dataset(); there {
		l.t.Fatal("the dataset is still there")
	}
	if left := l.warehouse.left(l.t, testPrefix); left != 0 {
		l.t.Fatalf("%d objects are left", left)
	}
	account := l.warehouse.account(l.t, testNamespace, string(testUID))
	if s.anyEnd {
		return // The invariants want a receipt if there was a record.
	}
	if s.trigger == "" {
		if account.Found() || len(l.warehouse.receipts(l.t)) > 0 {
			l.t.Errorf("there was nothing to erase, and the ledger has %+v", account)
		}
		return
	}
	got, digest := l.warehouse.receipt(l.t, objectkey.Receipt(testNamespace, string(testUID)))
	if diff := cmp.Diff(l.receipt(s.trigger), got); diff != "" {
		l.t.Errorf("receipt (-want +got):\n%s", diff)
	}
	if erased, _ := account.Last(objectkey.LedgerErased); erased.ReceiptDigest != digest {
		l.t.Errorf("the ledger names the receipt %q, want %q", erased.ReceiptDigest, digest)
	}
	for _, name := range s.marked {
		l.checkMarked(name, digest)
	}
	for _, name := range s.unmarked {
		l.checkMarked(name, "")
	}
}

// receipt is the one that is wanted.
func (l *life) receipt(trigger string) objectkey.EraseReceipt {
	l.t.Helper()
	want := objectkey.EraseReceipt{
		Kind: objectkey.ReceiptKind, Resource: objectkey.ResourceDataset, Namespace: testNamespace, UID: string(testUID),
		Store: testStore, Bucket: testBucket, Prefix: testPrefix, Trigger: trigger,
		Methods: []string{objectkey.MethodObjectsRemoved}, NotCovered: []string{notCopies, notArtifacts, notTrash, notParts},
		Versions: 2, VersionBytes: 6, StartTime: l.began.UTC(), EndTime: l.clock.Now().UTC(), Sequence: 1,
	}
	if l.keyID != "" {
		destroyed := l.began.UTC()
		want.KeyID, want.KeyDestroyedTime = l.keyID, &destroyed
		want.Methods = []string{objectkey.MethodKeyDestroyed, objectkey.MethodObjectsRemoved}
		want.NotCovered = []string{notCopies, notKeyCopies, notArtifacts, notUnderneath, notKeyParts}
	}
	if l.uploaded {
		manifest := manifestOf(l.t, map[string]int64{"a": 5, "b/c": 7})
		want.ManifestDigest, want.Objects, want.ObjectBytes = objectkey.Digest(manifest), 2, 12
		want.Versions, want.VersionBytes, want.Uploads = 6, 18+int64(len(manifest)), 1
	}
	return want
}

// TestEveryCrashPoint runs whole lives and lets every single call to the API server,
// for the key, and to the store, for data, ledger and receipts, fail in turn, before
// and after its effect, alone and as the death of the process.
func TestEveryCrashPoint(t *testing.T) {
	t.Parallel()
	faultKinds := map[string]fault{
		"call fails": {}, "answer is lost": {late: true},
		"process dies before": {kill: true}, "process dies after": {kill: true, late: true},
	}
	var points int
	for name, s := range stories() {
		quiet := &faults{}
		alive(t, quiet, func(l *life) {
			s.tell(l)
			l.checkEnd(s)
		})
		t.Logf("a dataset that %s: %d crash points", name, quiet.calls*len(faultKinds))
		points += quiet.calls * len(faultKinds)
		for kind, f := range faultKinds {
			t.Run(fmt.Sprintf("%s, %s", name, kind), func(t *testing.T) {
				t.Parallel()
				for n := 1; n <= quiet.calls; n += apitest.Stride {
					alive(t, &faults{at: n, fault: f}, func(l *life) {
						s.tell(l)
						l.checkEnd(s)
					})
					if t.Failed() {
						t.Fatalf("at call %d", n)
					}
				}
			})
		}
	}
	t.Logf("%d crash points in all, of which one in %d is tried", points, apitest.Stride)
}
