package trainingrun

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/hack/apitest"
)

// life is one run's whole life and the end of its artifacts, beside a neighbour's
// that must not notice.
type life struct {
	*world
	// erases says that nothing of the artifacts may outlive the run.
	erases bool
	// published says that the run has published what it trained.
	published bool
	// ending is how many calls were made when the end began.
	ending int
}

// settle reconciles until nothing changes any more, restarting after every error.
func (l *life) settle() {
	l.t.Helper()
	for range 30 {
		writes := len(l.calls.writes)
		_, err := l.reconcile()
		l.checkInvariants()
		if err != nil || l.calls.dead {
			l.restart()
			continue
		}
		if writes == len(l.calls.writes) {
			return
		}
	}
	l.t.Fatalf("does not settle; writes: %v", l.calls.writes)
}

// checkInvariants is called after every single reconcile.
func (l *life) checkInvariants() {
	l.t.Helper()
	run, left, told := l.run(), l.depot.left(ownPrefix), l.depot.told()
	_, recorded := l.depot.records[ownPrefix]
	guarded := run != nil && controllerutil.ContainsFinalizer(run, v1alpha1.FinalizerRun)
	var job batchv1.Job
	err := l.server.Get(l.t.Context(), client.ObjectKeyFromObject(makeJob()), &job)
	if err == nil && (!recorded || !guarded) {
		l.t.Fatalf("there is a Job, but no record of it (%v) or no finalizer (%v)", recorded, guarded)
	}
	if l.erases && left > 0 && recorded && !guarded {
		l.t.Fatalf("the run was let go, and %d of its objects are left", left)
	}
	if run == nil && recorded && len(told) == 0 {
		l.t.Fatal("the run was let go, and the ledger does not know what became of its artifacts")
	}
	if slices.Contains(told, objectkey.LedgerErased) && len(l.depot.receipts) != 1 {
		l.t.Fatalf("erased, with %d receipts", len(l.depot.receipts))
	}
	if len(l.depot.receipts) > 0 && left > 0 {
		l.t.Fatalf("a receipt, and %d objects are left", left)
	}
	if theirs := l.depot.left(neighbourPrefix); theirs != 2 {
		l.t.Fatalf("of the neighbour's two objects %d are left", theirs)
	}
}

// train plays a run until it uploads.
func (l *life) train() {
	l.settle()
	l.podIs(staged, runs(staging.ContainerTrainer), runs(staging.ContainerStageOut))
	l.settle()
	l.depot.put(ownPrefix+"data/model", 30)
	l.depot.put(ownPrefix+"data/curve", 4)
	l.depot.mu.Lock()
	l.depot.uploads[ownPrefix+"data/half"] = true
	l.depot.mu.Unlock()
}

// publish plays the rest.
func (l *life) publish() {
	l.podIs(staged, trained, runs(staging.ContainerStageOut))
	l.settle()
	l.depot.put(ownPrefix+"manifest.jsonl", 6)
	l.podIs(succeededPod)
	l.settle()
	l.jobIs(jobCondition(batchv1.JobComplete))
	l.settle()
	l.published = true
}

// erasesDataset plays the datasetretention controller.
func (l *life) erasesDataset() {
	l.t.Helper()
	run := l.run()
	run.Status.Dataset.ReceiptDigest = digest
	run.Status.Conditions = append(run.Status.Conditions, datasetErased)
	l.must(l.server.Status().Update(l.t.Context(), run))
}

var datasetErased = metav1.Condition{
	Type: v1alpha1.ConditionDatasetErased, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonErased,
	Message: "said by somebody else", LastTransitionTime: at(time.Hour),
}

// isDeleted plays the deletion of the run, with the garbage collector.
func (l *life) isDeleted() {
	if l.ending == 0 {
		l.ending = l.calls.total
	}
	l.remove(makeRun())
	l.settle()
	l.podGoes()
	l.settle()
}

