package sqlstoretest

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

var eventTests = map[string]func(*testing.T, portal.Store){
	"an event comes back as it was":                         testEvent,
	"an event's name is its own":                            testEventTaken,
	"events are chosen by each part of a filter and by all": testEventFilter,
	"events are chosen by network":                          testEventNetwork,
	"pages of events of one moment have each once":          testEventPages,
	"a purge takes old events, at most so many":             testPurgeEvents,
}

func newEvent(id portal.EventID, at time.Time, mods ...func(*portal.Event)) portal.Event {
	e := portal.Event{
		ID: id, Time: at, Kind: portal.EventSignIn, IP: netip.MustParseAddr("192.0.2.1"),
		UserAgent: "Mozilla/5.0", Country: "NZ", RequestID: "request",
	}
	for _, mod := range mods {
		mod(&e)
	}
	return e
}

func from(ip string) func(*portal.Event) {
	return func(e *portal.Event) { e.IP = netip.MustParseAddr(ip) }
}

func of(a portal.AccountID) func(*portal.Event) { return func(e *portal.Event) { e.Account = a } }

func kind(k portal.EventKind) func(*portal.Event) { return func(e *portal.Event) { e.Kind = k } }

func country(c string) func(*portal.Event) { return func(e *portal.Event) { e.Country = c } }

func putEvents(t *testing.T, s portal.Store, events ...portal.Event) {
	t.Helper()
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		for _, e := range events {
			if err := tx.AddEvent(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

func findEvents(t *testing.T, s portal.Store, f portal.EventFilter, after portal.EventCursor, limit int) []portal.Event {
	t.Helper()
	return read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.Event, error) {
		return tx.FindEvents(ctx, f, after, limit)
	})
}

func eventIDs(t *testing.T, s portal.Store, f portal.EventFilter) []portal.EventID {
	t.Helper()
	return ids(findEvents(t, s, f, portal.EventCursor{}, 100), func(e portal.Event) portal.EventID { return e.ID })
}

func testEvent(t *testing.T, s portal.Store) {
	wants := []portal.Event{
		newEvent("3", minute(3), of("an account that is gone"), from("2001:db8::1")),
		newEvent("2", minute(2)),
		{ID: "1", Time: minute(1), Kind: portal.EventAccessDenied},
	}
	putEvents(t, s, wants...)
	equal(t, "events", wants, findEvents(t, s, portal.EventFilter{}, portal.EventCursor{}, 100))

	putEvents(t, s, newEvent("4", minute(4), from("::ffff:192.0.2.7")), newEvent("5", minute(5), from("fe80::1%eth0")))
	got := findEvents(t, s, portal.EventFilter{}, portal.EventCursor{}, 2)
	equal(t, "an address with a zone", netip.MustParseAddr("fe80::1"), got[0].IP)
	equal(t, "IPv4 in IPv6", netip.MustParseAddr("192.0.2.7"), got[1].IP)
}

func testEventTaken(t *testing.T, s portal.Store) {
	putEvents(t, s, newEvent("1", minute(1)))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "again", portal.ErrConflict, tx.AddEvent(ctx, newEvent("1", minute(2))))
		return tx.AddEvent(ctx, newEvent("2", minute(0)))
	})
	equal(t, "events", []portal.EventID{"1", "2"}, eventIDs(t, s, portal.EventFilter{}))
}

func testEventFilter(t *testing.T, s portal.Store) {
	putEvents(t, s,
		newEvent("1", minute(1), of("a")),
		newEvent("2", minute(2), of("a"), kind(portal.EventSignOut)),
		newEvent("3", minute(3), of("b"), country("SE")),
		newEvent("4", minute(4), kind(portal.EventSignInFailed), country("SE")),
	)
	for name, test := range map[string]struct {
		filter portal.EventFilter
		want   []portal.EventID
	}{
		"all":               {portal.EventFilter{}, []portal.EventID{"4", "3", "2", "1"}},
		"an account":        {portal.EventFilter{Account: "a"}, []portal.EventID{"2", "1"}},
		"nobody":            {portal.EventFilter{Account: "c"}, nil},
		"a kind":            {portal.EventFilter{Kinds: []portal.EventKind{portal.EventSignOut}}, []portal.EventID{"2"}},
		"kinds":             {portal.EventFilter{Kinds: []portal.EventKind{portal.EventSignOut, portal.EventSignInFailed}}, []portal.EventID{"4", "2"}},
		"a country":         {portal.EventFilter{Country: "SE"}, []portal.EventID{"4", "3"}},
		"from on":           {portal.EventFilter{From: minute(3)}, []portal.EventID{"4", "3"}},
		"before":            {portal.EventFilter{To: minute(3)}, []portal.EventID{"2", "1"}},
		"between":           {portal.EventFilter{From: minute(2), To: minute(4)}, []portal.EventID{"3", "2"}},
		"an empty interval": {portal.EventFilter{From: minute(2), To: minute(2)}, nil},
		"what is held":      {portal.EventFilter{Held: true}, nil},
		"all at once": {portal.EventFilter{
			Account: "b", Kinds: []portal.EventKind{portal.EventSignIn}, Country: "SE", From: minute(3), To: minute(4),
			Network: netip.MustParsePrefix("192.0.2.0/24"),
		}, []portal.EventID{"3"}},
	} {
		equal(t, name, test.want, eventIDs(t, s, test.filter))
	}
	equal(t, "a limit", 1, len(findEvents(t, s, portal.EventFilter{}, portal.EventCursor{}, 1)))
	equal(t, "no room", 0, len(findEvents(t, s, portal.EventFilter{}, portal.EventCursor{}, 0)))
	equal(t, "less than no room", 0, len(findEvents(t, s, portal.EventFilter{}, portal.EventCursor{}, -1)))
}

