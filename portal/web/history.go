package web

import (
	"net/http"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// historyLength is how many events a page of the history shows.
const historyLength = 50

type historyPage struct {
	Page
	Events []eventRow
	// Older is the query of the next page; "" for the last one.
	Older string
	// Days is how long events are kept.
	Days int
}

// eventRow is an event as its person sees it: without the address it came from, which is
// somebody else's when the event is an attack.
type eventRow struct {
	Time  time.Time
	Kind  portal.EventKind
	Grave bool
	// Browser is "" for what came from none: staff did it, or a command on the server.
	Browser, Country string
}

func (s *Server) eventRows(events []portal.Event) []eventRow {
	rows := make([]eventRow, 0, len(events))
	for _, e := range events {
		row := eventRow{Time: e.Time, Kind: e.Kind, Grave: happenings[e.Kind].Grave, Country: e.Country}
		if e.IP.IsValid() || e.UserAgent != "" {
			row.Browser = s.browser(e.UserAgent)
		}
		rows = append(rows, row)
	}
	return rows
}

func (s *Server) history(w http.ResponseWriter, r *request) error {
	after, err := parseCursor(r.URL.Query().Get("before"))
	if err != nil {
		return err
	}
	events, err := s.auth.OwnEvents(r.Context(), *r.who, after, historyLength+1)
	if err != nil {
		return err
	}
	page := &historyPage{
		Page: s.accountPage(r, "Security history", "/account/history"),
		Days: int(portal.EventRetention / (24 * time.Hour)),
	}
	if len(events) > historyLength {
		events = events[:historyLength]
		last := events[historyLength-1]
		page.Older = portal.EventCursor{Time: last.Time, ID: last.ID}.String()
	}
	page.Events = s.eventRows(events)
	return s.render(w, r, "history", page)
}

// parseCursor reads a place in the history out of a query or form; "" is the newest.
func parseCursor(text string) (portal.EventCursor, error) {
	if text == "" {
		return portal.EventCursor{}, nil
	}
	after, ok := portal.ParseEventCursor(text)
	if !ok {
		return portal.EventCursor{}, portal.ErrNotFound
	}
	return after, nil
}
