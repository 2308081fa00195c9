package trainingrun

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/hack/apitest"
)

func TestMain(m *testing.M) { apitest.Main(m) }

// storyTime is how long a story waits for the operator before it fails.
const storyTime = time.Minute

// stage is a namespace of a real API server with the operator at work in it. The
// test plays everybody else.
type stage struct {
	t         *testing.T
	client    client.Client
	namespace string
	writes    *writeLog
	looks     *countingClock
	depot     *depot
}

// countingClock counts how often it is looked at, which the operator does once
// for each observation.
type countingClock struct {
	clock.RealClock
	count atomic.Int64
}

func (c *countingClock) Now() time.Time {
	c.count.Add(1)
	return c.RealClock.Now()
}

// writeLog sees what the operator sends, from outside of it. Events are not
// counted: they are not part of a run.
type writeLog struct {
	mu   sync.Mutex
	made []string
}

type writeLogger struct {
	log  *writeLog
	next http.RoundTripper
}

func (l writeLogger) RoundTrip(req *http.Request) (*http.Response, error) {
	response, err := l.next.RoundTrip(req)
	if err != nil || req.Method == http.MethodGet || strings.Contains(req.URL.Path, "/events") {
		return response, err
	}
	l.log.mu.Lock()
	defer l.log.mu.Unlock()
	if response.StatusCode < http.StatusMultipleChoices {
		l.log.made = append(l.log.made, req.Method+" "+req.URL.Path)
	}
	return response, nil
}

func (l *writeLog) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.made...)
}

// newStage starts the operator on a namespace of its own. before runs first.
func newStage(t *testing.T, before func(*stage)) *stage {
	t.Helper()
	cluster := apitest.Start(t)
	s := &stage{
		t: t, client: cluster.Client, namespace: cluster.Namespace(t),
		writes: &writeLog{}, looks: &countingClock{}, depot: newDepot(&callLog{}),
	}
	if before != nil {
		before(s)
	}
	connection := rest.CopyConfig(cluster.Config)
	connection.Wrap(func(next http.RoundTripper) http.RoundTripper { return writeLogger{log: s.writes, next: next} })
	ofRuns, err := labels.NewRequirement(v1alpha1.LabelRun, selection.Exists, nil)
	s.must(err)
	mgr, err := ctrl.NewManager(connection, ctrl.Options{
		Scheme:     cluster.Scheme,
		Metrics:    server.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
		Cache: cache.Options{
			DefaultNamespaces: map[string]cache.Config{s.namespace: {}},
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Pod{}: {Label: labels.NewSelector().Add(*ofRuns)},
			},
			SyncPeriod: ptr.To(2 * time.Second),
		},
	})
	s.must(err)
	metrics, err := NewMetrics(prometheus.NewRegistry())
	s.must(err)
	reconciler, err := New(Dependencies{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: mgr.GetEventRecorder(Name),
		Metrics: metrics, Clock: s.looks, Eraser: s.depot, Ledger: s.depot, Receipts: s.depot,
	}, testOptions)
	s.must(err)
	s.must(reconciler.SetupWithManager(t.Context(), mgr))
	s.start(mgr)
	return s
}

// start runs the manager until the end of the test.
func (s *stage) start(mgr ctrl.Manager) {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	s.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			s.t.Errorf("manager: %v", err)
		}
	})
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// eventually asks until the answer is "", and fails with the last answer.
func (s *stage) eventually(ask func() string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), storyTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		answer := ask()
		if answer == "" {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("after %s still: %s", storyTime, answer)
		case <-tick.C:
		}
	}
}

// newRun is a run as a user writes it.
func (s *stage) newRun(name string) *v1alpha1.TrainingRun {
	run := makeRun()
	return &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace},
		Spec:       run.Spec,
	}
}

// restrict makes the namespace refuse Pods that do not pass the restricted Pod
// Security Standard.
func (s *stage) restrict() {
	s.t.Helper()
	namespace := &corev1.Namespace{}
	s.must(s.client.Get(s.t.Context(), client.ObjectKey{Name: s.namespace}, namespace))
	namespace.Labels["pod-security.kubernetes.io/enforce"] = "restricted"
	s.must(s.client.Update(s.t.Context(), namespace))
}

