package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/access"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/transfer"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// Exit codes beside those of the stager, see the package's comment.
const (
	exitFailed      = 1
	exitInterrupted = 130 // 128 + SIGINT
)

// usageError says that the command itself was wrong.
type usageError struct{ error }

// Unwrap gives the cause.
func (e usageError) Unwrap() error { return e.error }

// hintError adds what to do next to an error.
type hintError struct {
	error
	hint string
}

// Error puts the hint behind the cause.
func (e hintError) Error() string { return e.error.Error() + "; " + e.hint }

// Unwrap gives the cause.
func (e hintError) Unwrap() error { return e.error }

// errInterrupted stands in for the cancellation of a context.
var errInterrupted error = interrupted{}

type interrupted struct{}

// Error says it in a word.
func (interrupted) Error() string { return "interrupted" }

// Is makes it one with context.Canceled.
func (interrupted) Is(target error) bool { return target == context.Canceled }

// detachedError says that a run goes on without this program. It is the end that the
// person wished for, so it is not called an error.
type detachedError struct{ text string }

// Error says how to go on.
func (e detachedError) Error() string { return e.text }

// Is makes it one with context.Canceled.
func (detachedError) Is(target error) bool { return target == context.Canceled }

// report writes the error, if any, as one line and gives the exit code.
func report(out io.Writer, err error) int {
	var detached detachedError
	switch {
	case err == nil:
		return staging.ExitOK
	case errors.As(err, &detached):
		_, _ = fmt.Fprintln(out, detached.text)
		return exitInterrupted
	}
	_, _ = fmt.Fprintf(out, "error: %s\n", describe(err))
	return exitCode(err)
}

func describe(err error) string {
	var network *net.OpError
	switch {
	case err == context.Canceled: //nolint:errorlint // Only where it is all there is to say.
		err = errInterrupted
	case apierrors.IsUnauthorized(err):
		return "the API server does not accept your login: log in to the cluster again"
	case lacksRight(err):
		err = hintError{err, access.AskForRole}
	case errors.As(err, &network) && network.Op == "dial":
		err = hintError{err, "check the network, and the address in your kubeconfig"}
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// lacksRight says that the API server refused what the role of a user would allow.
// Forbidden is also what an admission plugin answers, and what the account that
// lends its token is asked for with; neither is a matter of that role.
func lacksRight(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsForbidden(err) || status.Status().Details == nil {
		return false
	}
	if !strings.Contains(err.Error(), " cannot ") { // As in "User \"ann\" cannot get resource".
		return false
	}
	switch status.Status().Details.Kind {
	case "pods", "trainingruns", "datasetretentions":
		return true
	}
	return false
}

func exitCode(err error) int {
	var usage usageError
	switch {
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage), errors.Is(err, transfer.ErrFolder), errors.Is(err, cluster.ErrInvalid):
		return staging.ExitUsage
	case errors.Is(err, transfer.ErrCorrupt):
		return staging.ExitDatasetCorrupt
	case errors.Is(err, transfer.ErrUnavailable):
		return staging.ExitUnavailable
	case errors.Is(err, transfer.ErrDenied), apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return staging.ExitDenied
	}
	return exitFailed
}
