// Package runs measures the operator's reconcilers on a control plane alone: a real
// etcd on a memory disk, a real kube-apiserver, and for the last part the real
// kube-controller-manager and kube-scheduler with kwok in the place of kubelets.
//
// The operator is a process of its own with the manager's cache options and workers,
// with the rights of config/rbac, as a service account is: nothing exempts it from the
// API server's priority and fairness. Only the object store is not real (package
// memorystore), and the broker is left out, since no stager runs. What it writes is
// counted in the API server's audit log, so that a process which was killed is counted
// too.
//
// Parts:
//
//	create   16 creators make -runs TrainingRuns, until the last child Job is seen. Then
//	         the operator is stopped, and in another namespace a bare client with as many
//	         goroutines makes the same writes: the run, its finalizer, its Job (a copy of
//	         one that the operator has made), and what else the operator was seen to
//	         write to most runs. Each of -rounds has a control plane of its own.
//	latency  -rate creates a second at random times, whether or not the earlier ones
//	         were answered, for -seconds. From the time at which a create was due until
//	         its Job is seen.
//	fleet    -fleet runs to Succeeded on kwok's nodes, each training for 2 to 10 s. When
//	         half of them are through, the operator is killed (SIGKILL) and started again.
//	rest     finished runs, copied with Job and Pod from one of the fleet: the memory of
//	         an operator that has started with them, after a garbage collection, and its
//	         writes in -quiet.
//
// Not shown: the broker, the store, webhooks and policies, a network, and more than one
// replica of anything.
package runs
