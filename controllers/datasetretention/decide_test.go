package datasetretention

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

func TestExpiry(t *testing.T) {
	t.Parallel()
	hour := time.Hour
	cases := map[string]struct {
		seen observed
		want time.Time
	}{
		"an unused dataset goes at its maximal age":    {saw(after(0), newDataset()), after(testMaxAge)},
		"a used dataset goes its window after the run": {saw(after(3*hour), newDataset(usable), runs(ended("a", after(2*hour)))), after(26 * hour)},
		"of two runs the later one counts": {
			saw(after(5*hour), newDataset(usable), runs(ended("a", after(4*hour)), ended("b", after(2*hour)))), after(28 * hour),
		},
		"the window does not run while another run uses the dataset": {
			saw(after(5*hour), newDataset(usable), runs(ended("a", after(4*hour)), using("b"))), after(testMaxAge),
		},
		"the window never ends after the maximal age": {
			saw(after(700*hour), newDataset(usable), runs(ended("a", after(719*hour)))), after(testMaxAge),
		},
		"a run that ended is remembered when it is deleted": {
			saw(after(50*hour), newDataset(usable, lastUsed(after(2*hour)))), after(26 * hour),
		},
		"the last use never goes back": {
			saw(after(9*hour), newDataset(usable, lastUsed(after(8*hour))), runs(ended("a", after(2*hour)))), after(32 * hour),
		},
		"a run that vanished while it used the data is taken to have ended now": {
			saw(after(7*hour), newDataset(usable, wasActive("a"), lastUsed(after(2*hour)))), after(31 * hour),
		},
		"a run that used the data and vanished is taken to have ended now": {
			saw(after(7*hour), newDataset(usable, wasActive("a"))), after(31 * hour),
		},
		"a run that ended without a time is taken to have ended now": {
			saw(after(7*hour), newDataset(usable, wasActive("a")), runs(ended("a", time.Time{}))), after(31 * hour),
		},
		"a run that vanished before the dataset was usable never used it": {
			saw(after(7*hour), newDataset(placed, wasActive("a"))), after(testMaxAge),
		},
		"a run that failed before it was bound never used it": {
			saw(after(7*hour), newDataset(usable, wasActive("a")), runs(run{name: "a", finished: true, ended: after(6 * hour)})), after(testMaxAge),
		},
		"a ceiling shortens the maximal age": {
			saw(after(hour), newDataset(), under(Limits{MaxAgeCeiling: 240 * hour})), after(240 * hour),
		},
		"a ceiling does not lengthen it": {
			saw(after(hour), newDataset(), under(Limits{MaxAgeCeiling: 9999 * hour})), after(testMaxAge),
		},
		"a floor lengthens it": {
			saw(after(hour), newDataset(keep(hour, hour)), under(Limits{MaxAgeFloor: 48 * hour})), after(48 * hour),
		},
		"a ceiling shortens the window": {
			saw(after(3*hour), newDataset(usable), runs(ended("a", after(2*hour))), under(Limits{AfterTrainingCeiling: hour})), after(3 * hour),
		},
		"a floor lengthens the window": {
			saw(after(3*hour), newDataset(usable, keep(0, testMaxAge)), runs(ended("a", after(2*hour))), under(Limits{AfterTrainingFloor: hour})),
			after(3 * hour),
		},
		"a window of zero ends with the run": {
			saw(after(3*hour), newDataset(usable, keep(0, testMaxAge)), runs(ended("a", after(2*hour)))), after(2 * hour),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := expiry(c.seen); !got.Equal(c.want) {
				t.Errorf("expiry = %v, want %v", got, c.want)
			}
		})
	}
}

// outline is a plan without the wording of its vetoes.
type outline struct {
	Adopt, Place, Release, Expire, DestroyKey, Erase bool
	// Note is the event that the ledger gets.
	Note   string
	Vetoes []string
	Next   time.Duration
}

func outlineOf(p plan) outline {
	o := outline{
		Adopt: p.adopt, Place: p.place, Release: p.release, Expire: p.expire,
		DestroyKey: p.destroyKey, Erase: p.erase, Next: p.next,
	}
	if p.note != nil {
		o.Note = p.note.Event
	}
	for _, v := range p.vetoes {
		o.Vetoes = append(o.Vetoes, v.reason)
	}
	return o
}

type decision struct {
	seen observed
	want outline
}

