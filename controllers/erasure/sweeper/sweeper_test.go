package sweeper

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
)

// sweep sweeps once and wants it to be complete.
func sweep(t *testing.T, s *Sweeper) Report {
	t.Helper()
	report, err := s.Sweep(t.Context())
	if err != nil {
		t.Fatalf("sweep: %v", err)
	}
	return report
}

// wantFindings compares the findings that are not 0.
func wantFindings(t *testing.T, r Report, want map[Kind]int) {
	t.Helper()
	if diff := cmp.Diff(want, r.Findings); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// alive puts a dataset into the world that is as it should be.
func (w *world) alive(p place) {
	w.object(p, v1alpha1.DatasetReady)
	w.record(p)
	w.fill(p)
}

// neighbours are owners that no sweep may touch, with all that belongs to them.
func (w *world) neighbours() (check func(*testing.T)) {
	w.namespace("neighbours")
	dataset, run := at(datasets, "neighbours", uid4), at(artifacts, "neighbours", uid5)
	w.alive(dataset)
	w.record(run)
	w.note(run, objectkey.LedgerRetained, epoch.Add(-100*time.Hour))
	w.fill(run)
	held := at(datasets, "neighbours", uid6)
	w.record(held)
	w.note(held, objectkey.LedgerOrphaned, epoch.Add(-10*grace))
	w.hold(held, epoch.Add(1000*time.Hour))
	w.fill(held)
	return func(t *testing.T) {
		t.Helper()
		for _, p := range []place{dataset, run, held} {
			if w.data[p].Empty() || len(w.receipts) > 0 && w.receipts[p.uid()].Kind != "" {
				t.Errorf("the neighbour %s was touched", p.prefix())
			}
		}
		if !w.keys[dataset.uid()] || !w.keys[held.uid()] {
			t.Error("a neighbour's key was destroyed")
		}
	}
}

// TestBypasses goes each way round the finalizer.
func TestBypasses(t *testing.T) {
	t.Parallel()
	dataset, run := at(datasets, "ns", uid1), at(artifacts, "ns", uid2)
	both, first := []place{dataset, run}, []place{dataset}
	for name, c := range map[string]struct {
		bypass func(*world)
		// erased are those that go in the end. Artifacts stay while nobody can know what
		// their owner wanted.
		erased []place
	}{
		"the finalizer was patched away": {func(w *world) {
			delete(w.spaces["ns"][objectkey.ResourceDataset], dataset.uid())
			delete(w.spaces["ns"][objectkey.ResourceRun], run.uid())
		}, first},
		"the end of the namespace was forced": {func(w *world) { delete(w.spaces, "ns") }, both},
		"the CRDs were deleted": {func(w *world) {
			clear(w.spaces["ns"][objectkey.ResourceDataset])
			clear(w.spaces["ns"][objectkey.ResourceRun])
			clear(w.spaces["neighbours"][objectkey.ResourceRun]) // Its artifacts are retained.
		}, first},
		"etcd was restored from before their creation": {func(w *world) {
			w.spaces["ns"] = map[string]map[types.UID]Object{}
		}, first},
		"the objects were corrupt, deleted unsafely, and the ledger has lost them": {func(w *world) {
			clear(w.spaces["ns"])
			delete(w.accounts, place{owner: dataset.owner})
			delete(w.accounts, place{owner: run.owner})
			delete(w.keys, dataset.uid()) // It could not be told whose it is.
		}, both},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			check := w.neighbours()
			w.alive(dataset)
			w.alive(run)
			s := w.sweeper(t)
			wantFindings(t, sweep(t, s), map[Kind]int{KindHeld: 1})
			c.bypass(w)

			report := sweep(t, s)
			wantFindings(t, report, map[Kind]int{KindOrphan: 2, KindHeld: 1})
			if report.Marked != len(c.erased) || w.did("erase") > 0 || w.did("destroy") > 0 {
				t.Errorf("%d were written down, %d erased", report.Marked, w.did("erase"))
			}
			w.clock.Step(grace - time.Second)
			if report = sweep(t, s); report.Due != 0 || w.did("destroy") > 0 {
				t.Error("the grace is not respected")
			}
			w.clock.Step(time.Second)
			report = sweep(t, s)
			if report.Erased[KindOrphan] != len(c.erased) {
				t.Errorf("%d were erased, want %d", report.Erased[KindOrphan], len(c.erased))
			}
			for _, p := range c.erased {
				w.wantErased(t, p)
			}
			check(t)
			want := map[Kind]int{KindHeld: 1}
			if kept := len(both) - len(c.erased); kept > 0 {
				want[KindOrphan] = kept
				if w.data[run].Empty() {
					t.Error("artifacts were erased that may be wanted")
				}
			}
			wantFindings(t, sweep(t, s), want)
		})
	}
}