// readyDataset makes dataset "d" and plays its controller.
func (s *stage) readyDataset() *v1alpha1.DatasetRetention {
	s.t.Helper()
	dataset := &v1alpha1.DatasetRetention{
		ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: s.namespace},
		Spec:       v1alpha1.DatasetRetentionSpec{Sealed: true},
	}
	s.must(s.client.Create(s.t.Context(), dataset))
	dataset.Status = makeDataset().Status
	s.must(s.client.Status().Update(s.t.Context(), dataset))
	return dataset
}

func (s *stage) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: s.namespace, Name: name}
}

func (s *stage) run(name string) *v1alpha1.TrainingRun {
	s.t.Helper()
	run := &v1alpha1.TrainingRun{}
	s.must(s.client.Get(s.t.Context(), s.key(name), run))
	return run
}

// becomes waits until the run stands so.
func (s *stage) becomes(name string, state v1alpha1.RunState, reason string) *v1alpha1.TrainingRun {
	s.t.Helper()
	var run *v1alpha1.TrainingRun
	s.eventually(func() string {
		run = s.run(name)
		if run.Status.State == state && run.Status.Reason == reason {
			return ""
		}
		return "run is " + string(run.Status.State) + " " + run.Status.Reason + " (" + run.Status.Message + "), want " + string(state) + " " + reason
	})
	return run
}

func (s *stage) isGone(o client.Object) {
	s.t.Helper()
	s.eventually(func() string {
		err := s.client.Get(s.t.Context(), client.ObjectKeyFromObject(o), o)
		if apierrors.IsNotFound(err) {
			return ""
		}
		s.must(err)
		return o.GetName() + " is still there"
	})
}

func (s *stage) job(name string) *batchv1.Job {
	s.t.Helper()
	job := &batchv1.Job{}
	s.must(s.client.Get(s.t.Context(), s.key(name), job))
	return job
}

// starts waits until the run's first attempt has its Job.
func (s *stage) starts(name string) *batchv1.Job { return s.startsAs(name, name) }

// startsAs waits until a Job of the run is there, under a name of its own.
func (s *stage) startsAs(run, job string) *batchv1.Job {
	s.t.Helper()
	s.eventually(func() string {
		err := s.client.Get(s.t.Context(), s.key(job), &batchv1.Job{})
		if apierrors.IsNotFound(err) {
			status := s.run(run).Status
			return "there is no Job " + job + "; the run is " + string(status.State) + " " + status.Reason + " (" + status.Message + ")"
		}
		s.must(err)
		return ""
	})
	return s.job(job)
}

// goes plays the garbage collector, and a kubelet that ends the Pod so.
func (s *stage) goes(pod *corev1.Pod, mods ...func(*corev1.Pod)) {
	s.t.Helper()
	s.must(s.client.Delete(s.t.Context(), pod))
	err := s.client.Get(s.t.Context(), client.ObjectKeyFromObject(pod), pod)
	if apierrors.IsNotFound(err) {
		return
	}
	s.must(err)
	s.kubelet(pod, corev1.PodFailed, mods...)
	s.isGone(pod)
}

// justNow makes a container that ran for ten seconds until now.
func (s *stage) justNow(name string, code int32, message string) func(*corev1.Pod) {
	now := s.looks.RealClock.Now()
	return withContainer(name, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Message: message, StartedAt: metav1.NewTime(now.Add(-10 * time.Second)), FinishedAt: metav1.NewTime(now),
	}})
}

// podOf plays the Job controller: it makes the Pod that the template describes.
func (s *stage) podOf(job *batchv1.Job) *corev1.Pod {
	s.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: job.Name + "-", Namespace: s.namespace, Labels: job.Spec.Template.Labels,
			Finalizers:      job.Spec.Template.Finalizers,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))},
		},
		Spec: job.Spec.Template.Spec,
	}
	pod.Spec.ServiceAccountName = "default" // as the admission plugin, which is off here, fills in
	s.must(s.client.Create(s.t.Context(), pod))
	return pod
}

// kubelet writes a Pod's status.
func (s *stage) kubelet(pod *corev1.Pod, phase corev1.PodPhase, mods ...func(*corev1.Pod)) {
	s.t.Helper()
	pod.Status = corev1.PodStatus{Phase: phase}
	for _, mod := range mods {
		mod(pod)
	}
	s.must(s.client.Status().Update(s.t.Context(), pod))
}

