package erasure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// maxReceipt bounds a receipt that is read back, in bytes.
const maxReceipt = 64 << 10

// ReceiptStore is where receipts go.
type ReceiptStore interface {
	// Put fails with objectstore.ErrPrecondition when IfAbsent is set and the key
	// exists.
	Put(ctx context.Context, bucket, key string, body io.Reader, size int64, opts objectstore.PutOptions) error
	// Get gives the current object, or objectstore.ErrNotFound.
	Get(ctx context.Context, bucket, key string, offset, length int64) (io.ReadCloser, error)
}

// WriteReceipt stores the receipt, unless there is one for the object already: an
// erase that was cut off between its receipt and its end is not a second erase.
// It gives the digest of the receipt that is stored. Errors wrap ErrRefused when the
// receipt does not name an object or what is stored is no receipt of it; others are
// the store's.
func (e *Engine) WriteReceipt(ctx context.Context, r objectkey.EraseReceipt) (digest string, err error) {
	if !uidPattern.MatchString(r.UID) || !namespacePattern.MatchString(r.Namespace) {
		return "", fmt.Errorf("write receipt: %w: it does not name an object", ErrRefused)
	}
	data, digest, err := r.Encode()
	if err != nil {
		return "", err
	}
	key := objectkey.Receipt(r.Namespace, r.UID)
	err = e.store.Put(ctx, e.receipts, key, bytes.NewReader(data), int64(len(data)),
		objectstore.PutOptions{IfAbsent: true, ContentType: "application/json"})
	switch {
	case err == nil:
		return digest, nil
	case errors.Is(err, objectstore.ErrPrecondition):
		return e.storedDigest(ctx, r)
	default:
		return "", fmt.Errorf("write receipt: %w", err)
	}
}

// storedDigest gives the digest of the receipt that is there for the same object.
func (e *Engine) storedDigest(ctx context.Context, r objectkey.EraseReceipt) (string, error) {
	body, err := e.store.Get(ctx, e.receipts, objectkey.Receipt(r.Namespace, r.UID), 0, -1)
	if err != nil {
		return "", fmt.Errorf("read receipt: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(body, maxReceipt))
	if err := errors.Join(err, body.Close()); err != nil {
		return "", fmt.Errorf("read receipt: %w", err)
	}
	var stored objectkey.EraseReceipt
	if err := json.Unmarshal(data, &stored); err != nil || stored.Kind != objectkey.ReceiptKind ||
		stored.Namespace != r.Namespace || stored.UID != r.UID {
		return "", fmt.Errorf("read receipt: %w: what lies in its place is no receipt of this object", ErrRefused)
	}
	return objectkey.Digest(data), nil
}
