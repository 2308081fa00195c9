package sqlstoretest

import (
	"context"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

var datasetTests = map[string]func(*testing.T, portal.Store){
	"a dataset comes back with all that was seen of it":           testDataset,
	"a dataset is its account's only, and its ID is taken once":   testDatasetRefused,
	"a change of a dataset needs its revision and keeps the rest": testUpdateDataset,
	"an account's datasets are paged, newest first":               testAccountDatasets,
	"datasets are unsettled until the wish is seen to be done":    testUnsettledDatasets,
	"all accounts' datasets that live are walked by ID":           testLiveDatasets,
}

func newDataset(n portal.Tenant, id portal.DatasetID, created int) portal.Dataset {
	return portaltest.Dataset(n, func(d *portal.Dataset) {
		d.ID, d.CreatedAt, d.WishedAt = id, minute(created), minute(created)
	})
}

func putDataset(t *testing.T, s portal.Store, d portal.Dataset) portal.Dataset {
	t.Helper()
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.CreateDataset(ctx, d) })
	return d
}

// updateDataset gives the dataset as it has to be afterwards.
func updateDataset(t *testing.T, s portal.Store, d portal.Dataset) portal.Dataset {
	t.Helper()
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.UpdateDataset(ctx, d) })
	d.Revision++
	return d
}

func datasetOf(t *testing.T, s portal.Store, d portal.Dataset) portal.Dataset {
	t.Helper()
	return read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Dataset, error) {
		return tx.Dataset(ctx, d.Account, d.ID)
	})
}

func datasetIDs(all []portal.Dataset) []portal.DatasetID {
	return ids(all, func(d portal.Dataset) portal.DatasetID { return d.ID })
}

// seenDataset has a value in each field.
func seenDataset() portal.DatasetSeen {
	return portal.DatasetSeen{
		Version: 1 << 63, At: minute(1), State: "Erasing", Reason: "MaxAge", Message: "a \x00 message, \"quoted\"\n",
		Files: 200, Bytes: 1 << 40, Manifest: "sha256:abc", ActiveRuns: []string{"r-a", "r-b"}, ExpiresAt: minute(2),
		AfterTraining: 90 * time.Minute, MaxAge: 1500*time.Hour + 1, HoldUntil: minute(3), HoldReason: "asked",
		EraseStartedAt: minute(4), Versions: 12, RemovedVersions: 5,
	}
}

func testDataset(t *testing.T, s portal.Store) {
	n := tenant(t, s)
	fresh := newDataset(n, "fresh", 0)
	fresh.UID, fresh.AfterTraining = "", 0
	putDataset(t, s, fresh)
	full := newDataset(n, "full", 1)
	full.Name, full.Wish, full.Seen, full.ErasedAt, full.Receipt, full.Revision = "Grüße 🙂 'x'", portal.WishErased, seenDataset(), minute(5), "sha256:def", 7
	full.WishedAt, full.MaxAge = minute(6), 1
	putDataset(t, s, full)
	equal(t, "a fresh one", fresh, datasetOf(t, s, fresh))
	equal(t, "a full one", full, datasetOf(t, s, full))
	equal(t, "by object", full, read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Dataset, error) {
		return tx.DatasetByObject(ctx, full.Namespace, full.ID)
	}))

	far := newDataset(n, "far", 2)
	far.Seen.At = minute(1).Add(999 * time.Nanosecond).In(time.FixedZone("far", -11*3600))
	putDataset(t, s, far)
	far.Seen.At = minute(1)
	equal(t, "times that were seen are in UTC, in microseconds", far, datasetOf(t, s, far))
}

func testDatasetRefused(t *testing.T, s portal.Store) {
	n, other := tenant(t, s), tenant(t, s)
	dataset := putDataset(t, s, newDataset(n, "it", 0))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "an ID that is taken", portal.ErrConflict, tx.CreateDataset(ctx, newDataset(n, "it", 1)))
		gives(t, "an ID that is another's", portal.ErrConflict, tx.CreateDataset(ctx, newDataset(other, "it", 1)))
		gives(t, "nobody's", portal.ErrNotFound, tx.CreateDataset(ctx, newDataset(portal.Tenant{Account: "nobody", Namespace: "t-none"}, "x", 1)))
		broken := newDataset(n, "broken", 1)
		broken.Name = "broken \xff"
		refused(t, "a name that can't be kept", tx.CreateDataset(ctx, broken))
		_, err := tx.Dataset(ctx, other.Account, dataset.ID)
		gives(t, "by another account", portal.ErrNotFound, err)
		_, err = tx.DatasetByObject(ctx, other.Namespace, dataset.ID)
		gives(t, "in another namespace", portal.ErrNotFound, err)
		_, err = tx.Dataset(ctx, n.Account, "none")
		gives(t, "one that is not there", portal.ErrNotFound, err)
		return nil
	})
	equal(t, "the dataset", dataset, datasetOf(t, s, dataset))
}

