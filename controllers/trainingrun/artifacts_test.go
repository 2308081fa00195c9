package trainingrun

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// doomed is a run that was trained and deleted with its artifacts, up to the moment
// in which its last Pod has gone.
func doomed(t *testing.T) *life {
	t.Helper()
	l := newLife(t, v1alpha1.ReclaimDelete, true)
	l.train()
	l.publish()
	l.remove(makeRun())
	l.settle()
	l.podGoes()
	l.calls.writes, l.events.notes = nil, nil
	return l
}

func (w *world) condition(kind string) string {
	w.t.Helper()
	c := apimeta.FindStatusCondition(w.run().Status.Conditions, kind)
	if c == nil {
		return ""
	}
	return string(c.Status) + " " + c.Reason
}

func TestARunWaitsForAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, makeRun(), makeDataset())
	w.depot.err = objectstore.ErrUnavailable
	for range 3 {
		if _, err := w.reconcile(); !errors.Is(err, objectstore.ErrUnavailable) {
			t.Fatalf("error %v, want one that brings another try", err)
		}
	}
	status := w.run().Status
	if status.State != v1alpha1.RunPending || status.Reason != v1alpha1.ReasonStoreUnavailable {
		t.Errorf("%s %s, want Pending StoreUnavailable", status.State, status.Reason)
	}
	if diff := cmp.Diff([]string{"patch *v1alpha1.TrainingRun status"}, w.calls.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Warning StoreUnavailable Bind"}, w.events.notes); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	w.depot.err = nil
	w.settle()
	if !slices.Contains(w.calls.writes, "create *v1.Job") {
		t.Error("no Job was made after the store came back")
	}
}

// The ledger may be away although the store has told who it is.
func TestNoJobWithoutALedgerRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, makeRun(), makeDataset())
	w.reconciler.ledger = failingLedger{w.depot, objectstore.ErrDenied}
	if _, err := w.reconcile(); !errors.Is(err, objectstore.ErrDenied) {
		t.Fatalf("error %v, want one that brings another try", err)
	}
	status := w.run().Status
	if status.Reason != v1alpha1.ReasonStoreUnavailable || !strings.Contains(status.Message, "refuses the operator") {
		t.Errorf("%s: %s", status.Reason, status.Message)
	}
	if slices.Contains(w.calls.writes, "create *v1.Job") || status.Dataset != nil {
		t.Error("a Job was created without a record in the ledger")
	}
	w.reconciler.ledger = w.depot
	w.settle()
	want := objectkey.LedgerRecord{
		Kind: objectkey.LedgerKind, Resource: objectkey.ResourceRun, Namespace: "team-a", UID: runUID,
		Store: testStore, Bucket: "artifacts", Prefix: ownPrefix, CreatedTime: noon,
	}
	if diff := cmp.Diff(want, w.depot.records[ownPrefix]); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

type failingLedger struct {
	Ledger
	err error
}

func (l failingLedger) Open(context.Context, objectkey.LedgerRecord) error { return l.err }

func TestARunThatWasErasedNeverStartsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, makeRun(), makeDataset())
	w.reconciler.ledger = failingLedger{w.depot, fmt.Errorf("open account: %w", ledger.ErrErased)}
	w.settle()
	status := w.run().Status
	if status.State != v1alpha1.RunFailed || status.Reason != v1alpha1.ReasonJobLost || !strings.Contains(status.Message, "backup") {
		t.Errorf("%s %s: %s", status.State, status.Reason, status.Message)
	}
	if f := status.Failure; f == nil || f.Blame != v1alpha1.BlamePlatform || f.Hint != "create a new run to train again" {
		t.Errorf("failure %+v says neither who is to blame nor what to do", f)
	}
	if slices.Contains(w.calls.writes, "create *v1.Job") {
		t.Error("a Job was created")
	}
}

