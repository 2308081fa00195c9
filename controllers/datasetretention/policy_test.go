package datasetretention

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/hack/apitest"
)

const operatorUser = "system:serviceaccount:lethe-system:lethe-manager"

// precinct is a namespace of a real API server where the policies of config/policies
// hold, and only there.
type precinct struct {
	t         *testing.T
	cluster   *apitest.Cluster
	namespace string
}

func newPrecinct(t *testing.T) *precinct {
	t.Helper()
	cluster := apitest.Start(t)
	p := &precinct{t: t, cluster: cluster, namespace: cluster.Namespace(t)}
	for _, file := range []string{"hold.yaml", "finalizers.yaml", "holder_role.yaml"} {
		for _, document := range documents(t, filepath.Join("..", "..", "config", "policies", file)) {
			p.install(document)
		}
	}
	owner := []string{"get", "create", "update", "patch", "delete"}
	p.allow("tenant", rbacv1.PolicyRule{APIGroups: []string{"lethe.dev"}, Resources: []string{"datasetretentions", "trainingruns"}, Verbs: owner})
	p.allow(operatorUser, rbacv1.PolicyRule{APIGroups: []string{"lethe.dev"}, Resources: []string{"datasetretentions", "trainingruns"}, Verbs: owner})
	p.bind("holder", rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "lethe-holder-" + p.namespace})
	p.waitForPolicies()
	return p
}

// documents are the objects of a YAML file.
func documents(t *testing.T, file string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("read policies: %v", err)
	}
	var all [][]byte
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("read policies: %v", err)
		}
		all = append(all, document)
	}
}

// install makes an object under a name of its own, and a policy so that it holds in
// this namespace only: others of this API server are tests without policies.
func (p *precinct) install(document []byte) {
	p.t.Helper()
	var kind metav1.TypeMeta
	p.must(yaml.Unmarshal(document, &kind))
	var o client.Object
	switch kind.Kind {
	case "ValidatingAdmissionPolicy":
		o = &admissionregistrationv1.ValidatingAdmissionPolicy{}
	case "ValidatingAdmissionPolicyBinding":
		o = &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}
	case "ClusterRole":
		o = &rbacv1.ClusterRole{}
	default:
		p.t.Fatalf("a %s among the policies", kind.Kind)
	}
	p.must(yaml.UnmarshalStrict(document, o))
	o.SetName(o.GetName() + "-" + p.namespace)
	if binding, is := o.(*admissionregistrationv1.ValidatingAdmissionPolicyBinding); is {
		binding.Spec.PolicyName += "-" + p.namespace
		binding.Spec.MatchResources = &admissionregistrationv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{
			MatchLabels: map[string]string{"kubernetes.io/metadata.name": p.namespace},
		}}
	}
	p.must(p.cluster.Client.Create(p.t.Context(), o))
}

func (p *precinct) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("test: %v", err)
	}
}

func (p *precinct) allow(user string, rule rbacv1.PolicyRule) {
	p.t.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, GenerateName: "role-"}, Rules: []rbacv1.PolicyRule{rule}}
	p.must(p.cluster.Client.Create(p.t.Context(), role))
	p.bind(user, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name})
}

func (p *precinct) bind(user string, role rbacv1.RoleRef) {
	p.t.Helper()
	p.must(p.cluster.Client.Create(p.t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, GenerateName: "binding-"}, RoleRef: role,
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}))
}

// as is a client of another user.
func (p *precinct) as(user string) client.Client {
	p.t.Helper()
	config := rest.CopyConfig(p.cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user}
	c, err := client.New(config, client.Options{Scheme: p.cluster.Scheme})
	p.must(err)
	return c
}

// waitForPolicies waits until each of them refuses something, which takes the API
// server a moment.
func (p *precinct) waitForPolicies() {
	p.t.Helper()
	kept := p.dataset("kept", v1alpha1.FinalizerErase)
	err := wait.PollUntilContextTimeout(p.t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		onHold := heldDataset(p.namespace, "probe")
		err := p.as("tenant").Create(ctx, onHold, client.DryRunAll)
		bare := kept.DeepCopy()
		bare.Finalizers = nil
		err2 := p.cluster.Client.Patch(ctx, bare, client.MergeFrom(kept), client.DryRunAll)
		return apierrors.IsForbidden(err) && apierrors.IsForbidden(err2), nil
	})
	p.must(err)
}

func heldDataset(namespace, name string) *v1alpha1.DatasetRetention {
	d := &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	d.Spec.Hold = &v1alpha1.Hold{Reason: testCase, Until: metav1.NewTime(created())}
	return d
}

