package erasure

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// maxIdentity bounds an identity that is read, in bytes.
const maxIdentity = 4 << 10

// storePattern is what Identity.Store holds.
var storePattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Reader reads objects.
type Reader interface {
	// Get gives the current object, or objectstore.ErrNotFound.
	Get(ctx context.Context, bucket, key string, offset, length int64) (io.ReadCloser, error)
}

// IdentityStore is where a store's identity is kept.
type IdentityStore interface {
	Reader
	// Put fails with objectstore.ErrPrecondition when IfAbsent is set and the key
	// exists.
	Put(ctx context.Context, bucket, key string, body io.Reader, size int64, opts objectstore.PutOptions) error
}

// Identity gives what the store calls itself in a bucket. One that was never given
// a name, or holds another cluster's data, is ErrUnknownStore; other errors are the
// store's.
func (e *Engine) Identity(ctx context.Context, bucket string) (string, error) {
	id, err := readIdentity(ctx, e.store, bucket, e.cluster)
	if missing(err) {
		return "", fmt.Errorf("%w: %w", ErrUnknownStore, err)
	}
	return id, err
}

// EnsureIdentity gives a bucket's store a name unless it has one, claims it for a
// cluster (see objectkey.Identity), and gives the name that it has. It may be repeated
// and run at the same time elsewhere. A bucket that is not there is
// objectstore.ErrNotFound; an identity that can not be understood, or is of another
// cluster, is ErrUnknownStore and stays.
func EnsureIdentity(ctx context.Context, store IdentityStore, bucket, cluster string, random io.Reader) (string, error) {
	id, err := readIdentity(ctx, store, bucket, cluster)
	if !missing(err) {
		return id, err
	}
	raw := make([]byte, 16)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", fmt.Errorf("make an identity for the store: %w", err)
	}
	data, err := json.Marshal(objectkey.Identity{
		Kind: objectkey.IdentityKind, Store: hex.EncodeToString(raw), Cluster: cluster,
	})
	if err != nil {
		return "", fmt.Errorf("make an identity for the store: %w", err)
	}
	err = store.Put(ctx, bucket, objectkey.IdentityKey, bytes.NewReader(data), int64(len(data)),
		objectstore.PutOptions{IfAbsent: true, ContentType: "application/json"})
	if err != nil && !errors.Is(err, objectstore.ErrPrecondition) {
		return "", fmt.Errorf("write the store's identity: %w", err)
	}
	// Whoever else wrote at the same time may have been first.
	return readIdentity(ctx, store, bucket, cluster)
}

func readIdentity(ctx context.Context, store Reader, bucket, cluster string) (string, error) {
	body, err := store.Get(ctx, bucket, objectkey.IdentityKey, 0, -1)
	if err != nil {
		return "", fmt.Errorf("read the store's identity: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(body, maxIdentity))
	if err := errors.Join(err, body.Close()); err != nil {
		return "", fmt.Errorf("read the store's identity: %w", err)
	}
	var id objectkey.Identity
	if err := json.Unmarshal(data, &id); err != nil || id.Kind != objectkey.IdentityKind || !storePattern.MatchString(id.Store) {
		return "", fmt.Errorf("%w: what lies in the place of its identity is none", ErrUnknownStore)
	}
	if id.Cluster != cluster {
		return "", fmt.Errorf("%w: the bucket holds the data of another cluster, %q; this one is %q. Use another bucket, "+
			"or let this cluster take over: write its UID into %s", ErrUnknownStore, id.Cluster, cluster, objectkey.IdentityKey)
	}
	return id.Store, nil
}

func missing(err error) bool { return errors.Is(err, objectstore.ErrNotFound) }
