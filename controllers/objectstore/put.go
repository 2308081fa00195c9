package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
)

const (
	// singlePut is the size in bytes up to which an object is sent by one request.
	singlePut = 16 << 20
	// partSize is the least part of a larger one, in bytes. A part is held in memory
	// while it is sent, so that sending it can be repeated.
	partSize = 8 << 20
	// partsAtOnce are sent of one body, and partsMemory bounds in bytes what they take
	// where parts are larger; one there is always.
	partsAtOnce = 4
	partsMemory = partsAtOnce * partSize
	// maxParts is S3's bound for one upload.
	maxParts = 10_000
	// putPause before the second attempt of a single request; twice that before
	// the third.
	putPause = 200 * time.Millisecond
)

var errShortBody = errors.New("the body ended before its size")

// Put stores the first size bytes of body as an object, or nothing. A body that is
// an io.ReaderAt is read from its start and, when an attempt fails, again; any other
// is read once, so that up to 16 MiB there is one attempt and retrying is up to the
// caller. Above that the upload has parts, which are read in order, sent four at once and
// each tried again; when it fails they are removed. The parts that are sent are held in
// memory. One has 8 MiB, or a ten-thousandth above 80 GB, where less are sent at once. The
// store checks a CRC-32C of all it gets. An error of the body is given as it is.
//
// When an attempt failed after it took effect, IfAbsent may give ErrPrecondition
// for an object that this very call has stored.
func (c *Client) Put(
	ctx context.Context, bucket, key string, body io.Reader, size int64, opts PutOptions,
) error {
	if size < 0 {
		return errors.New("put object: the size is negative")
	}
	encryption, err := c.encryption()
	if err != nil {
		return fmt.Errorf("put object: %w", err)
	}
	options := minio.PutObjectOptions{
		ContentType:          opts.ContentType,
		ServerSideEncryption: encryption,
		PartSize:             singlePut,
		// Named, since minio-go's default sends none along with a single request.
		Checksum: minio.ChecksumFullObjectCRC32C,
	}
	if opts.IfAbsent {
		// The condition belongs to the one request that makes the object appear.
		options.SetMatchETagExcept("*")
		options.DisableMultipart = true
	}
	_, again := body.(io.ReaderAt)
	if size > singlePut {
		options.PartSize, options.NumThreads = partsOf(size)
		options.ConcurrentStreamParts = true
	}
	for attempt := 1; ; attempt++ {
		err := c.putOnce(ctx, bucket, key, &source{body: body, size: size}, options)
		if opts.IfAbsent && c.isUnderKey(ctx, bucket, key, err) {
			return fmt.Errorf("put object: %w", ErrPrecondition)
		}
		if !errors.Is(err, ErrUnavailable) || !again || attempt == attempts || size > singlePut {
			return err
		}
		select {
		case <-time.After(time.Duration(attempt) * putPause):
		case <-ctx.Done():
		}
	}
}

// isUnderKey says whether MinIO refused to look at the object that is there already,
// because that is under a key and the new one is not.
func (c *Client) isUnderKey(ctx context.Context, bucket, key string, err error) bool {
	if err == nil || !errors.Is(err, errInvalidRequest) {
		return false
	}
	return minio.ToErrorResponse(c.touch(ctx, bucket, key, minio.GetObjectOptions{})).Code == invalidRequest
}

// putOnce sends the body. minio-go must not repeat a single request by itself: the
// checksum that follows the data would then be that of both attempts.
func (c *Client) putOnce(ctx context.Context, bucket, key string, src *source, options minio.PutObjectOptions) error {
	if _, err := c.credentials.refresh(ctx); err != nil {
		return failed(ctx, "put object", err)
	}
	// Workers of minio-go outlive a failed upload until their context ends.
	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	_, err := c.core.Client.PutObject(sending, bucket, key, src.reader(), src.size, options)
	if err == nil {
		return nil
	}
	if ofBody := src.failure(); ofBody != nil && ctx.Err() == nil {
		return fmt.Errorf("put object: read body: %w", ofBody)
	}
	return failed(ctx, "put object", err)
}

// partsOf says how large the parts of an object are and how many are sent at once.
func partsOf(size int64) (part uint64, atOnce uint) {
	const step = 1 << 20
	length := max(partSize, (size/maxParts/step+1)*step)
	count := (size + length - 1) / length
	return uint64(length), uint(max(1, min(partsMemory/length, count)))
}

// source is a body of which only Read shows. It remembers what went wrong with it,
// which minio-go and net/http would pass off as a failure of the network.
type source struct {
	body io.Reader
	size int64

	from io.Reader
	mu   sync.Mutex
	read int64
	err  error
}

// reader starts at the beginning of a body that has one.
func (s *source) reader() io.Reader {
	s.from = io.LimitReader(s.body, s.size)
	if at, ok := s.body.(io.ReaderAt); ok {
		s.from = io.NewSectionReader(at, 0, s.size)
	}
	return s
}

// Read reads the body.
func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.from.Read(p)
	s.read += int64(n)
	switch {
	case err == nil || s.err != nil:
	case !errors.Is(err, io.EOF):
		s.err = err
	case s.read < s.size:
		s.err = errShortBody
	}
	if s.err != nil {
		return n, s.err
	}
	return n, err
}

func (s *source) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
