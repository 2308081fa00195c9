package datasetretention

import (
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// decideErase says how far the erase of a deleted dataset goes now: nothing while a
// veto stands; then its key is destroyed; then, when nobody can upload any more, what
// is there is counted and removed.
func decideErase(seen observed) plan {
	p := plan{note: holdNews(seen), vetoes: eraseVetoes(seen), next: eraseRetry(seen)}
	if p.note != nil || seen.storeErr != nil {
		return p // The status that says so brings the next look, or the retry does.
	}
	if keyDue(seen) {
		p.destroyKey = len(standing(seen)) == 0
		return p
	}
	if len(p.vetoes) > 0 {
		return p
	}
	if neverPlaced(seen) && !begun(seen.dataset) && seen.inventory != nil && seen.inventory.Empty() {
		p.release = true
		return p
	}
	p.erase = counted(seen.dataset) || seen.inventory != nil
	return p
}

// copiesRetry is when an erase looks again that waits for local copies: the watches
// see only the Jobs and Pods that the operator made, but an erase waits for all that
// carry the dataset's UID.
const copiesRetry = time.Minute

// eraseRetry is when an erase looks again; zero: when a watch says so.
func eraseRetry(seen observed) time.Duration {
	var next time.Duration
	if len(holdVetoes(seen)) > 0 {
		next = holdEnds(seen)
	}
	switch {
	case len(seen.copies) > 0:
		return soonest(next, copiesRetry)
	case uploadsPossible(seen):
		return soonest(next, uploadsEnd(seen.dataset).Sub(seen.now))
	case seen.busy:
		return soonest(next, busyRetry)
	}
	return next
}

// standing are the vetoes against an erase as a whole, the gravest first.
func standing(seen observed) []veto {
	var vetoes []veto
	if at := seen.dataset.Status.Location; at != nil && (at.Bucket != seen.home.Bucket || at.Prefix != seen.home.Prefix) {
		vetoes = append(vetoes, veto{
			v1alpha1.ReasonEraseRefused,
			"status.location is not the place that the operator gave this dataset, so nothing is erased. " +
				"An administrator has to find out who changed it, or whether the operator was given another bucket, and put it back.",
		})
	}
	vetoes = append(vetoes, holdVetoes(seen)...)
	if active := seen.active(); len(active) > 0 {
		return append(vetoes, veto{
			v1alpha1.ReasonRunsActive,
			fmt.Sprintf("The data is erased as soon as %s ended. To have it sooner, delete them with kubectl delete trainingrun.", runsHave(active)),
		})
	}
	if len(seen.copies) > 0 {
		vetoes = append(vetoes, veto{
			v1alpha1.ReasonRunsActive,
			fmt.Sprintf("The data is erased as soon as %s ended, because a copy of it may be there.", have(seen.copies)),
		})
	}
	return vetoes
}

// eraseVetoes are why the data of a deleted dataset is not removed yet, the gravest
// first. The last of them does not keep its key.
func eraseVetoes(seen observed) []veto {
	vetoes := standing(seen)
	if uploadsPossible(seen) {
		vetoes = append(vetoes, veto{
			v1alpha1.ReasonUploadsPossible,
			"Credentials to upload, given before the deletion, end within a minute or so; the data is erased then.",
		})
	}
	return vetoes
}

// uploadsPossible reports whether credentials to write to a deleted dataset may
// still be good. Nobody was given any for a dataset that never had a place.
func uploadsPossible(seen observed) bool {
	return !neverPlaced(seen) && seen.now.Before(uploadsEnd(seen.dataset))
}

// uploadsEnd is when the last credentials to write to a deleted dataset end. They
// can have been given until it was sealed, or until it was deleted if it was not
// sealed, or not seen to be, before.
func uploadsEnd(d *v1alpha1.DatasetRetention) time.Time {
	lastGrant := d.DeletionTimestamp
	if sealed := d.Status.SealedTime; sealed != nil {
		lastGrant = sealed
	}
	return lastGrant.UTC().Add(staging.UploadLife + staging.ClockSkew)
}

// neverPlaced reports whether a deleted dataset never had a place in the store. The
// ledger's record is written before the location is, and nobody is given credentials
// without a location; a status can be lost, the record stays.
func neverPlaced(seen observed) bool {
	return seen.dataset.Status.Location == nil && !seen.recorded
}

// keyDue reports whether the dataset's own key is still to be destroyed. A dataset
// without a record can have none.
func keyDue(seen observed) bool {
	e := seen.dataset.Status.Erasure
	return ownKey(seen.dataset) && !neverPlaced(seen) && (e == nil || e.KeyDestroyedTime == nil)
}

// counted reports whether the counts for the receipt are in the status.
func counted(d *v1alpha1.DatasetRetention) bool {
	return d.Status.Erasure != nil && d.Status.Erasure.InventoryTime != nil
}
