package objectstoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// Kind of a bucket.
type Kind int

// The kinds.
const (
	// Unversioned overwrites and deletes for good.
	Unversioned Kind = iota
	// Versioned keeps everything; a plain delete adds a marker.
	Versioned
	// Locked is versioned, and no version can be removed yet.
	Locked
)

// Store is an object store in memory, or a view of one under a key. It is safe for
// concurrent use.
type Store struct {
	*state
	key objectstore.Key
}

// state is what all views of one store share.
type state struct {
	mu      sync.Mutex
	buckets map[string]*bucket
	serial  int64
	page    int
	faults  faults
}

type bucket struct {
	kind    Kind
	facts   objectstore.BucketFacts
	objects map[string][]*version // oldest first
	uploads map[objectstore.Upload]bool
}

type version struct {
	serial int64
	id     string
	data   []byte
	marker bool
	// key that it was put under.
	key   objectstore.Key
	until time.Time // locked until then
}

// NewStore makes an empty store whose listings have pages of 1,000.
func NewStore() *Store {
	return &Store{state: &state{buckets: map[string]*bucket{}, page: objectstore.MaxBatch}}
}

// UnderKey is like objectstore.Client's: a view of the same store.
func (s *Store) UnderKey(k objectstore.Key) *Store { return &Store{state: s.state, key: k} }

// SetPage sets how many entries one request of a listing gives.
func (s *Store) SetPage(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.page = n
}

// AddBucket makes a bucket, which must be new.
func (s *Store) AddBucket(name string, kind Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets[name] != nil {
		panic("bucket " + name + " exists already")
	}
	s.buckets[name] = &bucket{
		kind: kind, facts: factsOf(kind), objects: map[string][]*version{}, uploads: map[objectstore.Upload]bool{},
	}
}

func (s *Store) find(name string) (*bucket, error) {
	b := s.buckets[name]
	if b == nil {
		return nil, fmt.Errorf("%w (NoSuchBucket)", objectstore.ErrNotFound)
	}
	return b, nil
}

