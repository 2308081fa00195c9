package datasetretention

import (
	"context"
	"errors"
	"fmt"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
)

// cameBack reports whether the ledger says, or said of this object before, that the
// data of this very dataset was erased. An account never opens again.
func cameBack(seen observed) bool {
	if seen.closed || seen.placing.refused == v1alpha1.ReasonErased {
		return true
	}
	ready := apimeta.FindStatusCondition(seen.dataset.Status.Conditions, v1alpha1.ConditionReady)
	return !seen.deleted() && ready != nil && ready.Reason == v1alpha1.ReasonErased
}

// activeHold is the hold that is asked for and has not ended; nil: none. What was
// erased before can not be held.
func activeHold(seen observed) *v1alpha1.Hold {
	if cameBack(seen) {
		return nil
	}
	if h := seen.dataset.Spec.Hold; h != nil && seen.now.Before(h.Until.Time) {
		return h
	}
	return nil
}

// begun reports whether the erase is past what can be undone: the decision to begin
// is in the status, and the key may be gone.
func begun(d *v1alpha1.DatasetRetention) bool { return d.Status.Erasure != nil }

// holdVetoes keep data on hold. A hold that came when the erase had begun, or one of
// data that never was there, keeps nothing.
func holdVetoes(seen observed) []veto {
	h := activeHold(seen)
	if h == nil || begun(seen.dataset) || (seen.deleted() && neverPlaced(seen)) {
		return nil
	}
	return []veto{{v1alpha1.ReasonOnHold, "The data is on hold until " + stamp(h.Until.Time) + " and is not erased before that."}}
}

// holdEnds is how long the hold still lasts; zero: there is none.
func holdEnds(seen observed) time.Duration {
	if h := activeHold(seen); h != nil {
		return h.Until.Sub(seen.now)
	}
	return 0
}

// holdNews is what the ledger does not know yet of the dataset's hold; nil: nothing.
// A hold is of data, so it is noted once there is a place for some.
func holdNews(seen observed) *objectkey.LedgerEvent {
	d := seen.dataset
	wanted, known := activeHold(seen), d.Status.Hold
	switch {
	case d.Status.Location == nil, begun(d), cameBack(seen):
		return nil
	case wanted != nil && (known == nil || known.Reason != wanted.Reason || !known.Until.Equal(&wanted.Until)):
		return &objectkey.LedgerEvent{
			Kind: objectkey.LedgerKind, Event: objectkey.LedgerHeld, Time: seen.now,
			Reason: wanted.Reason, Until: wanted.Until.UTC(),
		}
	case wanted == nil && known != nil:
		return &objectkey.LedgerEvent{
			Kind: objectkey.LedgerKind, Event: objectkey.LedgerReleased, Time: earlier(known.Until.Time, seen.now),
			Reason: known.Reason, Until: known.Until.UTC(),
		}
	}
	return nil
}

// noteHold writes what is new of the hold into the ledger, before the status says so.
func (r *Reconciler) noteHold(ctx context.Context, seen *observed, p plan) {
	if p.note == nil {
		return
	}
	d := seen.dataset
	err := r.opts.Ledger.Note(ctx, d.Namespace, string(d.UID), *p.note)
	// An account that is closed takes no more, and there is nothing left to hold: the
	// object came back from a backup.
	if errors.Is(err, ledger.ErrErased) {
		seen.closed = true
		return
	}
	if err != nil {
		seen.storeErr = fmt.Errorf("note the hold in the ledger: %w", err)
		return
	}
	seen.noted = true
}

// holdStatus is the hold that the ledger knows, after what was noted now.
func holdStatus(seen observed) *v1alpha1.HoldStatus {
	known, wanted := seen.dataset.Status.Hold, activeHold(seen)
	if cameBack(seen) {
		return nil
	}
	if !seen.noted {
		return known
	}
	if wanted == nil {
		return nil
	}
	held := &v1alpha1.HoldStatus{Reason: wanted.Reason, Until: wanted.Until, Since: *apiTime(seen.now)}
	if known != nil {
		held.Since = known.Since
	}
	return held
}

// stamp is a time as people read it in messages.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b.UTC()
	}
	return a.UTC()
}
