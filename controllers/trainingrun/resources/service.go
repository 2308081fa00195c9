package resources

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// ServiceName is the name of the Service through which the nodes of a run find each
// other. It is a DNS label, because a run's name has at most 52 characters.
func ServiceName(run *v1alpha1.TrainingRun) string { return "lethe-" + run.Name }

// Service builds the headless Service of a run with several nodes. It has no ports: it
// gives its Pods names, and nothing is balanced. All attempts have the same one.
func Service(run *v1alpha1.TrainingRun) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name:      ServiceName(run),
			Namespace: run.Namespace,
			Labels: map[string]string{
				v1alpha1.LabelRun: run.Name, v1alpha1.LabelRunUID: string(run.UID),
			},
			OwnerReferences: owner(run),
		},
		Spec: corev1.ServiceSpec{
			ClusterIP:                corev1.ClusterIPNone,
			PublishNotReadyAddresses: true,
			Selector:                 map[string]string{v1alpha1.LabelRunUID: string(run.UID)},
		},
	}
}

// Hosts are the DNS names of the nodes of an attempt, in their order.
func Hosts(run *v1alpha1.TrainingRun, attempt int32) []string {
	job := JobName(run, attempt)
	hosts := make([]string, run.Spec.Nodes.Size())
	for i := range hosts {
		hosts[i] = fmt.Sprintf("%s-%d.%s.%s.svc", job, i, ServiceName(run), run.Namespace)
	}
	return hosts
}

func hostList(run *v1alpha1.TrainingRun, attempt int32) string {
	return strings.Join(Hosts(run, attempt), ",")
}
