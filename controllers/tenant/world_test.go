package tenant

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/tenant/resources"
	"github.com/lethe-dev/lethe/hack/apitest"
)

func TestMain(m *testing.M) { apitest.Main(m) }

// noon is when the tests without a manager happen.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// settings are the operator's, with a store at an address and a second tier.
func settings() Options {
	config := resources.Default()
	config.Network.Store = []resources.Peer{{CIDR: "192.0.2.7/32", Port: 9000}}
	config.Network.Broker = []resources.Peer{{Namespace: map[string]string{corev1.LabelMetadataName: "lethe-system"}, Port: 9443}}
	sandboxed := config.Tiers[resources.DefaultTier]
	sandboxed.RuntimeClass = "gvisor"
	sandboxed.Internet = resources.InternetNever
	sandboxed.WritableRoot = true
	config.Tiers["sandboxed"] = sandboxed
	return Options{Config: config, Namespace: "lethe-system", PortalAccount: "lethe-portal", BillingGrace: 24 * time.Hour}
}

// world is a Namespace on a real API server, and a reconciler that the test calls.
type world struct {
	t          *testing.T
	client     client.Client
	reconciler *Reconciler
	name       string
	writes     *writeLog
	events     *eventLog
	clock      *clocktesting.FakePassiveClock
}

// writeLog remembers what the reconciler writes.
type writeLog struct {
	mu   sync.Mutex
	made []string
}

func (l *writeLog) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made = append(l.made, what)
}

// take gives what was written since it was last asked.
func (l *writeLog) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	made := l.made
	l.made = nil
	return made
}

// counting is a client whose writes are noted.
func counting(c client.WithWatch, log *writeLog) client.WithWatch {
	return interceptor.NewClient(c, interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			u, is := o.(interface {
				GetKind() string
				GetName() string
			})
			if !is {
				return fmt.Errorf("%T has no name", o)
			}
			log.note("apply " + u.GetKind() + "/" + u.GetName())
			return c.Apply(ctx, o, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			log.note("create " + identity(o))
			return c.Create(ctx, o, opts...)
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			log.note("update " + identity(o))
			return c.Update(ctx, o, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			log.note("delete " + identity(o))
			return c.Delete(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			log.note("patch " + identity(o))
			return c.Patch(ctx, o, p, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			log.note("patch " + identity(o) + " " + sub)
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	})
}

// eventLog is a Recorder that remembers.
type eventLog struct {
	mu    sync.Mutex
	notes []string
}

func (l *eventLog) Eventf(_, _ runtime.Object, kind, reason, _, note string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, kind+" "+reason+": "+fmt.Sprintf(note, args...))
}

// newWorld makes a tenant with these annotations.
func newWorld(t *testing.T, annotations map[string]string) *world {
	t.Helper()
	cluster := apitest.Start(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "t-", Labels: map[string]string{v1alpha1.LabelTenant: "x7"}, Annotations: annotations,
	}}
	if err := cluster.Client.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, client: cluster.Client, name: namespace.Name, writes: &writeLog{}, events: &eventLog{},
		clock: clocktesting.NewFakePassiveClock(noon),
	}
	w.reconciler = w.operator(settings())
	return w
}

// operator is a new process of the operator.
func (w *world) operator(options Options) *Reconciler {
	w.t.Helper()
	direct, err := client.NewWithWatch(apitest.Start(w.t).Config, client.Options{Scheme: apitest.Start(w.t).Scheme})
	w.must(err)
	metrics, err := NewMetrics(prometheus.NewRegistry())
	w.must(err)
	r, err := New(Dependencies{Client: counting(direct, w.writes), Recorder: w.events, Metrics: metrics, Clock: w.clock}, options)
	w.must(err)
	return r
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// pass reconciles once, and gives what was written.
func (w *world) pass() []string {
	w.t.Helper()
	_, err := w.reconciler.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: w.name}})
	w.must(err)
	return w.writes.take()
}

// settle reconciles until nothing is written any more, and plays the cluster's quota
// controller meanwhile.
func (w *world) settle() {
	w.t.Helper()
	for range 6 {
		wrote := w.pass()
		w.takeQuotaOver()
		if len(wrote) == 0 {
			return
		}
	}
	w.t.Fatal("the tenant does not settle")
}

// takeQuotaOver plays the cluster's quota controller, with nothing used.
func (w *world) takeQuotaOver() {
	w.t.Helper()
	var quota corev1.ResourceQuota
	if client.IgnoreNotFound(w.client.Get(w.t.Context(), w.at("lethe"), &quota)) != nil || quota.UID == "" {
		return
	}
	quota.Status.Hard, quota.Status.Used = quota.Spec.Hard.DeepCopy(), corev1.ResourceList{}
	for name := range quota.Spec.Hard {
		zero := quota.Spec.Hard[name].DeepCopy()
		zero.Set(0)
		quota.Status.Used[name] = zero
	}
	w.must(w.client.Status().Update(w.t.Context(), &quota))
}

func (w *world) at(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: w.name, Name: name}
}

func (w *world) namespace() *corev1.Namespace {
	w.t.Helper()
	var namespace corev1.Namespace
	w.must(w.client.Get(w.t.Context(), client.ObjectKey{Name: w.name}, &namespace))
	return &namespace
}

// annotate plays the portal; "" takes an annotation away.
func (w *world) annotate(key, value string) {
	w.t.Helper()
	namespace := w.namespace()
	if namespace.Annotations == nil {
		namespace.Annotations = map[string]string{}
	}
	namespace.Annotations[key] = value
	if value == "" {
		delete(namespace.Annotations, key)
	}
	w.must(w.client.Update(w.t.Context(), namespace))
}

// says checks the tenant's condition.
func (w *world) says(status corev1.ConditionStatus, reason string, parts ...string) {
	w.t.Helper()
	for _, c := range w.namespace().Status.Conditions {
		if c.Type != v1alpha1.ConditionTenantReady {
			continue
		}
		if c.Status != status || c.Reason != reason {
			w.t.Errorf("the condition is %s %s (%s), want %s %s", c.Status, c.Reason, c.Message, status, reason)
		}
		for _, part := range parts {
			if !strings.Contains(c.Message, part) {
				w.t.Errorf("%q does not say %q", c.Message, part)
			}
		}
		return
	}
	w.t.Errorf("the namespace has no condition %s", v1alpha1.ConditionTenantReady)
}

// contents lists what of the operator's is in the tenant.
func (w *world) contents() []string {
	w.t.Helper()
	var all []string
	for _, list := range []client.ObjectList{
		&corev1.ResourceQuotaList{}, &corev1.LimitRangeList{}, &corev1.ServiceAccountList{},
		&networkingv1.NetworkPolicyList{}, &rbacv1.RoleBindingList{},
	} {
		w.must(w.client.List(w.t.Context(), list, client.InNamespace(w.name), client.HasLabels{resources.LabelManagedBy}))
		w.must(eachObject(list, func(o client.Object) {
			all = append(all, strings.TrimPrefix(identity(o), "*v1."))
		}))
	}
	slices.Sort(all)
	return all
}

func (w *world) contains(want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.contents()); diff != "" {
		w.t.Errorf("contents (-want +got):\n%s", diff)
	}
}

// runtimeClass is what the operator lets runs start with; "-" when it does not.
func (w *world) runtimeClass() string {
	w.t.Helper()
	class, ready := w.namespace().Annotations[v1alpha1.AnnotationRuntimeClass]
	if !ready {
		return "-"
	}
	return class
}
