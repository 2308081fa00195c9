package runlog

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/overview"
)

// ErrNoLog is wrapped by errors that say why there is no log and none will come.
var ErrNoLog = errors.New("there is no log")

// errGone is wrapped by those that say that there is no Pod any more.
var errGone = errors.New("its Pod is gone")

// Source says whose output is meant.
type Source struct {
	// Container of the Pod.
	Container string
	// Node is the node's index.
	Node int
	// Attempt is its number; 0 for the newest, and when following for those to come.
	Attempt int
}

// place is where a log is, or why it is not there yet.
type place struct {
	// pod is empty while there is none, uid names it for ever.
	pod     string
	uid     types.UID
	attempt int
	// started: the container runs or has run, so it has a log.
	started bool
	// waiting says what the start waits for.
	waiting string
}

// locate finds the container of a run among its pods; the newest pod counts. The
// error wraps ErrNoLog and is final.
func locate(run *v1alpha1.TrainingRun, pods []corev1.Pod, source Source) (place, error) {
	summary := overview.Summary(string(run.Status.State), run.Status.Reason, run.Status.Message)
	pods = source.of(run, pods)
	if len(pods) == 0 {
		if source.over(run) {
			return place{}, fmt.Errorf("%w any more: the %s has ended and %w. %s", ErrNoLog, source.what(), errGone, summary)
		}
		return place{waiting: summary}, nil
	}
	pod := slices.MaxFunc(pods, older)
	found := look(&pod, source.Container)
	found.waiting = summary
	if !found.started && (source.over(run) || dead(&pod)) {
		return place{}, fmt.Errorf("%w: %s was never started. %s", ErrNoLog, source.Container, summary)
	}
	return found, nil
}

// of gives the pods of a run that can be meant.
func (s Source) of(run *v1alpha1.TrainingRun, pods []corev1.Pod) []corev1.Pod {
	var meant []corev1.Pod
	for _, pod := range pods {
		uid, labelled := pod.Labels[v1alpha1.LabelRunUID]
		ours := !labelled || types.UID(uid) == run.UID
		if ours && nodeOf(&pod) == s.Node && (s.Attempt == 0 || attemptOf(&pod) == s.Attempt) {
			meant = append(meant, pod)
		}
	}
	return meant
}

// over says that no Pod will come any more.
func (s Source) over(run *v1alpha1.TrainingRun) bool {
	if run.Status.State.Finished() {
		return true
	}
	if s.Attempt == 0 {
		return false
	}
	for _, a := range run.Status.Attempts {
		if int(a.Number) == s.Attempt {
			return a.Result != ""
		}
	}
	return int(run.Status.Attempt) > s.Attempt
}

func (s Source) what() string {
	if s.Attempt == 0 {
		return "run"
	}
	return "attempt"
}

func look(pod *corev1.Pod, container string) place {
	found := place{pod: pod.Name, uid: pod.UID, attempt: attemptOf(pod)}
	if status, ok := containerStatus(pod, container); ok {
		found.started = status.State.Running != nil || status.State.Terminated != nil ||
			status.LastTerminationState.Terminated != nil
	}
	return found
}

// dead says that no container of a pod will start any more.
func dead(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// older orders pods by their age; where that is the same, by their attempt.
func older(a, b corev1.Pod) int {
	if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
		return c
	}
	return attemptOf(&a) - attemptOf(&b)
}

// nodeOf is the index that the Job controller gives; the pod of a single node has none.
func nodeOf(pod *corev1.Pod) int {
	return number(pod.Annotations[batchv1.JobCompletionIndexAnnotation], 0)
}

func attemptOf(pod *corev1.Pod) int { return number(pod.Labels[v1alpha1.LabelAttempt], 1) }

func number(text string, otherwise int) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return otherwise
	}
	return n
}

func containerStatus(pod *corev1.Pod, container string) (corev1.ContainerStatus, bool) {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if status.Name == container {
			return status, true
		}
	}
	return corev1.ContainerStatus{}, false
}
