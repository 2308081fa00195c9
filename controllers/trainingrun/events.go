package trainingrun

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Recorder publishes events. It must not block; an event may get lost.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// Actions of the events: what the operator was about.
const (
	actionBind    = "Bind"
	actionFollow  = "Follow"
	actionFinish  = "Finish"
	actionErase   = "Erase"
	actionAttempt = "Attempt"
	actionLimit   = "EnforceLimit"
	actionSuspend = "Suspend"
)

// Reasons of events that are about an attempt. All other events have the reason of the
// state, of the run or of what holds its end up, that they are about.
const (
	// eventAttemptStarted: an attempt after the first has begun.
	eventAttemptStarted = "AttemptStarted"
	// eventAttemptFailed: an attempt failed, and the run goes on.
	eventAttemptFailed = "AttemptFailed"
	// eventAttemptDisrupted: the cluster took an attempt's Pods away; it does not count.
	eventAttemptDisrupted = "AttemptDisrupted"
	// eventAttemptStopped: an attempt was ended by a limit or by its user.
	eventAttemptStopped = "AttemptStopped"
)

// maxNote is the longest note, in bytes, with some room: the API server takes
// 1,024.
const maxNote = 1000

// normalReasons come along on the way of every good run. All other reasons need
// somebody's attention.
var normalReasons = map[string]bool{
	v1alpha1.ReasonDatasetNotSealed: true,
	v1alpha1.ReasonDatasetNotReady:  true,
	v1alpha1.ReasonQueued:           true,
	v1alpha1.ReasonAdmitted:         true,
	v1alpha1.ReasonPodStarting:      true,
	v1alpha1.ReasonGathering:        true,
	v1alpha1.ReasonTraining:         true,
	v1alpha1.ReasonEnding:           true,
	v1alpha1.ReasonUploading:        true,
	v1alpha1.ReasonPublished:        true,
	v1alpha1.ReasonSuspending:       true,
	v1alpha1.ReasonSuspended:        true,
	v1alpha1.ReasonResumed:          true,
	v1alpha1.ReasonRetrying:         true,
	v1alpha1.ReasonCancelled:        true,
}

// recordEvents tells of a step that the run has made, and of what holds its end up.
// Call it once the status that says so is written.
func (r *Reconciler) recordEvents(run *v1alpha1.TrainingRun, now v1alpha1.TrainingRunStatus) {
	for _, e := range attemptEvents(run.Status, now) {
		r.emit(run, e.kind, e.reason, e.action, e.note)
	}
	if run.Status.State != now.State || run.Status.Reason != now.Reason {
		kind := corev1.EventTypeWarning
		if normal(now) {
			kind = corev1.EventTypeNormal
		}
		r.emit(run, kind, now.Reason, action(now), now.Message)
	}
	was, is := holdup(run.Status), holdup(now)
	if is != nil && (was == nil || was.Reason != is.Reason) {
		r.emit(run, corev1.EventTypeWarning, is.Reason, actionErase, is.Message)
	}
}

// normal says whether a state needs nobody's attention. What a queue says in its own
// words is normal too, but for a queue that nobody minds.
func normal(now v1alpha1.TrainingRunStatus) bool {
	return normalReasons[now.Reason] || now.State == v1alpha1.RunQueued && now.Reason != reasonNoKueue
}

// attemptEvent is an event about an attempt.
type attemptEvent struct{ kind, reason, action, note string }

// attemptEvents tells how the attempts of a run went on in one step. What is about the
// first or the last is left to the event about the run itself, which says the same.
func attemptEvents(old, now v1alpha1.TrainingRunStatus) []attemptEvent {
	var all []attemptEvent
	if old.State == v1alpha1.RunSuspended && now.State != v1alpha1.RunSuspended && !now.State.Finished() {
		all = append(all, attemptEvent{corev1.EventTypeNormal, v1alpha1.ReasonResumed, actionSuspend, "the run is not suspended any more and goes on"})
	}
	for _, is := range now.Attempts {
		was, known := attemptOf(old, is.Number)
		if !now.State.Finished() && was.Result == "" && is.Result != "" {
			all = append(all, endOfAttempt(is))
		}
		if is.Number > 1 && (!known || was.StartTime == nil) && is.StartTime != nil {
			all = append(all, attemptEvent{corev1.EventTypeNormal, eventAttemptStarted, actionAttempt, beginning(is)})
		}
	}
	return all
}

func beginning(a v1alpha1.Attempt) string {
	if a.ResumedFrom == "" {
		return fmt.Sprintf("the trainer of attempt %d runs; it begins anew", a.Number)
	}
	return fmt.Sprintf("the trainer of attempt %d runs; it goes on from checkpoint %s", a.Number, a.ResumedFrom)
}

func endOfAttempt(a v1alpha1.Attempt) attemptEvent {
	e := attemptEvent{kind: corev1.EventTypeWarning, action: actionAttempt}
	switch a.Result {
	case v1alpha1.AttemptDisrupted:
		e.reason, e.note = eventAttemptDisrupted, fmt.Sprintf("the cluster took a Pod of attempt %d away; another attempt follows, and this one does not count", a.Number)
	case v1alpha1.AttemptFailed:
		e.reason, e.note = eventAttemptFailed, fmt.Sprintf("attempt %d failed%s", a.Number, because(a.Reason))
		if a.ExitCode != nil {
			e.note += fmt.Sprintf(" with exit code %d", *a.ExitCode)
		}
	case v1alpha1.AttemptSuspended:
		e.kind, e.reason, e.action = corev1.EventTypeNormal, eventAttemptStopped, actionSuspend
		e.note = fmt.Sprintf("attempt %d was stopped, because the run is suspended", a.Number)
	case v1alpha1.AttemptSucceeded, v1alpha1.AttemptStopped:
		e.kind, e.reason, e.note = corev1.EventTypeNormal, eventAttemptStopped, fmt.Sprintf("attempt %d has ended%s", a.Number, because(a.Reason))
	}
	if a.LostGPUSeconds > 0 {
		e.note += fmt.Sprintf("; %d GPU-seconds since its last checkpoint are lost", a.LostGPUSeconds)
	}
	return e
}

// emit sends an event. In a namespace that is being deleted there can be no new one,
// and nothing waits for it.
func (r *Reconciler) emit(run *v1alpha1.TrainingRun, kind, reason, action, note string) {
	if len(note) > maxNote {
		note = strings.ToValidUTF8(note[:maxNote], "")
	}
	r.recorder.Eventf(run, nil, kind, reason, action, "%s", note)
}

// holdup is the condition that tells what holds the end of a deleted run up. nil:
// nothing does.
func holdup(status v1alpha1.TrainingRunStatus) *metav1.Condition {
	c := apimeta.FindStatusCondition(status.Conditions, v1alpha1.ConditionArtifactsErased)
	if c == nil || c.Status != metav1.ConditionFalse || c.Reason == v1alpha1.ReasonProceeding {
		return nil
	}
	return c
}

// action is what the operator was about when the run came into a state.
func action(now v1alpha1.TrainingRunStatus) string {
	if _, is := limitNames[now.Reason]; is {
		return actionLimit
	}
	switch now.State {
	case v1alpha1.RunPending:
		return actionBind
	case v1alpha1.RunSuspended:
		return actionSuspend
	case v1alpha1.RunSucceeded, v1alpha1.RunFailed, v1alpha1.RunCancelled:
		return actionFinish
	case v1alpha1.RunQueued, v1alpha1.RunStarting, v1alpha1.RunRunning, v1alpha1.RunPublishing:
	}
	return actionFollow
}
