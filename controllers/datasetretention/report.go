package datasetretention

import (
	"errors"
	"fmt"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// maxActiveRuns is how many runs the status names.
const maxActiveRuns = 32

// report is the status that follows from what was seen, what was decided, and
// what came of it (nil: not tried yet). It is stable: the same facts give the same
// status, so that nothing is written when nothing changed.
func report(seen observed, p plan, actErr error) v1alpha1.DatasetRetentionStatus {
	status := *seen.dataset.Status.DeepCopy()
	if status.Location == nil && !seen.deleted() {
		home := seen.home
		status.Location = &home
	}
	if s := seen.seal; s != nil && s.reason == v1alpha1.ReasonVerified {
		objects, bytes := s.summary.Objects, s.summary.Bytes
		status.Objects, status.Bytes, status.ManifestDigest = &objects, &bytes, s.summary.Digest
	}
	if status.SealedTime == nil && seen.dataset.Spec.Sealed && !seen.deleted() {
		status.SealedTime = apiTime(seen.now)
	}
	status.ActiveRuns = firstOf(seen.holders(), maxActiveRuns)
	status.LastUsedTime = apiTime(lastUse(seen))
	status.ExpiresAt = apiTime(expiry(seen))
	if status.Erasure == nil && p.erase && seen.inventory != nil {
		status.Erasure = &v1alpha1.ErasureStatus{
			StartTime: metav1.NewTime(seen.now),
			Versions:  seen.inventory.Versions,
			Bytes:     seen.inventory.Bytes,
			Uploads:   seen.inventory.Uploads,
		}
	}
	for _, c := range conditions(seen, p, actErr) {
		c.ObservedGeneration = seen.dataset.Generation
		c.LastTransitionTime = metav1.NewTime(seen.now)
		apimeta.SetStatusCondition(&status.Conditions, c)
	}
	status.State, status.Reason, status.Message = summary(status.Conditions)
	status.ObservedGeneration = seen.dataset.Generation
	return status
}

// conditions computes every condition that applies.
func conditions(seen observed, p plan, actErr error) []metav1.Condition {
	if seen.deleted() {
		return []metav1.Condition{
			notReadyAnyMore(), inUse(seen, p), erasing(), erasureBlocked(seen, p, actErr),
		}
	}
	return []metav1.Condition{ready(seen), inUse(seen, p)}
}

// ready says whether a run may start on the dataset. A verdict on a sealed dataset
// stays as it was found, as what was found is not asked for again.
func ready(seen observed) metav1.Condition {
	d := seen.dataset
	before := apimeta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case !d.Spec.Sealed:
		return notReady(v1alpha1.ReasonUploadOpen, fmt.Sprintf(
			"The dataset waits for its data. Upload and seal it with: kubectl lethe upload DIR %s", d.Name))
	case seen.seal != nil:
		return verdict(*seen.seal)
	case before != nil && (pinned(d) || unusable(before.Reason)):
		return metav1.Condition{Type: before.Type, Status: before.Status, Reason: before.Reason, Message: before.Message}
	case pinned(d):
		return verdict(sealCheck{reason: v1alpha1.ReasonVerified})
	case seen.storeErr != nil:
		return notReady(v1alpha1.ReasonStoreUnavailable,
			"The manifest can not be checked: "+storeTrouble(seen.storeErr)+" It is tried again.")
	}
	return notReady(v1alpha1.ReasonCheckingManifest, "The dataset is sealed. Its manifest is being compared with the store.")
}

// verdict is the Ready condition of a dataset that was checked.
func verdict(s sealCheck) metav1.Condition {
	const again = " Upload the data again under another name, then delete this one."
	switch s.reason {
	case v1alpha1.ReasonManifestMissing:
		return notReady(s.reason, "The dataset was sealed without a manifest."+again)
	case v1alpha1.ReasonManifestMalformed:
		return notReady(s.reason, "The manifest can not be used: "+s.detail+"."+again)
	case v1alpha1.ReasonEmpty:
		return notReady(s.reason, "The manifest lists no file, so there is nothing to train on."+again)
	case v1alpha1.ReasonIncomplete:
		return notReady(s.reason, fmt.Sprintf(
			"Of the %d files in the manifest, the store lacks %d and has %d in another size.",
			s.summary.Objects, s.missing, s.differing)+again)
	}
	message := "The store holds what the manifest lists. Runs may start on the dataset."
	if s.extra > 0 {
		message += fmt.Sprintf(" %d objects that the manifest does not list are kept from runs, and erased with the rest.", s.extra)
	}
	return metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue,
		Reason: v1alpha1.ReasonVerified, Message: message,
	}
}

func notReady(reason, message string) metav1.Condition {
	return metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse,
		Reason: reason, Message: clip(message),
	}
}

