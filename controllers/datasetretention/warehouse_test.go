package datasetretention

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/erasure/receipts"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

const (
	testReceipts = "receipts"
	testLedger   = "ledger"
)

// signingKey signs the receipts of all tests.
func signingKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
}

// warehouse is an object store in memory whose every single step goes through the
// same faults as the calls to the API server, or a view of it under a key.
type warehouse struct {
	inner  *objectstoretest.Store
	faults *faults
}

var (
	_ Store           = (*warehouse)(nil)
	_ erasure.Store   = (*warehouse)(nil)
	_ erasure.Auditor = auditor{}
	_ ledger.Store    = (*warehouse)(nil)
	_ receipts.Store  = (*warehouse)(nil)
)

func newWarehouse(t *testing.T, f *faults) *warehouse {
	t.Helper()
	w := &warehouse{inner: objectstoretest.NewStore(), faults: f}
	w.inner.AddBucket(testBucket, objectstoretest.Versioned)
	w.inner.AddBucket(testReceipts, objectstoretest.Locked)
	w.inner.AddBucket(testLedger, objectstoretest.Versioned)
	w.identify(t, testStore)
	return w
}

// identify makes the datasets bucket one of this store.
func (w *warehouse) identify(t *testing.T, store string) {
	t.Helper()
	raw, err := hex.DecodeString(store)
	if err != nil {
		t.Fatalf("identify: %v", err)
	}
	if got, err := erasure.EnsureIdentity(t.Context(), w.inner, testBucket, "", bytes.NewReader(raw)); err != nil || got != store {
		t.Fatalf("the store says to be %q: %v", got, err)
	}
}

// view is what the reconciler reads through.
func (w *warehouse) view(key objectstore.Key) Store { return w.under(key) }

func (w *warehouse) under(key objectstore.Key) *warehouse {
	return &warehouse{inner: w.inner.UnderKey(key), faults: w.faults}
}

// hastyClock does not wait for its timers.
type hastyClock struct{ clock.RealClock }

func (c hastyClock) NewTimer(time.Duration) clock.Timer { return c.RealClock.NewTimer(0) }

// books are the parts that the reconciler needs of this store, as a new process makes
// them.
func (w *warehouse) books(t *testing.T, fastPath bool) (*erasure.Engine, *ledger.Ledger, *receipts.Book) {
	t.Helper()
	engine, err1 := erasure.New(erasure.Options{
		Store: w, Auditor: auditor{w}, ReceiptsBucket: testReceipts, LedgerBucket: testLedger,
		FastPath: fastPath, Clock: hastyClock{},
	})
	accounts, err2 := ledger.New(w, testLedger)
	book, err3 := receipts.New(receipts.Options{Store: w, Bucket: testReceipts, Signer: signingKey()})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatalf("open the books: %v", err)
	}
	return engine, accounts, book
}

// account is what the ledger says of the test's dataset.
func (w *warehouse) account(t *testing.T, namespace, uid string) ledger.Account {
	t.Helper()
	accounts, err := ledger.New(w.inner, testLedger)
	if err != nil {
		t.Fatalf("open the ledger: %v", err)
	}
	account, err := accounts.Read(t.Context(), namespace, uid)
	if err != nil {
		t.Fatalf("read the account: %v", err)
	}
	return account
}

// auditor looks at a warehouse for the erase's verification.
type auditor struct{ w *warehouse }

func (a auditor) Empty(ctx context.Context, bucket, prefix string) (empty bool, err error) {
	err = a.w.step(func() error {
		empty, err = objectstoretest.Auditor{Store: a.w.inner}.Empty(ctx, bucket, prefix)
		return err
	})
	return empty, err
}

func (a auditor) Identity(ctx context.Context, bucket string) (store string, err error) {
	err = a.w.step(func() error {
		store, err = erasure.EnsureIdentity(ctx, a.w.inner, bucket, "", strings.NewReader(""))
		return err
	})
	return store, err
}

// put is done by users, and never fails.
func (w *warehouse) put(t *testing.T, key string, data []byte) {
	t.Helper()
	err := w.inner.Put(t.Context(), testBucket, key, bytes.NewReader(data), int64(len(data)), objectstore.PutOptions{})
	if err != nil {
		t.Fatalf("put: %v", err)
	}
}

// left counts the versions, markers and unfinished uploads under a prefix.
func (w *warehouse) left(t *testing.T, prefix string) int {
	t.Helper()
	n := 0
	for _, err := range w.inner.ListVersions(t.Context(), testBucket, prefix) {
		if err != nil {
			t.Fatalf("list versions: %v", err)
		}
		n++
	}
	for _, err := range w.inner.ListUploads(t.Context(), testBucket, prefix) {
		if err != nil {
			t.Fatalf("list uploads: %v", err)
		}
		n++
	}
	return n
}