// wantErased wants an orphan to be gone with all that belongs to that.
func (w *world) wantErased(t *testing.T, p place) {
	t.Helper()
	if !w.data[p].Empty() {
		t.Errorf("there is data of %s", p.prefix())
	}
	if w.keys[p.uid()] {
		t.Errorf("there is a key of %s", p.prefix())
	}
	if err := w.receipts[p.uid()].Validate(); err != nil {
		// Its place in the chain is the book's to fill in.
		if !strings.Contains(err.Error(), "sequence") {
			t.Errorf("the receipt of %s: %v", p.prefix(), err)
		}
	}
	a := account{Account: *w.accounts[place{owner: p.owner}]}
	erased, _ := a.Last(objectkey.LedgerErased)
	if err := erased.Validate(); err != nil || erased.ReceiptDigest != objectkey.Digest([]byte(p.uid())) {
		t.Errorf("the ledger does not close %s: %+v, %v", p.prefix(), erased, err)
	}
}

func TestReceiptOfAnOrphan(t *testing.T) {
	t.Parallel()
	w := newWorld()
	dataset, empty, unknown := at(datasets, "ns", uid1), at(artifacts, "ns", uid2), at(datasets, "ns", uid3)
	w.record(dataset)
	w.fill(dataset)
	w.record(empty)
	w.fill(unknown)
	s := w.sweeper(t)
	sweep(t, s)
	w.clock.Step(grace)
	sweep(t, s)
	now := epoch.Add(grace)
	want := objectkey.EraseReceipt{
		Kind: objectkey.ReceiptKind, Resource: objectkey.ResourceDataset, Namespace: "ns", UID: uid1,
		Store: storeID, Bucket: datasets, Prefix: "ns/" + uid1 + "/",
		Trigger: objectkey.TriggerOrphaned,
		Methods: []string{objectkey.MethodKeyDestroyed, objectkey.MethodObjectsRemoved},
		KeyID:   keyOf(uid1).ID(), KeyDestroyedTime: &now,
		Versions: 3, VersionBytes: 300, Uploads: 1, StartTime: now, EndTime: now,
		NotCovered: []string{notNodes, notEarly, notLate, notListed, notElsewhere, notTrash, notKeyCopies},
	}
	if diff := cmp.Diff(want, w.receipts[uid1]); diff != "" {
		t.Errorf("receipt of a dataset (-want +got):\n%s", diff)
	}
	want.Resource, want.UID, want.Bucket, want.Prefix = objectkey.ResourceRun, uid2, artifacts, "ns/"+uid2+"/"
	want.Methods, want.KeyID, want.KeyDestroyedTime = []string{objectkey.MethodObjectsRemoved}, "", nil
	want.Versions, want.VersionBytes, want.Uploads = 0, 0, 0
	want.NotCovered = []string{notNodes, notEarly, notLate, notListed, notElsewhere, notTrash}
	if diff := cmp.Diff(want, w.receipts[uid2]); diff != "" {
		t.Errorf("receipt of a record without data (-want +got):\n%s", diff)
	}
	if r := w.receipts[uid3]; r.Resource != objectkey.ResourceDataset || len(r.Methods) != 1 || r.Versions != 3 {
		t.Errorf("receipt of data without a record: %+v", r)
	}
}

