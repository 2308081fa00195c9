package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

const (
	// textWait is how long the plain log waits for more of a log that still grows.
	textWait = 2 * time.Second
	// streamLife is for how long one stream goes on before the program has to ask again,
	// with its token: one that was revoked ends its streams within this time.
	streamLife = 10 * time.Minute
	// heartbeat is sent when nothing else is: proxies cut connections that are silent.
	heartbeat = 15 * time.Second
)

// runLog handles GET /api/v1/runs/{id}/log: what there is of it as text, or all that comes
// as server-sent events.
func (s *Server) runLog(r *request) (any, error) {
	follow, err := flag(r, "follow")
	if err != nil {
		return nil, err
	}
	view, err := s.Live.View(r.Context(), r.who, runID(r))
	if err != nil {
		return nil, err
	}
	switch {
	case follow && r.Method == http.MethodHead:
		return asIs(eventStream, nil), nil
	case follow:
		return s.followLog(r)
	case runOf(view.Run).Over:
		return s.keptLog(r)
	default:
		return s.growingLog(r)
	}
}

// eventStream is the media type of server-sent events.
const eventStream = "text/event-stream"

func plainText(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusOK)
}

// keptLog is all that the store has of the log of a run that is over.
func (s *Server) keptLog(r *request) (any, error) {
	files, err := s.Live.Files(r.Context(), r.who, runID(r), portal.FileLog, "", filesPerPage)
	if err != nil {
		return nil, err
	}
	return stream(func(w http.ResponseWriter) {
		plainText(w)
		for _, file := range files.Files {
			if !strings.HasSuffix(file.Path, ".log") {
				continue
			}
			if err := s.copyLog(w, r, file); err != nil {
				panic(http.ErrAbortHandler) // half a log must not look like a whole one
			}
		}
	}), nil
}

func (s *Server) copyLog(w http.ResponseWriter, r *request, file portal.RunFile) error {
	content, err := s.Live.Open(r.Context(), r.who, runID(r), portal.FileLog, file.Path)
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

// growingLog is what there is now.
func (s *Server) growingLog(r *request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), textWait)
	tail, err := s.Live.Log(ctx, r.who, runID(r), portal.LogPosition{})
	if err != nil {
		cancel()
		return nil, err
	}
	return stream(func(w http.ResponseWriter) {
		defer cancel()
		defer tail.Close()
		plainText(w)
		for {
			part, err := tail.Next(ctx)
			if err != nil {
				return // It has come to its end, or to that of our patience.
			}
			if part.Skipped != 0 {
				fmt.Fprint(w, "… earlier lines are not shown\n")
			}
			for _, line := range part.Lines {
				fmt.Fprintf(w, "%s %s\n", line.Position.At.UTC().Format(time.RFC3339), line.Text)
			}
		}
	}), nil
}

// followLog sends the log as it grows, from the beginning or after the Last-Event-ID.
func (s *Server) followLog(r *request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), streamLife)
	_, stop, err := s.Live.Changes(ctx, r.who, runID(r)) // it counts as one that is watched
	if err != nil {
		cancel()
		return nil, err
	}
	tail, err := s.Live.Log(ctx, r.who, runID(r), portal.ParseLogPosition(r.Header.Get("Last-Event-ID")))
	if err != nil {
		stop()
		cancel()
		return nil, err
	}
	return stream(func(w http.ResponseWriter) {
		defer stop()
		defer tail.Close()
		defer cancel()
		h := w.Header()
		h.Set("Content-Type", eventStream)
		h.Set("Cache-Control", "no-store, no-transform")
		h.Set("X-Accel-Buffering", "no")
		w.WriteHeader(http.StatusOK)
		_ = s.follow(ctx, s.patient(w), tail) // What goes wrong here is the connection's.
	}), nil
}

// LogLines is the data of an event "lines" of a log that is followed.
type LogLines struct {
	// Skipped counts lines that are not there before these; -1 is some.
	Skipped int64    `json:"skipped,omitempty"`
	Lines   []string `json:"lines"`
}

func (s *Server) follow(ctx context.Context, out *patientWriter, tail portal.LogTail) error {
	parts := make(chan portal.LogPart)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { ended <- pump(ctx, tail, parts) }()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	text := "retry: 2000\n\n"
	for {
		if _, err := io.WriteString(out, text); err != nil {
			return fmt.Errorf("write to a stream: %w", err)
		}
		if err := out.flush(); err != nil {
			return fmt.Errorf("flush a stream: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.draining:
			return nil
		case <-beat.C:
			text = ": still here\n\n"
		case part := <-parts:
			text = linesEvent(part)
		case err := <-ended:
			if !errors.Is(err, io.EOF) {
				return err
			}
			_, err = io.WriteString(out, "event: end\ndata: {}\n\n")
			return err
		}
	}
}

// pump reads a log until its end, or the context's.
func pump(ctx context.Context, tail portal.LogTail, parts chan<- portal.LogPart) error {
	for {
		part, err := tail.Next(ctx)
		if err != nil {
			return err
		}
		select {
		case parts <- part:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// linesEvent writes a part of a log as an event. JSON has no line breaks.
func linesEvent(part portal.LogPart) string {
	lines, id := LogLines{Skipped: part.Skipped, Lines: []string{}}, ""
	for _, line := range part.Lines {
		lines.Lines = append(lines.Lines, line.Text)
		id = "id: " + line.Position.String() + "\n"
	}
	data, _ := json.Marshal(lines) // Texts and numbers can always be written.
	return id + "event: lines\ndata: " + string(data) + "\n\n"
}

// Drain ends all streams, so that a server that shuts down does not wait for them. Whoever
// follows comes back with the Last-Event-ID.
func (s *Server) Drain() { s.drained.Do(func() { close(s.draining) }) }
