package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

func checkKubernetes(f Facts) verdict {
	if f.Version.Err != nil {
		return unseen(f.Version.Err)
	}
	oldest := version.MajorMinor(minMajor, minMinor)
	upgrade := fmt.Sprintf("upgrade the cluster to Kubernetes %s or newer", oldest)
	server, err := version.ParseGeneric(f.Version.Value)
	switch {
	case err != nil:
		return unknown("the API server calls itself "+f.Version.Value, "make sure that it is Kubernetes "+oldest.String()+" or newer")
	case server.LessThan(oldest):
		return fail("the API server is "+f.Version.Value, upgrade)
	case !f.Served.Value["certificates.k8s.io/v1/clustertrustbundles"]:
		return fail("the API server is "+f.Version.Value+" and does not serve ClusterTrustBundles (certificates.k8s.io/v1)",
			"switch the API on, and the feature ClusterTrustBundleProjection of the kubelets: Pods of runs verify the broker with it")
	case f.Nodes.Err != nil:
		return pass("the API server is %s and serves ClusterTrustBundles; the kubelets were not seen", f.Version.Value)
	}
	var old []string
	for i := range f.Nodes.Value {
		kubelet, err := version.ParseGeneric(f.Nodes.Value[i].Status.NodeInfo.KubeletVersion)
		if err == nil && kubelet.LessThan(oldest) {
			old = append(old, f.Nodes.Value[i].Name)
		}
	}
	if len(old) > 0 {
		return fail(fmt.Sprintf("the kubelets of %d nodes are too old for trust bundles, for one that of %s", len(old), old[0]), upgrade, "keep runs off these nodes until then")
	}
	return pass("the API server is %s and serves ClusterTrustBundles; its kubelets are new enough", f.Version.Value)
}

// tryPolicy is how it is found out whether policies are enforced.
const tryPolicy = "try it: in a tenant's namespace, a run that asks for https://kubernetes.default.svc must time out. " +
	"If it gets any answer, policies are not enforced"

func checkNetwork(f Facts) verdict {
	if f.DaemonSets.Err != nil {
		return unseen(f.DaemonSets.Err)
	}
	var enforcing, sleeping, beside []string
	for i := range f.DaemonSets.Value {
		set := &f.DaemonSets.Value[i]
		known, is := enforcers[set.Name]
		switch {
		case is && !has(set, known.argument):
			sleeping = append(sleeping, known.name+" runs without "+known.argument)
		case is && set.Status.NumberReady < set.Status.DesiredNumberScheduled:
			sleeping = append(sleeping, fmt.Sprintf("%s is ready on %d of %d nodes", known.name, set.Status.NumberReady, set.Status.DesiredNumberScheduled))
		case is:
			enforcing = append(enforcing, known.name)
		case bystanders[set.Name] != "":
			beside = append(beside, bystanders[set.Name])
		}
	}
	switch {
	case len(enforcing) > 0 && len(sleeping) == 0:
		return pass("%s is there, which enforces NetworkPolicies unless it was told not to", strings.Join(slices.Compact(enforcing), ", "))
	case len(sleeping) > 0:
		return fail(strings.Join(sleeping, "; "), "mend that, and then "+tryPolicy)
	case len(beside) > 0:
		return fail(beside[0]+" is there and nothing else that is known; it does not enforce NetworkPolicies",
			"add a network that enforces them (Calico, Cilium, Antrea, kube-network-policies)", "do not let tenants in before that")
	}
	return unknown("none of the networks is there that are known to enforce NetworkPolicies, and the API server does not tell",
		"ask who runs the cluster which network (CNI) it has", tryPolicy)
}

// has says whether a container of the set has the argument.
func has(set *appsv1.DaemonSet, argument string) bool {
	return argument == "" || slices.ContainsFunc(set.Spec.Template.Spec.Containers, func(c corev1.Container) bool {
		return slices.Contains(c.Args, argument) || slices.Contains(c.Command, argument)
	})
}

const (
	flagEncryption = "--encryption-provider-config="
	// howEncryption is how it is looked up where this program can't.
	howEncryption = "ask who runs the control plane. With access to etcd: " +
		"etcdctl get --print-value-only /registry/secrets/lethe-system/lethe-store | head -c 8 must print k8s:enc:"
	configureEncryption = "configure encryption at rest for Secrets, and rewrite those that are there: " +
		"https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/"
)

func checkEncryption(f Facts) verdict {
	if f.Stored.Err == nil && len(f.Stored.Value) > 0 {
		return counted(f.Stored.Value)
	}
	seen := 0
	for i := range f.APIServers.Value {
		for _, c := range f.APIServers.Value[i].Spec.Containers {
			seen++
			if !slices.ContainsFunc(slices.Concat(c.Command, c.Args), func(a string) bool { return strings.HasPrefix(a, flagEncryption) }) {
				return fail("Pod "+f.APIServers.Value[i].Name+" runs without --encryption-provider-config: the keys of datasets lie in etcd, and in its backups, as they are",
					configureEncryption)
			}
		}
	}
	if seen > 0 {
		return unknown("the API server is started with --encryption-provider-config; what that says about Secrets is not seen from here",
			"make sure that it names secrets, and another provider than identity first", howEncryption)
	}
	return unknown("the Kubernetes API does not tell whether Secrets are encrypted in etcd, and the API server has counted none since it started", howEncryption)
}

