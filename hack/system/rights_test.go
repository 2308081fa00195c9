package system_test

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/controllers/tenant/resources"
	"github.com/lethe-dev/lethe/hack/rights"
)

// auditLogs are the API server's, with those that it has closed.
const auditLogs = "/var/lib/lethe-lab/logs/audit*.log"

// checkRights compares what the operator has asked for, from its start to the end of all
// journeys, with what it is allowed: it asked for nothing else, and for all of it. It says
// nothing when only some of the journeys ran.
func checkRights() error {
	for _, which := range []string{"test.run", "test.skip"} {
		if f := flag.Lookup(which); f != nil && f.Value.String() != "" {
			return nil
		}
	}
	logs, err := filepath.Glob(auditLogs)
	if err != nil {
		return fmt.Errorf("find the audit logs: %w", err)
	}
	findings, used, err := rights.OfOperator("../../config/rbac", logs)
	switch {
	case err != nil:
		return err
	case !findings.None():
		return fmt.Errorf("the operator's rights are not what it needs, by %d requests (%s):\n%s", used.Requests, auditLogs, findings)
	}
	fmt.Printf("the operator's rights are what it needs, by %d requests\n", used.Requests)
	return nil
}

// TestTenantIsKeptInOrder: what has the operator's label and is not meant to be in a
// tenant's namespace goes, and what is meant to be there comes back.
func TestTenantIsKeptInOrder(t *testing.T) {
	t.Parallel()
	ns := newTenant(t, 0)
	meta := metav1.ObjectMeta{Namespace: ns, Name: "lethe-stray", Labels: map[string]string{resources.LabelManagedBy: resources.ManagedBy}}
	for _, stray := range []client.Object{
		&corev1.ResourceQuota{ObjectMeta: meta},
		&corev1.LimitRange{ObjectMeta: meta},
		&networkingv1.NetworkPolicy{ObjectMeta: meta},
		&rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"}},
	} {
		create(t, stray)
		waitGone(t, stray)
	}
	before := boundsOf(t, ns)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "default"}}
	ours := metav1.ObjectMeta{Namespace: ns, Name: "lethe"}
	for _, object := range []client.Object{&corev1.ResourceQuota{ObjectMeta: ours}, &corev1.LimitRange{ObjectMeta: ours}, account} {
		if err := lab.kube.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprintf("a %T of the operator's", object), func(ctx context.Context) (bool, string, error) {
			err := lab.kube.Get(ctx, client.ObjectKeyFromObject(object), object)
			marked := object.GetLabels()[resources.LabelManagedBy] == resources.ManagedBy
			return err == nil && marked && object.GetDeletionTimestamp().IsZero(), "there is none", err
		})
	}
	if ptr.Deref(account.AutomountServiceAccountToken, true) {
		t.Error("the service account has a token again")
	}
	if diff := cmp.Diff(before, boundsOf(t, ns)); diff != "" {
		t.Errorf("the bounds are not what they were:\n%s", diff)
	}
}
