package sqlstoretest

import (
	"context"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

var runTests = map[string]func(*testing.T, portal.Store){
	"a run comes back with its spec and all that was seen of it": testRun,
	"a run is its account's only, and its ID is taken once":      testRunRefused,
	"a change of a run needs its revision and keeps the rest":    testUpdateRun,
	"an account's runs are paged, newest first":                  testAccountRuns,
	"an account's runs are filtered":                             testRunFilter,
	"runs are unsettled until the wish is seen to be done":       testUnsettledRuns,
	"all accounts' runs that live are walked by ID":              testLiveRuns,
	"all forms that are open draft the same run, and one starts": testDraft,
}

func newRun(d portal.Dataset, id portal.RunID, created int) portal.Run {
	return portaltest.Run(d, func(r *portal.Run) { r.ID, r.CreatedAt, r.WishedAt = id, minute(created), minute(created) })
}

func putRun(t *testing.T, s portal.Store, r portal.Run) portal.Run {
	t.Helper()
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.CreateRun(ctx, r) })
	return r
}

func updateRun(t *testing.T, s portal.Store, r portal.Run) {
	t.Helper()
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.UpdateRun(ctx, r) })
}

func runOf(t *testing.T, s portal.Store, r portal.Run) portal.Run {
	t.Helper()
	return read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Run, error) { return tx.Run(ctx, r.Account, r.ID) })
}

func runIDs(all []portal.Run) []portal.RunID {
	return ids(all, func(r portal.Run) portal.RunID { return r.ID })
}

// seenRun has a value in each field.
func seenRun() portal.RunSeen {
	percent, code := 0.0, 0
	return portal.RunSeen{
		Version: 9, At: minute(1), State: "Failed", Reason: "ExitCode", Message: "it ended", StartedAt: minute(2), EndedAt: minute(3),
		Suspended: true,
		Progress: portal.RunProgress{
			At: minute(2), Percent: &percent, Step: 5, TotalSteps: 1000, Epoch: 1, Epochs: 3,
			Metrics: map[string]float64{"loss": 0.1, "größe": -1e300}, EndsAt: minute(9),
		},
		Attempts: []portal.RunAttempt{
			{Number: 1, Result: "Failed", Reason: "Evicted", Message: "moved", StartedAt: minute(2), EndedAt: minute(3), GPUSeconds: 60},
			{Number: 2, StartedAt: minute(4)},
		},
		GPUSeconds: 60, LostGPUSeconds: 20, Checkpoint: "step-5", CheckpointAt: minute(3),
		ArtifactFiles: 2, ArtifactBytes: 1 << 40, ArtifactManifest: "sha256:abc",
		Failure:        &portal.RunFailure{Blame: "User", Reason: "ExitCode", ExitCode: &code, Hint: "look", LogTail: "a\x00b\n\xff"},
		DatasetReceipt: "sha256:def",
	}
}

func fullSpec() portal.RunSpec {
	return portal.RunSpec{
		Image: "registry.example.org/a@sha256:abc", Command: []string{"sh", "-c"}, Args: []string{"train; exit $?", ""},
		Env: map[string]string{"A": "'b'", "EMPTY": ""}, CPU: "8", Memory: "64Gi", Nodes: 2, GPUs: 8, Product: "NVIDIA-H200", Sharded: true,
		MaxDuration: time.Hour, MaxGPUSeconds: 3600, StartWithin: time.Minute, StalledAfter: time.Second, Retries: 3,
		CheckpointEvery: time.Minute, KeepLast: 2, ResumeFrom: "another",
	}
}

