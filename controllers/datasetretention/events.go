package datasetretention

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Reasons of events that are not the reason of a condition.
const (
	eventExpired  = "Expired"
	eventErased   = "Erased"
	eventHeld     = "Held"
	eventReleased = "Released"
)

// Actions of events: what the controller was doing.
const (
	actionCheck  = "Check"
	actionErase  = "Erase"
	actionExpire = "Expire"
	actionHold   = "Hold"
	actionPlace  = "Place"
)

// occurrence is an event to be sent.
type occurrence struct {
	kind, reason, action, note string
}

// transitions are the events for what changed between two statuses: verdicts on a
// sealed dataset, trouble with the store, holds, and what holds an erase up.
func transitions(before, after v1alpha1.DatasetRetentionStatus) []occurrence {
	var out []occurrence
	if c, changed := changedTo(before, after, v1alpha1.ConditionReady); changed {
		switch {
		case c.Status == metav1.ConditionTrue:
			out = append(out, occurrence{corev1.EventTypeNormal, c.Reason, actionCheck, c.Message})
		case c.Reason == v1alpha1.ReasonStoreUnsuitable, c.Reason == v1alpha1.ReasonErased && after.State != v1alpha1.DatasetErasing:
			out = append(out, occurrence{corev1.EventTypeWarning, c.Reason, actionPlace, c.Message})
		case c.Reason == v1alpha1.ReasonExpired:
			out = append(out, occurrence{corev1.EventTypeWarning, c.Reason, actionExpire, c.Message})
		case unusable(c.Reason) || c.Reason == v1alpha1.ReasonStoreUnavailable:
			out = append(out, occurrence{corev1.EventTypeWarning, c.Reason, actionCheck, c.Message})
		}
	}
	out = append(out, holdTransitions(before, after)...)
	c, changed := changedTo(before, after, v1alpha1.ConditionErasureBlocked)
	// What passes by itself is no news.
	passes := c.Reason == v1alpha1.ReasonUploadsPossible || c.Reason == v1alpha1.ReasonWaitingForTurn
	if changed && c.Status == metav1.ConditionTrue && !passes {
		out = append(out, occurrence{corev1.EventTypeWarning, c.Reason, actionErase, c.Message})
	}
	return out
}

// holdTransitions are the events for a hold that was set, changed or ended, each of
// which is in the ledger by now, and for one that came too late.
func holdTransitions(before, after v1alpha1.DatasetRetentionStatus) []occurrence {
	was, now := before.Hold, after.Hold
	switch {
	case now != nil && (was == nil || was.Reason != now.Reason || !was.Until.Equal(&now.Until)):
		return []occurrence{{
			corev1.EventTypeNormal, eventHeld, actionHold,
			clip("The data is on hold until " + stamp(now.Until.Time) + ": " + now.Reason),
		}}
	case was != nil && now == nil:
		return []occurrence{{
			corev1.EventTypeNormal, eventReleased, actionHold,
			clip("The hold on the data has ended: " + was.Reason),
		}}
	}
	late := func(s v1alpha1.DatasetRetentionStatus) bool {
		c := apimeta.FindStatusCondition(s.Conditions, v1alpha1.ConditionHeld)
		return c != nil && c.Message == tooLate
	}
	if late(after) && !late(before) {
		return []occurrence{{corev1.EventTypeWarning, v1alpha1.ReasonNoHold, actionHold, tooLate}}
	}
	return nil
}

// changedTo gives a condition whose status or reason is another than before. A
// message alone makes no event.
func changedTo(before, after v1alpha1.DatasetRetentionStatus, kind string) (metav1.Condition, bool) {
	now := apimeta.FindStatusCondition(after.Conditions, kind)
	if now == nil {
		return metav1.Condition{}, false
	}
	was := apimeta.FindStatusCondition(before.Conditions, kind)
	return *now, was == nil || was.Status != now.Status || was.Reason != now.Reason
}

// expired tells that the controller deleted a dataset whose time was over.
func expired() occurrence {
	return occurrence{
		corev1.EventTypeNormal, eventExpired, actionExpire,
		"The dataset's time is over. It was deleted and its data is being erased.",
	}
}

// untold tells that the API server refuses for good what a run's status has to say.
func untold(name, digest string) occurrence {
	return occurrence{
		corev1.EventTypeWarning, v1alpha1.ReasonRunsNotTold, actionErase,
		fmt.Sprintf("The data was erased, but the API server refuses to write that into the status of run %s. "+
			"The receipt has the digest %s.", name, digest),
	}
}

// erased tells that the data is gone, and what proves it.
func erased(e *v1alpha1.ErasureStatus, digest string) occurrence {
	var versions, bytes int64
	if e != nil {
		versions, bytes = e.Versions, e.Bytes
	}
	return occurrence{
		corev1.EventTypeNormal, eventErased, actionErase,
		fmt.Sprintf("The data was erased: %d object versions, %d bytes. The receipt has the digest %s.", versions, bytes, digest),
	}
}
