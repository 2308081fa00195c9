// Package validation holds the rules for runs and datasets that their CRDs can not say:
// those that need to know the tenant, other objects, the operator's settings or the time.
//
// It is pure: what is known comes in as facts, and errors and warnings come out. The
// webhook gathers the facts from the cluster, the portal's forms from what they know. A
// fact that is missing is never held against anybody: the zero value of all facts gives
// neither error nor warning that would need one.
//
// # Error or warning
//
// An error is for what can never come to anything, or breaks a rule of the platform. What
// may still come right is a warning: a run may be made before its dataset, because
// `kubectl apply` of a folder knows no order, and the run waits for it; a kind of GPU that
// no node has may be what an autoscaler brings. None of the errors is the only thing that
// keeps its promise: images are also refused by a policy, GPUs by a quota, and a run on a
// dataset that is going fails. So a webhook that does not answer costs comfort and nothing
// else.
//
// Texts say what to do, and name no values of the user's but names.
package validation
