package trainingrun

import (
	"errors"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// brief is how long a state lasts that is not worth a write: most runs are through it
// before.
const brief = 5 * time.Second

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
	// Service to create before the Job. nil: none.
	Service *corev1.Service
	// Policy lets the nodes of a run talk to each other. To create before the Job. nil: none.
	Policy *networkingv1.NetworkPolicy
	// Create is the Job to create. nil: none.
	Create *batchv1.Job
	// Deadline is the one to give to the Job. nil: it has the right one.
	Deadline *deadline
	// Delete is the Job to delete. nil: none.
	Delete *batchv1.Job
	// Stop is why the attempt is to be stopped. It is only written down: the Job is
	// deleted in a later pass, by what the status says then. "": it is not.
	Stop string
	// End says how the attempt has ended. nil: it has not.
	End *attemptEnd
	// Settle are the Pods whose time is to be added to the status.
	Settle []corev1.Pod
	// Prune are the checkpoints to clear away. nil: none.
	Prune *pruning
	// Expire says to delete the run: its time after the end is over.
	Expire bool
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
	// Since is when a state began that is only told if it lasts. Zero: it is told at once.
	Since time.Time
	// Blame, Hint and what follows tell more about a failure; see v1alpha1.RunFailure.
	Blame v1alpha1.Blame
	Hint  string
	// Container and ExitCode of the container that failed, when one did.
	Container string
	ExitCode  *int32
	// Node is the index of the node that failed first, when one did.
	Node *int32
	// LogTail is the end of the trainer's output.
	LogTail string
}

// next is a look at a time instead of at an event. Zero: wait for an event.
type next struct {
	After time.Duration
	// Why no event comes by itself.
	Why string
}

// sooner is the one of two looks that comes first.
func sooner(a, b next) next {
	if a.After == 0 || b.After != 0 && b.After < a.After {
		return b
	}
	return a
}

// irreversible says that the plan must not rest on a cache that may be behind: a
// Job costs money, an attempt that is stopped or has ended is not taken up again, what is
// charged is never given back, a run that has ended stays ended, what is erased is gone,
// and a run that was let go holds nothing back any more. What is asked for is asked for
// the sake of one of these.
func (p plan) irreversible() bool {
	return p.Ask != askNothing || p.Create != nil || p.Stop != "" || p.End != nil || len(p.Settle) > 0 || p.Prune != nil ||
		p.Expire || p.Erase || p.Release || p.Verdict.State.Finished()
}

// A rule answers one question about a run. It reports false when the question
// does not arise, and the next rule is asked.
type rule func(observed, Options) (plan, bool)

// rules are the run's life in the order in which the questions are asked.
var rules = []rule{
	runGone,        // nothing to do about a run that does not exist
	runDeleted,     // make sure that its Job, its Pods and, if so wished, its artifacts go, then let it go
	runEnded,       // a run that has ended stays as it ended, for the time that its user wishes
	jobFinished,    // make sure that the end of the Job ends the attempt
	attemptStopped, // make sure that a stop that was begun is carried through
	jobLost,        // make sure that an attempt is never trained, and paid for, twice

	// There is a Job:
	jobAltered,       // stop it when its template says another thing than it was made with
	jobCancelled,     // stop it for good when its user wishes so
	jobSuspended,     // stop it when its user wishes so
	jobUnpaid,        // stop it when its tenant does not pay
	startOverdue,     // stop it when it has waited for too long
	trainerStalled,   // stop it when its trainer does nothing any more
	stagerKilled,     // stop it when a stager is killed again and again
	jobQueued,        // tell why its queue holds it
	podsFollowed,     // tell how far its Pods have come
	podsLeft,         // make sure that nothing of an older attempt is left
	runCancelled,     // end a run that its user does not want any more
	datasetGone,      // end a run whose dataset is going
	runSuspended,     // make sure that a run does not start that shall not
	runUnpaid,        // make sure that a run does not start that nobody pays for
	tenantWaited,     // make sure that a run starts within the bounds of its tenant
	limitSpent,       // make sure that a limit is not overrun by one more attempt
	attemptPostponed, // give whatever made attempts fail some time to pass
	datasetWaited,    // make sure that a run starts on a finished dataset only
	checkpointWaited, // make sure that there is a checkpoint to begin with, where one is named
	jobNotOwned,      // make sure that nobody else's Job is taken for ours
	serviceNotOwned,  // make sure that nodes find their own run
}

// decide asks the rules, and sees to what goes on beside the run's life: its Pods' time,
// its Job's deadline and its old checkpoints.
func decide(o observed, options Options) plan {
	p := ask(o, options)
	if o.Run == nil || p.Ask != askNothing {
		return p
	}
	var later next
	p.Settle, later = settling(o, p)
	p.Next = sooner(sooner(p.Next, later), graceTimer(o, options))
	p.Prune = prunable(o, options)
	return p.unhurried(o.Now)
}

func ask(o observed, options Options) plan {
	for _, rule := range rules {
		if p, answered := rule(o, options); answered {
			return p
		}
	}
	return start(o, options)
}

// unhurried says nothing of a state that may be over in a moment, unless there is
// something else to write.
func (p plan) unhurried(now time.Time) plan {
	left := brief - now.Sub(p.Verdict.Since)
	if p.Verdict.Since.IsZero() || left <= 0 || len(p.Settle) > 0 {
		return p
	}
	p.Verdict = verdict{}
	p.Next = sooner(p.Next, next{After: min(left, brief), Why: "a state that is over in a moment is not written"})
	return p
}

func runGone(o observed, _ Options) (plan, bool) { return plan{}, o.Run == nil }

// runEnded lets a run be until its ttlAfterFinished is over.
func runEnded(o observed, _ Options) (plan, bool) {
	if !o.Run.Status.State.Finished() {
		return plan{}, false
	}
	ttl, end := o.Run.Spec.TTLAfterFinished, o.Run.Status.CompletionTime
	if ttl == nil || end == nil {
		return plan{}, true
	}
	left := end.Add(ttl.Duration).Sub(o.Now)
	if left > 0 {
		return plan{Next: next{After: left, Why: "the run is deleted at its ttlAfterFinished"}}, true
	}
	return plan{Expire: true}, true
}

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
	account := record(o, options)
	attempt := resources.Attempt{Number: o.number(), Dataset: snapshot(o), Deadline: firstDeadline(o)}
	p := plan{
		Verdict: podStarting(o.Run, o.Now),
		Open:    &account,
		Create:  resources.Job(o.Run, attempt, options.resources(o)),
	}
	if gang(o.Run) && o.Service == nil {
		p.Service = resources.Service(o.Run)
	}
	if gang(o.Run) && o.Tenant != nil {
		p.Policy = resources.NetworkPolicy(o.Run)
	}
	return p
}

// gang says that the run has several nodes.
func gang(run *v1alpha1.TrainingRun) bool { return run.Spec.Nodes.Size() > 1 }

// snapshot is the dataset that the run is bound to, or is to be bound to.
func snapshot(o observed) v1alpha1.BoundDataset {
	if bound := o.Run.Status.Dataset; bound != nil {
		return v1alpha1.BoundDataset{UID: bound.UID, ManifestDigest: bound.ManifestDigest}
	}
	return v1alpha1.BoundDataset{UID: o.Dataset.UID, ManifestDigest: o.Dataset.Status.ManifestDigest}
}
