// Package resources builds what a tenant gets in its Namespace. It is pure: from the
// tenant and the operator's configuration to complete objects, as the API server would
// give them back. The golden files under testdata show the result.
//
//	quota.go     ResourceQuota: how much, by the tenant's GPUs; what kinds not at all
//	limits.go    LimitRange: what a container has that does not say
//	network.go   NetworkPolicies: no traffic, and the exceptions for Pods of runs
//	access.go    the service account without a token; the portal's RoleBinding
//	config.go    what a platform team can set, and its defaults
//
// # Decisions
//
// The quota covers what a Pod of a run asks for, and no more names than the LimitRange
// gives defaults for: a quota on a resource that a container does not mention keeps the
// Pod from being made. There is no quota on limits.cpu, because the stagers have none:
// they may use a processor that is idle.
//
// Kinds that make Pods by other ways than a Job (Deployment, CronJob, ...), that hold
// data past a run (PersistentVolumeClaim), that open the node to the outside (NodePort,
// LoadBalancer) or that claim devices past the GPU quota (ResourceClaim) have a quota of
// none, whatever RBAC allows.
//
// A quota bounds what is made from then on. So a tenant that does not pay gets no GPUs
// and no Jobs any more, while what runs is left alone: that is stopped at a checkpoint by
// the run's controller when the grace is over.
//
// Everything has the label app.kubernetes.io/managed-by=lethe-tenant: what has it and is
// not built here is removed.
package resources
