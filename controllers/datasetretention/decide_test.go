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
	Adopt, Release, Expire, Erase bool
	Vetoes                        []string
	Next                          time.Duration
}

func outlineOf(p plan) outline {
	o := outline{Adopt: p.adopt, Release: p.release, Expire: p.expire, Erase: p.erase, Next: p.next}
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
		"a new dataset gets the finalizer": {
			saw(after(0), newDataset(raw)), outline{Adopt: true, Next: testMaxAge},
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

func TestDecideErase(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	active := []string{v1alpha1.ReasonRunsActive}
	refused := []string{v1alpha1.ReasonEraseRefused}
	checkDecisions(t, map[string]decision{
		"a deleted dataset without users is erased": {
			saw(after(hour), newDataset(usable, deleted), inventory(4, 400, 0)), outline{Erase: true},
		},
		"an erase goes on with the counts of its first try": {
			saw(after(hour), newDataset(usable, deleted, counted)), outline{Erase: true},
		},
		"nothing is erased that could not be counted": {
			saw(after(hour), newDataset(usable, deleted), storeFailed(errAny)), outline{},
		},
		"an erase waits for runs": {
			saw(after(hour), newDataset(usable, deleted, counted), runs(using("a"))), outline{Vetoes: active},
		},
		"an erase waits for runs that may be about to be bound": {
			saw(after(hour), newDataset(usable, deleted), runs(waiting("a"))), outline{Vetoes: active},
		},
		"an erase waits for local copies": {
			saw(after(hour), newDataset(usable, deleted, counted), copies("pod/a")), outline{Vetoes: active, Next: copiesRetry},
		},
		"an erase that found no turn at the store tries again soon": {
			saw(after(hour), newDataset(usable, deleted), noTurn), outline{Next: busyRetry},
		},
		"runs that ended do not hold an erase up": {
			saw(after(hour), newDataset(usable, deleted, counted), runs(ended("a", after(0)))), outline{Erase: true},
		},
		"a place with another prefix is not erased": {
			saw(after(hour), newDataset(usable, deleted, counted, movedTo(testBucket, "team-b/other/"))), outline{Vetoes: refused},
		},
		"a place in another bucket is not erased": {
			saw(after(hour), newDataset(usable, deleted, counted, movedTo("artifacts", "team-a/"+string(testUID)+"/"))), outline{Vetoes: refused},
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
		"a dataset whose status was lost is erased": {
			saw(after(hour), newDataset(deleted), inventory(2, 20, 0)), outline{Erase: true},
		},
		"a dataset whose place was taken from its status is erased all the same": {
			saw(after(hour), newDataset(usable, deleted, counted, func(d *v1alpha1.DatasetRetention) { d.Status.Location = nil })),
			outline{Erase: true},
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
			saw(after(hour), newDataset(placed, deleted), inventory(1, 1, 0)), outline{Vetoes: possible, Next: life},
		},
		"nor a second before the credentials have ended": {
			saw(after(hour+life-time.Second), newDataset(placed, deleted), inventory(1, 1, 0)),
			outline{Vetoes: possible, Next: time.Second},
		},
		"it is when they have": {
			saw(after(hour+life), newDataset(placed, deleted), inventory(1, 1, 0)), outline{Erase: true},
		},
		"a dataset whose seal nobody saw counts as open": {
			saw(after(hour), newDataset(placed, sealed, deleted)), outline{Vetoes: possible, Next: life},
		},
		"a dataset that was sealed a moment before waits for the rest": {
			saw(after(hour), newDataset(usable, deleted, sealedAt(after(hour-20*time.Second))), inventory(1, 1, 0)),
			outline{Vetoes: possible, Next: life - 20*time.Second},
		},
		"one that was sealed long before does not wait": {
			saw(after(hour), newDataset(usable, deleted, sealedAt(after(hour-life))), inventory(1, 1, 0)), outline{Erase: true},
		},
		"one that never had a place does not wait": {
			saw(after(hour), newDataset(deleted), inventory(0, 0, 0)), outline{Release: true},
		},
		"one whose place was taken from its status does": {
			saw(after(hour), newDataset(placed, deleted, func(d *v1alpha1.DatasetRetention) { d.Status.Location = nil })),
			outline{Vetoes: possible, Next: life},
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
		if p.expire || p.erase || p.release {
			took++
		} else {
			kept++
		}
	}
	if took < 1000 || kept < 1000 {
		t.Errorf("the situations are one-sided: %d taken, %d kept", took, kept)
	}
}

func checkTimes(t *testing.T, seen observed, p plan) {
	t.Helper()
	limit := seen.dataset.CreationTimestamp.Add(seen.dataset.Spec.Retention.Limit())
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
	if p.erase && (!seen.deleted() || len(seen.copies) > 0) {
		t.Fatalf("erases a dataset that is not deleted or has copies:\n%+v", seen)
	}
	if p.erase && seen.dataset.Status.ObservedGeneration > 0 {
		lastGrant := seen.dataset.DeletionTimestamp
		if seen.dataset.Status.SealedTime != nil {
			lastGrant = seen.dataset.Status.SealedTime
		}
		if seen.now.Sub(lastGrant.Time) < 70*time.Second {
			t.Fatalf("erases while somebody may have credentials to upload:\n%+v", seen)
		}
	}
	if !p.expire && !p.erase {
		return
	}
	for _, r := range seen.runs {
		if !r.finished && (r.bound || p.erase) {
			t.Fatalf("takes the data from run %s:\n%+v\n%+v", r.name, p, seen)
		}
	}
}

func anySituation(random *rand.Rand) observed {
	coin := func() bool { return random.IntN(2) == 0 }
	some := func() time.Duration { return time.Duration(random.IntN(2000)) * time.Hour }
	d := newDataset(keep(some(), some()))
	for _, mod := range []datasetMod{sealed, placed, usable, deleted, counted, lastUsed(after(some())), wasActive("a", "z")} {
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
