package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

const (
	// streamLife is for how long one stream goes on before the browser has to ask again,
	// with its cookie: a session that has ended ends its streams within this time.
	streamLife = 10 * time.Minute
	// heartbeat is sent when nothing else is: proxies and mobile networks cut connections
	// that are silent for about half a minute, and nothing else tells us that the browser
	// has gone.
	heartbeat = 15 * time.Second
	// writeLimit is how long a browser may take to take what we send. The server's own
	// limit is for a whole answer, and would cut the stream.
	writeLimit = 20 * time.Second
	// comeBack is how long a browser waits before it connects again.
	comeBack = 2 * time.Second
)

// Drain ends all streams, so that a server that shuts down does not wait for them. The
// browsers come back by themselves, to another replica.
func (s *Server) Drain() { s.drained.Do(func() { close(s.draining) }) }

// eventStream writes server-sent events.
type eventStream struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	now        func() time.Time
}

// newEventStream begins an answer that no proxy may hold back or change.
func newEventStream(w http.ResponseWriter, now func() time.Time) *eventStream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	return &eventStream{w: w, controller: http.NewResponseController(w), now: now}
}

// send writes and flushes. What goes wrong is the connection's.
func (e *eventStream) send(text string) error {
	// A recorder of a test has no deadline.
	if err := e.controller.SetWriteDeadline(e.now().Add(writeLimit)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("set a deadline: %w", err)
	}
	if _, err := io.WriteString(e.w, text); err != nil {
		return fmt.Errorf("write to a stream: %w", err)
	}
	if err := e.controller.Flush(); err != nil {
		return fmt.Errorf("flush a stream: %w", err)
	}
	return nil
}

// event sends one with a value as JSON, which has no line breaks.
func (e *eventStream) event(name, id string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write an event: %w", err)
	}
	text := "event: " + name + "\ndata: " + string(data) + "\n\n"
	if id != "" {
		text = "id: " + id + "\n" + text
	}
	return e.send(text)
}

// Events of the stream.
type (
	// stateEvent is the part of the page that tells how far the run has come.
	stateEvent struct {
		HTML string `json:"html"`
		// Word and Say are for the title and for screen readers.
		Word string `json:"word"`
		Say  string `json:"say"`
		Over bool   `json:"over"`
	}
	// linesEvent is more of the log.
	linesEvent struct {
		Skipped int64    `json:"skipped,omitempty"`
		Lines   []string `json:"lines"`
	}
)

// runStream is what the page of a run is kept up to date by: its state, the points of its
// curves and its log, in one connection.
func (s *Server) runStream(w http.ResponseWriter, r *request) error {
	id := portal.RunID(r.PathValue("id"))
	ctx, cancel := context.WithTimeout(r.Context(), streamLife)
	defer cancel()
	changed, stop, err := s.live.Changes(ctx, *r.who, id)
	if err != nil {
		return err
	}
	defer stop()
	after := r.Header.Get("Last-Event-ID")
	if after == "" {
		after = r.URL.Query().Get("after")
	}
	tail, err := s.live.Log(ctx, *r.who, id, portal.ParseLogPosition(after))
	if err != nil {
		return err
	}
	defer tail.Close()
	if r.Method == http.MethodHead {
		return nil
	}
	f := &runFeed{server: s, request: r, out: newEventStream(w, s.now), changed: changed}
	f.points = portal.ParseLogPosition(r.URL.Query().Get("points")).At
	parts := make(chan portal.LogPart)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	reading.Go(func() { pump(ctx, tail, parts) })
	// The answer has begun: what goes wrong from here on is the connection's, and ends it.
	_ = f.run(ctx, parts)
	return nil
}

// pump reads a log and ends when it does.
func pump(ctx context.Context, tail portal.LogTail, parts chan<- portal.LogPart) {
	defer close(parts)
	for {
		part, err := tail.Next(ctx)
		if err != nil {
			return
		}
		select {
		case parts <- part:
		case <-ctx.Done():
			return
		}
	}
}

// runFeed is one browser's stream.
type runFeed struct {
	server  *Server
	request *request
	out     *eventStream
	changed <-chan struct{}
	// shown is the state that was sent last, points the time of the last point.
	shown  string
	points time.Time
}

