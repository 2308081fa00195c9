package trainingrun

import (
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
	actionBind   = "Bind"
	actionFollow = "Follow"
	actionFinish = "Finish"
	actionErase  = "Erase"
)

// maxNote is the longest note, in bytes, with some room: the API server takes
// 1,024.
const maxNote = 1000

// normalReasons come along on the way of every good run. All other reasons need
// somebody's attention.
var normalReasons = map[string]bool{
	v1alpha1.ReasonDatasetNotSealed: true,
	v1alpha1.ReasonDatasetNotReady:  true,
	v1alpha1.ReasonPodStarting:      true,
	v1alpha1.ReasonTraining:         true,
	v1alpha1.ReasonEnding:           true,
	v1alpha1.ReasonUploading:        true,
	v1alpha1.ReasonPublished:        true,
}

// recordEvents tells of a step that the run has made, and of what holds its end up.
// Call it once the status that says so is written.
func (r *Reconciler) recordEvents(run *v1alpha1.TrainingRun, now v1alpha1.TrainingRunStatus) {
	if run.Status.State != now.State || run.Status.Reason != now.Reason {
		kind := corev1.EventTypeWarning
		if normalReasons[now.Reason] {
			kind = corev1.EventTypeNormal
		}
		r.emit(run, kind, now.Reason, action(now.State), now.Message)
	}
	was, is := holdup(run.Status), holdup(now)
	if is != nil && (was == nil || was.Reason != is.Reason) {
		r.emit(run, corev1.EventTypeWarning, is.Reason, actionErase, is.Message)
	}
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

func action(state v1alpha1.RunState) string {
	switch state {
	case v1alpha1.RunPending:
		return actionBind
	case v1alpha1.RunSucceeded, v1alpha1.RunFailed:
		return actionFinish
	case v1alpha1.RunStarting, v1alpha1.RunRunning, v1alpha1.RunPublishing:
	}
	return actionFollow
}
