// Package tenant makes a labelled Namespace a safe place for other people's programs: it
// gets its quota, its limits, its network policies and its access, and they stay as they
// are meant to be.
//
// # What a tenant gets
//
// A Namespace with the label lethe.dev/tenant gets, from its annotations (api/v1alpha1,
// tenant.go) and the operator's configuration (resources/config.go):
//
//	on the Namespace             pod-security.kubernetes.io/{enforce,warn,audit}=restricted, pinned
//	ResourceQuota lethe          GPUs by allowance, and what belongs to them; many kinds not at all
//	LimitRange lethe             what a container has that does not say
//	NetworkPolicy lethe-deny-all, lethe-run-egress, and lethe-internet where it is open
//	ServiceAccount default       without a token
//	RoleBinding lethe-portal     the portal reads Pods and their logs (ClusterRole lethe-tenant-reader)
//
// When all that is there, and the cluster's quota controller has taken the quota over, the
// operator writes the annotation lethe.dev/runtime-class: which RuntimeClass the tenant's
// Pods run in. No run starts without it, so none is faster than its bounds. The
// annotation is taken away again while the tier is unknown, or the way to the store. Where
// the tier has writable root filesystems, lethe.dev/writable-root says so. A policy holds
// each Pod to both (config/policies/pods.yaml), so that after a change of the tier a Pod
// of a running attempt is not replaced: its run says PodRejected.
//
// What has our label app.kubernetes.io/managed-by=lethe-tenant and is not meant to be
// there is removed, in tenants' Namespaces only. What was changed is changed back. A
// Namespace that loses the label keeps everything: bounds are never lifted by a slip.
//
// The cluster's own Namespaces (default, kube-*) and the operator's are never a tenant,
// whoever puts the label on them: a quota there would stop the cluster, and the
// RoleBinding would open its logs.
//
// # Condition lethe.dev/TenantReady of the Namespace, and its reasons
//
//	True   Ready
//	False  NamespaceProtected   the label is taken off a Namespace of the cluster's own
//	       TierUnknown          the annotation names a tier that the configuration has
//	       StoreUnreachable     the configuration says where the store is (network.store)
//	       QuotaPending         the cluster's quota controller runs
//	       BillingMalformed     the annotation is Active or Suspended; it counts as Suspended
//	       PaymentRequired      billing is Active
//	       AllowanceMalformed   the annotation is a number; it counts as 0
//	       AllowanceMissing     the annotation is there; it counts as 0
//
// The last three let runs without GPUs start, but for PaymentRequired.
//
// # Billing
//
// When billing is Suspended, the time is noted in lethe.dev/suspended-at by the operator
// itself; what anybody else writes there is corrected where it can be told: a time to
// come, or one while billing is Active. The quota is closed for new GPUs and Jobs. The
// run's controller does the rest: new runs wait (PaymentRequired), those that run are
// stopped at a checkpoint when the grace (--billing-grace) is over, and go on by
// themselves when billing is Active again. Data stays as its retention says.
//
// # The end of a tenant
//
// There is no finalizer on the Namespace: the order is there without one. The cluster's
// namespace controller removes the Pods first, and everything else, with the network
// policies, only when none is left (Kubernetes 1.33 and newer). A Pod of a run has its
// grace period for a last checkpoint, and stays until its time is counted
// (lethe.dev/usage). Then the runs and datasets are deleted. A run goes when its artifacts
// are erased with a receipt (lethe.dev/run); a dataset when no run uses it any more and it
// is erased with a receipt (lethe.dev/erase). Then the Namespace is empty, and goes. In a
// Namespace that is going this controller does nothing: there is nothing it could make.
//
// # What it rests on
//
// NetworkPolicies hold where the cluster's network enforces them; the objects alone do
// nothing. RBAC has to keep tenants from the kinds above, and from Pods.
//
// # Cost
//
// Nothing is written at rest, and nothing is polled: each kind is watched, by our label.
// The Namespace is written by a merge patch, because it is the portal's; all else is
// applied by one owner.
//
// # Files
//
//	controller.go   watches, Reconcile
//	observe.go      what a decision needs, read once, from the cache
//	decide.go       what is to be done, pure; drift.go: whether an object is as it should be
//	act.go          the writes
//	report.go       the condition and its events; metrics.go: what is counted
//	resources/      the objects, and the configuration
package tenant