func TestGraceNeedsTwoSightings(t *testing.T) {
	t.Parallel()
	w := newWorld()
	p := at(datasets, "ns", uid1)
	w.record(p)
	w.fill(p)
	w.note(p, objectkey.LedgerOrphaned, epoch.Add(-100*grace)) // It found its object again after that.
	s := w.sweeper(t)
	if sweep(t, s).Due != 0 {
		t.Error("it is erased the first time that this process sees it")
	}
	w.object(p, v1alpha1.DatasetReady)
	sweep(t, s)
	delete(w.spaces["ns"][objectkey.ResourceDataset], p.uid())
	if sweep(t, s).Due != 0 {
		t.Error("it is erased although the sweep before had seen its object")
	}
	if sweep(t, s).Erased[KindOrphan] != 1 {
		t.Error("it is not erased although two sweeps have seen it")
	}
}

// TestOtherFindings are those that nothing is done about.
func TestOtherFindings(t *testing.T) {
	t.Parallel()
	p := at(datasets, "ns", uid1)
	for name, c := range map[string]struct {
		arrange    func(*world)
		want       map[Kind]int
		wantEvents []string
	}{
		"all is well": {func(w *world) { w.alive(p) }, map[Kind]int{}, nil},
		"an object came back with etcd": {func(w *world) {
			w.alive(p)
			w.note(p, objectkey.LedgerErased, epoch)
			delete(w.data, p)
		}, map[Kind]int{KindResurrected: 1}, []string{"Warning DatasetRetention ns/thing Resurrected"}},
		"somebody has emptied a dataset's place": {func(w *world) {
			w.alive(p)
			delete(w.data, p)
		}, map[Kind]int{KindDataMissing: 1}, []string{"Warning DatasetRetention ns/thing DataMissing"}},
		"an erase is late": {func(w *world) {
			w.alive(p)
			w.accounts[place{owner: p.owner}].Record.EraseBy = epoch.Add(-time.Hour)
		}, map[Kind]int{KindOverdue: 1}, []string{"Warning DatasetRetention ns/thing Overdue"}},
		"the ledger has lost a record": {func(w *world) {
			w.alive(p)
			clear(w.accounts)
		}, map[Kind]int{KindUnrecorded: 1}, []string{"Warning DatasetRetention ns/thing Unrecorded"}},
		"a bucket was made again": {func(w *world) {
			w.alive(p)
			w.ids[datasets] = otherID
		}, map[Kind]int{KindUnknownStore: 1}, []string{"Warning DatasetRetention ns/thing UnknownStore"}},
		"a record says that its data is elsewhere": {func(w *world) {
			w.alive(p)
			w.accounts[place{owner: p.owner}].Record.Bucket = artifacts
		}, map[Kind]int{KindDamaged: 2}, []string{"Warning DatasetRetention ns/thing Damaged"}},
		"there are things in the buckets that are not ours": {func(w *world) {
			w.alive(p)
			w.foreign[datasets] = append(w.foreign[datasets], "holidays.zip", "ns/", "ns/"+uid2, "ns/holidays/")
			w.foreign[artifacts] = append(w.foreign[artifacts], "ns//")
		}, map[Kind]int{KindForeign: 5}, nil},
		"an object came back with etcd, and somebody gave it data": {func(w *world) {
			w.alive(p)
			w.used[p.uid()] = true
			w.note(p, objectkey.LedgerErased, epoch)
		}, map[Kind]int{KindResurrected: 1}, []string{"Warning DatasetRetention ns/thing Resurrected"}},
		"the ledger has lost everything, and so has the API server": {func(w *world) {
			w.opts.EraseUnrecorded = false
			w.fill(p)
			w.fill(at(artifacts, "ns", uid2))
			w.fill(at(datasets, "gone", uid3))
		}, map[Kind]int{KindUnrecorded: 3}, nil},
		"a run has gone without a word, and its namespace is there": {func(w *world) {
			run := at(artifacts, "ns", uid2)
			w.record(run)
			w.fill(run)
		}, map[Kind]int{KindOrphan: 1}, nil},
		"a run's artifacts have no record": {func(w *world) {
			run := at(artifacts, "ns", uid2)
			w.object(run, "")
			w.fill(run)
		}, map[Kind]int{KindUnrecorded: 1}, []string{"Warning TrainingRun ns/thing Unrecorded"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.opts.Grace = -1
			c.arrange(w)
			before := maps.Clone(w.data)
			s := w.sweeper(t)
			for range 3 {
				wantFindings(t, sweep(t, s), c.want)
				w.clock.Step(grace)
			}
			if diff := cmp.Diff(c.wantEvents, w.events); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			for _, never := range []string{"open", "note orphaned", "note erased", "destroy", "erase", "receipt"} {
				if w.did(never) > 0 {
					t.Errorf("it did %s", never)
				}
			}
			if !maps.Equal(before, w.data) {
				t.Error("data was touched")
			}
			if strings.Contains(w.logs.String(), "holidays") {
				t.Error("the log holds a key")
			}
		})
	}
}

