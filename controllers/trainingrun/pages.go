package trainingrun

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// page is how many objects the API server is asked for at once. Few, because a tenant
// chooses how many Pods carry a label and how large they are.
const page int64 = 100

// source is where observations come from.
type source struct {
	client.Reader
	// page is how many objects come at a time; zero: all at once, for the cache, which
	// has them in memory anyway and knows no pages.
	page int64
}

// cached and straight are the cache and the API server itself.
func (r *Reconciler) cached() source   { return source{Reader: r.client} }
func (r *Reconciler) straight() source { return source{Reader: r.live, page: page} }

// podsByRun finds Pods by their label in the cache, without a look at all the others of
// the namespace.
const podsByRun = "metadata.labels." + v1alpha1.LabelRun

func runLabel(o client.Object) []string { return []string{o.GetLabels()[v1alpha1.LabelRun]} }

// podsOf selects the Pods that carry the label of a run.
func (s source) podsOf(run string) client.ListOption {
	if s.page == 0 {
		return client.MatchingFields{podsByRun: run}
	}
	return client.MatchingLabels{v1alpha1.LabelRun: run}
}

// eachPage gives visit one page after the other. All of them are of one version of the
// cluster, so that nothing is overlooked that was there when the list began.
func eachPage[L client.ObjectList](ctx context.Context, from source, fresh func() L, visit func(L), what ...client.ListOption) error {
	opts := what
	for {
		// Not the list of the page before: what a page does not say would stay in it.
		list := fresh()
		if from.page > 0 {
			opts = append(slices.Clone(opts), client.Limit(from.page))
		}
		if err := from.List(ctx, list, opts...); err != nil {
			return err
		}
		visit(list)
		next := list.GetContinue()
		if from.page == 0 || next == "" {
			return nil
		}
		opts = append(slices.Clone(what), client.Continue(next))
	}
}

func podList() *corev1.PodList     { return &corev1.PodList{} }
func eventList() *corev1.EventList { return &corev1.EventList{} }

// slim keeps of a Pod what decisions are made on: whose it is, where, the images of its
// containers, and how it goes.
func slim(pod *corev1.Pod) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, Labels: pod.Labels,
			CreationTimestamp: pod.CreationTimestamp, DeletionTimestamp: pod.DeletionTimestamp,
			DeletionGracePeriodSeconds: pod.DeletionGracePeriodSeconds,
			OwnerReferences:            pod.OwnerReferences, Finalizers: pod.Finalizers,
		},
		Spec: corev1.PodSpec{
			NodeName:       pod.Spec.NodeName,
			InitContainers: slimContainers(pod.Spec.InitContainers), Containers: slimContainers(pod.Spec.Containers),
		},
		Status: corev1.PodStatus{
			Phase: pod.Status.Phase, Reason: pod.Status.Reason, Conditions: pod.Status.Conditions,
			InitContainerStatuses: pod.Status.InitContainerStatuses, ContainerStatuses: pod.Status.ContainerStatuses,
		},
	}
}

func slimContainers(all []corev1.Container) []corev1.Container {
	out := make([]corev1.Container, 0, len(all))
	for i := range all {
		out = append(out, corev1.Container{Name: all[i].Name, Image: all[i].Image})
	}
	return out
}
