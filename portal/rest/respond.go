package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Problem is an error as RFC 9457 has it. Its type is about:blank: the status says all
// that a program can act on, Detail is for the person behind it.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Field is the parameter or member at fault; "" for none.
	Field string `json:"field,omitempty"`
	// Pointer is where that is in the body (RFC 6901, as a fragment).
	Pointer string `json:"pointer,omitempty"`
	// Errors are all that is wrong, where several things are.
	Errors []Fault `json:"errors,omitempty"`
	// Runs are those that stand in the way of an erase.
	Runs []UsedBy `json:"runs,omitempty"`
	// RequestID finds the request in our log.
	RequestID string `json:"requestId,omitempty"`
}

// Fault is one of several things that are wrong with a request.
type Fault struct {
	Detail  string `json:"detail"`
	Field   string `json:"field,omitempty"`
	Pointer string `json:"pointer,omitempty"`
}

// faultOf finds the words of an error and the place that it is about.
func faultOf(err error) (Fault, bool) {
	var e *portal.Error
	if !errors.As(err, &e) {
		return Fault{}, false
	}
	fault := Fault{Detail: e.Message, Field: e.Field}
	var at *pointed
	if errors.As(err, &at) {
		fault.Field, fault.Pointer = at.pointer[strings.LastIndexByte(at.pointer, '/')+1:], "#"+at.pointer
	}
	return fault, true
}

var errNoToken = &portal.Error{
	Kind: portal.KindUnauthenticated, Message: "Send an API token: Authorization: Bearer lethe_pat_…",
}

// scopeError is a good token that does not reach that far.
type scopeError struct{ needs Access }

func (e *scopeError) Error() string { return "the token lacks the scope " + string(e.needs) }

// fail answers with an error.
func (s *Server) fail(w http.ResponseWriter, r *request, err error) {
	var scope *scopeError
	if errors.As(err, &scope) {
		w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope", scope="`+string(scope.needs)+`"`)
		s.problem(w, r, Problem{Status: http.StatusForbidden, Detail: "This token does not have the scope " + string(scope.needs) + "."})
		return
	}
	var e *portal.Error
	if !errors.As(err, &e) || e.Kind == portal.KindInternal {
		s.Log.Error("a request failed", "pattern", r.Pattern, "request", r.client.RequestID, "error", err)
		s.problem(w, r, Problem{Status: http.StatusInternalServerError, Detail: "This is our fault. Try again; if it stays, tell us the request id."})
		return
	}
	switch {
	case errors.Is(err, errNoToken):
		w.Header().Set("WWW-Authenticate", "Bearer")
	case e.Kind == portal.KindUnauthenticated:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	}
	if e.RetryAfter > 0 {
		seconds := (e.RetryAfter + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	s.problem(w, r, problemOf(statusOf(e.Kind), err))
}

// problemOf tells of all that is wrong, the first of it as the problem itself.
func problemOf(status int, err error) Problem {
	var faults []Fault
	for _, one := range apart(err) {
		if fault, ok := faultOf(one); ok {
			faults = append(faults, fault)
		}
	}
	p := Problem{Status: status}
	if len(faults) > 0 {
		p.Detail, p.Field, p.Pointer = faults[0].Detail, faults[0].Field, faults[0].Pointer
	}
	if len(faults) > 1 {
		p.Errors = faults
	}
	var used *portal.DatasetInUse
	if errors.As(err, &used) {
		p.Runs = usedBy(used.Runs)
	}
	return p
}

func statusOf(kind portal.Kind) int {
	switch kind {
	case portal.KindInvalid:
		return http.StatusBadRequest
	case portal.KindUnauthenticated:
		return http.StatusUnauthorized
	case portal.KindStepUp, portal.KindForbidden:
		return http.StatusForbidden
	case portal.KindNotFound:
		return http.StatusNotFound
	case portal.KindConflict:
		return http.StatusConflict
	case portal.KindTooMany:
		return http.StatusTooManyRequests
	case portal.KindUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

func (s *Server) problem(w http.ResponseWriter, r *request, p Problem) {
	p.Type, p.Title, p.RequestID = "about:blank", http.StatusText(p.Status), r.client.RequestID
	s.write(w, r, p.Status, "application/problem+json", p)
}

// write encodes before it sends, so that half an answer never leaves.
func (s *Server) write(w http.ResponseWriter, r *request, status int, contentType string, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		s.Log.Error("encode an answer", "pattern", r.Pattern, "request", r.client.RequestID, "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // what goes wrong here is the connection's
}
