package trainingrun

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/internal/index"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// world is an API server in memory, with a reconciler that talks to it through a
// client that counts its calls and can fail one of them. The test itself talks
// to the server directly and plays the scheduler, the kubelet and the others.
type world struct {
	t          *testing.T
	server     client.WithWatch
	reconciler *Reconciler
	calls      *callLog
	events     *eventLog
	registry   *prometheus.Registry
	depot      *depot
	// parts are those at the store, as a new process makes them.
	parts func() (Eraser, Ledger, Receipts)
	clock *clocktesting.FakePassiveClock
}

// callLog records the calls of the reconciler, to the API server and to the store,
// and lets one of them fail.
type callLog struct {
	mu     sync.Mutex
	total  int
	writes []string
	// effects are the numbers of the calls that change something.
	effects []int
	// failAt is the number of the call that fails; 0: none does.
	failAt int
	// err is what a call to the API server fails with.
	err error
	// late lets the call take effect before it fails.
	late bool
	// kill makes all calls after it fail too, until the reconciler is restarted.
	kill, dead bool
}

// fault counts one call and says whether it fails before or after its effect.
func (l *callLog) fault() (before, after bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return true, false
	}
	l.total++
	if l.total != l.failAt {
		return false, false
	}
	l.dead = l.kill
	return !l.late, l.late
}

// do makes a call to the API server; write names one that changes something.
func (l *callLog) do(write string, call func() error) error {
	before, after := l.fault()
	if before {
		return l.err
	}
	if write != "" {
		l.mu.Lock()
		l.writes, l.effects = append(l.writes, write), append(l.effects, l.total)
		l.mu.Unlock()
	}
	if err := call(); err != nil {
		return err
	}
	if after {
		return l.err
	}
	return nil
}

// eventLog is a Recorder that remembers.
type eventLog struct {
	mu    sync.Mutex
	notes []string
}

func (l *eventLog) Eventf(_, _ runtime.Object, kind, reason, action, note string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = fmt.Sprintf(note, args...)
	l.notes = append(l.notes, kind+" "+reason+" "+action)
}

// testScheme knows only what is needed: the fake API server goes through all of a
// scheme again and again.
var testScheme = sync.OnceValues(func() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	return scheme, errors.Join(corev1.AddToScheme(scheme), batchv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
})

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	scheme, err := testScheme()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, calls: &callLog{err: apierrors.NewInternalError(errors.New("injected"))},
		events: &eventLog{}, clock: clocktesting.NewFakePassiveClock(noon),
	}
	w.server = fake.NewClientBuilder().WithScheme(scheme).
		WithStatusSubresource(&v1alpha1.TrainingRun{}, &batchv1.Job{}, &corev1.Pod{}).
		WithIndex(&v1alpha1.TrainingRun{}, index.RunsByDataset, index.DatasetOfRun).
		WithIndex(&corev1.Pod{}, podsByRun, runLabel).
		WithIndex(&corev1.Event{}, "involvedObject.uid", eventField(func(e *corev1.Event) string { return string(e.InvolvedObject.UID) })).
		WithIndex(&corev1.Event{}, "reason", eventField(func(e *corev1.Event) string { return e.Reason })).
		WithObjects(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: "team-a", Finalizers: []string{"test/contents"}, // of a real one there are others
		}}).
		WithObjects(objects...).Build()
	w.depot = newDepot(w.calls)
	w.parts = func() (Eraser, Ledger, Receipts) { return w.depot, w.depot, w.depot }
	w.restart()
	return w
}

// restart is a new process of the operator; what it held in memory is lost.
func (w *world) restart() {
	w.t.Helper()
	w.calls.mu.Lock()
	w.calls.dead = false
	w.calls.mu.Unlock()
	w.registry = prometheus.NewRegistry()
	metrics, err := NewMetrics(w.registry)
	w.must(err)
	eraser, accounts, book := w.parts()
	counted := interceptor.NewClient(w.server, w.calls.funcs())
	w.reconciler, err = New(Dependencies{
		Client: counted, Live: counted, Recorder: w.events, Metrics: metrics, Clock: w.clock,
		Eraser: eraser, Ledger: accounts, Receipts: book,
	}, testOptions)
	w.must(err)
}

