// Package transfer moves a folder to the store and artifacts from it.
//
// The transfers themselves are those of the stager (controllers/staging/agent):
// parallel, verified by SHA-256, patient with a store that is away. What is here
// makes a person's command look like a pod's step to it: a broker that hands out
// the person's grants, and a store that counts what passes through.
//
// # Going on after an interruption
//
// Uploading credentials can only write, so the store can not be asked what it has
// already. Instead each file that arrived is noted in a journal in the person's
// cache folder, by the dataset's UID. With --resume a file whose size and time are
// as noted is read and hashed again, but not sent again; if its hash differs from
// the noted one, the upload stops. So the manifest is always that of the files as
// they are, and whether the store holds them is checked by the operator when the
// dataset is sealed.
//
// A dataset with a key of its own is sent under that key, files and manifest alike. The
// key comes with the broker's grant and is compared with the one that the dataset's
// status names, so nothing is ever sent under none by mistake.
//
// Artifacts are collected in a hidden folder beside the target and appear there by
// one rename, whole or not at all. A second start verifies what is there already
// and fetches the rest.
//
// The stager's explanations are written for the report of a pod and name no file.
// A person at a terminal may see the names of his own files, so failures are
// explained anew here.
package transfer
