package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/terminal"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
	"github.com/lethe-dev/lethe/controllers/staging/discovery"
	"github.com/lethe-dev/lethe/controllers/tenant/resources"
)

var update = flag.Bool("update", false, "write the golden files")

var now = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

// certificate is good until the time.
func certificate(t *testing.T, until time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-24 * time.Hour), NotAfter: until, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }

// refusal is what the API server answers when an admission plugin refuses.
func refusal(text string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "lethe-doctor", errors.New(text))
}

func refusedBy(policy string) error {
	return refusal("ValidatingAdmissionPolicy '" + policy + "' with binding '" + policy + "' denied request: no")
}

func tenantNamespace(name string, status corev1.ConditionStatus, reason string) corev1.Namespace {
	return corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.LabelTenant: "1"}},
		Status: corev1.NamespaceStatus{Conditions: []corev1.NamespaceCondition{{
			Type: v1alpha1.ConditionTenantReady, Status: status, Reason: reason, Message: "words",
		}}},
	}
}

func gpuNode(name, product string) corev1.Node {
	node := corev1.Node{ObjectMeta: named(name), Status: corev1.NodeStatus{
		Allocatable: corev1.ResourceList{v1alpha1.ResourceGPU: resource.MustParse("8")},
		NodeInfo:    corev1.NodeSystemInfo{KubeletVersion: "v1.37.1"},
	}}
	if product != "" {
		node.Labels = map[string]string{v1alpha1.LabelGPUProduct: product}
	}
	return node
}

func daemonSet(name string, ready int32, args ...string) appsv1.DaemonSet {
	return appsv1.DaemonSet{
		ObjectMeta: named(name),
		Spec:       appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Args: args}}}}},
		Status:     appsv1.DaemonSetStatus{DesiredNumberScheduled: 3, NumberReady: ready},
	}
}

func apiServerPod(args ...string) []corev1.Pod {
	return []corev1.Pod{{ObjectMeta: named("kube-apiserver-a"), Spec: corev1.PodSpec{Containers: []corev1.Container{{Command: args}}}}}
}

// healthy are the facts of a cluster in which all is well.
func healthy(t *testing.T) Facts {
	t.Helper()
	ca := certificate(t, now.Add(time.Hour))
	f := Facts{
		Now: now, Version: Seen[string]{Value: "v1.37.2-eks-1"},
		Served: Seen[map[string]bool]{Value: map[string]bool{"certificates.k8s.io/v1/clustertrustbundles": true}},
		Kinds:  Seen[map[string]Kind]{Value: map[string]Kind{}},
		Stored: Seen[map[string]float64]{Value: map[string]float64{"k8s:enc:secretbox:v1:": 3, "lab:": 3}},
		Nodes:  Seen[[]corev1.Node]{Value: []corev1.Node{{ObjectMeta: named("cpu")}, gpuNode("a", "NVIDIA-H200"), gpuNode("b", "NVIDIA-H200")}},
		Probed: "tenant-a",
		Probes: map[string]error{
			probePrivileged: refusal(`violates PodSecurity "restricted:v1.37": privileged`),
			probeHostPath:   refusal(`violates PodSecurity "restricted:v1.37": hostPath`),
			probeToken:      refusedBy(policyPods), probeImage: refusedBy(Images),
		},
		Tiers: Seen[resources.Config]{Value: resources.Config{Tiers: map[string]resources.Tier{"standard": {RuntimeClass: "gvisor"}}}},
	}
	for name, wanted := range kinds {
		kind := Kind{Established: true, Served: []string{"v1alpha1"}, Fields: map[string]bool{}}
		for _, field := range wanted {
			kind.Fields[field] = true
		}
		f.Kinds.Value[name] = kind
	}
	f.Operator.Value = appsv1.Deployment{
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](2),
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Args: []string{"--leader-elect"}}}}},
		},
		Status: appsv1.DeploymentStatus{ReadyReplicas: 2, UpdatedReplicas: 2},
	}
	f.Lease.Value.Spec = coordinationv1.LeaseSpec{
		HolderIdentity: ptr.To("lethe-manager-1"), RenewTime: &metav1.MicroTime{Time: now.Add(-2 * time.Second)}, LeaseDurationSeconds: ptr.To[int32](15),
	}
	for _, hook := range Hooks {
		f.Hooks.Value.Webhooks = append(f.Hooks.Value.Webhooks, admissionv1.ValidatingWebhook{
			Name: hook, ClientConfig: admissionv1.WebhookClientConfig{CABundle: []byte(ca)},
		})
	}
	for _, name := range Policies {
		f.Policies.Value = append(f.Policies.Value, admissionv1.ValidatingAdmissionPolicy{ObjectMeta: named(name)})
		f.Bindings.Value = append(f.Bindings.Value, admissionv1.ValidatingAdmissionPolicyBinding{
			Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
		})
	}
	for _, name := range Defaults {
		f.Defaults.Value = append(f.Defaults.Value, admissionv1.MutatingAdmissionPolicy{ObjectMeta: named(name)})
		f.DefaultBindings.Value = append(f.DefaultBindings.Value, admissionv1.MutatingAdmissionPolicyBinding{
			Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name},
		})
	}
	f.Published.Value.Data = map[string]string{discovery.KeyURL: "https://broker.example.com", discovery.KeyCA: ca}
	f.TrustBundle.Value.Spec = certificatesv1.ClusterTrustBundleSpec{TrustBundle: ca}
	f.DaemonSets.Value = []appsv1.DaemonSet{daemonSet("cilium", 3), daemonSet("nvidia-device-plugin", 1)}
	f.RuntimeClasses.Value = []nodev1.RuntimeClass{{ObjectMeta: named("gvisor")}}
	f.Tenants.Value = []corev1.Namespace{tenantNamespace("tenant-a", corev1.ConditionTrue, v1alpha1.ReasonTenantReady)}
	return f
}

