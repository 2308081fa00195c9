package erasure_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/audit"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

const (
	uid      = "6f9619ff-8b86-4011-b42d-00c04fc964ff"
	otherUID = "6f9619ff-8b86-4011-b42d-00c04fc964fe"
	prefix   = "ns/" + uid + "/"
	// otherStore is what no store in these tests is called.
	otherStore = "00000000000000000000000000000000"
	contents   = "somebody's data"
)

// world is a store with the data of one object, and of its neighbours.
type world struct {
	objectstoretest.Harness
	datasets, artifacts, receipts, ledger string
	target                                erasure.Target
	auditor                               erasure.Auditor
	engine                                *erasure.Engine
	clock                                 *hastyClock
}

func newWorld(t *testing.T, h objectstoretest.Harness, kind objectstoretest.Kind) *world {
	t.Helper()
	w := &world{
		Harness:  h,
		datasets: h.Bucket(t, kind), artifacts: h.Bucket(t, kind),
		receipts: h.Bucket(t, objectstoretest.Locked), ledger: h.Bucket(t, objectstoretest.Versioned),
		auditor: auditor{h.Backend}, clock: &hastyClock{},
	}
	id, err := erasure.EnsureIdentity(t.Context(), h, w.datasets, "", strings.NewReader("sixteen bytes or"))
	if err != nil {
		t.Fatalf("name the store: %v", err)
	}
	w.target = erasure.Target{Bucket: w.datasets, Prefix: prefix, UID: uid, Store: id}
	w.engine = w.newEngine(t, h.Backend)
	return w
}

// newEngine makes an engine on a store that is the world's, perhaps with a twist.
func (w *world) newEngine(t *testing.T, store erasure.Store, change ...func(*erasure.Options)) *erasure.Engine {
	t.Helper()
	o := erasure.Options{
		Store: store, Auditor: w.auditor,
		ReceiptsBucket: w.receipts, LedgerBucket: w.ledger, Clock: w.clock,
	}
	for _, c := range change {
		c(&o)
	}
	engine, err := erasure.New(o)
	if err != nil {
		t.Fatalf("make an engine: %v", err)
	}
	return engine
}

func fastPath(o *erasure.Options) { o.FastPath = true }

// onMinIO is a world on a server, with the auditor that goes with it.
func onMinIO(t *testing.T, server *objectstoretest.MinIO, kind objectstoretest.Kind) *world {
	t.Helper()
	w := newWorld(t, objectstoretest.Real(t, server), kind)
	auditor, err := audit.New(audit.Config{Endpoint: server.Endpoint, CABundle: server.CA, Credentials: objectstore.Static(server.Root)})
	if err != nil {
		t.Fatalf("make an auditor: %v", err)
	}
	w.auditor = auditor
	w.engine = w.newEngine(t, w.Backend)
	return w
}

// inMemory is a world in memory.
func inMemory(t *testing.T, kind objectstoretest.Kind) *world {
	t.Helper()
	return newWorld(t, objectstoretest.Memory(t), kind)
}

// memory is a world in memory, and its store.
func memory(t *testing.T) (*world, *objectstoretest.Store) {
	t.Helper()
	w := inMemory(t, objectstoretest.Versioned)
	store, ok := w.Backend.(*objectstoretest.Store)
	if !ok {
		t.Fatal("the store in memory is another one")
	}
	return w, store
}

// fillNeighbours stores what must not be touched: all that could be taken for the
// target by a careless comparison.
func (w *world) fillNeighbours(t *testing.T) {
	t.Helper()
	for _, key := range []string{
		"ns/" + otherUID + "/data/a", "ns/" + uid + "x/data/a", "ns/" + uid + "-/data/a", "ns/" + uid[:35] + "/data/a",
		"nsx/" + uid + "/data/a", "n/" + uid + "/data/a", "xns/" + uid + "/data/a", uid + "/data/a",
		"other/" + uid + "/data/a", "ns/x/" + prefix + "data/a", strings.ToUpper(prefix) + "data/a",
	} {
		w.put(t, w.datasets, key)
		w.BeginUpload(t, w.datasets, key)
	}
	w.put(t, w.artifacts, prefix+"data/a")
	w.BeginUpload(t, w.artifacts, prefix+"data/a")
	w.put(t, w.receipts, "ns/"+otherUID+".json")
	w.put(t, w.ledger, prefix+"record.json")
}

// fillTarget stores data with a history, and gives what an inventory is to count in a
// versioned bucket.
func (w *world) fillTarget(t *testing.T) erasure.Inventory {
	t.Helper()
	var want erasure.Inventory
	for _, key := range []string{"manifest.jsonl", "data/a", "data/a b+c%41&<d>", "data/b/c/d", "data/ü/日本"} {
		for range 3 {
			w.put(t, w.datasets, prefix+key)
			want.Versions++
			want.Bytes += int64(len(contents))
		}
	}
	w.Delete(t, w.datasets, prefix+"data/a")
	w.put(t, w.datasets, prefix+"data/folder/") // MinIO keeps no history of these.
	want.Versions += 2
	want.Bytes += int64(len(contents))
	for _, key := range []string{"data/a", "data/unfinished", "data/unfinished"} {
		w.BeginUpload(t, w.datasets, prefix+key)
		want.Uploads++
	}
	return want
}