func testRun(t *testing.T, s portal.Store) {
	d := putDataset(t, s, newDataset(tenant(t, s), "dataset", 0))
	fresh := newRun(d, "fresh", 0)
	fresh.UID = ""
	putRun(t, s, fresh)
	full := newRun(d, "full", 1)
	full.Name, full.Spec, full.Wish, full.Seen, full.Refused = "Grüße 🙂", fullSpec(), portal.WishDeleted, seenRun(), "no room"
	full.GoneAt, full.Revision, full.WishedAt = minute(5), 4, minute(6)
	putRun(t, s, full)
	equal(t, "a fresh one", fresh, runOf(t, s, fresh))
	// JSON can't keep bytes that are no UTF-8.
	full.Seen.Failure.LogTail = "a\x00b\n\ufffd"
	equal(t, "a full one", full, runOf(t, s, full))
	equal(t, "by object", full, read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Run, error) {
		return tx.RunByObject(ctx, full.Namespace, full.ID)
	}))

	far, late := newRun(d, "far", 2), minute(1).Add(999*time.Nanosecond).In(time.FixedZone("far", -11*3600))
	far.Seen = portal.RunSeen{At: late, EndedAt: late, Progress: portal.RunProgress{At: late}, Attempts: []portal.RunAttempt{{StartedAt: late}}}
	putRun(t, s, far)
	equal(t, "what was given", late, far.Seen.Attempts[0].StartedAt)
	far.Seen = portal.RunSeen{At: minute(1), EndedAt: minute(1), Progress: portal.RunProgress{At: minute(1)}, Attempts: []portal.RunAttempt{{StartedAt: minute(1)}}}
	equal(t, "times that were seen are in UTC, in microseconds", far, runOf(t, s, far))
}

func testRunRefused(t *testing.T, s portal.Store) {
	n, other := tenant(t, s), tenant(t, s)
	d, others := putDataset(t, s, newDataset(n, "ours", 0)), putDataset(t, s, newDataset(other, "theirs", 0))
	run := putRun(t, s, newRun(d, "it", 0))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "an ID that is taken", portal.ErrConflict, tx.CreateRun(ctx, newRun(d, "it", 1)))
		gives(t, "an ID that is another's", portal.ErrConflict, tx.CreateRun(ctx, newRun(others, "it", 1)))
		gives(t, "of no dataset", portal.ErrNotFound, tx.CreateRun(ctx, newRun(newDataset(n, "none", 0), "x", 1)))
		_, err := tx.Run(ctx, other.Account, run.ID)
		gives(t, "by another account", portal.ErrNotFound, err)
		_, err = tx.RunByObject(ctx, other.Namespace, run.ID)
		gives(t, "in another namespace", portal.ErrNotFound, err)
		_, err = tx.Run(ctx, n.Account, "none")
		gives(t, "one that is not there", portal.ErrNotFound, err)
		return nil
	})
	equal(t, "the run", run, runOf(t, s, run))
}

func testUpdateRun(t *testing.T, s portal.Store) {
	n := tenant(t, s)
	d := putDataset(t, s, newDataset(n, "dataset", 0))
	first, other := putRun(t, s, newRun(d, "it", 0)), putRun(t, s, newRun(d, "other", 0))
	changed := first
	changed.Name, changed.UID, changed.Wish, changed.WishedAt = "another", "uid-2", portal.WishCancelled, minute(3)
	changed.Seen, changed.Refused, changed.GoneAt = portal.RunSeen{State: "Succeeded", EndedAt: minute(3)}, "no", minute(4)
	moved := changed
	moved.CreatedAt, moved.Spec, moved.Dataset = minute(9), fullSpec(), "none"
	updateRun(t, s, moved)
	changed.Revision = 1
	equal(t, "changed", changed, runOf(t, s, first))
	equal(t, "another", other, runOf(t, s, other))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "an old revision", portal.ErrConflict, tx.UpdateRun(ctx, first))
		gives(t, "a revision to come", portal.ErrConflict, tx.UpdateRun(ctx, portal.Run{ID: "it", Revision: 2}))
		gives(t, "one that is not there", portal.ErrNotFound, tx.UpdateRun(ctx, portal.Run{ID: "none"}))
		return nil
	})
	equal(t, "after what was refused", changed, runOf(t, s, first))
}

// runPage gives the IDs of a page of an account's runs.
func runPage(t *testing.T, s portal.Store, a portal.AccountID, f portal.RunFilter, after portal.PageCursor, limit int) []portal.RunID {
	t.Helper()
	return runIDs(read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.Run, error) {
		return tx.AccountRuns(ctx, a, f, after, limit)
	}))
}

