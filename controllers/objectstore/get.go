package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// Get opens an object and reads length bytes from offset, or to its end when length
// is negative; fewer when the object ends before. A missing object is ErrNotFound,
// one that is not under the client's key is ErrKey, and both come from Get, not from
// the first read. A transfer that breaks off ends with an error that wraps
// ErrUnavailable, never with io.EOF. The body is closed by the caller.
func (c *Client) Get(ctx context.Context, bucket, key string, offset, length int64) (io.ReadCloser, error) {
	if offset < 0 {
		return nil, errors.New("get object: the offset is negative")
	}
	encryption, err := c.encryption()
	if err != nil {
		return nil, fmt.Errorf("get object: %w", err)
	}
	if _, err := c.credentials.refresh(ctx); err != nil {
		return nil, failed(ctx, "get object", err)
	}
	options := minio.GetObjectOptions{ServerSideEncryption: encryption}
	if length == 0 {
		return http.NoBody, c.unreadable(ctx, bucket, key, c.touch(ctx, bucket, key, options))
	}
	if err := setRange(&options, offset, length); err != nil {
		return nil, fmt.Errorf("get object: %w", err)
	}
	stream, _, _, err := c.core.GetObject(ctx, bucket, key, options)
	if err != nil {
		return nil, c.unreadable(ctx, bucket, key, err)
	}
	return &body{ReadCloser: stream, failed: func(err error) error { return failed(ctx, "read object", err) }}, nil
}

// touch asks for the first byte and does not read it: HTTP has no range of no bytes,
// and the answer to a HEAD does not say why it is refused.
func (c *Client) touch(ctx context.Context, bucket, key string, options minio.GetObjectOptions) error {
	if err := options.SetRange(0, 0); err != nil {
		return err
	}
	stream, _, _, err := c.core.GetObject(ctx, bucket, key, options)
	if err != nil {
		if minio.ToErrorResponse(err).StatusCode == http.StatusRequestedRangeNotSatisfiable {
			return nil // It is there and empty.
		}
		return err
	}
	return stream.Close()
}

// unreadable finds out whether the key is why an object can not be read. S3 says of
// a missing key, and of one that nobody asked for, that the request is invalid, and
// of a wrong one only that access is denied; so it is asked what it says to none.
func (c *Client) unreadable(ctx context.Context, bucket, key string, err error) error {
	cause := err
	if minio.ToErrorResponse(err).Code == minio.AccessDenied && !c.key.IsZero() {
		cause = c.touch(ctx, bucket, key, minio.GetObjectOptions{})
	}
	if answer := minio.ToErrorResponse(cause); answer.Code == invalidRequest && ctx.Err() == nil {
		return fmt.Errorf("get object: %w", ErrKey)
	}
	return failed(ctx, "get object", err)
}

func setRange(options *minio.GetObjectOptions, offset, length int64) error {
	switch {
	case length > 0:
		return options.SetRange(offset, offset+length-1)
	case offset > 0:
		return options.SetRange(offset, 0)
	}
	return nil
}

// body gives the errors of a transfer this package's form.
type body struct {
	io.ReadCloser
	failed func(error) error
}

// Read reads. net/http compares what came with the length that was announced.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	return n, b.failed(fmt.Errorf("%w: %s", ErrUnavailable, err.Error()))
}
