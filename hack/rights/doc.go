// Package rights compares what a service account is allowed (RBAC, as it is written down)
// with what it has asked for (the API server's audit log), both ways: what it asked for has
// to be granted, and what is granted has to have been asked for, or to stand on a short
// list with the reason why it was not (excuses.go).
//
// # Decisions
//
// A right is one verb on one resource, for one name where the role gives names, in one
// namespace where a Role gives it: as small as RBAC can say it. A role with a wildcard is
// refused, because nothing can be said about it.
//
// A right that is given in every namespace, and was used in the operator's own only, is too
// wide; one that another covers is superfluous.
//
// An audit log has no entry for what the API server asks its authorizer beside the request
// itself. Two of these are told from the entry: an apply that made an object (201) took
// the right to create it. The others stand on the list.
//
// It reads files and calls nothing. By hand, from the root of the repository:
//
//	go run ./hack/rights/cmd /var/lib/lethe-lab/logs/audit*.log
package rights