func testUpdateDataset(t *testing.T, s portal.Store) {
	n := tenant(t, s)
	first := putDataset(t, s, newDataset(n, "it", 0))
	other := putDataset(t, s, newDataset(n, "other", 0))
	changed := first
	changed.Name, changed.UID, changed.AfterTraining, changed.MaxAge = "another", "uid-2", time.Minute, time.Hour
	changed.Wish, changed.WishedAt, changed.Seen = portal.WishErased, minute(3), seenDataset()
	changed.ErasedAt, changed.Receipt = minute(4), "sha256:abc"
	moved := changed
	moved.CreatedAt = minute(9)
	updateDataset(t, s, moved)
	changed.Revision = 1
	equal(t, "changed", changed, datasetOf(t, s, first))
	equal(t, "another", other, datasetOf(t, s, other))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "an old revision", portal.ErrConflict, tx.UpdateDataset(ctx, first))
		gives(t, "a revision to come", portal.ErrConflict, tx.UpdateDataset(ctx, portal.Dataset{ID: "it", Revision: 2}))
		gives(t, "one that is not there", portal.ErrNotFound, tx.UpdateDataset(ctx, portal.Dataset{ID: "none"}))
		return nil
	})
	equal(t, "after what was refused", changed, datasetOf(t, s, first))
}

func testAccountDatasets(t *testing.T, s portal.Store) {
	n, other := tenant(t, s), tenant(t, s)
	for id, created := range map[portal.DatasetID]int{"old": 0, "a": 1, "b": 1, "new": 3} {
		putDataset(t, s, newDataset(n, id, created))
	}
	gone := newDataset(n, "gone", 2)
	gone.ErasedAt = minute(5)
	putDataset(t, s, gone)
	putDataset(t, s, newDataset(other, "others", 1))
	page := func(erased bool, after portal.PageCursor, limit int) []portal.DatasetID {
		return datasetIDs(read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.Dataset, error) {
			return tx.AccountDatasets(ctx, n.Account, erased, after, limit)
		}))
	}
	equal(t, "all", []portal.DatasetID{"new", "gone", "b", "a", "old"}, page(true, portal.PageCursor{}, 10))
	equal(t, "those that are there", []portal.DatasetID{"new", "b", "a", "old"}, page(false, portal.PageCursor{}, 10))
	equal(t, "a first page", []portal.DatasetID{"new", "b"}, page(false, portal.PageCursor{}, 2))
	equal(t, "the next", []portal.DatasetID{"a", "old"}, page(false, portal.PageCursor{Time: minute(1), ID: "b"}, 2))
	equal(t, "after the last", []portal.DatasetID{}, page(false, portal.PageCursor{Time: minute(0), ID: "old"}, 2))
	equal(t, "no room", []portal.DatasetID{}, page(true, portal.PageCursor{}, -1))
}

func testUnsettledDatasets(t *testing.T, s portal.Store) {
	n := tenant(t, s)
	after := func(cursor portal.PageCursor, limit int) []portal.DatasetID {
		return datasetIDs(read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.Dataset, error) {
			return tx.UnsettledDatasets(ctx, cursor, limit)
		}))
	}
	unsettled := func(limit int) []portal.DatasetID { return after(portal.PageCursor{}, limit) }
	fresh := newDataset(n, "fresh", 3)
	fresh.UID = ""
	putDataset(t, s, fresh)
	settled := putDataset(t, s, newDataset(n, "settled", 0))
	sealed := newDataset(n, "sealed", 2)
	sealed.Wish, sealed.Seen.State = portal.WishSealed, "Open"
	putDataset(t, s, sealed)
	erased := newDataset(n, "erased", 1)
	erased.Wish, erased.Seen.State = portal.WishErased, "Erasing"
	putDataset(t, s, erased)
	equal(t, "oldest wish first", []portal.DatasetID{"erased", "sealed", "fresh"}, unsettled(10))
	equal(t, "a limit", []portal.DatasetID{"erased", "sealed"}, unsettled(2))
	equal(t, "what is after the limit", []portal.DatasetID{"fresh"}, after(portal.PageCursor{Time: sealed.WishedAt, ID: "sealed"}, 2))

	fresh.UID, sealed.Seen.State, erased.ErasedAt = "uid", "Sealing", minute(5)
	for _, d := range []portal.Dataset{fresh, sealed, erased} {
		updateDataset(t, s, d)
	}
	equal(t, "once they are seen to be done", []portal.DatasetID{}, unsettled(10))
	settled.Wish = portal.WishSealed
	updateDataset(t, s, settled)
	equal(t, "a new wish", []portal.DatasetID{"settled"}, unsettled(10))
}

func testLiveDatasets(t *testing.T, s portal.Store) {
	n, other := tenant(t, s), tenant(t, s)
	gone := newDataset(n, "c", 0)
	gone.ErasedAt = minute(1)
	for _, d := range []portal.Dataset{newDataset(n, "d", 0), newDataset(other, "b", 1), gone, newDataset(n, "a", 2)} {
		putDataset(t, s, d)
	}
	live := func(after portal.DatasetID, limit int) []portal.DatasetID {
		return datasetIDs(read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.Dataset, error) {
			return tx.LiveDatasets(ctx, after, limit)
		}))
	}
	equal(t, "a first page", []portal.DatasetID{"a", "b"}, live("", 2))
	equal(t, "the next", []portal.DatasetID{"d"}, live("b", 2))
	equal(t, "after the last", []portal.DatasetID{}, live("d", 2))
}
