package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/progress"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

// countingStore counts what is read from a store.
type countingStore struct {
	agent.Store
	prefix string
	meter  *progress.Meter
}

// Get counts the bytes of files, and a file that was read whole.
func (s countingStore) Get(ctx context.Context, bucket, key string, offset, length int64) (io.ReadCloser, error) {
	body, err := s.Store.Get(ctx, bucket, key, offset, length)
	if err != nil {
		return nil, err
	}
	if _, ok := objectkey.Path(s.prefix, key); !ok {
		return body, nil
	}
	return &countingBody{ReadCloser: body, meter: s.meter, whole: offset == 0 && length < 0}, nil
}

type countingBody struct {
	io.ReadCloser
	meter *progress.Meter
	whole bool
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.meter.Bytes(int64(n))
	if b.whole && err == io.EOF {
		b.whole = false
		b.meter.File()
	}
	return n, err
}

// journaledStore counts what is written to a store, notes it, and leaves out what
// was written before.
type journaledStore struct {
	agent.Store
	prefix  string
	folder  *Folder
	journal *Journal
	meter   *progress.Meter
	faults  *faults
}

// faults keeps the first fault found here. The agent only learns that it is
// final, because its own words are meant for a pod.
type faults struct {
	mu    sync.Mutex
	first error
}

// add keeps err and gives the agent's form of it.
func (f *faults) add(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first == nil {
		f.first = err
	}
	return &agent.Failure{Exit: staging.ExitIOError}
}

func (f *faults) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.first
}

// Put sends a file unless the journal says that it has arrived.
func (s journaledStore) Put(
	ctx context.Context, bucket, key string, body io.Reader, size int64, options objectstore.PutOptions,
) error {
	path, ok := objectkey.Path(s.prefix, key)
	if !ok {
		if size > maxManifest { // The folder grew since it was surveyed.
			return s.faults.add(errors.New(tooLong(size)))
		}
		return s.Store.Put(ctx, bucket, key, body, size, options)
	}
	counted := &countingReader{source: body, hash: sha256.New(), meter: s.meter}
	stat := s.folder.stats[path]
	if noted, ok := s.journal.lookup(path, stat); ok {
		return s.skip(path, noted, counted)
	}
	if err := s.Store.Put(ctx, bucket, key, counted, size, options); err != nil {
		counted.undo()
		return err
	}
	if err := s.journal.add(path, stat, counted.sum()); err != nil {
		return s.faults.add(err)
	}
	s.meter.File()
	return nil
}

// skip reads the file, so that it is hashed for the manifest, and sends nothing.
func (s journaledStore) skip(path, noted string, body *countingReader) error {
	if _, err := io.Copy(io.Discard, body); err != nil {
		body.undo()
		return err
	}
	if body.sum() != noted {
		return s.faults.add(fmt.Errorf("%q has changed since it was uploaded, though its size and time are the same; "+
			"start again without --resume", path))
	}
	s.meter.File()
	return nil
}

// countingReader counts and hashes what is read through it, until its end: an HTTP
// transport may still hold it for a moment after a request has failed.
type countingReader struct {
	source io.Reader
	meter  *progress.Meter

	mu    sync.Mutex
	hash  hash.Hash
	count int64
	ended bool
}

func (r *countingReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return 0, io.ErrClosedPipe
	}
	n, err := r.source.Read(p)
	_, _ = r.hash.Write(p[:n]) // Never fails.
	r.count += int64(n)
	r.meter.Bytes(int64(n))
	return n, err
}

// sum ends the reading and gives the hash of what was read.
func (r *countingReader) sum() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	return hex.EncodeToString(r.hash.Sum(nil))
}

// undo ends the reading and takes its bytes off the meter: they have to come again.
func (r *countingReader) undo() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.meter.Bytes(-r.count)
}
