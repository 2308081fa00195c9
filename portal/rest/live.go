package rest

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Live is what the API needs of what watches runs.
type Live interface {
	RunWatch
	RunStore
}

// RunWatch shows a run as it goes on.
type RunWatch interface {
	// View gives portal.ErrNotFound for what is not the account's.
	View(ctx context.Context, p portal.Principal, id portal.RunID) (portal.RunView, error)
	// Changes counts as one that the account watches, until stop is called.
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
	// Download gives a file by a short-lived link, or to be copied.
	Download(ctx context.Context, p portal.Principal, id portal.RunID, kind portal.FileKind, path string) (portal.FileContent, error)
	// Open gives a file to be copied.
	Open(ctx context.Context, p portal.Principal, id portal.RunID, kind portal.FileKind, path string) (portal.FileContent, error)
}

func (s *Server) liveRoutes() []Route {
	if s.Live == nil {
		return nil
	}
	return []Route{
		{"GET", pathRuns + "/{id}", readRuns, s.run},
		{"GET", pathRuns + "/{id}/events", readRuns, s.runEvents},
		{"GET", pathRuns + "/{id}/log", readRuns, s.runLog},
		{"GET", pathRuns + "/{id}/points", readRuns, s.runPoints},
		{"GET", pathRuns + "/{id}/files", readRuns, s.runFiles},
		{"GET", pathRuns + "/{id}/download", readRuns, s.runDownload},
	}
}

// run handles GET /api/v1/runs/{id}.
func (s *Server) run(r *request) (any, error) {
	view, err := s.Live.View(r.Context(), r.who, runID(r))
	if err != nil {
		return nil, err
	}
	run := runOf(view.Run)
	run.Cost = costOf(view.Cost)
	return run, nil
}