// Get is like objectstore.Client's.
func (s *Store) Get(ctx context.Context, bucketName, key string, offset, length int64) (io.ReadCloser, error) {
	var data []byte
	err := s.call(ctx, "get object", func() error {
		b, err := s.find(bucketName)
		if err != nil {
			return err
		}
		v := b.current(key)
		switch {
		case v == nil:
			return fmt.Errorf("%w (NoSuchKey)", objectstore.ErrNotFound)
		case offset < 0:
			return errors.New("the offset is negative")
		case v.key != s.key:
			return objectstore.ErrKey
		case length != 0 && offset > 0 && offset >= int64(len(v.data)):
			return errors.New("refused by the store (InvalidRange)")
		}
		data = v.data[min(offset, int64(len(v.data))):]
		if length >= 0 {
			data = data[:min(length, int64(len(data)))]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// Put is like objectstore.Client's.
func (s *Store) Put(
	ctx context.Context, bucketName, key string, body io.Reader, size int64, opts objectstore.PutOptions,
) error {
	if size < 0 {
		return errors.New("put object: the size is negative")
	}
	if at, ok := body.(io.ReaderAt); ok {
		body = io.NewSectionReader(at, 0, size)
	}
	data, err := io.ReadAll(io.LimitReader(body, size))
	switch {
	case err != nil:
		return fmt.Errorf("put object: read body: %w", err)
	case int64(len(data)) < size:
		return errors.New("put object: read body: the body ended before its size")
	}
	return s.call(ctx, "put object", func() error {
		b, err := s.find(bucketName)
		if err != nil {
			return err
		}
		if opts.IfAbsent && b.current(key) != nil {
			return fmt.Errorf("%w (PreconditionFailed)", objectstore.ErrPrecondition)
		}
		b.add(key, &version{serial: s.next(), data: data, key: s.key, until: b.until()})
		return nil
	})
}

// Delete is S3's delete without a version: it leaves a marker where there are versions.
func (s *Store) Delete(bucketName, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[bucketName]
	if b.kind == Unversioned {
		delete(b.objects, key)
		return
	}
	b.add(key, &version{serial: s.next(), marker: true})
}

// BeginUpload begins a multipart upload.
func (s *Store) BeginUpload(bucketName, key string) objectstore.Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	upload := objectstore.Upload{Key: key, ID: "upload-" + strconv.FormatInt(s.next(), 10)}
	s.buckets[bucketName].uploads[upload] = true
	return upload
}

// AbortUpload is like objectstore.Client's.
func (s *Store) AbortUpload(ctx context.Context, bucketName string, upload objectstore.Upload) error {
	return s.call(ctx, "abort upload", func() error {
		b, err := s.find(bucketName)
		if err != nil {
			return err
		}
		delete(b.uploads, upload)
		return nil
	})
}

// RemoveVersions is like objectstore.Client's.
func (s *Store) RemoveVersions(ctx context.Context, bucketName string, versions []objectstore.Version) error {
	for batch := range slices.Chunk(versions, objectstore.MaxBatch) {
		err := s.call(ctx, "remove versions", func() error {
			b, err := s.find(bucketName)
			if err != nil {
				return err
			}
			return s.remove(b, bucketName, batch)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// remove goes on after the failure of one, as S3 does.
func (s *Store) remove(b *bucket, bucketName string, batch []objectstore.Version) error {
	var first error
	kept := 0
	for _, v := range batch {
		if err := s.removable(b, bucketName, v); err != nil {
			kept++
			if first == nil {
				first = err
			}
			continue
		}
		b.drop(v.Key, v.ID)
	}
	if first != nil {
		return fmt.Errorf("%d not removed: %w", kept, first)
	}
	return nil
}

func (s *Store) removable(b *bucket, bucketName string, v objectstore.Version) error {
	if err := s.faults.ofKey(bucketName, v.Key); err != nil {
		return err
	}
	found := b.version(v.Key, v.ID)
	if b.kind == Locked && found != nil && !found.marker {
		return fmt.Errorf("%w (InvalidRequest: perhaps it is under object lock)", objectstore.ErrDenied)
	}
	return nil
}

// AssumeRole is like objectstore.Client's, but what it gives is never asked for.
func (s *Store) AssumeRole(ctx context.Context, policy string, life time.Duration) (objectstore.Credentials, error) {
	if err := objectstore.CheckSession(policy, life); err != nil {
		return objectstore.Credentials{}, err
	}
	var c objectstore.Credentials
	err := s.call(ctx, "assume role", func() error {
		n := strconv.FormatInt(s.next(), 10)
		c = objectstore.Credentials{
			AccessKeyID: "access-" + n, SecretAccessKey: "secret-" + n, SessionToken: "session-" + n,
			ExpiresAt: time.Now().Add(life).Truncate(time.Second),
		}
		return nil
	})
	return c, err
}

func (s *Store) next() int64 {
	s.serial++
	return s.serial
}

// current is nil when there is none, or a marker is on top.
func (b *bucket) current(key string) *version {
	all := b.objects[key]
	if len(all) == 0 || all[len(all)-1].marker {
		return nil
	}
	return all[len(all)-1]
}

func (b *bucket) version(key, id string) *version {
	for _, v := range b.objects[key] {
		if v.id == id {
			return v
		}
	}
	return nil
}

func (b *bucket) add(key string, v *version) {
	if b.kind == Unversioned {
		v.id = "null"
		b.objects[key] = []*version{v}
		return
	}
	v.id = fmt.Sprintf("version-%08d", v.serial)
	b.objects[key] = append(b.objects[key], v)
}

func (b *bucket) drop(key, id string) {
	left := slices.DeleteFunc(b.objects[key], func(v *version) bool { return v.id == id })
	if len(left) == 0 {
		delete(b.objects, key)
		return
	}
	b.objects[key] = left
}

func (b *bucket) keys(prefix string) []string {
	var keys []string
	for key := range b.objects {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// etag is not S3's, which promises no more than that other contents have another.
func etag(data []byte) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE(data)) }
