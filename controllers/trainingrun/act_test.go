package trainingrun

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// trainWell plays a run that ends well, from its creation to its success.
func trainWell(w *world) {
	w.settle()
	w.podIs()
	w.settle()
	w.podIs(staged, runs(staging.ContainerTrainer), runs(staging.ContainerStageOut))
	w.settle()
	w.podIs(staged, trained, runs(staging.ContainerStageOut))
	w.settle()
	w.podIs(succeededPod)
	w.settle()
	w.jobIs(jobCondition(batchv1.JobComplete))
	w.settle()
}

// deleteIt plays the deletion of the run, with the garbage collector.
func deleteIt(w *world) {
	w.remove(makeRun())
	w.settle()
	w.podGoes()
	w.settle()
}

// The states in between last less than is worth a write here.
func TestARunThatFindsEverythingReadyCostsFourWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t, makeRun(), makeDataset())
	trainWell(w)
	want := []string{
		"patch *v1alpha1.TrainingRun",
		"create *v1.Job",
		"patch *v1alpha1.TrainingRun status", // Training
		"patch *v1alpha1.TrainingRun status", // Published
		"patch *v1.Pod",
	}
	if diff := cmp.Diff(want, w.calls.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Normal Training Follow", "Normal Published Finish"}, w.events.notes); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	var pod corev1.Pod
	own := makePod()
	w.must(w.server.Get(t.Context(), client.ObjectKeyFromObject(&own), &pod))
	if len(pod.Finalizers) != 0 {
		t.Errorf("the Pod is still held by %v", pod.Finalizers)
	}
}

func TestMetricsOfARunThatEndsWell(t *testing.T) {
	t.Parallel()
	w := newWorld(t, makeRun(), makeDataset())
	trainWell(w)
	want := map[string]float64{
		"lethe_attempts_total reason=Published result=Succeeded":           1,
		"lethe_gpu_seconds_total":                                          1200,
		"lethe_runs_ended_total blame= outcome=Succeeded reason=Published": 1,
		"lethe_run_start_seconds":                                          120,
		"lethe_runs state=Succeeded":                                       1,
	}
	if diff := cmp.Diff(want, gathered(t, w.registry)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// metrics are all that the reconciler has counted, by name and labels.
func (w *world) metrics() map[string]float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	w.must(err)
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.Metric {
			name := family.GetName()
			for _, label := range metric.Label {
				name += " " + label.GetName() + "=" + label.GetValue()
			}
			// A metric is of one kind; the others are zero.
			got[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + metric.GetHistogram().GetSampleSum()
		}
	}
	return got
}

func TestMetricsRegisterOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := NewMetrics(w.registry); err == nil {
		t.Error("a second registration in one registry gave no error")
	}
}

// Whichever call fails, the same run, with one Job, comes out in the end.
func TestEveryFailedCallIsMadeUpFor(t *testing.T) {
	t.Parallel()
	undisturbed := newWorld(t, makeRun(), makeDataset())
	trainWell(undisturbed)
	want := undisturbed.run().Status
	if want.State != v1alpha1.RunSucceeded {
		t.Fatalf("the undisturbed run is %s: %s", want.State, want.Message)
	}
	calls := undisturbed.calls.total
	for n := 1; n <= calls; n++ {
		t.Run(fmt.Sprintf("call %d", n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, makeRun(), makeDataset())
			w.calls.failAt = n
			trainWell(w)
			if diff := cmp.Diff(want, w.run().Status); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			created := slices.DeleteFunc(slices.Clone(w.calls.writes), func(s string) bool { return s != "create *v1.Job" })
			if len(created) != 1 {
				t.Errorf("%d Jobs were created", len(created))
			}
		})
	}
}

func TestEveryFailedCallOfADeletionIsMadeUpFor(t *testing.T) {
	t.Parallel()
	objects := func() []client.Object {
		pod := makePod(staged, runs(staging.ContainerTrainer))
		return []client.Object{makeRun(inState(v1alpha1.RunRunning), onceBound, guarded), makeJob(), &pod}
	}
	undisturbed := newWorld(t, objects()...)
	deleteIt(undisturbed)
	calls := undisturbed.calls.total
	for n := 0; n <= calls; n++ {
		t.Run(fmt.Sprintf("call %d", n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, objects()...)
			w.calls.failAt = n
			w.remove(makeRun())
			w.settle()
			w.podGoes()
			var spent *v1alpha1.Usage
			for range 10 {
				if _, err := w.reconcile(); err == nil && w.run() == nil {
					break
				}
				if run := w.run(); run != nil && run.Status.Usage != nil {
					spent = run.Status.Usage
				}
			}
			if spent == nil || spent.GPUSeconds != 1200 {
				t.Errorf("the run went with the usage %+v, want that of its Pod", spent)
			}
			if run := w.run(); run != nil {
				t.Errorf("the run is still there: finalizers %v, %s", run.Finalizers, run.Status.Message)
			}
			var job batchv1.Job
			if err := w.server.Get(t.Context(), client.ObjectKeyFromObject(makeJob()), &job); !apierrors.IsNotFound(err) {
				t.Errorf("the Job is still there: %v", err)
			}
		})
	}
}

