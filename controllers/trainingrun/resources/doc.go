// Package resources builds the children of a TrainingRun: one batch/v1 Job, and
// nothing else. It is pure: from the run, the snapshot of its dataset and the
// operator's options to the complete object. The golden files under testdata show
// the result.
//
// # Decisions
//
// A run costs one attempt. backoffLimit is 0, so a trainer that fails is not
// started again at the user's expense; a Pod that the cluster takes away
// (DisruptionTarget: preempted, drained, node lost) is replaced and not counted.
// A replacement waits until its predecessor has ended, so that two trainers never
// write the same prefix.
//
// The Job has no ttl: when it goes is the run's decision, because its Pods hold
// the last local copy of the dataset.
//
// The Pod passes the restricted Pod Security Standard. Only the stager's
// containers mount the token for the broker; the trainer has the dataset, a place
// for its artifacts, and no way to the store or to the API server.
package resources
