package trainingrun

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// refusalInterval is how often it is asked why a Job has no Pod.
const refusalInterval = 30 * time.Second

// podsFollowed tells how far the Pods of a running Job have come.
func podsFollowed(o observed, _ Options) (plan, bool) {
	if o.ownJob() == nil {
		return plan{}, false
	}
	p := plan{Verdict: podsVerdict(o), Deadline: deadlineDue(o), Next: startTimer(o)}
	if missing(o) && p.Verdict.State == v1alpha1.RunStarting {
		p = podMissing(o, p)
	}
	return p, true
}

// missing says that the Job has not made all of its Pods.
func missing(o observed) bool { return len(o.newest()) < o.Run.Spec.Nodes.Size() }

// podMissing says why the Job lacks a Pod, once it was given the time to make it.
func podMissing(o observed, p plan) plan {
	if o.Refusal != "" {
		p.Verdict = starting(v1alpha1.ReasonPodRejected,
			"the cluster refuses the run's Pod and is asked again: "+stableRefusal(o.Refusal))
		return p
	}
	wait := next{
		After: refusalInterval,
		Why:   "no event of a Job or Pod tells that the Pod was refused",
	}
	if age := o.Now.Sub(o.Job.CreationTimestamp.Time); age < podGrace {
		wait.After = podGrace - age
	}
	p.Next = sooner(p.Next, wait)
	return p
}

// podOfRefusal is the part of a refusal that names the Pod, which has another
// name at each attempt.
var podOfRefusal = regexp.MustCompile(`pods "[^"]*" is `)

func stableRefusal(message string) string {
	message = strings.TrimPrefix(message, "Error creating: ")
	return podOfRefusal.ReplaceAllString(message, "")
}

// podsVerdict sums up how far the newest Pods of all nodes are.
func podsVerdict(o observed) verdict {
	pods := o.newest()
	if pod := first(pods, disrupted); pod != nil && gang(o.Run) {
		return ending(o.Run, fmt.Sprintf("the cluster takes the Pod of node %d away, so the attempt ends, and is repeated from its last checkpoint", nodeIndex(pod)))
	}
	failed, running := first(pods, trainerFailed), first(pods, trainerRuns)
	switch {
	case first(pods, replaced) != nil:
		// The cluster took the Pod away; the Job controller replaces it.
		return podStarting(o.Run, o.since())
	case failed != nil:
		end := container(failed, staging.ContainerTrainer).Terminated
		return verdict{
			State: v1alpha1.RunRunning, Reason: v1alpha1.ReasonEnding, Since: end.FinishedAt.Time,
			Message: fmt.Sprintf("the trainer%s ended with exit code %d; the attempt ends with its Pods", onNode(o.Run, failed), end.ExitCode),
		}
	case running == nil && !missing(o) && first(pods, notTrained) == nil:
		return verdict{
			State: v1alpha1.RunPublishing, Reason: v1alpha1.ReasonUploading, Since: readClock(o).ended,
			Message: fmt.Sprintf("the trainer has ended well; its artifacts are being uploaded; if that takes long, "+
				"`kubectl lethe logs %s -c stage-out` says why", o.Run.Name),
		}
	case running != nil && failedEarly(container(running, staging.ContainerStageOut)):
		return verdict{
			State: v1alpha1.RunRunning, Reason: v1alpha1.ReasonEnding,
			Message: "the upload of the artifacts has failed before the trainer's end, so the attempt can only fail; delete the run to free its GPUs",
		}
	case running != nil:
		return verdict{
			State: v1alpha1.RunRunning, Reason: v1alpha1.ReasonTraining,
			Message: fmt.Sprintf("the trainer runs; `kubectl lethe logs %s` shows its output", o.Run.Name),
		}
	}
	return startVerdict(o, pods)
}

// first is the first Pod of which something holds. nil: none.
func first(pods []*corev1.Pod, holds func(*corev1.Pod) bool) *corev1.Pod {
	for _, pod := range pods {
		if holds(pod) {
			return pod
		}
	}
	return nil
}

func trainerRuns(pod *corev1.Pod) bool {
	return container(pod, staging.ContainerTrainer).Running != nil
}

func trainerFailed(pod *corev1.Pod) bool {
	end := container(pod, staging.ContainerTrainer).Terminated
	return end != nil && end.ExitCode != 0
}

func notTrained(pod *corev1.Pod) bool {
	return container(pod, staging.ContainerTrainer).Terminated == nil
}

// replaced says that the cluster took the Pod away and its trainer is done for.
func replaced(pod *corev1.Pod) bool { return disrupted(pod) && !trainerRuns(pod) }

func onNode(run *v1alpha1.TrainingRun, pod *corev1.Pod) string {
	if !gang(run) {
		return ""
	}
	return fmt.Sprintf(" of node %d", nodeIndex(pod))
}