// receipts are the stored receipts by their owners' keys. Each must be there once, and
// once in the chain, and be signed.
func (w *warehouse) receipts(t *testing.T) map[string]objectkey.EraseReceipt {
	t.Helper()
	copies, chain := map[string]objectkey.EraseReceipt{}, map[string]bool{}
	for v, err := range w.inner.ListVersions(t.Context(), testReceipts, "") {
		if err != nil {
			t.Fatalf("list receipts: %v", err)
		}
		_, twice := copies[v.Key]
		if twice || chain[v.Key] {
			t.Fatalf("the receipt %s was written twice", v.Key)
		}
		if strings.HasPrefix(v.Key, "chain/") {
			chain[v.Key] = true
			continue
		}
		copies[v.Key], _ = w.receipt(t, v.Key)
	}
	// The copy follows the place in the chain, after a crash in the next life.
	if len(chain) < len(copies) || len(chain) > max(1, len(copies)) {
		t.Fatalf("%d receipts, and %d in the chain", len(copies), len(chain))
	}
	return copies
}

// receipt reads and verifies one.
func (w *warehouse) receipt(t *testing.T, key string) (r objectkey.EraseReceipt, digest string) {
	t.Helper()
	body, err := w.inner.Get(t.Context(), testReceipts, key, 0, -1)
	if err != nil {
		t.Fatalf("get receipt: %v", err)
	}
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("read receipt: %v", err)
	}
	public, _ := signingKey().Public().(ed25519.PublicKey)
	r, err = objectkey.Verify(data, []ed25519.PublicKey{public})
	if err != nil {
		t.Fatalf("verify receipt: %v", err)
	}
	return r, objectkey.Digest(data)
}

// step is one call to the store.
func (w *warehouse) step(effect func() error) error {
	before, late := w.faults.next()
	if before {
		return fmt.Errorf("step: %w", objectstore.ErrUnavailable)
	}
	if err := effect(); err != nil {
		return err
	}
	if late {
		return fmt.Errorf("step: %w", objectstore.ErrUnavailable)
	}
	return nil
}

func (w *warehouse) Get(ctx context.Context, bucket, key string, offset, length int64) (body io.ReadCloser, err error) {
	err = w.step(func() error {
		body, err = w.inner.Get(ctx, bucket, key, offset, length)
		return err
	})
	return body, err
}

func (w *warehouse) Put(ctx context.Context, bucket, key string, body io.Reader, size int64, opts objectstore.PutOptions) error {
	return w.step(func() error { return w.inner.Put(ctx, bucket, key, body, size, opts) })
}

func (w *warehouse) List(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Object, error] {
	return listing(w, w.inner.List(ctx, bucket, prefix))
}

func (w *warehouse) ListVersionsFrom(ctx context.Context, bucket, prefix, after string) iter.Seq2[objectstore.Version, error] {
	return listing(w, w.inner.ListVersionsFrom(ctx, bucket, prefix, after))
}

func (w *warehouse) Facts(ctx context.Context, bucket string) (facts objectstore.BucketFacts, err error) {
	err = w.step(func() error {
		facts, err = w.inner.Facts(ctx, bucket)
		return err
	})
	return facts, err
}

func (w *warehouse) RetainedUntil(ctx context.Context, bucket string, v objectstore.Version) (until time.Time, err error) {
	err = w.step(func() error {
		until, err = w.inner.RetainedUntil(ctx, bucket, v)
		return err
	})
	return until, err
}

func (w *warehouse) RemovePrefix(ctx context.Context, bucket, prefix string) error {
	return w.step(func() error { return w.inner.RemovePrefix(ctx, bucket, prefix) })
}

func (w *warehouse) ListUploads(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Upload, error] {
	return listing(w, w.inner.ListUploads(ctx, bucket, prefix))
}

// listing breaks off before the first entry, or after the last.
func listing[T any](w *warehouse, all iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		err := w.step(func() error {
			for one, err := range all {
				if !yield(one, err) || err != nil {
					return errEnough
				}
			}
			return nil
		})
		if err != nil && err != errEnough { //nolint:errorlint // it is never wrapped
			var none T
			yield(none, err)
		}
	}
}

var errEnough = fmt.Errorf("the listing was broken off by its reader")

// RemoveVersions can break off after each version.
func (w *warehouse) RemoveVersions(ctx context.Context, bucket string, versions []objectstore.Version) error {
	for _, v := range versions {
		one := []objectstore.Version{v}
		if err := w.step(func() error { return w.inner.RemoveVersions(ctx, bucket, one) }); err != nil {
			return err
		}
	}
	return nil
}

func (w *warehouse) AbortUpload(ctx context.Context, bucket string, upload objectstore.Upload) error {
	return w.step(func() error { return w.inner.AbortUpload(ctx, bucket, upload) })
}
