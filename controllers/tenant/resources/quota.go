package resources

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Tenant is what the objects of a tenant depend on.
type Tenant struct {
	// Namespace that the tenant is.
	Namespace string
	// GPUs that it may have at once, as far as its allowance and its tier say.
	GPUs int64
	// Suspended closes the quota, because nobody pays.
	Suspended bool
	// Internet opens the internet to the Pods of its runs.
	Internet bool
	// Tier that it is of.
	Tier Tier
}

// none are kinds of which a tenant has no use, with a quota of 0; see doc.go.
var none = []corev1.ResourceName{
	corev1.ResourceServicesLoadBalancers,
	corev1.ResourceServicesNodePorts,
	corev1.ResourcePersistentVolumeClaims,
	corev1.ResourceRequestsStorage,
	corev1.ResourceReplicationControllers,
	"count/deployments.apps",
	"count/replicasets.apps",
	"count/statefulsets.apps",
	"count/daemonsets.apps",
	"count/cronjobs.batch",
	"count/ingresses.networking.k8s.io",
	"count/resourceclaimtemplates.resource.k8s.io",
}

// Quota builds the tenant's ResourceQuota.
func Quota(t Tenant, c Config) *corev1.ResourceQuota {
	sum := func(base, perGPU resource.Quantity) resource.Quantity {
		all := perGPU.DeepCopy()
		all.Mul(t.GPUs)
		all.Add(base)
		return all
	}
	count := func(n int64) resource.Quantity { return *resource.NewQuantity(n, resource.DecimalSI) }
	base, per := t.Tier.Base, t.Tier.PerGPU
	storage := sum(base.EphemeralStorage, per.EphemeralStorage)
	memory := sum(base.Memory, per.Memory)
	gpus, jobs := t.GPUs, c.Counts.Runs
	if t.Suspended {
		gpus, jobs = 0, 0
	}
	hard := corev1.ResourceList{
		gpuQuota(v1alpha1.ResourceGPU):          count(gpus),
		corev1.ResourcePods:                     count(base.Pods + t.GPUs*per.Pods),
		corev1.ResourceRequestsCPU:              sum(base.CPU, per.CPU),
		corev1.ResourceRequestsMemory:           memory,
		corev1.ResourceLimitsMemory:             memory.DeepCopy(),
		corev1.ResourceRequestsEphemeralStorage: storage,
		corev1.ResourceLimitsEphemeralStorage:   storage.DeepCopy(),
		"count/jobs.batch":                      count(jobs),
		"count/trainingruns.lethe.dev":          count(c.Counts.Runs),
		"count/datasetretentions.lethe.dev":     count(c.Counts.Datasets),
		corev1.ResourceServices:                 count(c.Counts.Services),
		corev1.ResourceSecrets:                  count(c.Counts.Secrets),
		corev1.ResourceConfigMaps:               count(c.Counts.ConfigMaps),
		"count/resourceclaims.resource.k8s.io":  count(c.DeviceClaims),
	}
	for _, name := range none {
		hard[name] = count(0)
	}
	for _, name := range c.OtherDevices {
		hard[gpuQuota(name)] = count(0)
	}
	return &corev1.ResourceQuota{ObjectMeta: meta(t, "lethe"), Spec: corev1.ResourceQuotaSpec{Hard: hard}}
}

// gpuQuota is the name that a quota has for an extended resource: these can only be
// bounded by their requests.
func gpuQuota(name corev1.ResourceName) corev1.ResourceName {
	return corev1.DefaultResourceRequestsPrefix + name
}
