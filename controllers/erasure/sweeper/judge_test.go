package sweeper

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
)

// open is an account with a record at this place.
func open(p place, events ...objectkey.LedgerEvent) account {
	w := newWorld()
	a := w.record(p)
	for _, e := range events {
		a.Events[e.Event] = append(a.Events[e.Event], e)
	}
	return account{Account: *a}
}

func event(name string, ago time.Duration) objectkey.LedgerEvent {
	return objectkey.LedgerEvent{Kind: objectkey.LedgerKind, Event: name, Time: epoch.Add(-ago)}
}

func heldUntil(ago, rest time.Duration) objectkey.LedgerEvent {
	e := event(objectkey.LedgerHeld, ago)
	e.Until = epoch.Add(rest)
	return e
}

func withRecord(a account, change func(*objectkey.LedgerRecord)) account {
	record := *a.Record
	change(&record)
	a.Record = &record
	return a
}

func eraseBy(ago time.Duration) func(*objectkey.LedgerRecord) {
	return func(r *objectkey.LedgerRecord) { r.EraseBy = epoch.Add(-ago) }
}

func TestJudge(t *testing.T) {
	t.Parallel()
	dataset, run := at(datasets, "ns", uid1), at(artifacts, "ns", uid2)
	is := func(state v1alpha1.DatasetState) *Object { return &Object{Name: "d", State: state} }
	deleting := &Object{Name: "d", State: v1alpha1.DatasetReady, Deleting: true}
	erased := open(dataset, event(objectkey.LedgerErased, time.Hour))
	retained := open(run, event(objectkey.LedgerRetained, 100*time.Hour))
	for name, c := range map[string]struct {
		facts facts
		want  judgement
	}{
		"a dataset that is used as it should be": {
			facts{account: open(dataset), data: true, object: is(v1alpha1.DatasetInUse)}, judgement{},
		},
		"an open dataset without data yet": {
			facts{account: open(dataset), object: is(v1alpha1.DatasetOpen)}, judgement{},
		},
		"an invalid dataset without data": {
			facts{account: open(dataset), object: is(v1alpha1.DatasetInvalid)}, judgement{},
		},
		"a dataset of an unknown state without data": {
			facts{account: open(dataset), object: is("Resting")}, judgement{},
		},
		"a ready dataset without data": {
			facts{account: open(dataset), object: is(v1alpha1.DatasetReady)}, found(KindDataMissing),
		},
		"an expiring dataset without data": {
			facts{account: open(dataset), object: is(v1alpha1.DatasetExpiring)}, found(KindDataMissing),
		},
		"a used dataset without data": {
			facts{account: open(dataset), object: is(v1alpha1.DatasetInUse)}, found(KindDataMissing),
		},
		"a dataset that is being erased": {
			facts{account: open(dataset), object: deleting}, judgement{},
		},
		"a run without artifacts": {
			facts{at: run, account: open(run), object: is("")}, judgement{},
		},
		"a run with artifacts": {
			facts{at: run, account: open(run), data: true, object: is("")}, judgement{},
		},
		"an erased dataset": {
			facts{account: erased}, judgement{},
		},
		"an erased dataset of another store, of which nothing is left": {
			facts{account: erased, identity: otherID}, judgement{},
		},
		"an erased dataset whose object is about to go": {
			facts{account: erased, object: deleting}, judgement{},
		},
		"data that came after the erase": {
			facts{account: erased, data: true}, judgement{kinds: []Kind{KindLateData}, act: eraseLate},
		},
		"data that came after the erase, before the object has gone": {
			facts{account: erased, data: true, object: deleting}, judgement{kinds: []Kind{KindLateData}, act: eraseLate},
		},
		"data that came after the erase, on hold": {
			facts{account: open(dataset, heldUntil(2*time.Hour, time.Hour), event(objectkey.LedgerErased, time.Hour)), data: true},
			found(KindLateData, KindHeld),
		},
		"an object whose data was erased": {
			facts{account: erased, object: is(v1alpha1.DatasetReady)}, found(KindResurrected),
		},
		"an object whose data was erased, with new data": {
			facts{account: erased, data: true, object: is(v1alpha1.DatasetOpen)},
			found(KindResurrected),
		},
		"data that the ledger has not heard of": {
			facts{data: true}, judgement{kinds: []Kind{KindOrphan}, act: mark},
		},
		"data that the ledger has not heard of, with an object": {
			facts{data: true, object: is(v1alpha1.DatasetOpen)}, found(KindUnrecorded),
		},
		"nothing at all": {
			facts{}, judgement{},
		},
		"data whose object is gone": {
			facts{account: open(dataset), data: true}, judgement{kinds: []Kind{KindOrphan}, act: mark},
		},
		"a record without data whose object is gone": {
			facts{account: open(dataset)}, judgement{kinds: []Kind{KindOrphan}, act: mark},
		},
		"an orphan in its grace": {
			facts{account: open(dataset, event(objectkey.LedgerOrphaned, grace-time.Second)), data: true}, found(KindOrphan),
		},
		"an orphan after its grace": {
			facts{account: open(dataset, event(objectkey.LedgerOrphaned, grace)), data: true},
			judgement{kinds: []Kind{KindOrphan}, act: eraseOrphan},
		},
		"an orphan without data after its grace": {
			facts{account: open(dataset, event(objectkey.LedgerOrphaned, grace))},
			judgement{kinds: []Kind{KindOrphan}, act: eraseOrphan},
		},
		"an orphan from the future": {
			facts{account: open(dataset, event(objectkey.LedgerOrphaned, -time.Hour)), data: true}, found(KindOrphan),
		},
		"an orphan whose object is back": {
			facts{account: open(dataset, event(objectkey.LedgerOrphaned, 10*grace)), data: true, object: is(v1alpha1.DatasetReady)},
			judgement{},
		},
		"an orphan on hold": {
			facts{account: open(dataset, heldUntil(time.Hour, time.Second), event(objectkey.LedgerOrphaned, 2*grace)), data: true},
			found(KindHeld),
		},
		"an orphan whose hold has ended by itself": {
			facts{account: open(dataset, heldUntil(time.Hour, 0), event(objectkey.LedgerOrphaned, 2*grace)), data: true},
			judgement{kinds: []Kind{KindOrphan}, act: eraseOrphan},
		},
		"an orphan whose hold was taken away": {
			facts{account: open(dataset, heldUntil(time.Hour, time.Hour), event(objectkey.LedgerReleased, time.Minute),
				event(objectkey.LedgerOrphaned, 2*grace)), data: true},
			judgement{kinds: []Kind{KindOrphan}, act: eraseOrphan},
		},
		"an orphan whose hold was set again": {
			facts{account: open(dataset, event(objectkey.LedgerReleased, time.Hour), heldUntil(time.Minute, time.Hour),
				event(objectkey.LedgerOrphaned, 2*grace)), data: true},
			found(KindHeld),
		},
		"an orphan that was held and released in the same second": {
			facts{account: open(dataset, event(objectkey.LedgerReleased, time.Minute), heldUntil(time.Minute, time.Hour),
				event(objectkey.LedgerOrphaned, 2*grace)), data: true},
			found(KindHeld),
		},
		"artifacts that stay by their owner's will": {
			facts{at: run, account: retained, data: true}, judgement{},
		},
		"artifacts that stay, when their namespace is gone": {
			facts{at: run, account: retained, data: true, namespaceGone: true}, judgement{kinds: []Kind{KindOrphan}, act: mark},
		},
		"an object whose data was erased, with new data on hold": {
			facts{
				account: open(dataset, heldUntil(2*time.Hour, time.Hour), event(objectkey.LedgerErased, time.Hour)), data: true,
				object: is(v1alpha1.DatasetInUse),
			}, found(KindResurrected),
		},
		"artifacts that stay, whose namespace was gone once and has its name again": {
			facts{at: run, account: open(run, event(objectkey.LedgerRetained, 100*time.Hour), event(objectkey.LedgerOrphaned, grace)), data: true},
			judgement{kinds: []Kind{KindOrphan}, act: eraseOrphan},
		},
		"artifacts that stay, in the grace after their namespace was gone once": {
			facts{at: run, account: open(run, event(objectkey.LedgerRetained, 100*time.Hour), event(objectkey.LedgerOrphaned, time.Hour)), data: true},
			found(KindOrphan),
		},
		"artifacts of a run that went without a word": {
			facts{at: run, account: open(run), data: true}, found(KindOrphan),
		},
		"artifacts of a run that went without a word, when the namespace is gone": {
			facts{at: run, account: open(run), data: true, namespaceGone: true}, judgement{kinds: []Kind{KindOrphan}, act: mark},
		},
		"artifacts of a run that went with the namespace, after the grace": {
			facts{at: run, account: open(run, event(objectkey.LedgerOrphaned, grace)), data: true, namespaceGone: true},
			judgement{kinds: []Kind{KindOrphan}, act: eraseOrphan},
		},
		"a record without artifacts of a run that went without a word": {
			facts{at: run, account: open(run)}, judgement{kinds: []Kind{KindOrphan}, act: mark},
		},
		"data in a namespace that can not be read": {
			facts{account: open(dataset, event(objectkey.LedgerOrphaned, 2*grace)), data: true, unreadable: true}, found(KindDamaged),
		},
		"data that the ledger has not heard of, in a namespace that can not be read": {
			facts{data: true, unreadable: true}, found(KindDamaged),
		},
		"data that came after the erase, in a namespace that can not be read": {
			facts{account: erased, data: true, unreadable: true}, found(KindDamaged),
		},
		"an erased dataset in a namespace that can not be read": {
			facts{account: erased, unreadable: true}, judgement{},
		},
		"data past its time": {
			facts{account: withRecord(open(dataset), eraseBy(time.Hour)), data: true, object: is(v1alpha1.DatasetReady)},
			judgement{kinds: []Kind{KindOverdue}, overdue: time.Hour},
		},
		"data past its time that is being erased": {
			facts{account: withRecord(open(dataset), eraseBy(time.Hour)), data: true, object: deleting},
			judgement{kinds: []Kind{KindOverdue}, overdue: time.Hour},
		},
		"data at its time": {
			facts{account: withRecord(open(dataset), eraseBy(0)), data: true, object: is(v1alpha1.DatasetReady)}, judgement{},
		},
		"data past its time that a run uses": {
			facts{account: withRecord(open(dataset), eraseBy(time.Hour)), data: true, object: is(v1alpha1.DatasetInUse)}, judgement{},
		},
		"data past its time on hold": {
			facts{
				account: withRecord(open(dataset, heldUntil(time.Hour, time.Hour)), eraseBy(time.Hour)), data: true,
				object: is(v1alpha1.DatasetReady),
			}, judgement{},
		},
		"data past its time and past its hold": {
			facts{
				account: withRecord(open(dataset, heldUntil(3*time.Hour, -time.Minute)), eraseBy(time.Hour)), data: true,
				object: is(v1alpha1.DatasetReady),
			},
			judgement{kinds: []Kind{KindOverdue}, overdue: time.Minute},
		},
		"data past its time whose hold was taken away": {
			facts{account: withRecord(open(dataset, heldUntil(3*time.Hour, time.Hour), event(objectkey.LedgerReleased, time.Minute)),
				eraseBy(time.Hour)), data: true, object: is(v1alpha1.DatasetReady)},
			judgement{kinds: []Kind{KindOverdue}, overdue: time.Minute},
		},
		"nothing left past its time": {
			facts{account: withRecord(open(dataset), eraseBy(time.Hour)), object: deleting}, judgement{},
		},
		"an orphan past its time": {
			facts{account: withRecord(open(dataset), eraseBy(time.Hour)), data: true},
			judgement{kinds: []Kind{KindOrphan, KindOverdue}, act: mark, overdue: time.Hour},
		},
		"a record of another store": {
			facts{account: open(dataset), data: true, identity: otherID}, found(KindUnknownStore),
		},
		"an erased record of another store with data here": {
			facts{account: erased, data: true, identity: otherID}, found(KindUnknownStore),
		},
		"an account that can not be read": {
			facts{account: account{malformed: true}, data: true}, found(KindDamaged),
		},
		"events without a record": {
			facts{account: account{Account: ledger.Account{Events: map[string][]objectkey.LedgerEvent{
				objectkey.LedgerErased: {event(objectkey.LedgerErased, time.Hour)},
			}}}, data: true}, found(KindDamaged),
		},
		"a record of another bucket": {
			facts{at: run, account: open(at(datasets, "ns", uid2)), data: true}, found(KindDamaged),
		},
		"a record of another owner": {
			facts{account: open(at(datasets, "ns", uid3)), data: true}, found(KindDamaged),
		},
		"a record of another kind of owner": {
			facts{account: withRecord(open(dataset), func(r *objectkey.LedgerRecord) { r.Resource = objectkey.ResourceRun }), data: true},
			found(KindDamaged),
		},
		"a record of a bucket that is not ours": {
			facts{at: at("others", "ns", uid1), account: open(at("others", "ns", uid1))}, found(KindDamaged),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := c.facts
			if f.at == (place{}) {
				f.at = dataset
			}
			if f.identity == "" {
				f.identity = storeID
			}
			rules := rules{now: epoch, grace: grace, eraseUnrecorded: true, resources: resourcesOf(datasets, artifacts)}
			got := rules.judge(f)
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(judgement{})); diff != "" {
				t.Errorf("judgement (-want +got):\n%s", diff)
			}
			if got.act >= eraseOrphan && (f.alive() || f.unreadable || f.account.held(epoch)) {
				t.Error("it would erase what is alive or held")
			}
		})
	}
}