func TestLateData(t *testing.T) {
	t.Parallel()
	w := newWorld()
	check := w.neighbours()
	p := at(datasets, "ns", uid1)
	w.record(p)
	w.note(p, objectkey.LedgerErased, epoch.Add(-time.Hour))
	w.fill(p)
	s := w.sweeper(t)
	report := sweep(t, s)
	if report.Findings[KindLateData] != 1 || report.Erased[KindLateData] != 1 || !w.data[p].Empty() {
		t.Errorf("late data was not erased at once: %+v", report)
	}
	if w.did("receipt") > 0 || w.did("note erased") > 0 {
		t.Error("there is a receipt already")
	}
	check(t)
	if sweep(t, s).Findings[KindLateData] != 0 {
		t.Error("it is found again")
	}
}

func TestMalformedAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld()
	bad, orphan := at(datasets, "ns", uid1), at(datasets, "ns", uid2)
	w.fill(bad)
	w.record(orphan)
	w.fill(orphan)
	w.opts.Ledger = halfLedger{ledgerOf{w}, bad.owner}
	w.opts.Grace = -1
	s := w.sweeper(t)
	sweep(t, s)
	report := sweep(t, s)
	wantFindings(t, report, map[Kind]int{KindDamaged: 1, KindForeign: 1, KindOrphan: 1})
	if w.data[bad].Empty() || !w.data[orphan].Empty() {
		t.Error("what can not be read is left alone, and the others are not")
	}
}

// halfLedger is a ledger with one account that can not be read and a key of nobody.
type halfLedger struct {
	ledgerOf
	bad owner
}

func (u halfLedger) All(ctx context.Context) iter.Seq2[ledger.Account, error] {
	return func(yield func(ledger.Account, error) bool) {
		if !yield(ledger.Account{}, ledger.ErrMalformed) ||
			!yield(ledger.Account{Namespace: u.bad.namespace, UID: string(u.bad.uid())}, ledger.ErrMalformed) {
			return
		}
		u.ledgerOf.All(ctx)(yield)
	}
}

