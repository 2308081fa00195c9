package rest_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/follow"
	"github.com/lethe-dev/lethe/portal/live"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/runs"
	"github.com/lethe-dev/lethe/portal/uploads"
	"github.com/lethe-dev/lethe/portal/uploads/storetest"
)

const (
	image = "registry.example.org/trainer:1"
	h200  = "NVIDIA-H200"
	model = "weights of a model"
)

// world is the real use cases on a real store of accounts, with a cluster and an object
// store that behave: what is asked for is done, and told to the follower.
type world struct {
	t        *testing.T
	minio    *storetest.Store // where uploads go; nil for objects
	store    portal.Store
	follower *follow.Follower
	uploads  *uploads.Service
	runs     *runs.Service
	live     *live.Service
	// objects is the object store's address.
	objects *httptest.Server
	key     ed25519.PrivateKey
	now     func() time.Time

	mutex    sync.Mutex
	version  uint64
	made     map[string]int // runs, by name
	datasets map[string]portal.DatasetOrder
	blobs    map[string][]byte
	receipts map[string][]byte
	refusal  error
	// sent is what came by signed requests, also after it was erased.
	sent map[string]string
}

func newWorld(t *testing.T, now func() time.Time, minio *storetest.Store) *world {
	t.Helper()
	w := &world{
		t: t, minio: minio, store: portaltest.Store(t), now: now, key: ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize))),
		made: map[string]int{}, datasets: map[string]portal.DatasetOrder{}, blobs: map[string][]byte{}, receipts: map[string][]byte{}, sent: map[string]string{},
	}
	w.objects = httptest.NewServer(http.HandlerFunc(w.serveObject))
	t.Cleanup(w.objects.Close)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	cluster := worldCluster{w}
	var err error
	check := func() {
		if err != nil {
			t.Fatal(err)
		}
	}
	w.runs, err = runs.New(runs.Dependencies{Store: w.store, Cluster: cluster, Planner: cluster, Now: now, Random: portaltest.Random(71), Log: log},
		runs.Options{Images: []string{image}, Prices: []portal.Price{{Product: h200, MicrosPerHour: 2_500_000}}})
	check()
	var store uploads.Objects = worldUploads{w}
	if minio != nil {
		store = uploads.NewS3("", clock.RealClock{}.Now)
	}
	w.uploads, err = uploads.New(uploads.Dependencies{
		Store: w.store, Cluster: cluster, Broker: cluster, Objects: store, Runs: w.runs, Log: log, Now: now, Random: portaltest.Random(72),
	}, uploads.Options{})
	check()
	w.live, err = live.New(live.Dependencies{Store: w.store, Logs: cluster, Events: cluster, Grants: cluster, Objects: worldResults{w}, Log: log, Now: now},
		live.Options{Prices: []portal.Price{{Product: h200, MicrosPerHour: 2_500_000}}, Currency: "EUR"})
	check()
	w.follower, err = follow.New(follow.Dependencies{Store: w.store, Receipts: cluster, Listener: w.live, Log: log, Now: now, Random: portaltest.Random(73)}, follow.Options{})
	check()
	ctx, cancel := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	for _, loop := range []func(context.Context) error{w.follower.Run, w.uploads.Run, w.runs.Run} {
		loops.Go(func() { _ = loop(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		loops.Wait()
	})
	return w
}

// serveObject is what a browser or curl sees of the store.
func (w *world) serveObject(out http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, "/")
	if r.Header.Get("Authorization") != "" || r.URL.Query().Get("signature") != "good" {
		out.WriteHeader(http.StatusForbidden)
		return
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if r.Method == http.MethodPut {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("X-Signed") != "yes" || r.URL.Query().Get("length") != fmt.Sprint(len(body)) {
			out.WriteHeader(http.StatusForbidden)
			return
		}
		w.blobs[key], w.sent[key] = body, string(body)
		return
	}
	body, ok := w.blobs[key]
	if !ok {
		out.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = out.Write(body)
}

func (w *world) ReceiptKeys(context.Context) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(w.key.Public())
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), err
}

// next is the version of what is seen next.
func (w *world) next() uint64 {
	w.version++
	return w.version
}

