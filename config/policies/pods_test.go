package policies_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

const podsPolicy = "lethe-tenant-pods"

// TestWhatATenantsPodIs asks as the Job controller does, which everything else lets
// through: as if the operator had made a bad Job, or somebody had edited a good one.
func TestWhatATenantsPodIs(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	volume := func(source corev1.VolumeSource) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "more", VolumeSource: source})
		}
	}
	token := func(projection corev1.VolumeProjection) func(*corev1.Pod) {
		return volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{projection}}})
	}
	security := func(change func(*corev1.SecurityContext)) func(*corev1.Pod) {
		return func(p *corev1.Pod) { change(p.Spec.Containers[0].SecurityContext) }
	}
	const (
		saysVolumes = "volumes of the kinds"
		saysNode    = "with their node"
		saysPower   = "no privileges"
		saysAccount = "service account \"default\""
		saysTokens  = "tokens for the broker"
		saysPlaced  = "placed by the scheduler"
		saysRuns    = "Pods belong to runs"
		saysImages  = "do not write into their images"
	)
	attempts := map[string]struct {
		change func(*corev1.Pod)
		says   string
	}{
		"a folder of the node":  {volume(corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/lib/kubelet"}}), saysVolumes},
		"another server's disk": {volume(corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "10.0.0.1", Path: "/"}}), saysVolumes},
		"an image as a volume":  {volume(corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "registry.example/evil:1"}}), saysVolumes},
		"somebody's claim":      {volume(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}), saysVolumes},
		"a driver's volume":     {volume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "secrets-store.csi.k8s.io"}}), saysVolumes},
		"the node's network":    {func(p *corev1.Pod) { p.Spec.HostNetwork = true }, saysNode},
		"the node's processes":  {func(p *corev1.Pod) { p.Spec.HostPID = true }, saysNode},
		"the node's memory":     {func(p *corev1.Pod) { p.Spec.HostIPC = true }, saysNode},
		"a port of the node": {func(p *corev1.Pod) {
			p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}}
		}, saysNode},
		"a privileged container": {security(func(c *corev1.SecurityContext) { c.Privileged, c.AllowPrivilegeEscalation = ptr.To(true), nil }), saysPower},
		"a privileged init container": {func(p *corev1.Pod) {
			p.Spec.InitContainers[0].SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
		}, saysPower},
		"a way to more privileges": {security(func(c *corev1.SecurityContext) { c.AllowPrivilegeEscalation = ptr.To(true) }), saysPower},
		"no word about privileges": {security(func(c *corev1.SecurityContext) { c.AllowPrivilegeEscalation = nil }), saysPower},
		"no security context":      {func(p *corev1.Pod) { p.Spec.Containers[0].SecurityContext = nil }, saysPower},
		"a capability":             {security(func(c *corev1.SecurityContext) { c.Capabilities.Add = []corev1.Capability{"NET_RAW"} }), saysPower},
		"an image to write into":   {security(func(c *corev1.SecurityContext) { c.ReadOnlyRootFilesystem = ptr.To(false) }), saysImages},
		"no word about its image":  {security(func(c *corev1.SecurityContext) { c.ReadOnlyRootFilesystem = nil }), saysImages},
		"an init container's image to write into": {func(p *corev1.Pod) {
			p.Spec.InitContainers[0].SecurityContext.ReadOnlyRootFilesystem = nil
		}, saysImages},
		"another service account": {func(p *corev1.Pod) { p.Spec.ServiceAccountName = "lethe-uploader" }, saysAccount},
		"another account by its old name": {func(p *corev1.Pod) {
			p.Spec.ServiceAccountName, p.Spec.DeprecatedServiceAccount = "", "lethe-uploader"
		}, saysAccount},
		"a token of its account":     {func(p *corev1.Pod) { p.Spec.AutomountServiceAccountToken = ptr.To(true) }, saysAccount},
		"no word about its token":    {func(p *corev1.Pod) { p.Spec.AutomountServiceAccountToken = nil }, saysAccount},
		"a token for the API server": {token(corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "t"}}), saysTokens},
		"a token for the store":      {token(corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "t", Audience: "sts.min.io"}}), saysTokens},
		"a certificate":              {token(corev1.VolumeProjection{PodCertificate: &corev1.PodCertificateProjection{SignerName: "example.com/s", KeyType: "ED25519", CredentialBundlePath: "c"}}), saysTokens},
		"a node of its choice":       {func(p *corev1.Pod) { p.Spec.NodeName = "control-plane-1" }, saysPlaced},
		"every node":                 {func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}} }, saysPlaced},
		"the control plane": {func(p *corev1.Pod) {
			p.Spec.Tolerations = []corev1.Toleration{{Key: "node-role.kubernetes.io/control-plane", Operator: corev1.TolerationOpExists}}
		}, saysPlaced},
		"no Job": {func(p *corev1.Pod) { p.OwnerReferences = nil }, saysRuns},
		"another owner": {func(p *corev1.Pod) {
			p.OwnerReferences[0].APIVersion, p.OwnerReferences[0].Kind = "apps/v1", "ReplicaSet"
		}, saysRuns},
		"no run":                         {func(p *corev1.Pod) { delete(p.Labels, v1alpha1.LabelRunUID) }, saysRuns},
		"an owner that does not rule it": {func(p *corev1.Pod) { p.OwnerReferences[0].Controller = nil }, saysRuns},
	}
	for name, a := range attempts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pod(l.namespace, "made")
			a.change(p)
			refused(t, l.as(jobController).Create(t.Context(), p, client.DryRunAll), podsPolicy, a.says)
		})
	}
	benign := map[string]func(*corev1.Pod){
		"as the operator builds it": func(*corev1.Pod) {},
		"with a node selector":      func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"sandbox": "gvisor"} },
		"tolerating what nodes with GPUs have": func(p *corev1.Pod) {
			p.Spec.Tolerations = []corev1.Toleration{{Key: "nvidia.com/gpu", Operator: corev1.TolerationOpExists}}
		},
		"with settings of the tenant": volume(corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}}}),
		"with gates of a queue": func(p *corev1.Pod) {
			p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "kueue.x-k8s.io/topology"}}
		},
	}
	for name, change := range benign {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pod(l.namespace, "made")
			change(p)
			allowed(t, l.as(jobController).Create(t.Context(), p, client.DryRunAll))
		})
	}
}