func TestAllIsWell(t *testing.T) {
	t.Parallel()
	for _, r := range Decide(healthy(t)) {
		if r.Outcome != Passed || r.Found == "" || r.LookedAt == "" || len(r.Do) > 0 {
			t.Errorf("%+v", r)
		}
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	forbidden := errors.New("you have no right to list Nodes")
	noSuchHost := &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}
	tests := map[string]struct {
		check  string
		change func(f *Facts)
		want   Outcome
		says   string
	}{
		"nothing may be seen": {"rights", func(f *Facts) { f.Denied = []string{"list Nodes", "list Pods"} }, Unknown, "list Nodes, list Pods"},

		"Kubernetes is too old":         {"kubernetes", func(f *Facts) { f.Version.Value = "v1.36.9" }, Failed, "v1.36.9"},
		"a kubelet is too old":          {"kubernetes", func(f *Facts) { f.Nodes.Value[1].Status.NodeInfo.KubeletVersion = "v1.36.0" }, Failed, "for one that of a"},
		"there are no trust bundles":    {"kubernetes", func(f *Facts) { f.Served.Value = nil }, Failed, "does not serve ClusterTrustBundles"},
		"the version is a riddle":       {"kubernetes", func(f *Facts) { f.Version.Value = "main" }, Unknown, "main"},
		"kubelets may not be seen":      {"kubernetes", func(f *Facts) { f.Nodes.Err = forbidden }, Passed, "kubelets were not seen"},
		"Kubernetes is newer":           {"kubernetes", func(f *Facts) { f.Version.Value = "v2.0.0" }, Passed, "v2.0.0"},
		"a kind is missing":             {"kinds", func(f *Facts) { delete(f.Kinds.Value, "trainingruns.lethe.dev") }, Failed, "trainingruns.lethe.dev is missing"},
		"a kind has another version":    {"kinds", kind(func(k *Kind) { k.Served = []string{"v2"} }), Failed, "not served in v1alpha1"},
		"a kind is not established":     {"kinds", kind(func(k *Kind) { k.Established = false }), Failed, "not established"},
		"a kind lacks a field":          {"kinds", kind(func(k *Kind) { delete(k.Fields, "spec.nodes") }), Failed, "lacks spec.nodes"},
		"kinds may not be seen":         {"kinds", func(f *Facts) { f.Kinds.Err = forbidden }, Unknown, "no right"},
		"a kind has a field more":       {"kinds", kind(func(k *Kind) { k.Fields["spec.new"] = true }), Passed, "both are served"},
		"there is no operator":          {"operator", func(f *Facts) { f.Operator.Err = errAbsent }, Failed, "no Deployment"},
		"the operator is scaled to 0":   {"operator", func(f *Facts) { f.Operator.Value.Spec.Replicas = ptr.To[int32](0) }, Failed, "scaled to 0"},
		"the operator has one replica":  {"operator", func(f *Facts) { f.Operator.Value.Spec.Replicas = nil }, Passed, "Two replicas"},
		"the operator is being rolled":  {"operator", func(f *Facts) { f.Operator.Value.Generation = 2 }, Failed, "newest version"},
		"two replicas without leader":   {"operator", func(f *Facts) { f.Operator.Value.Spec.Template.Spec.Containers[0].Args = nil }, Failed, "none of them knows"},
		"the operator is not ready":     {"operator", notReady(corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}}}}), Failed, "Pod p: ImagePullBackOff"},
		"the operator has no node":      {"operator", notReady(corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "full"}}}), Failed, "no node: full"},
		"the operator may not be seen":  {"operator", func(f *Facts) { f.Operator.Err = forbidden }, Unknown, "no right"},
		"nobody ever led":               {"leader", func(f *Facts) { f.Lease.Err = errAbsent }, Failed, "ever led"},
		"nobody leads":                  {"leader", func(f *Facts) { f.Lease.Value.Spec.HolderIdentity = ptr.To("") }, Failed, "nobody leads"},
		"the leader is gone":            {"leader", func(f *Facts) { f.Lease.Value.Spec.RenewTime.Time = now.Add(-time.Minute) }, Failed, "for 1m0s"},
		"the clocks are not the same":   {"leader", func(f *Facts) { f.Lease.Value.Spec.RenewTime.Time = now.Add(20 * time.Second) }, Passed, "leads"},
		"nothing is published":          {"published", func(f *Facts) { f.Published.Err = errAbsent }, Failed, "no ConfigMap"},
		"what is published is empty":    {"published", func(f *Facts) { f.Published.Value.Data = nil }, Failed, "not published its broker yet"},
		"the published CA has ended":    {"published", func(f *Facts) { f.Now = now.Add(2 * time.Hour) }, Failed, "ended at"},
		"the published CA is none":      {"published", func(f *Facts) { f.Published.Value.Data[discovery.KeyCA] = "x" }, Failed, "there is none"},
		"there is no bundle":            {"published", func(f *Facts) { f.TrustBundle.Err = errAbsent }, Failed, "no Pod of a run starts"},
		"the bundle is another":         {"published", func(f *Facts) { f.TrustBundle.Value.Spec.TrustBundle = "x" }, Failed, "different certificates"},
		"the broker is unpublished":     {"broker", func(f *Facts) { f.Broker.Err = errNotLooked }, Unknown, "nobody has published"},
		"the broker is for Pods only":   {"broker", at("https://lethe-broker.lethe-system.svc", noSuchHost), Unknown, "only Pods know"},
		"the broker's name is wrong":    {"broker", at("https://broker.example.com:8443", noSuchHost), Failed, "no such host"},
		"the broker is another":         {"broker", at("https://lethe-broker.lethe-system.svc", x509.UnknownAuthorityError{}), Failed, "unknown authority"},
		"there are no webhooks":         {"webhooks", func(f *Facts) { f.Hooks.Err = errAbsent }, Failed, "nobody is warned"},
		"a webhook is missing":          {"webhooks", func(f *Facts) { f.Hooks.Value.Webhooks = f.Hooks.Value.Webhooks[:1] }, Failed, "trainingruns.lethe.dev is missing"},
		"a webhook has no certificates": {"webhooks", func(f *Facts) { f.Hooks.Value.Webhooks[0].ClientConfig.CABundle = nil }, Failed, "there is none"},
		"a policy is missing":           {"policies", func(f *Facts) { f.Policies.Value = f.Policies.Value[1:] }, Failed, "lethe-exec is missing"},
		"a policy is not bound":         {"policies", func(f *Facts) { f.Bindings.Value = f.Bindings.Value[1:] }, Failed, "lethe-exec has no binding"},
		"a policy only warns": {"policies", func(f *Facts) {
			f.Bindings.Value[0].Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Warn}
		}, Failed, "no binding that denies"},
		"a policy fails open": {"policies", func(f *Facts) { f.Policies.Value[0].Spec.FailurePolicy = ptr.To(admissionv1.Ignore) }, Failed, "lets pass"},
		"a policy does not fit": {"policies", func(f *Facts) {
			f.Policies.Value[0].Status.TypeChecking = &admissionv1.TypeChecking{ExpressionWarnings: []admissionv1.ExpressionWarning{{FieldRef: "spec.validations[0]"}}}
		}, Failed, "does not fit"},
		"defaults are missing":            {"policies", func(f *Facts) { f.Defaults.Value = nil }, Failed, "lethe-defaults is missing"},
		"policies may not be seen":        {"policies", func(f *Facts) { f.Bindings.Err = forbidden }, Unknown, "no right"},
		"the list of images is missing":   {"images", func(f *Facts) { f.Images.Err = errAbsent }, Failed, "no Pod of a tenant"},
		"registries are allowed":          {"images", func(f *Facts) { f.Images.Value.Data = map[string]string{"registries": "a.example/\nb.example/"} }, Passed, "a.example/, b.example/"},
		"there are no tenants":            {"tenants", func(f *Facts) { f.Tenants.Value = nil }, Passed, "no tenants yet"},
		"a tenant is not ready":           {"tenants", tenants(tenantNamespace("b", corev1.ConditionFalse, v1alpha1.ReasonQuotaPending)), Failed, "b (QuotaPending: words)"},
		"a tenant was not looked at":      {"tenants", tenants(corev1.Namespace{ObjectMeta: named("b")}), Failed, "b (TenantNotSeen"},
		"a tenant does not pay":           {"tenants", tenants(tenantNamespace("b", corev1.ConditionFalse, v1alpha1.ReasonPaymentRequired)), Passed, "of 2 tenants"},
		"many tenants are not ready":      {"tenants", tenants(slices.Repeat([]corev1.Namespace{{ObjectMeta: named("b")}}, 7)...), Failed, "and 2 more"},
		"a privileged Pod is admitted":    {"pod-security", tried(probePrivileged, nil), Failed, "would be admitted in tenant-a"},
		"Pod Security is off, not ours":   {"pod-security", tried(probePrivileged, refusedBy(policyPods)), Unknown, "by something else"},
		"there is nobody to try it with":  {"pod-security", func(f *Facts) { f.Probed = "" }, Unknown, "no tenant"},
		"who asks may make no Pods":       {"pod-security", tried(probePrivileged, refusal(`User "ann" cannot create resource "pods"`)), Unknown, "no right to create Pods"},
		"a hostPath is admitted":          {"no-host-path", tried(probeHostPath, nil), Failed, "would be admitted"},
		"our policy refuses a hostPath":   {"no-host-path", tried(probeHostPath, refusedBy(policyPods)), Passed, "it is refused"},
		"a token is admitted":             {"pod-policy", tried(probeToken, nil), Failed, "would be admitted"},
		"an account is missing":           {"pod-policy", tried(probeToken, refusal("error looking up service account")), Unknown, "by something else"},
		"a webhook of others is away":     {"pod-policy", tried(probeToken, errors.New("failed calling webhook")), Unknown, "failed calling webhook"},
		"any image is admitted":           {"image-policy", tried(probeImage, nil), Failed, "would be admitted"},
		"an image is refused otherwise":   {"image-policy", tried(probeImage, refusedBy(policyPods)), Unknown, "by something else"},
		"the network is not known":        {"network-policies", sets(daemonSet("bridge", 3)), Unknown, "the API server does not tell"},
		"the network is Flannel":          {"network-policies", sets(daemonSet("kube-flannel-ds", 3)), Failed, "does not enforce"},
		"the network is Flannel and more": {"network-policies", sets(daemonSet("kube-flannel-ds", 3), daemonSet("calico-node", 3)), Passed, "Calico"},
		"the network is not ready":        {"network-policies", sets(daemonSet("calico-node", 2)), Failed, "2 of 3 nodes"},
		"the network was not told to":     {"network-policies", sets(daemonSet("aws-node", 3)), Failed, "without --enable-network-policy=true"},
		"the network was told to":         {"network-policies", sets(daemonSet("aws-node", 3, "--enable-network-policy=true")), Passed, "Amazon"},
		"the network may not be seen":     {"network-policies", func(f *Facts) { f.DaemonSets.Err = forbidden }, Unknown, "no right"},
		"Secrets are in the clear":        {"encryption", counts(map[string]float64{"": 2}), Failed, "unencrypted"},
		"old Secrets are in the clear":    {"encryption", counts(map[string]float64{"": 2, "k8s:enc:aesgcm:v1:": 2}), Failed, "some Secrets"},
		"how it counts is not known":      {"encryption", counts(map[string]float64{"new:": 2}), Unknown, "does not know"},
		"nothing is counted":              {"encryption", counts(nil), Unknown, "does not tell"},
		"the flag is missing":             {"encryption", server(apiServerPod("kube-apiserver")), Failed, "without --encryption-provider-config"},
		"the flag is there":               {"encryption", server(apiServerPod("kube-apiserver", flagEncryption+"/etc/x")), Unknown, "is not seen from here"},
		"there are no GPUs":               {"gpus", func(f *Facts) { f.Nodes.Value = f.Nodes.Value[:1] }, Unknown, "no node offers"},
		"a node does not tell its GPUs":   {"gpus", func(f *Facts) { f.Nodes.Value = append(f.Nodes.Value, gpuNode("c", "")) }, Failed, "for one c"},
		"nodes may not be seen":           {"gpus", func(f *Facts) { f.Nodes.Err = forbidden }, Unknown, "no right"},
		"a RuntimeClass is missing":       {"runtime-classes", func(f *Facts) { f.RuntimeClasses.Value = nil }, Failed, "gvisor of the tier standard"},
		"a tier has no RuntimeClass":      {"runtime-classes", func(f *Facts) { f.Tiers.Value = resources.Default() }, Passed, "gVisor or Kata"},
		"tiers were not seen":             {"runtime-classes", func(f *Facts) { f.Tiers.Err = errNotLooked }, Unknown, "was not looked at"},
		"Kueue is there":                  {"queue", func(f *Facts) { f.Served.Value["kueue.x-k8s.io/v1beta1/localqueues"] = true }, Passed, "Kueue is there (v1beta1)"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := healthy(t)
			tc.change(&f)
			results := Decide(f)
			i := slices.IndexFunc(results, func(r Result) bool { return r.Name == tc.check })
			if i < 0 {
				t.Fatalf("there is no check %s", tc.check)
			}
			got := results[i]
			if got.Outcome != tc.want || !strings.Contains(got.Found, tc.says) {
				t.Errorf("got %s: %s; want %s: %s", got.Outcome, got.Found, tc.want, tc.says)
			}
			if (got.Outcome == Passed) != (len(got.Do) == 0) {
				t.Errorf("%s, and what to do is %q", got.Outcome, got.Do)
			}
		})
	}
}

