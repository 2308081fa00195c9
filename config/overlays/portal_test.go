package overlays_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/controllers/tenant/resources"
	"github.com/lethe-dev/lethe/hack/apitest"
)

// portalRights are all that the portal may do in the whole cluster, as GROUP/RESOURCE: VERBS. The policy
// config/policies/portal.yaml bounds what it may write.
var portalRights = map[string]string{
	"/namespaces":                         "create delete get list patch watch",
	"/nodes":                              "list watch",
	"lethe.dev/datasetretentions":         "create delete get list patch watch",
	"lethe.dev/datasetretentions/upload":  "create",
	"lethe.dev/trainingruns":              "create delete get list patch watch",
	"lethe.dev/trainingruns/artifacts":    "get",
	"lethe.dev/datasetretentions/receipt": "get",
}

func TestThePortalsRole(t *testing.T) {
	t.Parallel()
	role := find[rbacv1.ClusterRole](t, build(t, "portal"), "ClusterRole", "lethe-portal")
	got := map[string]string{}
	for _, rule := range role.Rules {
		if len(rule.ResourceNames)+len(rule.NonResourceURLs) > 0 || len(rule.APIGroups) != 1 {
			t.Errorf("an unexpected rule: %v", rule)
		}
		slices.Sort(rule.Verbs)
		for _, resource := range rule.Resources {
			got[rule.APIGroups[0]+"/"+resource] = strings.Join(rule.Verbs, " ")
		}
	}
	if diff := cmp.Diff(portalRights, got); diff != "" {
		t.Errorf("the portal's rights (-want +got):\n%s", diff)
	}
}

// TestWhatThePortalMayDo asks a real API server, with a token of the portal's account, in a
// tenant's namespace and in another one.
func TestWhatThePortalMayDo(t *testing.T) {
	t.Parallel()
	server := apitest.Start(t)
	tenant, other := server.Namespace(t), server.Namespace(t)
	bind(t, server.Client, tenant)
	portal := asPortal(t, server)
	type ask = authorizationv1.ResourceAttributes
	for name, test := range map[string]struct {
		ask ask
		// may says in the tenant's namespace, and in another one.
		may, elsewhere bool
	}{
		"make a tenant":              {ask{Verb: "create", Resource: "namespaces"}, true, true},
		"start a run":                {ask{Verb: "create", Group: "lethe.dev", Resource: "trainingruns"}, true, true},
		"lend an upload":             {ask{Verb: "create", Group: "lethe.dev", Resource: "datasetretentions", Subresource: "upload"}, true, true},
		"read artifacts":             {ask{Verb: "get", Group: "lethe.dev", Resource: "trainingruns", Subresource: "artifacts"}, true, true},
		"see the GPUs":               {ask{Verb: "list", Resource: "nodes"}, true, true},
		"see Pods":                   {ask{Verb: "list", Resource: "pods"}, true, false},
		"read logs":                  {ask{Verb: "get", Resource: "pods", Subresource: "log"}, true, false},
		"see events":                 {ask{Verb: "list", Resource: "events"}, true, false},
		"write a status":             {ask{Verb: "patch", Group: "lethe.dev", Resource: "trainingruns", Subresource: "status"}, false, false},
		"change Pods":                {ask{Verb: "patch", Resource: "pods"}, false, false},
		"run commands in Pods":       {ask{Verb: "create", Resource: "pods", Subresource: "exec"}, false, false},
		"reach kubelets":             {ask{Verb: "get", Resource: "nodes", Subresource: "proxy"}, false, false},
		"read Secrets":               {ask{Verb: "get", Resource: "secrets"}, false, false},
		"read ConfigMaps":            {ask{Verb: "list", Resource: "configmaps"}, false, false},
		"be another user":            {ask{Verb: "impersonate", Resource: "users"}, false, false},
		"ask for tokens":             {ask{Verb: "create", Resource: "serviceaccounts", Subresource: "token"}, false, false},
		"give rights":                {ask{Verb: "create", Group: rbacv1.GroupName, Resource: "rolebindings"}, false, false},
		"put on hold":                {ask{Verb: "hold", Group: "lethe.dev", Resource: "datasetretentions"}, false, false},
		"take a tenant's bounds off": {ask{Verb: "administer", Group: "lethe.dev", Resource: "tenants"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for namespace, want := range map[string]bool{tenant: test.may, other: test.elsewhere} {
				test.ask.Namespace = namespace
				// Rights count when the API server's caches have them.
				settled := func(ctx context.Context) (bool, error) {
					review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &test.ask}}
					err := portal.Create(ctx, review)
					return review.Status.Allowed == want, err
				}
				if err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, 10*time.Second, true, settled); err != nil {
					t.Errorf("in the tenant's namespace (%t): want %t: %v", namespace == tenant, want, err)
				}
			}
		})
	}
}

