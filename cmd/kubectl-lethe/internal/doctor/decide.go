package doctor

import (
	"fmt"
	"strings"
)

// Outcome of a check.
type Outcome string

// The outcomes.
const (
	// Passed: it is as it has to be.
	Passed Outcome = "passed"
	// Failed: it is not.
	Failed Outcome = "failed"
	// Unknown: it can't be seen from here, or not by whoever asks.
	Unknown Outcome = "unknown"
)

// Result of a check.
type Result struct {
	// Name of the check; it stays the same over versions.
	Name string `json:"name"`
	// Outcome is passed, failed or unknown.
	Outcome Outcome `json:"outcome"`
	// LookedAt says what the outcome rests on.
	LookedAt string `json:"lookedAt"`
	// Found says what was there.
	Found string `json:"found"`
	// Do says what to do, in order.
	Do []string `json:"do,omitempty"`
}

// verdict is what a check comes to.
type verdict struct {
	outcome Outcome
	found   string
	do      []string
}

func pass(format string, args ...any) verdict {
	return verdict{outcome: Passed, found: fmt.Sprintf(format, args...)}
}

func fail(found string, do ...string) verdict {
	return verdict{outcome: Failed, found: found, do: do}
}

func unknown(found string, do ...string) verdict {
	return verdict{outcome: Unknown, found: found, do: do}
}

// check is one question about a cluster.
type check struct {
	name     string
	lookedAt string
	decide   func(Facts) verdict
}

// checks in the order in which things depend on each other.
var checks = []check{
	{"rights", "what the API server refused to show", checkRights},
	{"kubernetes", "the version of the API server, the kinds that it serves, and the versions of the kubelets", checkKubernetes},
	{"kinds", "the CustomResourceDefinitions datasetretentions and trainingruns of lethe.dev, beside what this program knows", checkKinds},
	{"operator", "the Deployment lethe-manager of lethe-system, and its Pods", checkOperator},
	{"leader", "the Lease manager.lethe.dev of lethe-system", checkLeader},
	{"published", "the ConfigMap kube-public/lethe-broker and the ClusterTrustBundle lethe-broker", checkPublished},
	{"broker", "the broker itself, from here, over TLS verified with the published certificates", checkBroker},
	{"webhooks", "the ValidatingWebhookConfiguration lethe", checkHooks},
	{"policies", "the admission policies of Lethe, and their bindings", checkPolicies},
	{"images", "the ConfigMap lethe-images of lethe-system", checkImages},
	{"tenants", "the condition lethe.dev/TenantReady of the Namespaces with the label lethe.dev/tenant", checkTenants},
	{"pod-security", "what the API server says of a privileged Pod in a tenant's namespace (dry run)", checkPrivileged},
	{"no-host-path", "what the API server says of a Pod with a hostPath in a tenant's namespace (dry run)", checkHostPath},
	{"pod-policy", "what the API server says of a Pod with a token of its service account in a tenant's namespace (dry run)", checkToken},
	{"image-policy", "what the API server says of a Pod whose image has no digest in a tenant's namespace (dry run)", checkImage},
	{"network-policies", "the DaemonSets of the cluster, for networks that are known to enforce NetworkPolicies", checkNetwork},
	{"encryption", "how the API server counts what it encrypts (/metrics), and the flags of its Pods, where it has any", checkEncryption},
	{"gpus", "the Nodes: what they offer of nvidia.com/gpu, and the label nvidia.com/gpu.product", checkGPUs},
	{"runtime-classes", "the RuntimeClasses, beside those that the tiers of tenants name", checkRuntimeClasses},
	{"queue", "whether the API server serves kueue.x-k8s.io", checkQueue},
}

// Decide judges all of it. It is pure.
func Decide(f Facts) []Result {
	results := make([]Result, 0, len(checks))
	for _, c := range checks {
		v := c.decide(f)
		results = append(results, Result{Name: c.name, Outcome: v.outcome, LookedAt: c.lookedAt, Found: v.found, Do: v.do})
	}
	return results
}

// unseen is what a check comes to that could not look.
func unseen(err error) verdict {
	return unknown(err.Error(), "run this again as who may see it, for example as a cluster administrator")
}

func checkRights(f Facts) verdict {
	if len(f.Denied) == 0 {
		return pass("you may see all that was looked at")
	}
	return unknown("you have no right to "+strings.Join(f.Denied, ", "),
		"run this again as a cluster administrator; what is marked below rests on these")
}
