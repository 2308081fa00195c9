package broker

import (
	"net/http"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// refusal is an answer other than the one asked for, in words for the caller. Any
// other error is internal: it is logged, and the caller learns its number only.
type refusal struct {
	status int
	reason string
	detail string
}

// Error gives the words for the caller.
func (r *refusal) Error() string { return r.reason + ": " + r.detail }

func unauthenticated(detail string) error {
	return &refusal{http.StatusUnauthorized, staging.ProblemUnauthenticated, detail}
}

func forbidden(detail string) error {
	return &refusal{http.StatusForbidden, staging.ProblemForbidden, detail}
}

func notFound(detail string) error {
	return &refusal{http.StatusNotFound, staging.ProblemNotFound, detail}
}

func notYet(detail string) error {
	return &refusal{http.StatusConflict, staging.ProblemNotYet, detail}
}

func gone(reason, detail string) error {
	return &refusal{http.StatusGone, reason, detail}
}

func malformed(detail string) error {
	return &refusal{http.StatusBadRequest, staging.ProblemMalformed, detail}
}

func tooMany() error {
	return &refusal{
		http.StatusTooManyRequests, staging.ProblemTooMany,
		"too many requests at a time; wait for a moment and try again",
	}
}