// ended writes the end of a Job as the Job controller does.
func (s *stage) ended(job *batchv1.Job, kind batchv1.JobConditionType) {
	s.t.Helper()
	s.endedFor(job, kind, "")
}

func (s *stage) endedFor(job *batchv1.Job, kind batchv1.JobConditionType, reason string) {
	s.t.Helper()
	promise := batchv1.JobSuccessCriteriaMet
	before := job.DeepCopy() // a patch, because the operator may change the deadline meanwhile
	job.Status = batchv1.JobStatus{StartTime: ptr.To(at(0)), UncountedTerminatedPods: &batchv1.UncountedTerminatedPods{}}
	if kind == batchv1.JobComplete {
		job.Status.CompletionTime = ptr.To(at(10 * time.Minute))
		job.Status.Succeeded = 1
	} else {
		promise = batchv1.JobFailureTarget
		job.Status.Failed = 1
	}
	for _, c := range []batchv1.JobConditionType{promise, kind} {
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{
			Type: c, Status: corev1.ConditionTrue, Reason: reason, LastTransitionTime: at(10 * time.Minute), LastProbeTime: at(10 * time.Minute),
		})
	}
	s.must(s.client.Status().Patch(s.t.Context(), job, client.MergeFrom(before)))
}

func TestStoryTheRunComesBeforeItsDataset(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.must(s.client.Create(t.Context(), s.newRun("r")))
	s.becomes("r", v1alpha1.RunPending, v1alpha1.ReasonDatasetNotFound)

	dataset := s.readyDataset()
	run := s.becomes("r", v1alpha1.RunStarting, v1alpha1.ReasonPodStarting)
	if run.Status.Dataset == nil || run.Status.Dataset.UID != dataset.UID {
		t.Errorf("the run is bound to %+v, want the dataset %s", run.Status.Dataset, dataset.UID)
	}
	s.eventsOf(run, v1alpha1.ReasonDatasetNotFound, v1alpha1.ReasonPodStarting)
}

// eventsOf waits until events of all these reasons tell about the run.
func (s *stage) eventsOf(run *v1alpha1.TrainingRun, reasons ...string) {
	s.t.Helper()
	s.eventually(func() string {
		var list corev1.EventList
		s.must(s.client.List(s.t.Context(), &list, client.InNamespace(s.namespace)))
		told := map[string]bool{}
		for _, event := range list.Items {
			if event.InvolvedObject.UID == run.UID {
				told[event.Reason] = true
			}
		}
		for _, reason := range reasons {
			if !told[reason] {
				return "no event " + reason
			}
		}
		return ""
	})
}

func TestStoryARunIsTrainedAndDeleted(t *testing.T) {
	t.Parallel()
	s := newStage(t, (*stage).restrict)
	s.readyDataset()
	s.must(s.client.Create(t.Context(), s.newRun("r")))
	job := s.starts("r")
	pod := s.podOf(job)
	s.kubelet(pod, corev1.PodPending, waitsFor(staging.ContainerStageIn, "PodInitializing"))
	s.kubelet(pod, corev1.PodRunning, staged, runs(staging.ContainerTrainer), runs(staging.ContainerStageOut))
	s.becomes("r", v1alpha1.RunRunning, v1alpha1.ReasonTraining)
	s.kubelet(pod, corev1.PodRunning, staged, s.justNow(staging.ContainerTrainer, 0, ""), runs(staging.ContainerStageOut))
	s.kubelet(pod, corev1.PodSucceeded, staged, s.justNow(staging.ContainerTrainer, 0, ""), s.justNow(staging.ContainerStageOut, 0, publishedReport))
	s.ended(job, batchv1.JobComplete)
	run := s.becomes("r", v1alpha1.RunSucceeded, v1alpha1.ReasonPublished)

	if run.Status.Artifacts == nil || run.Status.Artifacts.Objects != 3 {
		t.Errorf("artifacts %+v, want those of stage-out's report", run.Status.Artifacts)
	}
	if got := run.Status.Usage.GPUSeconds; got != 20 {
		t.Errorf("%d GPU-seconds, want 20: 2 GPUs for 10 seconds", got)
	}
	s.eventually(func() string {
		s.must(s.client.Get(t.Context(), client.ObjectKeyFromObject(pod), pod))
		if len(pod.Finalizers) > 0 {
			return fmt.Sprintf("the Pod is held by %v", pod.Finalizers)
		}
		return ""
	})
	// The finalizer, the Job, the start, the end. The Pod is let go beside them; while the
	// cache is behind it is asked for again, which the API server writes nothing for.
	writes := slices.DeleteFunc(s.writes.all(), func(write string) bool { return strings.Contains(write, "/pods/") })
	if len(writes) > 4 {
		t.Errorf("%d writes, want at most 4:\n%s", len(writes), strings.Join(writes, "\n"))
	}

	s.must(s.client.Delete(t.Context(), run))
	s.isGone(job)
	s.goes(pod)
	s.isGone(run)
}

