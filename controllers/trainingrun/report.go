package trainingrun

import (
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// maxMessage is the CRD's limit of a message, in characters.
const maxMessage = 1024

// report computes the status from what was observed, what was decided and how
// that went. It gives the old status when there is nothing to say: no verdict, or
// an error that is simply tried again.
func report(o observed, p plan, actErr error, options Options) v1alpha1.TrainingRunStatus {
	status := *o.Run.Status.DeepCopy()
	v := p.Verdict
	if actErr != nil {
		v = refused(actErr)
	}
	if v.State == "" {
		return status
	}
	v.Message = clip(v.Message)

	status.State, status.Reason, status.Message = v.State, v.Reason, v.Message
	if status.Dataset == nil {
		status.Dataset = boundDataset(o, p, actErr)
	}
	status.StartTime = startTime(o)
	status.Usage = usage(o, v.State)
	if v.State.Finished() {
		status.CompletionTime = completionTime(o)
	}
	if v.State == v1alpha1.RunSucceeded {
		status.Artifacts = artifacts(o, options)
	}
	if v.State == v1alpha1.RunFailed {
		status.Failure = &v1alpha1.RunFailure{Reason: v.Reason, Message: v.Message, ExitCode: v.ExitCode}
	}
	for _, condition := range conditions(v, status.Dataset != nil) {
		condition.ObservedGeneration = o.Run.Generation
		condition.LastTransitionTime = metav1.NewTime(o.Now).Rfc3339Copy()
		apimeta.SetStatusCondition(&status.Conditions, condition)
	}
	if actErr == nil {
		status.ObservedGeneration = o.Run.Generation
	}
	return status
}

// refused turns the API server's refusal of the Job into a verdict: a quota, a
// policy, or a value that only it can judge. Other errors say nothing about the
// run and give the zero verdict.
func refused(err error) verdict {
	var create *createError
	if !errors.As(err, &create) || !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
		return verdict{}
	}
	var status apierrors.APIStatus
	message := "the cluster refuses the run's Job and is asked again"
	if errors.As(err, &status) {
		message += ": " + status.Status().Message
	}
	return waiting(v1alpha1.ReasonPodRejected, message)
}

// boundDataset is the snapshot that the Job was made with. nil: there is no Job.
func boundDataset(o observed, p plan, actErr error) *v1alpha1.BoundDataset {
	job := o.ownJob()
	if job == nil && actErr == nil {
		job = p.Create
	}
	if job == nil {
		return nil
	}
	snapshot := resources.Bound(job)
	return &snapshot
}

// startTime is when a trainer of the run first started. nil: none has.
func startTime(o observed) *metav1.Time {
	first := o.Run.Status.StartTime
	for _, span := range trainerSpans(o) {
		if first == nil || span.start.Before(first) {
			first = &span.start
		}
	}
	return first
}

// usage charges the time from the start to the end of each trainer. One that
// still runs is charged when it ends, so that the status is not written again and
// again. Pods that were removed meanwhile stay in the sum that the status has.
func usage(o observed, state v1alpha1.RunState) *v1alpha1.Usage {
	var seconds int64
	for _, span := range trainerSpans(o) {
		if span.end != nil {
			held := span.end.Sub(span.start.Time)
			seconds += resources.GPUs(o.Run) * int64((held+time.Second-1)/time.Second)
		}
	}
	charged := o.Run.Status.Usage
	if charged != nil {
		seconds = max(seconds, charged.GPUSeconds)
	}
	if seconds == 0 && charged == nil && !state.Finished() {
		return nil
	}
	return &v1alpha1.Usage{GPUSeconds: max(seconds, 0)}
}

// span is the time for which a trainer ran. end is nil while it does.
type span struct {
	start metav1.Time
	end   *metav1.Time
}

func trainerSpans(o observed) []span {
	var spans []span
	for _, pods := range [][]corev1.Pod{o.Pods, o.Strays} {
		for i := range pods {
			switch state := container(&pods[i], staging.ContainerTrainer); {
			case state.Running != nil:
				spans = append(spans, span{start: state.Running.StartedAt})
			case state.Terminated != nil && !state.Terminated.StartedAt.IsZero():
				spans = append(spans, span{start: state.Terminated.StartedAt, end: &state.Terminated.FinishedAt})
			}
		}
	}
	return spans
}

// completionTime is when the Job ended; now for a run that ended without one.
func completionTime(o observed) *metav1.Time {
	at := metav1.NewTime(o.Now).Rfc3339Copy()
	job := o.ownJob()
	if job == nil {
		return &at
	}
	if job.Status.CompletionTime != nil {
		return job.Status.CompletionTime
	}
	if end, ended := jobEnd(job); ended && !end.LastTransitionTime.IsZero() {
		at = end.LastTransitionTime
	}
	return &at
}

// artifacts takes the result from the report of stage-out. nil: the report was
// lost; the artifacts are there all the same, because stage-out ended well.
func artifacts(o observed, options Options) *v1alpha1.ArtifactsStatus {
	for i := range o.Pods {
		end := container(&o.Pods[i], staging.ContainerStageOut).Terminated
		if end == nil || end.ExitCode != 0 {
			continue
		}
		result, ok := staging.ParseReport(end.Message)
		if !ok || !result.Published {
			continue
		}
		return &v1alpha1.ArtifactsStatus{
			Location: v1alpha1.ObjectLocation{
				Bucket: options.ArtifactsBucket,
				Prefix: objectkey.OwnerPrefix(o.Run.Namespace, string(o.Run.UID)),
			},
			ManifestDigest: result.ManifestDigest,
			Objects:        result.Objects,
			Bytes:          result.Bytes,
		}
	}
	return nil
}

// clip cuts a message to what the CRD takes.
func clip(message string) string {
	if runes := []rune(message); len(runes) > maxMessage {
		return string(runes[:maxMessage-3]) + "..."
	}
	return message
}
