package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"syscall"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

// Failure is an error that ends a step.
type Failure struct {
	// Exit is the exit code, see staging.
	Exit int
	// Message says what went wrong and what to do. It may leave the pod, so it
	// names no file of the user's.
	Message string

	cause error
}

// Error gives the message.
func (f *Failure) Error() string { return f.Message }

// Unwrap gives the cause, whose text may name files and is for errors.Is only.
func (f *Failure) Unwrap() error { return f.cause }

func fail(exit int, cause error, format string, args ...any) *Failure {
	return &Failure{Exit: exit, Message: fmt.Sprintf(format, args...), cause: cause}
}

// ExitCode says how the process ends after a step's error.
func ExitCode(err error) int {
	var failure *Failure
	switch {
	case err == nil:
		return staging.ExitOK
	case errors.As(err, &failure):
		return failure.Exit
	case errors.Is(err, context.Canceled):
		return staging.ExitTerminated
	default:
		return staging.ExitIOError
	}
}

// Conclude completes a step's report with what its error, if any, has to say.
func Conclude(report staging.Report, err error) staging.Report {
	if err == nil {
		return report
	}
	var failure *Failure
	switch {
	case errors.As(err, &failure):
		report.Message = failure.Message
	case errors.Is(err, context.Canceled):
		report.Message = "The pod was told to stop before this step was done."
	default:
		report.Message = "The step failed: " + Cause(err) + "."
	}
	return report
}

// volumeFailure classifies an error of the local file system. The name of the file
// that it carries is dropped.
func volumeFailure(what string, err error) error {
	var failure *Failure
	if err == nil || errors.As(err, &failure) {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fail(staging.ExitDiskFull, err,
			"The volume is full: could not %s. Give the run a node or volume with more room.", what)
	}
	return fail(staging.ExitIOError, err, "Could not %s: %s.", what, Cause(err))
}

// Cause gives the part of an error's text that names no file and no object, for
// log lines and messages. What is not known to be harmless is left out.
func Cause(err error) string {
	var (
		failure *Failure
		problem *brokerclient.ProblemError
		address *url.Error
		path    *fs.PathError
		link    *os.LinkError
		network *net.OpError
		number  syscall.Errno
		trust   *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &failure):
		return failure.Message
	case errors.As(err, &problem):
		return problem.Error()
	case errors.As(err, &address):
		return Cause(address.Err)
	case errors.As(err, &path):
		return Cause(path.Err)
	case errors.As(err, &link):
		return Cause(link.Err)
	case errors.As(err, &trust):
		return trust.Error()
	case errors.As(err, &network):
		return network.Error()
	case errors.As(err, &number):
		return number.Error()
	}
	for _, known := range []error{
		objectstore.ErrUnavailable, objectstore.ErrDenied, objectstore.ErrNotFound, objectstore.ErrKey,
	} {
		if errors.Is(err, known) {
			return err.Error() // objectstore keeps keys out of its errors.
		}
	}
	for _, known := range []error{
		errStalled, errShort, errNoLife, errLogFull, errTooMany, brokerclient.ErrToken, context.DeadlineExceeded, io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return fmt.Sprintf("unexpected error of type %T", innermost(err))
}

func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
