package agent

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// completeTimeout is how long the store may take to answer once it has all bytes:
// it may have to put the parts of a large object together.
const completeTimeout = 10 * time.Minute

var errBodyClosed = errors.New("upload has ended")

// upload publishes a collection.
type upload struct {
	*session
	files *collection
	// verify is asked, unless it is nil, between the last file and the manifest.
	verify func() error
}

// run uploads the files and then their manifest.
func (u *upload) run(ctx context.Context) (objectkey.ManifestSummary, error) {
	g, gctx := errgroup.WithContext(ctx)
	u.pool(gctx, g, u.Parallel.Small, func(n int64) bool { return n <= largeFile })
	u.pool(gctx, g, u.Parallel.Large, func(n int64) bool { return n > largeFile })
	if err := g.Wait(); err != nil {
		return objectkey.ManifestSummary{}, err
	}
	if u.verify != nil {
		if err := u.verify(); err != nil {
			return objectkey.ManifestSummary{}, err
		}
	}
	return u.putManifest(ctx)
}

// pool uploads the files whose size is wanted, some at once.
func (u *upload) pool(ctx context.Context, g *errgroup.Group, workers int, wanted func(size int64) bool) {
	var next atomic.Int64
	total := int64(len(u.files.artifacts))
	for range workers {
		g.Go(func() error {
			for i := next.Add(1) - 1; i < total; i = next.Add(1) - 1 {
				a := &u.files.artifacts[i]
				if !wanted(a.size) {
					continue
				}
				if err := u.persist(ctx, func(ctx context.Context) error { return u.put(ctx, a) }); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// put uploads one file. Its hash is that of the bytes that went out.
func (u *upload) put(ctx context.Context, a *artifact) error {
	f, err := u.files.open(a)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // It was only read.
	sum, err := u.send(ctx, objectkey.Data(u.prefix, a.path), f, a.size)
	if err != nil {
		return err
	}
	a.sum = sum
	return unchanged(f, a)
}

// send puts exactly size bytes of source. A source that ends before has changed.
func (s *session) send(ctx context.Context, key string, source io.Reader, size int64) ([sha256.Size]byte, error) {
	ctx, watch := s.watch(ctx)
	defer watch.stop()
	b := &body{source: io.LimitReader(source, size), hash: sha256.New(), left: size, watch: watch, pace: stallTimeout}
	if size > largeFile {
		b.pace = partsAtOnce * stallTimeout // Nothing is read while all parts are on their way.
	}
	if size == 0 {
		watch.patient(completeTimeout)
	}
	err := s.store.Put(ctx, s.bucket, key, b, size, objectstore.PutOptions{})
	sum, errSource := b.end()
	switch {
	case errSource != nil:
		return sum, errSource
	case err != nil:
		return sum, watch.explain(ctx, err)
	case b.left != 0:
		return sum, errShort
	}
	return sum, nil
}

// body is what is put: it hashes what is read from it. It hides every other method
// of its source, so that nobody can read the same bytes twice or out of order. Once
// ended, it reads no more: an HTTP transport may still hold it for a moment.
type body struct {
	mu     sync.Mutex
	source io.Reader
	hash   hash.Hash
	left   int64
	err    error // of the source, not io.EOF
	ended  bool
	watch  *watchdog
	// pace is how long it may take until more is read.
	pace time.Duration
}

// Read reads from the source.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return 0, errBodyClosed
	}
	n, err := b.source.Read(p[:min(len(p), bufferSize)]) // What is hashed is still in the processor's cache.
	_, _ = b.hash.Write(p[:n])                           // Never fails.
	b.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && b.left > 0:
		b.err = errChanged()
		return n, b.err
	case err != nil && !errors.Is(err, io.EOF):
		b.err = artifactsFailure(err)
		return n, b.err
	}
	b.watch.patient(b.pace)
	if b.left == 0 {
		b.watch.patient(completeTimeout)
	}
	return n, err
}

func (b *body) end() (sum [sha256.Size]byte, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	return [sha256.Size]byte(b.hash.Sum(nil)), b.err
}

// putManifest writes the manifest from the list twice, once for its size and once
// for the store, so it is never held in memory.
func (u *upload) putManifest(ctx context.Context) (objectkey.ManifestSummary, error) {
	var length counter
	sum, err := u.writeManifest(&length)
	if err != nil {
		return sum, err
	}
	err = u.persist(ctx, func(ctx context.Context) error {
		reader, writer := io.Pipe()
		written := make(chan struct{})
		go func() {
			defer close(written)
			out := bufio.NewWriterSize(writer, bufferSize)
			_, err := u.writeManifest(out)
			_ = writer.CloseWithError(errors.Join(err, out.Flush())) // Never fails.
		}()
		_, err := u.send(ctx, objectkey.Manifest(u.prefix), reader, int64(length))
		_ = reader.CloseWithError(errBodyClosed) // Never fails.
		<-written
		return err
	})
	return sum, err
}

func (u *upload) writeManifest(out io.Writer) (objectkey.ManifestSummary, error) {
	w := objectkey.NewManifestWriter(out)
	for _, a := range u.files.artifacts {
		if err := w.Add(objectkey.Entry{Path: a.path, Size: a.size, SHA256: hex.EncodeToString(a.sum[:])}); err != nil {
			return objectkey.ManifestSummary{}, err
		}
	}
	return w.Close()
}

// counter counts what is written to it.
type counter int64

// Write counts.
func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
