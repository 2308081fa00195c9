package broker

import (
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// jobName is the name that the Job of an attempt has.
func jobName(run string, uid types.UID, attempt int32) string {
	return resources.JobName(&v1alpha1.TrainingRun{ObjectMeta: metav1.ObjectMeta{Name: run, UID: uid}}, attempt)
}

// attemptOf reads the number of a Job's attempt off its template. Labels there can be
// edited while a Job is suspended; that it fits the Job's name makes it true.
func attemptOf(job *batchv1.Job) (int32, bool) {
	text, ok := job.Spec.Template.Labels[v1alpha1.LabelAttempt]
	if !ok {
		return 1, true // Made before there were attempts; its name must be the run's.
	}
	attempt, err := strconv.ParseInt(text, 10, 32)
	return int32(attempt), err == nil && attempt >= 1 && strconv.FormatInt(attempt, 10) == text
}

// nodesOf is the number of a Job's nodes.
func nodesOf(job *batchv1.Job) int {
	return int(ptr.Deref(job.Spec.Completions, ptr.Deref(job.Spec.Parallelism, 1)))
}
