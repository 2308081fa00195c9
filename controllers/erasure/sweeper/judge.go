package sweeper

import (
	"slices"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Kind of a finding.
type Kind string

// The kinds. All but Held deserve somebody's attention.
const (
	// KindOrphan: the data's object is gone, and nobody erased the data.
	KindOrphan Kind = "Orphan"
	// KindOrphanInUse: it is due to be erased, but a run still uses it.
	KindOrphanInUse Kind = "OrphanInUse"
	// KindHeld: it would be an orphan, but a hold keeps it.
	KindHeld Kind = "Held"
	// KindLateData: there is data of an object whose data was erased.
	KindLateData Kind = "LateData"
	// KindUnrecorded: there is data of an object that the ledger does not know.
	KindUnrecorded Kind = "Unrecorded"
	// KindOverdue: the data should be gone, and nothing that the ledger knows of
	// keeps it.
	KindOverdue Kind = "Overdue"
	// KindDataMissing: the data of a dataset that runs may use is not there.
	KindDataMissing Kind = "DataMissing"
	// KindResurrected: there is an object whose data was erased.
	KindResurrected Kind = "Resurrected"
	// KindUnknownStore: the ledger says that the data lies in another store.
	KindUnknownStore Kind = "UnknownStore"
	// KindDamaged: what the ledger says can not be read or does not fit together.
	KindDamaged Kind = "Damaged"
	// KindForeign: there is something in a bucket that is not in the place of an
	// object. It is never touched.
	KindForeign Kind = "Foreign"
	// KindBreakerOpen: so many orphans are due that none is erased.
	KindBreakerOpen Kind = "BreakerOpen"
	// KindEraseFailed: an erase was tried and not finished.
	KindEraseFailed Kind = "EraseFailed"
)

// kinds are all of them.
var kinds = []Kind{
	KindOrphan, KindOrphanInUse, KindHeld, KindLateData, KindUnrecorded, KindOverdue, KindDataMissing,
	KindResurrected, KindUnknownStore, KindDamaged, KindForeign, KindBreakerOpen, KindEraseFailed,
}

// action is what is done about an owner.
type action int

const (
	leave action = iota
	// mark writes into the ledger that an orphan was seen.
	mark
	// eraseOrphan and eraseLate erase.
	eraseOrphan
	eraseLate
)

// facts are what is known of one owner.
type facts struct {
	at      place
	account account
	// data: something lies in the store.
	data bool
	// namespaceGone: so is every object of it.
	namespaceGone bool
	// object is nil for one that is gone.
	object *Object
	// identity of the store that the bucket is in now.
	identity string
}

// judgement is what follows from facts.
type judgement struct {
	kinds []Kind
	act   action
	// overdue is for how long the data should have been gone.
	overdue time.Duration
}

func found(kinds ...Kind) judgement { return judgement{kinds: kinds} }

func (j judgement) nothing() bool      { return len(j.kinds) == 0 }
func (j judgement) has(kind Kind) bool { return slices.Contains(j.kinds, kind) }

// rules judge facts. They ask nothing and change nothing.
type rules struct {
	now   time.Time
	grace time.Duration
	// resources says whose data lies in a bucket.
	resources map[string]string
}

func (r rules) judge(f facts) judgement {
	switch {
	case f.account.malformed:
		return found(KindDamaged)
	case !f.account.Found():
		return judgeUnknown(f)
	case f.account.erased() && !f.data && !f.alive():
		return judgement{} // As it should be.
	case !r.fits(f):
		return found(KindDamaged)
	case f.account.Record.Store != f.identity:
		return found(KindUnknownStore)
	case f.account.erased():
		return r.judgeErased(f)
	case f.object == nil:
		return r.judgeGone(f)
	}
	return r.judgeThere(f)
}

// alive reports whether there is an object that is not on its way out.
func (f facts) alive() bool { return f.object != nil && !f.object.Deleting }

// fits reports whether the record is that of the owner's place.
func (r rules) fits(f facts) bool {
	record := f.account.Record
	return record != nil && record.Namespace == f.at.namespace && record.UID == string(f.at.uid()) &&
		record.Bucket == f.at.bucket && record.Prefix == f.at.prefix() &&
		record.Resource != "" && record.Resource == r.resources[f.at.bucket]
}

// judgeUnknown judges data that the ledger has not heard of.
func judgeUnknown(f facts) judgement {
	switch {
	case !f.data:
		return judgement{}
	case f.object != nil:
		return found(KindUnrecorded)
	}
	return judgement{kinds: []Kind{KindOrphan}, act: mark}
}

// judgeErased judges what is left of an owner whose data was erased.
func (r rules) judgeErased(f facts) judgement {
	var j judgement
	if f.data {
		j = found(KindLateData)
		if f.account.held(r.now) {
			j.kinds = append(j.kinds, KindHeld)
		} else {
			j.act = eraseLate
		}
	}
	if f.alive() {
		j.kinds = append(j.kinds, KindResurrected)
	}
	return j
}

// judgeGone judges an owner whose data was not erased before its object went. There
// may be no data; then the erase finds nothing and closes the record.
func (r rules) judgeGone(f facts) judgement {
	if f.account.retained() && !f.namespaceGone {
		return judgement{}
	}
	if f.account.held(r.now) {
		return found(KindHeld)
	}
	j := r.overdue(f, found(KindOrphan))
	orphaned, marked := f.account.Last(objectkey.LedgerOrphaned)
	switch {
	case !marked:
		j.act = mark
	case r.now.Sub(orphaned.Time) >= r.grace:
		j.act = eraseOrphan
	}
	return j
}

// judgeThere judges an owner whose object is there.
func (r rules) judgeThere(f facts) judgement {
	if !f.data && f.alive() && usable(f.object.State) {
		return found(KindDataMissing)
	}
	if f.object.State == v1alpha1.DatasetInUse {
		return judgement{}
	}
	return r.overdue(f, judgement{})
}

// usable reports whether a dataset in this state has been seen with all its data.
func usable(state v1alpha1.DatasetState) bool {
	switch state {
	case v1alpha1.DatasetReady, v1alpha1.DatasetInUse, v1alpha1.DatasetExpiring:
		return true
	default:
		return false
	}
}

// overdue adds that the data should be gone by now, by what the ledger says.
func (r rules) overdue(f facts, j judgement) judgement {
	due := f.account.due()
	if !f.data || due.IsZero() || !r.now.After(due) || f.account.held(r.now) {
		return j
	}
	j.kinds = append(j.kinds, KindOverdue)
	j.overdue = r.now.Sub(due)
	return j
}

// confirmed keeps of a judgement from fresh facts what can not come from things that
// happened between two listings. An upload or a regular erase in between can make it
// look as if erased data was there, a usable dataset had none, or an erased object was
// alive; so those count only if the listings said so too. See Sweeper.confirm.
func confirmed(suspicion, fresh judgement) judgement {
	fresh.kinds = slices.DeleteFunc(slices.Clone(fresh.kinds), func(kind Kind) bool {
		switch kind {
		case KindLateData, KindDataMissing, KindResurrected:
			return !suspicion.has(kind)
		default:
			return false
		}
	})
	if fresh.act == eraseLate && !fresh.has(KindLateData) {
		fresh.act = leave
	}
	return fresh
}

// resourcesOf says whose data lies in which bucket.
func resourcesOf(datasets, artifacts string) map[string]string {
	return map[string]string{datasets: objectkey.ResourceDataset, artifacts: objectkey.ResourceRun}
}
