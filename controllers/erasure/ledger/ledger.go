package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// Errors that callers tell apart; all others are the store's and worth another try.
var (
	// ErrErased: the account is closed, the data is erased.
	ErrErased = errors.New("the ledger says that the data is erased")
	// ErrConflict: something else is there already, and it stays.
	ErrConflict = errors.New("the ledger says something else already")
	// ErrMalformed: what is there is no account. A person has to look.
	ErrMalformed = errors.New("the ledger holds what is no account")
)

// Store is where the ledger lies (objectstore.Client is one). A write that has
// succeeded is seen by every read after it.
type Store interface {
	// Put fails with objectstore.ErrPrecondition when IfAbsent is set and the key
	// exists.
	Put(ctx context.Context, bucket, key string, body io.Reader, size int64, opts objectstore.PutOptions) error
	// Get gives the current object, or objectstore.ErrNotFound, which for a length of 0
	// is all that it tells.
	Get(ctx context.Context, bucket, key string, offset, length int64) (io.ReadCloser, error)
	// List yields the objects below a prefix in the order of their keys. An error is
	// the last thing that it yields.
	List(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Object, error]
}

// Ledger reads and writes accounts. It has no state and is safe for concurrent use.
type Ledger struct {
	store  Store
	bucket string
}

// New makes a ledger in this bucket, which has versions and no object lock. Nothing is
// read yet.
func New(store Store, bucket string) (*Ledger, error) {
	if store == nil || bucket == "" {
		return nil, errors.New("the ledger needs a store and a bucket")
	}
	return &Ledger{store: store, bucket: bucket}, nil
}

// Open writes the record of an account, and may be repeated: one that names the same
// place and key stays as it is, and its times count. Errors wrap ErrErased when the
// account is closed, ErrConflict when its record names another place or key,
// ErrMalformed, and objectkey.ErrBadLedger when r makes no sense.
func (l *Ledger) Open(ctx context.Context, r objectkey.LedgerRecord) error {
	data, err := r.Encode()
	if err != nil {
		return fmt.Errorf("open account: %w", err)
	}
	if err := l.refuseErased(ctx, r.Namespace, r.UID); err != nil {
		return fmt.Errorf("open account: %w", err)
	}
	key := objectkey.LedgerRecordKey(r.Namespace, r.UID)
	err = l.put(ctx, key, data)
	if errors.Is(err, objectstore.ErrPrecondition) {
		err = l.sameRecord(ctx, r, key)
	}
	if err != nil {
		return fmt.Errorf("open account: %w", err)
	}
	return nil
}

// Note writes an event, with or without a record before, and may be repeated. Of those
// that happen once (see objectkey.LedgerEventKey) the first stays, so its time counts.
// Errors wrap ErrErased for anything after an erase, ErrConflict when another hold was
// noted for the same second or another receipt for the erase, ErrMalformed, and
// objectkey.ErrBadLedger when e makes no sense.
func (l *Ledger) Note(ctx context.Context, namespace, uid string, e objectkey.LedgerEvent) error {
	data, err := e.Encode()
	if err == nil {
		err = objectkey.ValidateOwner(namespace, uid)
	}
	if err != nil {
		return fmt.Errorf("note event: %w", err)
	}
	if e.Event != objectkey.LedgerErased {
		if err := l.refuseErased(ctx, namespace, uid); err != nil {
			return fmt.Errorf("note event: %w", err)
		}
	}
	key := objectkey.LedgerEventKey(namespace, uid, e)
	err = l.put(ctx, key, data)
	if errors.Is(err, objectstore.ErrPrecondition) {
		err = l.sameEvent(ctx, account{namespace, uid}, key, e)
	}
	if err != nil {
		return fmt.Errorf("note event: %w", err)
	}
	return nil
}

// refuseErased gives ErrErased when there is a tombstone, whatever it says.
func (l *Ledger) refuseErased(ctx context.Context, namespace, uid string) error {
	key := objectkey.LedgerEventKey(namespace, uid, objectkey.LedgerEvent{Event: objectkey.LedgerErased})
	body, err := l.store.Get(ctx, l.bucket, key, 0, 0)
	switch {
	case err == nil:
		return errors.Join(ErrErased, body.Close())
	case errors.Is(err, objectstore.ErrNotFound):
		return nil
	}
	return err
}

func (l *Ledger) sameRecord(ctx context.Context, r objectkey.LedgerRecord, key string) error {
	a := Account{Namespace: r.Namespace, UID: r.UID}
	if err := l.add(ctx, &a, key); err != nil {
		return err
	}
	there := *a.Record
	there.Kind, there.CreatedTime, there.EraseBy = r.Kind, r.CreatedTime, r.EraseBy
	if there != r {
		return ErrConflict
	}
	return nil
}

func (l *Ledger) sameEvent(ctx context.Context, of account, key string, e objectkey.LedgerEvent) error {
	a := Account{Namespace: of.namespace, UID: of.uid}
	if err := l.add(ctx, &a, key); err != nil {
		return err
	}
	there, _ := a.Last(e.Event)
	sameEnd := there.Until.Equal(e.Until.UTC().Truncate(wholeSecond))
	if there.Reason != e.Reason || !sameEnd || there.ReceiptDigest != e.ReceiptDigest {
		return ErrConflict
	}
	return nil
}

func (l *Ledger) put(ctx context.Context, key string, data []byte) error {
	options := objectstore.PutOptions{IfAbsent: true, ContentType: "application/json"}
	return l.store.Put(ctx, l.bucket, key, bytes.NewReader(data), int64(len(data)), options)
}
