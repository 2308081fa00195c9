package tenant

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// identity tells objects of a Namespace apart.
func identity(o client.Object) string { return fmt.Sprintf("%T/%s", o, o.GetName()) }

// asWanted says that an object is as it should be, in everything that bounds a tenant.
// What others add, and does not loosen anything, does not count: more labels, more
// limits in a quota, pull secrets of a service account.
func asWanted(want, got client.Object) bool {
	for key, value := range want.GetLabels() {
		if got.GetLabels()[key] != value {
			return false
		}
	}
	switch want := want.(type) {
	case *corev1.ResourceQuota:
		got, is := got.(*corev1.ResourceQuota)
		// A quota with a scope holds only for some Pods.
		return is && len(got.Spec.Scopes) == 0 && got.Spec.ScopeSelector == nil && bounds(want.Spec.Hard, got.Spec.Hard)
	case *corev1.LimitRange:
		got, is := got.(*corev1.LimitRange)
		return is && equality.Semantic.DeepEqual(want.Spec, got.Spec)
	case *networkingv1.NetworkPolicy:
		got, is := got.(*networkingv1.NetworkPolicy)
		return is && equality.Semantic.DeepEqual(want.Spec, got.Spec)
	case *corev1.ServiceAccount:
		got, is := got.(*corev1.ServiceAccount)
		return is && equality.Semantic.DeepEqual(want.AutomountServiceAccountToken, got.AutomountServiceAccountToken)
	case *rbacv1.RoleBinding:
		got, is := got.(*rbacv1.RoleBinding)
		return is && want.RoleRef == got.RoleRef && equality.Semantic.DeepEqual(want.Subjects, got.Subjects)
	}
	return false
}

// bounds says that a quota has all limits that are wanted.
func bounds(want, got corev1.ResourceList) bool {
	for name, limit := range want {
		is, there := got[name]
		if !there || is.Cmp(limit) != 0 {
			return false
		}
	}
	return true
}

// takenOver says that the cluster's quota controller has begun to hold a quota. Until
// then the API server does not: it goes by the status.
func takenOver(quota *corev1.ResourceQuota) bool { return bounds(quota.Spec.Hard, quota.Status.Hard) }