func kind(change func(*Kind)) func(*Facts) {
	return func(f *Facts) {
		k := f.Kinds.Value["trainingruns.lethe.dev"]
		change(&k)
		f.Kinds.Value["trainingruns.lethe.dev"] = k
	}
}

func notReady(status corev1.PodStatus) func(*Facts) {
	return func(f *Facts) {
		f.Operator.Value.Status.ReadyReplicas = 1
		f.OperatorPods.Value = []corev1.Pod{{ObjectMeta: named("p"), Status: status}}
	}
}

func at(url string, err error) func(*Facts) {
	return func(f *Facts) { f.Published.Value.Data[discovery.KeyURL], f.Broker.Err = url, err }
}

func tenants(more ...corev1.Namespace) func(*Facts) {
	return func(f *Facts) { f.Tenants.Value = append(f.Tenants.Value, more...) }
}

func tried(probe string, err error) func(*Facts) {
	return func(f *Facts) { f.Probes[probe] = err }
}

func sets(sets ...appsv1.DaemonSet) func(*Facts) {
	return func(f *Facts) { f.DaemonSets.Value = sets }
}

func counts(by map[string]float64) func(*Facts) {
	return func(f *Facts) { f.Stored.Value = by }
}

func server(pods []corev1.Pod) func(*Facts) {
	return func(f *Facts) { f.Stored.Value, f.APIServers.Value = nil, pods }
}

