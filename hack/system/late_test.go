package system_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
	"github.com/lethe-dev/lethe/controllers/staging/discovery"
)

const (
	// halfOfLate is sent at once; the other half lasts for three minutes, longer than
	// an erase takes.
	halfOfLate     = 8 << 20
	lateChunk      = 128 << 10
	lateChunkEvery = 3 * time.Second
)

// TestLateWriter begins to upload while it may, and goes on beyond the erase: S3
// looks at credentials when a request begins and not when it ends. What arrives can
// be read by nobody, and the sweeper removes it.
func TestLateWriter(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	ds := &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "late"}}
	create(t, ds)
	*ds = waitDataset(t, ns, "late", "to be open", func(ds v1alpha1.DatasetRetention) bool {
		return ds.Status.Location != nil
	})
	at := ds.Status.Location
	const size = 2 * halfOfLate
	body := &reluctant{left: size, hold: make(chan struct{}), stuck: make(chan struct{})}
	sent := make(chan error, 1)
	key := objectkey.Data(at.Prefix, "late.bin")
	store := uploader(t, ns, "late")
	go func() { sent <- store.Put(t.Context(), at.Bucket, key, body, size, objectstore.PutOptions{}) }()
	<-body.stuck
	if err := lab.kube.Delete(t.Context(), ds); err != nil {
		t.Fatal(err)
	}
	waitGone(t, ds)
	if n := holdings(t, at); n != 0 {
		t.Errorf("the store still holds %d versions or uploads", n)
	}
	close(body.hold)
	if err := <-sent; err != nil {
		t.Logf("the store did not take what came late: %v", err)
	} else if _, err := lab.store.Get(t.Context(), at.Bucket, key, 0, -1); !errors.Is(err, objectstore.ErrKey) && !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("what came late can be read by the store's root: %v", err)
	}
	eventually(t, "the sweeper to remove what came late", func(context.Context) (bool, string, error) {
		return holdings(t, at) == 0, "something is there", nil
	})
}

// uploader gives the store as a person sees it who uploads to a dataset.
func uploader(t *testing.T, ns, dataset string) *objectstore.Client {
	t.Helper()
	grant, err := brokerOf(t, ns).Upload(t.Context(), ns, dataset)
	if err != nil {
		t.Fatal(err)
	}
	store, err := objectstore.New(objectstore.Config{
		Endpoint: grant.Endpoint, CABundle: []byte(grant.CABundle), Region: grant.Region,
		Credentials: objectstore.Static(objectstore.Credentials{
			AccessKeyID: grant.AccessKeyID, SecretAccessKey: grant.SecretAccessKey, SessionToken: grant.SessionToken,
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	key, err := objectstore.NewKey(grant.EncryptionKey)
	if err != nil {
		t.Fatal(err)
	}
	return store.UnderKey(key)
}

// brokerOf is how the uploader of a namespace asks the broker.
func brokerOf(t *testing.T, ns string, options ...brokerclient.Option) *brokerclient.Client {
	t.Helper()
	token := strings.TrimSpace(kubectl(t, "-n", ns, "create", "token", "lethe-uploader"))
	var broker corev1.ConfigMap
	if err := lab.kube.Get(t.Context(), client.ObjectKey{Namespace: discovery.Namespace, Name: discovery.ConfigMapName}, &broker); err != nil {
		t.Fatal(err)
	}
	ask, err := brokerclient.New(broker.Data[discovery.KeyURL], []byte(broker.Data[discovery.KeyCA]), func() (string, error) { return token, nil }, options...)
	if err != nil {
		t.Fatal(err)
	}
	return ask
}

// reluctant is a body whose first half comes at once, and then a chunk now and then,
// so that the store does not give it up, until the rest is let go.
type reluctant struct {
	left  int
	hold  chan struct{}
	stuck chan struct{}
	told  bool
}

func (r *reluctant) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), r.left)
	if r.left <= halfOfLate {
		if !r.told {
			r.told = true
			close(r.stuck)
		}
		select {
		case <-r.hold:
		case <-time.After(lateChunkEvery):
			n = min(n, lateChunk)
		}
	}
	clear(p[:n])
	r.left -= n
	return n, nil
}