func (f *runFeed) run(ctx context.Context, parts <-chan portal.LogPart) error {
	if err := f.out.send(fmt.Sprintf("retry: %d\n\n", comeBack.Milliseconds())); err != nil {
		return err
	}
	over, err := f.state() //nolint:contextcheck // A request carries it.
	if err != nil {
		return err
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for parts != nil || !over {
		select {
		case <-ctx.Done():
			return nil
		case <-f.server.draining:
			return nil
		case <-beat.C:
			err = f.out.send(": still here\n\n")
		case <-f.changed:
			over, err = f.state() //nolint:contextcheck // A request carries it.
		case part, ok := <-parts:
			if !ok {
				parts = nil
				over, err = f.state() //nolint:contextcheck // A request carries it. The log ends when the run does.
				break
			}
			err = f.lines(part)
		}
		if err != nil {
			return err
		}
	}
	return f.out.event("end", "", struct{}{})
}

func (f *runFeed) lines(part portal.LogPart) error {
	event, id := linesEvent{Skipped: part.Skipped, Lines: []string{}}, ""
	for _, line := range part.Lines {
		event.Lines = append(event.Lines, line.Text)
		id = line.Position.String()
	}
	return f.out.event("lines", id, event)
}

// state sends how far the run has come, when that is not what was sent last, and the points
// that have come. It reports whether the run is over.
func (f *runFeed) state() (over bool, err error) {
	page, err := f.server.runPage(f.request)
	if err != nil {
		return false, err
	}
	html, err := f.server.block("run", "state", page)
	if err != nil {
		return false, err
	}
	if html != f.shown {
		f.shown = html
		event := stateEvent{HTML: html, Word: page.Pill.Words, Say: page.Life.Say, Over: page.Life.Over}
		if err := f.out.event("state", "", event); err != nil {
			return false, err
		}
	}
	var points []portal.RunPoint
	for _, point := range page.View.Points {
		if point.At.After(f.points) {
			points = append(points, point)
		}
	}
	if len(points) == 0 {
		return page.Life.Over, nil
	}
	f.points = points[len(points)-1].At
	return page.Life.Over, f.out.event("points", "", points)
}

// block gives a part of a page as text.
func (s *Server) block(name, block string, data pageData) (string, error) {
	var out bytes.Buffer
	if err := s.templates[name].ExecuteTemplate(&out, block, data); err != nil {
		return "", fmt.Errorf("render %s: %w", name, err)
	}
	return strings.TrimSpace(out.String()), nil
}

// textWait is how long the plain log waits for more of a log that still grows.
const textWait = 2 * time.Second

// runLogText is the log as plain text: of a run that has ended all that the store keeps of
// one attempt (the last, if none is named), of one that runs what there is now.
func (s *Server) runLogText(w http.ResponseWriter, r *request) error {
	page, err := s.runPage(r)
	if err != nil {
		return err
	}
	if !page.Life.Over {
		return s.growingText(w, r, page.Run.ID)
	}
	attempt, err := attemptOf(r)
	if err != nil {
		return err
	}
	files, err := s.live.Logs(r.Context(), *r.who, page.Run.ID, attempt)
	if err != nil {
		return err
	}
	plainText(w)
	for _, file := range files.Files {
		if !strings.HasSuffix(file.Path, ".log") {
			continue
		}
		if err := s.copyLog(w, r, page.Run.ID, file); err != nil {
			s.away(r, err)
			panic(http.ErrAbortHandler) // half a log must not look like a whole one
		}
	}
	return nil
}

func plainText(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusOK)
}

func (s *Server) copyLog(w http.ResponseWriter, r *request, id portal.RunID, file portal.RunFile) error {
	content, err := s.live.Open(r.Context(), *r.who, id, portal.FileLog, file.Path)
	if err != nil {
		return err
	}
	defer func() { _ = content.Body.Close() }() // It was only read.
	if _, err := fmt.Fprintf(w, "# %s\n", file.Path); err != nil {
		return err
	}
	_, err = io.Copy(s.patient(w), content.Body)
	return err
}

func (s *Server) growingText(w http.ResponseWriter, r *request, id portal.RunID) error {
	ctx, cancel := context.WithTimeout(r.Context(), textWait)
	defer cancel()
	tail, err := s.live.Log(ctx, *r.who, id, portal.LogPosition{})
	if err != nil {
		return err
	}
	defer tail.Close()
	plainText(w)
	for {
		part, err := tail.Next(ctx)
		if err != nil {
			return nil // It has come to its end, or to that of our patience.
		}
		if part.Skipped != 0 {
			fmt.Fprintf(w, "… earlier lines are not shown\n")
		}
		for _, line := range part.Lines {
			fmt.Fprintf(w, "%s %s\n", line.Position.At.Format(time.RFC3339), line.Text)
		}
	}
}
