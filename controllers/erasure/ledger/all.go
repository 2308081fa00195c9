package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"

	"github.com/lethe-dev/lethe/api/objectkey"
)

// readers read accounts at once while the ledger is walked. Each waits for one small
// object at a time, so that it is the round trips that are shared out.
const readers = 16

// reading is an account on its way.
type reading struct {
	done    chan struct{} // closed when the rest is set
	account Account
	err     error
}

// All yields every account, in the order of their keys. It lists the bucket once and
// holds a few accounts in memory, however many there are. Accounts that are opened
// meanwhile may be missing.
//
// An error that wraps ErrMalformed is about the account that it comes with, which then
// has a name at most, and the next ones follow. Any other error is the last thing
// that is yielded, and without one the walk is complete.
func (l *Ledger) All(ctx context.Context) iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		caller := ctx
		ctx, stop := context.WithCancel(caller)
		var working sync.WaitGroup
		defer working.Wait()
		defer stop()
		queue := make(chan *reading, readers)
		working.Go(func() {
			defer close(queue)
			l.walk(ctx, func(of account, keys []string, err error) bool {
				r := &reading{done: make(chan struct{}), account: Account{Namespace: of.namespace, UID: of.uid}, err: err}
				select {
				case queue <- r:
				case <-ctx.Done():
					return false
				}
				working.Go(func() { l.finish(ctx, r, keys) })
				return true
			})
		})
		for r := range queue {
			<-r.done
			goesOn := r.err == nil || errors.Is(r.err, ErrMalformed)
			if !yield(r.account, r.err) || !goesOn {
				return
			}
		}
		if err := caller.Err(); err != nil {
			// The queue may have ended for that reason.
			yield(Account{}, fmt.Errorf("walk the ledger: %w", err))
		}
	}
}

// finish reads the account, unless there is an error about it already.
func (l *Ledger) finish(ctx context.Context, r *reading, keys []string) {
	defer close(r.done)
	if r.err != nil {
		return
	}
	a, err := l.read(ctx, account{r.account.Namespace, r.account.UID}, keys)
	if err != nil {
		r.err = fmt.Errorf("walk the ledger: %w", err)
		return
	}
	r.account = a
}

// walk lists the bucket and calls visit for each owner with all of its keys, until it
// says false.
func (l *Ledger) walk(ctx context.Context, visit func(of account, keys []string, err error) bool) {
	var of account
	var keys []string
	for object, err := range l.store.List(ctx, l.bucket, "") {
		if err != nil {
			// More keys of the last owner may have been to come, so it is left out.
			visit(account{}, nil, fmt.Errorf("walk the ledger: %w", err))
			return
		}
		if object.Key == objectkey.IdentityKey {
			continue
		}
		owner, ok := ownerOf(object.Key)
		if len(keys) > 0 && owner != of {
			if !visit(of, keys, nil) {
				return
			}
			keys = nil
		}
		switch {
		case ok:
			of, keys = owner, append(keys, object.Key)
		case !visit(account{}, nil, fmt.Errorf("walk the ledger: %w: a key that is nobody's", ErrMalformed)):
			return
		}
	}
	if len(keys) > 0 {
		visit(of, keys, nil)
	}
}

// ownerOf takes the owner out of a key.
func ownerOf(key string) (account, bool) {
	namespace, rest, _ := strings.Cut(key, "/")
	uid, _, below := strings.Cut(rest, "/")
	if !below || objectkey.ValidateOwner(namespace, uid) != nil {
		return account{}, false
	}
	return account{namespace, uid}, true
}
