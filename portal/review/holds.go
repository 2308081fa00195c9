package review

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Bounds of a hold that names no account: what is wider needs an end.
const (
	maxHoldSpan  = 31 * 24 * time.Hour
	minHoldBits4 = 16
	minHoldBits6 = 32
)

// PlaceHold keeps the events that match now, and those that match later until it is
// released. Of h it takes Case, Reason, Filter and ReviewAt; see checkHoldFilter for how
// narrow a filter has to be.
func (s *Service) PlaceHold(ctx context.Context, _ portal.Client, p portal.Principal, h portal.Hold) (portal.Hold, error) {
	h, err := checkHold(h, s.now())
	var placed portal.Hold
	t := task{
		needs: portal.PermitHold, action: portal.AuditPlaceHold, subject: h.Filter.Account,
		reason: h.Reason, query: "case=" + strconv.Quote(h.Case) + " " + s.describe(h.Filter, portal.EventCursor{}), invalid: err,
	}
	err = s.do(ctx, p, t, func(ctx context.Context, tx portal.Tx, now time.Time) error {
		hold := portal.Hold{
			ID: portal.NewID[portal.HoldID](s.Random), Case: h.Case, Reason: h.Reason, Filter: h.Filter,
			ReviewAt: h.ReviewAt, PlacedBy: p.Account.ID, PlacedAt: now,
		}
		var err error
		if hold.Rows, err = tx.PlaceHold(ctx, hold); err != nil {
			return fmt.Errorf("place a hold: %w", err)
		}
		placed = hold
		return nil
	})
	if err != nil {
		return portal.Hold{}, err
	}
	return placed, nil
}

// ReviewHold gives a hold that is still needed a new review date: a new hold with the same
// case and filter takes the place of the old one, in one transaction, so that no row is
// free in between.
func (s *Service) ReviewHold(ctx context.Context, _ portal.Client, p portal.Principal, id portal.HoldID, reason string, reviewAt time.Time) (portal.Hold, error) {
	reason, invalid := checkReason(reason)
	if invalid == nil {
		invalid = checkReviewAt(reviewAt, s.now())
	}
	var placed portal.Hold
	t := task{needs: portal.PermitHold, action: portal.AuditPlaceHold, reason: reason, query: "review=" + string(id), invalid: invalid}
	err := s.do(ctx, p, t, func(ctx context.Context, tx portal.Tx, now time.Time) error {
		old, err := tx.Hold(ctx, id)
		if err != nil {
			return err
		}
		hold := portal.Hold{
			ID: portal.NewID[portal.HoldID](s.Random), Case: old.Case, Reason: reason, Filter: old.Filter,
			ReviewAt: reviewAt.UTC().Truncate(time.Microsecond), PlacedBy: p.Account.ID, PlacedAt: now,
		}
		if hold.Rows, err = tx.PlaceHold(ctx, hold); err != nil {
			return fmt.Errorf("place a hold: %w", err)
		}
		if err := tx.ReleaseHold(ctx, id, p.Account.ID, now); err != nil {
			return err
		}
		placed = hold
		return nil
	})
	if err != nil {
		return portal.Hold{}, err
	}
	return placed, nil
}

// ReleaseHold lets go of a hold's rows: the next purge takes those that are older than
// their retention and that no other hold keeps.
func (s *Service) ReleaseHold(ctx context.Context, _ portal.Client, p portal.Principal, id portal.HoldID, reason string) error {
	reason, invalid := checkReason(reason)
	t := task{
		needs: portal.PermitHold, stepUp: true, action: portal.AuditReleaseHold,
		reason: reason, query: "hold=" + string(id), invalid: invalid,
	}
	return s.do(ctx, p, t, func(ctx context.Context, tx portal.Tx, now time.Time) error {
		return tx.ReleaseHold(ctx, id, p.Account.ID, now)
	})
}

// Holds are those that hold, by review date, and then the released ones.
func (s *Service) Holds(ctx context.Context, p portal.Principal) ([]portal.Hold, error) {
	var holds []portal.Hold
	t := task{needs: portal.PermitHold, action: portal.AuditViewHolds}
	err := s.do(ctx, p, t, func(ctx context.Context, tx portal.Tx, _ time.Time) error {
		var err error
		if holds, err = tx.AllHolds(ctx); err != nil {
			return fmt.Errorf("read holds: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return holds, nil
}

func checkHold(h portal.Hold, now time.Time) (portal.Hold, error) {
	var err error
	if h.Case, err = checkWords("case", h.Case, 1, MaxCase); err != nil {
		return h, err
	}
	if h.Reason, err = checkReason(h.Reason); err != nil {
		return h, err
	}
	if err := checkFilter(h.Filter); err != nil {
		return h, err
	}
	if err := checkHoldFilter(h.Filter); err != nil {
		return h, err
	}
	if err := checkReviewAt(h.ReviewAt, now); err != nil {
		return h, err
	}
	h.ReviewAt = h.ReviewAt.UTC().Truncate(time.Microsecond)
	return h, nil
}

// checkHoldFilter refuses what would be no retention at all: a hold names an account, or a
// network that is not most of the internet, or a time of at most maxHoldSpan.
func checkHoldFilter(f portal.EventFilter) error {
	if f.Held {
		return portal.Invalid("filter", "A hold can't be placed on what other holds keep; name the events themselves.")
	}
	bounded := !f.From.IsZero() && !f.To.IsZero() && f.To.Sub(f.From) <= maxHoldSpan
	if f.Account != "" || narrow(f) || bounded {
		return nil
	}
	return portal.Invalid("filter", "This would hold too much. Name an account, a network (/16 or narrower, IPv6 /32), or a time of at most 31 days.")
}

func narrow(f portal.EventFilter) bool {
	if !f.Network.IsValid() {
		return false
	}
	if f.Network.Addr().Is4() {
		return f.Network.Bits() >= minHoldBits4
	}
	return f.Network.Bits() >= minHoldBits6
}

func checkReviewAt(at, now time.Time) error {
	if !at.After(now) || at.Sub(now) > portal.MaxHoldReview {
		return portal.Invalid("review", "Choose a day within the next 90 days on which somebody looks whether the hold is still needed.")
	}
	return nil
}
