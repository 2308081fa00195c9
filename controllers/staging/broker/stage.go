package broker

import (
	"context"
	"fmt"
	"net/http"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// Refusals that several steps share.
const (
	detailNotOfRun = "the pod is not one of a TrainingRun's; only the operator starts those"
	detailPodGone  = "the pod has ended or is being deleted"
	detailErasing  = "the dataset is being erased or was replaced; start the run on another one"
)

// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get
// +kubebuilder:rbac:groups=lethe.dev,resources=trainingruns;datasetretentions,verbs=get

// stage answers staging.PathStage.
func (s *Server) stage(ctx context.Context, r *http.Request) (any, error) {
	caller, err := s.pod(ctx, r)
	if err != nil {
		return nil, err
	}
	var ask staging.StageRequest
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	if ask.Step != staging.StepStageIn && ask.Step != staging.StepStageOut {
		return nil, malformed(`step is "stage-in" or "stage-out"`)
	}
	run, err := s.runOf(ctx, caller)
	if err != nil {
		return nil, err
	}
	if ask.Step == staging.StepStageIn {
		return s.stageIn(ctx, run)
	}
	return s.stageOut(ctx, run)
}

// stageIn grants a run's pod to read its dataset.
func (s *Server) stageIn(ctx context.Context, run *v1alpha1.TrainingRun) (any, error) {
	var dataset v1alpha1.DatasetRetention
	found, err := s.get(ctx, run.Namespace, run.Spec.DatasetRef.Name, &dataset)
	if err != nil {
		return nil, err
	}
	if err := checkStageIn(run, &dataset, found); err != nil {
		return nil, err
	}
	at, err := recordedPlace(s.store.DatasetsBucket, &dataset, *dataset.Status.Location)
	if err != nil {
		return nil, err
	}
	policy, err := readPolicy(at)
	if err != nil {
		return nil, err
	}
	key, err := s.keyFor(ctx, &dataset)
	if err != nil {
		return nil, err
	}
	grant, err := s.grant(ctx, at, policy, s.life)
	if err != nil {
		return nil, err
	}
	grant.EncryptionKey = key.Bytes()
	return staging.StageGrant{Store: grant, ManifestDigest: run.Status.Dataset.ManifestDigest}, nil
}

// stageOut grants a run's pod to write its artifacts. The dataset is not looked at;
// the package documentation says why.
func (s *Server) stageOut(ctx context.Context, run *v1alpha1.TrainingRun) (any, error) {
	at, err := newPlace(s.store.ArtifactsBucket, run.Namespace, string(run.UID))
	if err != nil {
		return nil, err
	}
	policy, err := writePolicy(at)
	if err != nil {
		return nil, err
	}
	grant, err := s.grant(ctx, at, policy, s.life)
	if err != nil {
		return nil, err
	}
	return staging.StageGrant{Store: grant}, nil
}

// runOf follows a pod to its run by the owner references that controllers set, all
// read live, and gives the run if it goes on.
func (s *Server) runOf(ctx context.Context, caller identity) (*v1alpha1.TrainingRun, error) {
	var pod corev1.Pod
	found, err := s.get(ctx, caller.namespace, caller.podName, &pod)
	if err != nil {
		return nil, err
	}
	ref, err := checkPod(&pod, found, caller)
	if err != nil {
		return nil, err
	}
	var job batchv1.Job
	if found, err = s.get(ctx, caller.namespace, ref.Name, &job); err != nil {
		return nil, err
	}
	if ref, err = checkJob(&job, found, ref); err != nil {
		return nil, err
	}
	var run v1alpha1.TrainingRun
	if found, err = s.get(ctx, caller.namespace, ref.Name, &run); err != nil {
		return nil, err
	}
	return &run, checkRun(&run, found, ref)
}

// get reads an object live and reports whether it is there.
func (s *Server) get(ctx context.Context, namespace, name string, into client.Object) (bool, error) {
	err := s.live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, into)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %T %s/%s: %w", into, namespace, name, err)
	}
	return true, nil
}

// checkPod gives the pod's Job if the pod is the caller and goes on.
func checkPod(pod *corev1.Pod, found bool, caller identity) (*metav1.OwnerReference, error) {
	switch {
	case !found, string(pod.UID) != caller.podUID, pod.DeletionTimestamp != nil,
		pod.Status.Phase == corev1.PodSucceeded, pod.Status.Phase == corev1.PodFailed:
		return nil, gone(staging.ProblemRunEnded, detailPodGone)
	}
	ref := controllerOf(pod, "batch", "Job")
	if ref == nil {
		return nil, forbidden(detailNotOfRun)
	}
	return ref, nil
}

// checkJob gives the Job's run if the Job is the one that ref means and goes on. A
// run's Job has the name of its run, so there can be one at a time only, and
// nobody can slip in another beside it.
func checkJob(job *batchv1.Job, found bool, ref *metav1.OwnerReference) (*metav1.OwnerReference, error) {
	if !found || job.UID != ref.UID || job.DeletionTimestamp != nil {
		return nil, gone(staging.ProblemRunEnded, "the pod's Job is gone or is being deleted")
	}
	ref = controllerOf(job, v1alpha1.GroupVersion.Group, "TrainingRun")
	if ref == nil || ref.Name != job.Name {
		return nil, forbidden(detailNotOfRun)
	}
	return ref, nil
}

// checkRun says whether the run is the one that ref means and goes on.
func checkRun(run *v1alpha1.TrainingRun, found bool, ref *metav1.OwnerReference) error {
	switch {
	case !found || run.UID != ref.UID:
		return gone(staging.ProblemRunEnded, "the run is gone")
	case run.DeletionTimestamp != nil:
		return gone(staging.ProblemRunEnded, "the run is being deleted")
	case run.Status.State.Finished():
		return gone(staging.ProblemRunEnded, "the run has ended")
	}
	return nil
}

// checkStageIn says whether a run may read the dataset that it names. A run that
// was bound to a dataset that is gone is told so, also when there is another one
// of the name by now.
func checkStageIn(run *v1alpha1.TrainingRun, dataset *v1alpha1.DatasetRetention, found bool) error {
	bound := run.Status.Dataset
	switch {
	case bound == nil:
		return notYet("the run is not bound to its dataset yet; try again in a moment")
	case !found, dataset.UID != bound.UID, dataset.DeletionTimestamp != nil:
		return gone(staging.ProblemDatasetErasing, detailErasing)
	case dataset.Status.Location == nil:
		return notYet("the dataset has no place in the store yet; try again in a moment")
	}
	return nil
}

// controllerOf gives the controlling owner if it is of this group and kind.
func controllerOf(object metav1.Object, group, kind string) *metav1.OwnerReference {
	ref := metav1.GetControllerOf(object)
	if ref == nil || ref.Kind != kind {
		return nil
	}
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil || gv.Group != group {
		return nil
	}
	return ref
}
