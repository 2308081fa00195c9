package resources

import (
	corev1 "k8s.io/api/core/v1"
)

// Limits builds the tenant's LimitRange: what a container has that does not say. Without
// it, the quota would refuse such a container.
func Limits(t Tenant) *corev1.LimitRange {
	k := t.Tier.Container
	return &corev1.LimitRange{
		ObjectMeta: meta(t, "lethe"),
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypeContainer,
			Default: corev1.ResourceList{
				corev1.ResourceMemory:           k.Memory.DeepCopy(),
				corev1.ResourceEphemeralStorage: k.EphemeralStorage.DeepCopy(),
			},
			DefaultRequest: corev1.ResourceList{
				corev1.ResourceCPU:              k.CPU.DeepCopy(),
				corev1.ResourceMemory:           k.Memory.DeepCopy(),
				corev1.ResourceEphemeralStorage: k.EphemeralStorageRequest.DeepCopy(),
			},
		}}},
	}
}