func (u halfLedger) Read(ctx context.Context, namespace, uid string) (ledger.Account, error) {
	if uid == string(u.bad.uid()) {
		return ledger.Account{}, fmt.Errorf("read: %w", ledger.ErrMalformed)
	}
	return u.ledgerOf.Read(ctx, namespace, uid)
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	w := newWorld()
	var all []place
	for i := range 11 {
		p := at(datasets, "ns", fmt.Sprintf("%08d-2222-4333-8444-555555555555", i))
		w.record(p)
		w.fill(p)
		all = append(all, p)
	}
	late := at(datasets, "ns", uid1)
	w.record(late)
	w.note(late, objectkey.LedgerErased, epoch)
	s := w.sweeper(t)
	sweep(t, s)
	w.clock.Step(grace)
	w.fill(late)
	report := sweep(t, s)
	wantFindings(t, report, map[Kind]int{KindOrphan: 11, KindBreakerOpen: 1, KindLateData: 1})
	if len(w.data) != 11 || report.Erased[KindOrphan] > 0 || w.did("receipt") > 0 {
		t.Error("the breaker did not keep the orphans")
	}
	w.opts.BreakerMin = 11
	s = w.sweeper(t)
	sweep(t, s)
	if report := sweep(t, s); report.Erased[KindOrphan] != 11 || report.Findings[KindBreakerOpen] != 0 {
		t.Errorf("raising the least number does not let them pass: %+v", report)
	}
	for _, p := range all {
		w.wantErased(t, p)
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.opts.DryRun = true
	late, orphan, unknown := at(datasets, "ns", uid1), at(datasets, "ns", uid2), at(artifacts, "ns", uid3)
	w.record(late)
	w.note(late, objectkey.LedgerErased, epoch)
	w.record(orphan)
	w.note(orphan, objectkey.LedgerOrphaned, epoch.Add(-2*grace))
	for _, p := range []place{late, orphan, unknown} {
		w.fill(p)
	}
	s := w.sweeper(t)
	sweep(t, s)
	report := sweep(t, s)
	wantFindings(t, report, map[Kind]int{KindLateData: 1, KindOrphan: 2})
	if report.Due != 1 || len(report.Erased) > 0 || report.Marked > 0 || len(w.data) != 3 {
		t.Errorf("a dry run did something, or does not say what it would do: %+v", report)
	}
	for _, never := range []string{"open", "note orphaned", "note erased", "destroy", "erase", "receipt"} {
		if w.did(never) > 0 {
			t.Errorf("it did %s", never)
		}
	}
}

// TestNothingIsErasedWithoutTheWholePicture lets one look after the other fail.
func TestNothingIsErasedWithoutTheWholePicture(t *testing.T) {
	t.Parallel()
	arrange := func(t *testing.T) (*world, *Sweeper) {
		t.Helper()
		w := newWorld()
		w.neighbours()
		late, orphan := at(datasets, "ns", uid1), at(datasets, "ns", uid2)
		w.record(late)
		w.note(late, objectkey.LedgerErased, epoch)
		w.record(orphan)
		w.note(orphan, objectkey.LedgerOrphaned, epoch.Add(-2*grace))
		w.fill(orphan)
		w.foreign[datasets] = append(w.foreign[datasets], "thing")
		s := w.sweeper(t)
		sweep(t, s)
		w.fill(late)
		w.gate.calls, w.done = 0, nil
		return w, s
	}
	w, s := arrange(t)
	sweep(t, s)
	looks := slices.IndexFunc(w.done, func(call string) bool { return call == "get key" })
	if looks < 15 {
		t.Fatalf("only %d calls came before the first erase", looks)
	}
	for n := 1; n <= looks; n++ {
		for _, after := range []bool{false, true} {
			w, s := arrange(t)
			w.gate.failAt, w.gate.after = n, after
			before := maps.Clone(w.data)
			if _, err := s.Sweep(t.Context()); !errors.Is(err, errTest) {
				t.Errorf("call %d fails, and the sweep says %v", n, err)
			}
			destroyed := w.did("destroy") + w.did("erase") + w.did("receipt")
			if destroyed > 0 || !maps.Equal(before, w.data) {
				t.Errorf("call %d fails (after: %v), and %d things were erased", n, after, destroyed)
			}
		}
	}
}

// TestFaults lets each call of two sweeps fail in turn, before and after it takes
// effect, and wants the same end.
func TestFaults(t *testing.T) {
	t.Parallel()
	late, orphan, unknown := at(datasets, "ns", uid1), at(datasets, "ns", uid2), at(datasets, "ns", uid3)
	run := func(t *testing.T, failAt int, after, restart bool) (calls int) {
		t.Helper()
		w := newWorld()
		check := w.neighbours()
		w.record(late)
		w.note(late, objectkey.LedgerErased, epoch)
		w.record(orphan)
		for _, p := range []place{late, orphan, unknown} {
			w.fill(p)
		}
		w.gate.failAt, w.gate.after = failAt, after
		s := w.sweeper(t)
		for i := range 5 {
			_, err := s.Sweep(t.Context())
			failed := w.gate.failAt > 0 && w.gate.calls >= w.gate.failAt
			if err != nil && !failed {
				t.Fatalf("sweep: %v", err)
			}
			if failed && restart {
				s = w.sweeper(t)
			}
			if failed {
				w.gate.failAt = 0
			}
			if i < 2 {
				calls = w.gate.calls
			}
			w.wantOrder(t)
			check(t)
			w.clock.Step(grace)
		}
		w.wantErased(t, orphan)
		w.wantErased(t, unknown)
		if !w.data[late].Empty() {
			t.Error("late data is left")
		}
		if r := w.receipts[orphan.uid()]; !restart && (r.Versions != 3 || r.KeyID != keyOf(orphan.uid()).ID()) {
			t.Errorf("the receipt has forgotten what the erase found first: %+v", r)
		}
		report, err := s.Sweep(t.Context())
		if err != nil || report.Findings[KindOrphan] != 0 || report.Findings[KindLateData] != 0 {
			t.Errorf("it does not come to rest: %+v, %v", report.Findings, err)
		}
		return calls
	}
	calls := run(t, 0, false, false)
	if calls < 50 {
		t.Fatalf("only %d calls", calls)
	}
	points := 0
	for n := 1; n <= calls; n++ {
		for _, after := range []bool{false, true} {
			for _, restart := range []bool{false, true} {
				points++
				run(t, n, after, restart)
				if t.Failed() {
					t.Fatalf("call %d fails, after: %v, restart: %v", n, after, restart)
				}
			}
		}
	}
	t.Logf("%d points", points)
}

// wantOrder wants no account to be closed without a receipt, and no receipt without an
// empty place and a destroyed key.
func (w *world) wantOrder(t *testing.T) {
	t.Helper()
	for uid, r := range w.receipts {
		if !w.data[at(r.Bucket, r.Namespace, r.UID)].Empty() || w.keys[uid] {
			t.Errorf("there is a receipt for %s, and data or a key", uid)
		}
	}
	for p, a := range w.accounts {
		erased, closed := a.Last(objectkey.LedgerErased)
		if closed && erased.ReceiptDigest != "" && w.receipts[p.uid()].Kind == "" {
			t.Errorf("the account of %s is closed without a receipt", p.uid())
		}
	}
}

// TestRaces changes the world between a listing and what follows from it.
func TestRaces(t *testing.T) {
	t.Parallel()
	p := at(datasets, "ns", uid1)
	once := func(do func()) func() {
		did := false
		return func() {
			if !did {
				did = true
				do()
			}
		}
	}
	erase := func(w *world) {
		delete(w.data, p)
		w.note(p, objectkey.LedgerErased, epoch)
		delete(w.spaces["ns"][objectkey.ResourceDataset], p.uid())
	}
	orphan := func(w *world) {
		w.record(p)
		w.fill(p)
		w.note(p, objectkey.LedgerOrphaned, epoch.Add(-2*grace))
	}
	for name, c := range map[string]struct {
		arrange func(*world)
		// call and change: what happens before the first such call of the last sweep.
		call   string
		change func(*world)
		want   map[Kind]int
	}{
		"a regular erase after the store was listed":  {func(w *world) { w.alive(p) }, "all", erase, map[Kind]int{}},
		"a regular erase after the ledger was walked": {func(w *world) { w.alive(p) }, "look", erase, map[Kind]int{}},
		"an upload after the store was listed": {func(w *world) {
			w.object(p, v1alpha1.DatasetOpen)
			w.record(p)
		}, "all", func(w *world) {
			w.fill(p)
			w.object(p, v1alpha1.DatasetReady)
		}, map[Kind]int{}},
		"a dataset that is made after the objects were listed": {func(w *world) {
			other := at(datasets, "ns", uid2)
			w.alive(other)
		}, "look", func(w *world) {
			w.alive(p)
		}, map[Kind]int{}},
		"an object that is back before the erase": {
			orphan, "identity again", func(w *world) { w.object(p, v1alpha1.DatasetReady) }, map[Kind]int{KindOrphan: 1},
		},
		"a hold that is set before the erase": {
			orphan, "identity again", func(w *world) { w.hold(p, epoch.Add(1000*time.Hour)) }, map[Kind]int{KindOrphan: 1},
		},
		"another store before the erase": {
			orphan, "identity again", func(w *world) { w.ids[datasets] = otherID }, map[Kind]int{KindOrphan: 1},
		},
		"a run that uses it": {
			orphan, "used", func(w *world) { w.used[p.uid()] = true }, map[Kind]int{KindOrphan: 1, KindOrphanInUse: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			c.arrange(w)
			s := w.sweeper(t)
			sweep(t, s)
			call, change := c.call, once(func() { c.change(w) })
			if call == "identity again" {
				// The first three are at the beginning of the sweep.
				call = "identity"
				seen := 0
				act := change
				change = func() {
					if seen++; seen > 3 {
						act()
					}
				}
			}
			w.before[call] = change
			report := sweep(t, s)
			wantFindings(t, report, c.want)
			if w.did("destroy") > 0 || w.did("erase") > 0 || w.did("receipt") > 0 {
				t.Error("something was erased")
			}
		})
	}
}

// TestOneFailureKeepsNobodyElse: a place that can not be erased is told of, and the
// others are erased.
func TestOneFailureKeepsNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld()
	locked, orphan := at(datasets, "ns", uid1), at(datasets, "ns", uid2)
	for _, p := range []place{locked, orphan} {
		w.record(p)
		w.fill(p)
	}
	w.opts.Engine = lockedEngine{engineOf{w}, locked}
	s := w.sweeper(t)
	sweep(t, s)
	w.clock.Step(grace)
	report, err := s.Sweep(t.Context())
	if !errors.Is(err, erasure.ErrRefused) {
		t.Errorf("the sweep says %v", err)
	}
	wantFindings(t, report, map[Kind]int{KindOrphan: 2, KindEraseFailed: 1})
	w.wantErased(t, orphan)
	if w.data[locked].Empty() || w.receipts[locked.uid()].Kind != "" {
		t.Error("there is a receipt for what is not erased")
	}
}

