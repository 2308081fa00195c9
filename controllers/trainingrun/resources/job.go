package resources

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// AnnotationManifestDigest holds, on a run's Job and its Pods, the digest of the
// dataset's manifest that the run was bound to. Together with LabelDatasetUID it
// lets the operator take the snapshot up again when it died between the creation
// of the Job and the write of the status.
const AnnotationManifestDigest = "lethe.dev/manifest-digest"

// AnnotationArtifactsStore holds, on a run's Job and its Pods, the identity of the
// store that the artifacts go to. It is empty where the store was not asked.
const AnnotationArtifactsStore = "lethe.dev/artifacts-store"

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
	// RuntimeClass that the Pods run in. "": the node's own.
	RuntimeClass string
}

// Attempt is what differs from one Job of a run to the next.
type Attempt struct {
	// Number of the attempt, from 1.
	Number int32
	// Dataset is the snapshot that the run is bound to.
	Dataset v1alpha1.BoundDataset
	// Deadline bounds how long the Job may be active. nil: it is not bounded.
	Deadline *time.Duration
}

// JobName is the name of the Job of an attempt, from 1. The first has the run's own, so
// that a second Job for the same attempt can not exist, whatever the operator forgot;
// the others have it too, with a part that the UID decides. With the index of a node
// after it, it is still a DNS label.
func JobName(run *v1alpha1.TrainingRun, attempt int32) string {
	if attempt <= 1 {
		return run.Name
	}
	sum := sha256.Sum256([]byte(string(run.UID) + "/" + number(attempt)))
	return run.Name + "-" + hex.EncodeToString(sum[:3])
}

// Job builds the Job of an attempt.
func Job(run *v1alpha1.TrainingRun, attempt Attempt, options Options) *batchv1.Job {
	nodes := int32(run.Spec.Nodes.Size()) //nolint:gosec // at most 64
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name:            JobName(run, attempt.Number),
			Namespace:       run.Namespace,
			Labels:          labels(run, attempt),
			Annotations:     annotations(attempt, options),
			OwnerReferences: owner(run),
		},
		Spec: batchv1.JobSpec{
			Parallelism:           ptr.To(nodes),
			Completions:           ptr.To(nodes),
			BackoffLimit:          ptr.To[int32](0),
			ActiveDeadlineSeconds: Seconds(attempt.Deadline),
			PodReplacementPolicy:  ptr.To(batchv1.Failed),
			PodFailurePolicy:      podFailurePolicy(nodes),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{
					Labels:      labels(run, attempt),
					Annotations: annotations(attempt, options),
					Finalizers:  []string{v1alpha1.FinalizerUsage},
				},
				Spec: pod(run, attempt, options),
			},
		},
	}
	if nodes > 1 {
		job.Spec.CompletionMode = ptr.To(batchv1.IndexedCompletion)
	}
	if run.Spec.QueueName != "" {
		job.Labels[v1alpha1.LabelQueue] = run.Spec.QueueName
		job.Spec.Suspend = ptr.To(true)
	}
	if run.Spec.ManagedBy != "" {
		job.Spec.ManagedBy = ptr.To(run.Spec.ManagedBy)
	}
	return job
}

// Seconds gives a Job's deadline in whole seconds, at least one. nil stays nil.
func Seconds(deadline *time.Duration) *int64 {
	if deadline == nil {
		return nil
	}
	return ptr.To(max(int64((*deadline+time.Second-1)/time.Second), 1))
}

// Bound reads the snapshot back that a Job was made with, from its template. That can
// not be taken on trust; see Unaltered.
func Bound(job *batchv1.Job) v1alpha1.BoundDataset {
	template := job.Spec.Template.ObjectMeta
	return v1alpha1.BoundDataset{
		UID:            types.UID(template.Labels[v1alpha1.LabelDatasetUID]),
		ManifestDigest: template.Annotations[AnnotationManifestDigest],
	}
}

// Unaltered says that the Job's template still tells of its run, attempt and snapshot
// what it was made with. Labels and annotations of a template are the only part of it
// that says so and can be edited: while a Job is suspended and was never started, which
// one that waits in a queue is.
func Unaltered(job *batchv1.Job, run *v1alpha1.TrainingRun, made Attempt) bool {
	template := job.Spec.Template.ObjectMeta
	for key, value := range labels(run, made) {
		if value == "" || template.Labels[key] != value {
			return false
		}
	}
	digest := template.Annotations[AnnotationManifestDigest]
	return digest != "" && digest == made.Dataset.ManifestDigest
}

// ArtifactsStore reads the identity of the store back that a Job was made with.
func ArtifactsStore(job *batchv1.Job) string {
	return job.Spec.Template.Annotations[AnnotationArtifactsStore]
}

// podFailurePolicy keeps the user from paying for the cluster's disruptions. A single
// Pod that is taken away is replaced in spite of backoffLimit 0. Of several, each takes
// the whole attempt with it at once; whether that counts, the run decides.
func podFailurePolicy(nodes int32) *batchv1.PodFailurePolicy {
	onDisruption := batchv1.PodFailurePolicyRule{
		Action: batchv1.PodFailurePolicyActionIgnore,
		OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{
			{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue},
		},
	}
	if nodes == 1 {
		return &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{onDisruption}}
	}
	onDisruption.Action = batchv1.PodFailurePolicyActionFailJob
	onExit := batchv1.PodFailurePolicyRule{
		Action: batchv1.PodFailurePolicyActionFailJob,
		OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
			Operator: batchv1.PodFailurePolicyOnExitCodesOpNotIn, Values: []int32{staging.ExitOK},
		},
	}
	return &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{onDisruption, onExit}}
}

func owner(run *v1alpha1.TrainingRun) []metav1.OwnerReference {
	return []metav1.OwnerReference{*metav1.NewControllerRef(run, v1alpha1.GroupVersion.WithKind("TrainingRun"))}
}

func labels(run *v1alpha1.TrainingRun, attempt Attempt) map[string]string {
	return map[string]string{
		v1alpha1.LabelRun:        run.Name,
		v1alpha1.LabelRunUID:     string(run.UID),
		v1alpha1.LabelDatasetUID: string(attempt.Dataset.UID),
		v1alpha1.LabelAttempt:    number(attempt.Number),
	}
}

func annotations(attempt Attempt, options Options) map[string]string {
	return map[string]string{
		AnnotationManifestDigest: attempt.Dataset.ManifestDigest,
		AnnotationArtifactsStore: options.ArtifactsStore,
	}
}

func number[N int | int32 | int64](n N) string { return strconv.FormatInt(int64(n), 10) }