func TestStoryARunIsDeletedWithItsArtifacts(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.readyDataset()
	run := s.newRun("r")
	run.Spec.Artifacts.ReclaimPolicy = v1alpha1.ReclaimDelete
	s.must(s.client.Create(t.Context(), run))
	s.starts("r")
	prefix := objectkey.OwnerPrefix(s.namespace, string(run.UID))
	s.depot.expect(prefix)
	s.depot.put(prefix+"data/model", 30)

	// The store goes away, and what the run waits for is told.
	s.depot.fail(objectstore.ErrUnavailable)
	job := s.job("r")
	s.must(s.client.Delete(t.Context(), run))
	s.isGone(job)
	s.eventually(func() string {
		run = s.run("r")
		if c := apimeta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionArtifactsErased); c == nil ||
			c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.ReasonStoreUnavailable {
			return fmt.Sprintf("ArtifactsErased is %+v", c)
		}
		return ""
	})
	s.eventsOf(run, v1alpha1.ReasonStoreUnavailable)

	s.depot.fail(nil)
	s.isGone(run)
	s.eventsOf(run, v1alpha1.ReasonErased)
	if left := s.depot.left(prefix); left != 0 {
		t.Errorf("%d objects are left", left)
	}
	receipt, told := s.depot.endOf(prefix)
	if receipt.Versions != 1 || receipt.VersionBytes != 30 || receipt.UID != string(run.UID) {
		t.Errorf("receipt %+v", receipt)
	}
	if !slices.Equal(told, []string{objectkey.LedgerErased}) {
		t.Errorf("the ledger says %v", told)
	}
}

func TestStoryARunGoesWithItsNamespace(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.readyDataset()
	run := s.newRun("r") // whose artifacts would stay
	s.must(s.client.Create(t.Context(), run))
	s.starts("r")
	prefix := objectkey.OwnerPrefix(s.namespace, string(run.UID))
	s.depot.expect(prefix)
	s.depot.put(prefix+"data/model", 30)
	s.must(s.client.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}))
	s.must(s.client.Delete(t.Context(), run)) // as the namespace controller would
	s.isGone(run)
	if _, told := s.depot.endOf(prefix); s.depot.left(prefix) != 0 || !slices.Equal(told, []string{objectkey.LedgerErased}) {
		t.Errorf("%d objects are left, and the ledger says %v", s.depot.left(prefix), told)
	}
}

func TestStoryARunIsDeletedWhileItTrains(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.readyDataset()
	s.must(s.client.Create(t.Context(), s.newRun("r")))
	job := s.starts("r")
	pod := s.podOf(job)
	s.kubelet(pod, corev1.PodRunning, staged, runs(staging.ContainerTrainer), runs(staging.ContainerStageOut))
	run := s.becomes("r", v1alpha1.RunRunning, v1alpha1.ReasonTraining)

	s.must(s.client.Delete(t.Context(), run))
	s.isGone(job)
	held := s.becomes("r", v1alpha1.RunRunning, v1alpha1.ReasonEnding)
	if !strings.Contains(held.Status.Message, pod.Name) {
		t.Errorf("message %q does not name the Pod that is waited for", held.Status.Message)
	}
	s.goes(pod, staged, ends(staging.ContainerTrainer, 143, "Error", ""))
	s.isGone(run)
}

