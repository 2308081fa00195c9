package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/minio/minio-go/v7"
)

const (
	// singlePut is the size in bytes up to which an object is sent by one request.
	singlePut = 16 << 20
	// streamPart is the part of a body that can be read only once. One part is
	// held in memory, so that sending it can be repeated.
	streamPart = 8 << 20
	// randomPart is the part of a body that can be read anywhere; none is held.
	randomPart = 16 << 20
	// randomThreads parts of such a body are sent at once.
	randomThreads = 4
	// maxParts is S3's bound for one upload.
	maxParts = 10000
)

var errShortBody = errors.New("the body ended before its size")

// Put stores the first size bytes of body as an object, or nothing. A body that is
// an io.ReaderAt is read from its start, in several places at once when it is
// large, and again when an attempt fails; any other is read once and holds one part
// of 8 MiB in memory (more above 80 GB, since parts are at most 10,000). Above
// 16 MiB the upload has parts; when it fails they are removed again. The store
// checks a CRC-32C that follows the data. An error of the body is given as it is.
//
// When an attempt failed after it took effect, IfAbsent may give ErrPrecondition
// for an object that this very call has stored.
func (c *Client) Put(ctx context.Context, bucket, key string, body io.Reader, size int64, opts PutOptions) error {
	if size < 0 {
		return errors.New("put object: the size is negative")
	}
	if _, err := c.credentials.refresh(ctx); err != nil {
		return failed(ctx, "put object", err)
	}
	options := minio.PutObjectOptions{ContentType: opts.ContentType, PartSize: singlePut}
	if opts.IfAbsent {
		// The condition belongs to the one request that makes the object appear.
		options.SetMatchETagExcept("*")
		options.DisableMultipart = true
	}
	src := &source{size: size}
	reader := src.over(body)
	if size > singlePut {
		options.NumThreads = randomThreads
		options.PartSize = partSize(reader, size)
	}
	// Workers of minio-go outlive a failed upload until their context ends.
	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	_, err := c.core.Client.PutObject(sending, bucket, key, reader, size, options)
	if err == nil {
		return nil
	}
	if ofBody := src.failure(); ofBody != nil && ctx.Err() == nil {
		return fmt.Errorf("put object: read body: %w", ofBody)
	}
	return failed(ctx, "put object", err)
}

func partSize(body io.Reader, size int64) uint64 {
	least := int64(streamPart)
	if _, ok := body.(io.ReaderAt); ok {
		least = randomPart
	}
	const step = 1 << 20
	needed := (size/maxParts/step + 1) * step
	return uint64(max(least, needed)) //nolint:gosec // Both are positive.
}

// source remembers what went wrong with a body, which minio-go and net/http would
// pass off as a failure of the network.
type source struct {
	size int64
	at   io.ReaderAt
	from io.Reader

	mu   sync.Mutex
	read int64 // of from
	err  error
}

// over gives a reader of the body that has exactly the methods that may be used.
func (s *source) over(body io.Reader) io.Reader {
	if at, ok := body.(io.ReaderAt); ok {
		s.at = at
		return io.NewSectionReader(readerAt{s}, 0, s.size)
	}
	s.from = io.LimitReader(body, s.size)
	return reader{s}
}

func (s *source) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *source) note(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	return err
}

type reader struct{ s *source }

func (r reader) Read(p []byte) (int, error) {
	n, err := r.s.from.Read(p)
	r.s.read += int64(n)
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		return n, r.s.note(err)
	case r.s.read < r.s.size:
		return n, r.s.note(errShortBody)
	}
	return n, io.EOF
}

type readerAt struct{ s *source }

func (r readerAt) ReadAt(p []byte, offset int64) (int, error) {
	n, err := r.s.at.ReadAt(p, offset)
	switch {
	case err == nil || n == len(p):
		return n, nil
	case !errors.Is(err, io.EOF):
		return n, r.s.note(err)
	}
	// The section around it never asks beyond the size.
	return n, r.s.note(errShortBody)
}
