package trainingrun

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// Eraser takes artifacts out of the store. Every method may be repeated after a
// crash or an error at any point. Errors wrap erasure.ErrRefused when a guard found
// the target not safe to erase (erasure.ErrUnknownStore and *erasure.LockedError are
// kinds of it), and erasure.ErrIncomplete when data is left; others are the store's
// and worth another try.
type Eraser interface {
	// Identity says which store holds the bucket.
	Identity(ctx context.Context, bucket string) (string, error)
	// Inventory counts what Erase would remove.
	Inventory(ctx context.Context, t erasure.Target) (erasure.Inventory, error)
	// Erase removes all versions, delete markers and unfinished uploads; that there
	// are none is not an error. It calls progress with what it has removed so far, one
	// call at a time and none after it has returned.
	Erase(ctx context.Context, t erasure.Target, progress func(erasure.Inventory)) (erasure.Inventory, error)
	// Verify lists the target anew and reports whether it is empty.
	Verify(ctx context.Context, t erasure.Target) (bool, error)
	// Prune removes what lies under checkpoints that are older than the newest of those
	// to keep and not among them, in all versions, and gives how many. keep is not empty.
	Prune(ctx context.Context, t erasure.Target, keep []string) (removed int64, err error)
}

// Ledger remembers in the store whose data may be there. Its errors are the
// store's, if not said otherwise, or ledger.ErrMalformed.
type Ledger interface {
	// Open writes a record, unless the same is there. The error is ledger.ErrErased
	// if the data of this UID was erased already, and ledger.ErrConflict if there is a
	// record of another place.
	Open(ctx context.Context, record objectkey.LedgerRecord) error
	// Note writes an event, unless it is there. After an erase the error is
	// ledger.ErrErased.
	Note(ctx context.Context, namespace, uid string, event objectkey.LedgerEvent) error
	// Read gives what is written about a UID; that there is nothing is not an error.
	Read(ctx context.Context, namespace, uid string) (ledger.Account, error)
}

// Receipts keeps the receipts of erases.
type Receipts interface {
	// Write stores a receipt, unless there is one for the same object, and gives the
	// digest of the one that is stored.
	Write(ctx context.Context, receipt objectkey.EraseReceipt) (digest string, err error)
}

// storeTimeout bounds a few short calls to the store.
const storeTimeout = 10 * time.Second

// storeFault is a failure at the store, as opposed to one at the API server. Its
// cause decides what the run's status says.
type storeFault struct{ cause error }

func (f *storeFault) Error() string { return f.cause.Error() }
func (f *storeFault) Unwrap() error { return f.cause }

func atStore(err error) error {
	if err == nil {
		return nil
	}
	return &storeFault{cause: err}
}

// briefly makes a few short calls to the store in a turn. The error is errBusy when
// nothing was done, and a storeFault when a call failed.
func (r *Reconciler) briefly(ctx context.Context, calls func(context.Context) error) error {
	if !r.briefs.take(ctx) {
		return errBusy
	}
	defer r.briefs.give()
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return atStore(calls(ctx))
}

// question is a fact that an observation leaves out, because only the store knows
// it, or because it matters to few runs. Once it was asked, the observation has the
// fact or says why not (storeErr).
type question int

const (
	askNothing question = iota
	// askIdentity: which store would the artifacts go to?
	askIdentity
	// askAccount: what does the ledger know of the run, and is its namespace going?
	askAccount
	// askInventory: what would an erase remove?
	askInventory
	// askService: who has the name by which the nodes are to find each other?
	askService
)

// ask adds the answer to the observation. The error is the API server's; what the
// store failed at becomes a fact.
func (r *Reconciler) ask(ctx context.Context, o *observed, q question) error {
	switch q {
	case askIdentity:
		o.StoreErr = r.briefly(ctx, func(ctx context.Context) error { return r.askIdentity(ctx, o) })
	case askAccount:
		return r.askAccount(ctx, o)
	case askInventory:
		o.StoreErr = r.askInventory(ctx, o)
	case askService:
		return r.askService(ctx, o)
	case askNothing:
	}
	return nil
}

func (r *Reconciler) askIdentity(ctx context.Context, o *observed) error {
	identity, err := r.eraser.Identity(ctx, r.options.ArtifactsBucket)
	if err == nil && identity == "" {
		err = erasure.ErrUnknownStore
	}
	if err != nil {
		return fmt.Errorf("read the identity of the store: %w", err)
	}
	o.Identity = identity
	return nil
}

// askService reads live: Services are not in the cache, which would hold all of the
// cluster's for the few runs with several nodes.
func (r *Reconciler) askService(ctx context.Context, o *observed) (err error) {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	key := client.ObjectKey{Namespace: o.Run.Namespace, Name: resources.ServiceName(o.Run)}
	o.Service, err = get(ctx, r.live, key, &corev1.Service{})
	o.ServiceAsked = true
	return err
}

func (r *Reconciler) askAccount(ctx context.Context, o *observed) error {
	run := o.Run
	namespace, err := get(ctx, r.live, client.ObjectKey{Name: run.Namespace}, &corev1.Namespace{})
	if err != nil {
		return err
	}
	o.NamespaceGoing = namespace == nil || !namespace.DeletionTimestamp.IsZero()
	o.StoreErr = r.briefly(ctx, func(ctx context.Context) error {
		account, err := r.ledger.Read(ctx, run.Namespace, string(run.UID))
		if err != nil {
			return fmt.Errorf("read the ledger: %w", err)
		}
		if account.Record == nil && hadJob(run) {
			if err := r.askIdentity(ctx, o); err != nil {
				return err
			}
		}
		o.Account = &account
		return nil
	})
	return nil
}

func (r *Reconciler) askInventory(ctx context.Context, o *observed) error {
	if !r.erases.take(ctx) {
		return errBusy
	}
	defer r.erases.give()
	ctx, cancel := context.WithTimeout(ctx, eraseTimeout)
	defer cancel()
	found, err := r.eraser.Inventory(ctx, target(*o, r.options))
	if err != nil {
		return atStore(fmt.Errorf("take inventory: %w", err))
	}
	o.Inventory = &found
	return nil
}

// open writes the run's record into the ledger.
func (r *Reconciler) open(ctx context.Context, _ observed, p plan) error {
	return r.briefly(ctx, func(ctx context.Context) error {
		if err := r.ledger.Open(ctx, *p.Open); err != nil {
			return fmt.Errorf("open the run's account in the ledger: %w", err)
		}
		return nil
	})
}

// note writes an event into the ledger.
func (r *Reconciler) note(ctx context.Context, o observed, event objectkey.LedgerEvent) error {
	event.Kind = objectkey.LedgerKind
	event.Time = r.clock.Now().UTC().Truncate(time.Second)
	return r.briefly(ctx, func(ctx context.Context) error {
		if err := r.ledger.Note(ctx, o.Run.Namespace, string(o.Run.UID), event); err != nil {
			return fmt.Errorf("note in the ledger that the artifacts are %s: %w", event.Event, err)
		}
		return nil
	})
}
