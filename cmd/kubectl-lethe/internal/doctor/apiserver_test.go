package doctor

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging/discovery"
	"github.com/lethe-dev/lethe/controllers/tenant/resources"
	"github.com/lethe-dev/lethe/hack/apitest"
)

func TestMain(m *testing.M) { apitest.Main(m) }

// installed are the objects of config/ that are looked for, but for the kinds, which the
// API server of tests has.
func installed(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	files := []string{"manager/namespace.yaml", "manager/images.yaml", "manager/deployment.yaml", "rbac/discovery.yaml", "webhook/validating.yaml"}
	policies, err := filepath.Glob("../../../../config/policies/*.yaml")
	if err != nil || len(policies) < 10 {
		t.Fatalf("find the policies: %v, %v", policies, err)
	}
	policies = slices.DeleteFunc(policies, func(file string) bool { return filepath.Base(file) == "kustomization.yaml" })
	for i, file := range files {
		files[i] = filepath.Join("../../../../config", file)
	}
	var objects []*unstructured.Unstructured
	for _, file := range append(files, policies...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		documents := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
		for {
			o := &unstructured.Unstructured{}
			if err := documents.Decode(o); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("read %s: %v", file, err)
			}
			objects = append(objects, o)
		}
	}
	return objects
}

// tiersOf is the configuration of tenants, under the name that the Deployment has for it
// before kustomize adds a hash.
func tiersOf(t *testing.T) *corev1.ConfigMap {
	t.Helper()
	text, err := os.ReadFile("../../../../config/tenants/tenants.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: "lethe-tenants"}, Data: map[string]string{"tenants.yaml": string(text)},
	}
}

// TestWantedIsWhatIsInstalled compares wanted.go with config/.
func TestWantedIsWhatIsInstalled(t *testing.T) {
	t.Parallel()
	names := map[string][]string{}
	for _, o := range installed(t) {
		names[o.GetKind()] = append(names[o.GetKind()], o.GetName())
	}
	slices.Sort(names["ValidatingAdmissionPolicy"])
	want := map[string][]string{
		"Deployment": {Operator}, "Namespace": {Namespace}, "ValidatingWebhookConfiguration": {Webhook},
		"ValidatingAdmissionPolicy": slices.Sorted(slices.Values(Policies)), "MutatingAdmissionPolicy": Defaults,
	}
	for kind := range want {
		if diff := cmp.Diff(want[kind], names[kind]); diff != "" {
			t.Errorf("%s (-wanted here +in config):\n%s", kind, diff)
		}
	}
	if !slices.Contains(names["ConfigMap"], Images) || !slices.Contains(names["ConfigMap"], discovery.ConfigMapName) {
		t.Errorf("ConfigMaps %v lack %s or %s", names["ConfigMap"], Images, discovery.ConfigMapName)
	}
}

// examined are the outcomes of the checks, and what was found.
func examined(t *testing.T, config *rest.Config, tenant string) (map[string]Outcome, map[string]string) {
	t.Helper()
	c, err := Connect(config)
	if err != nil {
		t.Fatal(err)
	}
	outcomes, found := map[string]Outcome{}, map[string]string{}
	for _, r := range Decide(Gather(t.Context(), c, tenant, time.Now())) {
		outcomes[r.Name], found[r.Name] = r.Outcome, r.Found
	}
	return outcomes, found
}

// TestOnAnAPIServer tells the story of a cluster that becomes fit for Lethe, as far as an
// API server alone can.
func TestOnAnAPIServer(t *testing.T) {
	t.Parallel()
	server := apitest.Start(t)
	outcomes, found := examined(t, server.Config, "")
	want := map[string]Outcome{
		"rights": Passed, "kubernetes": Passed, "kinds": Passed, "operator": Failed, "leader": Failed, "published": Failed, "broker": Unknown,
		"webhooks": Failed, "policies": Failed, "images": Failed, "tenants": Passed, "pod-security": Unknown, "no-host-path": Unknown,
		"pod-policy": Unknown, "image-policy": Unknown, "network-policies": Unknown, "encryption": Unknown, "gpus": Unknown,
		"runtime-classes": Unknown, "queue": Passed,
	}
	if diff := cmp.Diff(want, outcomes); diff != "" {
		t.Fatalf("a bare API server (-want +got):\n%s%v", diff, found)
	}

	open := makeTenant(t, server.Client, "tenant-open", nil)
	outcomes, found = examined(t, server.Config, open)
	for _, check := range []string{"pod-security", "no-host-path", "pod-policy", "image-policy"} {
		if outcomes[check] != Failed {
			t.Errorf("%s in a namespace without bounds: %s: %s", check, outcomes[check], found[check])
		}
	}

	for _, o := range installed(t) {
		if err := server.Client.Create(t.Context(), o); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatalf("create %s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
	if err := server.Client.Create(t.Context(), tiersOf(t)); err != nil {
		t.Fatal(err)
	}
	bounded := makeTenant(t, server.Client, "tenant-bounded", resources.NamespaceLabels())
	// What a real tenant has beside it refuses nothing in the probes' place.
	usual := resources.Default()
	tenant := resources.Tenant{Namespace: bounded, Tier: usual.Tiers[usual.DefaultTier]}
	if err := errors.Join(server.Client.Create(t.Context(), resources.Limits(tenant)), server.Client.Create(t.Context(), resources.Quota(tenant, usual))); err != nil {
		t.Fatal(err)
	}
	maps.Copy(want, map[string]Outcome{
		"policies": Passed, "images": Passed, "pod-security": Passed, "no-host-path": Passed, "pod-policy": Passed, "image-policy": Passed,
		"runtime-classes": Passed, "tenants": Failed,
	})
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		outcomes, found = examined(t, server.Config, bounded)
		return cmp.Equal(want, outcomes), nil
	})
	if err != nil {
		t.Errorf("policies in force (-want +got):\n%s%v", cmp.Diff(want, outcomes), found)
	}

	var pods corev1.PodList
	if err := server.Client.List(t.Context(), &pods); err != nil || len(pods.Items) > 0 {
		t.Errorf("%d Pods were made, %v", len(pods.Items), err)
	}
	operate(t, server.Client)
	maps.Copy(want, map[string]Outcome{"operator": Passed, "webhooks": Passed, "leader": Failed})
	if outcomes, found = examined(t, server.Config, bounded); !cmp.Equal(want, outcomes) {
		t.Errorf("with an operator (-want +got):\n%s%v", cmp.Diff(want, outcomes), found)
	}
}

