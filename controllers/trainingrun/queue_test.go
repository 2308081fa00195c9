package trainingrun

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/hack/apitest"
)

func queued(j *batchv1.Job) {
	j.Spec.Suspend = ptr.To(true)
	labels := map[string]string{v1alpha1.LabelQueue: "research"}
	for key, value := range j.Labels {
		labels[key] = value
	}
	j.Labels = labels
}

func says(kind string, holds bool, reason, message string, when time.Duration) metav1.Condition {
	c := condition(kind, holds, reason, message)
	c.LastTransitionTime = at(when)
	return c
}

func TestQueueStateOfAWorkload(t *testing.T) {
	t.Parallel()
	short := says(workloadQuotaReserved, false, "Pending", "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu in flavor h200, 2 more needed", 0)
	for name, c := range map[string]struct {
		conditions []metav1.Condition
		active     *bool
		want       queueState
	}{
		"Kueue has not said anything yet": {
			want: queueState{Reason: v1alpha1.ReasonQueued, Message: `the run waits in the queue "research"`},
		},
		"the quota is used up": {
			conditions: []metav1.Condition{short}, active: ptr.To(true),
			want: queueState{Reason: "Pending", Message: short.Message},
		},
		"there is no such queue": {
			conditions: []metav1.Condition{says(workloadQuotaReserved, false, "Inadmissible", "LocalQueue research doesn't exist", 0)},
			want:       queueState{Reason: "Inadmissible", Message: "LocalQueue research doesn't exist"},
		},
		"the quota is reserved, and checks are open": {
			conditions: []metav1.Condition{says(workloadQuotaReserved, true, "QuotaReserved", "Quota reserved in ClusterQueue gpu", 0)},
			want:       queueState{Reason: v1alpha1.ReasonQueued, Message: "the queue has reserved the quota and waits for its admission checks"},
		},
		"the quota is reserved, and a check says why it is open": {
			conditions: []metav1.Condition{
				says(workloadQuotaReserved, true, "QuotaReserved", "Quota reserved in ClusterQueue gpu", 0),
				says(workloadAdmitted, false, "UnsatisfiedChecks", "The workload has not all checks ready", 0),
			},
			want: queueState{Reason: v1alpha1.ReasonQueued, Message: "The workload has not all checks ready"},
		},
		"it is admitted": {
			conditions: []metav1.Condition{
				says(workloadQuotaReserved, true, "QuotaReserved", "", 0), says(workloadAdmitted, true, "Admitted", "", 0),
			},
			want: queueState{Admitted: true, Reason: v1alpha1.ReasonAdmitted, Message: "the queue has admitted the run"},
		},
		"it was preempted a moment ago": {
			conditions: []metav1.Condition{
				says(workloadQuotaReserved, false, "Pending", "Preempted to accommodate a higher priority Workload", time.Minute),
				says(workloadEvicted, true, "Preempted", "Preempted to accommodate a higher priority Workload", time.Minute),
				says(workloadAdmitted, false, "NoReservation", "", time.Minute),
			},
			want: queueState{Reason: "Preempted", Message: "Preempted to accommodate a higher priority Workload"},
		},
		"it was preempted, and waits for quota since": {
			conditions: []metav1.Condition{
				says(workloadQuotaReserved, false, "Pending", short.Message, 2*time.Minute), says(workloadEvicted, true, "Preempted", "gone", time.Minute),
			},
			want: queueState{Reason: "Pending", Message: short.Message},
		},
		"somebody switched it off": {
			conditions: []metav1.Condition{short, says(workloadEvicted, true, "Deactivated", "The workload is deactivated", 0)}, active: ptr.To(false),
			want: queueState{Reason: "Deactivated", Message: "The workload is deactivated"},
		},
		"somebody switched it off from the start": {
			active: ptr.To(false),
			want:   queueState{Reason: "Deactivated", Message: "the run's Workload is not active (spec.active), so its queue passes it over"},
		},
		"words that fit nowhere are made to": {
			conditions: []metav1.Condition{says(workloadQuotaReserved, false, "not a\x1breason", "two\nlines\x1b[31m"+strings.Repeat("x", 2000), 0)},
			want:       queueState{Reason: v1alpha1.ReasonQueued, Message: "two lines[31m" + strings.Repeat("x", maxMessage-3-len("two lines[31m")) + "..."},
		},
		"a reason that is too long for a status": {
			conditions: []metav1.Condition{says(workloadQuotaReserved, false, strings.Repeat("R", 129), "", 0)},
			want:       queueState{Reason: v1alpha1.ReasonQueued, Message: "Kueue does not say more"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &workload{}
			w.Spec.Active, w.Status.Conditions = c.active, c.conditions
			if diff := cmp.Diff(c.want, queueStateOf(w, "research")); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPositionIsToldFromOne(t *testing.T) {
	t.Parallel()
	s := queueState{Message: "no quota"}
	if got := s.told(); got != "no quota" {
		t.Errorf("without a position: %q", got)
	}
	s.Position = ptr.To[int32](0)
	if got := s.told(); got != "number 1 in its queue; no quota" {
		t.Errorf("the first in the queue: %q", got)
	}
}

// TestQueueReason asks a real API server: at first it has no Kueue, then an old one, then
// a new one.
func TestQueueReason(t *testing.T) {
	t.Parallel()
	cluster := apitest.Start(t)
	q := &queueStage{t: t, cluster: cluster, namespace: cluster.Namespace(t)}
	q.job = makeJob(queued, func(j *batchv1.Job) { j.Namespace = q.namespace })
	q.connect()

	q.becomes(queueState{Reason: reasonNoKueue}, "Kueue is not installed")
	q.install("v1beta1")
	q.becomes(queueState{Reason: v1alpha1.ReasonQueued}, "has not taken up")
	q.workload("w-foreign", "kueue.x-k8s.io/v1beta1", nil, says(workloadAdmitted, true, "Admitted", "not this Job's", 0))
	q.becomes(queueState{Reason: v1alpha1.ReasonQueued}, "has not taken up")
	q.workload("w", "kueue.x-k8s.io/v1beta1", q.job, says(workloadQuotaReserved, false, "Pending", "2 more GPUs needed", 0))
	q.becomes(queueState{Reason: "Pending"}, "2 more GPUs needed")

	q.install("v1beta1", "v1beta2")
	q.becomes(queueState{Reason: "Pending"}, "2 more GPUs needed")
	q.connect()
	q.becomes(queueState{Reason: "Pending"}, "2 more GPUs needed")
	q.says("w", says(workloadQuotaReserved, true, "QuotaReserved", "", 0), says(workloadAdmitted, true, "Admitted", "", 0))
	q.becomes(queueState{Admitted: true, Reason: v1alpha1.ReasonAdmitted}, "admitted")

	q.must(envtest.UninstallCRDs(cluster.Config, envtest.CRDInstallOptions{Paths: []string{filepath.Join("testdata", "kueue.yaml")}}))
	q.becomes(queueState{Reason: reasonNoKueue}, "Kueue is not installed")

	q.job.Spec.Suspend = nil
	q.becomes(queueState{Admitted: true, Reason: v1alpha1.ReasonAdmitted}, "admitted")
}

type queueStage struct {
	t          *testing.T
	cluster    *apitest.Cluster
	namespace  string
	job        *batchv1.Job
	reconciler *Reconciler
}

func (q *queueStage) must(err error) {
	q.t.Helper()
	if err != nil {
		q.t.Fatal(err)
	}
}

// connect makes clients that know nothing yet, as a new process does.
func (q *queueStage) connect() {
	q.t.Helper()
	direct, err := client.New(q.cluster.Config, client.Options{Scheme: q.cluster.Scheme})
	q.must(err)
	q.reconciler = &Reconciler{client: direct, live: direct}
}

// install makes the API server serve these versions of the Workload.
func (q *queueStage) install(versions ...string) {
	q.t.Helper()
	options := envtest.CRDInstallOptions{Paths: []string{filepath.Join("testdata", "kueue.yaml")}}
	q.must(envtest.ReadCRDFiles(&options))
	known := options.CRDs[0].Spec.Versions
	for i := range known {
		version := &known[i]
		version.Served = slices.Contains(versions, version.Name)
	}
	_, err := envtest.InstallCRDs(q.cluster.Config, envtest.CRDInstallOptions{CRDs: options.CRDs})
	q.must(err)
}

// workload makes a Workload of the Job, as Kueue does. One without an owner has the
// label only.
func (q *queueStage) workload(name, version string, owner *batchv1.Job, conditions ...metav1.Condition) {
	q.t.Helper()
	w := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"queueName": "research"}}}
	w.SetGroupVersionKind(schema.FromAPIVersionAndKind(version, "Workload"))
	w.SetNamespace(q.namespace)
	w.SetName(name)
	w.SetLabels(map[string]string{labelJobUID: string(q.job.UID)})
	if owner != nil {
		w.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(owner, batchv1.SchemeGroupVersion.WithKind("Job"))})
	}
	q.must(q.cluster.Client.Create(q.t.Context(), w))
	q.says(name, conditions...)
}

