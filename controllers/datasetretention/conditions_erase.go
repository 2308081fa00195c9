package datasetretention

import (
	"errors"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// erasing says that the dataset is deleted.
func erasing() metav1.Condition {
	return metav1.Condition{
		Type: v1alpha1.ConditionErasing, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonDeleted,
		Message: "The dataset was deleted, by its owner or because its time was over. Its data is being erased.",
	}
}

// erasureBlocked says what holds the erase of a deleted dataset up. A failure is
// shown until a try got further, not only between the tries: else each of them
// would write the status twice and send an event. So is that it waits for its turn.
func erasureBlocked(seen observed, p plan, actErr error) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionErasureBlocked, Status: metav1.ConditionTrue}
	failed := seen.storeErr
	if fault := (*storeFault)(nil); errors.As(actErr, &fault) {
		failed = fault
	}
	if fault := (*tellFault)(nil); errors.As(actErr, &fault) {
		failed = fault
	}
	before := apimeta.FindStatusCondition(seen.dataset.Status.Conditions, v1alpha1.ConditionErasureBlocked)
	further := seen.inventory != nil || p.destroyKey
	switch {
	case len(p.vetoes) > 0:
		c.Reason, c.Message = p.vetoes[0].reason, clip(p.vetoes[0].message)
	case failed != nil:
		c.Reason, c.Message = failure(failed)
	case !further && failedBefore(before):
		c.Reason, c.Message = before.Reason, before.Message
	case seen.busy || errors.Is(actErr, errBusy):
		c.Reason = v1alpha1.ReasonWaitingForTurn
		c.Message = "Other datasets are being erased first; nothing has to be done."
	default:
		return proceeding()
	}
	return c
}

// proceeding says that nothing holds an erase up.
func proceeding() metav1.Condition {
	return metav1.Condition{
		Type: v1alpha1.ConditionErasureBlocked, Status: metav1.ConditionFalse,
		Reason: v1alpha1.ReasonProceeding, Message: "Nothing holds the erase up.",
	}
}

// failure is the reason and message for an erase that failed at the store, or at
// telling what it did.
func failure(err error) (reason, message string) {
	var locked *erasure.LockedError
	var untold *tellFault
	switch {
	case errors.As(err, &untold):
		return v1alpha1.ReasonRunsNotTold, clip("The data is erased and the receipt is written, but " + untold.what + ". It is tried again.")
	case badBooks(err):
		return v1alpha1.ReasonEraseRefused, "What the ledger or the receipts say of the dataset already can not be believed, so its erase is not " +
			"written down. An administrator has to look at what lies there; the operator's log names it: " + logCommand
	case errors.As(err, &locked) && locked.Until.IsZero():
		return v1alpha1.ReasonObjectLock, "The bucket was given an object lock, so the data can not be removed. " +
			"An administrator has to find out what is locked, and until when. It is tried again."
	case errors.As(err, &locked):
		return v1alpha1.ReasonObjectLock, "The bucket was given an object lock, so the data can not be removed before " +
			stamp(locked.Until) + ". It is tried again."
	case errors.Is(err, erasure.ErrUnknownStore):
		return v1alpha1.ReasonUnknownStore, "The store is not the one that the data was put into, so nothing is erased there. " +
			"An administrator has to point the operator at that store again. It is tried again."
	case errors.Is(err, erasure.ErrRefused):
		return v1alpha1.ReasonEraseRefused, "A safeguard refused to erase the dataset's place in the store. " +
			"An administrator has to look into the operator's log: " + logCommand
	case errors.Is(err, erasure.ErrIncomplete):
		return v1alpha1.ReasonEraseIncomplete, "The store still holds data of the dataset after a full pass. It is tried again."
	}
	return v1alpha1.ReasonStoreUnavailable,
		"The data can not be erased at the moment: " + storeTrouble(err) + " It is tried again."
}

// logCommand shows the operator's log.
const logCommand = "kubectl -n lethe-system logs deploy/lethe-manager"

// badBooks reports whether ledger or receipts hold what must not be there, which no
// further try mends.
func badBooks(err error) bool {
	var book *bookFault
	return errors.Is(err, ledger.ErrMalformed) || errors.Is(err, ledger.ErrConflict) || errors.Is(err, objectkey.ErrBadLedger) ||
		(errors.As(err, &book) && errors.Is(err, erasure.ErrRefused))
}

// failedBefore reports whether the last try of the erase failed or got no turn, rather
// than waited for what a veto names.
func failedBefore(blocked *metav1.Condition) bool {
	if blocked == nil || blocked.Status != metav1.ConditionTrue {
		return false
	}
	switch blocked.Reason {
	case v1alpha1.ReasonRunsActive, v1alpha1.ReasonUploadsPossible, v1alpha1.ReasonOnHold:
		return false
	}
	return true
}

// storeTrouble says in a sentence for users what is wrong with the store. The
// error itself stays in the operator's log.
func storeTrouble(err error) string {
	var key *keyFault
	switch {
	case errors.As(err, &key):
		return "the dataset's own key can not be made or read; the operator's log says why."
	case errors.Is(err, ledger.ErrConflict):
		return "the ledger says something else about it already."
	case badBooks(err):
		return "the ledger's account of it can not be believed; an administrator has to look, the operator's log names it."
	case errors.Is(err, erasure.ErrUnknownStore):
		return "the store does not say which one it is, or is not the expected one."
	case errors.Is(err, objectstore.ErrDenied):
		return "the store refuses the operator: its credentials, or its clock."
	case errors.Is(err, objectstore.ErrNotFound):
		return "the store does not have the bucket."
	}
	return "the store does not answer."
}
