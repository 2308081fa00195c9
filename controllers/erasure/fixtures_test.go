package erasure_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

const (
	uid      = "6f9619ff-8b86-4011-b42d-00c04fc964ff"
	otherUID = "6f9619ff-8b86-4011-b42d-00c04fc964fe"
	prefix   = "ns/" + uid + "/"
)

// world is a store with the data of one object, and of its neighbours.
type world struct {
	objectstoretest.Harness
	datasets, artifacts, receipts string
	target                        erasure.Target
	engine                        *erasure.Engine
}

func newWorld(t *testing.T, h objectstoretest.Harness, kind objectstoretest.Kind) *world {
	t.Helper()
	w := &world{
		Harness:  h,
		datasets: h.Bucket(t, kind), artifacts: h.Bucket(t, kind), receipts: h.Bucket(t, objectstoretest.Locked),
	}
	w.target = erasure.Target{Bucket: w.datasets, Prefix: prefix, UID: uid}
	w.engine = newEngine(t, h, w.receipts)
	return w
}

func newEngine(t *testing.T, store erasure.Store, receipts string) *erasure.Engine {
	t.Helper()
	engine, err := erasure.New(store, receipts)
	if err != nil {
		t.Fatalf("make an engine: %v", err)
	}
	return engine
}

// memory is a world in memory.
func memory(t *testing.T) (*world, *objectstoretest.Store) {
	t.Helper()
	h := objectstoretest.Memory(t)
	w := newWorld(t, h, objectstoretest.Versioned)
	store, ok := h.Backend.(*objectstoretest.Store)
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

const contents = "somebody's data"

func (w *world) put(t *testing.T, bucket, key string) {
	t.Helper()
	if err := w.Put(t.Context(), bucket, key, strings.NewReader(contents), int64(len(contents)), objectstore.PutOptions{}); err != nil {
		t.Fatalf("put: %v", err)
	}
}

// state is all that the store holds of data, in a form that can be compared.
func (w *world) state(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, bucket := range []string{w.datasets, w.artifacts, w.receipts} {
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

func (w *world) receipt() objectkey.EraseReceipt {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return objectkey.EraseReceipt{
		Namespace: "ns", Name: "digits", UID: uid, Bucket: w.datasets, Prefix: prefix,
		Versions: 7, StartTime: start, EndTime: start.Add(time.Minute),
	}
}

// finish does what the end of a dataset's life does.
func (w *world) finish(ctx context.Context) (digest string, err error) {
	if _, err := w.engine.Inventory(ctx, w.target); err != nil {
		return "", err
	}
	if _, err := w.engine.Erase(ctx, w.target); err != nil {
		return "", err
	}
	if gone, err := w.engine.Verify(ctx, w.target); err != nil || !gone {
		return "", fmt.Errorf("verify says %v: %w", gone, err)
	}
	return w.engine.WriteReceipt(ctx, w.receipt())
}

// storedReceipt gives the digest of the receipt in the store.
func (w *world) storedReceipt(t *testing.T) string {
	t.Helper()
	body, err := w.Get(t.Context(), w.receipts, objectkey.Receipt("ns", uid), 0, -1)
	if err != nil {
		t.Fatalf("get receipt: %v", err)
	}
	defer func() { _ = body.Close() }()
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("read receipt: %v", err)
	}
	return objectkey.Digest(data)
}
