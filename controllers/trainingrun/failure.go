package trainingrun

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

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

// failure says why an attempt failed, who can do something about it, and what. Its
// Pods are those of one Job. Where several failed it is about the one that did so
// first: its neighbours fail with it.
func failure(o observed) verdict {
	if job := o.ownJob(); job != nil {
		if end, ended := jobEnd(job); ended && end.Reason == batchv1.JobReasonDeadlineExceeded {
			return pastDeadline(o)
		}
	}
	first, found := firstCause(o)
	if !found {
		return vanished(o)
	}
	v := first.verdict(o)
	v.Node = ptr.To(nodeIndex(first.pod))
	if first.kind == causeStep {
		v.Container, v.ExitCode = first.step, ptr.To(first.end.ExitCode)
	}
	if o.Run.Spec.Nodes.Size() > 1 {
		v.Message = fmt.Sprintf("on node %d: %s", *v.Node, v.Message)
	}
	return v
}

// causeKind says what ended a Pod. Of two that did so in the same second, which is
// all that the kubelet tells, the smaller is taken for the cause of the other.
type causeKind int

const (
	// causeDisrupted: the cluster took the Pod away and says so.
	causeDisrupted causeKind = iota
	// causeRejected: the kubelet refused or ended the Pod as a whole.
	causeRejected
	// causeStep: one of its containers failed.
	causeStep
	// causeDeleted: somebody deleted the Pod. The Job controller does that to the
	// neighbours of one that failed.
	causeDeleted
)

// cause is what ended one Pod.
type cause struct {
	pod  *corev1.Pod
	kind causeKind
	// at is when. Zero: nobody told.
	at time.Time
	// step and end are the container that failed, of a causeStep.
	step string
	end  *corev1.ContainerStateTerminated
	// reason of the disruption or the rejection, in the cluster's word.
	reason string
}

// firstCause is what ended the attempt. A run with one node has its disrupted Pods
// replaced within the attempt, so they are to blame only if there are no others.
func firstCause(o observed) (cause, bool) {
	var all []cause
	for i := range o.Pods {
		if c, ok := causeOf(&o.Pods[i], o.Run.Spec.Checkpoint.Grace()); ok {
			all = append(all, c)
		}
	}
	if o.Run.Spec.Nodes.Size() == 1 {
		if own := slices.DeleteFunc(slices.Clone(all), func(c cause) bool { return c.kind == causeDisrupted }); len(own) > 0 {
			newest := own[len(own)-1]
			return newest, true
		}
	}
	if len(all) == 0 {
		return cause{}, false
	}
	return slices.MinFunc(all, earlier), true
}

func earlier(a, b cause) int {
	return cmp.Or(
		unknownLast(a.at, b.at),
		cmp.Compare(a.kind, b.kind),
		cmp.Compare(a.vagueness(), b.vagueness()),
		cmp.Compare(nodeIndex(a.pod), nodeIndex(b.pod)),
	)
}

func unknownLast(a, b time.Time) int {
	if a.IsZero() || b.IsZero() {
		return cmp.Compare(b.Unix(), a.Unix()) // the zero time is before all others
	}
	return cmp.Compare(a.Unix(), b.Unix())
}

// vagueness is small for a failure that explains those of its neighbours: one that
// ran out of memory does, one that a signal ended does not.
func (c cause) vagueness() int {
	switch {
	case c.end == nil:
		return 0
	case c.end.Reason == reasonOOMKilled:
		return 1
	case outOfGPUMemory(logTail(c.pod)):
		return 2
	case c.end.ExitCode == exitKilled || c.end.ExitCode == exitTerminated:
		return 4
	}
	return 3
}

// causeOf says what ended a Pod. It reports false for one that ended well or goes on.
// A step that failed before the Pod was taken away did so by itself.
func causeOf(pod *corev1.Pod, grace time.Duration) (cause, bool) {
	step, failed := failedStep(pod)
	if c, ok := disruption(pod); ok {
		at := c.LastTransitionTime.Time
		if !failed || at.IsZero() || !step.at.Before(at) {
			return cause{pod: pod, kind: causeDisrupted, at: at, reason: c.Reason}, true
		}
		return step, true
	}
	switch {
	case pod.Status.Reason != "" && bySignal(pod):
		return cause{pod: pod, kind: causeRejected, at: rejectedAt(pod, step), reason: pod.Status.Reason}, true
	case !pod.DeletionTimestamp.IsZero() && bySignal(pod):
		return cause{pod: pod, kind: causeDeleted, at: deletedAt(pod, grace)}, true
	case !failed && pod.Status.Phase == corev1.PodFailed:
		return cause{pod: pod, kind: causeRejected, at: pod.CreationTimestamp.Time}, true
	}
	return step, failed
}

