package trainingrun

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
	"github.com/lethe-dev/lethe/hack/apitest"
)

// Tenants: one that pays, one whose billing is suspended but not noted yet, and one for
// which it was noted at noon.
var (
	pays      = tenant{Ready: true}
	owes      = tenant{Ready: true, Unpaid: true}
	owesSince = tenant{Ready: true, Unpaid: true, Since: noon}
	unready   = tenant{}
)

func tenantCases() map[string]decideCase {
	// testOptions give a grace of two hours.
	job, ready := makeJob(), makeDataset()
	trains := makePod(training)
	stopping := func() *v1alpha1.TrainingRun { return boundRun(stoppedFor(v1alpha1.ReasonPaymentRequired)) }
	paused := v1alpha1.Attempt{Result: v1alpha1.AttemptSuspended, Reason: v1alpha1.ReasonPaymentRequired, EndTime: ptr.To(at(0))}
	uploads := func(p *corev1.Pod) {
		staged(p)
		trained(p)
		runs(staging.ContainerStageOut)(p)
		p.Status.Phase = corev1.PodRunning
	}
	return map[string]decideCase{
		"a run of a tenant that pays starts": {
			observed: see(0, makeRun(), ready, pays),
			want:     outcome{Create: true, After: brief},
		},
		"a run waits for its tenant's billing": {
			observed: see(0, makeRun(), ready, owes),
			want:     outcome{State: v1alpha1.RunPending, Reason: v1alpha1.ReasonPaymentRequired},
			says:     []string{`the billing of namespace "team-a" is suspended`},
		},
		"a run waits until its tenant is set up": {
			observed: see(0, makeRun(), ready, unready),
			want:     outcome{State: v1alpha1.RunPending, Reason: v1alpha1.ReasonTenantNotReady},
			says:     []string{v1alpha1.ConditionTenantReady},
		},
		"the moment that a new tenant takes is not told": {
			observed: see(-58*time.Second, makeRun(), ready, unready),
			want:     outcome{After: 3 * time.Second},
		},
		"a run that was stopped has no Pods while its tenant is not set up": {
			observed: see(hour, boundRun(paused), ready, unready),
			want:     outcome{State: v1alpha1.RunStarting, Reason: v1alpha1.ReasonTenantNotReady},
		},
		"a trainer goes on while the grace lasts": {
			observed: see(hour, begunRun(), job, trains, owesSince),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonTraining, After: hour},
		},
		"a trainer goes on while nobody has noted since when nothing is paid": {
			observed: see(100*hour, begunRun(), job, trains, owes),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonTraining},
		},
		"a trainer is stopped when the grace is over": {
			observed: see(2*hour, begunRun(), job, trains, owesSince),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonSuspending, Stop: v1alpha1.ReasonPaymentRequired, After: brief},
			says:     []string{"billing is suspended", "last checkpoint"},
		},
		"an attempt that has not begun to train is stopped at once": {
			observed: see(time.Minute, begunRun(), job, makePod(unplaced), owesSince),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonSuspending, Stop: v1alpha1.ReasonPaymentRequired, After: brief},
		},
		"an attempt in a queue is stopped at once": {
			observed: see(time.Minute, begunRun(queuesIn("q")), makeJob(jobWaits), owesSince),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonSuspending, Stop: v1alpha1.ReasonPaymentRequired, After: brief},
		},
		"an upload is let be": {
			observed: see(100*hour, begunRun(), job, makePod(uploads), owesSince),
			want:     outcome{State: v1alpha1.RunPublishing, Reason: v1alpha1.ReasonUploading},
		},
		"a run that has ended well has ended well": {
			observed: see(100*hour, begunRun(), makeJob(jobCondition(batchv1.JobComplete)), makePod(succeededPod), owesSince),
			want:     outcome{State: v1alpha1.RunSucceeded, Reason: v1alpha1.ReasonPublished, End: v1alpha1.AttemptSucceeded, Settle: 1},
		},
		"the Job of a stop for payment is deleted": {
			observed: see(0, stopping(), job, trains, owesSince),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonSuspending, Delete: true},
		},
		"a stop for payment is over": {
			observed: see(0, stopping(), ready, owesSince),
			want:     outcome{State: v1alpha1.RunSuspended, Reason: v1alpha1.ReasonPaymentRequired, End: v1alpha1.AttemptSuspended},
			says:     []string{"goes on from its last checkpoint by itself"},
		},
		"a stop for payment is over, and its user has suspended the run meanwhile": {
			observed: see(0, makeRun(inState(runningNow), onceBound, guarded, after(stoppedFor(v1alpha1.ReasonPaymentRequired)), suspends), ready, pays),
			want:     outcome{State: v1alpha1.RunSuspended, Reason: v1alpha1.ReasonSuspended, End: v1alpha1.AttemptSuspended},
		},
		"a stop for payment is over, and it is paid": {
			observed: see(0, stopping(), ready, pays),
			want:     outcome{State: v1alpha1.RunStarting, Reason: v1alpha1.ReasonResumed, End: v1alpha1.AttemptSuspended},
		},
		"a stopped run stays suspended": {
			observed: see(hour, boundRun(paused), ready, owesSince),
			want:     outcome{State: v1alpha1.RunSuspended, Reason: v1alpha1.ReasonPaymentRequired},
		},
		"a stopped run goes on when it is paid": {
			observed: see(hour, boundRun(paused), ready, pays),
			want:     outcome{Create: true, After: brief},
		},
		"a retry waits for its tenant's billing": {
			observed: see(hour, makeRun(inState(runningNow), onceBound, guarded, after(failedAttempt), retriesUpTo(3)), ready, owesSince),
			want:     outcome{State: v1alpha1.RunSuspended, Reason: v1alpha1.ReasonPaymentRequired},
		},
		"a deleted run is let go, paid or not": {
			observed: see(0, makeRun(guarded, runDeleting, erasesArtifacts), owesSince, accountOf("erased")),
			want:     outcome{Release: true},
		},
	}
}

