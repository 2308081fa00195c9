package sqlstoretest

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

var holdTests = map[string]func(*testing.T, portal.Store){
	"a hold comes back as it was placed":                             testHold,
	"a hold keeps matching events from a purge until it is released": testHoldKeeps,
	"a hold keeps matching events that come later":                   testHoldLater,
	"an event of two holds stays until both are released":            testTwoHolds,
	"a hold on everything is refused":                                testHoldRefused,
	"a hold is released once":                                        testReleaseHold,
	"a released hold names no address":                               testReleasedNetwork,
	"holds are listed by review, the released ones last":             testAllHolds,
}

func newHold(id portal.HoldID, f portal.EventFilter) portal.Hold {
	return portal.Hold{ID: id, Case: "case 17", Reason: "a break-in", Filter: f, ReviewAt: minute(90), PlacedBy: "officer", PlacedAt: minute(60)}
}

func placeHold(t *testing.T, s portal.Store, h portal.Hold, wantRows int) {
	t.Helper()
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		n, err := tx.PlaceHold(ctx, h)
		equal(t, "events bound", wantRows, n)
		return err
	})
}

func releaseHold(t *testing.T, s portal.Store, id portal.HoldID) {
	t.Helper()
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.ReleaseHold(ctx, id, "officer", minute(70)) })
}

func hold(t *testing.T, s portal.Store, id portal.HoldID) portal.Hold {
	t.Helper()
	return read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Hold, error) { return tx.Hold(ctx, id) })
}

// purgeAll purges everything that no hold keeps, and gives what is left.
func purgeAll(t *testing.T, s portal.Store) []portal.EventID {
	t.Helper()
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		_, err := tx.PurgeEvents(ctx, minute(1000), 1000)
		return err
	})
	return eventIDs(t, s, portal.EventFilter{})
}

func testHold(t *testing.T, s portal.Store) {
	full := newHold("full", portal.EventFilter{
		Account: "a", Kinds: []portal.EventKind{portal.EventSignIn, portal.EventSignOut}, Network: netip.MustParsePrefix("2001:db8::1/128"),
		Country: "NZ", From: minute(1), To: minute(2),
	})
	placeHold(t, s, full, 0)
	equal(t, "hold", full, hold(t, s, "full"))
	fine := newHold("fine", portal.EventFilter{Account: "a", To: start.In(time.FixedZone("far", 3600)).Add(999)})
	placeHold(t, s, fine, 0)
	fine.Filter.To = start
	equal(t, "hold with a finer time", fine, hold(t, s, "fine"))
	_, err := tryRead(t, s, func(ctx context.Context, tx portal.Tx) (portal.Hold, error) { return tx.Hold(ctx, "none") })
	gives(t, "one that is not there", portal.ErrNotFound, err)
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		_, err := tx.PlaceHold(ctx, newHold("full", portal.EventFilter{Account: "b"}))
		gives(t, "a name that is taken", portal.ErrConflict, err)
		return nil
	})
	equal(t, "hold", full, hold(t, s, "full"))
}

func testHoldKeeps(t *testing.T, s portal.Store) {
	putEvents(t, s,
		newEvent("1", minute(1), of("a")), newEvent("2", minute(2), of("a")), newEvent("3", minute(3), of("b")), newEvent("4", minute(4), of("a")))
	placeHold(t, s, newHold("h", portal.EventFilter{Account: "a", To: minute(4)}), 2)
	equal(t, "rows", 2, hold(t, s, "h").Rows)
	equal(t, "held", []portal.EventID{"2", "1"}, eventIDs(t, s, portal.EventFilter{Held: true}))
	oldest := read(t, s, func(ctx context.Context, tx portal.Tx) (time.Time, error) { return tx.OldestUnheldEvent(ctx) })
	equal(t, "the oldest that is not held", minute(3), oldest)
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		n, err := tx.PurgeEvents(ctx, minute(1000), 1)
		equal(t, "a small purge gets past what is held", 1, n)
		return err
	})
	equal(t, "after a purge", []portal.EventID{"2", "1"}, purgeAll(t, s))
	_, err := tryRead(t, s, func(ctx context.Context, tx portal.Tx) (time.Time, error) { return tx.OldestUnheldEvent(ctx) })
	gives(t, "the oldest that is not held", portal.ErrNotFound, err)
	releaseHold(t, s, "h")
	equal(t, "held", []portal.EventID{}, eventIDs(t, s, portal.EventFilter{Held: true}))
	equal(t, "released, before a purge", []portal.EventID{"2", "1"}, eventIDs(t, s, portal.EventFilter{}))
	equal(t, "after the next purge", []portal.EventID{}, purgeAll(t, s))
}