func eventField(read func(*corev1.Event) string) client.IndexerFunc {
	return func(o client.Object) []string {
		event, ok := o.(*corev1.Event)
		if !ok {
			return nil
		}
		return []string{read(event)}
	}
}

// funcs counts every call; a created Job gets the UID and time that the API
// server would give it.
func (l *callLog) funcs() interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return l.do("", func() error { return c.Get(ctx, key, o, opts...) })
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return l.do("", func() error { return c.List(ctx, list, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return l.do(fmt.Sprintf("create %T", o), func() error {
				if job, ok := o.(*batchv1.Job); ok {
					n, _ := strconv.ParseInt(job.Labels[v1alpha1.LabelAttempt], 10, 32)
					job.UID, job.CreationTimestamp = uidOfJob(int32(n)), at(0)
				}
				return c.Create(ctx, o, opts...)
			})
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return l.do(fmt.Sprintf("delete %T", o), func() error { return c.Delete(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return l.do(fmt.Sprintf("patch %T", o), func() error { return c.Patch(ctx, o, p, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return l.do(fmt.Sprintf("patch %T %s", o, sub), func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	}
}

// reconcile does one pass over run "r".
func (w *world) reconcile() (ctrl.Result, error) {
	return w.reconciler.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: "team-a", Name: "r"}})
}

// settle reconciles until nothing is left to do: no error, and no write.
func (w *world) settle() {
	w.t.Helper()
	for range 10 {
		before := len(w.calls.writes)
		_, err := w.reconcile()
		if err == nil && len(w.calls.writes) == before {
			return
		}
	}
	w.t.Fatalf("the run does not settle; writes: %v", w.calls.writes)
}

// run reads the run; nil when it is gone.
func (w *world) run() *v1alpha1.TrainingRun {
	w.t.Helper()
	run := &v1alpha1.TrainingRun{}
	err := w.server.Get(w.t.Context(), client.ObjectKey{Namespace: "team-a", Name: "r"}, run)
	if apierrors.IsNotFound(err) {
		return nil
	}
	w.must(err)
	return run
}

func (w *world) remove(o client.Object) {
	w.t.Helper()
	w.must(client.IgnoreNotFound(w.server.Delete(w.t.Context(), o)))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// podIs makes the Pod of the run's Job, or says how it is now.
func (w *world) podIs(mods ...func(*corev1.Pod)) {
	w.t.Helper()
	w.isNow(makePod(mods...))
}

// isNow makes a Pod, or says how it is now.
func (w *world) isNow(pod corev1.Pod) {
	w.t.Helper()
	var there corev1.Pod
	err := w.server.Get(w.t.Context(), client.ObjectKeyFromObject(&pod), &there)
	if apierrors.IsNotFound(err) {
		w.must(w.server.Create(w.t.Context(), &pod))
		return
	}
	w.must(err)
	there.Status = pod.Status
	w.must(w.server.Status().Update(w.t.Context(), &there))
}

// podGoes plays the garbage collector, and the kubelet if the Pod's time is not counted
// yet: it is deleted, its trainer ends, and it goes when nothing holds it any more.
func (w *world) podGoes() {
	w.t.Helper()
	w.goes(makePod(staged, ends(staging.ContainerTrainer, 143, "Error", ""), podPhase(corev1.PodFailed)))
}

// goes deletes a Pod that ends as it is given.
func (w *world) goes(pod corev1.Pod) {
	w.t.Helper()
	w.remove(&pod)
	err := w.server.Get(w.t.Context(), client.ObjectKeyFromObject(&pod), &corev1.Pod{})
	if apierrors.IsNotFound(err) {
		return
	}
	w.must(err)
	w.isNow(pod)
}

// jobIs writes the status of the run's Job.
func (w *world) jobIs(mods ...func(*batchv1.Job)) {
	w.t.Helper()
	w.must(w.server.Status().Update(w.t.Context(), w.withVersion(makeJob(mods...))))
}

func (w *world) withVersion(job *batchv1.Job) *batchv1.Job {
	w.t.Helper()
	var now batchv1.Job
	w.must(w.server.Get(w.t.Context(), client.ObjectKeyFromObject(job), &now))
	job.ResourceVersion = now.ResourceVersion
	return job
}
