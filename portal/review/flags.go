package review

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// When a network's failures look like credential stuffing: many accounts, or so many
// failures that they can't be a household's typing.
const (
	stuffingFailures     = 20
	stuffingAccounts     = 3
	stuffingManyFailures = 100
	maxStuffing          = 100
)

// maxTravelSpeed, in km/h, is faster than any airliner over the ground.
const maxTravelSpeed = 1000

// Bounds of one look for impossible travel, so that it does not hold the store for long.
const (
	travelBatch   = 1000
	maxTravelRows = 50_000
)

// MaxFlags is how many flags one look gives at most.
const MaxFlags = 500

// Flags looks for what a person should look at: impossible travel and credential stuffing,
// the newest MaxFlags of them, newest first.
func (s *Service) Flags(ctx context.Context, p portal.Principal, from, to time.Time) ([]portal.Flag, error) {
	var flags []portal.Flag
	t := task{needs: portal.PermitEvents, action: portal.AuditViewFlags, query: describeSpan(from, to), invalid: checkSpan(from, to)}
	err := s.do(ctx, p, t, func(ctx context.Context, tx portal.Tx, _ time.Time) error {
		travel, err := findTravel(ctx, tx, from, to)
		if err != nil {
			return err
		}
		networks, err := tx.FailuresByNetwork(ctx, from, to, stuffingFailures, maxStuffing)
		if err != nil {
			return fmt.Errorf("count failures by network: %w", err)
		}
		flags = slices.Concat(travel, stuffing(networks))
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(flags, func(a, b portal.Flag) int { return cmp.Compare(b.To.UnixMicro(), a.To.UnixMicro()) })
	return flags[:min(len(flags), MaxFlags)], nil
}

// stuffing chooses the networks that look like it.
func stuffing(networks []portal.NetworkFailures) []portal.Flag {
	var flags []portal.Flag
	for _, n := range networks {
		if n.Failures < stuffingFailures || n.Accounts < stuffingAccounts && n.Failures < stuffingManyFailures {
			continue
		}
		flags = append(flags, portal.Flag{
			Kind: portal.FlagCredentialStuffing, Network: n.Network, Failures: n.Failures, Accounts: n.Accounts,
			From: n.FirstAt, To: n.LastAt,
		})
	}
	return flags
}

// findTravel pages through the sign-ins, newest first.
func findTravel(ctx context.Context, tx portal.Tx, from, to time.Time) ([]portal.Flag, error) {
	seen := travels{later: map[portal.AccountID]portal.Event{}}
	filter := portal.EventFilter{Kinds: []portal.EventKind{portal.EventSignIn}, From: from, To: to}
	var after portal.EventCursor
	for range maxTravelRows / travelBatch {
		events, err := tx.FindEvents(ctx, filter, after, travelBatch)
		if err != nil {
			return nil, fmt.Errorf("read sign-ins: %w", err)
		}
		for _, e := range events {
			seen.add(e)
		}
		if len(events) < travelBatch {
			return seen.flags, nil
		}
		last := events[len(events)-1]
		after = portal.EventCursor{Time: last.Time, ID: last.ID}
	}
	return nil, portal.Invalid("from", "There were too many sign-ins in that time to compare. Choose a shorter one.")
}

// travels compares each sign-in with the next later one of its account.
type travels struct {
	later map[portal.AccountID]portal.Event
	flags []portal.Flag
}

// add takes sign-ins newest first. Those whose country is not known are passed over.
func (t *travels) add(e portal.Event) {
	if e.Account == "" || e.Country == portal.UnknownCountry {
		return
	}
	if next, ok := t.later[e.Account]; ok && impossible(e, next) {
		t.flags = append(t.flags, portal.Flag{
			Kind: portal.FlagImpossibleTravel, Account: e.Account, Countries: [2]string{e.Country, next.Country},
			From: e.Time, To: next.Time,
		})
	}
	t.later[e.Account] = e
}

// impossible reports whether nobody can have got from the first sign-in's country to the
// second's in the time between. Only countries are known, so the way is the shortest that
// there can be: between their centres, less the radius of a circle of each one's area. So
// neighbours never flag, and two distant ones do.
func impossible(first, second portal.Event) bool {
	if first.Country == second.Country {
		return false
	}
	a, okA := countries[first.Country]
	b, okB := countries[second.Country]
	if !okA || !okB {
		return false
	}
	way := distance(a, b) - a.radius() - b.radius()
	return way > maxTravelSpeed*second.Time.Sub(first.Time).Hours()
}

// country is where its middle is, in degrees, and how large it is, in 1,000 km².
type country struct{ lat, lon, area float64 }

func (c country) radius() float64 { return math.Sqrt(c.area * 1000 / math.Pi) }

// earthRadius is the mean one, in km.
const earthRadius = 6371

// distance is along the great circle, in km (haversine).
func distance(a, b country) float64 {
	rad := func(degrees float64) float64 { return degrees * math.Pi / 180 }
	sin := func(x float64) float64 { return math.Pow(math.Sin(x/2), 2) }
	h := sin(rad(b.lat-a.lat)) + math.Cos(rad(a.lat))*math.Cos(rad(b.lat))*sin(rad(b.lon-a.lon))
	return 2 * earthRadius * math.Asin(min(1, math.Sqrt(h)))
}
