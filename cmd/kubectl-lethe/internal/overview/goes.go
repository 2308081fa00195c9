package overview

import (
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

// Goes says in a few words when a dataset is erased.
func Goes(ds *v1alpha1.DatasetRetention, now time.Time) string {
	status := ds.Status
	erasing := ds.DeletionTimestamp != nil || status.State == v1alpha1.DatasetErasing
	if hold, ok := heldNow(ds, now); ok {
		return "held until " + hold.Until.UTC().Format(time.RFC3339)
	}
	switch {
	case erasing && len(status.ActiveRuns) > 0:
		return "erased when its runs have ended"
	case erasing:
		return "being erased now"
	case status.State == v1alpha1.DatasetInUse:
		return afterRuns(ds)
	case status.ExpiresAt == nil:
		return "not known yet"
	}
	left := status.ExpiresAt.Sub(now)
	if left <= 0 {
		return "is due now"
	}
	return "erased in " + words.Duration(left)
}

func afterRuns(ds *v1alpha1.DatasetRetention) string {
	after := ds.Spec.Retention.Window()
	if after <= 0 {
		return "erased when training ends"
	}
	return fmt.Sprintf("erased %s after training", words.Duration(after))
}

// heldNow gives the hold that keeps the data: the one that is asked for, or else the
// one that the operator still has on record. An erase that has begun is not held up.
func heldNow(ds *v1alpha1.DatasetRetention, now time.Time) (v1alpha1.Hold, bool) {
	var hold v1alpha1.Hold
	switch {
	case ds.Status.Erasure != nil:
		return v1alpha1.Hold{}, false
	case ds.Spec.Hold != nil:
		hold = *ds.Spec.Hold
	case ds.Status.Hold != nil:
		hold = v1alpha1.Hold{Reason: ds.Status.Hold.Reason, Until: ds.Status.Hold.Until}
	}
	return hold, hold.Until.After(now)
}

// due is when a dataset goes at the earliest; nil when that is not known.
func due(ds *v1alpha1.DatasetRetention, now time.Time) *time.Time {
	at := ds.Status.ExpiresAt
	if at == nil {
		return nil
	}
	if hold, ok := heldNow(ds, now); ok && hold.Until.After(at.Time) {
		at = &hold.Until
	}
	return &at.Time
}
