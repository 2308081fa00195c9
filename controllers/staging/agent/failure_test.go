package agent_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

func TestExitCodeAndMessageFollowFromTheError(t *testing.T) {
	t.Parallel()
	failure := func(exit int) error { return &agent.Failure{Exit: exit, Message: "do this"} }
	cases := map[string]struct {
		err     error
		code    int
		message string
	}{
		"success":                       {nil, staging.ExitOK, ""},
		"usage":                         {failure(staging.ExitUsage), staging.ExitUsage, "do this"},
		"corrupt":                       {failure(staging.ExitDatasetCorrupt), staging.ExitDatasetCorrupt, "do this"},
		"disk full":                     {failure(staging.ExitDiskFull), staging.ExitDiskFull, "do this"},
		"I/O error":                     {failure(staging.ExitIOError), staging.ExitIOError, "do this"},
		"unavailable":                   {failure(staging.ExitUnavailable), staging.ExitUnavailable, "do this"},
		"denied":                        {failure(staging.ExitDenied), staging.ExitDenied, "do this"},
		"a failure that was wrapped":    {fmt.Errorf("a: %w", failure(77)), staging.ExitDenied, "do this"},
		"told to stop":                  {fmt.Errorf("a: %w", context.Canceled), staging.ExitTerminated, "The pod was told to stop before this step was done."},
		"something that nobody foresaw": {errors.New("x"), staging.ExitIOError, "The step failed: unexpected error of type *errors.errorString."},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := agent.ExitCode(tc.err); got != tc.code {
				t.Errorf("ExitCode = %d, want %d", got, tc.code)
			}
			if got := agent.Conclude(staging.Report{}, tc.err).Message; got != tc.message {
				t.Errorf("message %q, want %q", got, tc.message)
			}
		})
	}
}

func TestCauseNamesNoFile(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	cases := map[string]struct {
		err  error
		want string
	}{
		"a file's error":   {&fs.PathError{Op: "open", Path: "secret", Err: syscall.EACCES}, "permission denied"},
		"a rename's error": {&os.LinkError{Op: "rename", Old: "secret", New: "secret", Err: syscall.EXDEV}, "invalid cross-device link"},
		"a request's error": {
			fmt.Errorf("ask the broker: %w", &url.Error{Op: "Get", URL: "https://minio/secret", Err: refused}),
			"dial tcp: connect: connection refused",
		},
		"a certificate's error": {
			&url.Error{URL: "https://minio/secret", Err: &tls.CertificateVerificationError{Err: errors.New("unknown authority")}},
			"tls: failed to verify certificate: unknown authority",
		},
		"the store's absence": {
			fmt.Errorf("get object: %w (SlowDown)", objectstore.ErrUnavailable), "get object: store is unavailable (SlowDown)",
		},
		"another key": {fmt.Errorf("get object: %w", objectstore.ErrKey), "get object: object is not under this key"},
		"a timeout":   {fmt.Errorf("get secret: %w", context.DeadlineExceeded), "context deadline exceeded"},
		"the broker's words": {
			fmt.Errorf("a: %w", problem(http.StatusConflict, "NotYet")), "the broker refused: said the broker. (NotYet)",
		},
		"no token":      {fmt.Errorf("%w: %w", brokerclient.ErrToken, errors.New("secret")), brokerclient.ErrToken.Error()},
		"anything else": {fmt.Errorf("secret: %w", errors.New("secret")), "unexpected error of type *errors.errorString"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := agent.Cause(tc.err)
			if got != tc.want || strings.Contains(got, "secret") {
				t.Errorf("Cause = %q, want %q", got, tc.want)
			}
		})
	}
}
