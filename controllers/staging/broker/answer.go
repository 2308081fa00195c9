package broker

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/controllers/staging"
)

const (
	// maxBody bounds a request's body in bytes, and smallBody that of what comes often.
	maxBody   = 64 << 10
	smallBody = 16 << 10
	// workTimeout bounds everything that is asked of the API server and the store
	// for one request.
	workTimeout = 20 * time.Second
	// retryAfter is the pause in seconds that is asked for with a passing refusal.
	retryAfter = 1
	// answerOK stands for the reason of a good answer in metrics.
	answerOK = "OK"
)

// work answers one request: with a value, a *refusal, or an internal error.
type work func(ctx context.Context, r *http.Request) (any, error)

// serve makes a handler of work that runs at most as many times at once as slots
// has room for, and ends with exactly one answer whatever happens.
func (s *Server) serve(path string, slots chan struct{}, do work) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := s.requestID()
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		value, err := s.safely(slots, do, r)
		if held, ok := value.(*logAnswer); ok {
			defer held.release()
			defer s.hurry(w)()
		}
		if err == nil {
			s.count(path, answerOK)
			writeJSON(w, http.StatusOK, "application/json", value)
			return
		}
		var why *refusal
		if !errors.As(err, &why) {
			s.logFailure(r.Context(), path, id, err)
			why = unavailable(id)
		}
		s.count(path, why.reason)
		writeRefusal(w, why)
	}
}

// safely runs work in a free slot and turns a panic into an error, so that it
// reaches the log by the one way that carries a request's number and no address.
func (s *Server) safely(slots chan struct{}, do work, r *http.Request) (value any, err error) {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	default:
		return nil, tooMany()
	}
	defer func() {
		if p := recover(); p != nil {
			value, err = nil, fmt.Errorf("panic while answering: %v\n%s", p, stack())
		}
	}()
	return do(r.Context(), r)
}

// stack says where the caller was called from. debug.Stack would do, but it also
// prints arguments, and a key may be one.
func stack() string {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	var text strings.Builder
	for {
		frame, more := frames.Next()
		fmt.Fprintf(&text, "%s\n\t%s:%d\n", frame.Function, frame.File, frame.Line)
		if !more {
			return text.String()
		}
	}
}

// bounded ends work after workTimeout.
func bounded(do work) work {
	return func(ctx context.Context, r *http.Request) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, workTimeout)
		defer cancel()
		return do(ctx, r)
	}
}

// small takes small bodies only.
func small(do work) work {
	return func(ctx context.Context, r *http.Request) (any, error) {
		r.Body = http.MaxBytesReader(nil, r.Body, smallBody)
		return do(ctx, r)
	}
}

// hurry ends an answer that its caller does not read within logSendTime, unless it is
// called off.
func (s *Server) hurry(w http.ResponseWriter) (off func()) {
	sent, ended := make(chan struct{}), make(chan struct{})
	timer := s.clock.NewTimer(logSendTime)
	go func() {
		defer close(ended)
		defer timer.Stop()
		select {
		case <-timer.C():
			// A time that is over: it fails if the connection is gone already.
			_ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0))
		case <-sent:
		}
	}()
	return func() { close(sent); <-ended }
}

// refuse answers every request with the same refusal.
func refuse(why *refusal) work {
	return func(context.Context, *http.Request) (any, error) { return nil, why }
}

func (s *Server) logFailure(ctx context.Context, path, id string, err error) {
	if ctx.Err() != nil {
		s.log.V(1).Info("The caller went away", "path", path, "requestID", id)
		return
	}
	s.log.Error(err, "Could not answer", "path", path, "requestID", id)
}

func (s *Server) count(path, reason string) { s.metrics.answers.WithLabelValues(path, reason).Inc() }

func (s *Server) requestID() string {
	raw := make([]byte, 8)
	if _, err := io.ReadFull(s.random, raw); err != nil {
		return "none"
	}
	return hex.EncodeToString(raw)
}

func unavailable(id string) *refusal {
	return &refusal{
		http.StatusServiceUnavailable, staging.ProblemUnavailable,
		"the cluster or the store did not answer; try again. If it stays so, " +
			"give the operator's administrator the request number " + id,
	}
}

// decode reads the body, which must be one JSON object with known fields only.
func decode(r *http.Request, into any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return nil
		}
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &refusal{
			http.StatusRequestEntityTooLarge, staging.ProblemMalformed,
			fmt.Sprintf("the body is larger than %d bytes", large.Limit),
		}
	}
	return malformed("the body is not the JSON object that this path takes")
}

// noBody refuses a body. Only when it was read to its end does net/http watch
// for a caller who goes away.
func noBody(r *http.Request) error {
	if n, err := r.Body.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return malformed("this path takes no body")
	}
	return nil
}

func writeRefusal(w http.ResponseWriter, why *refusal) {
	switch why.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+staging.Audience+`"`)
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	writeJSON(w, why.status, "application/problem+json",
		staging.Problem{Status: why.status, Reason: why.reason, Detail: why.detail})
}

// writeJSON writes an answer. That it can not be written means that the caller is
// gone, about which nothing can be done.
func writeJSON(w http.ResponseWriter, status int, contentType string, value any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}
