package resources

import (
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// NetworkPolicy builds the exception, from a tenant's default of no traffic, that lets the
// Pods of one run talk to each other. It is there only for runs with several nodes: all
// ports, because launchers and NCCL choose them as they go. The run's UID selects, so
// that it says nothing about another run, and goes with its own.
func NetworkPolicy(run *v1alpha1.TrainingRun) *networkingv1.NetworkPolicy {
	nodes := metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelRunUID: string(run.UID)}}
	peers := []networkingv1.NetworkPolicyPeer{{PodSelector: &nodes}}
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{
			Name:      "lethe-run-" + string(run.UID),
			Namespace: run.Namespace,
			Labels: map[string]string{
				v1alpha1.LabelRun: run.Name, v1alpha1.LabelRunUID: string(run.UID),
			},
			OwnerReferences: owner(run),
		},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: nodes,
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: peers}},
			Egress:      []networkingv1.NetworkPolicyEgressRule{{To: peers}},
		},
	}
}
