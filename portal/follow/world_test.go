package follow

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

const (
	datasetUID = "0b9f0c5e-7d0a-4c53-9d0d-0f3b7a1c2d01"
	runUID     = "0b9f0c5e-7d0a-4c53-9d0d-0f3b7a1c2d02"
)

// world has one person with one dataset and one run, and a follower.
type world struct {
	t        *testing.T
	clock    *portaltest.Clock
	store    *flaky
	receipts *receipts
	heard    *listener
	dataset  portal.Dataset
	run      portal.Run
	account  portal.Account
	follower *Follower
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: &portaltest.Clock{}, store: &flaky{Store: portaltest.Store(t)}, receipts: &receipts{kept: map[string][]byte{}}, heard: &listener{}}
	var tenant portal.Tenant
	w.account, tenant = portaltest.AddTenant(t, w.store.Store)
	w.dataset = portaltest.AddDataset(t, w.store.Store, tenant, func(d *portal.Dataset) {
		d.UID, d.Seen, d.AfterTraining, d.MaxAge = "", portal.DatasetSeen{}, 24*time.Hour, 30*24*time.Hour
	})
	w.run = portaltest.AddRun(t, w.store.Store, w.dataset, func(r *portal.Run) { r.UID, r.Seen, r.Wish = "", portal.RunSeen{}, portal.WishRun })
	w.restart()
	return w
}

// restart is a new process on the same store.
func (w *world) restart() {
	w.t.Helper()
	f, err := New(Dependencies{
		Store: w.store, Receipts: w.receipts, Listener: w.heard,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: w.clock.Now, Random: portaltest.Random(uint64(w.clock.Now().UnixNano()) + w.store.count()),
	}, Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.follower = f
}

// round writes all that is due, with the receipts that it takes.
func (w *world) round() time.Duration {
	for {
		pause := w.follower.round(w.t.Context())
		w.follower.workers.Wait()
		if !w.follower.due() {
			return pause
		}
	}
}

// due reports whether something can be written now.
func (f *Follower) due() bool {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for _, t := range f.tasks {
		if !f.now().Before(t.due) {
			return true
		}
	}
	return false
}

func (w *world) seesRun(s portal.RunSeen, gone bool) {
	w.follower.RunSeen(w.t.Context(), w.run.Namespace, w.run.ID.Object(), runUID, s, gone)
}

func (w *world) seesDataset(s portal.DatasetSeen, gone bool) {
	if s.AfterTraining == 0 && s.MaxAge == 0 {
		s.AfterTraining, s.MaxAge = w.dataset.AfterTraining, w.dataset.MaxAge // as they were asked for
	}
	w.follower.DatasetSeen(w.t.Context(), w.dataset.Namespace, w.dataset.ID.Object(), datasetUID, s, gone, gone)
}

func (w *world) now() (portal.Run, portal.Dataset) {
	w.t.Helper()
	var run portal.Run
	var dataset portal.Dataset
	err := w.store.Store.Read(w.t.Context(), func(ctx context.Context, tx portal.Tx) error {
		var errRun, errDataset error
		run, errRun = tx.Run(ctx, w.account.ID, w.run.ID)
		dataset, errDataset = tx.Dataset(ctx, w.account.ID, w.dataset.ID)
		return errors.Join(errRun, errDataset)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return run, dataset
}

// change changes the rows as another part of the portal would.
func (w *world) change(run func(*portal.Run), dataset func(*portal.Dataset)) {
	w.t.Helper()
	r, d := w.now()
	run(&r)
	dataset(&d)
	err := w.store.Store.Write(w.t.Context(), func(ctx context.Context, tx portal.Tx) error {
		return errors.Join(tx.UpdateRun(ctx, r), tx.UpdateDataset(ctx, d))
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// mails are the kinds that were put into the outbox, in their order.
func (w *world) mails() []portal.MailKind {
	w.t.Helper()
	kinds := []portal.MailKind{}
	for _, m := range w.outbox() {
		kinds = append(kinds, m.Kind)
	}
	return kinds
}

func (w *world) outbox() []portal.Mail {
	w.t.Helper()
	var mails []portal.Mail
	err := w.store.Store.Write(w.t.Context(), func(ctx context.Context, tx portal.Tx) error {
		var err error
		now := w.clock.Now()
		mails, err = tx.ClaimMails(ctx, now, now, 100)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.SortStableFunc(mails, func(a, b portal.Mail) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return mails
}

// flaky is a store whose n-th call fails, before or after it did what it was to do.
type flaky struct {
	portal.Store
	mutex         sync.Mutex
	calls, writes int
	failAt        int
	after         bool
}

var errStore = errors.New("the database is away")

func (f *flaky) count() uint64 {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return uint64(f.calls)
}

func (f *flaky) call(write bool, do func() error) error {
	f.mutex.Lock()
	f.calls++
	if write {
		f.writes++
	}
	fails := f.calls == f.failAt
	f.mutex.Unlock()
	if !fails {
		return do()
	}
	if f.after {
		_ = do()
	}
	return errStore
}

func (f *flaky) Write(ctx context.Context, do func(context.Context, portal.Tx) error) error {
	return f.call(true, func() error { return f.Store.Write(ctx, do) })
}

func (f *flaky) Read(ctx context.Context, do func(context.Context, portal.Tx) error) error {
	return f.call(false, func() error { return f.Store.Read(ctx, do) })
}

// receipts is a broker.
type receipts struct {
	kept  map[string][]byte
	err   error
	mutex sync.Mutex
	asked int
	// wait holds up an answer; may be nil.
	wait func()
}

func (r *receipts) Receipt(_ context.Context, namespace, uid string) ([]byte, error) {
	r.mutex.Lock()
	r.asked++
	r.mutex.Unlock()
	if r.wait != nil {
		r.wait()
	}
	if r.err != nil {
		return nil, r.err
	}
	envelope, ok := r.kept[namespace+"/"+uid]
	if !ok {
		return nil, portal.ErrNotFound
	}
	return envelope, nil
}

// receiptOf is a signed one.
func receiptOf(t *testing.T, resource, namespace, uid string) ([]byte, string) {
	t.Helper()
	end := portaltest.Start.Add(time.Hour)
	envelope, digest, err := objectkey.Sign(ed25519.NewKeyFromSeed(make([]byte, 32)), objectkey.EraseReceipt{
		Kind: objectkey.ReceiptKind, Resource: resource, Namespace: namespace, UID: uid,
		Store: "00112233445566778899aabbccddeeff", Bucket: "datasets", Prefix: objectkey.OwnerPrefix(namespace, uid),
		Trigger: objectkey.TriggerExpired, Methods: []string{objectkey.MethodObjectsRemoved},
		StartTime: end.Add(-time.Minute), EndTime: end, NotCovered: []string{}, Sequence: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return envelope, digest
}

type listener struct {
	mutex sync.Mutex
	runs  []portal.Run
}

func (l *listener) RunChanged(run portal.Run) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.runs = append(l.runs, run)
}

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// counting is a store that counts its calls.
type counting struct{ calls *int }

func (c counting) Write(context.Context, func(context.Context, portal.Tx) error) error {
	*c.calls++
	return errStore
}

func (c counting) Read(context.Context, func(context.Context, portal.Tx) error) error {
	*c.calls++
	return errStore
}

func (c counting) Ping(context.Context) error { return nil }
