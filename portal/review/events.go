package review

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// EventsPage is how many events one page of a search holds.
const EventsPage = 50

// MaxSpan is the longest time that the map and the flags look at.
const MaxSpan = portal.EventRetention

// Events searches security events, newest first. The cursor that comes back is where the
// next page goes on; it is zero on the last one.
func (s *Service) Events(ctx context.Context, p portal.Principal, f portal.EventFilter, after portal.EventCursor) ([]portal.Event, portal.EventCursor, error) {
	var found []portal.Event
	t := task{
		needs: portal.PermitEvents, action: portal.AuditSearchEvents, subject: f.Account,
		query: s.describe(f, after), invalid: checkFilter(f),
	}
	err := s.do(ctx, p, t, func(ctx context.Context, tx portal.Tx, _ time.Time) error {
		var err error
		if found, err = tx.FindEvents(ctx, f, after, EventsPage+1); err != nil {
			return fmt.Errorf("find events: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, portal.EventCursor{}, err
	}
	if len(found) <= EventsPage {
		return found, portal.EventCursor{}, nil
	}
	last := found[EventsPage-1]
	return found[:EventsPage], portal.EventCursor{Time: last.Time, ID: last.ID}, nil
}

// SignInMap counts sign-ins by country in a half-open interval.
func (s *Service) SignInMap(ctx context.Context, p portal.Principal, from, to time.Time) ([]portal.CountryCount, error) {
	var rows []portal.CountryCount
	t := task{needs: portal.PermitEvents, action: portal.AuditViewMap, query: describeSpan(from, to), invalid: checkSpan(from, to)}
	err := s.do(ctx, p, t, func(ctx context.Context, tx portal.Tx, _ time.Time) error {
		var err error
		if rows, err = tx.SignInsByCountry(ctx, from, to); err != nil {
			return fmt.Errorf("count sign-ins by country: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func checkFilter(f portal.EventFilter) error {
	if f.Account != "" && !portal.LooksLikeID(string(f.Account)) {
		return portal.Invalid("account", "An account id has 26 letters and digits.")
	}
	for _, kind := range f.Kinds {
		if !slices.Contains(portal.EventKinds(), kind) {
			return portal.Invalid("kind", "Choose kinds of the list.")
		}
	}
	if f.Country != "" && !isCountry(f.Country) {
		return portal.Invalid("country", "A country is two capital letters, such as NL; ZZ stands for unknown.")
	}
	if !f.From.IsZero() && !f.To.IsZero() && !f.From.Before(f.To) {
		return portal.Invalid("to", "The end has to be after the beginning.")
	}
	return nil
}

func isCountry(code string) bool {
	return len(code) == 2 && strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

func checkSpan(from, to time.Time) error {
	switch {
	case from.IsZero():
		return portal.Invalid("from", "Enter when to begin.")
	case to.IsZero() || !from.Before(to):
		return portal.Invalid("to", "The end has to be after the beginning.")
	case to.Sub(from) > MaxSpan:
		return portal.Invalid("from", "Choose 90 days or less.")
	}
	return nil
}

// describe says for the audit log what was searched for: identifiers, countries, kinds and
// times as they are, a network as a keyed hash, so that two searches for the same one show
// as such and the log holds no address.
func (s *Service) describe(f portal.EventFilter, after portal.EventCursor) string {
	var parts []string
	add := func(set bool, name, value string) {
		if set {
			parts = append(parts, name+"="+value)
		}
	}
	add(f.Account != "", "account", string(f.Account))
	add(f.Network.IsValid(), "network", s.keyed(f.Network.String()))
	add(f.Country != "", "country", f.Country)
	kinds := make([]string, len(f.Kinds))
	for i, kind := range f.Kinds {
		kinds[i] = string(kind)
	}
	add(len(kinds) > 0, "kinds", strings.Join(kinds, ","))
	add(!f.From.IsZero(), "from", stamp(f.From))
	add(!f.To.IsZero(), "to", stamp(f.To))
	add(f.Held, "held", strconv.FormatBool(f.Held))
	add(!after.Time.IsZero(), "after", stamp(after.Time))
	return strings.Join(parts, " ")
}

func describeSpan(from, to time.Time) string { return "from=" + stamp(from) + " to=" + stamp(to) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// keyed is 64 bits of a keyed hash: enough to compare searches by, useless without the key.
func (s *Service) keyed(text string) string {
	sum := s.MAC("audit query", []byte(text))
	return hex.EncodeToString(sum[:8])
}