func TestATenantIsReadOffItsNamespace(t *testing.T) {
	t.Parallel()
	const class, billing, since = v1alpha1.AnnotationRuntimeClass, v1alpha1.AnnotationBilling, v1alpha1.AnnotationSuspendedAt
	labels := map[string]string{v1alpha1.LabelTenant: "x7"}
	for name, c := range map[string]struct {
		labels, annotations map[string]string
		want                *tenant
	}{
		"no label, whatever the annotations say": {nil, map[string]string{billing: "Suspended"}, nil},
		"a label only":                           {labels, nil, &tenant{}},
		"an empty label":                         {map[string]string{v1alpha1.LabelTenant: ""}, nil, &tenant{}},
		"set up":                                 {labels, map[string]string{class: ""}, &tenant{Ready: true}},
		"in a sandbox":                           {labels, map[string]string{class: "gvisor", billing: "Active"}, &tenant{Ready: true, RuntimeClass: "gvisor"}},
		"a time without a suspension":            {labels, map[string]string{since: "2026-03-01T12:00:00Z"}, &tenant{}},
		"suspended":                              {labels, map[string]string{billing: "Suspended"}, &tenant{Unpaid: true}},
		"suspended at noon":                      {labels, map[string]string{billing: "Suspended", since: "2026-03-01T12:00:00Z"}, &tenant{Unpaid: true, Since: noon}},
		"a billing that nobody knows":            {labels, map[string]string{billing: "Paused", since: "yesterday"}, &tenant{Unpaid: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := tenantOf(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: c.labels, Annotations: c.annotations}})
			if (got == nil) != (c.want == nil) || got != nil && (*got != *c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	if tenantOf(nil) != nil {
		t.Error("a Namespace that is not there is a tenant")
	}
}

// What a tenant costs in the other Namespaces: nothing beside a look into the cache. And
// a decision about a tenant is made on what the API server says itself.
func TestOnlyTenantsAreAskedAbout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cached, live *corev1.Namespace
		asks         bool
		tenant       bool
	}{
		"a Namespace without the label":            {cached: named1("team-a", false), live: named1("team-a", false)},
		"a tenant":                                 {cached: named1("team-a", true), live: named1("team-a", true), asks: true, tenant: true},
		"a tenant that the cache does not have":    {live: named1("team-a", true), asks: true, tenant: true},
		"a Namespace that the cache does not have": {live: named1("team-a", false), asks: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			asked := 0
			hold := func(namespace *corev1.Namespace, count *int) client.Client {
				return interceptor.NewClient(w.server, interceptor.Funcs{
					Get: func(_ context.Context, _ client.WithWatch, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
						*count++
						if namespace == nil {
							return apierrors.NewNotFound(corev1.Resource("namespaces"), key.Name)
						}
						if into, is := o.(*corev1.Namespace); is {
							namespace.DeepCopyInto(into)
						}
						return nil
					},
				})
			}
			looked := 0
			w.reconciler.client, w.reconciler.live = hold(c.cached, &looked), hold(c.live, &asked)
			o := observed{Run: makeRun()}
			w.must(w.reconciler.readTenant(t.Context(), w.reconciler.cached(), &o))
			if asked > 0 {
				t.Error("the first look asks the API server")
			}
			w.must(w.reconciler.readTenant(t.Context(), w.reconciler.straight(), &o))
			if (asked > 0) != c.asks || (o.Tenant != nil) != c.tenant {
				t.Errorf("asked %d times, tenant %+v", asked, o.Tenant)
			}
		})
	}
}

