package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
)

// wholeSecond is how exactly the ledger tells times.
const wholeSecond = time.Second

// Account is all that the ledger says of one owner.
type Account struct {
	Namespace, UID string
	// Record is nil when there is none.
	Record *objectkey.LedgerRecord
	// Events by their names (the Ledger constants of objectkey), each list in the order of
	// its times. There are no empty lists.
	Events map[string][]objectkey.LedgerEvent
}

// Found reports whether the ledger says anything at all.
func (a Account) Found() bool { return a.Record != nil || len(a.Events) > 0 }

// Last gives the last event with this name.
func (a Account) Last(event string) (objectkey.LedgerEvent, bool) {
	all := a.Events[event]
	if len(all) == 0 {
		return objectkey.LedgerEvent{}, false
	}
	return all[len(all)-1], true
}

// Held gives the hold that keeps the data at this time. Of a hold and a release in
// the same second the hold counts, since a hold that ends late can be mended.
func (a Account) Held(now time.Time) (objectkey.LedgerEvent, bool) {
	held, ok := a.Last(objectkey.LedgerHeld)
	released, ended := a.Last(objectkey.LedgerReleased)
	if !ok || !now.Before(held.Until) || (ended && released.Time.After(held.Time)) {
		return objectkey.LedgerEvent{}, false
	}
	return held, true
}

// account names one.
type account struct{ namespace, uid string }

// Read gives an account; that there is none is no error. Errors wrap ErrMalformed or
// are the store's.
func (l *Ledger) Read(ctx context.Context, namespace, uid string) (Account, error) {
	if err := objectkey.ValidateOwner(namespace, uid); err != nil {
		return Account{}, fmt.Errorf("read account: %w", err)
	}
	var keys []string
	for object, err := range l.store.List(ctx, l.bucket, objectkey.OwnerPrefix(namespace, uid)) {
		if err != nil {
			return Account{}, fmt.Errorf("read account: %w", err)
		}
		keys = append(keys, object.Key)
	}
	a, err := l.read(ctx, account{namespace, uid}, keys)
	if err != nil {
		return Account{}, fmt.Errorf("read account: %w", err)
	}
	return a, nil
}

// read gives the account that lies at these keys.
func (l *Ledger) read(ctx context.Context, of account, keys []string) (Account, error) {
	a := Account{Namespace: of.namespace, UID: of.uid}
	for _, key := range keys {
		if err := l.add(ctx, &a, key); err != nil {
			return Account{}, err
		}
	}
	for _, all := range a.Events {
		slices.SortStableFunc(all, func(x, y objectkey.LedgerEvent) int { return x.Time.Compare(y.Time) })
	}
	return a, nil
}

// add reads what lies at a key into the account. What it says of itself must lead back
// to that key.
func (l *Ledger) add(ctx context.Context, a *Account, key string) error {
	data, err := l.get(ctx, key)
	if err != nil {
		return err
	}
	malformed := fmt.Errorf("%w: that of %s/%s", ErrMalformed, a.Namespace, a.UID)
	if key == objectkey.LedgerRecordKey(a.Namespace, a.UID) {
		r, err := objectkey.DecodeLedgerRecord(data)
		if err != nil || r.Namespace != a.Namespace || r.UID != a.UID {
			return malformed
		}
		a.Record = &r
		return nil
	}
	e, err := objectkey.DecodeLedgerEvent(data)
	if err != nil || key != objectkey.LedgerEventKey(a.Namespace, a.UID, e) {
		return malformed
	}
	if a.Events == nil {
		a.Events = map[string][]objectkey.LedgerEvent{}
	}
	a.Events[e.Event] = append(a.Events[e.Event], e)
	return nil
}

func (l *Ledger) get(ctx context.Context, key string) ([]byte, error) {
	body, err := l.store.Get(ctx, l.bucket, key, 0, -1)
	if err != nil {
		return nil, err
	}
	// What is longer is cut off, and then malformed.
	data, err := io.ReadAll(io.LimitReader(body, objectkey.MaxLedgerEntry))
	return data, errors.Join(err, body.Close())
}
