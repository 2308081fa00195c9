package rights

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
)

// Operator is the account of the operator.
var Operator = rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "lethe-system", Name: "lethe-manager"}

// home are the namespaces with what is the operator's own.
var home = []string{Operator.Namespace, "kube-public", "kube-system"}

// OperatorExcuses are the operator's rights that the journeys on the lab may not use.
var OperatorExcuses = slices.Concat(
	excuse("asked by the API server itself when the portal's RoleBinding is written; TestTheOperatorsRightsAreEnough fails without it",
		Right{Verb: "bind", Group: "rbac.authorization.k8s.io", Resource: "clusterroles", Name: "lethe-tenant-reader"}),
	excuse("asked by the admission plugin OwnerReferencesPermissionEnforcement, which the lab does not have",
		Right{Verb: "update", Group: "lethe.dev", Resource: "trainingruns/finalizers"}),
	excuse("Kueue is not in the lab; controllers/trainingrun tests what is read of it",
		Right{Verb: "list", Group: "kueue.x-k8s.io", Resource: "workloads"},
		Right{Verb: "get", Group: "visibility.kueue.x-k8s.io", Resource: "localqueues/pendingworkloads"}),
	excuse("the operator's cache begins with a watch that gives all there is (WatchList), and lists where the API server has none",
		Right{Verb: "list", Resource: "limitranges"},
		Right{Verb: "list", Resource: "namespaces"},
		Right{Verb: "list", Resource: "resourcequotas"},
		Right{Verb: "list", Resource: "serviceaccounts"},
		Right{Verb: "list", Group: "networking.k8s.io", Resource: "networkpolicies"},
		Right{Verb: "list", Group: "rbac.authorization.k8s.io", Resource: "rolebindings"}),
	excuse("the service account \"default\" is made by Kubernetes, which is faster than the operator",
		Right{Verb: "create", Resource: "serviceaccounts"}),
	excuse("asked when a kind of Lethe itself is gone, to tell that from an API server that has not read it yet; "+
		"the journey puts it back before the operator is, controllers/erasure/sweeper tests it",
		Right{Verb: "get", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", Name: "datasetretentions.lethe.dev"},
		Right{Verb: "get", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", Name: "trainingruns.lethe.dev"}),
	excuse("the recorder patches an event that is told again within minutes; whether a journey makes it say one twice is a matter of speed",
		Right{Verb: "patch", Group: "events.k8s.io", Resource: "events"}),
	excuse("the broker's certificate authority is made anew every few years",
		Right{Verb: "update", Group: "certificates.k8s.io", Resource: "clustertrustbundles", Name: "lethe-broker"}),
)

func excuse(why string, rights ...Right) []Excuse {
	all := make([]Excuse, 0, len(rights))
	for _, right := range rights {
		all = append(all, Excuse{Right: right, Why: why})
	}
	return all
}
