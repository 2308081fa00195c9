package trainingrun

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// refusalInterval is how often it is asked why a Job has no Pod.
const refusalInterval = 30 * time.Second

// podFollowed tells how far the Pod of a running Job has come.
func podFollowed(o observed, _ Options) (plan, bool) {
	if o.ownJob() == nil {
		return plan{}, false
	}
	if len(o.Pods) == 0 {
		return podMissing(o), true
	}
	return plan{Verdict: podVerdict(o.Run, &o.Pods[len(o.Pods)-1])}, true
}

// podMissing says why the Job has no Pod, once it was given the time to make one.
func podMissing(o observed) plan {
	if o.Refusal != "" {
		return plan{Verdict: verdict{
			State:   v1alpha1.RunStarting,
			Reason:  v1alpha1.ReasonPodRejected,
			Message: "the cluster refuses the run's Pod and is asked again: " + stableRefusal(o.Refusal),
		}}
	}
	wait := next{
		After: refusalInterval,
		Why:   "no event of a Job or Pod tells that the Pod was refused",
	}
	if age := o.Now.Sub(o.Job.CreationTimestamp.Time); age < podGrace {
		wait.After = podGrace - age
	}
	return plan{Verdict: podStarting(o.Run), Next: wait}
}

// podOfRefusal is the part of a refusal that names the Pod, which has another
// name at each attempt.
var podOfRefusal = regexp.MustCompile(`pods "[^"]*" is `)

func stableRefusal(message string) string {
	message = strings.TrimPrefix(message, "Error creating: ")
	return podOfRefusal.ReplaceAllString(message, "")
}

func podVerdict(run *v1alpha1.TrainingRun, pod *corev1.Pod) verdict {
	trainer := container(pod, staging.ContainerTrainer)
	switch {
	case disrupted(pod) && trainer.Running == nil:
		// The cluster took the Pod away; the Job controller replaces it.
		return podStarting(run)
	case trainer.Terminated != nil && trainer.Terminated.ExitCode == 0:
		return verdict{
			State: v1alpha1.RunPublishing, Reason: v1alpha1.ReasonUploading,
			Message: fmt.Sprintf("the trainer has ended well; its artifacts are being uploaded; if that takes long, "+
				"`kubectl lethe logs %s -c stage-out` says why", run.Name),
		}
	case trainer.Terminated != nil:
		return verdict{
			State: v1alpha1.RunRunning, Reason: v1alpha1.ReasonEnding,
			Message: fmt.Sprintf("the trainer ended with exit code %d; the run fails when its Pod has ended", trainer.Terminated.ExitCode),
		}
	case trainer.Running != nil && failedEarly(container(pod, staging.ContainerStageOut)):
		return verdict{
			State: v1alpha1.RunRunning, Reason: v1alpha1.ReasonEnding,
			Message: "the upload of the artifacts has failed before the trainer's end, so the run can only fail; delete it to free its GPUs",
		}
	case trainer.Running != nil:
		return verdict{
			State: v1alpha1.RunRunning, Reason: v1alpha1.ReasonTraining,
			Message: fmt.Sprintf("the trainer runs; `kubectl lethe logs %s` shows its output", run.Name),
		}
	}
	return startVerdict(run, pod)
}

// startVerdict says what a Pod that does not train yet is waiting for. The
// messages name only what does not change from one look to the next.
func startVerdict(run *v1alpha1.TrainingRun, pod *corev1.Pod) verdict {
	if unschedulable(pod) {
		return starting(v1alpha1.ReasonUnschedulable, fmt.Sprintf(
			"no node has room for %s; the run starts as soon as one has, and `kubectl describe pod -l %s=%s` says what is missing",
			request(run), v1alpha1.LabelRun, run.Name))
	}
	for _, name := range []string{staging.ContainerStageIn, staging.ContainerTrainer, staging.ContainerStageOut} {
		waits := container(pod, name).Waiting
		if waits == nil {
			continue
		}
		image := imageOf(pod, name)
		switch waits.Reason {
		case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull":
			return starting(v1alpha1.ReasonImagePull, imagePullMessage(name, image))
		case "CreateContainerError", "CreateContainerConfigError", "RunContainerError":
			return starting(v1alpha1.ReasonContainerError, fmt.Sprintf(
				"the container %s can not be made from the image %q; `kubectl describe pod -l %s=%s` says why. "+
					"The image must work for a user that is not root", name, image, v1alpha1.LabelRun, run.Name))
		}
	}
	return podStarting(run)
}

func imagePullMessage(container, image string) string {
	if container != staging.ContainerTrainer {
		return fmt.Sprintf("the operator's own image %q can not be pulled; tell the administrator of the cluster", image)
	}
	return fmt.Sprintf("the trainer's image %q can not be pulled; check its name and tag, and that the cluster may read its registry. "+
		"It is tried again; to use another image, delete this run and create a new one", image)
}

func podStarting(run *v1alpha1.TrainingRun) verdict {
	return starting(v1alpha1.ReasonPodStarting, fmt.Sprintf(
		"the Pod is being scheduled, its images pulled and its dataset downloaded; if that takes long, "+
			"`kubectl describe pod -l %s=%s` and `kubectl lethe logs %s -c stage-in` say why", v1alpha1.LabelRun, run.Name, run.Name))
}

func failedEarly(c corev1.ContainerState) bool {
	return c.Terminated != nil && c.Terminated.ExitCode != 0
}

func starting(reason, message string) verdict {
	return verdict{State: v1alpha1.RunStarting, Reason: reason, Message: message}
}

func unschedulable(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
		}
	}
	return false
}

// request says what a run's Pod asks for, in words.
func request(run *v1alpha1.TrainingRun) string {
	parts := []string{fmt.Sprintf("%d GPU(s)", resources.GPUs(run))}
	if cpu := run.Spec.Trainer.Resources.CPU; cpu != nil {
		parts = append(parts, "cpu "+cpu.String())
	}
	if memory := run.Spec.Trainer.Resources.Memory; memory != nil {
		parts = append(parts, "memory "+memory.String())
	}
	return strings.Join(parts, ", ")
}

// container gives the state of a container of the Pod; the zero state when the
// kubelet has not reported on it.
func container(pod *corev1.Pod, name string) corev1.ContainerState {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, status := range list {
			if status.Name == name {
				return status.State
			}
		}
	}
	return corev1.ContainerState{}
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
