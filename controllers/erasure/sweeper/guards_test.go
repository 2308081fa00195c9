package sweeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
)

// TestWhoseKeyItIs: a key is found by its UID alone, so data in the place of another
// owner with that UID must not cost a living dataset its key.
func TestWhoseKeyItIs(t *testing.T) {
	t.Parallel()
	live := at(datasets, "team-a", uid1)
	for name, c := range map[string]struct {
		bucket string
		// arrange makes the orphan of what is at the place of the copy.
		arrange func(*world, place)
	}{
		"a copy that nobody has recorded":        {datasets, func(*world, place) {}},
		"a copy among the artifacts":             {artifacts, func(*world, place) {}},
		"a copy with a record of its own":        {datasets, func(w *world, p place) { w.record(p) }},
		"a copy that was an orphan before":       {datasets, func(w *world, p place) { w.record(p); w.note(p, objectkey.LedgerOrphaned, epoch) }},
		"artifacts whose namespace went":         {artifacts, func(w *world, p place) { w.record(p); w.note(p, objectkey.LedgerRetained, epoch) }},
		"a copy in the place of an erased owner": {datasets, func(w *world, p place) { w.record(p); w.note(p, objectkey.LedgerErased, epoch) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.namespace("team-a")
			w.alive(live)
			backup := at(c.bucket, "backup", uid1)
			w.fill(backup)
			c.arrange(w, backup)
			s := w.sweeper(t)
			sweep(t, s)
			w.clock.Step(grace)
			sweep(t, s)
			if !w.data[backup].Empty() {
				t.Error("the copy was not erased")
			}
			if !w.keys[uid1] || w.did("destroy") > 0 || w.data[live].Empty() {
				t.Error("the living dataset has lost its key or its data")
			}
			r, written := w.receipts[uid1]
			if written && (!slices.Equal(r.Methods, []string{objectkey.MethodObjectsRemoved}) || r.KeyID != "" || r.KeyDestroyedTime != nil) {
				t.Errorf("the receipt claims a key: %+v", r)
			}
		})
	}
}

// TestAKeyIsDestroyedForItsOwnerOnly also once no other dataset has the UID any more.
func TestAKeyIsDestroyedForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	w := newWorld()
	found, run := at(datasets, "ns", uid1), at(artifacts, "gone", uid2)
	w.record(run)
	for _, p := range []place{found, run} {
		w.fill(p)
		w.keys[p.uid()] = true
	}
	s := w.sweeper(t)
	sweep(t, s)
	w.clock.Step(grace)
	if sweep(t, s).Erased[KindOrphan] != 2 || !w.keys[uid1] || !w.keys[uid2] {
		t.Error("artifacts, or what the sweeper has found by itself, are not erased, or cost a key that may be somebody's")
	}
}

// TestUnrecordedIsOnlyReported: a ledger that was lost or set back makes everything look
// as if nobody had recorded it.
func TestUnrecordedIsOnlyReported(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.opts.EraseUnrecorded = false
	w.opts.Grace = -1
	for i := range 5 {
		w.fill(at(datasets, "ns", fmt.Sprintf("%08d-2222-4333-8444-555555555555", i)))
	}
	w.fill(at(artifacts, "gone", uid1))
	s := w.sweeper(t)
	for range 3 {
		report := sweep(t, s)
		wantFindings(t, report, map[Kind]int{KindUnrecorded: 6})
	}
	if len(w.accounts) > 0 || len(w.data) != 6 || w.did("open") > 0 {
		t.Error("something was opened or erased")
	}
}

// TestNoSweepWithoutALedger: a bucket that is new or another cluster's has no records.
func TestNoSweepWithoutALedger(t *testing.T) {
	t.Parallel()
	for _, bucket := range []string{accounts, datasets, artifacts} {
		t.Run(bucket, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			p := at(datasets, "ns", uid1)
			w.record(p)
			w.note(p, objectkey.LedgerErased, epoch)
			w.fill(p)
			w.ids[bucket] = ""
			if _, err := w.sweeper(t).Sweep(t.Context()); !errors.Is(err, erasure.ErrUnknownStore) {
				t.Errorf("the sweep says %v", err)
			}
			if w.data[p].Empty() || w.did("list") > 0 {
				t.Error("the sweep did not end at once")
			}
		})
	}
}

// TestANamespaceThatIsUsedAgain: artifacts that outlived their run go with their
// namespace, also when another has taken its name by the end of the grace.
func TestANamespaceThatIsUsedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld()
	p := at(artifacts, "team-a", uid1)
	w.record(p)
	w.note(p, objectkey.LedgerRetained, epoch)
	w.fill(p)
	s := w.sweeper(t)
	if sweep(t, s).Marked != 1 {
		t.Fatal("the end of the namespace is not written down")
	}
	w.namespace("team-a")
	w.clock.Step(grace)
	sweep(t, s)
	w.wantErased(t, p)
}

