package datasetretention

import (
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// maxActiveRuns is how many runs the status names.
const maxActiveRuns = 32

// report is the status that follows from what was seen, what was decided, and
// what came of it (nil: not tried yet). It is stable: the same facts give the same
// status, so that nothing is written when nothing changed.
func report(seen observed, p plan, actErr error) v1alpha1.DatasetRetentionStatus {
	status := *seen.dataset.Status.DeepCopy()
	if at := seen.placing.location; status.Location == nil && at != nil {
		status.Location, status.KeyID = at, seen.placing.keyID
	}
	if status.KeyID == "" {
		status.KeyID = seen.keyID
	}
	if s := seen.seal; s != nil && s.reason == v1alpha1.ReasonVerified {
		objects, bytes := s.summary.Objects, s.summary.Bytes
		status.Objects, status.Bytes, status.ManifestDigest = &objects, &bytes, s.summary.Digest
	}
	if status.SealedTime == nil && seen.dataset.Spec.Sealed && !seen.deleted() && status.Location != nil {
		status.SealedTime = apiTime(seen.now)
	}
	status.ActiveRuns = firstOf(seen.holders(), maxActiveRuns)
	status.LastUsedTime = apiTime(lastUse(seen))
	status.ExpiresAt = apiTime(expiry(seen))
	status.Hold = holdStatus(seen)
	status.Erasure = erasureStatus(seen, p)
	for _, c := range conditions(seen, p, actErr) {
		c.ObservedGeneration = seen.dataset.Generation
		c.LastTransitionTime = metav1.NewTime(seen.now)
		apimeta.SetStatusCondition(&status.Conditions, c)
	}
	if seen.deleted() {
		apimeta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionExpiring)
	}
	status.State, status.Reason, status.Message = summary(seen, status.Conditions)
	status.ObservedGeneration = seen.dataset.Generation
	return status
}

// erasureStatus is how far the erase has come. That it begins is written before the
// key is destroyed, on the very version of the object that was read: a hold that
// comes a moment before makes the write fail, one that comes after comes too late.
func erasureStatus(seen observed, p plan) *v1alpha1.ErasureStatus {
	before := seen.dataset.Status.Erasure
	if before == nil && !p.destroyKey && !p.erase {
		return nil
	}
	e := v1alpha1.ErasureStatus{StartTime: metav1.NewTime(seen.now)}
	if before != nil {
		e = *before.DeepCopy()
	}
	if e.KeyDestroyedTime == nil {
		e.KeyDestroyedTime = apiTime(seen.keyDestroyed)
	}
	if e.InventoryTime == nil && p.erase && seen.inventory != nil {
		e.InventoryTime = apiTime(seen.now)
		e.Versions, e.Bytes, e.Uploads = seen.inventory.Versions, seen.inventory.Bytes, seen.inventory.Uploads
	}
	return &e
}

// summary sums the conditions up in one word, with the reason and message of the
// condition that explains it.
func summary(seen observed, conditions []metav1.Condition) (state v1alpha1.DatasetState, reason, message string) {
	find := func(kind string) metav1.Condition {
		if c := apimeta.FindStatusCondition(conditions, kind); c != nil {
			return *c
		}
		return metav1.Condition{}
	}
	ready, used, expiring := find(v1alpha1.ConditionReady), find(v1alpha1.ConditionInUse), find(v1alpha1.ConditionExpiring)
	erasing, blocked := find(v1alpha1.ConditionErasing), find(v1alpha1.ConditionErasureBlocked)
	limited := seen.limits.note(seen.dataset.Spec.Retention)
	switch {
	case erasing.Status == metav1.ConditionTrue && blocked.Status == metav1.ConditionTrue:
		return v1alpha1.DatasetErasing, blocked.Reason, blocked.Message
	case erasing.Status == metav1.ConditionTrue:
		return v1alpha1.DatasetErasing, erasing.Reason, erasing.Message
	case !seen.dataset.Spec.Sealed:
		return v1alpha1.DatasetOpen, ready.Reason, clip(ready.Message + limited)
	case unusable(ready.Reason), ready.Reason == v1alpha1.ReasonErased:
		return v1alpha1.DatasetInvalid, ready.Reason, ready.Message
	case ready.Status != metav1.ConditionTrue && ready.Reason != v1alpha1.ReasonExpired:
		return v1alpha1.DatasetSealing, ready.Reason, ready.Message
	case used.Status == metav1.ConditionTrue:
		return v1alpha1.DatasetInUse, used.Reason, used.Message
	case ready.Reason == v1alpha1.ReasonExpired:
		return v1alpha1.DatasetExpiring, ready.Reason, ready.Message
	case expiring.Status == metav1.ConditionTrue:
		return v1alpha1.DatasetExpiring, expiring.Reason, expiring.Message
	}
	return v1alpha1.DatasetReady, ready.Reason, clip(ready.Message + limited)
}

// apiTime is a time as the API stores it; nil for the zero time.
func apiTime(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	at := metav1.NewTime(t)
	return &at
}

func firstOf(names []string, limit int) []string {
	if len(names) > limit {
		return names[:limit]
	}
	return names
}

// maxMessage keeps a message within the bounds of the status and of an event.
const maxMessage = 1000

func clip(message string) string {
	if len(message) > maxMessage {
		return strings.ToValidUTF8(message[:maxMessage], "")
	}
	return message
}