// TestRuntimeClassIsTheTiers stands apart because the API server looks for the class first,
// and because there the tenant has a tier.
func TestRuntimeClassIsTheTiers(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	for _, name := range []string{"strong", "weak"} {
		l.must(client.IgnoreAlreadyExists(l.cluster.Client.Create(t.Context(), &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Handler: name})))
	}
	in := func(class *string) error {
		p := pod(l.namespace, "made")
		p.Spec.RuntimeClassName = class
		return l.as(jobController).Create(t.Context(), p, client.DryRunAll)
	}
	const says = "in the RuntimeClass of its tier"
	// Before the operator has said which, or when it says "", it is the nodes' own.
	refused(t, in(ptr.To("strong")), podsPolicy, says+" ('')")
	allowed(t, in(nil))
	l.tier(v1alpha1.AnnotationRuntimeClass, "strong", func() error { return in(ptr.To("strong")) })
	refused(t, in(ptr.To("weak")), podsPolicy, says+" ('strong'), and not in 'weak'")
	refused(t, in(nil), podsPolicy, says)
}

// TestSystemPriority stands apart because the API server looks for the class first.
func TestSystemPriority(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	p := pod(l.namespace, "important")
	p.Spec.PriorityClassName = "system-node-critical"
	refused(t, l.as(jobController).Create(t.Context(), p, client.DryRunAll), podsPolicy, "priority")
}

func TestStaffMayLookForTrouble(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	debug := workloads(l.namespace)["pods"]
	allowed(t, l.as(staff).Create(t.Context(), debug, client.DryRunAll))
	hosted, _ := debug.DeepCopyObject().(*corev1.Pod)
	hosted.Spec.Volumes = []corev1.Volume{{Name: "h", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}}
	refused(t, l.as(staff).Create(t.Context(), hosted, client.DryRunAll), podsPolicy, "hostPath")
}

// TestPodFromBeforeCanGo: a namespace that becomes a tenant's holds what it held.
func TestPodFromBeforeCanGo(t *testing.T) {
	t.Parallel()
	l := newLand(t, nil)
	p := &corev1.Pod{ObjectMeta: named(l.namespace), Spec: plain()}
	p.Finalizers = []string{"example.com/audit"}
	p.Spec.Volumes = []corev1.Volume{{Name: "h", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}}
	l.must(l.as(tenant).Create(t.Context(), p))
	l.must(l.as(staff).Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: l.namespace}},
		client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"lethe.dev/tenant":"t-1"}}}`))))
	before := p.DeepCopy()
	p.OwnerReferences, p.Finalizers = nil, nil
	allowed(t, l.as(collector).Patch(t.Context(), p, client.MergeFrom(before)))
	allowed(t, l.as(namespaceController).Delete(t.Context(), p))
}