// notReadyAnyMore is the Ready condition of a deleted dataset.
func notReadyAnyMore() metav1.Condition {
	return notReady(v1alpha1.ReasonErased, "The dataset is deleted and its data is being erased. No run can start on it.")
}

// inUse says whether runs that have not ended use the dataset.
func inUse(seen observed, p plan) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionInUse, Status: metav1.ConditionFalse}
	active := seen.holders()
	if len(active) == 0 {
		c.Reason, c.Message = v1alpha1.ReasonNoActiveRuns, "No run uses the dataset."
		return c
	}
	c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonRunsActive
	c.Message = fmt.Sprintf("The time that the data stays after training begins when %s ended.", runsHave(active))
	if !seen.deleted() && len(p.vetoes) > 0 {
		c.Message = p.vetoes[0].message
	}
	return c
}

// erasing says that the dataset is deleted.
func erasing() metav1.Condition {
	return metav1.Condition{
		Type: v1alpha1.ConditionErasing, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonDeleted,
		Message: "The dataset was deleted, by its owner or because its time was over. Its data is being erased.",
	}
}

// erasureBlocked says what holds the erase of a deleted dataset up. A failure is
// shown until a try got further, not only between the tries: else each of them
// would write the status twice and send an event.
func erasureBlocked(seen observed, p plan, actErr error) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionErasureBlocked, Status: metav1.ConditionTrue}
	failed := seen.storeErr
	if fault := (*storeFault)(nil); errors.As(actErr, &fault) {
		failed = fault
	}
	before := apimeta.FindStatusCondition(seen.dataset.Status.Conditions, v1alpha1.ConditionErasureBlocked)
	switch {
	case len(p.vetoes) > 0:
		c.Reason, c.Message = p.vetoes[0].reason, clip(p.vetoes[0].message)
	case failed == nil && seen.inventory == nil && failedBefore(before):
		c.Reason, c.Message = before.Reason, before.Message
	case failed == nil:
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonProceeding
		c.Message = "Nothing holds the erase up."
	case errors.Is(failed, erasure.ErrRefused):
		c.Reason = v1alpha1.ReasonEraseRefused
		c.Message = "A safeguard refused to erase the dataset's place in the store. " +
			"An administrator has to look into the operator's log: kubectl -n lethe-system logs deploy/lethe-manager"
	case errors.Is(failed, erasure.ErrIncomplete):
		c.Reason = v1alpha1.ReasonEraseIncomplete
		c.Message = "The store still holds data of the dataset after a full pass. It is tried again."
	default:
		c.Reason = v1alpha1.ReasonStoreUnavailable
		c.Message = "The data can not be erased at the moment: " + storeTrouble(failed) + " It is tried again."
	}
	return c
}

// failedBefore reports whether the last try of the erase failed, rather than waited.
func failedBefore(blocked *metav1.Condition) bool {
	return blocked != nil && blocked.Status == metav1.ConditionTrue &&
		blocked.Reason != v1alpha1.ReasonRunsActive && blocked.Reason != v1alpha1.ReasonUploadsPossible
}

// storeTrouble says in a sentence for users what is wrong with the store. The
// error itself stays in the operator's log.
func storeTrouble(err error) string {
	switch {
	case errors.Is(err, objectstore.ErrDenied):
		return "the store refuses the operator."
	case errors.Is(err, objectstore.ErrNotFound):
		return "the store does not have the bucket."
	}
	return "the store does not answer."
}

// summary sums the conditions up in one word, with the reason and message of the
// condition that explains it.
func summary(conditions []metav1.Condition) (state v1alpha1.DatasetState, reason, message string) {
	find := func(kind string) metav1.Condition {
		if c := apimeta.FindStatusCondition(conditions, kind); c != nil {
			return *c
		}
		return metav1.Condition{}
	}
	ready, used := find(v1alpha1.ConditionReady), find(v1alpha1.ConditionInUse)
	erasing, blocked := find(v1alpha1.ConditionErasing), find(v1alpha1.ConditionErasureBlocked)
	switch {
	case erasing.Status == metav1.ConditionTrue && blocked.Status == metav1.ConditionTrue:
		return v1alpha1.DatasetErasing, blocked.Reason, blocked.Message
	case erasing.Status == metav1.ConditionTrue:
		return v1alpha1.DatasetErasing, erasing.Reason, erasing.Message
	case ready.Reason == v1alpha1.ReasonUploadOpen:
		return v1alpha1.DatasetOpen, ready.Reason, ready.Message
	case unusable(ready.Reason):
		return v1alpha1.DatasetInvalid, ready.Reason, ready.Message
	case ready.Status != metav1.ConditionTrue:
		return v1alpha1.DatasetSealing, ready.Reason, ready.Message
	case used.Status == metav1.ConditionTrue:
		return v1alpha1.DatasetInUse, used.Reason, used.Message
	}
	return v1alpha1.DatasetReady, ready.Reason, ready.Message
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
