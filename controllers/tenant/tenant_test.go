package tenant

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/tenant/resources"
)

// everything is what a tenant has whose internet is closed.
var everything = []string{
	"LimitRange/lethe", "NetworkPolicy/lethe-deny-all", "NetworkPolicy/lethe-run-egress",
	"ResourceQuota/lethe", "RoleBinding/lethe-portal", "ServiceAccount/default",
}

func gpus(n string) map[string]string {
	return map[string]string{v1alpha1.AnnotationGPUAllowance: n}
}

func TestATenantIsSetUpAndThenNothingIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gpus("4"))
	first := w.pass()
	if len(first) == 0 || first[0] != "patch *v1.Namespace/"+w.name {
		t.Errorf("the first writes are %v, want the Namespace's labels before all", first)
	}
	if got := w.runtimeClass(); got != "-" {
		t.Errorf("runs may start (in %q) before the tenant is set up", got)
	}
	w.pass()
	w.says(corev1.ConditionFalse, v1alpha1.ReasonQuotaPending)
	if got := w.runtimeClass(); got != "-" {
		t.Errorf("runs may start (in %q) before the quota holds", got)
	}
	w.takeQuotaOver()
	w.pass()
	w.says(corev1.ConditionTrue, v1alpha1.ReasonTenantReady, "up to 4 GPUs")
	if got := w.runtimeClass(); got != "" {
		t.Errorf("runs start in %q, want the node's own runtime", got)
	}
	w.contains(everything...)
	for key, value := range resources.NamespaceLabels() {
		if got := w.namespace().Labels[key]; got != value {
			t.Errorf("label %s is %q, want %q", key, got, value)
		}
	}
	before := w.namespace().ResourceVersion
	for range 3 {
		if wrote := w.pass(); len(wrote) > 0 {
			t.Fatalf("at rest it writes %v", wrote)
		}
	}
	w.reconciler = w.operator(settings())
	if wrote := w.pass(); len(wrote) > 0 {
		t.Errorf("after a restart it writes %v", wrote)
	}
	if w.namespace().ResourceVersion != before {
		t.Error("the Namespace was written at rest")
	}
}

func TestWhatWasChangedIsChangedBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gpus("2"))
	w.settle()
	read := func(o client.Object, name string) { w.must(w.client.Get(t.Context(), w.at(name), o)) }
	update := func(o client.Object) { w.must(w.client.Update(t.Context(), o)) }
	for name, attack := range map[string]func(){
		"a quota that was raised": func() {
			var quota corev1.ResourceQuota
			read(&quota, "lethe")
			quota.Spec.Hard["requests.nvidia.com/gpu"] = resource.MustParse("400")
			update(&quota)
		},
		"a limit that was taken out of a quota": func() {
			var quota corev1.ResourceQuota
			read(&quota, "lethe")
			delete(quota.Spec.Hard, corev1.ResourceServicesNodePorts)
			update(&quota)
		},
		"a quota that was deleted": func() {
			w.must(w.client.Delete(t.Context(), &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: w.name, Name: "lethe"}}))
		},
		"limits that were raised": func() {
			var limits corev1.LimitRange
			read(&limits, "lethe")
			limits.Spec.Limits = nil
			update(&limits)
		},
		"a network policy that was opened": func() {
			var policy networkingv1.NetworkPolicy
			read(&policy, "lethe-deny-all")
			policy.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{}}
			update(&policy)
		},
		"a network policy that selects nothing any more": func() {
			var policy networkingv1.NetworkPolicy
			read(&policy, "lethe-deny-all")
			policy.Spec.PodSelector.MatchLabels = map[string]string{"no": "pod"}
			update(&policy)
		},
		"a service account with a token": func() {
			var account corev1.ServiceAccount
			read(&account, "default")
			account.AutomountServiceAccountToken = ptr.To(true)
			update(&account)
		},
		"a binding with one more subject": func() {
			var binding rbacv1.RoleBinding
			read(&binding, "lethe-portal")
			binding.Subjects = append(binding.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: "mallory"})
			update(&binding)
		},
		"an object without our label": func() {
			var policy networkingv1.NetworkPolicy
			read(&policy, "lethe-deny-all")
			policy.Labels = nil
			policy.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
			update(&policy)
		},
		"a Namespace that is less restricted": func() {
			namespace := w.namespace()
			namespace.Labels["pod-security.kubernetes.io/enforce"] = "privileged"
			delete(namespace.Labels, "pod-security.kubernetes.io/enforce-version")
			update(namespace)
		},
		"a time of suspension that was made up": func() {
			w.annotate(v1alpha1.AnnotationSuspendedAt, "2001-01-01T00:00:00Z")
		},
		"a runtime class that was made up": func() {
			w.annotate(v1alpha1.AnnotationRuntimeClass, "privileged")
		},
		"a writable root that was made up": func() {
			w.annotate(v1alpha1.AnnotationWritableRoot, "true")
		},
	} {
		// One after the other: they are about one tenant.
		attack()
		if wrote := w.pass(); len(wrote) == 0 {
			t.Errorf("%s: nothing was changed back", name)
		}
		w.takeQuotaOver()
		if wrote := w.pass(); len(wrote) > 0 {
			t.Errorf("%s: it is not over with one repair: %v", name, wrote)
		}
		w.asBuilt(name)
	}
}

