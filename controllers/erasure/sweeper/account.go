package sweeper

import (
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
)

// account is what the ledger says of one owner, read as the sweeper needs it.
type account struct {
	ledger.Account
	// malformed: there is something that can not be read, so nothing is known.
	malformed bool
}

func (a account) happened(event string) bool { return len(a.Events[event]) > 0 }

func (a account) erased() bool { return a.happened(objectkey.LedgerErased) }

func (a account) retained() bool { return a.happened(objectkey.LedgerRetained) }

// orphaned reports whether the sweeper has found the data without its object.
func (a account) orphaned() bool { return a.happened(objectkey.LedgerOrphaned) }

// found reports whether it is the record of a dataset that the sweeper has opened
// itself: the operator gives every dataset an end.
func (a account) found() bool {
	return a.Record != nil && a.Record.Resource == objectkey.ResourceDataset && a.Record.EraseBy.IsZero()
}

func (a account) held(now time.Time) bool {
	_, held := a.Held(now)
	return held
}

// due is when the data should be gone: at the time in its record, or at the end of the
// last hold if that was later. Zero: at no certain time.
func (a account) due() time.Time {
	if a.Record == nil || a.Record.EraseBy.IsZero() {
		return time.Time{}
	}
	end := a.Record.EraseBy
	held, _ := a.Last(objectkey.LedgerHeld)
	released, _ := a.Last(objectkey.LedgerReleased)
	over := held.Until
	if released.Time.After(held.Time) && released.Time.Before(over) {
		over = released.Time
	}
	if over.After(end) {
		return over
	}
	return end
}