func testEventNetwork(t *testing.T, s portal.Store) {
	addresses := []string{
		"0.0.0.0", "10.1.2.3", "10.1.2.255", "10.1.3.0", "255.255.255.255", "::", "::a01:203", "2001:db8::", "2001:db8:0:ff::1", "2001:db8:0:100::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	}
	for i, address := range addresses {
		putEvents(t, s, newEvent(portal.EventID(address), minute(i), from(address)))
	}
	putEvents(t, s, newEvent("none", minute(99), func(e *portal.Event) { e.IP = netip.Addr{} }))
	for network, wants := range map[string][]portal.EventID{
		"10.1.2.3/32":         {"10.1.2.3"},
		"10.1.2.77/24":        {"10.1.2.255", "10.1.2.3"},
		"10.1.2.0/23":         {"10.1.3.0", "10.1.2.255", "10.1.2.3"},
		"0.0.0.0/0":           {"255.255.255.255", "10.1.3.0", "10.1.2.255", "10.1.2.3", "0.0.0.0"},
		"::/0":                {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8:0:100::", "2001:db8:0:ff::1", "2001:db8::", "::a01:203", "::"},
		"2001:db8::/56":       {"2001:db8:0:ff::1", "2001:db8::"},
		"2001:db8::/128":      {"2001:db8::"},
		"::/128":              {"::"},
		"::ffff:10.1.2.0/120": {"10.1.2.255", "10.1.2.3"},
		"::ffff:0.0.0.0/96":   {"255.255.255.255", "10.1.3.0", "10.1.2.255", "10.1.2.3", "0.0.0.0"},
		"255.255.255.255/32":  {"255.255.255.255"},
		"203.0.113.0/24":      nil,
	} {
		equal(t, network, wants, eventIDs(t, s, portal.EventFilter{Network: netip.MustParsePrefix(network)}))
	}
}

func testEventPages(t *testing.T, s portal.Store) {
	want := []portal.EventID{}
	for i := 29; i >= 0; i-- {
		id := portal.EventID(fmt.Sprintf("e%02d", i))
		// Ten of each minute; capitals are before small letters, in bytes.
		if i%2 == 0 {
			id = portal.EventID(fmt.Sprintf("E%02d", i))
		}
		putEvents(t, s, newEvent(id, minute(i/10)))
	}
	for moment := 2; moment >= 0; moment-- {
		for _, odd := range []int{1, 0} {
			for i := 8 + odd; i >= 0; i -= 2 {
				want = append(want, portal.EventID(fmt.Sprintf("%c%02d", "Ee"[odd], moment*10+i)))
			}
		}
	}
	for _, size := range []int{1, 3, 7, 30, 31} {
		got, after := []portal.EventID{}, portal.EventCursor{}
		for range 100 {
			page := findEvents(t, s, portal.EventFilter{}, after, size)
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				got = append(got, e.ID)
			}
			last := page[len(page)-1]
			after = portal.EventCursor{Time: last.Time, ID: last.ID}
		}
		equal(t, fmt.Sprintf("pages of %d", size), want, got)
	}
}

func testPurgeEvents(t *testing.T, s portal.Store) {
	_, err := tryRead(t, s, func(ctx context.Context, tx portal.Tx) (time.Time, error) { return tx.OldestUnheldEvent(ctx) })
	gives(t, "the oldest of none", portal.ErrNotFound, err)
	for i := range 6 {
		putEvents(t, s, newEvent(portal.EventID(rune('a'+i)), minute(i)))
	}
	purge := func(before time.Time, limit, want int) {
		write(t, s, func(ctx context.Context, tx portal.Tx) error {
			n, err := tx.PurgeEvents(ctx, before, limit)
			equal(t, "purged", want, n)
			return err
		})
	}
	purge(minute(4), 0, 0)
	purge(minute(4), -1, 0)
	purge(minute(4), 3, 3)
	equal(t, "the oldest go first", []portal.EventID{"f", "e", "d"}, eventIDs(t, s, portal.EventFilter{}))
	purge(minute(4), 3, 1)
	equal(t, "what is not older stays", []portal.EventID{"f", "e"}, eventIDs(t, s, portal.EventFilter{}))
	purge(minute(4), 3, 0)
	oldest := read(t, s, func(ctx context.Context, tx portal.Tx) (time.Time, error) { return tx.OldestUnheldEvent(ctx) })
	equal(t, "the oldest", minute(4), oldest)
}
