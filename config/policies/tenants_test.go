package policies_test

import (
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

const (
	saysPrefix   = "labels and annotations that start with lethe.dev/"
	saysSecurity = "Pod Security labels"
	saysFound    = "say what the operator found"
	saysPortal   = "namespaces of tenants (label lethe.dev/tenant) and no others"
)

// change is a merge patch of a Namespace's metadata.
type change struct {
	Labels      map[string]any `json:"labels,omitempty"`
	Annotations map[string]any `json:"annotations,omitempty"`
}

func (l *land) patchNamespace(w who, c change, subresource ...string) error {
	kube, err := kubernetes.NewForConfig(l.configOf(w))
	l.must(err)
	body, err := json.Marshal(map[string]any{"metadata": c})
	l.must(err)
	_, err = kube.CoreV1().Namespaces().Patch(l.t.Context(), l.namespace, types.MergePatchType, body,
		metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}, subresource...)
	return err
}

func TestTenantsNamespaceIsProtected(t *testing.T) {
	t.Parallel()
	l := newLand(t, map[string]string{v1alpha1.LabelTenant: "t-1", "pod-security.kubernetes.io/enforce": "restricted"})
	l.must(l.as(portal).Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: l.namespace}},
		client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"lethe.dev/gpu-allowance":"2","lethe.dev/billing":"Suspended"}}}`))))
	attempts := map[string]struct {
		change      change
		subresource string
		// says is a part of the refusal; empty: it is let through.
		says string
		// portals says that it is the portal's to change; otherwise staff and operator may.
		portals bool
	}{
		"stop being a tenant":                    {change: change{Labels: map[string]any{v1alpha1.LabelTenant: nil}}, says: saysPrefix},
		"become another tenant":                  {change: change{Labels: map[string]any{v1alpha1.LabelTenant: "t-2"}}, says: saysPrefix, portals: true},
		"have more GPUs":                         {change: change{Annotations: map[string]any{v1alpha1.AnnotationGPUAllowance: "64"}}, says: saysPrefix, portals: true},
		"have a negative number of GPUs":         {change: change{Annotations: map[string]any{v1alpha1.AnnotationGPUAllowance: "-1"}}, says: saysPrefix, portals: true},
		"have no allowance any more":             {change: change{Annotations: map[string]any{v1alpha1.AnnotationGPUAllowance: nil}}, says: saysPrefix, portals: true},
		"have paid":                              {change: change{Annotations: map[string]any{v1alpha1.AnnotationBilling: "Active"}}, says: saysPrefix, portals: true},
		"have been suspended later":              {change: change{Annotations: map[string]any{v1alpha1.AnnotationSuspendedAt: "2999-01-01T00:00:00Z"}}, says: saysPrefix},
		"be of a better tier":                    {change: change{Annotations: map[string]any{v1alpha1.AnnotationTier: "trusted"}}, says: saysPrefix, portals: true},
		"reach the internet":                     {change: change{Annotations: map[string]any{v1alpha1.AnnotationInternetEgress: "true"}}, says: saysPrefix, portals: true},
		"have what nobody knows yet":             {change: change{Labels: map[string]any{"lethe.dev/anything": "x"}}, says: saysPrefix, portals: true},
		"stop being a tenant by status":          {change: change{Labels: map[string]any{v1alpha1.LabelTenant: nil}}, subresource: "status", says: saysPrefix},
		"have more GPUs by status":               {change: change{Annotations: map[string]any{v1alpha1.AnnotationGPUAllowance: "64"}}, subresource: "status", says: saysPrefix, portals: true},
		"run privileged Pods":                    {change: change{Labels: map[string]any{"pod-security.kubernetes.io/enforce": "privileged"}}, says: saysSecurity},
		"have no Pod Security":                   {change: change{Labels: map[string]any{"pod-security.kubernetes.io/enforce": nil}}, says: saysSecurity},
		"have the Pod Security of years ago":     {change: change{Labels: map[string]any{"pod-security.kubernetes.io/enforce-version": "v1.20"}}, says: saysSecurity},
		"run privileged Pods by status":          {change: change{Labels: map[string]any{"pod-security.kubernetes.io/enforce": "privileged"}}, subresource: "status", says: saysSecurity},
		"label the namespace with something":     {change: change{Labels: map[string]any{"team": "a"}}, portals: true},
		"annotate the namespace with something":  {change: change{Annotations: map[string]any{"example.com/lethe.dev": "a"}}, portals: true},
		"say what is there already":              {change: change{Labels: map[string]any{v1alpha1.LabelTenant: "t-1"}}, portals: true},
		"say what is there already by status":    {change: change{Annotations: map[string]any{v1alpha1.AnnotationGPUAllowance: "2"}}, subresource: "status", portals: true},
		"add a label that only looks like it is": {change: change{Labels: map[string]any{"xlethe.dev/tenant": "a"}}, portals: true},
	}
	for name, a := range attempts {
		t.Run("the tenant wants to "+name, func(t *testing.T) {
			t.Parallel()
			var subresource []string
			if a.subresource != "" {
				subresource = []string{a.subresource}
			}
			err := l.patchNamespace(tenant, a.change, subresource...)
			if a.says == "" {
				allowed(t, err)
			} else {
				refused(t, err, "lethe-tenants", a.says)
			}
			for _, w := range []who{operator, staff} {
				allowed(t, l.patchNamespace(w, a.change, subresource...))
			}
			if err := l.patchNamespace(portal, a.change, subresource...); (err == nil) != a.portals {
				t.Errorf("the portal may: %v, want %v", err, a.portals)
			}
		})
	}
}

func TestNobodyMakesTenants(t *testing.T) {
	t.Parallel()
	l := newLand(t, nil)
	refused(t, l.patchNamespace(tenant, change{Labels: map[string]any{v1alpha1.LabelTenant: "t-9"}}), "lethe-tenants", saysPrefix)
	refused(t, l.patchNamespace(tenant, change{Annotations: map[string]any{v1alpha1.AnnotationGPUAllowance: "8"}}), "lethe-tenants", saysPrefix)
	allowed(t, l.patchNamespace(tenant, change{Labels: map[string]any{"pod-security.kubernetes.io/enforce": "baseline"}}))
	refused(t, l.patchNamespace(portal, change{Labels: map[string]any{v1alpha1.LabelTenant: "t-9"}}), "lethe-portal", saysPortal)
	allowed(t, l.patchNamespace(staff, change{Labels: map[string]any{v1alpha1.LabelTenant: "t-9"}}))

	// Who may create namespaces makes no tenants either.
	l.grantNamespaces(tenant, portal)
	fresh := func(labels map[string]string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "fresh-", Labels: labels}}
	}
	mark := map[string]string{v1alpha1.LabelTenant: "t-9"}
	refused(t, l.as(tenant).Create(t.Context(), fresh(mark), client.DryRunAll), "lethe-tenants", saysPrefix)
	allowed(t, l.as(tenant).Create(t.Context(), fresh(nil), client.DryRunAll))
	allowed(t, l.as(portal).Create(t.Context(), fresh(mark), client.DryRunAll))
}

func TestTenantsNamespaceGoesInOrder(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	finalize := func(w who) error {
		kube, err := kubernetes.NewForConfig(l.configOf(w))
		l.must(err)
		namespace, err := kube.CoreV1().Namespaces().Get(t.Context(), l.namespace, metav1.GetOptions{})
		l.must(err)
		namespace.Spec.Finalizers = nil
		_, err = kube.CoreV1().Namespaces().Finalize(t.Context(), namespace, metav1.UpdateOptions{})
		return err
	}
	// Forged on the way, too.
	relabel := func(w who) error {
		kube, err := kubernetes.NewForConfig(l.configOf(w))
		l.must(err)
		namespace, err := kube.CoreV1().Namespaces().Get(t.Context(), l.namespace, metav1.GetOptions{})
		l.must(err)
		namespace.Labels = nil
		_, err = kube.CoreV1().Namespaces().Finalize(t.Context(), namespace, metav1.UpdateOptions{})
		return err
	}
	allowed(t, l.as(tenant).Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: l.namespace}}))
	const says = "taken off by the namespace controller alone"
	refused(t, finalize(tenant), "lethe-tenants", says)
	refused(t, finalize(staff), "lethe-tenants", says)
	refused(t, relabel(tenant), "lethe-tenants", saysPrefix)
	allowed(t, finalize(namespaceController))
}

func TestWhatTheOperatorFoundIsItsOwn(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	for _, annotation := range []string{v1alpha1.AnnotationSuspendedAt, "lethe.dev/runtime-class"} {
		refused(t, l.patchNamespace(portal, change{Annotations: map[string]any{annotation: "x"}}), "lethe-tenants", saysFound)
		allowed(t, l.patchNamespace(operator, change{Annotations: map[string]any{annotation: "x"}}))
	}
}

// TestTheClusterIsNoTenant asks an administrator, who may do everything else.
func TestTheClusterIsNoTenant(t *testing.T) {
	t.Parallel()
	l := newLand(t, nil)
	for _, name := range []string{"kube-system", "default", systemNamespace} {
		err := l.cluster.Client.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}},
			client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"lethe.dev/tenant":"t-1"}}}`)), client.DryRunAll)
		refused(t, err, "lethe-tenants", "never a tenant")
	}
}