func TestADeletedRunIsHeldUntilItsPodIsGone(t *testing.T) {
	t.Parallel()
	pod := makePod(staged, runs(staging.ContainerTrainer))
	w := newWorld(t, makeRun(inState(v1alpha1.RunRunning), onceBound, guarded), makeJob(), &pod)
	w.remove(makeRun())
	w.settle()
	run := w.run()
	if run == nil {
		t.Fatal("the run was let go while its Pod runs")
	}
	if run.Status.Reason != v1alpha1.ReasonEnding {
		t.Errorf("reason %q, want %q", run.Status.Reason, v1alpha1.ReasonEnding)
	}
	w.podGoes()
	w.settle()
	if w.run() != nil {
		t.Error("the run was not let go after its Pod")
	}
}

// A conflict means that the run was written by somebody else, whose event brings
// the next pass; it is no error for the log.
func TestAConflictIsNotAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, makeRun())
	w.calls.err = apierrors.NewConflict(v1alpha1.Resource("trainingruns"), "r", errors.New("newer"))
	w.calls.failAt = 6 // run, namespace, job, dataset, pods, then the status
	if _, err := w.reconcile(); err != nil {
		t.Errorf("a conflict is an error: %v", err)
	}
	if len(w.calls.writes) != 0 || len(w.events.notes) != 0 {
		t.Errorf("writes %v, events %v after a conflict, want none", w.calls.writes, w.events.notes)
	}
	w.settle()
	if got := w.run().Status.Reason; got != v1alpha1.ReasonDatasetNotFound {
		t.Errorf("reason %q after the conflict", got)
	}
}

func TestTwoHundredFinishedRunsCauseNoWrite(t *testing.T) {
	t.Parallel()
	const count = 200
	var objects []client.Object
	for n := range count {
		state := v1alpha1.RunSucceeded
		if n%2 == 0 {
			state = v1alpha1.RunFailed
		}
		objects = append(objects, makeRun(inState(state), onceBound, guarded, func(r *v1alpha1.TrainingRun) {
			r.Name = fmt.Sprintf("r-%d", n)
		}))
	}
	w := newWorld(t, objects...)
	for _, o := range objects {
		result, err := w.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(o)})
		if err != nil || result.RequeueAfter != 0 {
			t.Fatalf("result %+v, error %v; want neither", result, err)
		}
	}
	if len(w.calls.writes) != 0 {
		t.Errorf("%d writes, want none: %v", len(w.calls.writes), w.calls.writes)
	}
	if w.calls.total != 2*count {
		t.Errorf("%d reads for %d finished runs, want two each: the run and its Pods", w.calls.total, count)
	}
}

func TestAForeignJobIsNeverTouched(t *testing.T) {
	t.Parallel()
	w := newWorld(t, makeRun(), makeDataset(), makeJob(foreign))
	w.settle()
	run := w.run()
	if run.Status.Reason != v1alpha1.ReasonJobNotOwned {
		t.Errorf("reason %q, want %q", run.Status.Reason, v1alpha1.ReasonJobNotOwned)
	}
	if len(run.Finalizers) != 0 {
		t.Errorf("finalizers %v were put on before the Job's owner was known", run.Finalizers)
	}
	result, err := w.reconcile()
	if err != nil || result.RequeueAfter != foreignInterval {
		t.Errorf("result %+v, error %v; want another look after %s", result, err, foreignInterval)
	}
	w.remove(makeJob())
	w.settle()
	if !slices.Contains(w.calls.writes, "create *v1.Job") {
		t.Error("no Job was made after the foreign one was gone")
	}
}

// The cache may still show a ready dataset when it is being erased already.
func TestTheFenceReadsTheDatasetLive(t *testing.T) {
	t.Parallel()
	cache := newWorld(t, makeRun(), makeDataset())
	live := newWorld(t, makeRun(), makeDataset(erasing))
	cache.reconciler.live = live.reconciler.client
	if _, err := cache.reconcile(); err != nil {
		t.Fatal(err)
	}
	status := cache.run().Status
	if status.State != v1alpha1.RunFailed || status.Reason != v1alpha1.ReasonDatasetErasing {
		t.Errorf("%s %s, want Failed DatasetErasing", status.State, status.Reason)
	}
	if slices.Contains(cache.calls.writes, "create *v1.Job") {
		t.Error("a Job was created on a dataset that is being erased")
	}
}

