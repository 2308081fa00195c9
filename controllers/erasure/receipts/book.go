package receipts

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// maxTurns bounds how often a Write lets others go first.
const maxTurns = 100

// ErrBusy says that others kept adding to the chain. Worth another try.
var ErrBusy = errors.New("others keep adding receipts")

// Store is where the book lies (objectstore.Client is one). A write that has
// succeeded is seen by every read after it.
type Store interface {
	// Put fails with objectstore.ErrPrecondition when IfAbsent is set and the key
	// exists.
	Put(ctx context.Context, bucket, key string, body io.Reader, size int64, opts objectstore.PutOptions) error
	// Get gives the current object, or objectstore.ErrNotFound, which for a length of 0
	// is all that it tells.
	Get(ctx context.Context, bucket, key string, offset, length int64) (io.ReadCloser, error)
}

// Options of a Book; only Former may be missing.
type Options struct {
	Store Store
	// Bucket of the receipts, which should have an object lock.
	Bucket string
	// Signer is an Ed25519 key; see EnsureKey.
	Signer crypto.Signer
	// Former gives the public keys of other signing keys whose receipts are believed;
	// see Published. It is asked when a receipt is met that Signer has not signed.
	Former func(ctx context.Context) ([]ed25519.PublicKey, error)
}

// Book writes receipts. It is safe for concurrent use, also with other Books on the
// same bucket.
type Book struct {
	opts   Options
	public ed25519.PublicKey
	// turn holds a token while somebody writes.
	turn chan struct{}
	// last is the end of the chain as far as it is known; guarded by turn.
	last link
}

// link is a place in the chain.
type link struct {
	// sequence is 0 for the beginning of an empty chain.
	sequence int64
	// digest of the receipt; empty for the beginning.
	digest string
	// current says that nobody is known to have added one behind it.
	current bool
	// receipt and its data, which is dropped when the copy is there.
	receipt objectkey.EraseReceipt
	data    []byte
	copied  bool
}

// New makes a Book. Nothing is read yet.
func New(opts Options) (*Book, error) {
	if opts.Store == nil || opts.Bucket == "" || opts.Signer == nil {
		return nil, errors.New("receipts need a store, a bucket and a signing key")
	}
	public, ok := opts.Signer.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("receipts are signed with an Ed25519 key")
	}
	return &Book{opts: opts, public: public, turn: make(chan struct{}, 1)}, nil
}

// Write signs the receipt and adds it to the chain, unless there is one for its object
// already: an erase that was cut off between its receipt and its end is not a
// second erase. Sequence, Previous and, if it is empty, Kind are set here. It gives
// the digest of the receipt that is stored, having read it back, and may be
// repeated after any error. Errors wrap erasure.ErrRefused when r is no receipt, or
// when what lies in the bucket is none of ours; others are worth another try.
func (b *Book) Write(ctx context.Context, r objectkey.EraseReceipt) (digest string, err error) {
	if err := check(r); err != nil {
		return "", fmt.Errorf("write receipt: %w: %w", erasure.ErrRefused, err)
	}
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return "", fmt.Errorf("write receipt: %w", ctx.Err())
	}
	for range maxTurns {
		digest, err := b.step(ctx, r)
		if err != nil {
			return "", fmt.Errorf("write receipt: %w", err)
		}
		if digest != "" {
			return digest, nil
		}
	}
	return "", fmt.Errorf("write receipt: %w", ErrBusy)
}

// Read gives the receipt for the erase of an object's data as it lies in the store, having
// verified its signature, and its digest. Errors wrap objectstore.ErrNotFound when there is
// none, erasure.ErrRefused when what lies there is none of ours, or are the store's.
func (b *Book) Read(ctx context.Context, namespace, uid string) (envelope []byte, digest string, err error) {
	if err := objectkey.ValidateOwner(namespace, uid); err != nil {
		return nil, "", fmt.Errorf("read receipt: %w", err)
	}
	r, data, err := b.read(ctx, objectkey.Receipt(namespace, uid))
	if err != nil {
		return nil, "", fmt.Errorf("read receipt: %w", err)
	}
	if r.Namespace != namespace || r.UID != uid {
		return nil, "", fmt.Errorf("read receipt: %w: in its place lies another's", erasure.ErrRefused)
	}
	return data, objectkey.Digest(data), nil
}

