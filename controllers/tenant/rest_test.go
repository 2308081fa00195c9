package tenant

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/tenant/resources"
)

// TestAResyncOfAThousandTenantsWritesNothing: a restart of the operator, or its cache's
// resync, costs the API server nothing. That an object comes back from a real one as it
// was built is TestATenantIsSetUpAndThenNothingIsWritten's to show.
func TestAResyncOfAThousandTenantsWritesNothing(t *testing.T) {
	t.Parallel()
	const tenants = 1000
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, networkingv1.AddToScheme, rbacv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&corev1.Namespace{})
	for i := range tenants {
		builder = builder.WithObjects(settled(t, fmt.Sprintf("t-%d", i), i)...)
	}
	log := &writeLog{}
	registry := prometheus.NewRegistry()
	metrics, err := NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Dependencies{
		Client: counting(builder.Build(), log), Recorder: &eventLog{}, Metrics: metrics, Clock: clocktesting.NewFakePassiveClock(noon),
	}, settings())
	if err != nil {
		t.Fatal(err)
	}
	for i := range tenants {
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: fmt.Sprintf("t-%d", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if wrote := log.take(); len(wrote) > 0 {
		t.Errorf("%d writes, the first is %s", len(wrote), wrote[0])
	}
	if got := gauge(t, registry, v1alpha1.ReasonTenantReady); got != tenants/2 {
		t.Errorf("lethe_tenants{reason=Ready} is %v, want %d", got, tenants/2)
	}
	if got := gauge(t, registry, v1alpha1.ReasonPaymentRequired); got != tenants/2 {
		t.Errorf("lethe_tenants{reason=PaymentRequired} is %v, want %d", got, tenants/2)
	}
}

// settled is a tenant as it is when nothing is left to do; every other does not pay.
func settled(t *testing.T, name string, n int) []client.Object {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, UID: types.UID(name), Labels: resources.NamespaceLabels(),
		Annotations: map[string]string{v1alpha1.AnnotationGPUAllowance: fmt.Sprint(n), v1alpha1.AnnotationRuntimeClass: ""},
	}}
	namespace.Labels[v1alpha1.LabelTenant] = ""
	if n%2 == 1 {
		namespace.Annotations[v1alpha1.AnnotationBilling] = "Suspended"
		namespace.Annotations[v1alpha1.AnnotationSuspendedAt] = "2026-02-01T00:00:00Z"
	}
	o := observed{Namespace: namespace, Now: noon}
	o.Ours = wanted(read(namespace, settings().Config).tenant, settings())
	next, _ := conditionOf(o, decide(o, settings()).Verdict)
	namespace.Status.Conditions = []corev1.NamespaceCondition{next}
	return append(o.Ours, namespace)
}

func gauge(t *testing.T, registry *prometheus.Registry, reason string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == "lethe_tenants" && metric.GetLabel()[0].GetValue() == reason {
				return metric.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric for %s", reason)
	return 0
}
