package system_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/datasetkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// Where the lab's store and its etcd keep their files.
const (
	storeDisk = "/var/lib/lethe-lab/minio"
	etcdDisk  = "/var/lib/lethe-lab/etcd"
	// datasetsDisk and trashDisk are where a dataset's names can be. The ledger and the
	// receipts keep its UID, as they are meant to.
	datasetsDisk = storeDisk + "/lethe-datasets"
	trashDisk    = storeDisk + "/.minio.sys"
)

// TestNothingIsLeftOnTheDisk looks for a dataset on the drives themselves, past
// everything that MinIO and etcd say: its contents and its key are never there in
// the clear, and after the erase not even its names are.
func TestNothingIsLeftOnTheDisk(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	folder := filepath.Join(t.TempDir(), "canary")
	if err := os.CopyFS(folder, os.DirFS(lab.dataset)); err != nil {
		t.Fatal(err)
	}
	canary := []byte(strings.Repeat(rand.Text(), 4))
	if err := os.WriteFile(filepath.Join(folder, "canary.txt"), canary, 0o600); err != nil {
		t.Fatal(err)
	}
	lethe(t, "upload", folder, "canary", "-n", ns)
	ds := dataset(t, ns, "canary")
	uid := string(ds.UID)
	key := datasetKey(t, ds.UID)
	// The store does not encrypt what an object says about itself, and etcd not what
	// is no Secret. So these two are found, which shows that this test can find.
	mark := "x-" + strings.ToLower(rand.Text())
	marked := objectkey.Data(ds.Status.Location.Prefix, "marked")
	err := lab.store.Put(t.Context(), ds.Status.Location.Bucket, marked, bytes.NewReader(nil), 0,
		objectstore.PutOptions{ContentType: "application/" + mark})
	if err != nil {
		t.Fatal(err)
	}
	note := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "note"}, Data: map[string]string{"note": mark}}
	create(t, note)
	if !onDisk(t, storeDisk, []byte(mark)) || !onDisk(t, etcdDisk, []byte(mark)) || !namedOnDisk(t, datasetsDisk, uid) {
		t.Fatal("what is on the drives in the clear was not found there")
	}
	assertNotOnDisk(t, canary, key)

	if err := lab.kube.Delete(t.Context(), &ds); err != nil {
		t.Fatal(err)
	}
	waitGone(t, &ds)
	eventually(t, "the store's trash to be emptied", func(context.Context) (bool, string, error) {
		left := namedOnDisk(t, datasetsDisk, uid) || namedOnDisk(t, trashDisk, uid) || onDisk(t, storeDisk, []byte(mark))
		return !left, "something of the dataset is on the drive", nil
	})
	assertNotOnDisk(t, canary, key)
}

// datasetKey reads a dataset's key as an administrator could.
func datasetKey(t *testing.T, uid types.UID) []byte {
	t.Helper()
	var secret corev1.Secret
	at := client.ObjectKey{Namespace: operatorNamespace, Name: datasetkey.SecretName(uid)}
	if err := lab.kube.Get(t.Context(), at, &secret); err != nil {
		t.Fatal(err)
	}
	if len(secret.Data["key"]) != objectstore.KeySize {
		t.Fatalf("the Secret %s holds no key", at)
	}
	return secret.Data["key"]
}

func assertNotOnDisk(t *testing.T, canary, key []byte) {
	t.Helper()
	if onDisk(t, storeDisk, canary) {
		t.Error("the dataset's contents are on the store's drive in the clear")
	}
	for _, form := range [][]byte{key, []byte(base64.StdEncoding.EncodeToString(key))} {
		if onDisk(t, etcdDisk, form) || onDisk(t, storeDisk, form) {
			t.Error("the dataset's key is on a drive in the clear")
		}
	}
}

// onDisk reports whether any file below a folder holds these bytes.
func onDisk(t *testing.T, folder string, what []byte) bool {
	t.Helper()
	return anyEntry(t, folder, func(path string, entry fs.DirEntry) (bool, error) {
		if entry.IsDir() {
			return false, nil
		}
		return fileHolds(path, what)
	})
}

// namedOnDisk reports whether any path below a folder has this name in it.
func namedOnDisk(t *testing.T, folder, name string) bool {
	t.Helper()
	return anyEntry(t, folder, func(_ string, entry fs.DirEntry) (bool, error) { return strings.Contains(entry.Name(), name), nil })
}

// anyEntry walks a folder that changes meanwhile.
func anyEntry(t *testing.T, folder string, found func(path string, entry fs.DirEntry) (bool, error)) bool {
	t.Helper()
	hit := false
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			hit, err = found(path, entry)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err == nil && hit:
			return fs.SkipAll
		}
		return err
	})
	if err != nil {
		t.Fatalf("search %s: %v", folder, err)
	}
	return hit
}

func fileHolds(path string, what []byte) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // it was only read
	buffer := make([]byte, 0, 1<<20)
	for {
		n, err := io.ReadFull(f, buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		if bytes.Contains(buffer, what) {
			return true, nil
		}
		if err != nil { // The file's end, or one that was removed under our hands.
			return false, nil
		}
		// What is cut by the end of the buffer is looked at again.
		kept := copy(buffer, buffer[len(buffer)-len(what)+1:])
		buffer = buffer[:kept]
	}
}