func (q *queueStage) says(name string, conditions ...metav1.Condition) {
	q.t.Helper()
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": conditions}})
	q.must(err)
	w := &unstructured.Unstructured{}
	w.SetGroupVersionKind(schema.FromAPIVersionAndKind("kueue.x-k8s.io/v1beta1", "Workload"))
	w.SetNamespace(q.namespace)
	w.SetName(name)
	q.must(q.cluster.Client.Status().Patch(q.t.Context(), w, client.RawPatch("application/merge-patch+json", patch)))
}

// becomes asks until the answer is the wanted one: a CRD takes a moment to be served.
func (q *queueStage) becomes(want queueState, part string) {
	q.t.Helper()
	ctx, cancel := context.WithTimeout(q.t.Context(), time.Minute)
	defer cancel()
	for {
		got, err := q.reconciler.queueReason(ctx, q.job)
		message := got.Message
		got.Message = ""
		diff := cmp.Diff(want, got)
		if err == nil && diff == "" && strings.Contains(message, part) {
			return
		}
		select {
		case <-ctx.Done():
			q.t.Fatalf("%v; message %q, want %q in it (-want +got):\n%s", err, message, part, diff)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestQueueReasonOfAServerThatFails(t *testing.T) {
	t.Parallel()
	broken := apierrors.NewInternalError(errors.New("etcd is away"))
	scheme, err := testScheme()
	if err != nil {
		t.Fatal(err)
	}
	server := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return broken },
	}).Build()
	r := &Reconciler{client: server, live: server}
	if state, err := r.queueReason(t.Context(), makeJob(queued)); !errors.Is(err, broken) || state != (queueState{}) {
		t.Errorf("state %+v, error %v", state, err)
	}
}

