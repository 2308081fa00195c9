package policies_test

import (
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// TestQueuesAreTheAdministrators: a tenant makes no queue, in whichever namespace, and no
// Workload that says that one has let its run in. A run can name a queue of its own
// namespace only: the name has no namespace in it, and Kueue reads it off the run's Job.
func TestQueuesAreTheAdministrators(t *testing.T) {
	t.Parallel()
	l, other := newTenant(t), newTenant(t)
	stubQueues(l)
	queue := func(in *land) client.Object {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(schema.GroupVersionKind{Group: "kueue.x-k8s.io", Version: "v1beta1", Kind: "LocalQueue"})
		u.SetNamespace(in.namespace)
		u.SetName("research")
		return u
	}
	refused(t, l.as(tenant).Create(t.Context(), queue(l), client.DryRunAll), objectsPolicy, saysOperator("localqueues"))
	allowed(t, l.as(staff).Create(t.Context(), queue(l), client.DryRunAll))
	stranger := who{"stranger", []string{"system:authenticated"}}
	if err := l.as(stranger).Create(t.Context(), queue(other), client.DryRunAll); !apierrors.IsForbidden(err) {
		t.Errorf("somebody makes a queue in a tenant's namespace: %v", err)
	}
	named := run(l.namespace, "queued", allowedImage)
	for _, name := range []string{other.namespace + "/research", "../" + other.namespace, other.namespace + ":research"} {
		named.Spec.QueueName = name
		if err := l.as(tenant).Create(t.Context(), named, client.DryRunAll); !apierrors.IsInvalid(err) {
			t.Errorf("a run names the queue %q: %v", name, err)
		}
	}
}

// stubQueues makes Kueue's kind, without Kueue.
func stubQueues(l *land) {
	l.t.Helper()
	anything := true
	_, err := envtest.InstallCRDs(l.cluster.Config, envtest.CRDInstallOptions{CRDs: []*apiextensionsv1.CustomResourceDefinition{{
		ObjectMeta: metav1.ObjectMeta{
			Name: "localqueues.kueue.x-k8s.io", Annotations: map[string]string{"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/kueue"},
		},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "kueue.x-k8s.io", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: "LocalQueue", ListKind: "LocalQueueList", Plural: "localqueues", Singular: "localqueue"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1beta1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{
					OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: &anything},
				},
			}},
		},
	}}})
	l.must(err)
}