// TestBreakerIsNotDiluted by what can be no orphan, or is one already.
func TestBreakerIsNotDiluted(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.opts.BreakerMin = 2
	uid := func(i int) string { return fmt.Sprintf("%08d-2222-4333-8444-555555555555", i) }
	for i := range 3 {
		p := at(datasets, "ns", uid(i))
		w.record(p)
		w.fill(p)
	}
	for i := range 400 {
		p := at(artifacts, "ns", uid(1000+i))
		w.record(p)
		if i%2 == 0 {
			w.object(p, "")
			continue
		}
		w.note(p, objectkey.LedgerRetained, epoch)
	}
	for i := range 400 {
		p := at(datasets, "ns", uid(2000+i))
		w.record(p)
		w.note(p, objectkey.LedgerOrphaned, epoch)
		w.hold(p, epoch.Add(10*grace))
	}
	s := w.sweeper(t)
	sweep(t, s)
	w.clock.Step(grace)
	report := sweep(t, s)
	if report.Findings[KindBreakerOpen] != 1 || len(w.data) != 3 {
		t.Errorf("three of three datasets were erased, because there are many others: %+v", report.Findings)
	}
	if report.Active != 803 {
		t.Errorf("%d records are active, want all 803", report.Active)
	}
}

// TestOneUnreadableNamespace: what can not be read in one namespace is nobody else's
// trouble, and nothing of it is touched.
func TestOneUnreadableNamespace(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]string{"from the start": "", "right before the erase": "identity", "when its runs are asked": "used"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.namespace("bad")
			bad, orphan, late := at(datasets, "bad", uid1), at(datasets, "ns", uid2), at(datasets, "ns", uid3)
			for _, p := range []place{bad, orphan} {
				w.record(p)
				w.note(p, objectkey.LedgerOrphaned, epoch.Add(-2*grace))
			}
			w.record(late)
			w.note(late, objectkey.LedgerErased, epoch)
			for _, p := range []place{bad, orphan, late} {
				w.fill(p)
			}
			objects := &halfCluster{objectsOf: objectsOf{w}, bad: "bad"}
			w.opts.Objects = objects
			s := w.sweeper(t)
			objects.whole = when != ""
			sweep(t, s)
			calls := 0
			w.before[when] = func() {
				if calls++; when == "used" || calls > 3 {
					objects.whole = false
				}
			}
			report, err := s.Sweep(t.Context())
			if errors.Is(err, errTest) || when != "used" && err != nil {
				t.Errorf("the sweep says %v", err)
			}
			if when == "" && report.Findings[KindDamaged] != 1 {
				t.Errorf("findings: %v", report.Findings)
			}
			w.wantErased(t, orphan)
			if !w.data[late].Empty() || w.data[bad].Empty() || !w.keys[bad.uid()] {
				t.Error("the others are not erased, or what can not be read is")
			}
		})
	}
}

// halfCluster can not read one namespace, unless it is whole.
type halfCluster struct {
	objectsOf
	bad   string
	whole bool
}

func (h *halfCluster) Look(ctx context.Context, namespace string) (Census, error) {
	census, err := h.objectsOf.Look(ctx, namespace)
	if err == nil && namespace == h.bad && !h.whole {
		return Census{}, fmt.Errorf("look: %w", ErrUnreadable)
	}
	return census, err
}

func (h *halfCluster) Used(ctx context.Context, namespace string, uid types.UID) (bool, error) {
	used, err := h.objectsOf.Used(ctx, namespace, uid)
	if err == nil && namespace == h.bad && !h.whole {
		return false, fmt.Errorf("used: %w", ErrUnreadable)
	}
	return used, err
}

// TestResurrectedIsNeverSwept, whatever there is: a run may use it.
func TestResurrectedIsNeverSwept(t *testing.T) {
	t.Parallel()
	w := newWorld()
	p := at(datasets, "ns", uid1)
	w.object(p, v1alpha1.DatasetInUse)
	w.record(p)
	w.note(p, objectkey.LedgerErased, epoch)
	w.fill(p)
	w.used[uid1] = true
	s := w.sweeper(t)
	for range 3 {
		wantFindings(t, sweep(t, s), map[Kind]int{KindResurrected: 1})
	}
	if w.data[p].Empty() || w.did("erase") > 0 || w.did("destroy") > 0 || !strings.Contains(w.logs.String(), "Resurrected") {
		t.Error("it was swept, or nobody was told")
	}
}

// TestLateDataOfWhatIsBack: the object comes back between the look and the erase.
func TestLateDataOfWhatIsBack(t *testing.T) {
	t.Parallel()
	w := newWorld()
	p := at(datasets, "ns", uid1)
	w.record(p)
	w.note(p, objectkey.LedgerErased, epoch)
	w.fill(p)
	identities := 0
	w.before["identity"] = func() {
		if identities++; identities > 3 { // The fourth is asked for right before the erase.
			w.object(p, v1alpha1.DatasetInUse)
		}
	}
	wantFindings(t, sweep(t, w.sweeper(t)), map[Kind]int{KindLateData: 1})
	if w.data[p].Empty() || w.did("destroy") > 0 || w.did("erase") > 0 {
		t.Error("what is alive was swept")
	}
}
