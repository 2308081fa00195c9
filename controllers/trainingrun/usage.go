package trainingrun

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

const (
	// maxSettled is how many Pods an attempt can remember as settled: the CRD's limit.
	maxSettled = 256
	// settleAtOnce is how many Pods are settled with one write.
	settleAtOnce = 100
)

// span is the time for which a trainer ran. end is nil while it does.
type span struct {
	start metav1.Time
	end   *metav1.Time
}

// seconds is the length of a span that has ended, rounded up. A clock that went back
// gives no credit.
func (s span) seconds() int64 {
	if s.end == nil {
		return 0
	}
	return max(int64((s.end.Sub(s.start.Time)+time.Second-1)/time.Second), 0)
}

// trainerSpan is when a Pod's trainer ran, by the kubelet's clock. It reports false for
// one that never did. A Pod that is over has no trainer any more, also where no kubelet
// was left to say so.
func trainerSpan(pod *corev1.Pod, now time.Time) (span, bool) {
	switch state := container(pod, staging.ContainerTrainer); {
	case state.Running != nil && over(pod):
		return span{start: state.Running.StartedAt, end: lastSign(pod, now)}, true
	case state.Running != nil:
		return span{start: state.Running.StartedAt}, true
	case state.Terminated != nil && !state.Terminated.StartedAt.IsZero():
		return span{start: state.Terminated.StartedAt, end: &state.Terminated.FinishedAt}, true
	}
	return span{}, false
}

// lastSign is when a Pod that nobody saw end was last known to be well: a Pod of a node
// that is lost stops being ready before it is deleted.
func lastSign(pod *corev1.Pod, now time.Time) *metav1.Time {
	sign := metav1.NewTime(now).Rfc3339Copy()
	if at := pod.DeletionTimestamp; at != nil && at.Before(&sign) {
		sign = *at
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status != corev1.ConditionTrue && c.LastTransitionTime.Before(&sign) {
			sign = c.LastTransitionTime
		}
	}
	return &sign
}

// over says that nothing of a Pod runs, or will: it has ended, or it was deleted before
// it came to a node, or the kubelet has confirmed that it is gone.
func over(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return true
	}
	if pod.DeletionTimestamp.IsZero() || container(pod, staging.ContainerTrainer).Running != nil {
		return false
	}
	return pod.Spec.NodeName == "" || ptr.Deref(pod.DeletionGracePeriodSeconds, 1) == 0
}

// accountable says that a Pod's time is to be settled. One without our finalizer was.
func accountable(pod *corev1.Pod) bool {
	return slices.Contains(pod.Finalizers, v1alpha1.FinalizerUsage)
}

// remembered says that the Pod's time is in the status.
func remembered(status v1alpha1.TrainingRunStatus, uid types.UID) bool {
	return slices.ContainsFunc(status.Attempts, func(a v1alpha1.Attempt) bool { return slices.Contains(a.SettledPods, uid) })
}

// open are the run's Pods whose time is not in the status yet.
func (o observed) open() []corev1.Pod {
	return slices.DeleteFunc(slices.Concat(o.Pods, o.Strays), func(pod corev1.Pod) bool {
		return !accountable(&pod) || remembered(o.Run.Status, pod.UID)
	})
}

// busy are the run's Pods that are not over.
func (o observed) busy() []corev1.Pod {
	return slices.DeleteFunc(slices.Concat(o.Pods, o.Strays), func(pod corev1.Pod) bool { return over(&pod) })
}

// settling picks the Pods to settle now. One that ended by itself can wait for the end of
// its Job, which is a moment away as a rule and is written anyway; one that is deleted
// can not go before.
func settling(o observed, p plan) (now []corev1.Pod, later next) {
	waits := o.ownJob() != nil && o.Run.DeletionTimestamp.IsZero() && p.End == nil && p.Stop == ""
	for _, pod := range o.open() {
		if !over(&pod) || len(now) == settleAtOnce {
			continue
		}
		left := brief - o.Now.Sub(endOf(&pod))
		if waits && pod.DeletionTimestamp.IsZero() && left > 0 {
			later = sooner(later, next{After: left, Why: "the end of the Job may be written together with that of its Pod"})
			continue
		}
		now = append(now, pod)
	}
	return now, later
}

