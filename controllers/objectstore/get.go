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
// and that comes from Get, not from the first read. A transfer that breaks off
// ends with an error that wraps ErrUnavailable, never with io.EOF. The body is
// closed by the caller.
func (c *Client) Get(ctx context.Context, bucket, key string, offset, length int64) (io.ReadCloser, error) {
	if offset < 0 {
		return nil, errors.New("get object: the offset is negative")
	}
	if _, err := c.credentials.refresh(ctx); err != nil {
		return nil, failed(ctx, "get object", err)
	}
	if length == 0 {
		// HTTP has no range of no bytes.
		_, err := c.core.StatObject(ctx, bucket, key, minio.StatObjectOptions{})
		return http.NoBody, failed(ctx, "get object", err)
	}
	var options minio.GetObjectOptions
	if err := setRange(&options, offset, length); err != nil {
		return nil, fmt.Errorf("get object: %w", err)
	}
	stream, _, _, err := c.core.GetObject(ctx, bucket, key, options)
	if err != nil {
		return nil, failed(ctx, "get object", err)
	}
	return &body{ReadCloser: stream, failed: func(err error) error { return failed(ctx, "read object", err) }}, nil
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
