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
	// KindUnrecorded: there is data that the ledger does not know.
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
	// KindDamaged: what the ledger says can not be read or does not fit together, or
	// the objects of the namespace can not be read.
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
	// unreadable: it can not be known what is in the namespace.
	unreadable bool
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
	// eraseUnrecorded is Options.EraseUnrecorded.
	eraseUnrecorded bool
	// resources says whose data lies in a bucket.
	resources map[string]string
}

func (r rules) judge(f facts) judgement {
	switch {
	case f.account.malformed:
		return found(KindDamaged)
	case f.unreadable && f.account.erased() && !f.data:
		return judgement{} // Whatever there is in the namespace, it can do no harm.
	case f.unreadable:
		return found(KindDamaged)
	case !f.account.Found():
		return r.judgeUnknown(f)
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

// judgeUnknown judges data that the ledger has not heard of. It may be the ledger that
// is wrong: one that was lost or set back has not heard of anything.
func (r rules) judgeUnknown(f facts) judgement {
	switch {
	case !f.data:
		return judgement{}
	case f.object != nil, !r.eraseUnrecorded:
		return found(KindUnrecorded)
	}
	return judgement{kinds: []Kind{KindOrphan}, act: mark}
}

// judgeErased judges what is left of an owner whose data was erased. What is alive is
// never swept, whatever the ledger says: a run may use it, or a hold be set that the
// ledger has no more.
func (r rules) judgeErased(f facts) judgement {
	switch {
	case f.alive():
		return found(KindResurrected)
	case !f.data:
		return judgement{}
	case f.account.held(r.now):
		return found(KindLateData, KindHeld)
	}
	return judgement{kinds: []Kind{KindLateData}, act: eraseLate}
}

// judgeGone judges an owner whose data was not erased before its object went. There
// may be no data; then the erase finds nothing and closes the record.
//
// A mark on artifacts proves that their namespace was gone once: that another has its
// name now changes nothing.
func (r rules) judgeGone(f facts) judgement {
	orphaned, marked := f.account.Last(objectkey.LedgerOrphaned)
	switch {
	case f.account.retained() && !f.namespaceGone && !marked:
		return judgement{}
	case f.account.held(r.now):
		return found(KindHeld)
	case f.account.found() && !r.eraseUnrecorded:
		return found(KindUnrecorded)
	}
	j := r.overdue(f, found(KindOrphan))
	switch {
	case !marked && r.mayBeWanted(f):
		j.act = leave
	case !marked:
		j.act = mark
	case r.now.Sub(orphaned.Time) >= r.grace:
		j.act = eraseOrphan
	}
	return j
}

// mayBeWanted reports whether these are artifacts whose run went without a word, in a
// namespace that is there. Most runs' artifacts are to outlive them, and a run that
// was made after the backup that etcd was restored from could not say so.
func (r rules) mayBeWanted(f facts) bool {
	return f.data && !f.namespaceGone && r.resources[f.at.bucket] == objectkey.ResourceRun
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
