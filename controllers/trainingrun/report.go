package trainingrun

import (
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// maxMessage is the CRD's limit of a message, in characters.
const maxMessage = 1024

// report computes the status from what was observed, what was decided and how
// that went. It gives the old status when there is nothing to say: no verdict, or
// an error that is simply tried again. What the datasetretention controller has
// written into it about the erase of the dataset stays as it is.
func report(o observed, p plan, actErr error, options Options) v1alpha1.TrainingRunStatus {
	status := *o.Run.Status.DeepCopy()
	deleted := !o.Run.DeletionTimestamp.IsZero()
	if deleted {
		tellArtifacts(&status, o, p, actErr)
	}
	if actErr == nil {
		tellPods(&status, o, p)
	}
	switch {
	case actErr == nil && p.Verdict.State != "":
		tellRun(&status, o, p, options)
		status.ObservedGeneration = o.Run.Generation
	case actErr != nil && !deleted:
		refusal := plan{Verdict: refused(o, actErr)}
		if refusal.Verdict.State != "" {
			tellRun(&status, o, refusal, options)
		}
	}
	return status
}

// tellPods writes into the status what must not get lost of the Pods: which attempt they
// are, and what they consumed.
func tellPods(status *v1alpha1.TrainingRunStatus, o observed, p plan) {
	if p.Verdict.State == "" && len(p.Settle) == 0 {
		return
	}
	if !o.Run.Status.State.Finished() {
		tellAttempt(status, o, p)
	}
	tellUsage(status, o, p)
}

// tellRun writes the plan's verdict into the status, and what belongs to it.
func tellRun(status *v1alpha1.TrainingRunStatus, o observed, p plan, options Options) {
	v := p.Verdict
	v.Message = clip(v.Message)
	status.State, status.Reason, status.Message = v.State, v.Reason, v.summary()
	if status.Dataset == nil {
		status.Dataset = boundDataset(o, p)
	}
	status.StartTime = startTime(o)
	if v.State.Finished() {
		status.CompletionTime = completionTime(o)
		if status.Usage == nil {
			status.Usage = &v1alpha1.Usage{}
		}
	}
	if v.State == v1alpha1.RunSucceeded {
		status.Artifacts = artifacts(o, options)
	}
	if v.State == v1alpha1.RunFailed {
		status.Failure = runFailure(v)
	}
	has := func(kind string) bool { return apimeta.FindStatusCondition(status.Conditions, kind) != nil }
	for _, condition := range slices.Concat(conditions(v, status.Dataset != nil), occasional(o, p, has)) {
		set(status, condition, o)
	}
}

func runFailure(v verdict) *v1alpha1.RunFailure {
	return &v1alpha1.RunFailure{
		Reason: v.Reason, Blame: v.Blame, Message: v.Message, Hint: clip(v.Hint),
		Container: v.Container, Node: v.Node, ExitCode: v.ExitCode, LogTail: v.LogTail,
	}
}

// tellArtifacts writes into the status of a deleted run how far the erase of its
// artifacts is.
func tellArtifacts(status *v1alpha1.TrainingRunStatus, o observed, p plan, actErr error) {
	if p.Count && actErr == nil {
		now := metav1.NewTime(o.Now).Rfc3339Copy()
		status.ArtifactsErasure = &v1alpha1.ErasureStatus{
			StartTime: now, InventoryTime: &now,
			Versions: o.Inventory.Versions, Bytes: o.Inventory.Bytes, Uploads: o.Inventory.Uploads,
		}
	}
	if p.Erase && actErr == nil {
		counts := *status.ArtifactsErasure
		counts.RemovedVersions = counts.Versions
		status.ArtifactsErasure = &counts
	}
	if condition, changed := artifactsErased(p, actErr); changed {
		set(status, condition, o)
	}
}

func set(status *v1alpha1.TrainingRunStatus, condition metav1.Condition, o observed) {
	condition.ObservedGeneration = o.Run.Generation
	condition.LastTransitionTime = metav1.NewTime(o.Now).Rfc3339Copy()
	apimeta.SetStatusCondition(&status.Conditions, condition)
}

// refused turns into a verdict that the API server refuses a child (a quota, a
// policy, or a value that only it can judge), or that the store is away. Other
// errors say nothing about the run and give the zero verdict; so does a namespace
// that is being deleted, since the run goes with it.
func refused(o observed, err error) verdict {
	var fault *storeFault
	if errors.As(err, &fault) {
		return storeWaits(fault)
	}
	var create *createError
	if !errors.As(err, &create) || namespaceGoes(err) || !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
		return verdict{}
	}
	var status apierrors.APIStatus
	message := "the cluster refuses the run's " + create.kind + " and is asked again"
	if errors.As(err, &status) {
		message += ": " + status.Status().Message
	}
	if o.number() > 1 {
		return starting(v1alpha1.ReasonPodRejected, message)
	}
	return waiting(v1alpha1.ReasonPodRejected, message)
}

// namespaceGoes says that the API server takes nothing new into a namespace that is being
// deleted. The deletion comes to its runs one by one.
func namespaceGoes(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// boundDataset is the snapshot that the Job was made with. nil: there is no Job, or it
// does not say so any more.
func boundDataset(o observed, p plan) *v1alpha1.BoundDataset {
	job := o.ownJob()
	if job == nil {
		job = p.Create
	}
	if job == nil || job == o.Job && altered(o) {
		return nil
	}
	snapshot := resources.Bound(job)
	return &snapshot
}

// startTime is when a trainer of the run first started. nil: none has.
func startTime(o observed) *metav1.Time {
	first := o.Run.Status.StartTime
	for _, pod := range slices.Concat(o.Pods, o.Strays) {
		if s, ran := trainerSpan(&pod, o.Now); ran && (first == nil || s.start.Before(first)) {
			first = &s.start
		}
	}
	return first
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
		at := place(o.Run, options)
		at.Store = resources.ArtifactsStore(o.Job)
		return &v1alpha1.ArtifactsStatus{
			Location:       at,
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
