// Package policies_test tries to get around the policies of this folder, on a real API
// server on which all of them are in force under their own names.
package policies_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/hack/apitest"
)

func TestMain(m *testing.M) { apitest.Main(m) }

const (
	systemNamespace = "lethe-system"
	imagesConfigMap = "lethe-images"
	pinned          = "registry.example/evil/miner@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	allowedRegistry = "registry.example/team/"
	allowedImage    = allowedRegistry + "trainer:v1"
	stagerImage     = "registry.example/lethe/stager:v1"
)

// who asks: a user and the groups that the API server would put it into.
type who struct {
	user   string
	groups []string
}

var (
	// tenant has every right in its own namespace, more than any role of Kubernetes
	// gives; and none elsewhere.
	tenant   = who{"mallory", []string{"system:authenticated"}}
	operator = who{v1alpha1.OperatorUser, []string{"system:serviceaccounts", "system:serviceaccounts:lethe-system"}}
	portal   = who{v1alpha1.PortalUser, []string{"system:serviceaccounts", "system:serviceaccounts:lethe-system"}}
	// staff has the verb "administer", by the role of this folder.
	staff               = who{"staff", []string{"system:authenticated", "platform-team"}}
	jobController       = kubeSystem("job-controller")
	replicaSets         = kubeSystem("replicaset-controller")
	cronJobs            = kubeSystem("cronjob-controller")
	collector           = kubeSystem("generic-garbage-collector")
	namespaceController = kubeSystem("namespace-controller")
	oneControllerForAll = who{"system:kube-controller-manager", nil}
	kubelet             = who{"system:node:node-1", []string{"system:nodes", "system:masters-of-nothing"}}
)

func kubeSystem(name string) who {
	return who{
		"system:serviceaccount:kube-system:" + name,
		[]string{"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"},
	}
}

var everybody = []who{
	tenant, operator, portal, staff, jobController, replicaSets, cronJobs, collector, namespaceController, oneControllerForAll, kubelet,
}

// land is one tenant's namespace, or one that is nobody's.
type land struct {
	t         *testing.T
	cluster   *apitest.Cluster
	namespace string
}

var force struct {
	once sync.Once
	err  error
}

// newLand makes a namespace in which everybody may do everything, as far as RBAC goes.
func newLand(t *testing.T, labels map[string]string) *land {
	t.Helper()
	cluster := apitest.Start(t)
	force.once.Do(func() { force.err = putIntoForce(cluster) })
	if force.err != nil {
		t.Fatalf("put the policies into force: %v", force.err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "land-", Labels: labels}}
	l := &land{t: t, cluster: cluster}
	l.must(cluster.Client.Create(t.Context(), namespace))
	l.namespace = namespace.Name
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: "everything"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
	}
	for _, one := range everybody {
		binding.Subjects = append(binding.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: one.user})
	}
	l.must(cluster.Client.Create(t.Context(), binding))
	l.await(everybody[0], authorizationv1.ResourceAttributes{Namespace: l.namespace, Verb: "*", Group: "*", Resource: "*"})
	return l
}

// await waits until the API server knows of a right that was just given: its authorizer
// hears of roles and bindings a moment later.
func (l *land) await(w who, right authorizationv1.ResourceAttributes) {
	l.t.Helper()
	l.must(wait.PollUntilContextCancel(l.t.Context(), 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: w.user, Groups: w.groups, ResourceAttributes: &right,
		}}
		err := l.cluster.Client.Create(ctx, review)
		return err == nil && review.Status.Allowed, err
	}))
}

func newTenant(t *testing.T) *land {
	t.Helper()
	return newLand(t, map[string]string{v1alpha1.LabelTenant: "t-1"})
}

// tier writes what the operator finds out about a tenant's tier, and waits until the
// policies see it: the API server hears of its own Namespaces a moment later.
func (l *land) tier(annotation, value string, seen func() error) {
	l.t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, annotation, value)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: l.namespace}}
	l.must(l.cluster.Client.Patch(l.t.Context(), namespace, client.RawPatch(types.MergePatchType, patch)))
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer cancel()
	var last error
	err := wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(context.Context) (bool, error) {
		last = seen()
		return last == nil, nil
	})
	if err != nil {
		l.t.Fatalf("with %s=%s it is still refused: %v", annotation, value, last)
	}
}

func (l *land) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatalf("test: %v", err)
	}
}

// as is a client of somebody else.
func (l *land) as(w who) client.Client {
	l.t.Helper()
	c, err := client.New(l.configOf(w), client.Options{Scheme: l.cluster.Scheme})
	l.must(err)
	return c
}

