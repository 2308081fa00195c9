package runlog

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/overview"
)

// ErrNoLog is wrapped by errors that say why there is no log and none will come.
var ErrNoLog = errors.New("there is no log")

// place is where a log is, or why it is not there yet.
type place struct {
	// pod is empty while there is none.
	pod string
	// started: the container runs or has run, so it has a log.
	started bool
	// waiting says what the start waits for.
	waiting string
}

// locate finds the container of a run among its pods; the newest pod counts. The
// error wraps ErrNoLog and is final.
func locate(run *v1alpha1.TrainingRun, pods []corev1.Pod, container string) (place, error) {
	summary := overview.Summary(string(run.Status.State), run.Status.Reason, run.Status.Message)
	if len(pods) == 0 {
		if run.Status.State.Finished() {
			return place{}, fmt.Errorf("%w any more: the run has ended and its pod is gone. %s", ErrNoLog, summary)
		}
		return place{waiting: summary}, nil
	}
	pod := slices.MaxFunc(pods, func(a, b corev1.Pod) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	found := place{pod: pod.Name, waiting: summary}
	if status, ok := containerStatus(&pod, container); ok {
		found.started = status.State.Running != nil || status.State.Terminated != nil ||
			status.LastTerminationState.Terminated != nil
	}
	if !found.started && over(run, &pod) {
		return place{}, fmt.Errorf("%w: %s was never started. %s", ErrNoLog, container, summary)
	}
	return found, nil
}

// over says that no container will start any more.
func over(run *v1alpha1.TrainingRun, pod *corev1.Pod) bool {
	return run.Status.State.Finished() || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func containerStatus(pod *corev1.Pod, container string) (corev1.ContainerStatus, bool) {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if status.Name == container {
			return status, true
		}
	}
	return corev1.ContainerStatus{}, false
}