func checkDecisions(t *testing.T, cases map[string]decision) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, outlineOf(decide(c.seen))); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecideExpiry(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	active := []string{v1alpha1.ReasonRunsActive}
	checkDecisions(t, map[string]decision{
		"a new dataset gets the finalizer and a place": {
			saw(after(0), newDataset(raw)), outline{Adopt: true, Place: true, Next: testMaxAge},
		},
		"one whose finalizer is on already gets a place": {
			saw(after(0), newDataset()), outline{Place: true, Next: testMaxAge},
		},
		"one whose time is over gets none any more": {
			saw(after(testMaxAge), newDataset()), outline{Expire: true},
		},
		"a dataset at rest waits for its time": {
			saw(after(hour), newDataset(usable)), outline{Next: testMaxAge - hour},
		},
		"a dataset expires at the very second": {
			saw(after(testMaxAge), newDataset(usable)), outline{Expire: true},
		},
		"a dataset stays a second before": {
			saw(after(testMaxAge-time.Second), newDataset(usable)), outline{Next: time.Second},
		},
		"a dataset in use stays past its time": {
			saw(after(testMaxAge), newDataset(usable), runs(using("a"))), outline{Vetoes: active},
		},
		"a run that waits to be bound does not keep a dataset past its time": {
			saw(after(testMaxAge), newDataset(usable), runs(waiting("a"))), outline{Expire: true},
		},
		"a run that waits does not hide one that is bound": {
			saw(after(testMaxAge), newDataset(usable), runs(waiting("a"), using("b"))), outline{Vetoes: active},
		},
		"a run that is suspended does not keep a dataset past its time": {
			saw(after(testMaxAge), newDataset(usable), runs(suspended("a"))), outline{Expire: true},
		},
		"but the time after training does not begin with it": {
			saw(after(hour), newDataset(usable), runs(suspended("a"), ended("b", after(0)))), outline{Next: testMaxAge - hour},
		},
		"a run that is suspended does not hide one that trains": {
			saw(after(testMaxAge), newDataset(usable), runs(suspended("a"), using("b"))), outline{Vetoes: active},
		},
		"a dataset that found no turn at the store tries again soon": {
			saw(after(hour), newDataset(sealSeen, placed), noTurn), outline{Next: busyRetry},
		},
		"it does not miss its time over that": {
			saw(after(testMaxAge-time.Second), newDataset(sealSeen, placed), noTurn), outline{Next: time.Second},
		},
		"a run that waits for an upload does not keep the upload": {
			saw(after(testMaxAge), newDataset(placed), runs(waiting("a"))), outline{Expire: true},
		},
	})
}

func TestDecideHold(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	until := after(testMaxAge + 10*hour)
	hold := []string{v1alpha1.ReasonOnHold}
	checkDecisions(t, map[string]decision{
		"a new hold is noted": {
			saw(after(hour), newDataset(usable, onHold(until))), outline{Note: "held", Next: testMaxAge - hour},
		},
		"a hold that is known is not noted again": {
			saw(after(hour), newDataset(usable, onHold(until), knownHold(until))), outline{Next: testMaxAge - hour},
		},
		"a hold that ends before the expiry is looked at then": {
			saw(after(hour), newDataset(usable, onHold(after(3*hour)), knownHold(after(3*hour)))), outline{Next: 2 * hour},
		},
		"a hold that is made longer is noted": {
			saw(after(hour), newDataset(usable, onHold(until), knownHold(after(2*hour)))), outline{Note: "held", Next: testMaxAge - hour},
		},
		"a hold with another reason is noted": {
			saw(after(hour), newDataset(usable, onHold(until), knownHold(until), func(d *v1alpha1.DatasetRetention) { d.Spec.Hold.Reason = "another" })),
			outline{Note: "held", Next: testMaxAge - hour},
		},
		"a hold that is taken away is noted": {
			saw(after(hour), newDataset(usable, knownHold(until))), outline{Note: "released", Next: testMaxAge - hour},
		},
		"a hold whose time is over is noted": {
			saw(after(3*hour), newDataset(usable, onHold(after(2*hour)), knownHold(after(2*hour)))),
			outline{Note: "released", Next: testMaxAge - 3*hour},
		},
		"a hold that was over when it was set is none": {
			saw(after(3*hour), newDataset(usable, onHold(after(2*hour)))), outline{Next: testMaxAge - 3*hour},
		},
		"a hold of what has no place yet waits for the place": {
			saw(after(0), newDataset(onHold(until))), outline{Place: true, Next: testMaxAge},
		},
		"a hold keeps data past its time": {
			saw(after(testMaxAge), newDataset(usable, onHold(until), knownHold(until))), outline{Vetoes: hold, Next: 10 * hour},
		},
		"also before it is noted": {
			saw(after(testMaxAge), newDataset(usable, onHold(until))), outline{Note: "held", Vetoes: hold, Next: 10 * hour},
		},
		"nothing expires before the end of the hold is noted": {
			saw(until, newDataset(usable, onHold(until), knownHold(until))), outline{Note: "released"},
		},
		"then it does": {
			saw(until, newDataset(usable, onHold(until))), outline{Expire: true},
		},
		"a hold keeps deleted data and its key": {
			saw(after(2*hour), newDataset(usable, deleted, onHold(until), knownHold(until))), outline{Vetoes: hold, Next: testMaxAge + 8*hour},
		},
		"a hold on deleted data is noted": {
			saw(after(2*hour), newDataset(usable, deleted, onHold(until))),
			outline{Note: "held", Vetoes: hold, Next: testMaxAge + 8*hour},
		},
		"no key is destroyed before the end of the hold is noted": {
			saw(after(2*hour), newDataset(usable, deleted, knownHold(until))), outline{Note: "released"},
		},
		"then it is": {
			saw(after(2*hour), newDataset(usable, deleted)), outline{DestroyKey: true},
		},
		"a hold that comes when the erase has begun changes nothing": {
			saw(after(2*hour), newDataset(usable, deleted, begins, onHold(until))), outline{DestroyKey: true},
		},
		"nor does one that comes after the key": {
			saw(after(2*hour), newDataset(usable, deleted, keyless, onHold(until)), inventory(1, 1, 0)), outline{Erase: true},
		},
		"a hold on what never was there keeps nothing": {
			saw(after(2*hour), newDataset(deleted, onHold(until)), inventory(0, 0, 0)), outline{Release: true},
		},
	})
}