// uidOf is an object's UID.
func uidOf(object string) string {
	sum := sha256.Sum256([]byte(object))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// sseKey is what uploads to MinIO are stored under.
const sseKey = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"

func uploadPrefix(object string) string { return "ns/" + uidOf(object) + "/" }

// worldCluster is the world as use cases know the cluster and its broker.
type worldCluster struct{ *world }

func (worldCluster) EnsureTenant(context.Context, portal.TenantOrder) error { return nil }

func (w worldCluster) seen(ctx context.Context, namespace, object, state string, gone bool) {
	order := w.datasets[object]
	seen := portal.DatasetSeen{
		Version: w.next(), At: w.now(), State: state, Reason: "Fine", AfterTraining: order.AfterTraining, MaxAge: order.MaxAge,
	}
	for key, blob := range w.blobs {
		if strings.HasPrefix(key, objectkey.DataPrefix(uidOf(object)+"/")) {
			seen.Files, seen.Bytes = seen.Files+1, seen.Bytes+int64(len(blob))
		}
	}
	w.follower.DatasetSeen(ctx, namespace, object, uidOf(object), seen, gone, gone)
}

func (w worldCluster) CreateDataset(ctx context.Context, order portal.DatasetOrder) (string, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if _, ok := w.datasets[order.Object]; !ok {
		w.datasets[order.Object] = order
		w.seen(ctx, order.Namespace, order.Object, "Open", false)
	}
	return uidOf(order.Object), nil
}

func (w worldCluster) SealDataset(ctx context.Context, namespace, object string) error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.seen(ctx, namespace, object, "Ready", false)
	return nil
}

func (w worldCluster) SetRetention(_ context.Context, _, object string, after, age time.Duration) error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	order := w.datasets[object]
	order.AfterTraining, order.MaxAge = after, age
	w.datasets[object] = order
	return nil
}

func (w worldCluster) DeleteDataset(ctx context.Context, namespace, object, _ string) error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	uid := uidOf(object)
	if w.receipts[uid] != nil {
		return nil
	}
	for key := range w.blobs {
		if strings.HasPrefix(key, uid+"/") {
			delete(w.blobs, key)
		}
	}
	at := w.now().UTC().Truncate(time.Second)
	envelope, _, err := objectkey.Sign(w.key, objectkey.EraseReceipt{
		Resource: objectkey.ResourceDataset, Namespace: namespace, UID: uid, Store: strings.Repeat("0", 32), Bucket: "datasets", Prefix: namespace + "/" + uid + "/",
		Trigger: objectkey.TriggerDeleted, Methods: []string{objectkey.MethodKeyDestroyed, objectkey.MethodObjectsRemoved},
		KeyID: strings.Repeat("1", 32), KeyDestroyedTime: &at, ManifestDigest: "sha256:" + strings.Repeat("ab", 32), Objects: 1, ObjectBytes: 9, Versions: 2, VersionBytes: 90,
		StartTime: at, EndTime: at, NotCovered: []string{"Copies that a run wrote elsewhere."}, Sequence: 1,
	})
	if err != nil {
		return err
	}
	w.receipts[uid] = envelope
	w.seen(ctx, namespace, object, "Erasing", true)
	return nil
}

func (w worldCluster) UploadGrant(_ context.Context, _, object string) (portal.Grant, error) {
	if w.minio != nil {
		return w.minio.Grant(w.t, uploadPrefix(object), []byte(sseKey)), nil
	}
	return portal.Grant{Bucket: "datasets", Prefix: uidOf(object) + "/", IssuedAt: w.now(), ExpiresAt: w.now().Add(time.Hour)}, nil
}

func (w worldCluster) ArtifactsGrant(_ context.Context, _, object string) (portal.Grant, error) {
	return portal.Grant{Bucket: "artifacts", Prefix: uidOf(object) + "/", IssuedAt: w.now(), ExpiresAt: w.now().Add(time.Hour)}, nil
}

func (w worldCluster) Receipt(_ context.Context, _, uid string) ([]byte, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.receipts[uid] == nil {
		return nil, portal.ErrNotFound
	}
	return w.receipts[uid], nil
}

// CreateRun trains: the run begins, and has ended well a moment later.
func (w worldCluster) CreateRun(ctx context.Context, order portal.RunOrder) (string, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	uid := uidOf(order.Object)
	if w.refusal != nil {
		return "", w.refusal
	}
	if w.made[order.Object]++; w.made[order.Object] > 1 {
		return uid, nil
	}
	began := w.now()
	w.follower.RunSeen(ctx, order.Namespace, order.Object, uid, running(w.next(), began), false)
	w.blobs[uid+"/model/weights.bin"] = []byte(model)
	w.blobs[uid+"/logs/attempt-0001/node-0/trainer-000001.log"] = []byte("2026-01-01T00:00:00Z epoch 1\n")
	w.follower.RunSeen(ctx, order.Namespace, order.Object, uid, succeeded(w.next(), began), false)
	return uid, nil
}

func running(version uint64, at time.Time) portal.RunSeen {
	percent := 40.0
	return portal.RunSeen{
		Version: version, At: at, State: "Running", Reason: "Training", StartedAt: at,
		Progress: portal.RunProgress{At: at, Percent: &percent, Step: 40, TotalSteps: 100, Metrics: map[string]float64{"loss": 0.5}, EndsAt: at.Add(time.Hour)},
		Attempts: []portal.RunAttempt{{Number: 1, StartedAt: at}}, GPUSeconds: 10,
	}
}

