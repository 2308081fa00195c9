package broker

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// Refusals that several steps share.
const (
	detailNotOfRun = "the pod is not one of a TrainingRun's; only the operator starts those"
	detailPodGone  = "the pod has ended or is being deleted"
	detailJobGone  = "the pod's Job is gone or is being deleted"
	detailErasing  = "the dataset is being erased or was replaced; start the run on another one"
)

// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get
// +kubebuilder:rbac:groups=lethe.dev,resources=trainingruns,verbs=get;list;watch
// +kubebuilder:rbac:groups=lethe.dev,resources=datasetretentions,verbs=get

// demand is what a question demands of the pod that asks it.
type demand string

const (
	// staying: neither the pod nor its Job is on its way out. For what begins
	// something: stage-in and the wait for the other nodes.
	staying demand = "staying"
	// leaving: both may be. A run is suspended, and a limit enforced, by the deletion
	// of its Job, and the last checkpoint comes after that.
	leaving demand = "leaving"
)

// member is a pod of a run, as it was found live.
type member struct {
	caller identity
	// jobName and jobUID are its Job's, which is one attempt of the run.
	jobName string
	jobUID  types.UID
	// run and runUID are its run's.
	run    types.NamespacedName
	runUID types.UID
	// attempt is the number of the attempt, from 1.
	attempt int32
	// node is the index of the pod among nodes.
	node  int
	nodes int
}

// chain is a member and what it was found by.
type chain struct {
	member
	pod corev1.Pod
	// job is nil if it is gone, which only those that may be leaving get to see.
	job   *batchv1.Job
	found *v1alpha1.TrainingRun
}

// follow follows a pod to its run by the owner references that controllers set, all
// read live, and gives the run if it goes on.
func (s *Server) follow(ctx context.Context, caller identity, d demand) (*chain, error) {
	c := &chain{member: member{caller: caller}}
	found, err := s.get(ctx, caller.namespace, caller.podName, &c.pod)
	if err != nil {
		return nil, err
	}
	ref, err := checkPod(&c.pod, found, caller, d)
	if err != nil {
		return nil, err
	}
	c.jobName, c.jobUID = ref.Name, ref.UID
	if err := s.followJob(ctx, c, d); err != nil {
		return nil, err
	}
	c.node, err = nodeOf(&c.pod, c.jobName, c.nodes)
	return c, err
}

// followJob finds the run by the Job, or without it if it is gone and may be.
func (s *Server) followJob(ctx context.Context, c *chain, d demand) error {
	var job batchv1.Job
	found, err := s.get(ctx, c.caller.namespace, c.jobName, &job)
	if err != nil {
		return err
	}
	if !found || job.UID != c.jobUID {
		if d == leaving {
			return s.followOrphan(ctx, c)
		}
		return gone(staging.ProblemRunEnded, detailJobGone)
	}
	ref, attempt, err := checkJob(&job, d)
	if err != nil {
		return err
	}
	c.job, c.attempt, c.nodes = &job, attempt, nodesOf(&job)
	return s.followRun(ctx, c, ref)
}

// followRun finds the run that ref means.
func (s *Server) followRun(ctx context.Context, c *chain, ref *metav1.OwnerReference) error {
	var run v1alpha1.TrainingRun
	found, err := s.get(ctx, c.caller.namespace, ref.Name, &run)
	if err != nil {
		return err
	}
	c.run, c.runUID, c.found = client.ObjectKeyFromObject(&run), ref.UID, &run
	return checkRun(&run, found, c.member)
}