func TestAnEraseCostsThreeWrites(t *testing.T) {
	t.Parallel()
	l := doomed(t)
	if _, err := l.reconcile(); err != nil {
		t.Fatal(err)
	}
	want := &v1alpha1.ErasureStatus{StartTime: at(0), InventoryTime: new(at(0)), Versions: 3, Bytes: 40, Uploads: 1}
	if diff := cmp.Diff(want, l.run().Status.ArtifactsErasure); diff != "" {
		t.Errorf("counts before the erase (-want +got):\n%s", diff)
	}
	if got := l.condition(v1alpha1.ConditionArtifactsErased); got != "False Proceeding" {
		t.Errorf("ArtifactsErased is %s", got)
	}
	if left := l.depot.left(ownPrefix); left != 4 {
		t.Fatalf("of 4 objects %d are left before the counts were written", left)
	}
	if result, err := l.reconcile(); err != nil || result.RequeueAfter == 0 {
		t.Fatalf("result %+v, error %v; want another look", result, err)
	}
	if got := l.condition(v1alpha1.ConditionArtifactsErased); got != "True Erased" {
		t.Errorf("ArtifactsErased is %s", got)
	}
	if removed := l.run().Status.ArtifactsErasure.RemovedVersions; removed != 3 {
		t.Errorf("removedVersions = %d, want 3", removed)
	}
	got := l.metrics()
	l.settle()
	l.checkEnd([]string{objectkey.LedgerErased})
	wantWrites := []string{
		"patch *v1alpha1.TrainingRun status", "patch *v1alpha1.TrainingRun status", "patch *v1alpha1.TrainingRun",
	}
	if diff := cmp.Diff(wantWrites, l.calls.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Normal Erased Erase"}, l.events.notes); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for name, want := range map[string]float64{
		"lethe_artifacts_erased_total": 1, "lethe_artifacts_erased_versions_total": 3, "lethe_artifacts_erased_bytes_total": 40,
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
}

// What holds an erase up is written and told once, however often it is tried, and the
// run goes as soon as it does not any more.
func TestWhatHoldsAnEraseUpIsTold(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		err    error
		reason string
		says   string
	}{
		"the store is away":        {objectstore.ErrUnavailable, v1alpha1.ReasonStoreUnavailable, "does not answer"},
		"the store refuses":        {objectstore.ErrDenied, v1alpha1.ReasonStoreUnavailable, "refuses the operator"},
		"the bucket is not there":  {objectstore.ErrNotFound, v1alpha1.ReasonStoreUnavailable, "does not have the bucket"},
		"a safeguard refuses":      {erasure.ErrRefused, v1alpha1.ReasonEraseRefused, "operator's log"},
		"the ledger is unreadable": {ledger.ErrMalformed, v1alpha1.ReasonEraseRefused, "operator's log"},
		"it is another store":      {erasure.ErrUnknownStore, v1alpha1.ReasonUnknownStore, "not the one"},
		"data is left":             {erasure.ErrIncomplete, v1alpha1.ReasonEraseIncomplete, "full pass"},
		"an object lock": {
			&erasure.LockedError{Until: time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)}, v1alpha1.ReasonObjectLock, "2031-05-06T07:08:09Z",
		},
		"an object lock on the bucket": {&erasure.LockedError{}, v1alpha1.ReasonObjectLock, "a bucket without one"},
	}
	for name, c := range cases {
		for _, tries := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s, after %d steps", name, tries), func(t *testing.T) {
				t.Parallel()
				l := doomed(t)
				for range tries {
					if _, err := l.reconcile(); err != nil {
						t.Fatal(err)
					}
				}
				l.calls.writes = nil
				l.depot.err = c.err
				for range 3 {
					if _, err := l.reconcile(); !errors.Is(err, c.err) {
						t.Fatalf("error %v, want one that brings another try", err)
					}
				}
				condition := apimeta.FindStatusCondition(l.run().Status.Conditions, v1alpha1.ConditionArtifactsErased)
				if condition == nil || condition.Status != "False" || condition.Reason != c.reason || !strings.Contains(condition.Message, c.says) {
					t.Errorf("condition %+v, want %s that says %q", condition, c.reason, c.says)
				}
				if len(l.calls.writes) != 1 {
					t.Errorf("%d writes, want 1", len(l.calls.writes))
				}
				if diff := cmp.Diff([]string{"Warning " + c.reason + " Erase"}, l.events.notes); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if !slices.Contains(blockReasons, c.reason) {
					t.Errorf("%s is no reason that the metrics know", c.reason)
				}
				if got := l.metrics()["lethe_artifacts_erase_blocked reason="+c.reason]; got != 1 {
					t.Errorf("%v runs are blocked by %s, want 1", got, c.reason)
				}
				l.depot.err = nil
				l.settle()
				l.checkEnd([]string{objectkey.LedgerErased})
				if got := l.metrics()["lethe_artifacts_erase_blocked reason="+c.reason]; got != 0 {
					t.Errorf("%v runs are blocked by %s afterwards", got, c.reason)
				}
			})
		}
	}
}