// The cache may not show the Job yet that the status already speaks of.
func TestAJobIsNotLostBecauseTheCacheIsBehind(t *testing.T) {
	t.Parallel()
	run := makeRun(inState(v1alpha1.RunStarting), onceBound, guarded)
	cache := newWorld(t, run)
	live := newWorld(t, run, makeJob())
	cache.reconciler.live = live.reconciler.client
	if _, err := cache.reconcile(); err != nil {
		t.Fatal(err)
	}
	if status := cache.run().Status; status.State != v1alpha1.RunStarting {
		t.Errorf("%s %s, want Starting", status.State, status.Reason)
	}
}

func TestARefusedPodIsExplained(t *testing.T) {
	t.Parallel()
	job := makeJob(func(j *batchv1.Job) { j.CreationTimestamp = at(-time.Minute) })
	event := func(name, message string, ago time.Duration) *corev1.Event {
		return &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Name: name, Namespace: "team-a"},
			InvolvedObject: corev1.ObjectReference{Kind: "Job", Name: "r", UID: jobUID},
			Reason:         "FailedCreate", Message: message, LastTimestamp: at(-ago),
		}
	}
	w := newWorld(t, makeRun(inState(v1alpha1.RunStarting), onceBound, guarded), job,
		event("old", `Error creating: pods "r-1" is forbidden: old`, time.Minute),
		event("new", `Error creating: pods "r-2" is forbidden: exceeded quota`, time.Second))
	w.settle()
	status := w.run().Status
	want := "the cluster refuses the run's Pod and is asked again: forbidden: exceeded quota"
	if status.Reason != v1alpha1.ReasonPodRejected || status.Message != want {
		t.Errorf("%s: %q, want %s: %q", status.Reason, status.Message, v1alpha1.ReasonPodRejected, want)
	}
}

func TestOnlyWaitingRunsAreWokenByADataset(t *testing.T) {
	t.Parallel()
	other := func(name string, mods ...func(*v1alpha1.TrainingRun)) *v1alpha1.TrainingRun {
		return makeRun(append(mods, func(r *v1alpha1.TrainingRun) { r.Name = name })...)
	}
	w := newWorld(t, makeRun(),
		other("bound", inState(v1alpha1.RunRunning), onceBound),
		other("ended", inState(v1alpha1.RunFailed)),
		other("elsewhere", func(r *v1alpha1.TrainingRun) { r.Spec.DatasetRef.Name = "e" }))
	got := w.reconciler.runsWaitingFor(t.Context(), makeDataset())
	want := []ctrl.Request{{NamespacedName: client.ObjectKey{Namespace: "team-a", Name: "r"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("woken runs (-want +got):\n%s", diff)
	}
}

func TestAPodWakesItsRun(t *testing.T) {
	t.Parallel()
	pod := makePod()
	want := []ctrl.Request{{NamespacedName: client.ObjectKey{Namespace: "team-a", Name: "r"}}}
	if diff := cmp.Diff(want, runOfPod(t.Context(), &pod)); diff != "" {
		t.Errorf("woken runs (-want +got):\n%s", diff)
	}
	if got := runOfPod(t.Context(), &corev1.Pod{}); got != nil {
		t.Errorf("a Pod without a run wakes %v", got)
	}
}

func TestNewNeedsEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	whole := Dependencies{
		Client: w.server, Live: w.server, Recorder: w.events,
		Metrics: w.reconciler.metrics, Clock: w.reconciler.clock,
		Eraser: w.depot, Ledger: w.depot, Receipts: w.depot,
	}
	if _, err := New(whole, testOptions); err != nil {
		t.Fatalf("complete: %v", err)
	}
	withoutClock := whole
	withoutClock.Clock = nil
	if _, err := New(withoutClock, testOptions); err == nil {
		t.Error("a missing clock gave no error")
	}
	withoutLedger := whole
	withoutLedger.Ledger = nil
	if _, err := New(withoutLedger, testOptions); err == nil {
		t.Error("a missing ledger gave no error")
	}
	withoutBucket := testOptions
	withoutBucket.ArtifactsBucket = ""
	if _, err := New(whole, withoutBucket); err == nil || !strings.Contains(err.Error(), "ArtifactsBucket") {
		t.Errorf("a missing bucket gave %v", err)
	}
}