func (w *world) put(t *testing.T, bucket, key string) {
	t.Helper()
	if err := w.Put(t.Context(), bucket, key, strings.NewReader(contents), int64(len(contents)), objectstore.PutOptions{}); err != nil {
		t.Fatalf("put: %v", err)
	}
}

// putMany stores many empty objects.
func (w *world) putMany(t *testing.T, n int) {
	t.Helper()
	w.putKeys(t, func(yield func(string) bool) {
		for i := range n {
			if !yield(prefix + "data/" + string(rune('a'+i%26)) + "/" + strconv.Itoa(i)) {
				return
			}
		}
	})
}

func (w *world) putKeys(t *testing.T, keys iter.Seq[string]) {
	t.Helper()
	var group sync.WaitGroup
	slots := make(chan struct{}, 16)
	for key := range keys {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if err := w.Put(t.Context(), w.datasets, key, strings.NewReader(""), 0, objectstore.PutOptions{}); err != nil {
				t.Errorf("put: %v", err)
			}
		})
	}
	group.Wait()
}

// state is all that the store holds of data, in a form that can be compared.
func (w *world) state(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, bucket := range []string{w.datasets, w.artifacts, w.receipts, w.ledger} {
		for v, err := range w.ListVersions(t.Context(), bucket, "") {
			if err != nil {
				t.Fatalf("list versions: %v", err)
			}
			all[fmt.Sprint(bucket, " ", v)] = true
		}
		for u, err := range w.ListUploads(t.Context(), bucket, "") {
			if err != nil {
				t.Fatalf("list uploads: %v", err)
			}
			all[fmt.Sprint(bucket, " ", u)] = true
		}
	}
	return all
}

// finish does what the end of a dataset's life does.
func (w *world) finish(ctx context.Context, engine *erasure.Engine) error {
	if _, err := engine.Inventory(ctx, w.target); err != nil {
		return err
	}
	if _, err := engine.Erase(ctx, w.target, nil); err != nil {
		return err
	}
	gone, err := engine.Verify(ctx, w.target)
	if err == nil && !gone {
		return erasure.ErrIncomplete
	}
	return err
}

// wall has the real time; in a bubble, the bubble's.
var wall clock.RealClock

// hastyClock has the real time and no patience. It keeps the pauses that were asked
// of it.
type hastyClock struct {
	clock.RealClock
	mu     sync.Mutex
	pauses []time.Duration
}

func (c *hastyClock) NewTimer(d time.Duration) clock.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pauses = append(c.pauses, d)
	return c.RealClock.NewTimer(0)
}

// auditor looks at the store that it is given.
type auditor struct{ store objectstoretest.Backend }

func (a auditor) Empty(ctx context.Context, bucket, prefix string) (bool, error) {
	for _, err := range a.store.ListVersions(ctx, bucket, prefix) {
		return false, err
	}
	for _, err := range a.store.ListUploads(ctx, bucket, prefix) {
		return false, err
	}
	return true, nil
}

func (a auditor) Identity(ctx context.Context, bucket string) (string, error) {
	body, err := a.store.Get(ctx, bucket, "lethe-identity.json", 0, -1)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(body)
	_, rest, _ := strings.Cut(string(data), `"store":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id, err
}

// tricky is a store some of whose methods are replaced.
type tricky struct {
	objectstoretest.Backend
	list         func(ctx context.Context, bucket, prefix, after string) iter.Seq2[objectstore.Version, error]
	remove       func(ctx context.Context, bucket string, versions []objectstore.Version) error
	removePrefix func(ctx context.Context, bucket, prefix string) error
}

func (s *tricky) ListVersionsFrom(ctx context.Context, bucket, prefix, after string) iter.Seq2[objectstore.Version, error] {
	if s.list == nil {
		return s.Backend.ListVersionsFrom(ctx, bucket, prefix, after)
	}
	return s.list(ctx, bucket, prefix, after)
}

func (s *tricky) RemoveVersions(ctx context.Context, bucket string, versions []objectstore.Version) error {
	if s.remove == nil {
		return s.Backend.RemoveVersions(ctx, bucket, versions)
	}
	return s.remove(ctx, bucket, versions)
}

func (s *tricky) RemovePrefix(ctx context.Context, bucket, prefix string) error {
	if s.removePrefix == nil {
		return s.Backend.RemovePrefix(ctx, bucket, prefix)
	}
	return s.removePrefix(ctx, bucket, prefix)
}