func TestDecideErase(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	active := []string{v1alpha1.ReasonRunsActive}
	refused := []string{v1alpha1.ReasonEraseRefused}
	checkDecisions(t, map[string]decision{
		"of a deleted dataset without users the key goes first": {
			saw(after(hour), newDataset(usable, deleted)), outline{DestroyKey: true},
		},
		"an erase does not wait for a run that is suspended": {
			saw(after(hour), newDataset(usable, deleted), runs(suspended("a"))), outline{DestroyKey: true},
		},
		"also if that was announced already": {
			saw(after(hour), newDataset(usable, deleted, begins)), outline{DestroyKey: true},
		},
		"the key of a dataset that was just uploaded goes at once": {
			saw(after(hour), newDataset(placed, deleted)),
			outline{DestroyKey: true, Vetoes: []string{v1alpha1.ReasonUploadsPossible}, Next: staging.UploadLife + staging.ClockSkew},
		},
		"then the data is counted and erased": {
			saw(after(hour), newDataset(usable, deleted, keyless), inventory(4, 400, 0)), outline{Erase: true},
		},
		"data without a key of its own is erased at once": {
			saw(after(hour), newDataset(usable, underBucketKey, deleted), inventory(4, 400, 0)), outline{Erase: true},
		},
		"an erase goes on with the counts of its first try": {
			saw(after(hour), newDataset(usable, deleted, inventoried)), outline{Erase: true},
		},
		"nothing is erased that could not be counted": {
			saw(after(hour), newDataset(usable, deleted, keyless), storeFailed(errAny)), outline{},
		},
		"a key waits for runs": {
			saw(after(hour), newDataset(usable, deleted), runs(using("a"))), outline{Vetoes: active},
		},
		"an erase waits for runs": {
			saw(after(hour), newDataset(usable, deleted, inventoried), runs(using("a"))), outline{Vetoes: active},
		},
		"a key waits for runs that may be about to be bound": {
			saw(after(hour), newDataset(usable, deleted), runs(waiting("a"))), outline{Vetoes: active},
		},
		"a key waits for local copies": {
			saw(after(hour), newDataset(usable, deleted), copies("pod/a")), outline{Vetoes: active, Next: copiesRetry},
		},
		"an erase that found no turn at the store tries again soon": {
			saw(after(hour), newDataset(usable, deleted, keyless), noTurn), outline{Next: busyRetry},
		},
		"runs that ended do not hold an erase up": {
			saw(after(hour), newDataset(usable, deleted, inventoried), runs(ended("a", after(0)))), outline{Erase: true},
		},
		"a place with another prefix is not erased": {
			saw(after(hour), newDataset(usable, deleted, inventoried, movedTo(testBucket, "team-b/other/"))), outline{Vetoes: refused},
		},
		"nor is its key destroyed": {
			saw(after(hour), newDataset(usable, deleted, movedTo(testBucket, "team-b/other/"))), outline{Vetoes: refused},
		},
		"a place in another bucket is not erased": {
			saw(after(hour), newDataset(usable, deleted, inventoried, movedTo("artifacts", "team-a/"+string(testUID)+"/"))), outline{Vetoes: refused},
		},
		"the refusal comes before the runs": {
			saw(after(hour), newDataset(usable, deleted, movedTo("artifacts", "x/")), runs(using("a"))),
			outline{Vetoes: append(slices.Clone(refused), active...)},
		},
		"a dataset that never had a place is let go once a listing was empty": {
			saw(after(hour), newDataset(deleted), inventory(0, 0, 0)), outline{Release: true},
		},
		"a dataset that never had a place stays until there is a listing": {
			saw(after(hour), newDataset(deleted)), outline{},
		},
		"what lies there without a record is erased": {
			saw(after(hour), newDataset(deleted), inventory(2, 20, 0)), outline{Erase: true},
		},
		"and not let go when it is gone": {
			saw(after(hour), newDataset(deleted, inventoried), inventory(0, 0, 0)), outline{Erase: true},
		},
		"a dataset whose status was lost is erased as any other": {
			saw(after(2*hour), newDataset(deleted), recorded), outline{DestroyKey: true},
		},
		"also if nothing is there any more": {
			saw(after(2*hour), newDataset(deleted, keyless), recorded, inventory(0, 0, 0)), outline{Erase: true},
		},
		"nothing is erased while the ledger can not be read": {
			saw(after(2*hour), newDataset(deleted, inventoried), storeFailed(errAny)), outline{},
		},
	})
}