func TestArtifactsGoWithTheirNamespace(t *testing.T) {
	t.Parallel()
	for name, finalizers := range map[string][]string{
		"that is being deleted":      {"test/contents"},
		"that somebody forced to go": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLife(t, v1alpha1.ReclaimRetain, true)
			l.train()
			l.publish()
			var namespace corev1.Namespace
			l.must(l.server.Get(t.Context(), client.ObjectKey{Name: "team-a"}, &namespace))
			namespace.Finalizers = finalizers
			l.must(l.server.Update(t.Context(), &namespace))
			l.losesNamespace()
			l.checkEnd([]string{objectkey.LedgerErased})
		})
	}
}

// lyingEraser says that it has removed everything.
type lyingEraser struct{ Eraser }

func (lyingEraser) Erase(context.Context, erasure.Target, func(erasure.Inventory)) (erasure.Inventory, error) {
	return erasure.Inventory{}, nil
}

func TestAnEraseIsMeasured(t *testing.T) {
	t.Parallel()
	l := doomed(t)
	if _, err := l.reconcile(); err != nil {
		t.Fatal(err)
	}
	l.reconciler.eraser = lyingEraser{l.depot}
	if _, err := l.reconcile(); !errors.Is(err, erasure.ErrIncomplete) {
		t.Errorf("error %v, want %v", err, erasure.ErrIncomplete)
	}
	if got := l.condition(v1alpha1.ConditionArtifactsErased); got != "False EraseIncomplete" {
		t.Errorf("ArtifactsErased is %s", got)
	}
	if len(l.depot.receipts) != 0 || len(l.depot.told()) != 0 {
		t.Errorf("receipts %v, ledger %v", l.depot.receipts, l.depot.told())
	}
}

func TestNothingIsErasedAtAnotherStore(t *testing.T) {
	t.Parallel()
	l := doomed(t)
	l.depot.identity = strings.Repeat("6b", 16)
	if _, err := l.reconcile(); !errors.Is(err, erasure.ErrUnknownStore) {
		t.Errorf("error %v, want %v", err, erasure.ErrUnknownStore)
	}
	if got := l.condition(v1alpha1.ConditionArtifactsErased); got != "False UnknownStore" {
		t.Errorf("ArtifactsErased is %s", got)
	}
	if left := l.depot.left(ownPrefix); left != 4 {
		t.Errorf("of 4 objects %d are left", left)
	}
}

// A run that had a Job before there was a ledger gets its record at its end.
func TestARunFromBeforeTheLedger(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy v1alpha1.ReclaimPolicy
		told   string
	}{
		"its artifacts go":   {v1alpha1.ReclaimDelete, objectkey.LedgerErased},
		"its artifacts stay": {v1alpha1.ReclaimRetain, objectkey.LedgerRetained},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLife(t, c.policy, c.policy == v1alpha1.ReclaimDelete)
			l.train()
			l.publish()
			delete(l.depot.records, ownPrefix)
			l.isDeleted()
			l.checkEnd([]string{c.told})
			if _, there := l.depot.records[ownPrefix]; !there {
				t.Error("there is no record of what was there")
			}
		})
	}
}

// A run that was let go once and came back, because etcd was restored, goes again
// without another erase.
func TestARunThatIsErasedAlreadyIsLetGo(t *testing.T) {
	t.Parallel()
	l := doomed(t)
	l.must(l.depot.Note(t.Context(), "team-a", runUID, objectkey.LedgerEvent{
		Kind: objectkey.LedgerKind, Event: objectkey.LedgerErased, Time: noon, ReceiptDigest: digest,
	}))
	_, err := l.reconcile()
	if err != nil || l.run() != nil {
		t.Errorf("the run is still there (error %v)", err)
	}
}