type lockedEngine struct {
	engineOf
	locked place
}

func (l lockedEngine) Inventory(ctx context.Context, t erasure.Target) (erasure.Inventory, error) {
	if t.UID == string(l.locked.uid()) {
		return erasure.Inventory{}, &erasure.LockedError{}
	}
	return l.engineOf.Inventory(ctx, t)
}

// TestNoReceiptWithoutTheAuditorsWord: an erase that left something is no erase.
func TestNoReceiptWithoutTheAuditorsWord(t *testing.T) {
	t.Parallel()
	w := newWorld()
	late, orphan := at(datasets, "ns", uid1), at(datasets, "ns", uid2)
	w.record(late)
	w.note(late, objectkey.LedgerErased, epoch)
	w.record(orphan)
	w.fill(late)
	w.fill(orphan)
	w.opts.Engine = lossyEngine{engineOf{w}}
	s := w.sweeper(t)
	if _, err := s.Sweep(t.Context()); !errors.Is(err, erasure.ErrIncomplete) {
		t.Errorf("late data is left, and the sweep says %v", err)
	}
	w.clock.Step(grace)
	report, err := s.Sweep(t.Context())
	if !errors.Is(err, erasure.ErrIncomplete) || report.Findings[KindEraseFailed] != 2 || len(report.Erased) > 0 {
		t.Errorf("data is left, and the sweep says %v: %+v", err, report)
	}
	if w.did("receipt") > 0 || w.did("note erased") > 0 {
		t.Error("there is a receipt for data that is left")
	}
}

// lossyEngine says that it has erased, and has not.
type lossyEngine struct{ engineOf }

func (l lossyEngine) Erase(context.Context, erasure.Target, func(erasure.Inventory)) (erasure.Inventory, error) {
	return erasure.Inventory{}, nil
}