func TestDecideEraseWaitsForUploads(t *testing.T) {
	t.Parallel()
	const hour, life = time.Hour, staging.UploadLife + staging.ClockSkew
	possible := []string{v1alpha1.ReasonUploadsPossible}
	sealedAt := func(when time.Time) datasetMod {
		return func(d *v1alpha1.DatasetRetention) { d.Status.SealedTime = at(when) }
	}
	checkDecisions(t, map[string]decision{
		"an open dataset is not erased in the moment of its deletion": {
			saw(after(hour), newDataset(placed, deleted, keyless), inventory(1, 1, 0)), outline{Vetoes: possible, Next: life},
		},
		"nor a second before the credentials have ended": {
			saw(after(hour+life-time.Second), newDataset(placed, deleted, keyless), inventory(1, 1, 0)),
			outline{Vetoes: possible, Next: time.Second},
		},
		"it is when they have": {
			saw(after(hour+life), newDataset(placed, deleted, keyless), inventory(1, 1, 0)), outline{Erase: true},
		},
		"a dataset whose seal nobody saw counts as open": {
			saw(after(hour), newDataset(placed, sealed, deleted, keyless)), outline{Vetoes: possible, Next: life},
		},
		"a dataset that was sealed a moment before waits for the rest": {
			saw(after(hour), newDataset(usable, deleted, keyless, sealedAt(after(hour-20*time.Second))), inventory(1, 1, 0)),
			outline{Vetoes: possible, Next: life - 20*time.Second},
		},
		"one that was sealed long before does not wait": {
			saw(after(hour), newDataset(usable, deleted, keyless, sealedAt(after(hour-life))), inventory(1, 1, 0)), outline{Erase: true},
		},
		"one that never had a place does not wait": {
			saw(after(hour), newDataset(deleted), inventory(0, 0, 0)), outline{Release: true},
		},
		"one whose place is known to the ledger only does": {
			saw(after(hour), newDataset(deleted), recorded), outline{DestroyKey: true, Vetoes: possible, Next: life},
		},
		"runs are the graver reason": {
			saw(after(hour), newDataset(placed, deleted), runs(using("a"))),
			outline{Vetoes: []string{v1alpha1.ReasonRunsActive, v1alpha1.ReasonUploadsPossible}, Next: life},
		},
	})
}

// TestNeverTakesDataFromUsers draws thousands of situations and checks the rules
// that must hold in all of them.
func TestNeverTakesDataFromUsers(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var took, kept int
	for range 50_000 {
		seen := anySituation(random)
		p := decide(seen)
		checkTimes(t, seen, p)
		checkUsers(t, seen, p)
		checkHold(t, seen, p)
		if p.destroyKey || p.expire || p.erase || p.release {
			took++
		} else {
			kept++
		}
	}
	if took < 1000 || kept < 1000 {
		t.Errorf("the situations are one-sided: %d taken, %d kept", took, kept)
	}
}

