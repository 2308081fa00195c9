// Package resources builds the children of a TrainingRun: one batch/v1 Job for each
// attempt, for a run with several nodes a headless Service and, in a tenant's Namespace, a
// NetworkPolicy that lets them talk to each other, and nothing else. It is
// pure: from the run, the snapshot of its dataset and the operator's options to the
// complete object. The golden files under testdata show the result.
//
// # Decisions
//
// A Job is one attempt. backoffLimit is 0, so a trainer that fails is not started
// again by the Job controller: whether it is at all, the run decides, with a new Job. A
// Pod of a single node that the cluster takes away (DisruptionTarget: preempted,
// drained, node lost) is replaced within the attempt and not counted. Of several nodes
// none can go on without the others: the Job fails at once, whatever it was, and its
// other Pods are stopped with it. A replacement waits until its predecessor has ended,
// so that two trainers never write the same prefix.
//
// A Job of several nodes is indexed; the index is the node's. The Pods find each other
// through the Service, which publishes their names before they are ready, because
// rendezvous is what they need them for.
//
// The Job has no ttl: when it goes is the run's decision, because its Pods hold
// the last local copy of the dataset. Its Pods carry a finalizer (lethe.dev/usage) until
// their time is in the run's status.
//
// A Job for a queue is created suspended, with Kueue's label. What Kueue then owns of it
// (suspend, node selector, tolerations) is never written again. The deadline is the only
// thing of a Job that is: it makes the run's limits hold while the operator is away.
//
// A stager that was killed (137) is started again in its Pod, and goes on from its
// journal. Kubernetes has no limit for that; the controller has. Everything else that a
// container ends with ends the Pod.
//
// The Pod passes the restricted Pod Security Standard. Only the stager's
// containers mount the token for the broker; the trainer has the dataset, a place
// for its artifacts, and no way to the store or to the API server.
//
// # Files
//
//	job.go       the Job: names, labels, what is read back from it
//	pod.go       the Pod: containers, volumes
//	env.go       the environment of the trainer and of the stagers
//	service.go   the Service, and the names by which nodes find each other
//	network.go   the NetworkPolicy
package resources
