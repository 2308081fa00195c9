package sweeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/datasetkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

const (
	datasets  = "lethe-datasets"
	artifacts = "lethe-artifacts"
	accounts  = "lethe-ledger"
	storeID   = "00112233445566778899aabbccddeeff"
	otherID   = "ffeeddccbbaa99887766554433221100"
	grace     = 24 * time.Hour
)

var (
	epoch   = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	errTest = errors.New("it fails for the test")
)

// world is everything that a sweeper deals with, in memory.
type world struct {
	opts  Options
	clock *clocktesting.FakeClock
	logs  *bytes.Buffer
	// mu guards the gate and what was done, which are looked at while a sweeper runs.
	mu   sync.Mutex
	gate *gate

	ids      map[string]string
	data     map[place]erasure.Inventory
	foreign  map[string][]string
	accounts map[place]*ledger.Account // bucket is ""
	spaces   map[string]map[string]map[types.UID]Object
	used     map[types.UID]bool
	keys     map[types.UID]bool
	receipts map[types.UID]objectkey.EraseReceipt
	events   []string
	done     []string
	// before is called before each call, by its name.
	before map[string]func()
}

// gate lets one call fail, before or after it takes effect.
type gate struct {
	calls  int
	failAt int
	after  bool
}

func newWorld() *world {
	w := &world{
		clock: clocktesting.NewFakeClock(epoch), logs: &bytes.Buffer{}, gate: &gate{},
		ids:      map[string]string{datasets: storeID, artifacts: storeID, accounts: storeID},
		data:     map[place]erasure.Inventory{},
		foreign:  map[string][]string{datasets: {objectkey.IdentityKey}, artifacts: {objectkey.IdentityKey}},
		accounts: map[place]*ledger.Account{}, spaces: map[string]map[string]map[types.UID]Object{},
		used: map[types.UID]bool{}, keys: map[types.UID]bool{}, receipts: map[types.UID]objectkey.EraseReceipt{},
		before: map[string]func(){},
	}
	w.opts = Options{
		DatasetsBucket: datasets, ArtifactsBucket: artifacts, LedgerBucket: accounts, EraseUnrecorded: true, Interval: time.Hour, Grace: grace,
		Store: storeOf{w}, Ledger: ledgerOf{w}, Objects: objectsOf{w}, Keys: keysOf{w}, Engine: engineOf{w}, Receipts: receiptsOf{w},
		Clock: w.clock, Log: logr.FromSlogHandler(slog.NewTextHandler(w.logs, nil)), Events: w, Metrics: prometheus.NewRegistry(),
	}
	w.namespace("ns")
	return w
}

