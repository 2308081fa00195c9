package policies_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

const (
	boundsPolicy = "lethe-tenant-bounds"
	saysBounds   = "what bounds a tenant is not taken away"
)

// bound is an object of this kind with the label of the tenant's controller.
func bound(namespace, kind string) client.Object {
	var o client.Object
	switch kind {
	case "serviceaccounts":
		o = &corev1.ServiceAccount{}
	case "rolebindings":
		o = &rbacv1.RoleBinding{RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "lethe-tenant-reader"}}
	case "resourcequotas":
		o = &corev1.ResourceQuota{}
	case "limitranges":
		o = &corev1.LimitRange{}
	default:
		o = &networkingv1.NetworkPolicy{Spec: networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}}}
	}
	o.SetNamespace(namespace)
	o.SetName("bound")
	o.SetLabels(map[string]string{"app.kubernetes.io/managed-by": "lethe-tenant"})
	return o
}

func TestTenantTakesNoBoundAway(t *testing.T) {
	t.Parallel()
	l, free := newTenant(t), newLand(t, nil)
	for _, kind := range []string{"networkpolicies", "resourcequotas", "limitranges", "rolebindings", "serviceaccounts"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			o := bound(l.namespace, kind)
			l.must(l.as(operator).Create(t.Context(), o))
			for _, w := range []who{tenant, portal} {
				refused(t, l.as(w).Delete(t.Context(), o, client.DryRunAll), boundsPolicy, saysBounds)
				refused(t, l.as(w).DeleteAllOf(t.Context(), o, client.InNamespace(l.namespace)), boundsPolicy, saysBounds)
			}
			for _, w := range []who{operator, staff, namespaceController, collector, oneControllerForAll} {
				allowed(t, l.as(w).Delete(t.Context(), o, client.DryRunAll))
			}
			allowed(t, l.as(namespaceController).DeleteAllOf(t.Context(), o, client.InNamespace(l.namespace), client.MatchingLabels(o.GetLabels())))
			// What is somebody else's goes as ever, and so does everything where nobody is a tenant.
			other := bound(l.namespace, kind)
			other.SetLabels(nil)
			l.must(l.as(staff).Create(t.Context(), other))
			allowed(t, l.as(tenant).Delete(t.Context(), other))
			same := bound(free.namespace, kind)
			free.must(free.as(staff).Create(t.Context(), same))
			allowed(t, free.as(tenant).Delete(t.Context(), same))
		})
	}
}

func TestTenantOpensNoRun(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	o := bound(l.namespace, "networkpolicies")
	o.SetLabels(map[string]string{v1alpha1.LabelRunUID: "u-1"})
	l.must(l.as(operator).Create(t.Context(), o))
	refused(t, l.as(tenant).Delete(t.Context(), o, client.DryRunAll), boundsPolicy, saysBounds)
	allowed(t, l.as(collector).Delete(t.Context(), o))
}