func (l *life) losesNamespace() {
	l.ending = l.calls.total
	l.remove(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team-a"}})
	l.isDeleted()
}

// end is a way in which a run and its artifacts can end.
type end struct {
	policy v1alpha1.ReclaimPolicy
	erases bool
	live   func(*life)
	// told is what the ledger says then.
	told []string
	// whole says to try the crash points of the life before, too.
	whole bool
}

// lives are all of them.
func lives() map[string]end {
	after := func(end func(*life)) func(*life) {
		return func(l *life) {
			l.train()
			l.publish()
			l.erasesDataset()
			end(l)
		}
	}
	return map[string]end{
		"is deleted with its artifacts": {
			policy: v1alpha1.ReclaimDelete, erases: true, live: after((*life).isDeleted),
			told: []string{objectkey.LedgerErased}, whole: true,
		},
		"leaves its artifacts": {
			policy: v1alpha1.ReclaimRetain, live: after((*life).isDeleted),
			told: []string{objectkey.LedgerRetained},
		},
		"goes with its namespace": {
			policy: v1alpha1.ReclaimRetain, erases: true, live: after((*life).losesNamespace),
			told: []string{objectkey.LedgerErased},
		},
		"is deleted in the middle of its upload": {
			policy: v1alpha1.ReclaimDelete, erases: true, live: func(l *life) {
				l.train()
				l.isDeleted()
			},
			told: []string{objectkey.LedgerErased},
		},
	}
}

func newLife(t *testing.T, policy v1alpha1.ReclaimPolicy, erases bool) *life {
	t.Helper()
	run := makeRun(func(r *v1alpha1.TrainingRun) { r.Spec.Artifacts.ReclaimPolicy = policy })
	return &life{world: newWorld(t, run, makeDataset()), erases: erases}
}

// checkEnd wants the same end, whatever happened on the way.
func (l *life) checkEnd(told []string) {
	l.t.Helper()
	if run := l.run(); run != nil {
		l.t.Fatalf("the run is still there: finalizers %v, %s, %+v", run.Finalizers, run.Status.Message, run.Status.Conditions)
	}
	var job batchv1.Job
	if err := l.server.Get(l.t.Context(), client.ObjectKeyFromObject(makeJob()), &job); !apierrors.IsNotFound(err) {
		l.t.Errorf("the Job is still there: %v", err)
	}
	wantLeft := 4
	if l.erases {
		wantLeft = 0
	}
	if left := l.depot.left(ownPrefix); left != wantLeft {
		l.t.Errorf("%d objects are left, want %d", left, wantLeft)
	}
	if diff := cmp.Diff(told, l.depot.told()); diff != "" {
		l.t.Errorf("ledger (-want +got):\n%s", diff)
	}
	receipts := map[string]objectkey.EraseReceipt{}
	if l.erases {
		receipts[ownPrefix] = l.receipt()
		if got := l.depot.events[ownPrefix][0].ReceiptDigest; got != digest {
			l.t.Errorf("the ledger names the receipt %q", got)
		}
	}
	if diff := cmp.Diff(receipts, l.depot.receipts); diff != "" {
		l.t.Errorf("receipts (-want +got):\n%s", diff)
	}
}

// receipt is the one that is wanted.
func (l *life) receipt() objectkey.EraseReceipt {
	want := objectkey.EraseReceipt{
		Kind: objectkey.ReceiptKind, Resource: objectkey.ResourceRun, Namespace: "team-a", UID: runUID,
		Store: testStore, Bucket: "artifacts", Prefix: ownPrefix, Trigger: objectkey.TriggerDeleted,
		Methods: []string{objectkey.MethodObjectsRemoved}, Versions: 2, VersionBytes: 34, Uploads: 1,
		StartTime: noon, EndTime: noon, NotCovered: notCovered,
	}
	if l.published {
		want.ManifestDigest, want.Objects, want.ObjectBytes = digest, 3, 4096
		want.Versions, want.VersionBytes = 3, 40
	}
	return want
}

// TestEveryCrashPoint lives whole lives and lets every single call to the API server
// and to the store fail in turn, before and after its effect, alone and as the death
// of the process.
func TestEveryCrashPoint(t *testing.T) {
	t.Parallel()
	kinds := map[string]struct{ late, kill bool }{
		"call fails": {}, "answer is lost": {late: true},
		"process dies before": {kill: true}, "process dies after": {kill: true, late: true},
	}
	for name, c := range lives() {
		quiet := newLife(t, c.policy, c.erases)
		c.live(quiet)
		quiet.checkEnd(c.told)
		// The way to the end is the same in all lives, and is tried in one of them.
		first, last := quiet.ending+1, quiet.calls.total
		if c.whole {
			first = 1
		}
		t.Logf("a run that %s: %d crash points, of which one in %d is tried", name, (last-first+1)*len(kinds), apitest.Stride)
		for kind, fault := range kinds {
			t.Run(fmt.Sprintf("%s, %s", name, kind), func(t *testing.T) {
				t.Parallel()
				for n := first; n <= last; n += apitest.Stride {
					l := newLife(t, c.policy, c.erases)
					l.calls.failAt, l.calls.late, l.calls.kill = n, fault.late, fault.kill
					c.live(l)
					l.checkEnd(c.told)
					if t.Failed() {
						t.Fatalf("at call %d", n)
					}
				}
			})
		}
	}
}
