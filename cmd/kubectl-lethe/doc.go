// Command kubectl-lethe is the plugin behind "kubectl lethe": it uploads datasets,
// starts runs and follows them, explains why one waits or failed, fetches artifacts,
// checkpoints and logs, and shows when data goes.
//
//	upload      a folder becomes a sealed dataset
//	run         starts a run from flags or a file, and watches it
//	watch       shows how far a run has come, until it ends
//	status      lists and describes runs and datasets
//	logs        the trainer's output, over attempts and Pods, also when they are gone
//	why         what a run waits for or failed of, and what to do
//	cancel      stops a run and deletes it, or only suspends it; resume undoes that
//	artifacts   downloads and verifies artifacts or a checkpoint, or fetches logs
//	receipt     verifies receipts for erased data, offline
//	doctor      whether a cluster is fit for Lethe, and what is missing
//	completion  scripts for shells, and for kubectl
//
// Nothing passes through the operator but credentials: files go straight to and
// from the store, with short-lived credentials that reach one dataset or one run,
// asked for again at half of their life and kept in memory only. How a run fares is
// read from its status and nowhere else: whoever may read runs may watch them.
//
// # Installation
//
// kubectl finds a plugin by its name: put the program kubectl-lethe into a folder of
// the PATH. "kubectl lethe" is completed by kubectl once a script is beside it:
//
//	kubectl lethe completion kubectl > kubectl_complete-lethe
//	chmod +x kubectl_complete-lethe
//
// # Output
//
// Results go to the standard output, and what only accompanies them, such as the bar
// of a transfer, to the standard error. On a terminal lines are broken or cut so that
// they fit it; in a file or a pipe each record stays on a line and there is neither a bar
// nor a colour. NO_COLOR and TERM=dumb switch colours off. Whatever comes from a
// trainer or from the cluster can neither move the cursor nor change colours, but for
// the logs themselves, which are passed on as they are.
//
// Ctrl-C while a run is watched ends the watching only and says how to go on; the
// first one waits until it is known whether the run was made, the second one does not.
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
// # Rights
//
// ClusterRole lethe-user is enough for all of it. "why" says more to who may also list
// events, nodes, and the Pods of all namespaces, and names what it could not read. "doctor"
// is for cluster administrators.
//
// # Exit codes
//
//	0    done; run, watch, status -w: the run succeeded, or the dataset is erased
//	1    failed; run, watch, status -w: the run failed or was deleted; cancel: not confirmed;
//	     doctor: a check failed
//	64   the command was wrong: its flags, its file or folder, or the run that they describe
//	65   what the store holds is not what the manifest, or the checkpoint's record, says
//	75   broker or store stayed away: the same command goes on later
//	77   refused: a right is missing
//	130  interrupted; run and watch: detached, the run goes on
package main