func succeeded(version uint64, at time.Time) portal.RunSeen {
	s := running(version, at)
	end := at.Add(time.Minute)
	s.State, s.Reason, s.EndedAt, s.GPUSeconds = "Succeeded", "Done", end, 60
	s.Attempts = []portal.RunAttempt{{Number: 1, Result: "Succeeded", StartedAt: at, EndedAt: end, GPUSeconds: 60}}
	s.ArtifactFiles, s.ArtifactBytes, s.ArtifactManifest = 1, int64(len(model)), "sha256:"+strings.Repeat("cd", 32)
	return s
}

func (worldCluster) SuspendRun(context.Context, string, string, bool) error  { return nil }
func (worldCluster) CancelRun(context.Context, string, string, string) error { return nil }
func (worldCluster) DeleteRun(context.Context, string, string, string) error { return nil }
func (w worldCluster) CheckRun(context.Context, portal.RunOrder) error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.refusal
}
func (worldCluster) RunYAML(portal.RunOrder) ([]byte, error) { return nil, nil }

func (worldCluster) Offers(context.Context) ([]portal.GPUOffer, error) {
	return []portal.GPUOffer{{Product: h200, Total: 16, PerNode: 8}, {Product: "", Total: 2, PerNode: 1}}, nil
}

func (worldCluster) RunEvents(context.Context, string, string) ([]portal.RunEvent, error) {
	return []portal.RunEvent{{At: portaltest.Start, Reason: "Started", Message: "The trainer has begun.", Count: 1}}, nil
}

// Logs are two lines, and then the trainer has ended.
func (w worldCluster) Logs(context.Context, string, string, time.Time) (io.ReadCloser, error) {
	at := portaltest.Start.Format(time.RFC3339Nano)
	return io.NopCloser(strings.NewReader(at + " epoch 1\n" + at + " epoch 2\n")), nil
}

// worldUploads is the object store for the use cases of datasets.
type worldUploads struct{ *world }

func (w worldUploads) Presign(_ context.Context, g portal.Grant, r uploads.Request) (portal.SignedRequest, error) {
	return portal.SignedRequest{
		Method: http.MethodPut, URL: fmt.Sprintf("%s/%s?signature=good&length=%d", w.objects.URL, r.Key, r.Length),
		Headers: map[string]string{"X-Signed": "yes"}, ExpiresAt: g.ExpiresAt,
	}, nil
}

func (w worldUploads) Put(_ context.Context, _ portal.Grant, key string, body io.Reader, _ int64) error {
	text, err := io.ReadAll(body)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.blobs[key] = text
	return err
}

func (worldUploads) Begin(context.Context, portal.Grant, string) (string, error) {
	return "upload-1", nil
}

func (worldUploads) Parts(context.Context, portal.Grant, string, string) ([]uploads.Part, error) {
	return []uploads.Part{{Number: 1, Size: uploads.SinglePut, ETag: "1"}}, nil
}

func (worldUploads) Complete(context.Context, portal.Grant, string, string, []uploads.Part) error {
	return nil
}

func (worldUploads) Abort(context.Context, portal.Grant, string, string) error { return nil }

// worldResults is the object store for what runs leave.
type worldResults struct{ *world }

func (w worldResults) Artifacts(context.Context, portal.Grant, string, string, int) (portal.RunFiles, error) {
	return portal.RunFiles{
		Files:    []portal.RunFile{{Kind: portal.FileArtifact, Path: "model/weights.bin", Size: int64(len(model)), SHA256: strings.Repeat("ef", 32)}},
		Manifest: "sha256:" + strings.Repeat("cd", 32),
	}, nil
}

func (w worldResults) Logs(context.Context, portal.Grant, int, int) ([]portal.RunFile, error) {
	return []portal.RunFile{{Kind: portal.FileLog, Path: "logs/attempt-0001/node-0/trainer-000001.log", Size: 29}}, nil
}

func (worldResults) Checkpoint(context.Context, portal.Grant, string) ([]portal.RunFile, error) {
	return nil, portal.ErrNotFound
}

func (w worldResults) Open(_ context.Context, g portal.Grant, _ portal.FileKind, path string) (portal.FileContent, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	text, ok := w.blobs[g.Prefix+path]
	if !ok {
		return portal.FileContent{}, portal.ErrNotFound
	}
	return portal.FileContent{Body: io.NopCloser(bytes.NewReader(text)), Size: int64(len(text)), Name: path[strings.LastIndexByte(path, '/')+1:]}, nil
}

// Link gives logs to be copied, as an installation does whose store is not reached by links.
func (w worldResults) Link(ctx context.Context, g portal.Grant, kind portal.FileKind, path string, _ time.Duration) (portal.FileContent, error) {
	if kind == portal.FileLog {
		return w.Open(ctx, g, kind, path)
	}
	return portal.FileContent{Link: w.objects.URL + "/" + g.Prefix + path + "?signature=good", Name: path}, nil
}
