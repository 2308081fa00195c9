package objectstore

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// kinds of S3's and STS's error codes whose HTTP status does not say it all.
var kinds = map[string]error{
	"NoSuchKey":                      ErrNotFound,
	"NoSuchBucket":                   ErrNotFound,
	"NoSuchUpload":                   ErrNotFound,
	"NoSuchVersion":                  ErrNotFound,
	"PreconditionFailed":             ErrPrecondition,
	"AccessDenied":                   ErrDenied,
	"AccessDeniedException":          ErrDenied,
	"ExpiredToken":                   ErrDenied,
	"ExpiredTokenException":          ErrDenied,
	"InvalidAccessKeyId":             ErrDenied,
	"InvalidClientTokenId":           ErrDenied,
	"InvalidToken":                   ErrDenied,
	"InvalidTokenId":                 ErrDenied,
	"RequestTimeTooSkewed":           ErrDenied,
	"SignatureDoesNotMatch":          ErrDenied,
	"ObjectLocked":                   ErrDenied,
	"BadDigest":                      ErrUnavailable, // Damaged on its way.
	"ConditionalRequestConflict":     ErrUnavailable, // Somebody else writes it now.
	"IncompleteBody":                 ErrUnavailable,
	"InternalError":                  ErrUnavailable,
	"OperationAborted":               ErrUnavailable,
	"RequestTimeout":                 ErrUnavailable,
	"ServiceUnavailable":             ErrUnavailable,
	"SlowDown":                       ErrUnavailable,
	"SlowDownRead":                   ErrUnavailable,
	"SlowDownWrite":                  ErrUnavailable,
	"Throttling":                     ErrUnavailable,
	"XAmzContentChecksumMismatch":    ErrUnavailable,
	"XAmzContentSHA256Mismatch":      ErrUnavailable,
	"XMinioServerNotInitialized":     ErrUnavailable,
	"XMinioBackendDown":              ErrUnavailable,
	"XMinioStorageResourceExhausted": ErrUnavailable,
}

// invalidRequest is S3's code for all sorts of things, such as a key that is missing.
const invalidRequest = "InvalidRequest"

// errInvalidRequest is an answer with that code.
var errInvalidRequest = errors.New("refused by the store")

// failed turns an error of minio-go into one of this package: what was tried, the
// sentinel, and why. Of an answer it keeps only code and status, because messages
// and URLs contain keys, and keys contain the names of people's files.
func failed(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("%s: %w", what, ended)
	}
	return fmt.Errorf("%s: %w", what, translate(err))
}

func translate(err error) error {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) {
		return answered(answer.Code, answer.StatusCode)
	}
	var sts credentials.ErrorResponse
	if errors.As(err, &sts) {
		if sts.STSError.Code == "" { // A proxy's answer. Its status is lost.
			return fmt.Errorf("%w: the answer is none of STS", ErrUnavailable)
		}
		return answered(sts.STSError.Code, 0)
	}
	var request *url.Error
	if errors.As(err, &request) {
		// Only its text: net's timeouts pass for context.DeadlineExceeded, and a
		// caller must be able to tell those from its own.
		return fmt.Errorf("%w: %s", ErrUnavailable, request.Err.Error())
	}
	var garbled *xml.SyntaxError
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &garbled) {
		return fmt.Errorf("%w: the answer broke off or is garbled", ErrUnavailable)
	}
	return err
}

// answered makes the error for an answer with this code and HTTP status; 0 for
// one that came inside an answer about many things.
func answered(code string, status int) error {
	text := code
	if text == "" || strings.ContainsAny(text, " \t\r\n") {
		text = fmt.Sprintf("HTTP status %d", status)
	}
	if code == invalidRequest {
		return fmt.Errorf("%w (%s)", errInvalidRequest, text)
	}
	if kind, ok := kinds[code]; ok {
		return fmt.Errorf("%w (%s)", kind, text)
	}
	switch {
	case status == http.StatusNotFound:
		return fmt.Errorf("%w (%s)", ErrNotFound, text)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("%w (%s)", ErrDenied, text)
	case status == http.StatusPreconditionFailed:
		return fmt.Errorf("%w (%s)", ErrPrecondition, text)
	case status >= http.StatusInternalServerError || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout:
		return fmt.Errorf("%w (%s)", ErrUnavailable, text)
	}
	return fmt.Errorf("refused by the store (%s)", text)
}
