package trainingrun

import (
	"slices"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// stores plays stage-out and the broker: a checkpoint is in the store, and the newest two
// are in the status.
func (w *world) stores(ids ...string) {
	w.t.Helper()
	run := w.run()
	run.Status.Checkpoints = nil
	hasCheckpoints(ids...)(run)
	w.must(w.server.Status().Update(w.t.Context(), run))
}

func (w *world) checkpointsLeft() []string {
	w.t.Helper()
	w.depot.mu.Lock()
	defer w.depot.mu.Unlock()
	var ids []string
	for key := range w.depot.versions {
		if id, ok := objectkey.CheckpointOf(ownPrefix, key); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// trainWithCheckpoints plays a run that has stored three checkpoints and keeps two.
func trainWithCheckpoints(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, makeRun(), makeDataset())
	w.settle()
	w.podIs(training)
	w.settle()
	for _, id := range []string{"0001-000001", "0001-000002", "0001-000003"} {
		w.depot.put(objectkey.CheckpointPart(ownPrefix, id, 0)+"data/model", 10)
	}
	return w
}

func TestOldCheckpointsAreClearedAwayOnce(t *testing.T) {
	t.Parallel()
	w := trainWithCheckpoints(t)
	w.depot.put(objectkey.CheckpointPart(ownPrefix, "0001-000004", 0)+"data/half", 10) // on its way
	w.stores("0001-000002", "0001-000003")
	w.settle()
	if got := w.checkpointsLeft(); !slices.Equal(got, []string{"0001-000002", "0001-000003", "0001-000004"}) {
		t.Errorf("checkpoints %v are left", got)
	}
	calls := w.calls.total
	w.settle()
	if again := w.calls.total - calls; again > 4 {
		t.Errorf("%d calls when nothing is to do, want the run, the Namespace, the Job and the Pods", again)
	}
}

// What the store fails at holds nothing up: the run ends, and the next try comes by
// itself.
func TestOldCheckpointsDoNotHoldTheEndUp(t *testing.T) {
	t.Parallel()
	w := trainWithCheckpoints(t)
	w.stores("0001-000002", "0001-000003")
	w.podIs(succeededPod)
	w.jobIs(jobCondition(batchv1.JobComplete))
	w.depot.fail(objectstore.ErrUnavailable)
	w.settle()
	if state := w.run().Status.State; state != v1alpha1.RunSucceeded {
		t.Fatalf("the run is %s", state)
	}
	result, err := w.reconcile()
	if err != nil || result.RequeueAfter != pruneRetry {
		t.Errorf("result %+v, error %v; want another try after %s", result, err, pruneRetry)
	}
	w.depot.fail(nil)
	w.settle()
	if got := w.checkpointsLeft(); !slices.Equal(got, []string{"0001-000002", "0001-000003"}) {
		t.Errorf("checkpoints %v are left", got)
	}
	if result, err := w.reconcile(); err != nil || result != (ctrl.Result{}) {
		t.Errorf("result %+v, error %v afterwards; want neither", result, err)
	}
}

func TestARunIsDeletedAtItsTimeOnly(t *testing.T) {
	t.Parallel()
	run := makeRun(inState(v1alpha1.RunSucceeded), onceBound, guarded, func(r *v1alpha1.TrainingRun) {
		r.Spec.TTLAfterFinished = &metav1.Duration{Duration: time.Hour}
		end := at(0)
		r.Status.CompletionTime = &end
	})
	w := newWorld(t, run)
	result, err := w.reconcile()
	if err != nil || result.RequeueAfter != time.Hour || len(w.calls.writes) != 0 {
		t.Errorf("result %+v, error %v, writes %v; want another look in an hour", result, err, w.calls.writes)
	}
	w.clock.SetTime(noon.Add(time.Hour))
	w.settle()
	if got := w.run(); got != nil {
		t.Errorf("the run is still there: %+v", got.ObjectMeta)
	}
}

func TestPodsOfARunThatWasForcedToGoAreLetGo(t *testing.T) {
	t.Parallel()
	for name, successor := range map[string][]client.Object{
		"nobody has its name":  nil,
		"another has its name": {makeRun(func(r *v1alpha1.TrainingRun) { r.UID = "another" })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := makePod(training)
			w := newWorld(t, append(successor, &pod)...)
			w.settle()
			w.must(w.server.Get(t.Context(), client.ObjectKeyFromObject(&pod), &pod))
			if len(pod.Finalizers) != 0 {
				t.Errorf("the Pod is held by %v", pod.Finalizers)
			}
		})
	}
}

// The cache may show the Pod of a run before the run.
func TestPodsOfANewRunAreNotTakenForAnOldOnes(t *testing.T) {
	t.Parallel()
	pod := makePod(training)
	cache := newWorld(t, &pod)
	live := newWorld(t, makeRun())
	cache.reconciler.live = live.reconciler.client
	if _, err := cache.reconcile(); err != nil {
		t.Fatal(err)
	}
	if len(cache.calls.writes) != 0 {
		t.Errorf("writes %v, want none", cache.calls.writes)
	}
}
