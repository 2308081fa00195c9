package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/terminal"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
	"github.com/lethe-dev/lethe/controllers/staging/discovery"
)

const (
	prefix = "team/uid/"
	token  = "token-of-ann"
	// canary is the dataset's key; nothing that is shown may show it.
	canary = "Canary-of-exactly-32-bytes-here!"
)

// world is a cluster with an operator, a broker behind real TLS, and a store in
// memory.
type world struct {
	client  client.WithWatch
	session *session
	in      bytes.Buffer
	out     bytes.Buffer
	errOut  bytes.Buffer
	// farewell is what a second Ctrl-C would say.
	farewell farewell

	mu      sync.Mutex
	objects map[string][]byte
	asked   []string // broker's paths with the body
	// connected are the grants with which the store was used.
	connected []staging.StoreGrant
	// refuse, onPut and onSeal change what broker and store do; nil for the usual.
	refuse *staging.Problem
	onPut  func(key string) error
	onSeal func()
	// refuseSeal is what the API server answers instead of sealing; nil for the usual.
	refuseSeal error
	// verdict is what the operator says of a sealed dataset.
	verdict v1alpha1.DatasetState
	// key is the one that the operator makes for a dataset, and grantKey the one that
	// the broker gives; the zero one for none.
	key, grantKey objectstore.Key
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	key, err := objectstore.NewKey([]byte(canary))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{objects: map[string][]byte{}, verdict: v1alpha1.DatasetReady, key: key, grantKey: key}
	broker := httptest.NewTLSServer(http.HandlerFunc(w.answer))
	t.Cleanup(broker.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: broker.Certificate().Raw})
	info := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: discovery.Namespace, Name: discovery.ConfigMapName},
		Data:       map[string]string{discovery.KeyURL: broker.URL, discovery.KeyCA: string(ca)},
	}
	scheme, err := cluster.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	// The builder writes into what it gets, and parallel tests share objects.
	own := []client.Object{info}
	for _, o := range objects {
		copied, ok := o.DeepCopyObject().(client.Object)
		if !ok {
			t.Fatalf("the copy of %T is no object", o)
		}
		own = append(own, copied)
	}
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(own...).
		WithStatusSubresource(&v1alpha1.DatasetRetention{}, &v1alpha1.TrainingRun{}).
		WithInterceptorFuncs(interceptor.Funcs{Apply: w.placeAfterApply, Patch: w.checkAfterSeal}).Build()
	journals := t.TempDir()
	w.session = &session{
		streams: genericiooptions.IOStreams{In: &w.in, Out: &w.out, ErrOut: &w.errOut}, namespace: "team",
		stdout: terminal.Screen{Out: &w.out}, stderr: terminal.Screen{Out: &w.errOut}, farewell: &w.farewell,
		config: &rest.Config{BearerToken: token}, client: w.client, clock: clock.RealClock{},
		openLog: func(_ context.Context, namespace, pod string, o *corev1.PodLogOptions) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(namespace + "/" + pod + "/" + o.Container + "\n")), nil
		},
		connect: func(grant staging.StoreGrant, _ agent.CredentialsFunc, _ int) (agent.Store, error) {
			w.connected = append(w.connected, grant)
			return (*memoryStore)(w), nil
		},
		journals: func() (string, error) { return journals, nil },
	}
	return w
}

// run runs a command line and gives its exit code.
func (w *world) run(ctx context.Context, args ...string) int {
	w.out.Reset()
	w.errOut.Reset()
	root := newRoot(w.session.streams, genericclioptions.NewConfigFlags(true), func() (*session, error) { return w.session, nil })
	root.SetArgs(args)
	return report(&w.errOut, root.ExecuteContext(ctx))
}

// placeAfterApply is the operator's part of a dataset's start.
func (w *world) placeAfterApply(
	ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, opts ...client.ApplyOption,
) error {
	if err := c.Apply(ctx, obj, opts...); err != nil {
		return err
	}
	return w.status(ctx, c, func(ds *v1alpha1.DatasetRetention) {
		status := &ds.Status
		status.Location = &v1alpha1.ObjectLocation{Bucket: "datasets", Prefix: prefix}
		status.State = v1alpha1.DatasetOpen
		if ds.Spec.Encryption != v1alpha1.EncryptionBucket {
			status.KeyID = w.key.ID()
		}
	})
}

// checkAfterSeal is the operator's part of a dataset's sealing.
func (w *world) checkAfterSeal(
	ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption,
) error {
	if _, ok := obj.(*v1alpha1.DatasetRetention); !ok {
		return c.Patch(ctx, obj, patch, opts...)
	}
	if w.refuseSeal != nil {
		return w.refuseSeal
	}
	if err := c.Patch(ctx, obj, patch, opts...); err != nil {
		return err
	}
	if w.onSeal != nil {
		w.onSeal()
	}
	return w.status(context.WithoutCancel(ctx), c, func(ds *v1alpha1.DatasetRetention) {
		status := &ds.Status
		status.State, status.Reason, status.Message = w.verdict, v1alpha1.ReasonEmpty, "The manifest lists nothing. Upload the data again under another name, then delete this one."
		status.ManifestDigest = objectkey.Digest(w.objects[objectkey.Manifest(prefix)])
		status.ExpiresAt = &metav1.Time{Time: time.Now().Add(720*time.Hour + time.Minute)}
	})
}

func (w *world) status(ctx context.Context, c client.Client, change func(*v1alpha1.DatasetRetention)) error {
	ds, err := cluster.GetDataset(ctx, c, client.ObjectKey{Namespace: "team", Name: "digits"})
	if err != nil {
		return err
	}
	change(ds)
	return c.Status().Update(ctx, ds)
}

// answer is the broker.
func (w *world) answer(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, r.URL.Path+" "+string(body))
	problem := w.refuse
	if r.Header.Get("Authorization") != "Bearer "+token {
		problem = &staging.Problem{Status: http.StatusUnauthorized, Reason: staging.ProblemUnauthenticated, Detail: "who are you"}
	}
	if problem != nil {
		rw.WriteHeader(problem.Status)
		_ = json.NewEncoder(rw).Encode(problem)
		return
	}
	now := time.Now()
	grant := staging.StoreGrant{
		Endpoint: "https://store", Bucket: "datasets", Prefix: prefix, AccessKeyID: "id",
		IssuedAt: now, ExpiresAt: now.Add(time.Hour),
	}
	if r.URL.Path == staging.PathUpload {
		grant.EncryptionKey = w.grantKey.Bytes()
	}
	_ = json.NewEncoder(rw).Encode(grant)
}

// memoryStore is the store of a world.
type memoryStore world

func (m *memoryStore) Get(_ context.Context, _, key string, offset, _ int64) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.objects[key]
	if !ok {
		return nil, objectstore.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(data[offset:])), nil
}

func (m *memoryStore) Put(_ context.Context, _, key string, body io.Reader, _ int64, _ objectstore.PutOptions) error {
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if m.onPut != nil {
		if err := m.onPut(key); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[key] = data
	return nil
}

func (w *world) keys() []string {
	keys := make([]string, 0, len(w.objects))
	for key := range w.objects {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// folder makes a folder with two files.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"images": "pixels", "labels": "5041"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