func (p *precinct) dataset(name string, finalizers ...string) *v1alpha1.DatasetRetention {
	p.t.Helper()
	d := &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: name, Finalizers: finalizers}}
	p.must(p.cluster.Client.Create(p.t.Context(), d))
	return d
}

func TestAPIHoldNeedsItsVerb(t *testing.T) {
	t.Parallel()
	p := newPrecinct(t)
	tenant, holder := p.as("tenant"), p.as("holder")
	free := func(d *v1alpha1.DatasetRetention) { d.Spec.Hold = nil }
	set := func(d *v1alpha1.DatasetRetention) { d.Spec.Hold = heldDataset("", "").Spec.Hold }
	longer := func(d *v1alpha1.DatasetRetention) { d.Spec.Hold.Until = metav1.NewTime(after(time.Hour)) }
	other := func(d *v1alpha1.DatasetRetention) { d.Spec.Hold.Reason = "another" }
	seal := func(d *v1alpha1.DatasetRetention) { d.Spec.Sealed = true }
	window := func(d *v1alpha1.DatasetRetention) { d.Spec.Retention.MaxAge = &metav1.Duration{Duration: time.Hour} }
	d := p.dataset("digits")
	steps := []struct {
		what  string
		who   client.Client
		how   func(*v1alpha1.DatasetRetention)
		fails bool
	}{
		{"the owner sets a hold", tenant, set, true},
		{"the owner changes something else", tenant, window, false},
		{"a holder sets a hold", holder, set, false},
		{"the owner makes it longer", tenant, longer, true},
		{"the owner changes its reason", tenant, other, true},
		{"the owner takes it away", tenant, free, true},
		{"the owner seals what is on hold", tenant, seal, false},
		{"a holder makes it longer", holder, longer, false},
		{"an administrator changes its reason", p.cluster.Client, other, false},
		{"a holder takes it away", holder, free, false},
	}
	for _, step := range steps {
		before := d.DeepCopy()
		step.how(d)
		err := step.who.Patch(t.Context(), d, client.MergeFrom(before))
		if apierrors.IsForbidden(err) != step.fails || (err != nil && !step.fails) {
			t.Fatalf("%s: error %v, want one: %v", step.what, err, step.fails)
		}
		if err != nil {
			d = before
		}
	}
	if err := tenant.Create(t.Context(), heldDataset(p.namespace, "born-on-hold")); !apierrors.IsForbidden(err) ||
		!strings.Contains(err.Error(), "lethe-holder") {
		t.Errorf("an owner made a dataset on hold: %v", err)
	}
	if err := p.cluster.Client.Create(t.Context(), heldDataset(p.namespace, "made-on-hold")); err != nil {
		t.Errorf("an administrator could not make a dataset on hold: %v", err)
	}
	if err := tenant.Delete(t.Context(), heldDataset(p.namespace, "made-on-hold")); err != nil {
		t.Errorf("the owner could not delete a dataset on hold: %v", err)
	}
}

func TestAPIFinalizersAreTheOperatorsOwn(t *testing.T) {
	t.Parallel()
	p := newPrecinct(t)
	dataset := p.dataset("digits", v1alpha1.FinalizerErase, "example.com/audit")
	run := &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: "run-1", Finalizers: []string{v1alpha1.FinalizerRun, "example.com/audit"}},
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: "digits"}, Trainer: v1alpha1.Trainer{Image: "example.com/trainer:1"},
		},
	}
	p.must(p.cluster.Client.Create(t.Context(), run))
	for what, o := range map[string]client.Object{"dataset": dataset, "run": run} {
		ours := o.GetFinalizers()[0]
		// Like the namespace controller and the garbage collector, which only delete.
		p.must(p.cluster.Client.Delete(t.Context(), o))
		p.must(p.cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(o), o))
		strip := func(who client.Client, left ...string) error {
			before, _ := o.DeepCopyObject().(client.Object)
			after, _ := o.DeepCopyObject().(client.Object)
			after.SetFinalizers(left)
			return who.Patch(t.Context(), after, client.MergeFrom(before))
		}
		if err := strip(p.cluster.Client); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), ours) {
			t.Errorf("the administrator took the finalizers off a %s: %v", what, err)
		}
		if err := strip(p.as("tenant"), "example.com/audit"); !apierrors.IsForbidden(err) {
			t.Errorf("the owner took our finalizer off a %s: %v", what, err)
		}
		if err := strip(p.as("tenant"), ours); err != nil {
			t.Errorf("the owner could not take a finalizer of his own off a %s: %v", what, err)
		}
		if err := strip(p.as(operatorUser)); err != nil {
			t.Errorf("the operator could not take its finalizer off a %s: %v", what, err)
		}
		if err := p.cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(o), o); !apierrors.IsNotFound(err) {
			t.Errorf("the %s is still there: %v", what, err)
		}
	}
}
