package datasetretention

import (
	"fmt"
	"slices"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// plan is what one reconcile does, in the order of its fields.
type plan struct {
	// adopt puts the finalizer on; before anything else.
	adopt bool
	// release takes the finalizer off without an erase: there never was a place,
	// and a listing found nothing where it would be.
	release bool
	// expire deletes the object, whose time is over.
	expire bool
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

// decide says what to do about what was seen. It is the only place that decides
// that data is taken away.
func decide(seen observed) plan {
	if seen.deleted() {
		return decideErase(seen)
	}
	p := plan{adopt: !controllerutil.ContainsFinalizer(seen.dataset, v1alpha1.FinalizerErase)}
	if !due(seen) {
		p.next = expiry(seen).Sub(seen.now)
		if seen.busy {
			p.next = min(p.next, busyRetry)
		}
		return p
	}
	p.vetoes = expiryVetoes(seen)
	p.expire = len(p.vetoes) == 0
	return p
}

func decideErase(seen observed) plan {
	p := plan{vetoes: eraseVetoes(seen), next: eraseRetry(seen)}
	if neverPlaced(seen.dataset) && seen.inventory != nil && seen.inventory.Empty() {
		p.release = len(p.vetoes) == 0
		return p
	}
	counted := seen.dataset.Status.Erasure != nil || seen.inventory != nil
	p.erase = len(p.vetoes) == 0 && counted
	return p
}

// Times after which an erase looks again, where no watch says when.
const (
	// copiesRetry is for local copies: the watches see only the Jobs and Pods that
	// the operator made, but an erase waits for all that carry the dataset's UID.
	copiesRetry = time.Minute
	// busyRetry is for a turn at the store.
	busyRetry = 15 * time.Second
)

// eraseRetry is when an erase looks again; zero: when a watch says so.
func eraseRetry(seen observed) time.Duration {
	switch {
	case len(seen.copies) > 0:
		return copiesRetry
	case uploadsPossible(seen):
		return uploadsEnd(seen.dataset).Sub(seen.now)
	case seen.busy:
		return busyRetry
	}
	return 0
}

// uploadsPossible reports whether credentials to write to a deleted dataset may
// still be good. Nobody was given any for a dataset that never had a place.
func uploadsPossible(seen observed) bool {
	return !neverPlaced(seen.dataset) && seen.now.Before(uploadsEnd(seen.dataset))
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

// due reports whether the dataset's time is over.
func due(seen observed) bool { return !seen.now.Before(expiry(seen)) }

// expiry is when the dataset's time is over: maxAge after its creation, or
// afterTraining after the end of its last use if that is earlier. While it is in
// use the second does not run.
func expiry(seen observed) time.Time {
	keep := seen.dataset.Spec.Retention
	limit := seen.dataset.CreationTimestamp.Add(keep.Limit())
	last := lastUse(seen)
	if last.IsZero() || len(seen.users()) > 0 {
		return limit
	}
	if end := last.Add(keep.Window()); end.Before(limit) {
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
// nothing of it yet, and fails when the dataset goes.
func expiryVetoes(seen observed) []veto {
	users := seen.users()
	if len(users) == 0 {
		return nil
	}
	return []veto{{v1alpha1.ReasonRunsActive, fmt.Sprintf("The time of the dataset is over; it is erased as soon as %s ended.", runsHave(users))}}
}

// eraseVetoes are why the data of a deleted dataset is not erased yet, the
// gravest first.
func eraseVetoes(seen observed) []veto {
	var vetoes []veto
	if at := seen.dataset.Status.Location; at != nil && *at != seen.home {
		vetoes = append(vetoes, veto{
			v1alpha1.ReasonEraseRefused,
			"status.location is not the place that the operator gave this dataset, so nothing is erased. " +
				"An administrator has to find out who changed it, or whether the operator was given another bucket, and put it back.",
		})
	}
	if active := seen.active(); len(active) > 0 {
		vetoes = append(vetoes, veto{
			v1alpha1.ReasonRunsActive,
			fmt.Sprintf("The data is erased as soon as %s ended. To have it sooner, delete them with kubectl delete trainingrun.", runsHave(active)),
		})
	} else if len(seen.copies) > 0 {
		vetoes = append(vetoes, veto{
			v1alpha1.ReasonRunsActive,
			fmt.Sprintf("The data is erased as soon as %s ended, because a copy of it may be there.", have(seen.copies)),
		})
	}
	if uploadsPossible(seen) {
		vetoes = append(vetoes, veto{
			v1alpha1.ReasonUploadsPossible,
			"Credentials to upload, given before the deletion, end within a minute or so; the data is erased then.",
		})
	}
	return vetoes
}

// neverPlaced reports whether the dataset never had a place in the store. The
// status is written for the first time together with the location, and nobody is
// given credentials before that, so nothing should be there; a listing has to say
// so too, because a status can be lost. A location that is missing from a status
// that was written has been taken away: not the same.
func neverPlaced(d *v1alpha1.DatasetRetention) bool {
	s := &d.Status
	return s.Location == nil && s.State == "" && s.ObservedGeneration == 0 && len(s.Conditions) == 0
}

// pinned reports whether the dataset was found whole.
func pinned(d *v1alpha1.DatasetRetention) bool { return d.Status.ManifestDigest != "" }

// sealCheckDue reports whether the store has to be asked about a sealed dataset.
// It is asked only after the state Sealing was published, because it may take
// minutes, and not again after a verdict.
func sealCheckDue(d *v1alpha1.DatasetRetention) bool {
	ready := apimeta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionReady)
	return d.Spec.Sealed && !pinned(d) && ready != nil &&
		(ready.Reason == v1alpha1.ReasonCheckingManifest || ready.Reason == v1alpha1.ReasonStoreUnavailable)
}

// unusable reports whether a verdict on a sealed dataset can not change any more.
func unusable(reason string) bool {
	switch reason {
	case v1alpha1.ReasonManifestMissing, v1alpha1.ReasonManifestMalformed,
		v1alpha1.ReasonEmpty, v1alpha1.ReasonIncomplete:
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
