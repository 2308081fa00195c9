package sqlstore

import (
	"context"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

const (
	holdColumns = `id, reference, reason, filter, review_at, placed_by, placed_at, released_at, released_by`
	holdSelect  = `SELECT ` + holdColumns + `, (SELECT COUNT(*) FROM event_holds WHERE hold = holds.id) FROM holds `
)

func scanHold(r row) (portal.Hold, error) {
	var h portal.Hold
	err := r.Scan(&h.ID, &h.Case, &h.Reason, fromJSON(&h.Filter), into(&h.ReviewAt), &h.PlacedBy,
		into(&h.PlacedAt), into(&h.ReleasedAt), into(&h.ReleasedBy), &h.Rows)
	return h, err
}

// scanHoldFilter reads what is needed to bind events.
func scanHoldFilter(r row) (portal.Hold, error) {
	var h portal.Hold
	err := r.Scan(&h.ID, fromJSON(&h.Filter))
	return h, err
}

// PlaceHold implements portal.Holds. It refuses a filter that chooses everything
// (KindInvalid), and one that chooses by other holds, which would keep what they keep
// without a reason of its own.
func (t *tx) PlaceHold(ctx context.Context, h portal.Hold) (int, error) {
	h.Filter.Network = plainNetwork(h.Filter.Network)
	if !choosesSome(h.Filter) {
		return 0, portal.Invalid("filter", "A hold on every event would be no retention at all. Say which events it keeps.")
	}
	if h.Filter.Held {
		return 0, portal.Invalid("filter", "A hold can't be chosen by other holds. Say which events it keeps.")
	}
	const doing = "place a hold"
	rows := 0
	err := t.atomic(ctx, doing, func() error {
		_, err := t.exec(ctx, doing,
			`INSERT INTO holds (`+holdColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL)`,
			h.ID, h.Case, h.Reason, filterText(h.Filter), h.ReviewAt, h.PlacedBy, h.PlacedAt)
		if err != nil {
			return err
		}
		rows, err = t.bindEvents(ctx, h.ID, h.Filter)
		return err
	})
	return rows, err
}

// ReleaseHold implements portal.Holds. What is left of the hold for the record names a
// network at most: an address (IP) has no reason to be kept any more.
func (t *tx) ReleaseHold(ctx context.Context, id portal.HoldID, by portal.AccountID, at time.Time) error {
	const doing = "release a hold"
	h, err := t.Hold(ctx, id)
	if err != nil {
		return err
	}
	if wide := portal.NetworkOf(h.Filter.Network.Addr()); h.Filter.Network.IsValid() && h.Filter.Network.Bits() > wide.Bits() {
		h.Filter.Network = wide
	}
	err = t.execOne(ctx, doing,
		`UPDATE holds SET released_at = ?, released_by = ?, filter = ? WHERE id = ? AND released_at IS NULL`,
		at, optional(by), filterText(h.Filter), id)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, doing, `DELETE FROM event_holds WHERE hold = ?`, id)
	return err
}

func (t *tx) Hold(ctx context.Context, id portal.HoldID) (portal.Hold, error) {
	return one(ctx, t, "read a hold", scanHold, holdSelect+`WHERE id = ?`, id)
}

func (t *tx) AllHolds(ctx context.Context) ([]portal.Hold, error) {
	return list(ctx, t, "list holds", scanHold,
		holdSelect+`ORDER BY released_at IS NOT NULL, released_at DESC, review_at, id`)
}

// bindNewEvent binds an event that was just added to the holds that match it.
func (t *tx) bindNewEvent(ctx context.Context, id portal.EventID) error {
	holds, err := list(ctx, t, "find holds for an event", scanHoldFilter,
		`SELECT id, filter FROM holds WHERE released_at IS NULL`)
	if err != nil {
		return err
	}
	for _, h := range holds {
		if _, err := t.bindEvents(ctx, h.ID, h.Filter, id); err != nil {
			return err
		}
	}
	return nil
}

// bindEvents binds all events that a filter chooses to a hold, or only those named.
func (t *tx) bindEvents(ctx context.Context, hold portal.HoldID, f portal.EventFilter, only ...portal.EventID) (int, error) {
	where, args := eventWhere(f)
	for _, id := range only {
		where += ` AND events.id = ?`
		args = append(args, id)
	}
	return t.exec(ctx, "bind events to a hold",
		`INSERT INTO event_holds (event, hold) SELECT events.id, holds.id FROM events, holds WHERE holds.id = ? AND `+where,
		append([]any{hold}, args...)...)
}

// choosesSome reports whether a filter leaves events out, now and in the time to come.
func choosesSome(f portal.EventFilter) bool {
	return f.Account != "" || len(f.Kinds) > 0 || f.Country != "" || !f.To.IsZero() ||
		f.Network.IsValid() && f.Network.Bits() > 0
}

// filterText is a filter as it is kept: times as precise as all others.
func filterText(f portal.EventFilter) string {
	f.From = f.From.UTC().Truncate(time.Microsecond)
	f.To = f.To.UTC().Truncate(time.Microsecond)
	return toJSON(f)
}