// endOf is when the last of a Pod's containers ended; the zero time if none did.
func endOf(pod *corev1.Pod) time.Time {
	var last time.Time
	for _, name := range steps {
		if end := container(pod, name).Terminated; end != nil && end.FinishedAt.After(last) {
			last = end.FinishedAt.Time
		}
	}
	return last
}

// tellUsage adds the time of the Pods that are settled to the status, and remembers
// them. Their finalizer goes after that is written.
func tellUsage(status *v1alpha1.TrainingRunStatus, o observed, p plan) {
	if len(p.Settle) == 0 {
		return
	}
	forgetFreed(status, o)
	sum := ptr.Deref(status.Usage, v1alpha1.Usage{})
	for i := range p.Settle {
		pod := &p.Settle[i]
		a := payer(status, o, pod)
		if len(a.SettledPods) == maxSettled {
			continue // The next pass has room: those that are freed are forgotten.
		}
		spent := charge(o, p, pod)
		a.GPUSeconds += spent.GPUSeconds
		a.TrainingSeconds += spent.TrainingSeconds
		a.LostGPUSeconds += spent.LostGPUSeconds
		sum.GPUSeconds += spent.GPUSeconds
		sum.TrainingSeconds += spent.TrainingSeconds
		sum.LostGPUSeconds += spent.LostGPUSeconds
		a.SettledPods = append(a.SettledPods, pod.UID)
		if disrupted(pod) && o.Run.Spec.Nodes.Size() == 1 {
			a.Disruptions++
		}
	}
	status.Usage = &sum
}

// forgetFreed drops the Pods from the status that can not be counted again, because they
// are gone, or their finalizer is.
func forgetFreed(status *v1alpha1.TrainingRunStatus, o observed) {
	held := map[types.UID]bool{}
	for _, pod := range slices.Concat(o.Pods, o.Strays) {
		held[pod.UID] = accountable(&pod)
	}
	for i := range status.Attempts {
		a := &status.Attempts[i]
		a.SettledPods = slices.DeleteFunc(a.SettledPods, func(uid types.UID) bool { return !held[uid] })
		if len(a.SettledPods) == 0 {
			a.SettledPods = nil
		}
	}
}

// payer is the attempt that a Pod's time is put down to: the one that it says, or, if
// there is no such, the newest.
func payer(status *v1alpha1.TrainingRunStatus, o observed, pod *corev1.Pod) *v1alpha1.Attempt {
	if len(status.Attempts) == 0 {
		enter(status, o.number())
	}
	if a := entryOf(status, labelled(pod)); a != nil {
		return a
	}
	return &status.Attempts[len(status.Attempts)-1]
}

// charge is what a Pod has consumed. Training time is that of the first node: the others
// train at the same time.
func charge(o observed, p plan, pod *corev1.Pod) v1alpha1.Usage {
	s, ran := trainerSpan(pod, o.Now)
	if !ran {
		return v1alpha1.Usage{}
	}
	gpus := resources.GPUsPerNode(o.Run)
	spent := v1alpha1.Usage{GPUSeconds: gpus * s.seconds()}
	if nodeIndex(pod) == 0 {
		spent.TrainingSeconds = s.seconds()
	}
	succeeded := pod.Status.Phase == corev1.PodSucceeded && p.Stop == "" && o.stopping() == ""
	if p.End != nil {
		succeeded = p.End.Result == v1alpha1.AttemptSucceeded
	}
	if !succeeded {
		spent.LostGPUSeconds = gpus * since(s, newestCheckpoint(o.Run, labelled(pod))).seconds()
	}
	return spent
}

// since is what a span has after a time.
func since(s span, at time.Time) span {
	if at.After(s.start.Time) {
		s.start = metav1.NewTime(at)
	}
	return s
}

// newestCheckpoint is when the newest checkpoint of an attempt was complete; the zero
// time if it has none.
func newestCheckpoint(run *v1alpha1.TrainingRun, number int32) time.Time {
	prefix := objectkey.CheckpointID(int(number), 0)[:5]
	for _, c := range slices.Backward(run.Status.Checkpoints) {
		if len(c.ID) > len(prefix) && c.ID[:len(prefix)] == prefix {
			return c.Time.Time
		}
	}
	return time.Time{}
}
