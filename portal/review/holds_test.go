package review_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
)

func TestAHoldKeepsItsRowsAndNoOthersUntilItIsReleased(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.staff(t, portal.RoleSecurity)
	b.event(t, portal.EventSignIn, b.person.ID, "203.0.113.9", "DE")
	b.event(t, portal.EventSignIn, "", "203.0.113.9", "DE")
	b.clock.Advance(portal.EventRetention + time.Hour)
	later := b.event(t, portal.EventSignOut, b.person.ID, "203.0.113.9", "DE")

	purge := func() int {
		n := 0
		b.write(t, func(ctx context.Context, tx portal.Tx) (err error) {
			n, err = tx.PurgeEvents(ctx, b.clock.Now().Add(-portal.EventRetention), 100)
			return err
		})
		return n
	}
	if n := purge(); n != 1 {
		t.Errorf("the purge took %d events, want the one that no hold keeps", n)
	}
	holds, err := b.service.Holds(t.Context(), p)
	if err != nil || len(holds) != 1 || holds[0].Rows != 3 {
		t.Fatalf("holds are %+v, %v; want one of 3 rows", holds, err)
	}

	next, err := b.service.ReviewHold(t.Context(), client(), p, b.hold, "still needed, see INC-17", b.clock.Now().Add(time.Hour))
	if err != nil || next.Rows != 3 || next.Case != "INC-17" {
		t.Fatalf("the reviewed hold is %+v, %v; want the same rows", next, err)
	}
	if n := purge(); n != 0 {
		t.Errorf("the purge after the review took %d events", n)
	}
	if err := b.service.ReleaseHold(t.Context(), client(), b.staff(t, portal.RoleSecurity), next.ID, why); err != nil {
		t.Fatal(err)
	}
	if n := purge(); n != 2 {
		t.Errorf("the purge after the release took %d events, want the 2 old ones", n)
	}
	events, _, err := b.service.Events(t.Context(), p, portal.EventFilter{Account: b.person.ID}, portal.EventCursor{})
	if err != nil || len(events) != 1 || events[0].ID != later.ID {
		t.Errorf("left is %+v, %v; want the one that is young", events, err)
	}
	if err := b.service.ReleaseHold(t.Context(), client(), b.staff(t, portal.RoleSecurity), next.ID, why); portal.KindOf(err) != portal.KindNotFound {
		t.Errorf("a second release: %v, want not found", err)
	}
	if _, err := b.service.ReviewHold(t.Context(), client(), p, next.ID, why, b.clock.Now().Add(time.Hour)); portal.KindOf(err) != portal.KindNotFound {
		t.Errorf("a review of a released hold: %v, want not found", err)
	}
}

func TestWhatAHoldMayBePlacedOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.staff(t, portal.RoleSecurity)
	now := b.clock.Now()
	month := portal.EventFilter{From: now.Add(-31 * 24 * time.Hour), To: now}
	for name, test := range map[string]struct {
		change func(*portal.Hold)
		field  string
	}{
		"an account":                  {func(*portal.Hold) {}, ""},
		"an address":                  {func(h *portal.Hold) { h.Filter = network("203.0.113.9/32") }, ""},
		"a /16":                       {func(h *portal.Hold) { h.Filter = network("203.0.0.0/16") }, ""},
		"a month":                     {func(h *portal.Hold) { h.Filter = month }, ""},
		"90 days until the review":    {func(h *portal.Hold) { h.ReviewAt = now.Add(portal.MaxHoldReview) }, ""},
		"everything":                  {func(h *portal.Hold) { h.Filter = portal.EventFilter{} }, "filter"},
		"a kind, for ever":            {func(h *portal.Hold) { h.Filter = portal.EventFilter{Kinds: []portal.EventKind{portal.EventSignIn}} }, "filter"},
		"a country, for ever":         {func(h *portal.Hold) { h.Filter = portal.EventFilter{Country: "FR"} }, "filter"},
		"all from now on":             {func(h *portal.Hold) { h.Filter = portal.EventFilter{From: now} }, "filter"},
		"all until now":               {func(h *portal.Hold) { h.Filter = portal.EventFilter{To: now} }, "filter"},
		"two months":                  {func(h *portal.Hold) { h.Filter = month; h.Filter.From = now.Add(-62 * 24 * time.Hour) }, "filter"},
		"half of the internet":        {func(h *portal.Hold) { h.Filter = network("0.0.0.0/1") }, "filter"},
		"half of the other internet":  {func(h *portal.Hold) { h.Filter = network("2000::/3") }, "filter"},
		"what others hold":            {func(h *portal.Hold) { h.Filter.Held = true }, "filter"},
		"no case":                     {func(h *portal.Hold) { h.Case = " " }, "case"},
		"a case that is a story":      {func(h *portal.Hold) { h.Case = strings.Repeat("x", 101) }, "case"},
		"no reason":                   {func(h *portal.Hold) { h.Reason = "x" }, "reason"},
		"a review in the past":        {func(h *portal.Hold) { h.ReviewAt = now }, "review"},
		"a review in 91 days":         {func(h *portal.Hold) { h.ReviewAt = now.Add(91 * 24 * time.Hour) }, "review"},
		"no review":                   {func(h *portal.Hold) { h.ReviewAt = time.Time{} }, "review"},
		"an account that can't exist": {func(h *portal.Hold) { h.Filter.Account = "x" }, "account"},
	} {
		h := b.newHold()
		h.ReviewAt = now.Add(time.Hour)
		test.change(&h)
		placed, err := b.service.PlaceHold(t.Context(), client(), p, h)
		if got := fieldOf(err); got != test.field || (err == nil) != (test.field == "") {
			t.Errorf("%s: %v, want the field %q", name, err, test.field)
		}
		if err == nil && (placed.ID == "" || placed.PlacedBy != p.Account.ID || !placed.PlacedAt.Equal(now)) {
			t.Errorf("%s: placed %+v", name, placed)
		}
	}
}

func network(prefix string) portal.EventFilter {
	return portal.EventFilter{Network: netip.MustParsePrefix(prefix)}
}

func fieldOf(err error) string {
	if e, ok := err.(*portal.Error); ok { //nolint:errorlint // the service gives it bare
		return e.Field
	}
	return ""
}

func TestThePlacedHoldIsTheKeptOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.staff(t, portal.RoleSecurity)
	h := b.newHold()
	h.ReviewAt = b.clock.Now().Add(time.Minute).In(time.FixedZone("elsewhere", 3600))
	placed, err := b.service.PlaceHold(t.Context(), client(), p, h)
	if err != nil {
		t.Fatal(err)
	}
	holds, err := b.service.Holds(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	compare := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(placed, holds[0], compare); diff != "" {
		t.Errorf("hold (-placed +kept):\n%s", diff)
	}
}
