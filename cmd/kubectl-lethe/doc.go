// Command kubectl-lethe is the plugin behind "kubectl lethe": it uploads datasets,
// fetches artifacts, and shows runs, their logs, and when data goes.
//
// Nothing passes through the operator but credentials: files go straight to and
// from the store, with short-lived credentials that reach one dataset or one run,
// asked for again at half of their life and kept in memory only.
//
// # Which token the broker is shown
//
// The token of the kubeconfig if it yields one, otherwise one of a service account
// (--service-account, in the namespace of the object), made for the broker alone
// and good for ten minutes. A kubeconfig's own token is good for the API server
// too; it is sent only to the endpoint that the operator has published through the
// API server, over TLS verified with the operator's own certificates. See the
// package internal/access.
//
// # Exit codes
//
//	0    done; status -w: the run succeeded, or the dataset is erased
//	1    failed; status -w: the run failed
//	64   the command was wrong, or its folder can not be used
//	65   what the store holds is not what the manifest says
//	75   broker or store stayed away: the same command goes on later
//	77   refused: a right is missing
//	130  interrupted
package main