func testAccountRuns(t *testing.T, s portal.Store) {
	n, other := tenant(t, s), tenant(t, s)
	d, others := putDataset(t, s, newDataset(n, "ours", 0)), putDataset(t, s, newDataset(other, "theirs", 0))
	for id, created := range map[portal.RunID]int{"old": 0, "a": 1, "b": 1, "new": 4} {
		putRun(t, s, newRun(d, id, created))
	}
	refused, deleted, lost, going := newRun(d, "refused", 3), newRun(d, "deleted", 3), newRun(d, "lost", 3), newRun(d, "going", 2)
	refused.Refused = "no"
	deleted.Wish, deleted.GoneAt = portal.WishDeleted, minute(5)
	lost.GoneAt = minute(5)
	going.Wish = portal.WishDeleted
	for _, r := range []portal.Run{refused, deleted, lost, going, newRun(others, "others", 1)} {
		putRun(t, s, r)
	}
	page := func(after portal.PageCursor, limit int) []portal.RunID {
		return runPage(t, s, n.Account, portal.RunFilter{}, after, limit)
	}
	equal(t, "all", []portal.RunID{"new", "lost", "going", "b", "a", "old"}, page(portal.PageCursor{}, 10))
	equal(t, "a first page", []portal.RunID{"new", "lost", "going", "b"}, page(portal.PageCursor{}, 4))
	equal(t, "the next", []portal.RunID{"a", "old"}, page(portal.PageCursor{Time: minute(1), ID: "b"}, 4))
	equal(t, "no room", []portal.RunID{}, page(portal.PageCursor{}, -1))
	equal(t, "nobody's", []portal.RunID{}, runPage(t, s, "nobody", portal.RunFilter{}, portal.PageCursor{}, 10))
}

func testRunFilter(t *testing.T, s portal.Store) {
	n := tenant(t, s)
	a, b := putDataset(t, s, newDataset(n, "a", 0)), putDataset(t, s, newDataset(n, "b", 0))
	add := func(d portal.Dataset, id portal.RunID, at int, name, state string) {
		r := newRun(d, id, at)
		r.Name, r.Seen.State = name, state
		putRun(t, s, r)
	}
	add(a, "1", 1, "Größe 100%", "Running")
	add(b, "2", 2, "GRÖSSE 1000", "Running")
	add(a, "3", 3, `under_score \ back`, "Failed")
	add(b, "4", 4, "underscore", "")
	for name, test := range map[string]struct {
		filter portal.RunFilter
		want   []portal.RunID
	}{
		"nothing":                     {portal.RunFilter{}, []portal.RunID{"4", "3", "2", "1"}},
		"a state":                     {portal.RunFilter{State: "Running"}, []portal.RunID{"2", "1"}},
		"waiting":                     {portal.RunFilter{State: portal.RunWaiting}, []portal.RunID{"4"}},
		"a dataset":                   {portal.RunFilter{Dataset: "a"}, []portal.RunID{"3", "1"}},
		"a dataset and a state":       {portal.RunFilter{Dataset: "a", State: "Running"}, []portal.RunID{"1"}},
		"a part of the name":          {portal.RunFilter{Text: "derscore"}, []portal.RunID{"4"}},
		"in any case":                 {portal.RunFilter{Text: "grÖ"}, []portal.RunID{"2", "1"}},
		"a percent sign is itself":    {portal.RunFilter{Text: "100%"}, []portal.RunID{"1"}},
		"an underscore is itself":     {portal.RunFilter{Text: "r_s"}, []portal.RunID{"3"}},
		"a backslash is itself":       {portal.RunFilter{Text: `\ `}, []portal.RunID{"3"}},
		"a question mark is no place": {portal.RunFilter{Text: "?"}, []portal.RunID{}},
		"a state that no run has":     {portal.RunFilter{State: "Dreaming"}, []portal.RunID{}},
	} {
		equal(t, name, test.want, runPage(t, s, n.Account, test.filter, portal.PageCursor{}, 10))
	}
	run, _ := tryRead(t, s, func(ctx context.Context, tx portal.Tx) (portal.Run, error) { return tx.Run(ctx, n.Account, "4") })
	run.Name, run.Seen.State = "Renamed", "Running"
	updateRun(t, s, run)
	equal(t, "after a change", []portal.RunID{"4"}, runPage(t, s, n.Account, portal.RunFilter{State: "Running", Text: "renamed"}, portal.PageCursor{}, 10))
}

