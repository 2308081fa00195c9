package doctor

import "github.com/lethe-dev/lethe/api/v1alpha1"

// What config/ installs, and under which names.
const (
	// Namespace of the operator. The policies name it, so it can't be another.
	Namespace = "lethe-system"
	// Operator is the name of the operator's Deployment, and of its container's label.
	Operator = "lethe-manager"
	// Lease is what the replicas elect their leader by.
	Lease = "manager.lethe.dev"
	// Webhook is the name of the ValidatingWebhookConfiguration.
	Webhook = "lethe"
	// Images is the ConfigMap that the policy about images reads.
	Images = "lethe-images"
)

// Hooks are the webhooks of the configuration.
var Hooks = []string{"datasetretentions.lethe.dev", "trainingruns.lethe.dev"}

// Policies are the ValidatingAdmissionPolicies; each has a binding that denies.
var Policies = []string{
	"lethe-exec", "lethe-finalizers", "lethe-hold", Images, "lethe-limits", "lethe-portal", "lethe-root-filesystem", "lethe-status",
	"lethe-tenant-bounds", "lethe-tenant-finalizers", "lethe-tenant-objects", policyPods, "lethe-tenants",
}

// policyPods is the policy about the Pods of tenants.
const policyPods = "lethe-tenant-pods"

// Defaults are the MutatingAdmissionPolicies.
var Defaults = []string{"lethe-defaults"}

// kinds are Lethe's own, by the names of their definitions, with the fields that this
// program knows.
var kinds = map[string][]string{
	"datasetretentions.lethe.dev": append(fields[v1alpha1.DatasetRetentionSpec]("spec"), fields[v1alpha1.DatasetRetentionStatus]("status")...),
	"trainingruns.lethe.dev":      append(fields[v1alpha1.TrainingRunSpec]("spec"), fields[v1alpha1.TrainingRunStatus]("status")...),
}

// The oldest cluster that Lethe runs on: its trust bundles are in v1.
const (
	minMajor = 1
	minMinor = 37
)

// enforcer is a network that may enforce NetworkPolicies, told by its DaemonSet.
type enforcer struct {
	name string
	// argument has to be among those of a container; "": it always enforces.
	argument string
}

// enforcers by the names of their DaemonSets.
var enforcers = map[string]enforcer{
	"anetd":                           {name: "GKE Dataplane V2"},
	"antrea-agent":                    {name: "Antrea"},
	"aws-node":                        {name: "Amazon VPC CNI", argument: "--enable-network-policy=true"},
	"azure-npm":                       {name: "Azure Network Policy Manager"},
	"calico-node":                     {name: "Calico"},
	"canal":                           {name: "Canal"},
	"cilium":                          {name: "Cilium"},
	"kube-network-policies":           {name: "kube-network-policies"},
	"kube-network-policies-iptracker": {name: "kube-network-policies"},
	"kube-ovn-cni":                    {name: "Kube-OVN"},
	"kube-router":                     {name: "kube-router", argument: "--run-firewall=true"},
	"ovnkube-node":                    {name: "OVN-Kubernetes"},
	"rke2-canal":                      {name: "Canal"},
	"weave-net":                       {name: "Weave Net"},
}

// bystanders are networks that enforce nothing by themselves.
var bystanders = map[string]string{
	"kube-flannel":    "Flannel",
	"kube-flannel-ds": "Flannel",
}
