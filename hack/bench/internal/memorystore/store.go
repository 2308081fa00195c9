// Package memorystore stands in for the object store and all that the operator keeps
// there, for measurements of what the operator does at the API server. It holds
// nothing: every dataset has the same one file, every write is taken and forgotten,
// and there is never anything to erase.
package memorystore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// Identity is what the store calls itself.
const Identity = "00112233445566778899aabbccddeeff"

// file is what every dataset has, and its contents.
const (
	file     = "train.bin"
	contents = "all that there is to learn"
)

// Store is all of it. Its methods are those of the operator's interfaces.
type Store struct{ manifest []byte }

// New makes a Store.
func New() (*Store, error) {
	var manifest bytes.Buffer
	w := objectkey.NewManifestWriter(&manifest)
	sum := sha256.Sum256([]byte(contents))
	err := w.Add(objectkey.Entry{Path: file, Size: int64(len(contents)), SHA256: fmt.Sprintf("%x", sum)})
	if err != nil {
		return nil, fmt.Errorf("write the manifest: %w", err)
	}
	if _, err := w.Close(); err != nil {
		return nil, fmt.Errorf("write the manifest: %w", err)
	}
	return &Store{manifest: manifest.Bytes()}, nil
}

// Facts are those of a bucket in which all is allowed.
func (s *Store) Facts(context.Context, string) (objectstore.BucketFacts, error) {
	return objectstore.BucketFacts{Server: "MinIO"}, nil
}

// Get gives a manifest.
func (s *Store) Get(_ context.Context, _, key string, _, _ int64) (io.ReadCloser, error) {
	if prefix, ok := ownerOf(key); !ok || key != objectkey.Manifest(prefix) {
		return nil, objectstore.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(s.manifest)), nil
}

// List gives the file of a dataset.
func (s *Store) List(_ context.Context, _, prefix string) iter.Seq2[objectstore.Object, error] {
	return func(yield func(objectstore.Object, error) bool) {
		if owner, ok := ownerOf(prefix); ok && prefix == objectkey.DataPrefix(owner) {
			yield(objectstore.Object{Key: prefix + file, Size: int64(len(contents))}, nil)
		}
	}
}

// ownerOf cuts the owner's prefix out of a key.
func ownerOf(key string) (string, bool) {
	parts := strings.SplitN(key, "/", 3)
	if len(parts) < 3 {
		return "", false
	}
	return objectkey.OwnerPrefix(parts[0], parts[1]), true
}

// Identity tells which store this is.
func (s *Store) Identity(context.Context, string) (string, error) { return Identity, nil }

// Inventory counts nothing.
func (s *Store) Inventory(context.Context, erasure.Target) (erasure.Inventory, error) {
	return erasure.Inventory{}, nil
}

// Erase removes nothing.
func (s *Store) Erase(context.Context, erasure.Target, func(erasure.Inventory)) (erasure.Inventory, error) {
	return erasure.Inventory{}, nil
}

// Prune removes nothing.
func (s *Store) Prune(context.Context, erasure.Target, []string) (int64, error) { return 0, nil }

// Verify finds nothing.
func (s *Store) Verify(context.Context, erasure.Target) (bool, error) { return true, nil }

// Open forgets a record.
func (s *Store) Open(context.Context, objectkey.LedgerRecord) error { return nil }

// Note forgets an event.
func (s *Store) Note(context.Context, string, string, objectkey.LedgerEvent) error { return nil }

// Read finds nothing in the ledger.
func (s *Store) Read(context.Context, string, string) (ledger.Account, error) {
	return ledger.Account{}, nil
}

// Write is of no use here: nothing is erased.
func (s *Store) Write(context.Context, objectkey.EraseReceipt) (string, error) {
	return "", errors.New("there are no receipts in memory")
}

// Keys are the datasets' keys, each made from the UID.
type Keys struct{}

// Ensure gives a key.
func (Keys) Ensure(_ context.Context, uid types.UID) (objectstore.Key, error) {
	sum := sha256.Sum256([]byte(uid))
	return objectstore.NewKey(sum[:])
}

// Get gives the same.
func (k Keys) Get(ctx context.Context, uid types.UID) (objectstore.Key, error) {
	return k.Ensure(ctx, uid)
}

// Destroy destroys nothing.
func (Keys) Destroy(context.Context, types.UID) error { return nil }
