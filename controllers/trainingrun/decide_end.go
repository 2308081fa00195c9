package trainingrun

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// Exit codes of a process that a signal ended, as the kubelet reports them.
const (
	exitKilled     = 128 + 9
	exitTerminated = 128 + 15
)

// jobFinished ends the run with its Job.
func jobFinished(o observed, _ Options) (plan, bool) {
	job := o.ownJob()
	if job == nil {
		return plan{}, false
	}
	end, ended := jobEnd(job)
	if !ended {
		return plan{}, false
	}
	if end.Type == batchv1.JobComplete {
		return plan{Verdict: succeeded(o)}, true
	}
	return plan{Verdict: failure(o)}, true
}

func succeeded(o observed) verdict {
	message := fmt.Sprintf("trained, and the artifacts are in the store; `kubectl lethe artifacts %s DIR` downloads them", o.Run.Name)
	return verdict{State: v1alpha1.RunSucceeded, Reason: v1alpha1.ReasonPublished, Message: message}
}

// failure says which step of the Pod failed and what can be done about it. The
// steps are asked in the order in which they run, because a failed one takes the
// later ones with it.
func failure(o observed) verdict {
	pod, found := failedPod(o.Pods)
	if !found {
		return failed(v1alpha1.ReasonPodLost, "the run's Pod disappeared before it ended; create a new run to train again")
	}
	if v, ok := podTakenAway(pod); ok {
		return v
	}
	steps := []struct {
		container string
		explain   func(observed, *corev1.ContainerStateTerminated) verdict
	}{
		{staging.ContainerStageIn, stageInFailure},
		{staging.ContainerTrainer, trainerFailure},
		{staging.ContainerStageOut, stageOutFailure},
	}
	for _, step := range steps {
		end := container(pod, step.container).Terminated
		if end == nil || end.ExitCode == 0 {
			continue
		}
		v := step.explain(o, end)
		v.ExitCode = ptr.To(end.ExitCode)
		return v
	}
	return failed(v1alpha1.ReasonPodLost, fmt.Sprintf(
		"the cluster ended the run's Pod%s; create a new run to train again", because(pod.Status.Reason)))
}

// failedPod is the newest Pod that counted: one that was disrupted was replaced.
func failedPod(pods []corev1.Pod) (*corev1.Pod, bool) {
	for i := range slices.Backward(pods) {
		if !disrupted(&pods[i]) {
			return &pods[i], true
		}
	}
	return nil, false
}

func disrupted(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue
	})
}

// podTakenAway tells a step that failed from one that was stopped because
// somebody deleted the Pod.
func podTakenAway(pod *corev1.Pod) (verdict, bool) {
	if pod.DeletionTimestamp.IsZero() {
		return verdict{}, false
	}
	for _, name := range []string{staging.ContainerStageIn, staging.ContainerTrainer, staging.ContainerStageOut} {
		end := container(pod, name).Terminated
		if end != nil && end.ExitCode != 0 && end.ExitCode != exitKilled && end.ExitCode != exitTerminated {
			return verdict{}, false
		}
	}
	return failed(v1alpha1.ReasonPodLost, "the run's Pod was deleted before it ended; create a new run to train again"), true
}

// stageInReasons says what the stager's exit codes mean for a run.
var stageInReasons = map[int32]struct{ reason, message string }{
	staging.ExitDatasetCorrupt: {v1alpha1.ReasonDatasetCorrupt, "the dataset in the store differs from its manifest; upload the data again under another name, then delete this dataset"},
	staging.ExitDenied:         {v1alpha1.ReasonStoreDenied, "the store or the broker refused to give the dataset; tell the administrator of the cluster"},
	staging.ExitDiskFull:       {v1alpha1.ReasonDiskFull, "the node has no room for the dataset; use a smaller dataset or a node with a larger disk"},
}

func stageInFailure(_ observed, end *corev1.ContainerStateTerminated) verdict {
	known, ok := stageInReasons[end.ExitCode]
	if !ok {
		known.reason = v1alpha1.ReasonStageInFailed
		known.message = fmt.Sprintf("the dataset could not be downloaded (exit code %d%s); create a new run to try again", end.ExitCode, because(end.Reason))
	}
	return failed(known.reason, told(end, known.message))
}

func trainerFailure(o observed, end *corev1.ContainerStateTerminated) verdict {
	logs := fmt.Sprintf("`kubectl lethe logs %s` shows its output", o.Run.Name)
	switch end.Reason {
	case "OOMKilled":
		limit := "its node's memory"
		if memory := o.Run.Spec.Trainer.Resources.Memory; memory != nil {
			limit = "its limit of " + memory.String()
		}
		return failed(v1alpha1.ReasonOOMKilled, fmt.Sprintf(
			"the trainer used more memory than %s; raise spec.trainer.resources.memory or lower the batch size in a new run", limit))
	case "StartError", "ContainerCannotRun":
		return failed(v1alpha1.ReasonNonZeroExit, fmt.Sprintf(
			"the trainer's command could not be started (exit code %d); check that spec.trainer.command exists in the image and may be run by a user that is not root", end.ExitCode))
	}
	return failed(v1alpha1.ReasonNonZeroExit, fmt.Sprintf("the trainer ended with exit code %d; %s", end.ExitCode, logs))
}

func stageOutFailure(_ observed, end *corev1.ContainerStateTerminated) verdict {
	return failed(v1alpha1.ReasonUploadFailed, told(end, fmt.Sprintf(
		"the trainer ended well, but its artifacts could not be uploaded (exit code %d%s); create a new run to train again", end.ExitCode, because(end.Reason))))
}

// told prefers the stager's own words, which name no file of the user's. Anything
// else in the message of a container is not shown: it may be user data.
func told(end *corev1.ContainerStateTerminated, otherwise string) string {
	if report, ok := staging.ParseReport(end.Message); ok && report.Message != "" {
		return report.Message
	}
	return otherwise
}

// because shows a reason of the kubelet's, where it says more than "Error".
func because(reason string) string {
	if reason == "" || reason == "Error" {
		return ""
	}
	return ", " + reason
}
