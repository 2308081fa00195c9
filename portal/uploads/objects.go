package uploads

import (
	"context"
	"errors"
	"io"

	"github.com/lethe-dev/lethe/portal"
)

// ErrNoUpload is given by Multipart for an upload that the store does not know: it was
// completed, aborted, or never begun.
var ErrNoUpload = errors.New("the store has no such upload")

// Objects is the object store, under a grant. Errors but ErrNoUpload are *portal.Error:
// KindUnavailable where another try is worth it.
type Objects interface {
	Multipart
	// Presign signs a request that somebody else sends.
	Presign(ctx context.Context, g portal.Grant, r Request) (portal.SignedRequest, error)
	// Put stores size bytes of body, in the place of what is there.
	Put(ctx context.Context, g portal.Grant, key string, body io.Reader, size int64) error
}

// Multipart is an upload in parts.
type Multipart interface {
	// Begin gives the name of a new upload.
	Begin(ctx context.Context, g portal.Grant, key string) (upload string, err error)
	// Parts are those that the store has, in their order.
	Parts(ctx context.Context, g portal.Grant, key, upload string) ([]Part, error)
	// Complete makes the object out of the parts.
	Complete(ctx context.Context, g portal.Grant, key, upload string, parts []Part) error
	// Abort removes the parts; an upload that is not there is a success.
	Abort(ctx context.Context, g portal.Grant, key, upload string) error
}

// Part is one that the store has.
type Part struct {
	Number int
	Size   int64
	ETag   string
}

// Request is a PUT of a whole object, or of a part of an upload.
type Request struct {
	Key string
	// Upload is "" for a whole object; Part counts from 1.
	Upload string
	Part   int
	// Length is what has to be sent, in bytes.
	Length int64
}
