package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

type runsPage struct {
	Page
	// Filter is what was chosen.
	State, Dataset, Text string
	States               []option
	Datasets             []option
	Runs                 []runRow
	// Older leads to the next page; "" on the last.
	Older string
	// Filtered reports whether anything was chosen.
	Filtered bool
}

// option is a line of a list to choose from.
type option struct {
	Value, Label string
	Selected     bool
}

// runRow is a run in the list.
type runRow struct {
	portal.Run
	State   runState
	Dataset string
	Path    string
	// Percent is -1 while there is no progress to show.
	Percent  int
	GPUHours string
	// Cost is "" when there is no price.
	Cost string
}

func (s *Server) listRuns(w http.ResponseWriter, r *request) error {
	query := r.URL.Query()
	page := &runsPage{
		Page: s.newPage(r, "Runs"), State: query.Get("state"), Dataset: query.Get("dataset"),
		Text: strings.TrimSpace(query.Get("text")),
	}
	page.Wide = true
	page.Filtered = page.State != "" || page.Dataset != "" || page.Text != ""
	for _, state := range runFilterStates {
		page.States = append(page.States, option{state, runStateName(state), state == page.State})
	}
	datasets, err := s.runs.Datasets(r.Context(), *r.who)
	if err != nil {
		return err
	}
	names := map[portal.DatasetID]string{}
	for _, d := range datasets {
		names[d.ID] = d.Name
		page.Datasets = append(page.Datasets, option{string(d.ID), d.Name, string(d.ID) == page.Dataset})
	}
	after, ok := parsePageCursor(query.Get("after"))
	if !ok {
		return portal.Invalid("", "This address leads nowhere. Go back to your runs and try again.")
	}
	filter := portal.RunFilter{State: page.State, Dataset: portal.DatasetID(page.Dataset), Text: page.Text}
	list, next, err := s.runs.List(r.Context(), *r.who, filter, after)
	if err != nil {
		return s.again(w, r, "runs", page, err)
	}
	for _, run := range list {
		page.Runs = append(page.Runs, s.runRow(r, run, names[run.Dataset]))
	}
	if !next.Time.IsZero() {
		query.Set("after", pageCursorText(next))
		page.Older = pathRuns + "?" + query.Encode()
	}
	return s.render(w, r, "runs", page)
}

func (s *Server) runRow(r *request, run portal.Run, dataset string) runRow {
	row := runRow{Run: run, State: stateOfRun(run), Dataset: dataset, Path: pathRun(run.ID), Percent: -1, GPUHours: hoursOf(run.GPUSecondsUsed(s.now()))}
	if p := run.Seen.Progress.Percent; p != nil && row.State.Live {
		row.Percent = min(max(int(*p), 0), 100)
	}
	if cost, ok := s.runs.Cost(r.Context(), run); ok {
		row.Cost = cost.String()
	}
	return row
}

// pageCursorText writes a cursor for a query: microseconds since 1970, a dot, the id.
func pageCursorText(c portal.PageCursor) string {
	return strconv.FormatInt(c.Time.UnixMicro(), 10) + "." + c.ID
}

// parsePageCursor reads what pageCursorText has written; "" is the first page.
func parsePageCursor(text string) (portal.PageCursor, bool) {
	if text == "" {
		return portal.PageCursor{}, true
	}
	const year9999 = 253_402_300_799_999_999 // as far as databases go
	micros, id, _ := strings.Cut(text, ".")
	at, err := strconv.ParseInt(micros, 10, 64)
	if err != nil || at <= 0 || at > year9999 || !portal.LooksLikeID(id) {
		return portal.PageCursor{}, false
	}
	return portal.PageCursor{Time: time.UnixMicro(at).UTC(), ID: id}, true
}