func (w *world) sweeper(t *testing.T) *Sweeper {
	t.Helper()
	w.opts.Metrics = prometheus.NewRegistry()
	s, err := New(w.opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func at(bucket, namespace, uid string) place {
	one, ok := newOwner(namespace, uid)
	if !ok {
		panic("not an owner: " + namespace + "/" + uid)
	}
	return place{bucket, one}
}

func resourceAt(p place) string { return resourcesOf(datasets, artifacts)[p.bucket] }

// namespace makes a namespace.
func (w *world) namespace(name string) {
	w.spaces[name] = map[string]map[types.UID]Object{objectkey.ResourceDataset: {}, objectkey.ResourceRun: {}}
}

// object makes the object of a place.
func (w *world) object(p place, state v1alpha1.DatasetState) {
	w.spaces[p.namespace][resourceAt(p)][p.uid()] = Object{Name: "thing", State: state}
}

// fill puts data into a place.
func (w *world) fill(p place) { w.data[p] = erasure.Inventory{Versions: 3, Bytes: 300, Uploads: 1} }

// record opens an account.
func (w *world) record(p place) *ledger.Account {
	a := &ledger.Account{
		Namespace: p.namespace, UID: string(p.uid()), Events: map[string][]objectkey.LedgerEvent{},
		Record: &objectkey.LedgerRecord{
			Kind: objectkey.LedgerKind, Resource: resourceAt(p), Namespace: p.namespace, UID: string(p.uid()),
			Store: storeID, Bucket: p.bucket, Prefix: p.prefix(), CreatedTime: epoch.Add(-240 * time.Hour),
		},
	}
	if p.bucket == datasets {
		w.keys[p.uid()] = true
		a.Record.EraseBy = epoch.Add(100_000 * time.Hour)
	}
	w.accounts[place{owner: p.owner}] = a
	return a
}

func (w *world) note(p place, event string, when time.Time) {
	a := w.accounts[place{owner: p.owner}]
	a.Events[event] = append(a.Events[event], objectkey.LedgerEvent{Kind: objectkey.LedgerKind, Event: event, Time: when})
}

func (w *world) hold(p place, until time.Time) {
	a := w.accounts[place{owner: p.owner}]
	a.Events[objectkey.LedgerHeld] = append(a.Events[objectkey.LedgerHeld],
		objectkey.LedgerEvent{Event: objectkey.LedgerHeld, Time: w.clock.Now(), Until: until})
}

// call is one call of anything.
func (w *world) call(name string, effect func() error) error {
	if before := w.before[name]; before != nil {
		before()
	}
	failing := w.count(name)
	if failing && !w.gate.after {
		return errTest
	}
	if err := effect(); err != nil {
		return err
	}
	if failing {
		return errTest
	}
	return nil
}

// count counts a call and says whether it is to fail.
func (w *world) count(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gate.calls++
	failing := w.gate.failAt == w.gate.calls
	if !failing || w.gate.after {
		w.done = append(w.done, name)
	}
	return failing
}

// failSoon lets the nth call from now fail.
func (w *world) failSoon(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gate.failAt = w.gate.calls + n
}

// did says how often a call took effect.
func (w *world) did(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, done := range w.done {
		if done == name {
			n++
		}
	}
	return n
}

// Eventf makes the world a Recorder.
func (w *world) Eventf(regarding, _ runtime.Object, kind, reason, _, _ string, _ ...any) {
	ref := regarding.(*corev1.ObjectReference)
	w.events = append(w.events, fmt.Sprintf("%s %s %s/%s %s", kind, ref.Kind, ref.Namespace, ref.Name, reason))
}

type storeOf struct{ w *world }

func (s storeOf) ListOwners(_ context.Context, bucket string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var keys []string
		for p := range s.w.data {
			if p.bucket == bucket {
				keys = append(keys, p.prefix())
			}
		}
		slices.Sort(keys)
		for _, key := range append(keys, s.w.foreign[bucket]...) {
			if err := s.w.call("list", func() error { return nil }); err != nil {
				yield("", err)
				return
			}
			if !yield(key, nil) {
				return
			}
		}
	}
}

type engineOf struct{ w *world }

func (e engineOf) Identity(_ context.Context, bucket string) (id string, err error) {
	err = e.w.call("identity", func() error {
		if id = e.w.ids[bucket]; id == "" {
			return erasure.ErrUnknownStore
		}
		return nil
	})
	return id, err
}

func (e engineOf) find(t erasure.Target) (place, error) {
	one, ok := parseOwner(t.Prefix)
	if !ok || t.UID != string(one.uid()) || t.Store == "" || t.Store != e.w.ids[t.Bucket] {
		return place{}, erasure.ErrUnknownStore
	}
	return place{t.Bucket, one}, nil
}

func (e engineOf) Inventory(_ context.Context, t erasure.Target) (counts erasure.Inventory, err error) {
	p, err := e.find(t)
	if err != nil {
		return counts, err
	}
	err = e.w.call("inventory", func() error { counts = e.w.data[p]; return nil })
	return counts, err
}

func (e engineOf) Erase(_ context.Context, t erasure.Target, _ func(erasure.Inventory)) (counts erasure.Inventory, err error) {
	p, err := e.find(t)
	if err != nil {
		return counts, err
	}
	err = e.w.call("erase", func() error { counts = e.w.data[p]; delete(e.w.data, p); return nil })
	return counts, err
}

func (e engineOf) Verify(_ context.Context, t erasure.Target) (empty bool, err error) {
	p, err := e.find(t)
	if err != nil {
		return false, err
	}
	err = e.w.call("verify", func() error { empty = e.w.data[p].Empty(); return nil })
	return empty && err == nil, err
}

type ledgerOf struct{ w *world }

func (l ledgerOf) All(context.Context) iter.Seq2[ledger.Account, error] {
	return func(yield func(ledger.Account, error) bool) {
		for _, p := range slices.SortedFunc(maps.Keys(l.w.accounts), comparePlaces) {
			if err := l.w.call("all", func() error { return nil }); err != nil {
				yield(ledger.Account{}, err)
				return
			}
			if !yield(*l.w.accounts[p], nil) {
				return
			}
		}
	}
}

func (l ledgerOf) Read(_ context.Context, namespace, uid string) (a ledger.Account, err error) {
	a = ledger.Account{Namespace: namespace, UID: uid}
	err = l.w.call("read", func() error {
		if found := l.w.accounts[at("", namespace, uid)]; found != nil {
			a = *found
			a.Events = maps.Clone(found.Events)
		}
		return nil
	})
	return a, err
}

func (l ledgerOf) Open(_ context.Context, r objectkey.LedgerRecord) error {
	return l.w.call("open", func() error {
		p := at("", r.Namespace, r.UID)
		if l.w.accounts[p] == nil {
			l.w.accounts[p] = &ledger.Account{
				Namespace: r.Namespace, UID: r.UID, Record: &r, Events: map[string][]objectkey.LedgerEvent{},
			}
		}
		return nil
	})
}

func (l ledgerOf) Note(_ context.Context, namespace, uid string, event objectkey.LedgerEvent) error {
	return l.w.call("note "+event.Event, func() error {
		a := l.w.accounts[at("", namespace, uid)]
		if a == nil {
			return errors.New("there is no such account")
		}
		if len(a.Events[event.Event]) == 0 {
			a.Events[event.Event] = []objectkey.LedgerEvent{event}
		}
		return nil
	})
}

type objectsOf struct{ w *world }

func (o objectsOf) Look(_ context.Context, namespace string) (c Census, err error) {
	err = o.w.call("look", func() error {
		found, there := o.w.spaces[namespace]
		c = Census{Gone: !there, Objects: map[string]map[types.UID]Object{}}
		for resource, objects := range found {
			c.Objects[resource] = maps.Clone(objects)
		}
		return nil
	})
	return c, err
}

func (o objectsOf) Used(_ context.Context, _ string, uid types.UID) (used bool, err error) {
	err = o.w.call("used", func() error { used = o.w.used[uid]; return nil })
	return used, err
}

func (o objectsOf) Elsewhere(_ context.Context, namespace string, uid types.UID) (elsewhere bool, err error) {
	err = o.w.call("elsewhere", func() error {
		for name, objects := range o.w.spaces {
			_, there := objects[objectkey.ResourceDataset][uid]
			elsewhere = elsewhere || there && name != namespace
		}
		return nil
	})
	return elsewhere, err
}

type keysOf struct{ w *world }

func (k keysOf) Get(_ context.Context, uid types.UID) (key objectstore.Key, err error) {
	err = k.w.call("get key", func() error {
		if !k.w.keys[uid] {
			return datasetkey.ErrNotFound
		}
		key = keyOf(uid)
		return nil
	})
	return key, err
}

// keyOf is an owner's key.
func keyOf(uid types.UID) objectstore.Key {
	key, err := objectstore.NewKey([]byte(uid)[:objectstore.KeySize])
	if err != nil {
		panic(err)
	}
	return key
}

func (k keysOf) Destroy(_ context.Context, uid types.UID) error {
	return k.w.call("destroy", func() error { delete(k.w.keys, uid); return nil })
}

type receiptsOf struct{ w *world }

func (r receiptsOf) Write(_ context.Context, receipt objectkey.EraseReceipt) (digest string, err error) {
	err = r.w.call("receipt", func() error {
		uid := types.UID(receipt.UID)
		if _, there := r.w.receipts[uid]; !there {
			r.w.receipts[uid] = receipt
		}
		digest = objectkey.Digest([]byte(receipt.UID))
		return nil
	})
	return digest, err
}
