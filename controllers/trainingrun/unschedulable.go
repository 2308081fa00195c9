package trainingrun

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// The scheduler's message is "0/4 nodes are available: 1 Insufficient nvidia.com/gpu, 3
// node(s) didn't match Pod's node affinity/selector. preemption: ...". Each node is
// counted under the first thing that is wrong with it.
var (
	nodesSeen      = regexp.MustCompile(`^0/(\d{1,9}) nodes are available`)
	nodesOfOthers  = regexp.MustCompile(`(\d{1,9}) node\(s\) didn't match Pod's node affinity/selector`)
	nodesOfControl = regexp.MustCompile(`(\d{1,9}) node\(s\) had untolerated taint\(?s?\)? \{node-role\.kubernetes\.io/(?:control-plane|master): ?[^}]{0,64}\}`)
	insufficient   = regexp.MustCompile(`Insufficient ([A-Za-z0-9./_-]{1,316})`)
)

// unschedulableReason says why no node takes a run's Pod, from the message of the
// scheduler: no node has GPUs of the kind that the run asks for, or none has room. The
// counts of nodes are left out, because they change as other Pods come and go and each
// change would be a write.
func unschedulableReason(message string, run *v1alpha1.TrainingRun) (reason, told string) {
	preemption := strings.Index(message, " preemption:")
	if preemption >= 0 {
		message = message[:preemption]
	}
	why := fmt.Sprintf("`kubectl describe pod -l %s=%s` says what is missing", v1alpha1.LabelRun, run.Name)
	product := run.Spec.Nodes.GPUProduct
	if others := count(nodesOfOthers, message); product != "" && others > 0 && others+count(nodesOfControl, message) == count(nodesSeen, message) {
		return v1alpha1.ReasonNoSuchGPU, fmt.Sprintf(
			"no node of the cluster has GPUs of the kind %q; `kubectl get nodes -L %s` lists the kinds that there are. "+
				"The run starts if such a node comes; to use another kind, delete this run and create a new one", product, v1alpha1.LabelGPUProduct)
	}
	lacking := ""
	if short := shortOf(message); len(short) > 0 {
		lacking = " (not enough " + strings.Join(short, ", ") + ")"
	}
	of := ""
	if product != "" {
		of = " of the kind " + product
	}
	return v1alpha1.ReasonUnschedulable, fmt.Sprintf("no node%s has room for %s%s; the run starts as soon as one has, and %s", of, request(run), lacking, why)
}

// count adds up the numbers that the expression finds.
func count(expression *regexp.Regexp, message string) int {
	sum := 0
	for _, found := range expression.FindAllStringSubmatch(message, -1) {
		n, err := strconv.Atoi(found[1])
		if err != nil {
			return -1
		}
		sum += n
	}
	return sum
}

// shortOf are the resources that nodes have too little of, in a fixed order.
func shortOf(message string) []string {
	var all []string
	for _, found := range insufficient.FindAllStringSubmatch(message, 8) {
		all = append(all, strings.TrimRight(found[1], "."))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