// asBuilt compares everything with what it is to be.
func (w *world) asBuilt(after string) {
	w.t.Helper()
	o, err := w.reconciler.observe(w.t.Context(), w.name)
	w.must(err)
	p := decide(o, settings())
	if len(p.Apply)+len(p.Remove)+len(p.Labels)+len(p.Annotations) > 0 {
		w.t.Errorf("after %s: not as it should be: %+v", after, p)
	}
	w.contains(everything...)
}

// What a tenant, or anybody, has made in the place of our objects before they were there.
func TestObjectsInTheWayAreReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gpus("2"))
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: w.name, Name: name} }
	for _, object := range []client.Object{
		&corev1.ResourceQuota{ObjectMeta: meta("lethe"), Spec: corev1.ResourceQuotaSpec{
			Hard:   corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1000")},
			Scopes: []corev1.ResourceQuotaScope{corev1.ResourceQuotaScopeTerminating},
		}},
		&rbacv1.RoleBinding{
			ObjectMeta: meta("lethe-portal"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "mallory"}},
		},
		&networkingv1.NetworkPolicy{ObjectMeta: meta("lethe-deny-all"), Spec: networkingv1.NetworkPolicySpec{
			Egress: []networkingv1.NetworkPolicyEgressRule{{}},
		}},
	} {
		w.must(w.client.Create(t.Context(), object))
	}
	w.settle()
	w.asBuilt("objects in the way")
	w.says(corev1.ConditionTrue, v1alpha1.ReasonTenantReady)
}

// An object that the API server would not take must not cost the one that is there.
func TestWhatCanNotBeMadeReplacesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gpus("2"))
	w.settle()
	quota := resources.Quota(resources.Tenant{Namespace: w.name, Tier: settings().Config.Tiers[resources.DefaultTier]}, settings().Config)
	quota.Spec.Hard["not a name"] = resource.MustParse("1")
	if err := w.reconciler.enforce(t.Context(), quota); err == nil {
		t.Fatal("an impossible quota was taken")
	}
	w.asBuilt("an impossible quota")
}

func TestWhatIsNotWantedAnyMoreIsRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{v1alpha1.AnnotationGPUAllowance: "1", v1alpha1.AnnotationInternetEgress: "true"})
	foreign := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: w.name, Name: "the-platform-teams"}}
	marked := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{
		Namespace: w.name, Name: "old", Labels: map[string]string{resources.LabelManagedBy: resources.ManagedBy},
	}}
	w.must(w.client.Create(t.Context(), foreign))
	w.must(w.client.Create(t.Context(), marked))
	w.settle()
	with := append([]string{everything[0], everything[1], "NetworkPolicy/lethe-internet"}, everything[2:]...)
	w.contains(with...)
	w.annotate(v1alpha1.AnnotationInternetEgress, "True") // is not "true"
	if diff := cmp.Diff([]string{"delete *v1.NetworkPolicy/lethe-internet"}, w.pass()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	w.contains(everything...)
	if err := w.client.Get(t.Context(), client.ObjectKeyFromObject(foreign), foreign); err != nil {
		t.Errorf("a policy that is not ours: %v", err)
	}
}

