package runs

import (
	"fmt"

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

// slimJob keeps the template's own annotations: they say what the Job was bound to.
func slimJob(o any) (any, error) {
	if job, ok := o.(*batchv1.Job); ok {
		slimMeta(&job.ObjectMeta)
		slimSpec(&job.Spec.Template.Spec)
	}
	return o, nil
}

func slimPod(o any) (any, error) {
	if pod, ok := o.(*corev1.Pod); ok {
		slimMeta(&pod.ObjectMeta)
		slimSpec(&pod.Spec)
	}
	return o, nil
}

func slimMeta(meta *metav1.ObjectMeta) {
	meta.ManagedFields = nil
	// kubectl keeps a whole copy of the object here.
	delete(meta.Annotations, corev1.LastAppliedConfigAnnotation)
}

func slimSpec(spec *corev1.PodSpec) {
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			list[i].Command, list[i].Args, list[i].Env = nil, nil, nil
		}
	}
}