// bind makes the portal's account and its rights, for real, and those that the operator binds in
// a tenant's namespace.
func bind(t *testing.T, c client.Client, tenant string) {
	t.Helper()
	objects := build(t, "portal")
	prepare(t, c, objects)
	roles := slices.DeleteFunc(append(objects, build(t, "rbac")...), func(o *unstructured.Unstructured) bool {
		return !strings.HasPrefix(o.GetKind(), "ClusterRole")
	})
	for _, o := range roles {
		if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("overlays"), client.ForceOwnership); err != nil {
			t.Fatal(err)
		}
	}
	portal := rbacv1.Subject{Kind: "ServiceAccount", Namespace: "lethe-system", Name: "lethe-portal"}
	if err := c.Create(t.Context(), resources.Binding(resources.Tenant{Namespace: tenant}, portal)); err != nil {
		t.Fatal(err)
	}
}

// asPortal gives a client with a token of the portal's account.
func asPortal(t *testing.T, server *apitest.Cluster) client.Client {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "lethe-system", Name: "lethe-portal"}}
	token := &authenticationv1.TokenRequest{}
	if err := server.Client.SubResource("token").Create(t.Context(), account, token); err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(server.Config)
	config.BearerToken, config.QPS = token.Status.Token, -1
	c, err := client.New(config, client.Options{Scheme: server.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestThePortalsPods holds for each overlay what the portal's start depends on.
func TestThePortalsPods(t *testing.T) {
	t.Parallel()
	for folder, postgres := range map[string]bool{
		"portal": false, "overlays/single-node": false, "overlays/production": true, "overlays/example": true,
	} {
		objects := build(t, folder)
		d := find[appsv1.Deployment](t, objects, "Deployment", "lethe-portal")
		pod := d.Spec.Template.Spec
		// The Service's variables begin like the portal's settings, which refuses what it does not know.
		if pod.EnableServiceLinks == nil || *pod.EnableServiceLinks {
			t.Errorf("%s: the Pods have variables of Services", folder)
		}
		migrate, serve := pod.InitContainers[0], pod.Containers[0]
		if migrate.Image != serve.Image || !slices.Equal(migrate.Args, []string{"migrate"}) || !slices.Equal(serve.Args, []string{"serve"}) {
			t.Errorf("%s: %s %v, then %s %v", folder, migrate.Image, migrate.Args, serve.Image, serve.Args)
		}
		if mountsToken(pod, migrate) || !mountsToken(pod, serve) {
			t.Errorf("%s: only what serves has a token", folder)
		}
		claim := slices.ContainsFunc(objects, func(o *unstructured.Unstructured) bool {
			return o.GetKind() == "PersistentVolumeClaim" && o.GetName() == "lethe-portal"
		})
		if claim == postgres || (d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType) == postgres || (*d.Spec.Replicas == 1) == postgres {
			t.Errorf("%s: a claim: %t, %d replicas, %s", folder, claim, *d.Spec.Replicas, d.Spec.Strategy.Type)
		}
		for _, container := range []corev1.Container{migrate, serve} {
			if got := variable(container, "LETHE_PORTAL_DATABASE"); (got.ValueFrom != nil) != postgres {
				t.Errorf("%s: the database of %s is %+v", folder, container.Name, got)
			}
		}
	}
}

func variable(c corev1.Container, name string) corev1.EnvVar {
	i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name })
	if i < 0 {
		return corev1.EnvVar{}
	}
	return c.Env[i]
}

func mountsToken(pod corev1.PodSpec, c corev1.Container) bool {
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		return true
	}
	return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
		return m.MountPath == "/var/run/secrets/kubernetes.io/serviceaccount"
	})
}

// TestUndeployLeavesData: what can't be made again has the label by which `make undeploy`
// leaves it.
func TestUndeployLeavesData(t *testing.T) {
	t.Parallel()
	for _, o := range build(t, "overlays/single-node") {
		data := o.GetKind() == "Namespace" || o.GetKind() == "PersistentVolumeClaim" || o.GetNamespace() == "lethe-store" ||
			o.GetName() == "lethe-receipts"
		if kept := o.GetLabels()["lethe.dev/undeploy"] == "keep"; kept != data {
			t.Errorf("%s %s is kept: %t", o.GetKind(), o.GetName(), kept)
		}
	}
}