// checkHold wants that nothing is lost under a hold, but for what was lost before, and
// nothing before the ledger knows how the hold ended.
func checkHold(t *testing.T, seen observed, p plan) {
	t.Helper()
	takes := p.expire || p.destroyKey || p.erase
	d := seen.dataset
	if hold := d.Spec.Hold; takes && hold != nil && seen.now.Before(hold.Until.Time) && d.Status.Erasure == nil && !neverPlaced(seen) {
		t.Fatalf("takes what is on hold:\n%+v\n%+v", p, seen)
	}
	if takes && d.Status.Hold != nil && d.Status.Erasure == nil && d.Status.Location != nil {
		t.Fatalf("takes what the ledger thinks to be on hold:\n%+v\n%+v", p, seen)
	}
	if takes && p.note != nil {
		t.Fatalf("takes what the ledger has to hear of first:\n%+v\n%+v", p, seen)
	}
	if p.erase && ownKey(d) && !neverPlaced(seen) && d.Status.Erasure.KeyDestroyedTime == nil {
		t.Fatalf("erases before the key is destroyed:\n%+v\n%+v", p, seen)
	}
}

func checkTimes(t *testing.T, seen observed, p plan) {
	t.Helper()
	limit := seen.dataset.CreationTimestamp.Add(seen.limits.age(seen.dataset.Spec.Retention))
	if got := expiry(seen); got.After(limit) {
		t.Fatalf("expires at %v, after the maximal age %v:\n%+v", got, limit, seen)
	}
	if before := seen.dataset.Status.LastUsedTime; before != nil && lastUse(seen).Before(before.Time) {
		t.Fatalf("the last use went back:\n%+v", seen)
	}
	if p.expire && seen.now.Before(expiry(seen)) {
		t.Fatalf("expires too early:\n%+v", seen)
	}
}

func checkUsers(t *testing.T, seen observed, p plan) {
	t.Helper()
	if (p.erase || p.destroyKey) && (!seen.deleted() || len(seen.copies) > 0) {
		t.Fatalf("erases a dataset that is not deleted or has copies:\n%+v", seen)
	}
	if p.erase && (seen.dataset.Status.Location != nil || seen.recorded) {
		lastGrant := seen.dataset.DeletionTimestamp
		if seen.dataset.Status.SealedTime != nil {
			lastGrant = seen.dataset.Status.SealedTime
		}
		if seen.now.Sub(lastGrant.Time) < 70*time.Second {
			t.Fatalf("erases while somebody may have credentials to upload:\n%+v", seen)
		}
	}
	if !p.expire && !p.erase && !p.destroyKey {
		return
	}
	for _, r := range seen.runs {
		if !r.finished && (r.bound || !p.expire) {
			t.Fatalf("takes the data from run %s:\n%+v\n%+v", r.name, p, seen)
		}
	}
}

func anySituation(random *rand.Rand) observed {
	coin := func() bool { return random.IntN(2) == 0 }
	some := func() time.Duration { return time.Duration(random.IntN(2000)) * time.Hour }
	d := newDataset(keep(some(), some()))
	mods := []datasetMod{
		sealed, placed, usable, deleted, begins, keyless, inventoried, underBucketKey,
		onHold(after(some())), knownHold(after(some())), lastUsed(after(some())), wasActive("a", "z"),
	}
	for _, mod := range mods {
		if coin() {
			mod(d)
		}
	}
	now := after(some())
	if coin() {
		now = after(time.Hour + time.Duration(random.IntN(120))*time.Second) // About when it was deleted.
	}
	seen := saw(now, d)
	for _, name := range []string{"a", "b", "c"} {
		if coin() {
			continue
		}
		r := run{name: name, finished: random.IntN(4) > 0, bound: pinned(d) && coin()}
		if r.finished && coin() {
			r.ended = after(some())
		}
		seen.runs = append(seen.runs, r)
	}
	if seen.deleted() && coin() {
		inventory(1, 1, 1)(&seen)
	}
	if seen.deleted() && random.IntN(4) == 0 {
		copies("pod/a")(&seen)
	}
	if seen.deleted() && coin() {
		recorded(&seen)
	}
	if coin() {
		under(Limits{MaxAgeCeiling: some() + time.Hour, AfterTrainingFloor: some()})(&seen)
	}
	return seen
}

func TestHave(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		names []string
		want  string
	}{
		"one":  {[]string{"a"}, "run a has"},
		"two":  {[]string{"a", "b"}, "runs a, b have"},
		"many": {[]string{"a", "b", "c", "d", "e"}, "runs a, b, c and 2 more have"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := runsHave(c.names); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
