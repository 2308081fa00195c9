// Package broker is the operator's HTTPS endpoint that exchanges identities of the
// cluster for short-lived credentials of the store, by the protocol in the package
// staging.
//
// It exists so that no credential of the store ever lies in a tenant's namespace:
// every grant is made for one caller and one place, is kept in memory on both
// sides, and ends by itself. Every replica of the operator serves it: it reads from the
// cluster, and what it writes (progress and checkpoints) needs no leader.
//
// # Who is believed
//
// Pods show a service-account token that is bound to them and to the broker's
// audience. Everything else is read live from the API server: pod -> Job -> run ->
// dataset, each by the controller's owner reference and its UID. Labels are not
// believed, because a tenant can write them. People show any token that the API
// server believes, and need the right to the subresource.
//
// A Job is one attempt of its run. Its name follows from the run and the number of the
// attempt, so that there is one of each, and where the run's status knows its UID, it
// must be that. Pods of an attempt that is over are refused everything. What a Job's
// template says of the dataset is held against the dataset and, as soon as it is
// written, against the run's status: a template can be edited while its Job is suspended.
//
// A run is suspended, and its limits are enforced, by the deletion of its Job, and the
// last checkpoint comes after that. So what belongs to an end (stage-out, the trainer's
// end, progress, checkpoints, logs) is given to pods that are being deleted, too. Their
// Job is gone before they are; then the run's status, which has the UID of the Job, tells
// that they are its. What begins something (stage-in, the wait for the other nodes) is
// refused to them.
//
// The trust boundary is the namespace: who may create pods that pass for a run's
// can reach what that run can reach. No other namespace's data is ever in reach.
//
// # What a dataset that is being erased refuses
//
// stage-in and uploads are refused from the moment of deletion: the first would
// make a new copy of the data, the second would add to what is being removed. Uploads
// are refused from status.expiresAt on already, also while a hold keeps the data; a run
// that was bound before it reads on.
// stage-out is not: it neither reads nor writes the dataset, artifacts have a life
// of their own, and the erase waits for the run in any case, so to refuse it
// would only throw away training that is done. What refuses stage-out is the end
// or the deletion of its run.
//
// # Keys
//
// stage-in and uploaders of a dataset with a key of its own get that key with their
// grant, read live after the look at the dataset. It is in memory only on both sides,
// and no log, error or metric has it: grants and keys do not print, and a panic is
// logged without arguments. A dataset whose key is gone is one that is being erased,
// whatever else its object says. Whoever was given a key can remember it: the pods of
// runs are gone before it is destroyed, but an uploader's own computer is not reached.
//
// # Checkpoints to begin with
//
// stage-in also gets to read the checkpoint that its trainer begins with, and nothing
// beside it: the run's own newest, else the one that spec.checkpoint.from names, looked
// up live. stage-out writes the run's own place; where every node writes its part of a
// checkpoint it reads those as well.
//
// # What a trainer tells
//
// Progress is hostile input, by way of stage-out: it is bounded, cleaned, stamped with
// our own time, and what makes no sense is left out. It is kept in memory and written
// into the run's status at most once in staging.ProgressInterval, the last message
// always; a server that stops writes what it holds back. A checkpoint is written at once,
// before it is answered, and takes along what is held back. What is in memory is bounded
// and may be forgotten at any time: the status has what another replica, or the next
// life of this one, goes on from.
//
// One field owner, lethe-progress, owns status.progress and status.checkpoints. Because
// server-side apply takes away what an owner leaves out, every write carries both, made
// from the status at a resource version and refused when that is not the newest any
// more. So neither replicas nor the reconcilers lose each other's fields.
//
// Logs are the caller's own trainer's. They are read from the API server when they are
// asked for, and kept nowhere.
//
// # How long a grant outlives its reason
//
// STS credentials can not be taken back on every store. They live for
// Options.CredentialLife. Those of uploads are good for staging.UploadLife only,
// counted from before the look at the dataset: that bounds how long after its
// sealing or deletion a stray write can still begin. STS gives no life as short, so
// a condition on the time in their policy ends it.
//
// # What callers can use up
//
// Everybody in the cluster may reach the port. Connections, requests at work,
// requests that wait, and TokenReviews under way are bounded, each apart. Before a
// token is reviewed there is a limit for the host, and a token that was refused is
// refused for some seconds without another review; after it there is a limit for
// the namespace or person. A pod waits for its trainer, or for the other nodes, once at
// a time, and only when it was found, live, to be one of a run that goes on. That is
// remembered for some seconds for what pods ask again and again. What they tell, and how
// often they ask for their logs, has a limit for each pod; logs have slots of their own,
// of which a namespace gets a part, so that they never starve grants. All of these are each
// replica's own, and a caller can not choose between replicas: with two, the most is twice
// as much. What counts messages (their sequence, the interval between two writes) goes by
// the run's status besides, and holds over all of them.
package broker
