package tenant

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/hack/apitest"
)

// as is a client of somebody else.
func as(t *testing.T, user string) client.WithWatch {
	t.Helper()
	cluster := apitest.Start(t)
	connection := rest.CopyConfig(cluster.Config)
	connection.Impersonate.UserName = user
	c, err := client.NewWithWatch(connection, client.Options{Scheme: cluster.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// install creates the objects of a file of config, in the namespace lethe-system.
func (w *world) install(file string) {
	w.t.Helper()
	text, err := os.ReadFile("../../config/rbac/" + file)
	w.must(err)
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var object unstructured.Unstructured
		err := documents.Decode(&object)
		if errors.Is(err, io.EOF) {
			return
		}
		w.must(err)
		w.must(client.IgnoreAlreadyExists(w.client.Create(w.t.Context(), &object)))
	}
}

// TestTheOperatorsRightsAreEnough: with what config/rbac gives it, and no more, the
// operator sets a tenant up, changes things back, and cleans up; the portal can read Pods
// then, there and nowhere else; and the operator can bind no other role.
func TestTheOperatorsRightsAreEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{v1alpha1.AnnotationGPUAllowance: "1", v1alpha1.AnnotationInternetEgress: "true"})
	w.must(client.IgnoreAlreadyExists(w.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "lethe-system"}})))
	for _, file := range []string{"role.yaml", "bindings.yaml", "tenant_roles.yaml"} {
		w.install(file)
	}
	operator := as(t, v1alpha1.OperatorUser)
	w.reconciler.client = counting(operator, w.writes)
	// Roles take a moment to be known to the API server.
	w.eventually(func() string {
		var list rbacv1.RoleBindingList
		if err := operator.List(t.Context(), &list); err != nil {
			return err.Error()
		}
		return ""
	})
	w.settle()
	w.says(corev1.ConditionTrue, v1alpha1.ReasonTenantReady)
	w.annotate(v1alpha1.AnnotationInternetEgress, "")
	w.annotate(v1alpha1.AnnotationBilling, "Suspended")
	w.settle()
	w.says(corev1.ConditionFalse, v1alpha1.ReasonPaymentRequired)
	w.contains(everything...)

	portal := as(t, v1alpha1.PortalUser)
	w.eventually(func() string {
		if err := portal.List(t.Context(), &corev1.PodList{}, client.InNamespace(w.name)); err != nil {
			return err.Error()
		}
		return ""
	})
	if err := portal.List(t.Context(), &corev1.PodList{}, client.InNamespace("lethe-system")); !apierrors.IsForbidden(err) {
		t.Errorf("the portal lists the Pods of the operator: %v", err)
	}
	if err := portal.List(t.Context(), &corev1.SecretList{}, client.InNamespace(w.name)); !apierrors.IsForbidden(err) {
		t.Errorf("the portal lists the tenant's Secrets: %v", err)
	}
	more := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.name, Name: "more"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "lethe-system", Name: "lethe-manager"}},
	}
	if err := operator.Create(t.Context(), more); !apierrors.IsForbidden(err) {
		t.Errorf("the operator makes itself an administrator: %v", err)
	}
}
