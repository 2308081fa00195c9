// Package broker is the operator's HTTPS endpoint that exchanges identities of the
// cluster for short-lived credentials of the store, by the protocol in the package
// staging.
//
// It exists so that no credential of the store ever lies in a tenant's namespace:
// every grant is made for one caller and one place, is kept in memory on both
// sides, and ends by itself. Every replica of the operator serves it, because
// it only reads from the cluster and so needs no leader.
//
// # Who is believed
//
// Pods show a service-account token that is bound to them and to the broker's
// audience. Everything else is read live from the API server: pod -> Job -> run ->
// dataset, each by the controller's owner reference and its UID. Labels are not
// looked at, because a tenant can write them. People show any token that the API
// server believes, and need the right to the subresource.
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
// the namespace or person. A pod waits for its trainer once at a time, and only
// when it was found, live, to be one of a run that goes on.
package broker