func testUnsettledRuns(t *testing.T, s portal.Store) {
	d := putDataset(t, s, newDataset(tenant(t, s), "dataset", 0))
	unsettled := func(limit int) []portal.RunID {
		return runIDs(read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.Run, error) { return tx.UnsettledRuns(ctx, limit) }))
	}
	fresh, cancelled, deleted, refused := newRun(d, "fresh", 3), newRun(d, "cancelled", 2), newRun(d, "deleted", 1), newRun(d, "refused", 0)
	fresh.UID, refused.UID, refused.Refused = "", "", "no"
	cancelled.Wish, deleted.Wish = portal.WishCancelled, portal.WishDeleted
	settled := newRun(d, "settled", 0)
	for _, r := range []portal.Run{fresh, cancelled, deleted, refused, settled} {
		putRun(t, s, r)
	}
	equal(t, "oldest wish first", []portal.RunID{"deleted", "cancelled", "fresh"}, unsettled(10))
	equal(t, "a limit", []portal.RunID{"deleted", "cancelled"}, unsettled(2))
	fresh.UID, cancelled.Seen.EndedAt, deleted.GoneAt = "uid", minute(4), minute(4)
	for _, r := range []portal.Run{fresh, cancelled, deleted} {
		updateRun(t, s, r)
	}
	equal(t, "once they are seen to be done", []portal.RunID{}, unsettled(10))
	settled.Wish = portal.WishSuspended
	updateRun(t, s, settled)
	equal(t, "a new wish", []portal.RunID{"settled"}, unsettled(10))
}

func testLiveRuns(t *testing.T, s portal.Store) {
	n, other := tenant(t, s), tenant(t, s)
	d, others := putDataset(t, s, newDataset(n, "ours", 0)), putDataset(t, s, newDataset(other, "theirs", 0))
	gone, refused := newRun(d, "c", 0), newRun(d, "cc", 0)
	gone.GoneAt, refused.Refused = minute(1), "no"
	for _, r := range []portal.Run{newRun(d, "d", 0), newRun(others, "b", 1), gone, refused, newRun(d, "a", 2)} {
		putRun(t, s, r)
	}
	live := func(after portal.RunID, limit int) []portal.RunID {
		return runIDs(read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.Run, error) { return tx.LiveRuns(ctx, after, limit) }))
	}
	equal(t, "a first page", []portal.RunID{"a", "b"}, live("", 2))
	equal(t, "the next", []portal.RunID{"d"}, live("b", 2))
	equal(t, "after the last", []portal.RunID{}, live("d", 2))
}

func testDraft(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	draft := func(a portal.AccountID, id portal.RunID) portal.RunID {
		var got portal.RunID
		write(t, s, func(ctx context.Context, tx portal.Tx) error {
			var err error
			got, err = tx.DraftRun(ctx, a, id)
			return err
		})
		return got
	}
	equal(t, "the first form", portal.RunID("one"), draft(a.ID, "one"))
	equal(t, "the second form", portal.RunID("one"), draft(a.ID, "two"))
	equal(t, "another person's", portal.RunID("three"), draft(b.ID, "three"))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		_, err := tx.DraftRun(ctx, "nobody", "x")
		gives(t, "nobody's", portal.ErrNotFound, err)
		gives(t, "another's draft", portal.ErrConflict, tx.UseDraft(ctx, b.ID, "one"))
		gives(t, "what is no draft", portal.ErrConflict, tx.UseDraft(ctx, a.ID, "two"))
		return tx.UseDraft(ctx, a.ID, "one")
	})
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "again", portal.ErrConflict, tx.UseDraft(ctx, a.ID, "one"))
		return nil
	})
	equal(t, "the next form", portal.RunID("four"), draft(a.ID, "four"))
	equal(t, "another person's next", portal.RunID("three"), draft(b.ID, "five"))
}