// TestJudgeUnrecorded: without the administrator's word nothing follows from what the
// ledger does not know.
func TestJudgeUnrecorded(t *testing.T) {
	t.Parallel()
	dataset, run := at(datasets, "ns", uid1), at(artifacts, "ns", uid2)
	noEnd := func(r *objectkey.LedgerRecord) { r.EraseBy = time.Time{} }
	orphan := found(KindOrphan)
	for name, c := range map[string]struct {
		facts         facts
		without, with judgement
	}{
		"a dataset's data": {
			facts{at: dataset, data: true}, found(KindUnrecorded), judgement{kinds: orphan.kinds, act: mark},
		},
		"artifacts": {
			facts{at: run, data: true}, found(KindUnrecorded), judgement{kinds: orphan.kinds, act: mark},
		},
		"data whose namespace is gone": {
			facts{at: run, data: true, namespaceGone: true}, found(KindUnrecorded), judgement{kinds: orphan.kinds, act: mark},
		},
		"a record that the sweeper has opened": {
			facts{at: dataset, account: withRecord(open(dataset), noEnd), data: true},
			found(KindUnrecorded),
			judgement{kinds: orphan.kinds, act: mark},
		},
		"a record that the sweeper has opened and marked": {
			facts{at: dataset, account: withRecord(open(dataset, event(objectkey.LedgerOrphaned, grace)), noEnd), data: true},
			found(KindUnrecorded),
			judgement{kinds: orphan.kinds, act: eraseOrphan},
		},
		"a record of the operator's": {
			facts{at: dataset, account: open(dataset, event(objectkey.LedgerOrphaned, grace)), data: true},
			judgement{kinds: orphan.kinds, act: eraseOrphan},
			judgement{kinds: orphan.kinds, act: eraseOrphan},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.facts.identity = storeID
			for erase, want := range map[bool]judgement{false: c.without, true: c.with} {
				r := rules{now: epoch, grace: grace, eraseUnrecorded: erase, resources: resourcesOf(datasets, artifacts)}
				if diff := cmp.Diff(want, r.judge(c.facts), cmp.AllowUnexported(judgement{})); diff != "" {
					t.Errorf("judgement with EraseUnrecorded %v (-want +got):\n%s", erase, diff)
				}
			}
		})
	}
}

