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