// since is when the newest thing was made that a start waits for.
func (o observed) since() time.Time {
	at := o.Job.CreationTimestamp.Time
	for i := range o.Pods {
		if made := o.Pods[i].CreationTimestamp.Time; made.After(at) {
			at = made
		}
	}
	return at
}

// startVerdict says what Pods that do not train yet are waiting for. The messages name
// only what does not change from one look to the next.
func startVerdict(o observed, pods []*corev1.Pod) verdict {
	if pod := first(pods, unschedulable); pod != nil {
		reason, message := unschedulableReason(scheduled(pod).Message, o.Run)
		if first(pods, placed) != nil {
			return starting(v1alpha1.ReasonGathering, "some of the run's Pods have a node, and wait for the others: "+message)
		}
		return starting(reason, message)
	}
	for _, pod := range pods {
		if v, held := containerWaits(o.Run, pod); held {
			return v
		}
	}
	return podStarting(o.Run, o.since())
}

// containerWaits says what keeps a container from being made. It reports false when
// nothing does.
func containerWaits(run *v1alpha1.TrainingRun, pod *corev1.Pod) (verdict, bool) {
	for _, name := range steps {
		waits := container(pod, name).Waiting
		if waits == nil {
			continue
		}
		image := imageOf(pod, name)
		switch waits.Reason {
		case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull":
			return starting(v1alpha1.ReasonImagePull, imagePullMessage(name, image)), true
		case "CreateContainerError", "CreateContainerConfigError", "RunContainerError":
			return starting(v1alpha1.ReasonContainerError, fmt.Sprintf(
				"the container %s can not be made from the image %q; `kubectl describe pod -l %s=%s` says why. "+
					"The image must work for a user that is not root", name, image, v1alpha1.LabelRun, run.Name)), true
		}
	}
	return verdict{}, false
}

func imagePullMessage(container, image string) string {
	if container != staging.ContainerTrainer {
		return fmt.Sprintf("the operator's own image %q can not be pulled; tell the administrator of the cluster", image)
	}
	return fmt.Sprintf("the trainer's image %q can not be pulled; check its name and tag, and that the cluster may read its registry. "+
		"It is tried again; to use another image, delete this run and create a new one", image)
}

// podStarting is the usual course since the given time.
func podStarting(run *v1alpha1.TrainingRun, since time.Time) verdict {
	v := starting(v1alpha1.ReasonPodStarting, fmt.Sprintf(
		"the Pod is being scheduled, its images pulled and its dataset downloaded; if that takes long, "+
			"`kubectl describe pod -l %s=%s` and `kubectl lethe logs %s -c stage-in` say why", v1alpha1.LabelRun, run.Name, run.Name))
	v.Since = since
	return v
}

// failedEarly leaves out a stager that was killed: it is started again.
func failedEarly(c corev1.ContainerState) bool {
	return c.Terminated != nil && c.Terminated.ExitCode != 0 && !killed(c)
}

func killed(c corev1.ContainerState) bool {
	return c.Terminated != nil && c.Terminated.ExitCode == exitKilled
}

func starting(reason, message string) verdict {
	return verdict{State: v1alpha1.RunStarting, Reason: reason, Message: message}
}

func unschedulable(pod *corev1.Pod) bool {
	c := scheduled(pod)
	return c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
}

// placed says that the Pod has a node.
func placed(pod *corev1.Pod) bool {
	return pod.Spec.NodeName != "" || scheduled(pod).Status == corev1.ConditionTrue
}

// scheduled is the scheduler's condition of the Pod, if it has one.
func scheduled(pod *corev1.Pod) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c
		}
	}
	return corev1.PodCondition{}
}

// request says what each of a run's Pods asks for, in words.
func request(run *v1alpha1.TrainingRun) string {
	parts := []string{fmt.Sprintf("%d GPU(s)", resources.GPUsPerNode(run))}
	if cpu := run.Spec.Trainer.Resources.CPU; cpu != nil {
		parts = append(parts, "cpu "+amount(*cpu))
	}
	if memory := run.Spec.Trainer.Resources.Memory; memory != nil {
		parts = append(parts, "memory "+amount(*memory))
	}
	return strings.Join(parts, ", ")
}

// amount writes a quantity of a run that others read too: a Quantity keeps its text
// once it was asked for it, so only a copy is asked.
func amount(q resource.Quantity) string { return q.String() }

// container gives the state of a container of the Pod; the zero state when the
// kubelet has not reported on it.
func container(pod *corev1.Pod, name string) corev1.ContainerState {
	return containerStatus(pod, name).State
}

func containerStatus(pod *corev1.Pod, name string) corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, status := range list {
			if status.Name == name {
				return status
			}
		}
	}
	return corev1.ContainerStatus{}
}

func imageOf(pod *corev1.Pod, name string) string {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			if c.Name == name {
				return c.Image
			}
		}
	}
	return ""
}
