package trainingrun

import (
	"errors"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// plan is what is to be done about a run, as data. The zero plan does nothing and
// says nothing.
type plan struct {
	// Verdict says how the run stands once the plan is carried out.
	Verdict verdict
	// Ask is what has to be known before anything else can be decided. A plan that
	// asks does nothing.
	Ask question
	// Open is the record to write into the ledger before all that follows. nil: none.
	Open *objectkey.LedgerRecord
	// Create is the Job to create. nil: none.
	Create *batchv1.Job
	// Delete is the Job to delete. nil: none.
	Delete *batchv1.Job
	// Blocked is what holds the end of a deleted run up. nil: nothing.
	Blocked *block
	// Count says that the artifacts were counted, and are to be erased next.
	Count bool
	// Erase says to erase the artifacts.
	Erase bool
	// Retain says to note in the ledger that the artifacts stay.
	Retain bool
	// Release says to take the finalizer off: nothing of the run is left to see to.
	Release bool
	// Next says when to look again although nothing has happened.
	Next next
}

// verdict sums a run up for its user. The zero verdict leaves the status alone.
type verdict struct {
	State   v1alpha1.RunState
	Reason  string
	Message string
	// ExitCode of the container that failed, when one did.
	ExitCode *int32
}

// next is a look at a time instead of at an event. Zero: wait for an event.
type next struct {
	After time.Duration
	// Why no event comes by itself.
	Why string
}

// irreversible says that the plan must not rest on a cache that may be behind: a
// Job costs money, a run that has ended stays ended, what is erased is gone, and a
// run that was let go holds nothing back any more. What is asked for is asked for
// the sake of one of these.
func (p plan) irreversible() bool {
	return p.Ask != askNothing || p.Create != nil || p.Erase || p.Release || p.Verdict.State.Finished()
}

// A rule answers one question about a run. It reports false when the question
// does not arise, and the next rule is asked.
type rule func(observed, Options) (plan, bool)

// decide is the run's life in the order in which the questions are asked.
func decide(o observed, options Options) plan {
	rules := []rule{
		runGone,       // nothing to do about a run that does not exist
		runDeleted,    // make sure that its Job, its Pods and, if so wished, its artifacts go, then let it go
		runEnded,      // a run that has ended stays as it ended
		jobLost,       // make sure that a run is never trained, and paid for, twice
		jobFinished,   // make sure that the end of the Job ends the run
		podFollowed,   // tell how far the Pod has come
		datasetWaited, // make sure that a run starts on a finished dataset only
		jobNotOwned,   // make sure that nobody else's Job is taken for ours
	}
	for _, ask := range rules {
		if p, answered := ask(o, options); answered {
			return p
		}
	}
	return start(o, options)
}

func runGone(o observed, _ Options) (plan, bool) { return plan{}, o.Run == nil }

func runEnded(o observed, _ Options) (plan, bool) { return plan{}, o.Run.Status.State.Finished() }

// start binds the run to its dataset and trains. The store is asked which one it is
// before, because the ledger has to say where artifacts may be before there are any.
func start(o observed, options Options) plan {
	switch {
	case errors.Is(o.StoreErr, errBusy):
		return busy()
	case o.StoreErr != nil:
		return plan{Verdict: storeWaits(o.StoreErr)}
	case o.Identity == "":
		return plan{Ask: askIdentity}
	}
	dataset := v1alpha1.BoundDataset{UID: o.Dataset.UID, ManifestDigest: o.Dataset.Status.ManifestDigest}
	account := record(o, options)
	return plan{
		Verdict: podStarting(o.Run),
		Open:    &account,
		Create:  resources.Job(o.Run, dataset, options.resources(o.Identity)),
	}
}
