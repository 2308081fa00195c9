package brokerclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// ProblemError is a refusal of the broker; find it with errors.As.
type ProblemError struct {
	// Problem as the broker sent it. When something before the broker answered,
	// Reason is empty and Status is all that is known.
	Problem staging.Problem
	// RetryAfter is how long the broker asked to wait; 0 if it did not say.
	RetryAfter time.Duration
}

// Error gives the broker's words for people.
func (e *ProblemError) Error() string {
	if e.Problem.Reason == "" {
		return fmt.Sprintf("the broker's address answered with HTTP status %d", e.Problem.Status)
	}
	return fmt.Sprintf("the broker refused: %s (%s)", e.Problem.Detail, e.Problem.Reason)
}

// Retryable says whether the same request may succeed later: it could not be sent
// or its answer was lost, the object is not ready yet, there were too many
// requests, or the broker or what is behind it was unavailable. It is false for
// a nil error, for final refusals, when the caller cancelled, and when the token
// could not be read.
func Retryable(err error) bool {
	if err == nil || errors.Is(err, ErrToken) || errors.Is(err, context.Canceled) {
		return false
	}
	var problem *ProblemError
	if !errors.As(err, &problem) {
		return true
	}
	switch status := problem.Problem.Status; status {
	case http.StatusConflict, http.StatusTooManyRequests:
		return true
	default:
		return status >= http.StatusInternalServerError
	}
}

// problemOf reads a refusal. What can not be read still has its HTTP status, which
// is taken from the answer itself, never from its body.
func problemOf(res *http.Response, data []byte) *ProblemError {
	e := &ProblemError{}
	if err := json.Unmarshal(data, &e.Problem); err != nil {
		e.Problem = staging.Problem{}
	}
	e.Problem.Status = res.StatusCode
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}
