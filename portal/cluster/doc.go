// Package cluster is the portal's way to the Kubernetes API server: tenants' namespaces,
// datasets and runs are asked for here, and what becomes of them is watched.
//
// # What it may
//
// It acts as the portal's own service account and never as anybody else. That account may
// touch tenants' namespaces only (config/portal/role.yaml, config/policies/portal.yaml).
//
// # When the API server is away
//
// Nothing here waits for it without a bound: an act ends within Options.Timeout, as a
// *portal.Error of KindUnavailable, and may be repeated. Every act is idempotent: what is
// there already was made by an earlier try, because names are never used twice. The watch
// goes on by itself when the API server is back, and what changed meanwhile is told then.
//
// # What is told
//
// A Sink is told the newest state of an object, not every change: what changes faster than
// the sink takes it is left out. So the memory is bounded by the number of objects. The
// cache holds neither managedFields nor what the portal has no use for.
package cluster