func testHoldLater(t *testing.T, s portal.Store) {
	placeHold(t, s, newHold("h", portal.EventFilter{
		Network: netip.MustParsePrefix("192.0.2.0/24"), Kinds: []portal.EventKind{portal.EventSignInFailed}, To: minute(10),
	}), 0)
	failed := kind(portal.EventSignInFailed)
	putEvents(t, s,
		newEvent("in", minute(1), failed), newEvent("another kind", minute(2)),
		newEvent("another network", minute(3), failed, from("198.51.100.1")), newEvent("too late", minute(10), failed))
	equal(t, "rows", 1, hold(t, s, "h").Rows)
	equal(t, "after a purge", []portal.EventID{"in"}, purgeAll(t, s))
	releaseHold(t, s, "h")
	putEvents(t, s, newEvent("after the release", minute(2), failed))
	equal(t, "after the next purge", []portal.EventID{}, purgeAll(t, s))
	equal(t, "rows", 0, hold(t, s, "h").Rows)
}

func testTwoHolds(t *testing.T, s portal.Store) {
	putEvents(t, s, newEvent("1", minute(1), of("a")))
	placeHold(t, s, newHold("account", portal.EventFilter{Account: "a"}), 1)
	placeHold(t, s, newHold("country", portal.EventFilter{Country: "NZ"}), 1)
	releaseHold(t, s, "account")
	equal(t, "after one is released", []portal.EventID{"1"}, purgeAll(t, s))
	releaseHold(t, s, "country")
	equal(t, "after both are released", []portal.EventID{}, purgeAll(t, s))
}

func testHoldRefused(t *testing.T, s portal.Store) {
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		for name, f := range map[string]portal.EventFilter{
			"everything":             {},
			"everything from now on": {From: minute(1)}, "every IPv4 address": {Network: netip.MustParsePrefix("0.0.0.0/0")},
			"the same in IPv6":        {Network: netip.MustParsePrefix("::ffff:0.0.0.0/96")},
			"what others hold":        {Held: true},
			"what others hold of one": {Held: true, Account: "a"},
		} {
			_, err := tx.PlaceHold(ctx, newHold("h", f))
			refused(t, name, err)
		}
		return nil
	})
	all := read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.Hold, error) { return tx.AllHolds(ctx) })
	equal(t, "holds", []portal.Hold{}, all)
}

func testReleaseHold(t *testing.T, s portal.Store) {
	want := newHold("h", portal.EventFilter{Account: "a"})
	placeHold(t, s, want, 0)
	releaseHold(t, s, "h")
	want.ReleasedAt, want.ReleasedBy = minute(70), "officer"
	equal(t, "hold", want, hold(t, s, "h"))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "again", portal.ErrNotFound, tx.ReleaseHold(ctx, "h", "another", minute(71)))
		gives(t, "one that is not there", portal.ErrNotFound, tx.ReleaseHold(ctx, "none", "another", minute(71)))
		return nil
	})
	equal(t, "hold", want, hold(t, s, "h"))
}

func testReleasedNetwork(t *testing.T, s portal.Store) {
	for network, want := range map[string]string{
		"192.0.2.77/32": "192.0.2.0/24", "198.0.0.0/8": "198.0.0.0/8", "192.0.2.64/26": "192.0.2.0/24", "192.0.0.0/16": "192.0.0.0/16",
		"2001:db8::77/128": "2001:db8::/56", "2001:db8::/32": "2001:db8::/32",
	} {
		placed := newHold(portal.HoldID(network), portal.EventFilter{Network: netip.MustParsePrefix(network)})
		placeHold(t, s, placed, 0)
		equal(t, "while it holds", netip.MustParsePrefix(network), hold(t, s, placed.ID).Filter.Network)
		releaseHold(t, s, placed.ID)
		equal(t, "released", netip.MustParsePrefix(want), hold(t, s, placed.ID).Filter.Network)
	}
}

func testAllHolds(t *testing.T, s portal.Store) {
	for id, review := range map[portal.HoldID]int{"late": 30, "b": 20, "a": 20, "soon": 10, "released": 40, "released too": 5} {
		h := newHold(id, portal.EventFilter{Account: "a"})
		h.ReviewAt = minute(review)
		placeHold(t, s, h, 0)
	}
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		if err := tx.ReleaseHold(ctx, "released", "officer", minute(80)); err != nil {
			return err
		}
		return tx.ReleaseHold(ctx, "released too", "officer", minute(70))
	})
	all := read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.Hold, error) { return tx.AllHolds(ctx) })
	equal(t, "holds", []portal.HoldID{"soon", "a", "b", "late", "released", "released too"}, ids(all, func(h portal.Hold) portal.HoldID { return h.ID }))
}
