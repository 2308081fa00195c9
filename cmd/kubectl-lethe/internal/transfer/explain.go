package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrCorrupt: the store does not hold what the manifest says.
	ErrCorrupt = errors.New("the files in the store are not those that the run published; tell your administrator")
	// ErrUnavailable: broker or store stayed away. The same command goes on later.
	ErrUnavailable = errors.New("broker or store stayed away; try again later")
	// ErrDenied: the broker or the store refused.
	ErrDenied = errors.New("refused")
)

// explain words an error of the agent for the person at the terminal. What the
// agent says without a cause is worded for a pod; changed stands in its place.
func explain(ctx context.Context, err error, what, changed string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var failure *agent.Failure
	if !errors.As(err, &failure) {
		return fmt.Errorf("%s: %w", what, err)
	}
	cause := errors.Unwrap(failure)
	switch {
	case failure.Exit == staging.ExitDatasetCorrupt:
		return fmt.Errorf("%s: %w", what, ErrCorrupt)
	case failure.Exit == staging.ExitUnavailable:
		return fmt.Errorf("%s: %w: %w", what, ErrUnavailable, cause)
	case failure.Exit == staging.ExitDenied:
		return denied(failure, cause, what)
	case failure.Exit == staging.ExitUsage && cause == nil:
		return fmt.Errorf("%s: %s", what, failure.Message)
	case failure.Exit == staging.ExitDiskFull:
		return fmt.Errorf("%s: the disk has too little room; make some and run the same command again", what)
	case cause != nil:
		return fmt.Errorf("%s: %w", what, cause)
	}
	return fmt.Errorf("%s: %s", what, changed)
}

func denied(failure *agent.Failure, cause error, what string) error {
	var problem *brokerclient.ProblemError
	if errors.As(cause, &problem) {
		return fmt.Errorf("%s: %w: %w", what, ErrDenied, problem)
	}
	return fmt.Errorf("%s: %w: %s", what, ErrDenied, failure.Message)
}
