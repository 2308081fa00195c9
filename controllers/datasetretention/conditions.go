package datasetretention

import (
	"fmt"
	"slices"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// conditions computes every condition that applies.
func conditions(seen observed, p plan, actErr error) []metav1.Condition {
	all := []metav1.Condition{inUse(seen, p)}
	if seen.deleted() {
		all = append(all, notReadyAnyMore(), erasing(), erasureBlocked(seen, p, actErr))
	} else {
		all = append(all, ready(seen, p), expiring(seen))
	}
	if c, applies := held(seen); applies {
		all = append(all, c)
	}
	return all
}

// ready says whether a run may start on the dataset. A verdict on a sealed dataset
// stays as it was found, as what was found is not asked for again.
func ready(seen observed, p plan) metav1.Condition {
	d := seen.dataset
	before := apimeta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionReady)
	over, isOver := overstayed(seen, p)
	switch {
	case cameBack(seen):
		return notReady(v1alpha1.ReasonErased, "The data of this very dataset was erased before; the object came back, perhaps from a backup. "+
			"Delete it, and upload the data again as a new dataset.")
	case d.Status.Location == nil && seen.placing.location == nil:
		return placeless(seen)
	case isOver:
		return over
	case !d.Spec.Sealed:
		return notReady(v1alpha1.ReasonUploadOpen, fmt.Sprintf(
			"The dataset waits for its data. Upload and seal it with: kubectl lethe upload DIR %s", d.Name))
	case seen.seal != nil:
		return verdict(*seen.seal)
	case before != nil && (unusable(before.Reason) || (pinned(d) && before.Reason != v1alpha1.ReasonExpired)):
		return metav1.Condition{Type: before.Type, Status: before.Status, Reason: before.Reason, Message: before.Message}
	case pinned(d):
		return verdict(sealCheck{reason: v1alpha1.ReasonVerified})
	case seen.storeErr != nil:
		return notReady(v1alpha1.ReasonStoreUnavailable,
			"The manifest can not be checked: "+storeTrouble(seen.storeErr)+" It is tried again.")
	}
	return notReady(v1alpha1.ReasonCheckingManifest, "The dataset is sealed. Its manifest is being compared with the store.")
}

// placeless is the Ready condition of a dataset that could not be given a place.
func placeless(seen observed) metav1.Condition {
	switch reason := seen.placing.refused; {
	case reason == v1alpha1.ReasonStoreUnsuitable:
		return notReady(reason, "The bucket for datasets has an object lock, so nothing could ever be erased there in time, "+
			"and the dataset gets no place. An administrator has to give the operator a bucket without one.")
	case seen.storeErr != nil:
		return notReady(v1alpha1.ReasonStoreUnavailable,
			"The dataset has no place in the store yet: "+storeTrouble(seen.storeErr)+" It is tried again.")
	}
	return notReady(v1alpha1.ReasonStoreUnavailable, "The dataset never got a place in the store, and its time is over.")
}

// overstayed is the Ready condition of a dataset whose time is over and that is still
// there. Runs that use it keep it, as they were promised; no other gets it. What is
// expired at once, or was found unusable, has none.
func overstayed(seen observed, p plan) (metav1.Condition, bool) {
	before := apimeta.FindStatusCondition(seen.dataset.Status.Conditions, v1alpha1.ConditionReady)
	if !due(seen) || (before != nil && unusable(before.Reason)) {
		return metav1.Condition{}, false
	}
	message := "The time of the dataset is over: it takes no upload, and no further run can start on it."
	for _, v := range p.vetoes {
		if v.reason == v1alpha1.ReasonOnHold {
			message += " " + v.message
		}
	}
	users := seen.training()
	switch {
	case len(users) > 0:
		message += fmt.Sprintf(" It is erased when %s ended.", runsHave(users))
	case len(p.vetoes) > 0:
	case seen.storeErr != nil:
		message += " It is erased when the store was asked which one it is: " + storeTrouble(seen.storeErr) + " It is tried again."
	case before != nil && before.Reason == v1alpha1.ReasonExpired:
		message = before.Message
	default:
		return metav1.Condition{}, false
	}
	return notReady(v1alpha1.ReasonExpired, message), true
}

// verdict is the Ready condition of a dataset that was checked.
func verdict(s sealCheck) metav1.Condition {
	const again = " Upload the data again under another name, then delete this one."
	switch s.reason {
	case v1alpha1.ReasonManifestMissing:
		return notReady(s.reason, "The dataset was sealed without a manifest."+again)
	case v1alpha1.ReasonManifestMalformed:
		return notReady(s.reason, "The manifest can not be used: "+s.detail+"."+again)
	case v1alpha1.ReasonKeyMissing:
		return notReady(s.reason, "The dataset's own key is gone, so nobody can read its data any more, for ever."+again)
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
	overdue := func(v veto) bool { return v.reason == v1alpha1.ReasonRunsActive }
	if i := slices.IndexFunc(p.vetoes, overdue); !seen.deleted() && i >= 0 {
		c.Message = p.vetoes[i].message
	}
	return c
}

// expiring says whether the time after training runs.
func expiring(seen observed) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionExpiring, Status: metav1.ConditionFalse}
	switch users := seen.users(); {
	case len(users) > 0:
		c.Reason = v1alpha1.ReasonRunsActive
		c.Message = fmt.Sprintf("The time after training begins when %s ended.", runsHave(users))
	case lastUse(seen).IsZero():
		c.Reason = v1alpha1.ReasonNeverUsed
		c.Message = "No run has used the data yet. It is erased when maxAge is over, at the time in status.expiresAt."
	default:
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonWindowRunning
		c.Message = "No run uses the data any more. It is erased at the time in status.expiresAt unless another run uses it before."
	}
	if activeHold(seen) != nil {
		c.Message += " A hold keeps it longer."
	}
	c.Message = clip(c.Message + seen.limits.note(seen.dataset.Spec.Retention))
	return c
}

// tooLate is what is said of a hold that can keep nothing any more.
const tooLate = "The hold came when the erase had begun. It changes nothing: what is destroyed can not be brought back."

// nothingHeld is what is said of a hold on what was erased before.
const nothingHeld = "The hold keeps nothing: the data of this very dataset was erased before, and the object came back."

// held says whether a hold keeps the data. It applies where there is a hold, or was.
func held(seen observed) (metav1.Condition, bool) {
	h, d := activeHold(seen), seen.dataset
	c := metav1.Condition{
		Type: v1alpha1.ConditionHeld, Status: metav1.ConditionFalse,
		Reason: v1alpha1.ReasonNoHold, Message: "No hold keeps the data.",
	}
	switch {
	case cameBack(seen) && d.Spec.Hold != nil:
		c.Message = nothingHeld
		return c, true
	case h == nil:
		return c, apimeta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionHeld) != nil
	case begun(d):
		c.Message = tooLate
		return c, true
	}
	c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonOnHold
	c.Message = "The data is not erased before " + stamp(h.Until.Time) + ", whatever else is due: " + h.Reason
	if holdNews(seen) != nil && !seen.noted && seen.storeErr != nil {
		c.Message += ". The ledger does not know it yet: " + storeTrouble(seen.storeErr) + " It is tried again."
	}
	return c, true
}