func TestProgressIsShownEveryTenSeconds(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		// each removal takes so long.
		each time.Duration
		// conflict says that the dataset is erased during the third removal.
		conflict bool
		// shown before each of the four removals: of a version, an upload, and two
		// versions.
		shown  []int64
		writes int
	}{
		"a quick erase tells its end only":                {each: 2 * time.Second, shown: []int64{0, 0, 0, 0}, writes: 1},
		"a slow one tells every ten seconds":              {each: 4 * time.Second, shown: []int64{0, 0, 0, 2}, writes: 2},
		"a slower one tells each step":                    {each: 11 * time.Second, shown: []int64{0, 1, 1, 2}, writes: 4},
		"a step in which somebody else wrote is left out": {each: 11 * time.Second, conflict: true, shown: []int64{0, 1, 1, 1}, writes: 4},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := doomed(t)
			if _, err := l.reconcile(); err != nil {
				t.Fatal(err)
			}
			l.calls.writes = nil
			var shown []int64
			l.depot.removing = func() {
				shown = append(shown, l.run().Status.ArtifactsErasure.RemovedVersions)
				if c.conflict && len(shown) == 3 {
					l.erasesDataset()
				}
				l.clock.SetTime(l.clock.Now().Add(c.each))
			}
			if _, err := l.reconcile(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.shown, shown); diff != "" {
				t.Errorf("removedVersions before each removal (-want +got):\n%s", diff)
			}
			if removed := l.run().Status.ArtifactsErasure.RemovedVersions; removed != 3 {
				t.Errorf("removedVersions = %d after the erase, want 3", removed)
			}
			if got := l.condition(v1alpha1.ConditionArtifactsErased); got != "True Erased" {
				t.Errorf("ArtifactsErased is %q", got)
			}
			if got := l.condition(v1alpha1.ConditionDatasetErased); c.conflict && got != "True Erased" {
				t.Errorf("DatasetErased is %q", got)
			}
			if len(l.calls.writes) != c.writes {
				t.Errorf("%d writes, want %d (one that meets another counts)", len(l.calls.writes), c.writes)
			}
		})
	}
}

// atTheStore takes all turns, as others would that are at work.
func atTheStore(turns turns) (leave func()) {
	for range cap(turns) {
		turns <- struct{}{}
	}
	return func() {
		for range cap(turns) {
			turns.give()
		}
	}
}

// wantBusy wants that nothing happens, nothing is said to be wrong, and that it is
// tried again.
func (l *life) wantBusy() {
	l.t.Helper()
	writes, left := len(l.calls.writes), l.depot.left(ownPrefix)
	result, err := l.reconcile()
	if err != nil || result.RequeueAfter != busyRetry {
		l.t.Errorf("result %+v, error %v; want another look after %s", result, err, busyRetry)
	}
	if len(l.calls.writes) != writes || l.depot.left(ownPrefix) != left || len(l.events.notes) != 0 {
		l.t.Errorf("writes %v, %d of %d objects left, events %v", l.calls.writes[writes:], l.depot.left(ownPrefix), left, l.events.notes)
	}
}

func TestErasesWaitForATurnAndStartsDoNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := doomed(t)
		leave := atTheStore(l.reconciler.erases)
		l.wantBusy() // to count
		leave()
		if _, err := l.reconcile(); err != nil {
			t.Fatal(err)
		}
		leave = atTheStore(l.reconciler.erases)
		l.wantBusy() // to erase
		started := newWorld(t, makeRun(), makeDataset())
		started.reconciler.erases = l.reconciler.erases
		started.settle()
		if !slices.Contains(started.calls.writes, "create *v1.Job") {
			t.Error("a run that starts meanwhile has no Job")
		}
		leave()
		l.settle()
		l.checkEnd([]string{objectkey.LedgerErased})
		if held := len(l.reconciler.erases) + len(l.reconciler.briefs); held != 0 {
			t.Errorf("%d turns were not given back", held)
		}
	})
}

func TestShortCallsWaitForATurnToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, v1alpha1.ReclaimDelete, true)
		leave := atTheStore(l.reconciler.briefs)
		l.wantBusy()
		leave()
		l.train()
		l.calls.writes, l.events.notes = nil, nil
		leave = atTheStore(l.reconciler.briefs)
		l.publish() // needs no store
		leave()
		l.remove(makeRun())
		l.settle()
		l.podGoes()
		l.events.notes = nil
		leave = atTheStore(l.reconciler.briefs)
		l.wantBusy()
		leave()
		l.settle()
		l.checkEnd([]string{objectkey.LedgerErased})
	})
}

// hangingStore never answers.
type hangingStore struct{ Eraser }

func (hangingStore) Identity(ctx context.Context, _ string) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

func (hangingStore) Erase(ctx context.Context, _ erasure.Target, _ func(erasure.Inventory)) (erasure.Inventory, error) {
	<-ctx.Done()
	return erasure.Inventory{}, ctx.Err()
}