func named1(name string, isTenant bool) *corev1.Namespace {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if isTenant {
		namespace.Labels = map[string]string{v1alpha1.LabelTenant: "x7"}
	}
	return namespace
}

// isTenant makes the stage's Namespace a tenant that is set up.
func (s *stage) isTenant(annotations map[string]string) {
	s.t.Helper()
	namespace := &corev1.Namespace{}
	s.must(s.client.Get(s.t.Context(), client.ObjectKey{Name: s.namespace}, namespace))
	namespace.Labels[v1alpha1.LabelTenant] = "x7"
	namespace.Annotations = annotations
	s.must(s.client.Update(s.t.Context(), namespace))
}

func TestStoryATenantDoesNotPayForAWhile(t *testing.T) {
	t.Parallel()
	const class, billing, since = v1alpha1.AnnotationRuntimeClass, v1alpha1.AnnotationBilling, v1alpha1.AnnotationSuspendedAt
	s := newStage(t, func(s *stage) { s.isTenant(nil) })
	s.readyDataset()
	s.must(s.client.Create(t.Context(), s.newRun("r")))
	s.becomes("r", v1alpha1.RunPending, v1alpha1.ReasonTenantNotReady)

	s.isTenant(map[string]string{class: "gvisor"})
	job := s.starts("r")
	if got := ptr.Deref(job.Spec.Template.Spec.RuntimeClassName, ""); got != "gvisor" {
		t.Errorf("the Pods run in %q, want gvisor", got)
	}
	job.Spec.Template.Spec.RuntimeClassName = nil // there is no such class on this server
	pod := s.podOf(job)
	s.kubelet(pod, corev1.PodRunning, training)
	s.becomes("r", v1alpha1.RunRunning, v1alpha1.ReasonTraining)

	now := s.looks.RealClock.Now()
	s.isTenant(map[string]string{class: "", billing: "Suspended", since: now.Format(time.RFC3339)})
	second := s.newRun("second")
	s.must(s.client.Create(t.Context(), second))
	s.becomes("second", v1alpha1.RunPending, v1alpha1.ReasonPaymentRequired)
	s.becomes("r", v1alpha1.RunRunning, v1alpha1.ReasonTraining)

	s.isTenant(map[string]string{class: "", billing: "Suspended", since: now.Add(-2 * time.Hour).Format(time.RFC3339)})
	s.isGone(job)
	s.becomes("r", v1alpha1.RunRunning, v1alpha1.ReasonSuspending)
	s.goes(pod, trainerExits(143))
	run := s.becomes("r", v1alpha1.RunSuspended, v1alpha1.ReasonPaymentRequired)
	if got := run.Status.Attempts[0]; got.Result != v1alpha1.AttemptSuspended || got.Reason != v1alpha1.ReasonPaymentRequired || run.Status.ChargedAttempts != 0 {
		t.Errorf("the attempt is %+v, %d count", got, run.Status.ChargedAttempts)
	}
	s.eventsOf(run, v1alpha1.ReasonPaymentRequired)

	s.isTenant(map[string]string{class: "", billing: "Active"})
	s.startsAs("r", resources.JobName(run, 2))
	s.starts("second")
}

