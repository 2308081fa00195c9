package rest

import (
	"strconv"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Bounds of a page of events.
const (
	defaultEvents = 50
	maxEvents     = 200
)

// Event is one security event of the account, as its page shows it: without the IP
// address, which is somebody else's when the event is an attack.
type Event struct {
	ID      string    `json:"id"`
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"`
	Country string    `json:"country"`
	Browser string    `json:"browser"`
}

// EventPage is the answer to GET /api/v1/events, newest first. Next is the value of
// "after" for the next page; absent on the last.
type EventPage struct {
	Events []Event `json:"events"`
	Next   string  `json:"next,omitempty"`
}

// events handles GET /api/v1/events.
func (s *Server) events(r *request) (any, error) {
	query := r.URL.Query()
	limit, err := parseLimit(query.Get("limit"))
	if err != nil {
		return nil, err
	}
	after, err := parseCursor(query.Get("after"))
	if err != nil {
		return nil, err
	}
	found, err := s.Auth.OwnEvents(r.Context(), r.who, after, limit+1)
	if err != nil {
		return nil, err
	}
	var page EventPage
	if len(found) > limit {
		found = found[:limit]
		page.Next = portal.EventCursor{Time: found[limit-1].Time, ID: found[limit-1].ID}.String()
	}
	page.Events = make([]Event, len(found))
	for i, e := range found {
		page.Events[i] = Event{
			ID: string(e.ID), Time: e.Time.UTC(), Kind: string(e.Kind), Country: e.Country, Browser: s.Browser(e.UserAgent),
		}
	}
	return page, nil
}

func parseLimit(text string) (int, error) {
	if text == "" {
		return defaultEvents, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > maxEvents {
		return 0, portal.Invalid("limit", "limit is a number from 1 to 200.")
	}
	return limit, nil
}

func parseCursor(text string) (portal.EventCursor, error) {
	if text == "" {
		return portal.EventCursor{}, nil
	}
	after, ok := portal.ParseEventCursor(text)
	if !ok {
		return portal.EventCursor{}, portal.Invalid("after", "after is the value of next of the page before, unchanged.")
	}
	return after, nil
}