// An erase whose time is over goes on later; that is no fault of the store's.
func TestAnEraseIsCutOffInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := doomed(t)
		if _, err := l.reconcile(); err != nil {
			t.Fatal(err)
		}
		l.reconciler.eraser = hangingStore{l.depot}
		begin := time.Now() //nolint:forbidigo // the time inside the bubble
		l.wantBusy()
		if took := time.Since(begin); took != eraseTimeout { //nolint:forbidigo // the time inside the bubble
			t.Errorf("took %s, want %s", took, eraseTimeout)
		}
		if got := l.condition(v1alpha1.ConditionArtifactsErased); got != "False Proceeding" {
			t.Errorf("ArtifactsErased is %s", got)
		}
		l.reconciler.eraser = l.depot
		l.settle()
		l.checkEnd([]string{objectkey.LedgerErased})
	})
}

func TestAStoreThatHangsHoldsFewWorkersForAMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, makeRun(), makeDataset())
		w.reconciler.eraser = hangingStore{w.depot}
		begin := time.Now() //nolint:forbidigo // the time inside the bubble
		_, err := w.reconcile()
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took != storeTimeout { //nolint:forbidigo // the time inside the bubble
			t.Errorf("error %v after %s, want one after %s", err, took, storeTimeout)
		}
		if got := w.run().Status.Reason; got != v1alpha1.ReasonStoreUnavailable {
			t.Errorf("reason %s", got)
		}
		if free := workers - maxErases - maxBriefs; free < workers/2 {
			t.Errorf("%d of %d workers are left for following runs", free, workers)
		}
	})
}

// What the datasetretention controller says about the erase of the dataset stays in
// the status, whatever is reported about the run.
func TestReportLeavesTheDatasetsEraseAlone(t *testing.T) {
	t.Parallel()
	for name, c := range allCases() {
		if c.observed.Run == nil || c.observed.Run.Status.Dataset == nil {
			continue
		}
		for _, actErr := range []error{nil, atStore(objectstore.ErrUnavailable), errBusy} {
			t.Run(fmt.Sprintf("%s, error %v", name, actErr), func(t *testing.T) {
				t.Parallel()
				o := c.observed
				o.Run = o.Run.DeepCopy()
				o.Run.Status.Dataset.ReceiptDigest = digest
				apimeta.SetStatusCondition(&o.Run.Status.Conditions, datasetErased)
				status := report(o, decide(o, testOptions), actErr, testOptions)
				if diff := cmp.Diff(o.Run.Status.Dataset, status.Dataset); diff != "" {
					t.Errorf("dataset (-want +got):\n%s", diff)
				}
				got := apimeta.FindStatusCondition(status.Conditions, v1alpha1.ConditionDatasetErased)
				if diff := cmp.Diff(&datasetErased, got); diff != "" {
					t.Errorf("DatasetErased (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// A status that was computed before somebody else wrote is not written over theirs.
func TestAnOutdatedStatusIsNotWritten(t *testing.T) {
	t.Parallel()
	l := newLife(t, v1alpha1.ReclaimRetain, false)
	l.train()
	stale := l.run()
	l.erasesDataset()
	status := *stale.Status.DeepCopy()
	status.Message = "another"
	if _, err := l.reconciler.writeStatus(t.Context(), stale, status); !apierrors.IsConflict(err) {
		t.Errorf("error %v, want a conflict", err)
	}
	l.publish()
	if got := l.condition(v1alpha1.ConditionDatasetErased); got != "True Erased" {
		t.Errorf("DatasetErased is %q after the run went on", got)
	}
	if got := l.run().Status.Dataset.ReceiptDigest; got != digest {
		t.Errorf("receiptDigest is %q after the run went on", got)
	}
}

// A run that has ended is not read or written any more when its dataset is erased.
func TestTheEraseOfItsDatasetDoesNotWakeARunThatHasEnded(t *testing.T) {
	t.Parallel()
	l := newLife(t, v1alpha1.ReclaimRetain, false)
	l.train()
	l.publish()
	l.erasesDataset()
	calls, writes := l.calls.total, len(l.calls.writes)
	result, err := l.reconcile()
	if err != nil || result != (ctrl.Result{}) {
		t.Errorf("result %+v, error %v; want neither", result, err)
	}
	if l.calls.total != calls+2 || len(l.calls.writes) != writes {
		t.Errorf("%d calls, %d writes; want two looks at the cache", l.calls.total-calls, len(l.calls.writes)-writes)
	}
}