// RunEvent is something that happened to a run.
type RunEvent struct {
	At      time.Time `json:"at"`
	Warning bool      `json:"warning"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	Count   int       `json:"count"`
}

// RunEventList is the answer to GET /api/v1/runs/{id}/events, oldest first.
type RunEventList struct {
	Events []RunEvent `json:"events"`
}

// runEvents handles GET /api/v1/runs/{id}/events.
func (s *Server) runEvents(r *request) (any, error) {
	found, err := s.Live.Events(r.Context(), r.who, runID(r))
	if err != nil {
		return nil, err
	}
	list := RunEventList{Events: make([]RunEvent, len(found))}
	for i, e := range found {
		list.Events[i] = RunEvent{At: e.At.UTC(), Warning: e.Warning, Reason: e.Reason, Message: e.Message, Count: e.Count}
	}
	return list, nil
}

// RunPoint is one point of a run's curves.
type RunPoint struct {
	// At is absent where the trainer did not tell it.
	At      *time.Time         `json:"at,omitempty"`
	Step    int64              `json:"step"`
	Epoch   int64              `json:"epoch"`
	Metrics map[string]float64 `json:"metrics"`
}

// RunPointList is the answer to GET /api/v1/runs/{id}/points, oldest first.
type RunPointList struct {
	Points []RunPoint `json:"points"`
}

// runPoints handles GET /api/v1/runs/{id}/points.
func (s *Server) runPoints(r *request) (any, error) {
	found, err := s.Live.Series(r.Context(), r.who, runID(r))
	if err != nil {
		return nil, err
	}
	list := RunPointList{Points: make([]RunPoint, len(found))}
	for i, p := range found {
		list.Points[i] = RunPoint{At: moment(p.At), Step: p.Step, Epoch: p.Epoch, Metrics: p.Metrics}
		if p.Metrics == nil {
			list.Points[i].Metrics = map[string]float64{}
		}
	}
	return list, nil
}

// RunFile is a file that a run has left.
type RunFile struct {
	Kind string `json:"kind"`
	Path string `json:"path"`
	Size int64  `json:"size"`
	// SHA256 is absent where none is kept: of logs and checkpoints.
	SHA256 string `json:"sha256,omitempty"`
}

// RunFilePage is the answer to GET /api/v1/runs/{id}/files, by path.
type RunFilePage struct {
	Files []RunFile `json:"files"`
	Next  string    `json:"next,omitempty"`
	// Manifest is the digest of the manifest of artifacts.
	Manifest string `json:"manifest,omitempty"`
}

// fileKind reads which files are meant; artifacts when nothing is said.
func fileKind(r *request) (portal.FileKind, error) {
	switch kind := portal.FileKind(r.URL.Query().Get("kind")); kind {
	case "":
		return portal.FileArtifact, nil
	case portal.FileArtifact, portal.FileLog, portal.FileCheckpoint:
		return kind, nil
	default:
		return "", portal.Invalid("kind", "kind is artifact, log or checkpoint.")
	}
}

// runFiles handles GET /api/v1/runs/{id}/files.
func (s *Server) runFiles(r *request) (any, error) {
	kind, err := fileKind(r)
	if err != nil {
		return nil, err
	}
	limit, err := limitOf(r, filesPerPage)
	if err != nil {
		return nil, err
	}
	found, err := s.Live.Files(r.Context(), r.who, runID(r), kind, r.URL.Query().Get("after"), limit)
	if err != nil {
		return nil, err
	}
	page := RunFilePage{Files: make([]RunFile, len(found.Files)), Manifest: found.Manifest}
	for i, f := range found.Files {
		page.Files[i] = RunFile{Kind: string(f.Kind), Path: f.Path, Size: f.Size, SHA256: f.SHA256}
	}
	if found.More && len(found.Files) > 0 {
		page.Next = found.Files[len(found.Files)-1].Path
	}
	return page, nil
}

// runDownload handles GET /api/v1/runs/{id}/download.
func (s *Server) runDownload(r *request) (any, error) {
	kind, err := fileKind(r)
	if err != nil {
		return nil, err
	}
	path := r.URL.Query().Get("path")
	if path == "" {
		return nil, portal.Invalid("path", "Say which file: path is one of those that GET /files has.")
	}
	content, err := s.Live.Download(r.Context(), r.who, runID(r), kind, path)
	if err != nil {
		return nil, err
	}
	if content.Link != "" {
		return reply{status: http.StatusSeeOther, location: content.Link}, nil
	}
	return stream(func(w http.ResponseWriter) { s.sendFile(w, content) }), nil
}

func (s *Server) sendFile(w http.ResponseWriter, content portal.FileContent) {
	defer func() { _ = content.Body.Close() }() // It was only read.
	disposition := mime.FormatMediaType("attachment", map[string]string{"filename": content.Name})
	if disposition == "" {
		disposition = "attachment"
	}
	w.Header().Set("Content-Disposition", disposition)
	w.Header().Set("Content-Type", "application/octet-stream")
	if content.Size >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(content.Size, 10))
	}
	w.WriteHeader(http.StatusOK)
	if _, err := io.Copy(s.patient(w), content.Body); err != nil {
		panic(http.ErrAbortHandler) // half a file must not look like a whole one
	}
}

// pieceLimit is how long one piece of an answer may take: 32 KiB at 1 KiB/s. The server's
// own limit is for a whole answer, and would cut long ones.
const pieceLimit = 30 * time.Second

// patient is an answer that may take as long as it goes on: each piece has its own limit.
func (s *Server) patient(w http.ResponseWriter) *patientWriter {
	return &patientWriter{w: w, controller: http.NewResponseController(w), now: s.Now}
}

type patientWriter struct {
	w          io.Writer
	controller *http.ResponseController
	now        func() time.Time
}

// Write implements io.Writer.
func (p *patientWriter) Write(b []byte) (int, error) {
	if err := p.controller.SetWriteDeadline(p.now().Add(pieceLimit)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.w.Write(b)
}

// flush sends what was written.
func (p *patientWriter) flush() error {
	if err := p.controller.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
