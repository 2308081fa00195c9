package resources

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// AnnotationManifestDigest holds, on a run's Job and its Pods, the digest of the
// dataset's manifest that the run was bound to. Together with LabelDatasetUID it
// lets the operator take the snapshot up again when it died between the creation
// of the Job and the write of the status.
const AnnotationManifestDigest = "lethe.dev/manifest-digest"

// AnnotationArtifactsStore holds, on a run's Job and its Pods, the identity of the
// store that the artifacts go to. It is empty where the store was not asked.
const AnnotationArtifactsStore = "lethe.dev/artifacts-store"

// TerminationGrace is how long a trainer has to write a last checkpoint after
// SIGTERM, in seconds.
const TerminationGrace = 60

// Options are the operator's settings that end up in every Job.
type Options struct {
	// StagerImage is the image of stage-in and stage-out.
	StagerImage string
	// BrokerURL is the broker's address as pods reach it.
	BrokerURL string
	// TrustBundle is the name of the ClusterTrustBundle with the certificates that
	// the broker's is verified with.
	TrustBundle string
	// ArtifactsStore is the identity of the store that the artifacts go to.
	ArtifactsStore string
}

// JobName is the name of a run's Job. It is the run's own, so that a second Job
// for the same run can not exist, whatever the operator forgot.
func JobName(run *v1alpha1.TrainingRun) string { return run.Name }

// Job builds the Job of a run that was bound to a dataset.
func Job(run *v1alpha1.TrainingRun, dataset v1alpha1.BoundDataset, options Options) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name:        JobName(run),
			Namespace:   run.Namespace,
			Labels:      labels(run, dataset),
			Annotations: annotations(dataset, options),
			OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(run, v1alpha1.GroupVersion.WithKind("TrainingRun")),
			},
		},
		Spec: batchv1.JobSpec{
			Parallelism:          ptr.To[int32](1),
			Completions:          ptr.To[int32](1),
			BackoffLimit:         ptr.To[int32](0),
			PodReplacementPolicy: ptr.To(batchv1.Failed),
			PodFailurePolicy:     podFailurePolicy(),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{
					Labels:      labels(run, dataset),
					Annotations: annotations(dataset, options),
				},
				Spec: pod(run, options),
			},
		},
	}
}

// Bound reads the snapshot back that a Job was made with. It looks at the
// template, which nobody can change once the Job exists.
func Bound(job *batchv1.Job) v1alpha1.BoundDataset {
	template := job.Spec.Template.ObjectMeta
	return v1alpha1.BoundDataset{
		UID:            types.UID(template.Labels[v1alpha1.LabelDatasetUID]),
		ManifestDigest: template.Annotations[AnnotationManifestDigest],
	}
}

// ArtifactsStore reads the identity of the store back that a Job was made with.
func ArtifactsStore(job *batchv1.Job) string {
	return job.Spec.Template.Annotations[AnnotationArtifactsStore]
}

// podFailurePolicy keeps the user from paying for the cluster's disruptions: they
// do not count as a failure, so the Pod is replaced in spite of backoffLimit 0.
func podFailurePolicy() *batchv1.PodFailurePolicy {
	return &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
		Action: batchv1.PodFailurePolicyActionIgnore,
		OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{
			{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue},
		},
	}}}
}

func labels(run *v1alpha1.TrainingRun, dataset v1alpha1.BoundDataset) map[string]string {
	return map[string]string{
		v1alpha1.LabelRun:        run.Name,
		v1alpha1.LabelRunUID:     string(run.UID),
		v1alpha1.LabelDatasetUID: string(dataset.UID),
	}
}

func annotations(dataset v1alpha1.BoundDataset, options Options) map[string]string {
	return map[string]string{
		AnnotationManifestDigest: dataset.ManifestDigest,
		AnnotationArtifactsStore: options.ArtifactsStore,
	}
}