// followOrphan finds the run of a pod whose Job is gone already: the garbage
// collector deletes the pod, but not at once. The pod's label only says where to look.
// What is believed is the run's status, which knows the UID of each attempt's Job.
func (s *Server) followOrphan(ctx context.Context, c *chain) error {
	var run v1alpha1.TrainingRun
	name := c.pod.Labels[v1alpha1.LabelRun]
	if name == "" {
		return gone(staging.ProblemRunEnded, detailJobGone)
	}
	found, err := s.get(ctx, c.caller.namespace, name, &run)
	if err != nil {
		return err
	}
	if !found {
		return gone(staging.ProblemRunEnded, "the run is gone")
	}
	for i := range run.Status.Attempts {
		attempt := &run.Status.Attempts[i]
		if attempt.JobUID != c.jobUID || c.jobName != jobName(run.Name, run.UID, attempt.Number) {
			continue
		}
		c.attempt, c.nodes = attempt.Number, run.Spec.Nodes.Size()
		c.run, c.runUID, c.found = client.ObjectKeyFromObject(&run), run.UID, &run
		return checkRun(&run, true, c.member)
	}
	return gone(staging.ProblemRunEnded, detailJobGone)
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

// checkPod gives the pod's Job if the pod is the caller and does what is demanded.
func checkPod(pod *corev1.Pod, found bool, caller identity, d demand) (*metav1.OwnerReference, error) {
	switch {
	case !found, string(pod.UID) != caller.podUID, pod.DeletionTimestamp != nil && d == staying,
		pod.Status.Phase == corev1.PodSucceeded, pod.Status.Phase == corev1.PodFailed:
		return nil, gone(staging.ProblemRunEnded, detailPodGone)
	}
	ref := controllerOf(pod, "batch", "Job")
	if ref == nil {
		return nil, forbidden(detailNotOfRun)
	}
	return ref, nil
}

// checkJob gives the Job's run and the number of the attempt that it is. An attempt's
// Job has a name that follows from the run and that number, so there can be one of
// each at a time only, and nobody can slip in another beside it.
func checkJob(job *batchv1.Job, d demand) (*metav1.OwnerReference, int32, error) {
	if job.DeletionTimestamp != nil && d == staying {
		return nil, 0, gone(staging.ProblemRunEnded, detailJobGone)
	}
	ref := controllerOf(job, v1alpha1.GroupVersion.Group, "TrainingRun")
	attempt, ok := attemptOf(job)
	if ref == nil || !ok || job.Name != jobName(ref.Name, ref.UID, attempt) {
		return nil, 0, forbidden(detailNotOfRun)
	}
	return ref, attempt, nil
}

// checkRun says whether the run is the member's, goes on, and is not at a later
// attempt already. The status may be one attempt late: it is written when the attempt
// has come to something. The Job of an attempt that it knows is no other.
func checkRun(run *v1alpha1.TrainingRun, found bool, m member) error {
	switch {
	case !found || run.UID != m.runUID:
		return gone(staging.ProblemRunEnded, "the run is gone")
	case run.DeletionTimestamp != nil:
		return gone(staging.ProblemRunEnded, "the run is being deleted")
	case run.Status.State.Finished():
		return gone(staging.ProblemRunEnded, "the run has ended")
	case m.attempt < run.Status.Attempt:
		return gone(staging.ProblemRunEnded, "the attempt is over, and the run is at a later one")
	case m.attempt > run.Status.Attempt+1:
		return notYet("the run has not come to this attempt yet; try again in a moment")
	}
	for i := range run.Status.Attempts {
		known := &run.Status.Attempts[i]
		if known.Number == m.attempt && known.JobUID != "" && known.JobUID != m.jobUID {
			return forbidden(detailNotOfRun)
		}
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

// nodeOf gives the index of a pod. The Job controller writes it into an annotation,
// which can be edited, and into the hostname, which can not: both must say the same.
func nodeOf(pod *corev1.Pod, job string, nodes int) (int, error) {
	if nodes <= 1 {
		return 0, nil
	}
	text := pod.Annotations[batchv1.JobCompletionIndexAnnotation]
	node, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(node) != text || node < 0 || node >= nodes || pod.Spec.Hostname != job+"-"+text {
		return 0, forbidden("the pod does not say which node of its run it is; only the operator starts those")
	}
	return node, nil
}

// known gives the pod that asks if it is one of a run that goes on. That is looked up
// live, and then remembered for a while: it is for questions that come again and again
// and that nothing is given for but what belongs to the pod itself.
func (s *Server) known(ctx context.Context, r *http.Request, d demand) (m member, remembered bool, err error) {
	token, err := bearer(r)
	if err != nil {
		return member{}, false, err
	}
	key := string(d) + " " + token // No demand has a blank.
	now := s.clock.Now()
	if m, ok := s.members.get(key, now); ok {
		return m, true, nil
	}
	// Until it is known that this one may ask, it is a request like any other and
	// does not get to keep the others from asking.
	select {
	case s.working <- struct{}{}:
		defer func() { <-s.working }()
	default:
		return member{}, false, tooMany()
	}
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	caller, err := s.pod(ctx, r)
	if err != nil {
		return member{}, false, err
	}
	c, err := s.follow(ctx, caller, d)
	if err != nil {
		return member{}, false, err
	}
	s.members.put(key, c.member, now)
	return c.member, false, nil
}

// runOf gives the run of a pod that is remembered, if it still goes on. The cache is
// asked first: it is fed by the watch that the reconcilers have anyway.
func (s *Server) runOf(ctx context.Context, m member) (*v1alpha1.TrainingRun, error) {
	var run v1alpha1.TrainingRun
	err := s.cached.Get(ctx, m.run, &run)
	if err == nil && run.UID == m.runUID {
		return &run, checkRun(&run, true, m)
	}
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read run from the cache: %w", err)
	}
	run = v1alpha1.TrainingRun{}
	found, err := s.get(ctx, m.run.Namespace, m.run.Name, &run)
	if err != nil {
		return nil, err
	}
	return &run, checkRun(&run, found, m)
}
