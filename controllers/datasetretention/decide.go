package datasetretention

import (
	"fmt"
	"slices"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// plan is what one reconcile does, in the order of its fields.
type plan struct {
	// adopt puts the finalizer on; before anything else.
	adopt bool
	// place gives the dataset its place in the store.
	place bool
	// note is what the ledger has to know of the dataset's hold first; nil: nothing.
	note *objectkey.LedgerEvent
	// release takes the finalizer off without an erase: there never was a place,
	// and a listing found nothing where it would be.
	release bool
	// expire deletes the object, whose time is over.
	expire bool
	// destroyKey destroys the dataset's own key: from then on there is no way back.
	destroyKey bool
	// erase empties the dataset's place, has it verified, writes the receipt and
	// takes the finalizer off.
	erase bool
	// vetoes are why what is due is not done now.
	vetoes []veto
	// next is when to look again; zero: when a watch says so.
	next time.Duration
}

// veto is a reason not to take data away.
type veto struct {
	// reason is a Reason constant of the API.
	reason string
	// message is for the owner of the data, and says what to do.
	message string
}

// decide says what to do about what was seen. Together with decideErase it is the
// only place that decides that data is taken away.
func decide(seen observed) plan {
	if seen.deleted() {
		return decideErase(seen)
	}
	p := plan{
		adopt: !controllerutil.ContainsFinalizer(seen.dataset, v1alpha1.FinalizerErase),
		note:  holdNews(seen),
		next:  holdEnds(seen),
	}
	if !due(seen) {
		p.place = seen.dataset.Status.Location == nil
		p.next = soonest(p.next, expiry(seen).Sub(seen.now))
		if seen.busy {
			p.next = soonest(p.next, busyRetry)
		}
		return p
	}
	p.vetoes = append(holdVetoes(seen), expiryVetoes(seen)...)
	// The end of a hold is noted first; the status that says so brings the next look.
	p.expire = len(p.vetoes) == 0 && p.note == nil && seen.storeErr == nil
	return p
}

// soonest is the earlier of two times to look again; zero is none.
func soonest(a, b time.Duration) time.Duration {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}

// busyRetry is when a dataset looks again that got no turn at the store.
const busyRetry = 15 * time.Second

// due reports whether the dataset's time is over.
func due(seen observed) bool { return !seen.now.Before(expiry(seen)) }

// expiry is when the dataset's time is over: maxAge after its creation, or
// afterTraining after the end of its last use if that is earlier, both within the
// administrator's limits. While it is in use the second does not run.
func expiry(seen observed) time.Time {
	keep := seen.dataset.Spec.Retention
	limit := seen.dataset.CreationTimestamp.Add(seen.limits.age(keep))
	last := lastUse(seen)
	if last.IsZero() || len(seen.users()) > 0 {
		return limit
	}
	if end := last.Add(seen.limits.window(keep)); end.Before(limit) {
		return end
	}
	return limit
}

// lastUse is when the last run that used the data ended; zero if none has. It
// never goes back, also when runs are deleted. A run that used the data and is gone
// without a trace is taken to have ended now.
func lastUse(seen observed) time.Time {
	var last time.Time
	if t := seen.dataset.Status.LastUsedTime; t != nil {
		last = t.UTC()
	}
	for _, r := range seen.runs {
		if r.finished && r.bound && r.ended.After(last) {
			last = r.ended
		}
	}
	if pinned(seen.dataset) && lostSight(seen) && seen.now.After(last) {
		last = seen.now
	}
	return last
}

// lostSight reports whether a run that used the data is not listed any more, or has
// ended without saying when.
func lostSight(seen observed) bool {
	return slices.ContainsFunc(seen.dataset.Status.ActiveRuns, func(name string) bool {
		i := slices.IndexFunc(seen.runs, func(r run) bool { return r.name == name })
		if i < 0 {
			return true
		}
		r := seen.runs[i]
		return r.finished && r.bound && r.ended.IsZero()
	})
}

// expiryVetoes are why data whose time is over stays. A run that is not bound has
// nothing of it yet, one that is suspended has nothing of it any more; both fail when
// the dataset goes.
func expiryVetoes(seen observed) []veto {
	users := seen.training()
	if len(users) == 0 {
		return nil
	}
	return []veto{{v1alpha1.ReasonRunsActive, fmt.Sprintf("The time of the dataset is over; it is erased as soon as %s ended.", runsHave(users))}}
}

// pinned reports whether the dataset was found whole.
func pinned(d *v1alpha1.DatasetRetention) bool { return d.Status.ManifestDigest != "" }

// sealCheckDue reports whether the store has to be asked about a sealed dataset.
// It is asked only after the state Sealing was published, because it may take
// minutes, and not again after a verdict.
func sealCheckDue(d *v1alpha1.DatasetRetention) bool {
	ready := apimeta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionReady)
	return d.Spec.Sealed && d.Status.Location != nil && !pinned(d) && ready != nil &&
		(ready.Reason == v1alpha1.ReasonCheckingManifest || ready.Reason == v1alpha1.ReasonStoreUnavailable)
}

// unusable reports whether a verdict on a sealed dataset can not change any more.
func unusable(reason string) bool {
	switch reason {
	case v1alpha1.ReasonManifestMissing, v1alpha1.ReasonManifestMalformed,
		v1alpha1.ReasonEmpty, v1alpha1.ReasonIncomplete, v1alpha1.ReasonKeyMissing:
		return true
	}
	return false
}

// namesShown is how many names a message has at most.
const namesShown = 3

// runsHave is "run a has" or "runs a, b and 2 more have".
func runsHave(names []string) string {
	if len(names) == 1 {
		return "run " + have(names)
	}
	return "runs " + have(names)
}

// have is "a has" or "a, b and 2 more have".
func have(names []string) string {
	if len(names) == 1 {
		return names[0] + " has"
	}
	if more := len(names) - namesShown; more > 0 {
		return fmt.Sprintf("%s and %d more have", strings.Join(names[:namesShown], ", "), more)
	}
	return strings.Join(names, ", ") + " have"
}
