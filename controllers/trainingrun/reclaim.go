package trainingrun

import (
	"errors"
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// block is what holds the end of a deleted run up, for the condition
// ArtifactsErased.
type block struct{ Reason, Message string }

// reclaim decides what becomes of the artifacts of a deleted run whose Pods are
// gone, and lets the run go after that. One step is made at a time, and what was
// reached is asked of the ledger and of the status, so that it goes on after a crash.
func reclaim(o observed, options Options) plan {
	switch {
	case errors.Is(o.StoreErr, errBusy):
		return busy()
	case o.StoreErr != nil:
		return plan{Verdict: clearing(o.Run), Blocked: blockOf(o.StoreErr)}
	case o.Account == nil:
		return plan{Ask: askAccount}
	case noted(o, objectkey.LedgerErased), o.Account.Record == nil && !hadJob(o.Run):
		return plan{Release: true}
	}
	var p plan
	if o.Account.Record == nil {
		due := record(o, options)
		p.Open = &due
	}
	if kept(o) {
		p.Retain = !noted(o, objectkey.LedgerRetained)
		p.Release = true
		return p
	}
	return erase(o, options, p)
}

// erase counts first and removes in a later pass: the counts have to be in the
// status before the first object goes, or a crash would lose them for the receipt.
func erase(o observed, options Options, p plan) plan {
	p.Verdict = clearing(o.Run)
	blocked := misplaced(o, options)
	switch {
	case blocked != nil:
		return plan{Verdict: p.Verdict, Blocked: blocked}
	case o.Run.Status.ArtifactsErasure != nil:
		p.Erase = true
		p.Next = next{
			After: time.Second,
			Why:   "the run is let go by what the ledger says then, also if no write of its status brings it here",
		}
	case o.Inventory == nil:
		return plan{Ask: askInventory}
	default:
		p.Count = true
	}
	return p
}

// busy looks again later, and says nothing until then.
func busy() plan {
	return plan{Next: next{After: busyRetry, Why: "no event tells that there is a turn at the store"}}
}

// kept says that the artifacts stay: their owner did not ask for their end, and
// their namespace stays too.
func kept(o observed) bool {
	return o.Run.Spec.Artifacts.ReclaimPolicy != v1alpha1.ReclaimDelete && !o.NamespaceGoing
}

// hadJob says that the run's status tells of a Job. A Job can be there without it
// (the status is written later), but not without a record in the ledger.
func hadJob(run *v1alpha1.TrainingRun) bool { return run.Status.Dataset != nil }

// noted says that the ledger holds such an event of the run.
func noted(o observed, event string) bool { return len(o.Account.Events[event]) > 0 }

// place is where the artifacts of a run lie: always derived, never read.
func place(run *v1alpha1.TrainingRun, options Options) v1alpha1.ObjectLocation {
	return v1alpha1.ObjectLocation{
		Bucket: options.ArtifactsBucket,
		Prefix: objectkey.OwnerPrefix(run.Namespace, string(run.UID)),
	}
}

// record is the run's in the ledger: the one that is there, or the one that is due.
// It is also made for a run that had a Job before there was a ledger.
func record(o observed, options Options) objectkey.LedgerRecord {
	if o.Account != nil && o.Account.Record != nil {
		return *o.Account.Record
	}
	at := place(o.Run, options)
	return objectkey.LedgerRecord{
		Kind:        objectkey.LedgerKind,
		Resource:    objectkey.ResourceRun,
		Namespace:   o.Run.Namespace,
		UID:         string(o.Run.UID),
		Store:       o.Identity,
		Bucket:      at.Bucket,
		Prefix:      at.Prefix,
		CreatedTime: o.Now.UTC().Truncate(time.Second),
	}
}

// target is what an erase works on: the derived place, in the store that the run's
// record names.
func target(o observed, options Options) erasure.Target {
	at := place(o.Run, options)
	return erasure.Target{
		Bucket: at.Bucket, Prefix: at.Prefix, UID: string(o.Run.UID), Store: record(o, options).Store,
	}
}

// misplaced refuses to erase when the derived place, the ledger's record and the
// status do not agree: none of them alone is believed. nil: they do.
func misplaced(o observed, options Options) *block {
	at, recorded := place(o.Run, options), record(o, options)
	if recorded.Bucket != at.Bucket || recorded.Prefix != at.Prefix {
		return &block{
			v1alpha1.ReasonEraseRefused,
			"The ledger names another place for the artifacts than the operator, so nothing is erased. " +
				"An administrator has to find out whether the operator was given another bucket, and put it back.",
		}
	}
	if o.Run.Status.Artifacts == nil {
		return nil
	}
	told := o.Run.Status.Artifacts.Location
	if told.Bucket != at.Bucket || told.Prefix != at.Prefix || told.Store != "" && told.Store != recorded.Store {
		return &block{
			v1alpha1.ReasonEraseRefused,
			"status.artifacts.location is not the place that the operator gave this run, so nothing is erased. " +
				"An administrator has to find out who changed it, and put it back.",
		}
	}
	return nil
}

// clearing is the verdict on a run that had not ended when it was deleted. One that
// had stays as it ended, and only its condition ArtifactsErased tells of this.
func clearing(run *v1alpha1.TrainingRun) verdict {
	if run.Status.State.Finished() {
		return verdict{}
	}
	return ending(run, "the run is being deleted and its Pods are gone; "+
		"it goes when its artifacts are seen to, and its condition ArtifactsErased says what holds that up")
}

// blockOf says for users what a failure at the store means for a deleted run. The
// error itself stays in the operator's log.
func blockOf(err error) *block {
	var locked *erasure.LockedError
	switch {
	case errors.As(err, &locked):
		return &block{v1alpha1.ReasonObjectLock, lockedMessage(locked.Until)}
	case errors.Is(err, erasure.ErrUnknownStore):
		return &block{v1alpha1.ReasonUnknownStore, "The store is not the one that the artifacts were put into, so nothing is erased. " +
			"An administrator has to connect the operator to that store again."}
	case errors.Is(err, erasure.ErrRefused), unreadable(err):
		return &block{v1alpha1.ReasonEraseRefused, "A safeguard refused to erase the artifacts. " +
			"An administrator has to look into the operator's log: kubectl -n lethe-system logs deploy/lethe-manager"}
	case errors.Is(err, erasure.ErrIncomplete):
		return &block{v1alpha1.ReasonEraseIncomplete, "The store still holds artifacts of the run after a full pass. It is tried again."}
	}
	return &block{v1alpha1.ReasonStoreUnavailable, "The run goes when its artifacts are seen to, and at the moment " +
		storeTrouble(err) + " It is tried again."}
}

// unreadable says that the ledger holds what a person has to look at.
func unreadable(err error) bool {
	return errors.Is(err, ledger.ErrMalformed) || errors.Is(err, ledger.ErrConflict)
}

func lockedMessage(until time.Time) string {
	if until.IsZero() {
		return "The bucket of the artifacts has an object lock, so that nothing is erased from it. " +
			"An administrator has to give the artifacts a bucket without one. It is tried again."
	}
	return fmt.Sprintf("The artifacts are under an object lock until %s and can not be erased before. It is tried again.",
		until.UTC().Format(time.RFC3339))
}

// storeWaits is the verdict on a run that can not start because its place in the
// store can not be prepared.
func storeWaits(err error) verdict {
	if errors.Is(err, ledger.ErrErased) {
		v := explained(v1alpha1.ReasonJobLost, "the run was deleted before and its artifacts were erased; it came back from a backup, or the like")
		v.Hint = "create a new run to train again"
		return v
	}
	return waiting(v1alpha1.ReasonStoreUnavailable,
		"the place for the artifacts can not be prepared: "+storeTrouble(err)+" It is tried again")
}

// storeTrouble says in a sentence what is wrong with the store.
func storeTrouble(err error) string {
	switch {
	case errors.Is(err, objectstore.ErrDenied):
		return "the store refuses the operator."
	case errors.Is(err, objectstore.ErrNotFound):
		return "the store does not have the bucket."
	case errors.Is(err, erasure.ErrRefused), unreadable(err):
		return "the store is not as the operator expects it; its log says why."
	}
	return "the store does not answer."
}
