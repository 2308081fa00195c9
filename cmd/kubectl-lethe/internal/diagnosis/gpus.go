package diagnosis

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// GPUs of one kind in the cluster.
type GPUs struct {
	// Product is their kind; empty if their nodes do not tell.
	Product string
	// Nodes have Total of them that Pods may use, one node Largest at most.
	Nodes          int
	Total, Largest int64
	// Free are those that no Pod has asked for, LargestFree on one node at most. Both are
	// known only if FreeKnown.
	Free, LargestFree int64
	FreeKnown         bool
}

// countGPUs sums up nodes that take Pods. The Pods are those of all namespaces, if
// known.
func countGPUs(nodes []corev1.Node, pods []corev1.Pod, known bool) []GPUs {
	used := map[string]int64{}
	for _, pod := range pods {
		if pod.Spec.NodeName != "" && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			used[pod.Spec.NodeName] += requested(&pod)
		}
	}
	kinds := map[string]*GPUs{}
	for _, node := range nodes {
		total := gpusIn(node.Status.Allocatable)
		if total == 0 || !takesPods(&node) {
			continue
		}
		product := node.Labels[v1alpha1.LabelGPUProduct]
		if kinds[product] == nil {
			kinds[product] = &GPUs{Product: product, FreeKnown: known}
		}
		kind, free := kinds[product], max(total-used[node.Name], 0)
		kind.Nodes++
		kind.Total, kind.Largest = kind.Total+total, max(kind.Largest, total)
		kind.Free, kind.LargestFree = kind.Free+free, max(kind.LargestFree, free)
	}
	all := make([]GPUs, 0, len(kinds))
	for kind := range maps.Values(kinds) {
		all = append(all, *kind)
	}
	slices.SortFunc(all, func(a, b GPUs) int { return cmp.Compare(a.Product, b.Product) })
	return all
}

func takesPods(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue && !node.Spec.Unschedulable
		}
	}
	return false
}

func requested(pod *corev1.Pod) int64 {
	var sum int64
	for _, container := range pod.Spec.Containers {
		sum += gpusIn(container.Resources.Requests)
	}
	return sum
}

func gpusIn(list corev1.ResourceList) int64 {
	quantity := list[v1alpha1.ResourceGPU]
	return quantity.Value()
}

// room says in words why the cluster's GPUs are not enough for the run; empty if they
// are, or if that is not known.
func room(run *v1alpha1.TrainingRun, kinds []GPUs) string {
	nodes := run.Spec.Nodes
	perNode := nodes.GPUs() / int64(nodes.Size())
	var fit []GPUs
	for _, kind := range kinds {
		if nodes.GPUProduct == "" || kind.Product == nodes.GPUProduct {
			fit = append(fit, kind)
		}
	}
	var total, free, largest, largestFree int64
	known := len(fit) > 0
	for _, kind := range fit {
		total, free = total+kind.Total, free+kind.Free
		largest, largestFree = max(largest, kind.Largest), max(largestFree, kind.LargestFree)
		known = known && kind.FreeKnown
	}
	switch {
	case len(fit) == 0:
		return "No node that takes Pods has GPUs of the kind that the run asks for. It waits for ever unless such a node joins the cluster."
	case largest < perNode:
		return "No node has as many GPUs as the run asks for on each. It waits for ever unless a larger node joins the cluster; ask for fewer --gpus and more --nodes."
	case total < nodes.GPUs():
		return "The cluster has fewer GPUs of that kind than the run asks for in all. It waits for ever unless more join the cluster."
	case known && (free < nodes.GPUs() || largestFree < perNode):
		return "The GPUs are in use. The run starts when enough of them are free."
	}
	return ""
}
