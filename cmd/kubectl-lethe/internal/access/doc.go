// Package access finds the broker and the token that it is shown, and says which
// role is missing where a right is.
//
// # Where the broker is
//
// The operator publishes its URL and its certificates in the ConfigMap
// lethe-broker of kube-public. That place is as trustworthy as the API server's
// own answers, so the flags are needed only where a proxy stands in between.
// Nothing but https is spoken, and the certificate is always verified.
//
// # Which token is sent
//
// If the kubeconfig yields a bearer token (written down, in a file, or from a
// login plugin), that one is sent, so that the broker decides on the person's own
// rights. Such a token is good for the API server as well; whoever receives it
// could act as that person. It is therefore sent to one place only: the operator,
// found and verified as above, which asks the API server about the token and
// forgets it.
//
// If it yields none (client certificates prove who one is to the API server
// alone), or if somebody is impersonated (a token names the real person), a token
// is requested for a service account in the namespace of the object: for the
// broker's audience, so it is worth nothing anywhere else, and for ten minutes,
// the shortest that the API server issues.
package access