// counted judges what the API server counted of Secrets, by the prefix in the database.
func counted(by map[string]float64) verdict {
	plain := by[""] > 0
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(by)), func(prefix string) bool { return !strings.HasPrefix(prefix, "k8s:enc:") })
	switch {
	case len(others) == 0 && !plain:
		return unknown("the API server counts what it does with Secrets in a way that this program does not know", howEncryption)
	case plain && len(others) == 0:
		return fail("the API server keeps Secrets unencrypted", configureEncryption)
	case plain:
		return fail("some Secrets lie unencrypted in etcd", "rewrite them: kubectl get secrets -A -o json | kubectl replace -f -",
			"if that does not help, the provider identity comes first in the configuration; it must come last, or not at all")
	}
	return pass("the API server that answered encrypts Secrets (%s); the others, if there are any, were not seen", strings.Join(others, ", "))
}

func checkGPUs(f Facts) verdict {
	if f.Nodes.Err != nil {
		return unseen(f.Nodes.Err)
	}
	products, unlabelled, total := map[string]int64{}, []string(nil), int64(0)
	for i := range f.Nodes.Value {
		node := &f.Nodes.Value[i]
		quantity := node.Status.Allocatable[v1alpha1.ResourceGPU]
		if quantity.IsZero() {
			continue
		}
		total += quantity.Value()
		product := node.Labels[v1alpha1.LabelGPUProduct]
		products[cmp.Or(product, "of a kind that is not told")] += quantity.Value()
		if product == "" {
			unlabelled = append(unlabelled, node.Name)
		}
	}
	if total == 0 {
		return unknown("no node offers "+string(v1alpha1.ResourceGPU)+" now",
			"if there should be GPUs: install the NVIDIA GPU operator, or the device plugin with GPU feature discovery",
			"if nodes with GPUs join on demand, run this again when one is there")
	}
	kinds := make([]string, 0, len(products))
	for _, product := range slices.Sorted(maps.Keys(products)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", products[product], product))
	}
	if len(unlabelled) > 0 {
		return fail(fmt.Sprintf("%s; %d nodes with GPUs have no label %s, for one %s: runs that name a kind do not get there",
			strings.Join(kinds, ", "), len(unlabelled), v1alpha1.LabelGPUProduct, unlabelled[0]),
			"install GPU feature discovery (part of the NVIDIA GPU operator), or set the label")
	}
	return pass("%s", strings.Join(kinds, ", "))
}

func checkRuntimeClasses(f Facts) verdict {
	if f.RuntimeClasses.Err != nil {
		return unseen(f.RuntimeClasses.Err)
	}
	if f.Tiers.Err != nil {
		return unknown("which RuntimeClasses the tiers name was not seen: "+f.Tiers.Err.Error(),
			"compare the operator's --tenant-config with: kubectl get runtimeclasses")
	}
	var there, missing, plain []string
	for i := range f.RuntimeClasses.Value {
		there = append(there, f.RuntimeClasses.Value[i].Name)
	}
	for _, tier := range slices.Sorted(maps.Keys(f.Tiers.Value.Tiers)) {
		switch class := f.Tiers.Value.Tiers[tier].RuntimeClass; {
		case class == "":
			plain = append(plain, tier)
		case !slices.Contains(there, class):
			missing = append(missing, fmt.Sprintf("%s of the tier %s", class, tier))
		}
	}
	switch {
	case len(missing) > 0:
		return fail("missing: "+strings.Join(missing, ", ")+"; no Pod of such a tenant starts", "install the runtime on the nodes, and make its RuntimeClass")
	case len(plain) > 0:
		return pass("the tier %s has the nodes' own runtime: its tenants share a kernel with their node. "+
			"For people whom you do not trust, name gVisor or Kata in --tenant-config", strings.Join(plain, ", "))
	}
	return pass("those of all tiers are there")
}

func checkQueue(f Facts) verdict {
	if f.Served.Err != nil {
		return unseen(f.Served.Err)
	}
	for _, resource := range slices.Sorted(maps.Keys(f.Served.Value)) {
		if group, rest, _ := strings.Cut(resource, "/"); group == "kueue.x-k8s.io" && strings.HasSuffix(rest, "/localqueues") {
			return pass("Kueue is there (%s); its integration batch/job has to be on, which is the default", strings.TrimSuffix(rest, "/localqueues"))
		}
	}
	return pass("Kueue is not there. Nothing needs it, but runs with spec.queueName wait for ever")
}