// failedStep is the first container that failed. They are asked in the order in which
// they run, because a failed one takes the later ones with it.
func failedStep(pod *corev1.Pod) (cause, bool) {
	for _, name := range steps {
		if end := container(pod, name).Terminated; end != nil && end.ExitCode != 0 {
			return cause{pod: pod, kind: causeStep, at: end.FinishedAt.Time, step: name, end: end}, true
		}
	}
	return cause{}, false
}

// steps are a Pod's containers in the order in which they end.
var steps = []string{staging.ContainerStageIn, staging.ContainerTrainer, staging.ContainerStageOut}

// bySignal says that no container ended badly but by a signal from outside, as all do
// in a Pod that is taken away.
func bySignal(pod *corev1.Pod) bool {
	return !slices.ContainsFunc(steps, func(name string) bool {
		end := container(pod, name).Terminated
		return end != nil && end.ExitCode != 0 &&
			(end.ExitCode != exitKilled && end.ExitCode != exitTerminated || end.Reason == reasonOOMKilled)
	})
}

// deletedAt is when somebody asked for the deletion: a Pod's deletionTimestamp is the
// end of its grace period.
func deletedAt(pod *corev1.Pod, grace time.Duration) time.Time {
	if seconds := pod.DeletionGracePeriodSeconds; seconds != nil {
		grace = time.Duration(*seconds) * time.Second
	}
	return pod.DeletionTimestamp.Add(-grace)
}

// rejectedAt is when the kubelet ended a Pod as a whole: with its container, or, when
// it never had one, at once.
func rejectedAt(pod *corev1.Pod, step cause) time.Time {
	if step.end != nil {
		return step.at
	}
	return pod.CreationTimestamp.Time
}

func disrupted(pod *corev1.Pod) bool {
	_, yes := disruption(pod)
	return yes
}

// disruption is the condition by which the cluster says that it took the Pod away.
func disruption(pod *corev1.Pod) (corev1.PodCondition, bool) {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue {
			return c, true
		}
	}
	return corev1.PodCondition{}, false
}

// nodeIndex is the index of the node that a Pod is; 0 for a run with one node.
func nodeIndex(pod *corev1.Pod) int32 {
	index, err := strconv.ParseInt(pod.Labels[batchv1.JobCompletionIndexAnnotation], 10, 32)
	if err != nil || index < 0 {
		return 0
	}
	return int32(index)
}

// vanished is the verdict on an attempt none of whose Pods tells why it failed. The Job
// controller may still know that one was taken away.
func vanished(o observed) verdict {
	var end batchv1.JobCondition
	if job := o.ownJob(); job != nil {
		end, _ = jobEnd(job)
	}
	if end.Reason == batchv1.JobReasonPodFailurePolicy && strings.Contains(end.Message, "condition "+string(corev1.DisruptionTarget)) {
		return explained(v1alpha1.ReasonDisrupted, "the cluster took a Pod of the run away")
	}
	return explained(v1alpha1.ReasonPodLost, "the run's Pod disappeared before it ended")
}

// pastDeadline names the limit that the deadline of the Job stands for: the time to start,
// also for a Pod in the place of one that was taken away, or what the trainer may take.
func pastDeadline(o observed) verdict {
	left, _ := remaining(o)
	untrained := func(pod *corev1.Pod) bool {
		_, ran := trainerSpan(pod, o.Now)
		return !ran
	}
	waited := missing(o) || first(o.newest(), untrained) != nil
	if !trainerStarted(o) || waited && left > brief {
		return overLimit(o.Run, v1alpha1.ReasonStartDeadlineExceeded)
	}
	return overLimit(o.Run, nextLimit(o.Run))
}

// trainerStarted says whether a trainer of the attempt has ever run.
func trainerStarted(o observed) bool {
	if n := len(o.Run.Status.Attempts); n > 0 {
		if newest := o.Run.Status.Attempts[n-1]; newest.Result == "" && newest.StartTime != nil {
			return true
		}
	}
	return slices.ContainsFunc(o.Pods, func(pod corev1.Pod) bool {
		state := container(&pod, staging.ContainerTrainer)
		return state.Running != nil || state.Terminated != nil && !state.Terminated.StartedAt.IsZero()
	})
}

// nextLimit is the limit that a trainer that goes on comes to first.
func nextLimit(run *v1alpha1.TrainingRun) string {
	limits, used := run.Spec.Limits, ptr.Deref(run.Status.Usage, v1alpha1.Usage{})
	gpus := run.Spec.Nodes.GPUs()
	switch {
	case limits.MaxGPUSeconds == nil || gpus == 0:
		return v1alpha1.ReasonMaxDurationReached
	case limits.MaxDuration == nil:
		return v1alpha1.ReasonGPUBudgetReached
	}
	seconds := int64(limits.MaxDuration.Seconds()) - used.TrainingSeconds
	if affordable := (*limits.MaxGPUSeconds - used.GPUSeconds) / gpus; affordable < seconds {
		return v1alpha1.ReasonGPUBudgetReached
	}
	return v1alpha1.ReasonMaxDurationReached
}