func TestConfirmed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ suspicion, fresh, want judgement }{
		"the same twice counts":                        {found(KindLateData), judgement{kinds: []Kind{KindLateData}, act: eraseLate}, judgement{kinds: []Kind{KindLateData}, act: eraseLate}},
		"data before a regular erase is not late":      {found(KindOverdue), judgement{kinds: []Kind{KindLateData}, act: eraseLate}, judgement{kinds: []Kind{}}},
		"a dataset that was uploaded lately has data":  {found(KindOverdue), found(KindDataMissing), judgement{kinds: []Kind{}}},
		"an object before its end is not resurrected":  {found(KindOverdue), found(KindResurrected), judgement{kinds: []Kind{}}},
		"an orphan is one by what is found now":        {found(KindDataMissing), judgement{kinds: []Kind{KindOrphan}, act: mark}, judgement{kinds: []Kind{KindOrphan}, act: mark}},
		"what is well now is well":                     {judgement{kinds: []Kind{KindOrphan}, act: mark}, judgement{}, judgement{}},
		"a hold that was set in the meantime keeps it": {judgement{kinds: []Kind{KindOrphan}, act: eraseOrphan}, found(KindHeld), found(KindHeld)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, confirmed(c.suspicion, c.fresh), cmp.AllowUnexported(judgement{})); diff != "" {
				t.Errorf("confirmed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	orphans := func(n int, act action) (findings []finding, before map[place]bool) {
		before = map[place]bool{}
		for i := range n {
			p := at(datasets, "ns", uid1)
			p.id[0], p.id[1] = byte(i), byte(i>>8)
			findings = append(findings, finding{at: p, judgement: judgement{kinds: []Kind{KindOrphan}, act: act}})
			before[p] = true
		}
		return findings, before
	}
	for name, c := range map[string]struct {
		orphans    int
		active     int
		min        int
		act        action
		first      bool
		wantDue    int
		wantMarks  int
		wantBroken bool
	}{
		"nothing":                               {min: 10},
		"as many as the least":                  {orphans: 10, min: 10, act: eraseOrphan, wantDue: 10},
		"one more than the least":               {orphans: 11, min: 10, act: eraseOrphan, wantBroken: true},
		"as many as one in a hundred":           {orphans: 20, active: 2000, min: 10, act: eraseOrphan, wantDue: 20},
		"more than one in a hundred":            {orphans: 21, active: 2099, min: 10, act: eraseOrphan, wantBroken: true},
		"many, and somebody has raised it":      {orphans: 500, active: 500, min: 500, act: eraseOrphan, wantDue: 500},
		"many that are only to be noted":        {orphans: 500, active: 500, min: 10, act: mark, wantMarks: 500},
		"many in their grace":                   {orphans: 500, active: 500, min: 10, act: leave},
		"due, but not seen by the sweep before": {orphans: 5, min: 10, act: eraseOrphan, first: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			findings, before := orphans(c.orphans, c.act)
			late := finding{at: at(datasets, "ns", uid2), judgement: judgement{kinds: []Kind{KindLateData}, act: eraseLate}}
			if c.first {
				before = nil
			}
			seen := observed{findings: append(findings, late), settled: map[string]int{
				objectkey.ResourceDataset: c.active, objectkey.ResourceRun: 1_000_000, // Runs are no datasets.
			}}
			p := plan(seen, before, c.min, resourcesOf(datasets, artifacts))
			if len(p.due) != c.wantDue || len(p.marks) != c.wantMarks || p.breaker != c.wantBroken {
				t.Errorf("%d due, %d marks, breaker %v; want %d, %d, %v",
					len(p.due), len(p.marks), p.breaker, c.wantDue, c.wantMarks, c.wantBroken)
			}
			if len(p.late) != 1 {
				t.Error("late data does not wait for the breaker")
			}
			if len(p.orphans) != c.orphans {
				t.Errorf("%d orphans are remembered, want %d", len(p.orphans), c.orphans)
			}
		})
	}
}
