package resources

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

const (
	// LabelManagedBy is the label of what is built here, with the value ManagedBy.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedBy is that value.
	ManagedBy = "lethe-tenant"
	// ReaderRole is the ClusterRole that lets the portal read Pods and their logs.
	ReaderRole = "lethe-tenant-reader"
)

// PodSecurityVersion is the version of the Pod Security Standard that tenants are held
// to. It is pinned, so that an upgrade of the cluster does not change what is refused;
// it is raised together with the operator's tests.
const PodSecurityVersion = "v1.37"

// NamespaceLabels are the labels that a tenant's Namespace has to have.
func NamespaceLabels() map[string]string {
	const level, prefix = "restricted", "pod-security.kubernetes.io/"
	return map[string]string{
		prefix + "enforce": level, prefix + "enforce-version": PodSecurityVersion,
		prefix + "warn": level, prefix + "warn-version": PodSecurityVersion,
		prefix + "audit": level, prefix + "audit-version": PodSecurityVersion,
	}
}

// Account takes the token from the service account that Pods have which name none. Those
// of runs do not, and no other is made: what nobody uses can't be misused. Pull secrets
// that somebody added to it stay.
func Account(t Tenant) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{ObjectMeta: meta(t, "default"), AutomountServiceAccountToken: ptr.To(false)}
}

// Binding lets the portal read the tenant's Pods and their logs.
func Binding(t Tenant, portal rbacv1.Subject) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: meta(t, "lethe-portal"),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: ReaderRole},
		Subjects:   []rbacv1.Subject{portal},
	}
}

func meta(t Tenant, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: name, Namespace: t.Namespace,
		Labels: map[string]string{LabelManagedBy: ManagedBy, "app.kubernetes.io/part-of": "lethe"},
	}
}
