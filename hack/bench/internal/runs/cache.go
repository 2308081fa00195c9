package runs

import (
	"fmt"
	"maps"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// cacheOptions keep in memory only what belongs to runs, and of that not what
// tenants may make large and nobody reads from the cache: a Job is built from a
// live read of its run.
func cacheOptions() (cache.Options, error) {
	ofRuns, err := labels.NewRequirement(v1alpha1.LabelRun, selection.Exists, nil)
	if err != nil {
		return cache.Options{}, fmt.Errorf("select the children of runs: %w", err)
	}
	selector := labels.NewSelector().Add(*ofRuns)
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.TrainingRun{}: {Transform: slimRun},
			&batchv1.Job{}:          {Label: selector, Transform: slimJob},
			&corev1.Pod{}:           {Label: selector, Transform: slimPod},
		},
	}, nil
}

func slimRun(o any) (any, error) {
	if run, ok := o.(*v1alpha1.TrainingRun); ok {
		slimMeta(&run.ObjectMeta)
		trainer := &run.Spec.Trainer
		trainer.Command, trainer.Args, trainer.Env = nil, nil, nil
	}
	return o, nil
}

// slimJob keeps the template's own labels and annotations: they say what the Job was
// bound to. What its Pods are made of is in the API server.
func slimJob(o any) (any, error) {
	if job, ok := o.(*batchv1.Job); ok {
		slimMeta(&job.ObjectMeta)
		slimMeta(&job.Spec.Template.ObjectMeta)
		job.Spec.Template.Spec = corev1.PodSpec{}
		share(&job.Spec.Template.Labels, job.Labels)
		share(&job.Spec.Template.Annotations, job.Annotations)
		job.Spec.Selector, job.Spec.PodFailurePolicy = nil, nil
	}
	return o, nil
}

// share keeps one of two maps that are equal.
func share(one *map[string]string, other map[string]string) {
	if maps.Equal(*one, other) {
		*one = other
	}
}

// slimPod keeps where a Pod is, and what its containers are called and come to: two
// thirds of a Pod are the same words in every Pod. Of one that has ended, nobody asks
// any more which image it could not pull.
func slimPod(o any) (any, error) {
	if pod, ok := o.(*corev1.Pod); ok {
		slimMeta(&pod.ObjectMeta)
		// By its hostname the broker knows which node of a run a Pod is.
		slim := corev1.PodSpec{NodeName: pod.Spec.NodeName, Hostname: pod.Spec.Hostname}
		status := &pod.Status
		if status.Phase != corev1.PodSucceeded && status.Phase != corev1.PodFailed {
			slim.InitContainers, slim.Containers = slimContainers(pod.Spec.InitContainers), slimContainers(pod.Spec.Containers)
		}
		pod.Spec = slim
		status.HostIPs, status.PodIPs, status.ResourceClaimStatuses = nil, nil, nil
		slimStatuses(status.InitContainerStatuses)
		slimStatuses(status.ContainerStatuses)
		status.Conditions = slices.Clone(slices.DeleteFunc(status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type != corev1.PodScheduled && c.Type != corev1.PodReady && c.Type != corev1.DisruptionTarget
		}))
	}
	return o, nil
}

func slimMeta(meta *metav1.ObjectMeta) {
	meta.ManagedFields = nil
	// kubectl keeps a whole copy of the object here.
	delete(meta.Annotations, corev1.LastAppliedConfigAnnotation)
	// The Job controller's own, which say twice what the owner says.
	for _, key := range []string{batchv1.ControllerUidLabel, batchv1.JobNameLabel, "controller-uid", "job-name"} {
		delete(meta.Labels, key)
	}
}

func slimContainers(all []corev1.Container) []corev1.Container {
	out := make([]corev1.Container, 0, len(all))
	for i := range all {
		out = append(out, corev1.Container{Name: all[i].Name, Image: all[i].Image})
	}
	return out
}

func slimStatuses(all []corev1.ContainerStatus) {
	for i := range all {
		one := &all[i]
		one.Image, one.ImageID, one.ContainerID = "", "", ""
		one.AllocatedResources, one.Resources, one.VolumeMounts, one.User = nil, nil, nil, nil
	}
}