func (l *land) configOf(w who) *rest.Config {
	config := rest.CopyConfig(l.cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: w.user, Groups: w.groups}
	// Warnings of the API server belong into no test's output.
	config.WarningHandler = rest.NoWarnings{}
	return config
}

// refused asserts a refusal by a policy, and what it says.
func refused(t *testing.T, err error, policy, says string) {
	t.Helper()
	switch {
	case !apierrors.IsForbidden(err):
		t.Errorf("error %v, want a refusal", err)
	case !strings.Contains(err.Error(), "'"+policy+"'") || !strings.Contains(err.Error(), says):
		t.Errorf("refused with %q, want policy %s to say %q", err, policy, says)
	}
}

func allowed(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("refused: %v", err)
	}
}

// putIntoForce installs every file of this folder that kustomize would, and waits until
// each policy refuses what it should.
func putIntoForce(cluster *apitest.Cluster) error {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}}
	if err := cluster.Client.Create(ctx, system); err != nil {
		return err
	}
	if err := publishImages(ctx, cluster.Client); err != nil {
		return err
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "staff"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "lethe-tenant-administrator"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "platform-team"}},
	}
	if err := cluster.Client.Create(ctx, binding); err != nil {
		return err
	}
	var policies []string
	names, err := files()
	if err != nil {
		return err
	}
	for _, file := range names {
		objects, err := documents(file)
		if err != nil {
			return err
		}
		for _, o := range objects {
			if o.GetKind() == "ValidatingAdmissionPolicy" {
				policies = append(policies, o.GetName())
			}
			strictly := &client.CreateOptions{Raw: &metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}}
			if err := cluster.Client.Create(ctx, o, strictly); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return waitForAll(ctx, cluster, policies)
}

// publishImages does what the operator does with its flags: one on each line.
func publishImages(ctx context.Context, c client.Client) error {
	settings, err := documents(filepath.Join("..", "manager", "images.yaml"))
	if err != nil {
		return err
	}
	if err := c.Create(ctx, settings[0]); err != nil {
		return err
	}
	data := `{"data":{"registries":"other.example/x/\n` + allowedRegistry + `","images":"` + stagerImage + `"}}`
	return c.Patch(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: imagesConfigMap}},
		client.RawPatch("application/merge-patch+json", []byte(data)))
}

// files are those that kustomization.yaml names.
func files() ([]string, error) {
	text, err := os.ReadFile("kustomization.yaml")
	if err != nil {
		return nil, err
	}
	var kustomization struct {
		Resources []string `json:"resources"`
	}
	if err := yaml.UnmarshalStrict(text, &kustomization); err != nil {
		return nil, err
	}
	return kustomization.Resources, nil
}

// documents are the objects of a YAML file.
func documents(file string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, o); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, o)
	}
}

// waitForAll waits until each policy is in force, which takes the API server a moment:
// each is seen to refuse something.
func waitForAll(ctx context.Context, cluster *apitest.Cluster, policies []string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-", Labels: map[string]string{v1alpha1.LabelTenant: "probe"}}}
	if err := cluster.Client.Create(ctx, namespace); err != nil {
		return err
	}
	mallory := rest.CopyConfig(cluster.Config)
	mallory.Impersonate = rest.ImpersonationConfig{UserName: "prober"}
	// All the usual verbs, and so not "hold".
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "prober"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "create", "update", "patch", "delete"}},
	}}
	if err := cluster.Client.Create(ctx, role); err != nil {
		return err
	}
	if err := cluster.Client.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "prober"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "prober"}},
	}); err != nil {
		return err
	}
	ask, err := probes(ctx, cluster.Client, mallory, namespace.Name)
	if err != nil {
		return err
	}
	var last error
	for _, policy := range policies {
		probe, there := ask[policy]
		if !there {
			return fmt.Errorf("no probe for policy %s", policy)
		}
		err := wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(context.Context) (bool, error) {
			last = probe()
			return apierrors.IsForbidden(last) && strings.Contains(last.Error(), "'"+policy+"'"), nil
		})
		if err != nil {
			return fmt.Errorf("wait for policy %s: %w; it said: %w", policy, err, last)
		}
	}
	return nil
}

// grantNamespaces lets them create namespaces, as self-service clusters do.
func (l *land) grantNamespaces(all ...who) {
	l.t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{GenerateName: "namespaces-"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"create"}},
	}}
	l.must(l.cluster.Client.Create(l.t.Context(), role))
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
	}
	for _, one := range all {
		binding.Subjects = append(binding.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: one.user})
	}
	l.must(l.cluster.Client.Create(l.t.Context(), binding))
	l.await(all[0], authorizationv1.ResourceAttributes{Verb: "create", Resource: "namespaces"})
}
