package doctor

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// The Pods that no tenant may have.
const (
	probePrivileged = "privileged"
	probeHostPath   = "host-path"
	probeToken      = "token"
	probeImage      = "image"
)

// probeImageRef is pinned, so that the policy about images has nothing against it. Nothing is
// ever pulled.
const probeImageRef = "doctor.invalid/probe@sha256:0000000000000000000000000000000000000000000000000000000000000000"

// probes are Pods that differ from what a tenant may have in one point each.
var probes = map[string]func(*corev1.PodSpec){
	probePrivileged: func(spec *corev1.PodSpec) {
		spec.Containers[0].SecurityContext.Privileged = ptr.To(true)
		spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = ptr.To(true)
	},
	probeHostPath: func(spec *corev1.PodSpec) {
		spec.Volumes = []corev1.Volume{{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}}
	},
	probeToken: func(spec *corev1.PodSpec) { spec.AutomountServiceAccountToken = ptr.To(true) },
	probeImage: func(spec *corev1.PodSpec) { spec.Containers[0].Image = "doctor.invalid/probe:latest" },
}

// probe tries them in a tenant's namespace, if there is one.
func (g *gatherer) probe(ctx context.Context, namespace string) {
	f := &g.facts
	if namespace == "" {
		namespace = anyTenant(f.Tenants.Value)
	}
	f.Probed = namespace
	if namespace == "" {
		return
	}
	f.Probes = map[string]error{}
	class := runtimeClassIn(f.Tenants.Value, namespace)
	for name, change := range probes {
		pod := probePod(namespace, name, change)
		pod.Spec.RuntimeClassName = class
		f.Probes[name] = g.cluster.Try(ctx, pod)
	}
}

// runtimeClassIn is what the Pods of a tenant have to run in; nil: the nodes' own.
func runtimeClassIn(tenants []corev1.Namespace, namespace string) *string {
	i := slices.IndexFunc(tenants, func(n corev1.Namespace) bool { return n.Name == namespace })
	if i < 0 || tenants[i].Annotations[v1alpha1.AnnotationRuntimeClass] == "" {
		return nil
	}
	return ptr.To(tenants[i].Annotations[v1alpha1.AnnotationRuntimeClass])
}

// anyTenant prefers one that has all that it needs; "" if there is none.
func anyTenant(tenants []corev1.Namespace) string {
	tenants = slices.DeleteFunc(slices.Clone(tenants), func(n corev1.Namespace) bool { return n.DeletionTimestamp != nil })
	if i := slices.IndexFunc(tenants, ready); i >= 0 {
		return tenants[i].Name
	}
	if len(tenants) > 0 {
		return tenants[0].Name
	}
	return ""
}

func ready(namespace corev1.Namespace) bool {
	return conditionOf(namespace).Status == corev1.ConditionTrue
}

func conditionOf(namespace corev1.Namespace) corev1.NamespaceCondition {
	for _, condition := range namespace.Status.Conditions {
		if condition.Type == v1alpha1.ConditionTenantReady {
			return condition
		}
	}
	return corev1.NamespaceCondition{Reason: "TenantNotSeen", Message: "the operator has not looked at it"}
}

// probePod is what Pod Security "restricted" admits, but for the change.
func probePod(namespace, name string, change func(*corev1.PodSpec)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "lethe-doctor-" + name},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: ptr.To(false),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](65532),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "probe", Image: probeImageRef,
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
	change(&pod.Spec)
	return pod
}
