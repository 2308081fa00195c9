package tenant

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/hack/apitest"
)

// storyTime is how long a story waits before it fails.
const storyTime = time.Minute

// perform starts the operator's part with its watches, and the cluster's own controllers
// of quotas, service accounts and namespaces.
func perform(t *testing.T) *world {
	t.Helper()
	cluster := apitest.Start(t)
	w := &world{t: t, client: cluster.Client, writes: &writeLog{}, events: &eventLog{}}
	mgr, err := ctrl.NewManager(cluster.Config, ctrl.Options{
		Scheme: cluster.Scheme, Metrics: server.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	w.must(err)
	metrics, err := NewMetrics(prometheus.NewRegistry())
	w.must(err)
	direct, err := client.NewWithWatch(cluster.Config, client.Options{Scheme: cluster.Scheme})
	w.must(err)
	r, err := New(Dependencies{
		Client: onlyOne{cachedReads{counting(direct, w.writes), mgr.GetClient()}, w}, Recorder: w.events, Metrics: metrics, Clock: clock.RealClock{},
	}, settings())
	w.must(err)
	w.must(r.SetupWithManager(mgr))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("manager: %v", err)
		}
	})
	cluster.Controllers(t, "resourcequota-controller", "serviceaccount-controller", "namespace-controller")
	return w
}

// cachedReads writes by one client and reads by another, as a manager's client does.
type cachedReads struct {
	client.WithWatch
	cache client.Reader
}

func (c cachedReads) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	return c.cache.Get(ctx, key, o, opts...)
}

func (c cachedReads) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return c.cache.List(ctx, list, opts...)
}

// onlyOne hides the tenants of the other tests of this binary: each has its own operator.
type onlyOne struct {
	client.WithWatch
	world *world
}

func (c onlyOne) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if _, is := o.(*corev1.Namespace); is && !strings.HasPrefix(key.Name, "story-") {
		return apierrors.NewNotFound(corev1.Resource("namespaces"), key.Name)
	}
	return c.WithWatch.Get(ctx, key, o, opts...)
}

// eventually asks until the answer is "", and fails with the last answer.
func (w *world) eventually(ask func() string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), storyTime)
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
			w.t.Fatalf("after %s still: %s; wrote %v", storyTime, answer, w.writes.take())
		case <-tick.C:
		}
	}
}

// condition is the tenant's, in two words.
func (w *world) condition() string {
	w.t.Helper()
	for _, c := range w.namespace().Status.Conditions {
		if c.Type == v1alpha1.ConditionTenantReady {
			return string(c.Status) + " " + c.Reason
		}
	}
	return ""
}

func (w *world) becomes(want string) {
	w.t.Helper()
	w.eventually(func() string {
		if got := w.condition(); got != want {
			return fmt.Sprintf("the condition is %q, want %q", got, want)
		}
		return ""
	})
}

// TestATenantsLife: with a real quota controller, and watches instead of a test that
// calls. The tenant is set up, its quota holds, drift is repaired, billing ends, and it
// goes, with its network policies after its last Pod.
func TestATenantsLife(t *testing.T) {
	w := perform(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "story-", Labels: map[string]string{v1alpha1.LabelTenant: "x7"}, Annotations: gpus("2"),
	}}
	w.must(w.client.Create(t.Context(), namespace))
	w.name = namespace.Name
	w.becomes("True Ready")
	w.contains(everything...)
	if got := w.runtimeClass(); got != "" {
		t.Errorf("runs start in %q", got)
	}
	wrote := w.writes.take()
	t.Logf("set up with %d writes", len(wrote))
	if len(wrote) > 14 {
		t.Errorf("it took %d writes to set the tenant up: %v", len(wrote), wrote)
	}

	pod := podOf(w.name, withGPUs(2))
	pod.Finalizers = []string{v1alpha1.FinalizerUsage}
	w.must(w.client.Create(t.Context(), pod))
	if err := w.client.Create(t.Context(), podOf(w.name)); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "exceeded quota: lethe") {
		t.Errorf("a third GPU: %v", err)
	}

	var quota corev1.ResourceQuota
	w.must(w.client.Get(t.Context(), w.at("lethe"), &quota))
	quota.Spec.Hard["requests.nvidia.com/gpu"] = resource.MustParse("400")
	w.must(w.client.Update(t.Context(), &quota))
	w.must(w.client.Delete(t.Context(), &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: w.name, Name: "lethe-deny-all"}}))
	w.eventually(func() string {
		w.must(w.client.Get(t.Context(), w.at("lethe"), &quota))
		if got := quota.Spec.Hard["requests.nvidia.com/gpu"]; got.Value() != 2 {
			return "the quota allows " + got.String()
		}
		if got := w.contents(); len(got) != len(everything) {
			return fmt.Sprintf("there is only %v", got)
		}
		return ""
	})

	w.annotate(v1alpha1.AnnotationBilling, "Suspended")
	w.becomes("False PaymentRequired")
	w.eventually(func() string {
		w.must(w.client.Get(t.Context(), w.at("lethe"), &quota))
		if got := quota.Status.Hard["requests.nvidia.com/gpu"]; !got.IsZero() {
			return "the cluster still allows " + got.String()
		}
		return ""
	})
	var running corev1.Pod
	w.must(w.client.Get(t.Context(), client.ObjectKeyFromObject(pod), &running))
	if !running.DeletionTimestamp.IsZero() {
		t.Error("a Pod that runs was deleted by the suspension")
	}
	w.ends(pod)
}

// ends deletes the tenant, whose Pod is not counted yet.
func (w *world) ends(pod *corev1.Pod) {
	w.t.Helper()
	w.must(w.client.Delete(w.t.Context(), w.namespace()))
	var going corev1.Pod
	w.eventually(func() string {
		w.must(w.client.Get(w.t.Context(), client.ObjectKeyFromObject(pod), &going))
		if going.DeletionTimestamp.IsZero() {
			return "the Pod is not deleted"
		}
		return ""
	})
	w.eventually(func() string {
		for _, c := range w.namespace().Status.Conditions {
			if c.Type == corev1.NamespaceFinalizersRemaining || c.Type == corev1.NamespaceContentRemaining || c.Type == corev1.NamespaceDeletionContentFailure {
				return ""
			}
		}
		if w.namespace().Status.Phase == corev1.NamespaceTerminating {
			return ""
		}
		return "the namespace controller has not looked yet"
	})
	w.contains(everything...) // as long as there is a Pod
	controllerutil.RemoveFinalizer(&going, v1alpha1.FinalizerUsage)
	w.must(w.client.Update(w.t.Context(), &going))
	// The kubelet confirms that the Pod is gone.
	w.must(client.IgnoreNotFound(w.client.Delete(w.t.Context(), &going, client.GracePeriodSeconds(0))))
	w.eventually(func() string {
		var namespace corev1.Namespace
		err := w.client.Get(w.t.Context(), client.ObjectKey{Name: w.name}, &namespace)
		if apierrors.IsNotFound(err) {
			return ""
		}
		w.must(err)
		return fmt.Sprintf("the namespace is there: %+v", namespace.Status.Conditions)
	})
}