func TestStoryTheTrainerFails(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.readyDataset()
	s.must(s.client.Create(t.Context(), s.newRun("r")))
	job := s.starts("r")
	pod := s.podOf(job)
	s.kubelet(pod, corev1.PodFailed, staged, ends(staging.ContainerTrainer, 137, "OOMKilled", ""),
		ends(staging.ContainerStageOut, 0, "Completed", ""))
	s.ended(job, batchv1.JobFailed)
	run := s.becomes("r", v1alpha1.RunFailed, v1alpha1.ReasonOOMKilled)
	s.eventsOf(run, v1alpha1.ReasonOOMKilled)
}

func TestStoryTheJobIsDeletedBehindTheRun(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.readyDataset()
	s.must(s.client.Create(t.Context(), s.newRun("r")))
	s.becomes("r", v1alpha1.RunStarting, v1alpha1.ReasonPodStarting)
	job := s.job("r")
	s.must(s.client.Delete(t.Context(), job, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	s.becomes("r", v1alpha1.RunFailed, v1alpha1.ReasonJobLost)
	s.isGone(job)
}

func TestStoryTheDatasetIsErasedBeforeTheRunStarts(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(s *stage) {
		dataset := s.readyDataset()
		dataset.Finalizers = []string{v1alpha1.FinalizerErase}
		s.must(s.client.Update(s.t.Context(), dataset))
		s.must(s.client.Delete(s.t.Context(), dataset))
	})
	s.must(s.client.Create(t.Context(), s.newRun("r")))
	run := s.becomes("r", v1alpha1.RunFailed, v1alpha1.ReasonDatasetErasing)
	s.must(s.client.Delete(t.Context(), run))
	s.isGone(run)
}

func TestStoryAQuotaRefusesTheJob(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(s *stage) {
		quota := &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Name: "none", Namespace: s.namespace},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/jobs.batch": {}}},
		}
		s.must(s.client.Create(s.t.Context(), quota))
		quota.Status = corev1.ResourceQuotaStatus{
			Hard: quota.Spec.Hard, Used: corev1.ResourceList{"count/jobs.batch": {}},
		}
		s.must(s.client.Status().Update(s.t.Context(), quota))
	})
	s.readyDataset()
	s.must(s.client.Create(t.Context(), s.newRun("r")))
	run := s.becomes("r", v1alpha1.RunPending, v1alpha1.ReasonPodRejected)
	if !strings.Contains(run.Status.Message, "quota") {
		t.Errorf("message %q does not say that it is the quota", run.Status.Message)
	}
}

// TestStoryTheNamespaceIsDeleted before a run has its Job: that nothing new is taken there
// is no news about the run, which goes with it.
func TestStoryTheNamespaceIsDeleted(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(s *stage) {
		s.readyDataset()
		s.must(s.client.Create(s.t.Context(), s.newRun("r")))
		s.must(s.client.Delete(s.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}))
	})
	run := &v1alpha1.TrainingRun{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "r"}}
	s.eventually(func() string {
		s.must(s.client.Get(t.Context(), client.ObjectKeyFromObject(run), run))
		if !slices.Contains(run.Finalizers, v1alpha1.FinalizerRun) || s.looks.count.Load() < 6 {
			return "the operator has not tried to start the run, and looked again"
		}
		return ""
	})
	if run.Status.Reason != "" {
		t.Errorf("the run says %s: %s", run.Status.Reason, run.Status.Message)
	}
}

func TestStoryFinishedRunsAreNotWritten(t *testing.T) {
	t.Parallel()
	const count = 200
	s := newStage(t, func(s *stage) {
		for n := range count {
			run := s.newRun("r-" + string(rune('a'+n/26)) + string(rune('a'+n%26)))
			s.must(s.client.Create(s.t.Context(), run))
			run.Status = reportOn(see(time.Hour, makeRun(onceBound),
				makeJob(jobCondition(batchv1.JobComplete)), makePod(succeededPod)))
			s.must(s.client.Status().Update(s.t.Context(), run))
		}
	})
	// The start is one look at each run, and the resync is another.
	s.eventually(func() string {
		if s.looks.count.Load() < 2*count {
			return "the resync is not through"
		}
		return ""
	})
	if writes := s.writes.all(); len(writes) != 0 {
		t.Errorf("%d writes for %d finished runs, want none:\n%s", len(writes), count, strings.Join(writes, "\n"))
	}
}
