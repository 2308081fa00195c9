package sqlstoretest

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

var countTests = map[string]func(*testing.T, portal.Store){
	"sign-ins are counted by country":     testSignInsByCountry,
	"failures are counted by network":     testFailuresByNetwork,
	"nothing is counted where nothing is": testNoCounts,
}

func testSignInsByCountry(t *testing.T, s portal.Store) {
	failed := kind(portal.EventSignInFailed)
	putEvents(t, s,
		newEvent("0", minute(0), country("NZ")), // before
		newEvent("1", minute(1), country("NZ"), of("a")),
		newEvent("2", minute(2), country("NZ"), of("a")),
		newEvent("3", minute(3), country("NZ"), of("b"), failed),
		newEvent("4", minute(4), country("NZ"), failed), // nobody's address
		newEvent("5", minute(5), country("SE"), of("a")),
		newEvent("6", minute(6), country("AU"), of("c"), failed),
		newEvent("7", minute(7), country("FI"), kind(portal.EventSignOut)), // another kind
		newEvent("8", minute(8), country("NZ")),                            // after
	)
	count := func(from, to time.Time) []portal.CountryCount {
		return read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.CountryCount, error) {
			return tx.SignInsByCountry(ctx, from, to)
		})
	}
	equal(t, "counts", []portal.CountryCount{
		{Country: "NZ", SignIns: 2, Failed: 2, Accounts: 2, FirstAt: minute(1), LastAt: minute(4)},
		{Country: "AU", Failed: 1, Accounts: 1, FirstAt: minute(6), LastAt: minute(6)},
		{Country: "SE", SignIns: 1, Accounts: 1, FirstAt: minute(5), LastAt: minute(5)},
	}, count(minute(1), minute(8)))
	equal(t, "counts of all time", 6, count(time.Time{}, time.Time{})[0].SignIns+2)
}

func testFailuresByNetwork(t *testing.T, s portal.Store) {
	failed := kind(portal.EventSignInFailed)
	n := 0
	add := func(ip string, account portal.AccountID, at int) {
		n++
		putEvents(t, s, newEvent(portal.EventID(fmt.Sprint(n)), minute(at), failed, from(ip), of(account)))
	}
	add("10.0.0.1", "a", 1)
	add("10.0.0.255", "b", 2)
	add("10.0.0.7", "", 3)
	add("10.0.1.0", "a", 3)
	add("2001:db8:0:ff::1", "a", 4)
	add("2001:db8:0:12::1", "a", 5)
	add("2001:db8:0:100::1", "a", 5)
	add("10.0.0.9", "z", 9) // after
	putEvents(t, s,
		newEvent("success", minute(2), from("10.0.1.1")),
		newEvent("nowhere", minute(2), failed, func(e *portal.Event) { e.IP = netip.Addr{} }))
	count := func(atLeast, limit int) []portal.NetworkFailures {
		return read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.NetworkFailures, error) {
			return tx.FailuresByNetwork(ctx, minute(1), minute(9), atLeast, limit)
		})
	}
	all := []portal.NetworkFailures{
		{Network: netip.MustParsePrefix("10.0.0.0/24"), Failures: 3, Accounts: 2, FirstAt: minute(1), LastAt: minute(3)},
		{Network: netip.MustParsePrefix("2001:db8::/56"), Failures: 2, Accounts: 1, FirstAt: minute(4), LastAt: minute(5)},
		{Network: netip.MustParsePrefix("10.0.1.0/24"), Failures: 1, Accounts: 1, FirstAt: minute(3), LastAt: minute(3)},
		{Network: netip.MustParsePrefix("2001:db8:0:100::/56"), Failures: 1, Accounts: 1, FirstAt: minute(5), LastAt: minute(5)},
	}
	equal(t, "all", all, count(1, 10))
	equal(t, "at least two", all[:2], count(2, 10))
	equal(t, "a limit", all[:1], count(1, 1))
	equal(t, "no room", all[:0], count(1, -1))
}

func testNoCounts(t *testing.T, s portal.Store) {
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		countries, err := tx.SignInsByCountry(ctx, start, minute(1))
		equal(t, "countries", []portal.CountryCount{}, countries)
		if err != nil {
			return err
		}
		networks, err := tx.FailuresByNetwork(ctx, start, minute(1), 0, 10)
		equal(t, "networks", []portal.NetworkFailures{}, networks)
		return err
	})
}