// makeTenant makes a tenant's Namespace, with the service account that a controller would
// make.
func makeTenant(t *testing.T, c client.Client, name string, labels map[string]string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.LabelTenant: "1"}}}
	maps.Copy(namespace.Labels, labels)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "default"}}
	if err := errors.Join(c.Create(t.Context(), namespace), c.Create(t.Context(), account)); err != nil {
		t.Fatal(err)
	}
	return name
}

// operate writes what an operator would.
func operate(t *testing.T, c client.Client) {
	t.Helper()
	var deployment appsv1.Deployment
	var hooks admissionv1.ValidatingWebhookConfiguration
	err := errors.Join(
		c.Get(t.Context(), client.ObjectKey{Namespace: Namespace, Name: Operator}, &deployment),
		c.Get(t.Context(), client.ObjectKey{Name: Webhook}, &hooks),
	)
	if err != nil {
		t.Fatal(err)
	}
	deployment.Status = appsv1.DeploymentStatus{ObservedGeneration: deployment.Generation, Replicas: 1, ReadyReplicas: 1, UpdatedReplicas: 1}
	ca := []byte(certificate(t, time.Now().Add(time.Hour)))
	for i := range hooks.Webhooks {
		hooks.Webhooks[i].ClientConfig.CABundle = ca
	}
	if err := errors.Join(c.Status().Update(t.Context(), &deployment), c.Update(t.Context(), &hooks)); err != nil {
		t.Fatal(err)
	}
}

// TestWithoutRights: who may see nothing is told so, and nothing is said to have failed
// but what everybody may see.
func TestWithoutRights(t *testing.T) {
	t.Parallel()
	server := apitest.Start(t)
	ann := rest.CopyConfig(server.Config)
	ann.Impersonate = rest.ImpersonationConfig{UserName: "ann", Groups: []string{"system:authenticated"}}
	outcomes, found := examined(t, ann, "")
	for check, outcome := range outcomes {
		// Where the broker is may be read by all, once another test has installed that.
		served := slices.Contains([]string{"kubernetes", "queue", "published", "broker"}, check)
		if outcome != Unknown && !served {
			t.Errorf("%s: %s: %s", check, outcome, found[check])
		}
	}
	if !strings.Contains(found["rights"], "list Nodes") {
		t.Errorf("rights: %s", found["rights"])
	}
}

// TestReaderIsEnough: reading all, and making Pods in the tenant's namespace, are all the
// rights that it takes.
func TestReaderIsEnough(t *testing.T) {
	t.Parallel()
	server := apitest.Start(t)
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "doctor"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list"}},
		{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}},
	}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "doctor"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "doctor"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "doctor"}},
	}
	if err := errors.Join(server.Client.Create(t.Context(), role), server.Client.Create(t.Context(), binding)); err != nil {
		t.Fatal(err)
	}
	reader := rest.CopyConfig(server.Config)
	reader.Impersonate = rest.ImpersonationConfig{UserName: "doctor", Groups: []string{"system:authenticated"}}
	namespace := server.Namespace(t)
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		outcomes, _ := examined(t, reader, namespace)
		return outcomes["rights"] == Passed, nil
	})
	outcomes, found := examined(t, reader, namespace)
	if err != nil || outcomes["pod-security"] != Unknown || !strings.Contains(found["pod-security"], "no right to create Pods") {
		t.Errorf("%v %v", outcomes, found)
	}
}

// TestKnock: whoever answers over verified TLS is the broker, and is sent no token.
func TestKnock(t *testing.T) {
	t.Parallel()
	var sent string
	broker := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = r.Header.Get("Authorization")
		http.Redirect(w, r, "https://elsewhere.invalid", http.StatusFound)
	}))
	defer broker.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: broker.Certificate().Raw})
	l, err := Connect(&rest.Config{Host: "https://api.invalid", BearerToken: "token-of-ann"})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Knock(t.Context(), broker.URL, ca); err != nil || sent != "" {
		t.Errorf("%v, sent %q", err, sent)
	}
	for name, ca := range map[string]string{"another's certificate": certificate(t, time.Now().Add(time.Hour)), "none": ""} {
		if err := l.Knock(t.Context(), broker.URL, []byte(ca)); err == nil {
			t.Errorf("%s: was not refused", name)
		}
	}
	if err := l.Knock(t.Context(), strings.Replace(broker.URL, "https", "http", 1), ca); err == nil {
		t.Error("http was taken")
	}
}