// A run with several nodes gets a way between them in a tenant's Namespace, and only there.
func TestStoryNodesOfATenantMayTalk(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(s *stage) { s.isTenant(map[string]string{v1alpha1.AnnotationRuntimeClass: ""}) })
	s.readyDataset()
	run := s.newRun("r")
	run.Spec.Nodes = v1alpha1.Nodes{Count: ptr.To[int32](2), GPUsPerNode: ptr.To[int32](1)}
	s.must(s.client.Create(t.Context(), run))
	s.starts("r")
	var policy networkingv1.NetworkPolicy
	s.must(s.client.Get(t.Context(), s.key("lethe-run-"+string(run.UID)), &policy))
	if !metav1.IsControlledBy(&policy, run) || policy.Spec.PodSelector.MatchLabels[v1alpha1.LabelRunUID] != string(run.UID) {
		t.Errorf("the policy is %+v", policy)
	}
	s.must(s.client.Create(t.Context(), s.newRun("alone")))
	s.starts("alone")
	var all networkingv1.NetworkPolicyList
	s.must(s.client.List(t.Context(), &all, client.InNamespace(s.namespace)))
	if len(all.Items) != 1 {
		t.Errorf("%d policies, want the one of the run with two nodes", len(all.Items))
	}
	if got := s.writes.all(); len(got) > 0 && slices.ContainsFunc(got, func(w string) bool { return strings.Contains(w, "/namespaces/"+s.namespace+" ") }) {
		t.Errorf("the Namespace was written: %v", got)
	}
}

// TestStoryATenantIsDeletedWhileItTrains: in which order a Namespace goes, with the
// cluster's own namespace controller. The Pod first, with its time counted; then the run,
// with its artifacts erased and a receipt; then the dataset, whose controller waits for
// its runs; then the Namespace.
//
// Not beside other tests: that controller is for all Namespaces.
func TestStoryATenantIsDeletedWhileItTrains(t *testing.T) {
	s := newStage(t, func(s *stage) { s.isTenant(map[string]string{v1alpha1.AnnotationRuntimeClass: ""}) })
	dataset := s.readyDataset()
	dataset.Finalizers = []string{v1alpha1.FinalizerErase}
	s.must(s.client.Update(t.Context(), dataset))
	s.must(s.client.Create(t.Context(), s.newRun("r")))
	job := s.starts("r")
	pod := s.podOf(job)
	s.kubelet(pod, corev1.PodRunning, training)
	run := s.becomes("r", v1alpha1.RunRunning, v1alpha1.ReasonTraining)

	apitest.Start(t).Controllers(t, "namespace-controller")
	prefix := objectkey.OwnerPrefix(s.namespace, string(run.UID))
	s.depot.expect(prefix)
	s.depot.put(prefix+"data/model", 10)
	erased := func() bool {
		receipt, _ := s.depot.endOf(prefix)
		return receipt.UID != ""
	}
	s.must(s.client.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}))
	s.eventually(func() string {
		s.must(s.client.Get(t.Context(), client.ObjectKeyFromObject(pod), pod))
		if pod.DeletionTimestamp.IsZero() {
			return "the Pod is not deleted"
		}
		return ""
	})
	if now := s.run("r"); !now.DeletionTimestamp.IsZero() || erased() {
		t.Error("the run goes while its Pod still trains")
	}
	s.kubelet(pod, corev1.PodFailed, trainerExits(143))
	s.isGone(pod)
	s.eventually(func() string {
		err := s.client.Get(t.Context(), client.ObjectKeyFromObject(run), run)
		if apierrors.IsNotFound(err) {
			return ""
		}
		s.must(err)
		if got := ptr.Deref(run.Status.Usage, v1alpha1.Usage{}).GPUSeconds; got != 1200 {
			t.Errorf("the Pod is gone, and the usage is %d GPU-seconds, want 1200", got)
		}
		return fmt.Sprintf("the run is there: %s, %v, %+v", run.Status.Message, run.Finalizers, run.Status.Conditions)
	})
	if !erased() {
		t.Error("the run is gone without a receipt for its artifacts")
	}
	s.must(s.client.Get(t.Context(), client.ObjectKeyFromObject(dataset), dataset))
	if dataset.DeletionTimestamp.IsZero() {
		t.Error("the dataset is not deleted with its Namespace")
	}
	// Its controller erases it when no run is left; see datasetretention's stories.
	dataset.Finalizers = nil
	s.must(s.client.Update(t.Context(), dataset))
	s.isGone(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}})
}
