package transfer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/progress"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

const prefix = "team/uid/"

// world is a broker and a store in memory.
type world struct {
	mu      sync.Mutex
	objects map[string][]byte
	puts    []string
	refuse  func(key string) error // of what is put
	// refuseGet is asked before an object is read; nil lets all be read.
	refuseGet func(key string) error
	deny      error  // what the broker answers with
	key       []byte // that the broker gives
	// connected are the grants with which the store was used.
	connected []staging.StoreGrant
	meter     progress.Meter
	notices   []string
}

func newWorld() *world { return &world{objects: map[string][]byte{}} }

func (w *world) grant() (staging.StoreGrant, error) {
	now := time.Now()
	return staging.StoreGrant{
		Bucket: "bucket", Prefix: prefix, IssuedAt: now, ExpiresAt: now.Add(time.Hour), EncryptionKey: w.key,
	}, w.deny
}

func (w *world) Upload(_ context.Context, namespace, name string) (staging.StoreGrant, error) {
	if namespace != "team" || name != "digits" {
		return staging.StoreGrant{}, fmt.Errorf("asked for %s/%s", namespace, name)
	}
	return w.grant()
}

func (w *world) Artifacts(_ context.Context, namespace, name string) (staging.StoreGrant, error) {
	if namespace != "team" || name != "digits-1" {
		return staging.StoreGrant{}, fmt.Errorf("asked for %s/%s", namespace, name)
	}
	return w.grant()
}

func (w *world) Get(_ context.Context, _, key string, offset, length int64) (io.ReadCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuseGet != nil {
		if err := w.refuseGet(key); err != nil {
			return nil, err
		}
	}
	data, ok := w.objects[key]
	if !ok {
		return nil, objectstore.ErrNotFound
	}
	data = data[offset:]
	if length >= 0 {
		data = data[:length]
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (w *world) Put(_ context.Context, _, key string, body io.Reader, size int64, _ objectstore.PutOptions) error {
	if w.refuse != nil {
		if err := w.refuse(key); err != nil {
			return err
		}
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if int64(len(data)) != size {
		return io.ErrUnexpectedEOF
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.objects[key] = data
	w.puts = append(w.puts, key)
	return nil
}

func (w *world) options() Options {
	return Options{
		Broker: w,
		Connect: func(grant staging.StoreGrant, _ agent.CredentialsFunc, _ int) (agent.Store, error) {
			w.connected = append(w.connected, grant)
			return w, nil
		},
		Clock: clock.RealClock{}, Meter: &w.meter, Parallel: 4,
		Notice: func(text string) { w.notices = append(w.notices, text) },
	}
}

// sent gives the paths of the files that were put, sorted, and forgets them.
func (w *world) sent() []string {
	var paths []string
	for _, key := range w.puts {
		if path, ok := objectkey.Path(prefix, key); ok {
			paths = append(paths, path)
		}
	}
	w.puts = nil
	slices.Sort(paths)
	return paths
}

// publish puts artifacts into the store as a run would, and gives the run.
func (w *world) publish(t *testing.T, files map[string]string) *v1alpha1.TrainingRun {
	t.Helper()
	sum := w.publishAt(t, prefix, files)
	run := &v1alpha1.TrainingRun{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "digits-1", UID: "uid"}}
	run.Status.Artifacts = &v1alpha1.ArtifactsStatus{ManifestDigest: sum.Digest, Objects: sum.Objects, Bytes: sum.Bytes}
	return run
}

// publishAt puts files and their manifest under a prefix.
func (w *world) publishAt(t *testing.T, prefix string, files map[string]string) objectkey.ManifestSummary {
	t.Helper()
	var manifest bytes.Buffer
	writer := objectkey.NewManifestWriter(&manifest)
	paths := make([]string, 0, len(files))
	for path := range files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		data := []byte(files[path])
		w.objects[objectkey.Data(prefix, path)] = data
		digest := strings.TrimPrefix(objectkey.Digest(data), "sha256:")
		if err := writer.Add(objectkey.Entry{Path: path, Size: int64(len(data)), SHA256: digest}); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := writer.Close()
	if err != nil {
		t.Fatal(err)
	}
	w.objects[objectkey.Manifest(prefix)] = manifest.Bytes()
	return sum
}

// write makes files in a folder.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for path, content := range files {
		name := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// read gives the files of a folder.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		path, errRel := filepath.Rel(dir, name)
		files[path] = string(data)
		if err != nil {
			return err
		}
		return errRel
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