// TestWhoTakesThePortalOver reaches tenants and nobody else, although RBAC lets it.
func TestWhoTakesThePortalOver(t *testing.T) {
	t.Parallel()
	l, free := newTenant(t), newLand(t, map[string]string{"team": "b"})
	l.grantNamespaces(portal)
	c := l.as(portal)
	refused(t, c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "fresh-"}}, client.DryRunAll), "lethe-portal", saysPortal)
	refused(t, free.patchNamespace(portal, change{Labels: map[string]any{"pod-security.kubernetes.io/enforce": "privileged"}}), "lethe-portal", saysPortal)
	refused(t, free.patchNamespace(portal, change{Labels: map[string]any{"team": nil}}, "status"), "lethe-portal", saysPortal)
	refused(t, l.patchNamespace(portal, change{Labels: map[string]any{v1alpha1.LabelTenant: nil}}), "lethe-portal", saysPortal)
	refused(t, c.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: free.namespace}}, client.DryRunAll), "lethe-portal", saysPortal)
	allowed(t, c.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: l.namespace}}, client.DryRunAll))

	const elsewhere = "in namespaces of tenants and in no others"
	theirs := run(free.namespace, "theirs", pinned)
	free.must(free.as(tenant).Create(t.Context(), theirs))
	refused(t, c.Create(t.Context(), run(free.namespace, "spent", pinned), client.DryRunAll), "lethe-portal", elsewhere)
	refused(t, c.Create(t.Context(), dataset(free.namespace, "planted"), client.DryRunAll), "lethe-portal", elsewhere)
	refused(t, c.Delete(t.Context(), theirs, client.DryRunAll), "lethe-portal", elsewhere)
	suspended := theirs.DeepCopy()
	suspended.Spec.Suspend = true
	refused(t, c.Patch(t.Context(), suspended, client.MergeFrom(theirs), client.DryRunAll), "lethe-portal", elsewhere)
	allowed(t, c.Create(t.Context(), run(l.namespace, "bought", allowedImage), client.DryRunAll))
	allowed(t, c.Create(t.Context(), dataset(l.namespace, "uploaded"), client.DryRunAll))
}
