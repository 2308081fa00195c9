package review_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/review"
)

func TestEventsPageThroughAll(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.staff(t, portal.RoleSecurity)
	const n = 2*review.EventsPage + 1
	for range n {
		b.event(t, portal.EventSignInFailed, "", "198.51.100.7", "FR")
	}
	seen := map[portal.EventID]bool{}
	var sizes []int
	var after portal.EventCursor
	for {
		page, next, err := b.service.Events(t.Context(), p, portal.EventFilter{Country: "FR"}, after)
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(page))
		for _, e := range page {
			seen[e.ID] = true
		}
		if after = next; next.Time.IsZero() {
			break
		}
	}
	if diff := cmp.Diff([]int{review.EventsPage, review.EventsPage, 1}, sizes); diff != "" || len(seen) != n {
		t.Errorf("%d events in pages (-want +got):\n%s", len(seen), diff)
	}
}

func TestEventsExactlyOnePage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.staff(t, portal.RoleSecurity)
	for range review.EventsPage {
		b.event(t, portal.EventSignInFailed, "", "198.51.100.7", "FR")
	}
	page, next, err := b.service.Events(t.Context(), p, portal.EventFilter{Country: "FR"}, portal.EventCursor{})
	if err != nil || len(page) != review.EventsPage || next != (portal.EventCursor{}) {
		t.Errorf("%d events, next %v, %v; want one full page and no next", len(page), next, err)
	}
}

func TestEventsAreFoundByEachField(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.staff(t, portal.RoleSecurity)
	want := b.event(t, portal.EventSignInFailed, b.person.ID, "2001:db8:1:2::5", "BR")
	b.clock.Advance(time.Hour)
	b.event(t, portal.EventSignOut, "", "198.51.100.7", "FR")
	for name, f := range map[string]portal.EventFilter{
		"account and kind": {Account: b.person.ID, Kinds: []portal.EventKind{portal.EventSignInFailed}},
		"address":          {Network: netip.MustParsePrefix("2001:db8:1:2::5/128")},
		"network":          {Network: netip.MustParsePrefix("2001:db8:1::/56")},
		"country":          {Country: "BR"},
		"time":             {From: want.Time, To: want.Time.Add(time.Microsecond)},
	} {
		got, _, err := b.service.Events(t.Context(), p, f, portal.EventCursor{})
		if err != nil || len(got) != 1 || got[0].ID != want.ID {
			t.Errorf("%s: %+v, %v; want the one event", name, got, err)
		}
	}
	for name, f := range map[string]portal.EventFilter{
		"an account that is none":    {Account: "x' or 1=1"},
		"a kind that there is not":   {Kinds: []portal.EventKind{"nothing"}},
		"a country in small":         {Country: "fr"},
		"an end before the begin":    {From: want.Time, To: want.Time.Add(-1)},
		"an end that is the begin":   {From: want.Time, To: want.Time},
		"a country of three letters": {Country: "FRA"},
	} {
		if _, _, err := b.service.Events(t.Context(), p, f, portal.EventCursor{}); portal.KindOf(err) != portal.KindInvalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}

func TestSignInMap(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.staff(t, portal.RoleSecurity)
	b.event(t, portal.EventSignIn, b.person.ID, "198.51.100.7", "FR")
	b.event(t, portal.EventSignIn, b.person.ID, "198.51.100.7", "FR")
	b.event(t, portal.EventSignInFailed, "", "198.51.100.8", "FR")
	rows, err := b.service.SignInMap(t.Context(), p, portaltest.Start, portaltest.Start.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][3]int{}
	for _, row := range rows {
		got[row.Country] = [3]int{row.SignIns, row.Failed, row.Accounts}
	}
	if diff := cmp.Diff(map[string][3]int{"FR": {2, 1, 1}, "DE": {1, 0, 1}}, got); diff != "" {
		t.Errorf("map (-want +got):\n%s", diff)
	}
	for name, span := range map[string][2]time.Time{
		"no begin": {{}, portaltest.Start}, "no end": {portaltest.Start, {}},
		"91 days": {portaltest.Start, portaltest.Start.Add(91 * 24 * time.Hour)}, "backwards": {portaltest.Start, portaltest.Start.Add(-1)},
	} {
		if _, err := b.service.SignInMap(t.Context(), p, span[0], span[1]); portal.KindOf(err) != portal.KindInvalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}