// A Namespace that is no tenant any more keeps its bounds; one that never was gets none.
func TestOtherNamespacesAreLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gpus("1"))
	w.settle()
	namespace := w.namespace()
	delete(namespace.Labels, v1alpha1.LabelTenant)
	w.must(w.client.Update(t.Context(), namespace))
	if wrote := w.pass(); len(wrote) > 0 {
		t.Errorf("writes %v to what is no tenant any more", wrote)
	}
	w.contains(everything...)
	for _, name := range []string{"kube-system", "default", "lethe-system"} {
		labels := map[string]string{v1alpha1.LabelTenant: ""}
		p := decide(observed{Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, Now: noon}, settings())
		want := plan{Verdict: verdict{Reason: v1alpha1.ReasonNamespaceProtected, Message: p.Verdict.Message}}
		if diff := cmp.Diff(want, p); diff != "" {
			t.Errorf("%s as a tenant (-want +got):\n%s", name, diff)
		}
	}
}

func TestAnnotationsThatCanNotBeRead(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("9", 400)
	for name, c := range map[string]struct {
		annotations map[string]string
		reason      string
		gpus        int64
		class       string
	}{
		"no allowance":              {nil, v1alpha1.ReasonAllowanceMissing, 0, ""},
		"an allowance of nothing":   {gpus(""), v1alpha1.ReasonAllowanceMalformed, 0, ""},
		"a negative allowance":      {gpus("-1"), v1alpha1.ReasonAllowanceMalformed, 0, ""},
		"a fraction":                {gpus("1.5"), v1alpha1.ReasonAllowanceMalformed, 0, ""},
		"a quantity":                {gpus("1k"), v1alpha1.ReasonAllowanceMalformed, 0, ""},
		"a sign":                    {gpus("+1"), v1alpha1.ReasonAllowanceMalformed, 0, ""},
		"a space":                   {gpus(" 1"), v1alpha1.ReasonAllowanceMalformed, 0, ""},
		"another notation":          {gpus("0x10"), v1alpha1.ReasonAllowanceMalformed, 0, ""},
		"more than there can be":    {gpus("10001"), v1alpha1.ReasonAllowanceMalformed, 0, ""},
		"a number without end":      {gpus(long), v1alpha1.ReasonAllowanceMalformed, 0, ""},
		"all that there can be":     {gpus("10000"), v1alpha1.ReasonTenantReady, 10000, ""},
		"none, said so":             {gpus("0"), v1alpha1.ReasonTenantReady, 0, ""},
		"a billing that is neither": {map[string]string{v1alpha1.AnnotationGPUAllowance: "4", v1alpha1.AnnotationBilling: "active"}, v1alpha1.ReasonBillingMalformed, 0, ""},
		"a tier that does not exist": {
			map[string]string{v1alpha1.AnnotationGPUAllowance: "4", v1alpha1.AnnotationTier: "gold"}, v1alpha1.ReasonTierUnknown, 0, "-",
		},
		"a tier with a sandbox": {
			map[string]string{v1alpha1.AnnotationGPUAllowance: "4", v1alpha1.AnnotationTier: "sandboxed", v1alpha1.AnnotationInternetEgress: "true"},
			v1alpha1.ReasonTenantReady, 4, "gvisor",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.annotations)
			w.settle()
			status := corev1.ConditionFalse
			if c.reason == v1alpha1.ReasonTenantReady {
				status = corev1.ConditionTrue
			}
			w.says(status, c.reason)
			w.contains(everything...)
			var quota corev1.ResourceQuota
			w.must(w.client.Get(t.Context(), w.at("lethe"), &quota))
			if got := quota.Spec.Hard["requests.nvidia.com/gpu"]; got.Value() != c.gpus {
				t.Errorf("%s GPUs, want %d", got.String(), c.gpus)
			}
			if got := w.runtimeClass(); got != c.class {
				t.Errorf("runs start in %q, want %q", got, c.class)
			}
			if len(w.events.notes) == 0 || !strings.Contains(w.events.notes[len(w.events.notes)-1], c.reason) {
				t.Errorf("events %q do not tell of %s", w.events.notes, c.reason)
			}
		})
	}
}

func TestBillingIsSuspendedAndActiveAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gpus("4"))
	w.settle()
	w.annotate(v1alpha1.AnnotationBilling, "Suspended")
	w.settle()
	w.says(corev1.ConditionFalse, v1alpha1.ReasonPaymentRequired, "2026-03-02T12:00:00Z")
	noted := func() string { return w.namespace().Annotations[v1alpha1.AnnotationSuspendedAt] }
	if got := noted(); got != "2026-03-01T12:00:00Z" {
		t.Errorf("suspended at %q, want noon", got)
	}
	var quota corev1.ResourceQuota
	w.must(w.client.Get(t.Context(), w.at("lethe"), &quota))
	if got := quota.Spec.Hard["requests.nvidia.com/gpu"]; !got.IsZero() {
		t.Errorf("%s GPUs, want none", got.String())
	}
	w.clock.SetTime(noon.Add(3 * time.Hour))
	if wrote := w.pass(); len(wrote) > 0 {
		t.Errorf("the time goes by and it writes %v", wrote)
	}
	// A time to come would put the stop off for ever; one that can't be read, too.
	for _, lie := range []string{"2099-01-01T00:00:00Z", "never"} {
		w.annotate(v1alpha1.AnnotationSuspendedAt, lie)
		w.pass()
		if got := noted(); got != "2026-03-01T15:00:00Z" {
			t.Errorf("suspended at %q after somebody wrote %q, want now", got, lie)
		}
	}
	w.annotate(v1alpha1.AnnotationBilling, "Active")
	w.settle()
	w.says(corev1.ConditionTrue, v1alpha1.ReasonTenantReady)
	if got := noted(); got != "" {
		t.Errorf("still suspended at %q", got)
	}
	w.must(w.client.Get(t.Context(), w.at("lethe"), &quota))
	if got := quota.Spec.Hard["requests.nvidia.com/gpu"]; got.Value() != 4 {
		t.Errorf("%s GPUs, want 4 again", got.String())
	}
}

func TestWithoutAWayToTheStoreNoRunStarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gpus("1"))
	options := settings()
	options.Config.Network.Store = nil
	w.reconciler = w.operator(options)
	w.settle()
	w.says(corev1.ConditionFalse, v1alpha1.ReasonStoreUnreachable, "network.store")
	if got := w.runtimeClass(); got != "-" {
		t.Errorf("runs start in %q", got)
	}
	w.reconciler = w.operator(settings())
	w.settle()
	w.says(corev1.ConditionTrue, v1alpha1.ReasonTenantReady)
}

func TestATierIsTakenAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{v1alpha1.AnnotationGPUAllowance: "1", v1alpha1.AnnotationTier: "sandboxed"})
	w.settle()
	if got := w.runtimeClass(); got != "gvisor" {
		t.Fatalf("runs start in %q, want gvisor", got)
	}
	w.annotate(v1alpha1.AnnotationTier, "gold")
	w.pass()
	if got := w.runtimeClass(); got != "-" {
		t.Errorf("runs start in %q, which nobody has chosen", got)
	}
	w.pass()
	w.says(corev1.ConditionFalse, v1alpha1.ReasonTierUnknown, `"gold"`)
}

func TestATenantThatGoesIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gpus("1"))
	w.settle()
	w.must(w.client.Delete(t.Context(), w.namespace()))
	w.must(w.client.DeleteAllOf(t.Context(), &networkingv1.NetworkPolicy{}, client.InNamespace(w.name)))
	if wrote := w.pass(); len(wrote) > 0 {
		t.Errorf("writes %v into a Namespace that is going", wrote)
	}
}