// TestNothingWasSeen: no check passes or fails on what was not seen.
func TestNothingWasSeen(t *testing.T) {
	t.Parallel()
	no := errors.New("no")
	f := Facts{Now: now, Denied: []string{"anything"}}
	f.Version.Err, f.Served.Err, f.Kinds.Err, f.Operator.Err, f.OperatorPods.Err, f.Lease.Err = no, no, no, no, no, no
	f.Hooks.Err, f.Policies.Err, f.Bindings.Err, f.Defaults.Err, f.DefaultBindings.Err, f.Images.Err = no, no, no, no, no, no
	f.Published.Err, f.TrustBundle.Err, f.Broker.Err, f.DaemonSets.Err, f.APIServers.Err = no, no, errNotLooked, no, no
	f.Stored.Err, f.Nodes.Err, f.RuntimeClasses.Err, f.Tiers.Err, f.Tenants.Err = no, no, no, no, no
	for _, r := range Decide(f) {
		if r.Outcome != Unknown {
			t.Errorf("%s: %s: %s", r.Name, r.Outcome, r.Found)
		}
	}
}

func TestStored(t *testing.T) {
	t.Parallel()
	const metrics = `# HELP apiserver_storage_transformation_operations_total text
apiserver_storage_transformation_operations_total{resource="secrets",status="OK",transformation_type="to_storage",transformer_prefix="k8s:enc:secretbox:v1:"} 2
apiserver_storage_transformation_operations_total{resource="secrets",status="OK",transformation_type="from_storage",transformer_prefix="k8s:enc:secretbox:v1:"} 1e+01
apiserver_storage_transformation_operations_total{resource="secrets",status="OK",transformation_type="from_storage",transformer_prefix="identity"} 1
apiserver_storage_transformation_operations_total{resource="secrets",status="Unknown",transformation_type="from_storage",transformer_prefix="unknown"} 7
apiserver_storage_transformation_operations_total{resource="configmaps",status="OK",transformation_type="to_storage",transformer_prefix=""} 5
apiserver_storage_objects{resource="secrets"} 9
`
	want := map[string]float64{"k8s:enc:secretbox:v1:": 12, "": 1}
	if diff := cmp.Diff(want, stored([]byte(metrics))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTenantConfigIsFound(t *testing.T) {
	t.Parallel()
	from := corev1.Volume{Name: "tenants", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "lethe-tenants"}}}}
	tests := map[string]struct {
		args   []string
		mounts []corev1.VolumeMount
		want   [3]string
	}{
		"none":            {args: []string{"--leader-elect"}},
		"a folder":        {[]string{"--tenant-config=/etc/tenants/config.yaml"}, []corev1.VolumeMount{{Name: "tenants", MountPath: "/etc/tenants/"}}, [3]string{"/etc/tenants/config.yaml", "lethe-tenants", "config.yaml"}},
		"a file":          {[]string{"--tenant-config=/t.yaml"}, []corev1.VolumeMount{{Name: "tenants", MountPath: "/t.yaml", SubPath: "config.yaml"}}, [3]string{"/t.yaml", "lethe-tenants", "config.yaml"}},
		"no mount":        {[]string{"--tenant-config=/t.yaml"}, []corev1.VolumeMount{{Name: "tenants", MountPath: "/t"}}, [3]string{"/t.yaml", "", ""}},
		"not a ConfigMap": {[]string{"--tenant-config=/s/t.yaml"}, []corev1.VolumeMount{{Name: "store", MountPath: "/s"}}, [3]string{"/s/t.yaml", "", "t.yaml"}},
	}
	for name, tc := range tests {
		var d appsv1.Deployment
		d.Spec.Template.Spec = corev1.PodSpec{
			Volumes: []corev1.Volume{{Name: "store"}, from}, Containers: []corev1.Container{{Args: tc.args, VolumeMounts: tc.mounts}},
		}
		file, configMap, key := tenantConfig(&d)
		if diff := cmp.Diff(tc.want, [3]string{file, configMap, key}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	f := healthy(t)
	f.Operator.Err, f.Probed, f.Nodes.Value = errAbsent, "", nil
	results := Decide(f)
	for name, columns := range map[string]int{"report.txt": 0, "report-narrow.txt": 60} {
		var b strings.Builder
		screen := terminal.Screen{Out: &b}
		if columns > 0 {
			screen.Width = func() int { return columns + 1 }
		}
		if err := Write(screen, results); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.String())
		for line := range strings.Lines(b.String()) {
			if got := words.Length(line) - 1; columns > 0 && got > columns {
				t.Errorf("%d columns do not fit: %q", got, line)
			}
		}
	}
	var b strings.Builder
	if err := WriteJSON(&b, results); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json", b.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}