// visibility plays the API server of Kueue that knows the places in its queues.
type visibility struct {
	version string
	// status and body of its answer.
	status int
	body   string
}

func (v visibility) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	group := "/apis/" + visibilityGroup + "/" + v.version
	switch r.Method + " " + r.URL.Path {
	case "GET /api":
		_, _ = io.WriteString(w, `{"kind":"APIVersions","versions":["v1"]}`)
	case "GET /apis":
		_, _ = io.WriteString(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"`+visibilityGroup+`",
			"versions":[{"groupVersion":"`+visibilityGroup+"/"+v.version+`","version":"`+v.version+`"}],
			"preferredVersion":{"groupVersion":"`+visibilityGroup+"/"+v.version+`","version":"`+v.version+`"}}]}`)
	case "GET " + group:
		_, _ = io.WriteString(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"`+visibilityGroup+"/"+v.version+`","resources":[
			{"name":"localqueues","singularName":"localqueue","namespaced":true,"kind":"LocalQueue","verbs":["get"]},
			{"name":"localqueues/pendingworkloads","singularName":"","namespaced":true,"kind":"PendingWorkloadsSummary","verbs":["get"]}]}`)
	case "GET " + group + "/namespaces/team-a/localqueues/research/pendingworkloads":
		w.WriteHeader(v.status)
		_, _ = io.WriteString(w, strings.ReplaceAll(v.body, "VERSION", v.version))
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
	}
}

func TestQueuePosition(t *testing.T) {
	t.Parallel()
	const pending = `{"kind":"PendingWorkloadsSummary","apiVersion":"visibility.kueue.x-k8s.io/VERSION","metadata":{},"items":[
		{"metadata":{"name":"first"},"priority":0,"localQueueName":"research","positionInClusterQueue":3,"positionInLocalQueue":0},
		{"metadata":{"name":"ours"},"priority":0,"localQueueName":"research","positionInClusterQueue":9,"positionInLocalQueue":4}]}`
	for name, c := range map[string]struct {
		server visibility
		want   *int32
	}{
		"the place in the queue":             {visibility{"v1beta2", http.StatusOK, pending}, ptr.To[int32](4)},
		"the place in the queue of an older": {visibility{"v1beta1", http.StatusOK, pending}, ptr.To[int32](4)},
		"another version":                    {visibility{"v9", http.StatusOK, pending}, nil},
		"it is in no queue at the moment":    {visibility{"v1beta2", http.StatusOK, `{"kind":"PendingWorkloadsSummary","apiVersion":"visibility.kueue.x-k8s.io/VERSION","items":[]}`}, nil},
		"the server is away":                 {visibility{"v1beta2", http.StatusServiceUnavailable, `{}`}, nil},
		"we may not ask":                     {visibility{"v1beta2", http.StatusForbidden, `{}`}, nil},
		"the answer makes no sense":          {visibility{"v1beta2", http.StatusOK, `{"kind":"PendingWorkloadsSummary","apiVersion":"visibility.kueue.x-k8s.io/VERSION","items":[{"metadata":"x"}]}`}, nil},
		"a place before the first":           {visibility{"v1beta2", http.StatusOK, strings.Replace(pending, `Queue":4`, `Queue":-4`, 1)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.server)
			t.Cleanup(server.Close)
			scheme, err := testScheme()
			if err != nil {
				t.Fatal(err)
			}
			direct, err := client.New(&rest.Config{Host: server.URL}, client.Options{Scheme: scheme})
			if err != nil {
				t.Fatal(err)
			}
			w := &workload{}
			w.Namespace, w.Name = "team-a", "ours"
			got := (&Reconciler{client: direct, live: direct}).queuePosition(t.Context(), w, "research")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("position (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzQueueState(f *testing.F) {
	f.Add("QuotaReserved", "Pending", "no quota", false)
	f.Add("Evicted", "\x1b", "\u202e\r", true)
	f.Fuzz(func(t *testing.T, kind, reason, message string, holds bool) {
		w := &workload{}
		w.Status.Conditions = []metav1.Condition{says(kind, holds, reason, message, 0)}
		state := queueStateOf(w, "research")
		text := state.told()
		if len([]rune(text)) > maxMessage || text == "" || strings.ContainsFunc(text, odd) || len(state.Reason) > maxQueueReason ||
			!conditionReason.MatchString(state.Reason) {
			t.Errorf("does not fit: %+v", state)
		}
	})
}
