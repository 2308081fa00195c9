package receipts_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure/receipts"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

// signer is a key that is the same each time, and public to all the world.
func signer(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func public(n byte) ed25519.PublicKey { return ed25519.PublicKey(signer(n)[ed25519.SeedSize:]) }

func uidOf(n int) string { return fmt.Sprintf("6f9619ff-8b86-4011-b42d-%012x", n) }

// receipt is one for the nth object, without a place in the chain.
func receipt(n int) objectkey.EraseReceipt {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return objectkey.EraseReceipt{
		Resource: objectkey.ResourceDataset, Namespace: "ns", UID: uidOf(n),
		Store: "00112233445566778899aabbccddeeff", Bucket: "lethe-datasets", Prefix: objectkey.OwnerPrefix("ns", uidOf(n)),
		Trigger: objectkey.TriggerDeleted, Methods: []string{objectkey.MethodObjectsRemoved},
		Versions: 7, StartTime: start, EndTime: start.Add(time.Minute),
	}
}

// world is a bucket of receipts.
type world struct {
	objectstoretest.Harness
	bucket string
}

func newWorld(t *testing.T, h objectstoretest.Harness) *world {
	t.Helper()
	return &world{Harness: h, bucket: h.Bucket(t, objectstoretest.Locked)}
}

func memory(t *testing.T) (*world, *objectstoretest.Store) {
	t.Helper()
	h := objectstoretest.Memory(t)
	s, ok := h.Backend.(*objectstoretest.Store)
	if !ok {
		t.Fatal("the store in memory is another one")
	}
	return newWorld(t, h), s
}

// worlds are one in memory and one on MinIO, with an object-locked bucket.
func worlds() map[string]func(*testing.T) *world {
	return map[string]func(*testing.T) *world{
		"in memory": func(t *testing.T) *world { t.Helper(); w, _ := memory(t); return w },
		"on MinIO": func(t *testing.T) *world {
			t.Helper()
			return newWorld(t, objectstoretest.Real(t, objectstoretest.StartMinIO(t)))
		},
	}
}

// book makes a Book that signs with key 1 and knows nobody else.
func (w *world) book(t *testing.T) *receipts.Book {
	t.Helper()
	return newBook(t, receipts.Options{Store: w, Bucket: w.bucket, Signer: signer(1)})
}

func newBook(t *testing.T, opts receipts.Options) *receipts.Book {
	t.Helper()
	b, err := receipts.New(opts)
	if err != nil {
		t.Fatalf("make a book: %v", err)
	}
	return b
}

func write(t *testing.T, b *receipts.Book, n int) string {
	t.Helper()
	digest, err := b.Write(t.Context(), receipt(n))
	if err != nil {
		t.Fatalf("write receipt %d: %v", n, err)
	}
	return digest
}

func (w *world) put(t *testing.T, key string, data []byte) {
	t.Helper()
	if err := w.Put(t.Context(), w.bucket, key, bytes.NewReader(data), int64(len(data)), objectstore.PutOptions{}); err != nil {
		t.Fatalf("put: %v", err)
	}
}

func (w *world) get(t *testing.T, key string) []byte {
	t.Helper()
	body, err := w.Get(t.Context(), w.bucket, key, 0, -1)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	defer func() { _ = body.Close() }()
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("read %s: %v", key, err)
	}
	return data
}

// wantChain holds the bucket against all that is promised of it, and gives the digests
// of the chain by the objects' UIDs.
func (w *world) wantChain(t *testing.T, length int) map[string]string {
	t.Helper()
	digests := map[string]string{}
	previous := ""
	for place := 1; place <= length; place++ {
		data := w.get(t, objectkey.ReceiptInChain(int64(place)))
		r, err := objectkey.Verify(data, []ed25519.PublicKey{public(1), public(2)})
		if err != nil {
			t.Fatalf("place %d: %v", place, err)
		}
		if r.Sequence != int64(place) || r.Previous != previous || digests[r.UID] != "" {
			t.Errorf("place %d has sequence %d, previous %q (want %q), and was there before: %v",
				place, r.Sequence, r.Previous, previous, digests[r.UID] != "")
		}
		previous = objectkey.Digest(data)
		digests[r.UID] = previous
	}
	want := map[string]bool{}
	for place := 1; place <= length; place++ {
		want[objectkey.ReceiptInChain(int64(place))] = true
	}
	for uid, digest := range digests {
		key := objectkey.Receipt("ns", uid)
		want[key] = true
		if got := objectkey.Digest(w.get(t, key)); got != digest {
			t.Errorf("the copy for %s has digest %s, want %s", uid, got, digest)
		}
	}
	w.wantOnly(t, want)
	return digests
}

// wantOnly makes sure that there are no other keys, and that nothing was overwritten.
func (w *world) wantOnly(t *testing.T, want map[string]bool) {
	t.Helper()
	seen := map[string]bool{}
	for v, err := range w.ListVersions(t.Context(), w.bucket, "") {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		if !want[v.Key] || seen[v.Key] {
			t.Errorf("%s is there, and twice: %v", v.Key, seen[v.Key])
		}
		seen[v.Key] = true
	}
}

// meddling is a store before one of whose calls something happens, once.
type meddling struct {
	receipts.Store
	call, calls int
	meddle      func()
}

func (s *meddling) before() {
	s.calls++
	if s.calls == s.call {
		s.meddle()
	}
}

func (s *meddling) Put(ctx context.Context, bucket, key string, body io.Reader, size int64, opts objectstore.PutOptions) error {
	s.before()
	return s.Store.Put(ctx, bucket, key, body, size, opts)
}

func (s *meddling) Get(ctx context.Context, bucket, key string, offset, length int64) (io.ReadCloser, error) {
	s.before()
	return s.Store.Get(ctx, bucket, key, offset, length)
}

// everyPut is a store before each of whose writes something happens.
type everyPut struct {
	receipts.Store
	meddle func()
}

func (s *everyPut) Put(ctx context.Context, bucket, key string, body io.Reader, size int64, opts objectstore.PutOptions) error {
	s.meddle()
	return s.Store.Put(ctx, bucket, key, body, size, opts)
}

// endless is a chain of the given length, whose last receipt alone has contents. It
// keeps nothing, but remembers what was to be added.
type endless struct {
	length int64
	last   []byte

	calls int // before the first receipt was added
	place int64
	added []byte
}

func (s *endless) Put(_ context.Context, _, key string, body io.Reader, _ int64, _ objectstore.PutOptions) error {
	var place int64
	if n, _ := fmt.Sscanf(key, "chain/%d.json", &place); n == 0 || s.place > 0 {
		return nil
	}
	s.place = place
	var err error
	s.added, err = io.ReadAll(body)
	return err
}

func (s *endless) Get(_ context.Context, _, key string, _, length int64) (io.ReadCloser, error) {
	if s.place == 0 {
		s.calls++
	}
	var place int64
	_, err := fmt.Sscanf(key, "chain/%d.json", &place)
	switch {
	case err != nil, place > s.length:
		return nil, objectstore.ErrNotFound
	case length == 0:
		return io.NopCloser(strings.NewReader("")), nil
	}
	return io.NopCloser(bytes.NewReader(s.last)), nil
}
