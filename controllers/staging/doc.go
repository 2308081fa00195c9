// Package staging is the contract between the operator, the stager that runs
// beside a trainer, and the trainer itself: the broker's protocol, the exit codes
// and the report of a stager, and the folders and variables of a trainer. It is
// pure; what runs inside the pod is the package agent, what answers it is the
// package broker.
//
// # A run's pod
//
//	init container  stage-in   dataset -> /lethe/dataset, verified against the manifest;
//	                           a checkpoint to begin with; waits for the other nodes
//	container       trainer    the user's image; files in, files out, no credentials
//	container       stage-out  stores checkpoints and output, tells of progress; after the
//	                           trainer's end publishes /lethe/artifacts
//
// stage-out is an ordinary container, not a native sidecar: a sidecar's exit code
// can not fail a Job and it gets only what is left of the grace period, but a
// failed upload must fail the run, however long the upload takes. It asks the
// broker for the trainer's end, because a container can not see its neighbour's
// processes without also being exposed to them.
//
// # Credentials
//
// Only stage-in and stage-out mount a service-account token, bound to their pod
// and to the audience of the broker. The broker exchanges it for short-lived
// credentials of the store that can do no more than the step needs; nothing of
// it is ever written to the tenant's namespace or to a volume.
//
// The same way goes the dataset's own key, under which every object of it lies in the
// store (S3's SSE-C): to stage-in and to whoever may upload, and to nobody else. It is
// the same for as long as the dataset lives, so a grant that comes with another one is
// refused. The trainer sees files and no key, and artifacts have none.
//
// # The trainer's contract, version 1
//
// See the Env constants for the variables. The trainer reads files from
// LETHE_DATASET_DIR, and what lies in LETHE_ARTIFACTS_DIR when it exits with 0
// is published, but for the folder of checkpoints in it and what nodes other than the
// first have left. It can write to these, to /tmp and to /dev/shm, and nowhere else: HOME
// and XDG_CACHE_HOME point into /tmp, which is empty at first and goes with the Pod. An
// image that has to write elsewhere asks for it (spec.trainer.rootFilesystem: Writable).
// All of that, and the dataset, counts against spec.trainer.resources.ephemeralStorage;
// /dev/shm against memory. Exit code 0 means success, any other failure. SIGTERM asks it to
// write a checkpoint and to exit with 143; an exit with 0 after that is no success.
package staging
