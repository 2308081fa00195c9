package broker

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// annotationManifestDigest is what the run's controller writes into a Job's template;
// see resources.AnnotationManifestDigest.
const annotationManifestDigest = "lethe.dev/manifest-digest"

// jobName is the name of the Job of an attempt: the run's own for the first, and one
// that follows from its UID for each later one. It is resources.JobName's rule.
func jobName(run string, uid types.UID, attempt int) string {
	if attempt == 1 {
		return run
	}
	sum := sha256.Sum256([]byte(string(uid) + "/" + strconv.Itoa(attempt)))
	return run + "-" + hex.EncodeToString(sum[:3])
}

// attemptOf reads the number of a Job's attempt off its template. Labels there can be
// edited while a Job is suspended; that it fits the Job's name makes it true.
func attemptOf(job *batchv1.Job) (int, bool) {
	text, ok := job.Spec.Template.Labels[v1alpha1.LabelAttempt]
	if !ok {
		return 1, true // Made before there were attempts; its name must be the run's.
	}
	attempt, err := strconv.Atoi(text)
	return attempt, err == nil && attempt >= 1 && strconv.Itoa(attempt) == text
}

// nodesOf is the number of a Job's nodes.
func nodesOf(job *batchv1.Job) int {
	return int(ptr.Deref(job.Spec.Completions, ptr.Deref(job.Spec.Parallelism, 1)))
}

// boundTo is the snapshot of the dataset that a Job was made with. As its template can
// be edited while a Job is suspended, it is held against dataset and run.
func boundTo(job *batchv1.Job) v1alpha1.BoundDataset {
	template := job.Spec.Template.ObjectMeta
	return v1alpha1.BoundDataset{
		UID:            types.UID(template.Labels[v1alpha1.LabelDatasetUID]),
		ManifestDigest: template.Annotations[annotationManifestDigest],
	}
}
