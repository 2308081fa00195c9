package trainingrun

import (
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// maxAttempts is how many attempts a status keeps.
const maxAttempts = 20

// number of the attempt that is under way or, when the last one has ended, of the next.
// That an attempt has ended is in the status before the next one's Job is made, so there
// is never a Job of a greater number.
func (o observed) number() int32 {
	attempts := o.Run.Status.Attempts
	if len(attempts) == 0 {
		return 1
	}
	last := attempts[len(attempts)-1]
	if last.Result != "" {
		return last.Number + 1
	}
	return last.Number
}

// attempt is what the status has of the attempt that is under way. nil: nothing yet.
func (o observed) attempt() *v1alpha1.Attempt { return entryOf(&o.Run.Status, o.number()) }

func entryOf(status *v1alpha1.TrainingRunStatus, number int32) *v1alpha1.Attempt {
	for i := range status.Attempts {
		if status.Attempts[i].Number == number {
			return &status.Attempts[i]
		}
	}
	return nil
}

// began says that the attempt that is under way had a Job: the status tells of it, or a
// Pod of it is there. The Job is made before the status is written.
func (o observed) began() bool {
	n := o.number()
	return o.attempt() != nil || n == 1 && hadJob(o.Run) ||
		slices.ContainsFunc(o.Strays, func(pod corev1.Pod) bool { return labelled(&pod) == n && metav1.GetControllerOfNoCopy(&pod) != nil })
}

// stopping is why the attempt that is under way is being stopped. "": it is not. It is in
// the status before the Job is deleted, so that a Job that is missing then is not taken
// for lost.
func (o observed) stopping() string {
	if a := o.attempt(); a != nil {
		return a.Reason
	}
	return ""
}

// labelled is the attempt that a Pod says to belong to. 0: it does not say.
func labelled(pod *corev1.Pod) int32 {
	n, err := strconv.ParseInt(pod.Labels[v1alpha1.LabelAttempt], 10, 32)
	if err != nil || n < 1 {
		return 0
	}
	return int32(n)
}

// fruitful is how long an attempt trains that is worth another one at once.
const fruitful = 10 * time.Minute

// fruitless counts the attempts at the end of the list that failed, or were disrupted,
// before they had trained for a while.
func fruitless(run *v1alpha1.TrainingRun) int {
	n := 0
	for _, a := range slices.Backward(run.Status.Attempts) {
		short := time.Duration(a.TrainingSeconds)*time.Second < fruitful
		if !short || a.Result != v1alpha1.AttemptFailed && a.Result != v1alpha1.AttemptDisrupted {
			break
		}
		n++
	}
	return n
}

// attemptEnd says how the attempt that is under way has ended.
type attemptEnd struct {
	Result   v1alpha1.AttemptResult
	Reason   string
	ExitCode *int32
}

// tellAttempt writes into the status what is known of the attempt that is under way.
func tellAttempt(status *v1alpha1.TrainingRunStatus, o observed, p plan) {
	job := o.ownJob()
	if job == nil {
		job = p.Create
	}
	n := o.number()
	if job != nil || o.began() {
		enter(status, n)
	}
	a := entryOf(status, n)
	if a == nil {
		return
	}
	if a.JobUID == "" && job != nil {
		a.JobUID = job.UID
	}
	a.StartTime = attemptStart(o, a)
	if a.ResumedFrom == "" {
		a.ResumedFrom = resumedFrom(o, n)
	}
	if p.Stop != "" {
		a.Reason = p.Stop
	}
	if p.End == nil {
		return
	}
	a.Result, a.Reason, a.ExitCode = p.End.Result, p.End.Reason, p.End.ExitCode
	a.EndTime = completionTime(o)
	if a.Result == v1alpha1.AttemptFailed {
		status.ChargedAttempts++
	}
}

// enter puts an attempt on the list. What falls off its other end stays in the sums.
func enter(status *v1alpha1.TrainingRunStatus, number int32) {
	if number <= status.Attempt && len(status.Attempts) > 0 || entryOf(status, number) != nil {
		return
	}
	status.Attempt = number
	status.Attempts = append(status.Attempts, v1alpha1.Attempt{Number: number})
	if extra := len(status.Attempts) - maxAttempts; extra > 0 {
		status.Attempts = slices.Delete(status.Attempts, 0, extra)
	}
}

// attemptStart is when a trainer of the attempt first started. nil: none has.
func attemptStart(o observed, a *v1alpha1.Attempt) *metav1.Time {
	first := a.StartTime
	for i := range o.Pods {
		if s, ran := trainerSpan(&o.Pods[i], o.Now); ran && (first == nil || s.start.Before(first)) {
			first = &s.start
		}
	}
	return first
}

// resumedFrom is the checkpoint that stage-in says to have restored.
func resumedFrom(o observed, number int32) string {
	for _, pod := range slices.Concat(o.Pods, o.Strays) {
		end := container(&pod, staging.ContainerStageIn).Terminated
		if end == nil || end.ExitCode != 0 || labelled(&pod) != number {
			continue
		}
		said, ok := staging.ParseReport(end.Message)
		if ok && said.Step == staging.StepStageIn && objectkey.ValidCheckpointID(said.Checkpoint) {
			return said.Checkpoint
		}
	}
	return ""
}
