package web

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Live is what the page of a run needs of what watches it.
type Live interface {
	RunWatch
	RunStore
}

// RunWatch shows a run as it goes on.
type RunWatch interface {
	// View gives portal.ErrNotFound for what is not the account's.
	View(ctx context.Context, p portal.Principal, id portal.RunID) (portal.RunView, error)
	// Changes tells that something of the run has changed, until stop is called.
	Changes(ctx context.Context, p portal.Principal, id portal.RunID) (changed <-chan struct{}, stop func(), err error)
	// Log gives the log after a position. Its reader closes it.
	Log(ctx context.Context, p portal.Principal, id portal.RunID, after portal.LogPosition) (portal.LogTail, error)
	Events(ctx context.Context, p portal.Principal, id portal.RunID) ([]portal.RunEvent, error)
	// Series gives the points of the run's curves, oldest first.
	Series(ctx context.Context, p portal.Principal, id portal.RunID) ([]portal.RunPoint, error)
}

// RunStore gives what a run has left in the store.
type RunStore interface {
	// Files gives files of one kind after a path, none before there are any.
	Files(ctx context.Context, p portal.Principal, id portal.RunID, kind portal.FileKind, after string, limit int) (portal.RunFiles, error)
	// Logs gives the files of the logs of one attempt, of the last when it is 0.
	Logs(ctx context.Context, p portal.Principal, id portal.RunID, attempt int) (portal.RunFiles, error)
	// Download gives a file by a short-lived link, or to be copied.
	Download(ctx context.Context, p portal.Principal, id portal.RunID, kind portal.FileKind, path string) (portal.FileContent, error)
	// Open gives a file to be copied.
	Open(ctx context.Context, p portal.Principal, id portal.RunID, kind portal.FileKind, path string) (portal.FileContent, error)
}

// liveRoutes are a run's own page, and what it is fed by.
func (s *Server) liveRoutes() []Route {
	return []Route{
		{"GET", "/runs/{id}", signedIn, s.run},
		{"GET", "/runs/{id}/log", signedInPage, s.runStream},
		{"GET", "/runs/{id}/log.txt", signedIn, s.runLogText},
		{"GET", "/runs/{id}/points", signedInPage, s.runPoints},
		{"GET", "/runs/{id}/files", signedIn, s.runFiles},
		{"GET", "/runs/{id}/files.zip", signedIn, s.runZip},
		{"GET", "/runs/{id}/download", signedIn, s.runDownload},
	}
}

// Lengths of the lists on a run's page.
const (
	runFilesShown      = 25
	runFilesPageLength = 500
	pointsShown        = 12
	eventsShown        = 20
)

type runPage struct {
	Page
	View portal.RunView
	Run  portal.Run
	Life runLife
	// Pill is the state as the list of runs shows it.
	Pill runState
	Now  time.Time
	// Measures are the names of the metrics, the losses first.
	Measures []string
	// Points are some of the curves' for the table, newest first.
	Points []portal.RunPoint
	Events []portal.RunEvent
	// Artifacts, Checkpoints and Logs are the first of the run's files; FilesAway says why
	// they can't be had.
	Artifacts, Checkpoints, Logs portal.RunFiles
	FilesAway, EventsAway        string
	// Acts says that runs can be acted on.
	Acts bool
	// Quiet: nothing of the page changes any more.
	Quiet bool
}

func (s *Server) run(w http.ResponseWriter, r *request) error {
	page, err := s.runPage(r)
	if err != nil {
		return err
	}
	id := page.Run.ID
	if page.Events, err = s.live.Events(r.Context(), *r.who, id); err != nil {
		page.EventsAway = s.away(r, err)
	}
	slices.Reverse(page.Events)
	page.Events = page.Events[:min(len(page.Events), eventsShown)]
	s.fillFiles(r, page)
	points, err := s.live.Series(r.Context(), *r.who, id)
	if err != nil {
		s.away(r, err)
		points = page.View.Points
	}
	page.Measures, page.Points = measures(points), newest(points, pointsShown)
	return s.render(w, r, "run", page)
}

// runPage is the page with what the database has, which is enough for its state.
func (s *Server) runPage(r *request) (*runPage, error) {
	view, err := s.live.View(r.Context(), *r.who, portal.RunID(r.PathValue("id")))
	if err != nil {
		return nil, err
	}
	life := lifeOf(view.Run, s.now())
	return &runPage{
		Page: s.newPage(r, view.Run.Name), View: view, Run: view.Run, Life: life, Pill: stateOfRun(view.Run), Now: s.now(),
		Acts: s.runs != nil, Quiet: life.Over,
	}, nil
}

// fillFiles gets the first of each kind of files. That they can't be had now is no reason
// not to show the rest of the page.
func (s *Server) fillFiles(r *request, page *runPage) {
	into := map[portal.FileKind]*portal.RunFiles{portal.FileArtifact: &page.Artifacts}
	if page.Life.Over {
		into[portal.FileCheckpoint], into[portal.FileLog] = &page.Checkpoints, &page.Logs
	}
	for kind, files := range into {
		found, err := s.someFiles(r, page.Run.ID, kind)
		if err != nil {
			page.FilesAway = s.away(r, err)
			return
		}
		*files = found
	}
}

// someFiles are the first of a kind; of the logs those of the last attempt.
func (s *Server) someFiles(r *request, id portal.RunID, kind portal.FileKind) (portal.RunFiles, error) {
	if kind == portal.FileLog {
		return s.live.Logs(r.Context(), *r.who, id, 0)
	}
	return s.live.Files(r.Context(), *r.who, id, kind, "", runFilesShown)
}

// away says why a part of the page is missing; what is ours to mend goes to the log.
func (s *Server) away(r *request, err error) string {
	if portal.KindOf(err) == portal.KindInternal {
		s.log.ErrorContext(r.Context(), "A part of a run's page is missing", "requestID", r.client.RequestID, "error", err)
	}
	return wordsOf(err, "This can't be had just now. Load the page again in a minute.")
}

// measures are the names of all metrics of some points: losses first, then by name.
func measures(points []portal.RunPoint) []string {
	var names []string
	for _, point := range points {
		for name := range point.Metrics {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.SortFunc(names, byMeasure)
	return names
}

// newest gives the last of some points, evenly from all of them, newest first.
func newest(points []portal.RunPoint, most int) []portal.RunPoint {
	var out []portal.RunPoint
	step := max((len(points)+most-1)/most, 1)
	for i := len(points) - 1; i >= 0; i -= step {
		out = append(out, points[i])
	}
	return out
}

// runPoints are the points of a run's curves, for its chart.
func (s *Server) runPoints(w http.ResponseWriter, r *request) error {
	points, err := s.live.Series(r.Context(), *r.who, portal.RunID(r.PathValue("id")))
	if err != nil {
		return err
	}
	if points == nil {
		points = []portal.RunPoint{}
	}
	return writeJSON(w, points)
}
