package trainingrun

import (
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

func TestUnschedulableReason(t *testing.T) {
	t.Parallel()
	const product = "NVIDIA-H200"
	for name, c := range map[string]struct {
		message, product string
		want             string
		says             []string
		not              []string
	}{
		"all GPUs are taken": {
			message: "0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 Insufficient nvidia.com/gpu. preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling.",
			want:    v1alpha1.ReasonUnschedulable, says: []string{"2 GPU(s), memory 16Gi", "not enough nvidia.com/gpu)", "-l lethe.dev/run=r"}, not: []string{"0/4", "3 "},
		},
		"several things are short, always in the same order": {
			message: "0/4 nodes are available: 1 Insufficient nvidia.com/gpu, 2 Insufficient memory, 3 Insufficient cpu.",
			want:    v1alpha1.ReasonUnschedulable, says: []string{"not enough cpu, memory, nvidia.com/gpu)"},
		},
		"no node is of the kind": {
			message: "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
			product: product, want: v1alpha1.ReasonNoSuchGPU, says: []string{product, "-L nvidia.com/gpu.product"}, not: []string{"0/3"},
		},
		"no node but those of the control plane could be of the kind": {
			message: "0/4 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 3 node(s) didn't match Pod's node affinity/selector.",
			product: product, want: v1alpha1.ReasonNoSuchGPU,
		},
		"a node that is cordoned may be of the kind": {
			message: "0/4 nodes are available: 1 node(s) were unschedulable, 3 node(s) didn't match Pod's node affinity/selector.",
			product: product, want: v1alpha1.ReasonUnschedulable,
		},
		"those of the kind are taken": {
			message: "0/4 nodes are available: 2 Insufficient nvidia.com/gpu, 2 node(s) didn't match Pod's node affinity/selector. preemption: none",
			product: product, want: v1alpha1.ReasonUnschedulable, says: []string{"no node of the kind NVIDIA-H200 has room"},
		},
		"a selector that the run did not set": {
			message: "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.", want: v1alpha1.ReasonUnschedulable,
		},
		"only control planes": {
			message: "0/1 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }.",
			product: product, want: v1alpha1.ReasonUnschedulable,
		},
		"no nodes at all":            {message: "no nodes available to schedule pods", product: product, want: v1alpha1.ReasonUnschedulable},
		"a scheduler that is silent": {want: v1alpha1.ReasonUnschedulable, says: []string{"no node has room"}, not: []string{"not enough"}},
		"what preemption found does not count": {
			message: "0/9 nodes are available: 9 Insufficient cpu. preemption: 0/9 nodes are available: 9 node(s) didn't match Pod's node affinity/selector.",
			product: product, want: v1alpha1.ReasonUnschedulable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := makeRun(func(r *v1alpha1.TrainingRun) { r.Spec.Nodes.GPUProduct = c.product })
			reason, message := unschedulableReason(c.message, run)
			if reason != c.want {
				t.Errorf("reason %s (%s), want %s", reason, message, c.want)
			}
			for _, part := range c.says {
				if !strings.Contains(message, part) {
					t.Errorf("%q does not say %q", message, part)
				}
			}
			for _, part := range c.not {
				if strings.Contains(message, part) {
					t.Errorf("%q says %q, which changes", message, part)
				}
			}
		})
	}
}

func FuzzUnschedulableReason(f *testing.F) {
	f.Add("0/4 nodes are available: 3 node(s) didn't match Pod's node affinity/selector, 1 Insufficient nvidia.com/gpu. preemption: x")
	f.Add("0/999999999999 nodes are available: Insufficient \x1b[0m")
	f.Fuzz(func(t *testing.T, message string) {
		run := makeRun(func(r *v1alpha1.TrainingRun) { r.Spec.Nodes.GPUProduct = "NVIDIA-H200" })
		reason, told := unschedulableReason(message, run)
		if reason != v1alpha1.ReasonUnschedulable && reason != v1alpha1.ReasonNoSuchGPU {
			t.Errorf("reason %q", reason)
		}
		if strings.ContainsFunc(told, odd) {
			t.Errorf("%q is not plain", told)
		}
	})
}
