// Package doctor looks whether a cluster is fit for Lethe: what was installed is there and
// works, and what the platform team has to provide is provided.
//
// Gather reads, with the rights of whoever asks; Decide is pure. Each check passes, fails,
// or can not tell, which is said honestly: some things can't be seen through the API
// server, such as whether the network enforces what a NetworkPolicy says. Such a check
// says how to find out.
//
// Nothing is written. Admission is tried with Pods that are sent as a dry run and that a
// tenant must not have; one that is admitted would not have been made either.
//
// What nobody needs is not looked for: no StorageClass, since runs keep what they have in
// the store. What is wanted by the manifests is written down in wanted.go, and a test
// compares it with config/.
package doctor