// check holds a receipt that has no place yet against what Sign would say.
func check(r objectkey.EraseReceipt) error {
	r.Sequence, r.Previous = 1, ""
	return r.Validate()
}

// step gives the digest of the stored receipt, or an empty one after it has tried to
// add it. The order of the four is what keeps a receipt from being added twice.
func (b *Book) step(ctx context.Context, r objectkey.EraseReceipt) (digest string, err error) {
	if err := b.findLast(ctx); err != nil {
		return "", err
	}
	if err := b.copyLast(ctx); err != nil {
		return "", err
	}
	digest, err = b.stored(ctx, r)
	if err != nil || digest != "" {
		return digest, err
	}
	return "", b.add(ctx, r)
}

// copyLast makes sure that the last receipt of the chain has its copy.
func (b *Book) copyLast(ctx context.Context) error {
	if b.last.copied || b.last.sequence == 0 {
		return nil
	}
	key := objectkey.Receipt(b.last.receipt.Namespace, b.last.receipt.UID)
	if err := b.put(ctx, key, b.last.data); err != nil && !errors.Is(err, objectstore.ErrPrecondition) {
		return err
	}
	b.last.copied, b.last.data = true, nil
	return nil
}

// stored gives the digest of the receipt that there is for the same object, or none.
func (b *Book) stored(ctx context.Context, r objectkey.EraseReceipt) (digest string, err error) {
	there, data, err := b.read(ctx, objectkey.Receipt(r.Namespace, r.UID))
	switch {
	case errors.Is(err, objectstore.ErrNotFound) && b.last.receipt.UID == r.UID:
		// To go on would add it for ever.
		return "", errors.New("the store does not show the receipt that it has stored")
	case errors.Is(err, objectstore.ErrNotFound):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read the object's receipt: %w", err)
	case there.Resource != r.Resource || there.Namespace != r.Namespace || there.UID != r.UID:
		return "", fmt.Errorf("%w: in the place of the object's receipt lies another's", erasure.ErrRefused)
	}
	return objectkey.Digest(data), nil
}

// add puts the receipt behind the last one. That somebody else was first is no error.
func (b *Book) add(ctx context.Context, r objectkey.EraseReceipt) error {
	r.Sequence, r.Previous = b.last.sequence+1, b.last.digest
	data, digest, err := objectkey.Sign(b.opts.Signer, r)
	if err != nil {
		return err
	}
	err = b.put(ctx, objectkey.ReceiptInChain(r.Sequence), data)
	switch {
	case errors.Is(err, objectstore.ErrPrecondition):
		b.last.current = false
		return nil
	case err != nil:
		return err
	}
	b.last = link{sequence: r.Sequence, digest: digest, current: true, receipt: r, data: data}
	return nil
}

func (b *Book) put(ctx context.Context, key string, data []byte) error {
	options := objectstore.PutOptions{IfAbsent: true, ContentType: "application/json"}
	return b.opts.Store.Put(ctx, b.opts.Bucket, key, bytes.NewReader(data), int64(len(data)), options)
}

// read gives a receipt that is signed by a key that we believe. Errors wrap
// objectstore.ErrNotFound, erasure.ErrRefused, or are the store's.
func (b *Book) read(ctx context.Context, key string) (objectkey.EraseReceipt, []byte, error) {
	var none objectkey.EraseReceipt
	body, err := b.opts.Store.Get(ctx, b.opts.Bucket, key, 0, -1)
	if err != nil {
		return none, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(body, objectkey.MaxReceiptSize+1))
	if err := errors.Join(err, body.Close()); err != nil {
		return none, nil, err
	}
	r, err := objectkey.Verify(data, []ed25519.PublicKey{b.public})
	if errors.Is(err, objectkey.ErrUnknownKey) && b.opts.Former != nil {
		var keys []ed25519.PublicKey
		if keys, err = b.opts.Former(ctx); err != nil {
			return none, nil, err
		}
		r, err = objectkey.Verify(data, slices.Concat(keys, []ed25519.PublicKey{b.public}))
	}
	if err != nil {
		return none, nil, fmt.Errorf("%w: what lies there is no receipt of ours: %w", erasure.ErrRefused, err)
	}
	return r, data, nil
}
