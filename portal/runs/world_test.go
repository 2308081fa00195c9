package runs_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/runs"
)

// h200 and l4 are the GPUs of the cluster in tests.
const (
	h200 = "NVIDIA-H200"
	l4   = "NVIDIA-L4"
)

// image is on the allow-list.
const image = "registry.example.org/trainer:1"

// errKilled is what a process sees that was killed: nothing of its own comes after it.
var errKilled = errors.New("killed")

// fuse kills a process at one of its calls: before the call, or after it took effect.
type fuse struct {
	mutex sync.Mutex
	calls int
	// at is the call, from 1; 0 for never.
	at    int
	after bool
	blown bool
}

// around makes a call, unless the process was killed.
func (f *fuse) around(call func() error) error {
	if f == nil {
		return call()
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.blown {
		return errKilled
	}
	f.calls++
	if f.calls != f.at {
		return call()
	}
	f.blown = true
	if f.after {
		_ = call()
	}
	return errKilled
}

// object is a run in the cluster.
type object struct {
	order              portal.RunOrder
	uid                string
	suspended, stopped bool
}

// cluster is one in memory. Every method may fail once with what is in errs.
type cluster struct {
	fuse *fuse

	mutex   *sync.Mutex
	objects map[string]*object
	// made counts how often an object came into being, by name.
	made   map[string]int
	errs   map[string]error
	offers []portal.GPUOffer
}

func newCluster() *cluster {
	return &cluster{
		mutex: &sync.Mutex{}, objects: map[string]*object{}, made: map[string]int{}, errs: map[string]error{},
		offers: []portal.GPUOffer{{Product: h200, Total: 16, PerNode: 8}, {Product: l4, Total: 4, PerNode: 1}},
	}
}

func (c *cluster) do(method string, act func() error) error {
	return c.fuse.around(func() error {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		if err := c.errs[method]; err != nil {
			return err
		}
		return act()
	})
}

// fail makes a method fail from now on; nil mends it.
func (c *cluster) fail(method string, err error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.errs[method] = err
}

func (c *cluster) CreateRun(_ context.Context, order portal.RunOrder) (string, error) {
	uid := "uid-of-" + order.Object
	return uid, c.do("CreateRun", func() error {
		if c.objects[order.Object] == nil {
			c.objects[order.Object] = &object{order: order, uid: uid}
			c.made[order.Object]++
		}
		return nil
	})
}

func (c *cluster) with(method, name string, act func(*object)) error {
	return c.do(method, func() error {
		if c.objects[name] == nil {
			return portal.ErrNotFound
		}
		act(c.objects[name])
		return nil
	})
}

func (c *cluster) SuspendRun(_ context.Context, _, name string, suspend bool) error {
	return c.with("SuspendRun", name, func(o *object) { o.suspended = suspend })
}

func (c *cluster) CancelRun(_ context.Context, _, name, _ string) error {
	return c.with("CancelRun", name, func(o *object) { o.stopped = true })
}

func (c *cluster) DeleteRun(_ context.Context, _, name, _ string) error {
	return c.do("DeleteRun", func() error {
		delete(c.objects, name)
		return nil
	})
}

func (c *cluster) CheckRun(context.Context, portal.RunOrder) error {
	return c.do("CheckRun", func() error { return nil })
}

func (c *cluster) RunYAML(order portal.RunOrder) ([]byte, error) {
	return []byte("kind: TrainingRun\nname: " + order.Object + "\ndataset: " + order.Dataset + "\n"), nil
}

func (c *cluster) Offers(context.Context) ([]portal.GPUOffer, error) {
	return c.offers, c.do("Offers", func() error { return nil })
}

// fusedStore is a store whose transactions count as calls.
type fusedStore struct {
	portal.Store
	fuse *fuse
}

func (s fusedStore) Write(ctx context.Context, f func(context.Context, portal.Tx) error) error {
	return s.fuse.around(func() error { return s.Store.Write(ctx, f) })
}

func (s fusedStore) Read(ctx context.Context, f func(context.Context, portal.Tx) error) error {
	return s.fuse.around(func() error { return s.Store.Read(ctx, f) })
}

// world is an account with a sealed dataset, and a service.
type world struct {
	store   portal.Store
	cluster *cluster
	clock   *portaltest.Clock
	service *runs.Service
	person  portal.Principal
	tenant  portal.Tenant
	dataset portal.Dataset
}

func sealed(d *portal.Dataset) {
	d.Wish, d.Seen = portal.WishSealed, portal.DatasetSeen{Version: 1, State: "Ready"}
}

var options = runs.Options{
	Images: []string{image}, Registries: []string{"registry.example.org/open/"}, GPUs: 8,
	Prices: []portal.Price{{Product: h200, MicrosPerHour: 3_990_000}, {Product: portal.AnyProduct, MicrosPerHour: 790_000}},
}

func newWorld(t testing.TB, store portal.Store) *world {
	t.Helper()
	w := &world{store: store, cluster: newCluster(), clock: &portaltest.Clock{}}
	account, tenant := portaltest.AddTenant(t, store)
	w.tenant, w.dataset = tenant, portaltest.AddDataset(t, store, tenant, sealed)
	w.person = portal.Principal{Account: account, Session: &portal.Session{}}
	w.service = w.process(t, nil)
	return w
}

var seeds struct {
	sync.Mutex
	last uint64
}

// process is a portal on the world's store and cluster that dies at a fuse.
func (w *world) process(t testing.TB, f *fuse) *runs.Service {
	t.Helper()
	seeds.Lock()
	seeds.last++
	seed := seeds.last
	seeds.Unlock()
	c := *w.cluster
	c.fuse = f
	service, err := runs.New(runs.Dependencies{
		Store: fusedStore{w.store, f}, Cluster: &c, Planner: &c, Now: w.clock.Now,
		Random: portaltest.Random(90_000 + seed), Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}, options)
	if err != nil {
		t.Fatal(err)
	}
	return service
}

// spec is a good one.
func spec(mods ...func(*portal.RunSpec)) portal.RunSpec {
	s := portal.RunSpec{
		Image: image, Args: []string{"--epochs", "3"}, Nodes: 1, GPUs: 2, Product: h200,
		MaxDuration: 4 * time.Hour, MaxGPUSeconds: 7200, KeepLast: 2,
	}
	for _, mod := range mods {
		mod(&s)
	}
	return s
}

// draft is the ID that the form has.
func (w *world) draft(t testing.TB) portal.RunID {
	t.Helper()
	form, err := w.service.Form(t.Context(), w.person, "")
	if err != nil {
		t.Fatal(err)
	}
	return form.Draft
}

func (w *world) start(t testing.TB, mods ...func(*portal.RunSpec)) portal.Run {
	t.Helper()
	run, err := w.service.Start(t.Context(), w.person, w.draft(t), "Baseline", w.dataset.ID, spec(mods...))
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func (w *world) get(t testing.TB, id portal.RunID) portal.Run {
	t.Helper()
	run, err := w.service.Get(t.Context(), w.person, id)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// change writes a run as if somebody else had.
func (w *world) change(t testing.TB, id portal.RunID, f func(*portal.Run)) {
	t.Helper()
	err := w.store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		run, err := tx.Run(ctx, w.person.Account.ID, id)
		if err != nil {
			return err
		}
		f(&run)
		return tx.UpdateRun(ctx, run)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// watch writes what the cluster shows, as package follow does.
func (w *world) watch(t testing.TB) {
	t.Helper()
	var all []portal.Run
	err := w.store.Read(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		var err error
		all, err = tx.LiveRuns(ctx, "", 1000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range all {
		w.cluster.mutex.Lock()
		o := w.cluster.objects[run.ID.Object()]
		w.cluster.mutex.Unlock()
		if o == nil && run.UID == "" {
			continue
		}
		w.change(t, run.ID, func(r *portal.Run) {
			if o == nil {
				r.GoneAt = w.clock.Now()
				return
			}
			r.UID, r.Seen.Suspended = o.uid, o.suspended
			if o.stopped && r.Seen.EndedAt.IsZero() {
				r.Seen.State, r.Seen.EndedAt = "Cancelled", w.clock.Now()
			}
		})
	}
}

// restart is a new portal that settles all, as the loop does in a few minutes.
func (w *world) restart(t testing.TB) {
	t.Helper()
	w.service = w.process(t, nil)
	for range 4 {
		if _, err := w.service.SettleAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.watch(t)
		w.clock.Advance(time.Minute)
	}
}

func (w *world) mails(t testing.TB) []portal.Mail {
	t.Helper()
	var mails []portal.Mail
	err := w.store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		var err error
		mails, err = tx.ClaimMails(ctx, w.clock.Now().Add(time.Hour), w.clock.Now().Add(2*time.Hour), 100)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return mails
}

// fieldsOf are the fields that are at fault.
func fieldsOf(err error) []string {
	var list interface{ Unwrap() []error }
	if errors.As(err, &list) {
		var all []string
		for _, e := range list.Unwrap() {
			all = append(all, fieldsOf(e)...)
		}
		slices.Sort(all)
		return all
	}
	var e *portal.Error
	if errors.As(err, &e) {
		return []string{e.Field}
	}
	return nil
}

var (
	away    = &portal.Error{Kind: portal.KindUnavailable, Message: "The cluster is away."}
	refusal = &portal.Error{Kind: portal.KindInvalid, Field: "image", Message: "This image is not allowed."}
)
