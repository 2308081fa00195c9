package broker

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// grantUploads gets credentials for uploads until a time.
func grantUploads(t *testing.T, m *objectstoretest.MinIO, at place, until time.Time, underKey bool) objectstore.Credentials {
	t.Helper()
	policy, err := uploadPolicy(at, until, underKey)
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.Client(t, m.Root).AssumeRole(t.Context(), policy, objectstore.MinSessionLife)
	if err != nil {
		t.Fatalf("the store does not take the policy: %v", err)
	}
	return got
}

// transport is that of a client of the store.
func transport(t *testing.T, m *objectstoretest.MinIO) *http.Transport {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(m.CA) {
		t.Fatal("the store's certificate is not readable")
	}
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
}

// coreClient is a client of the store that does one request for each call.
func coreClient(t *testing.T, m *objectstoretest.MinIO, c objectstore.Credentials) *minio.Core {
	t.Helper()
	core, err := minio.NewCore(strings.TrimPrefix(m.Endpoint, "https://"), &minio.Options{
		Creds:  credentials.NewStaticV4(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
		Secure: true, Region: "us-east-1", Transport: transport(t, m), MaxRetries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return core
}

// customerKey is a key for S3's SSE-C.
func customerKey(t *testing.T, key objectstore.Key) encrypt.ServerSide {
	t.Helper()
	side, err := encrypt.NewSSEC(key.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return side
}

// uploads are the requests of an upload; key is nil for none.
type uploads struct {
	t    *testing.T
	core *minio.Core
	at   place
	key  encrypt.ServerSide
}

func (u uploads) put(object string) error {
	_, err := u.core.Client.PutObject(u.t.Context(), u.at.bucket, object, strings.NewReader("x"), 1,
		minio.PutObjectOptions{ServerSideEncryption: u.key})
	return err
}

func (u uploads) begin(object string) (string, error) {
	return u.core.NewMultipartUpload(u.t.Context(), u.at.bucket, object, minio.PutObjectOptions{ServerSideEncryption: u.key})
}

func (u uploads) part(object, id string) (minio.CompletePart, error) {
	sent, err := u.core.PutObjectPart(u.t.Context(), u.at.bucket, object, id, 1, strings.NewReader("x"), 1,
		minio.PutObjectPartOptions{SSE: u.key})
	return minio.CompletePart{PartNumber: 1, ETag: sent.ETag}, err
}

func (u uploads) complete(object, id string, part minio.CompletePart) error {
	_, err := u.core.CompleteMultipartUpload(u.t.Context(), u.at.bucket, object, id, []minio.CompletePart{part},
		minio.PutObjectOptions{ServerSideEncryption: u.key})
	return err
}

func (u uploads) abort(object, id string) error {
	return u.core.AbortMultipartUpload(u.t.Context(), u.at.bucket, object, id)
}

// refused wants the store's 403.
func refused(t *testing.T, what string, err error) {
	t.Helper()
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) || answer.StatusCode != http.StatusForbidden {
		t.Errorf("%s: %v, want 403", what, err)
	}
}

func allowed(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// TestTheStoreEndsUploads holds the condition in the policy against a real store:
// the erase counts on it.
func TestTheStoreEndsUploads(t *testing.T) {
	t.Parallel()
	m := objectstoretest.StartMinIO(t)
	now := clock.RealClock{}.Now()
	for name, underKey := range map[string]bool{"under a key": true, "under none": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, err := newPlace(m.Bucket(t, objectstoretest.Unversioned), namespace, datasetUID)
			if err != nil {
				t.Fatal(err)
			}
			uploader := func(until time.Time) uploads {
				u := uploads{t: t, core: coreClient(t, m, grantUploads(t, m, at, until, underKey)), at: at}
				if underKey {
					u.key = customerKey(t, canaryKey())
				}
				return u
			}
			open, over := uploader(now.Add(time.Hour)), uploader(now.Add(-time.Second))
			key := objectkey.Data(at.prefix, "x")
			for _, object := range []string{key, objectkey.Manifest(at.prefix)} {
				allowed(t, "PutObject in its time", open.put(object))
				refused(t, "PutObject after its time", over.put(object))
			}
			refused(t, "PutObject of another place", open.put("elsewhere"))
			_, err = over.begin(key)
			refused(t, "CreateMultipartUpload after its time", err)
			upload, err := open.begin(key)
			if err != nil {
				t.Fatalf("CreateMultipartUpload in its time: %v", err)
			}
			_, err = over.part(key, upload)
			refused(t, "UploadPart after its time", err)
			sent, err := open.part(key, upload)
			allowed(t, "UploadPart in its time", err)
			refused(t, "CompleteMultipartUpload after its time", over.complete(key, upload, sent))
			refused(t, "AbortMultipartUpload after its time", over.abort(key, upload))
			allowed(t, "CompleteMultipartUpload in its time", open.complete(key, upload, sent))
			upload, err = open.begin(key)
			allowed(t, "CreateMultipartUpload", err)
			allowed(t, "AbortMultipartUpload in its time", open.abort(key, upload))

			// With the life that the broker gives, the store takes uploads now; a slow machine
			// may be a minute past the test's start.
			allowed(t, "PutObject within staging.UploadLife", uploader(clock.RealClock{}.Now().Add(staging.UploadLife)).put(key))
		})
	}
}

// TestTheStoreTakesNothingWithoutTheKey: data of a dataset with a key of its own can
// not come in without one, whatever a client forgets.
func TestTheStoreTakesNothingWithoutTheKey(t *testing.T) {
	t.Parallel()
	m := objectstoretest.StartMinIO(t)
	at, err := newPlace(m.Bucket(t, objectstoretest.Versioned), namespace, datasetUID)
	if err != nil {
		t.Fatal(err)
	}
	granted := grantUploads(t, m, at, clock.RealClock{}.Now().Add(time.Hour), true)
	with := uploads{t: t, core: coreClient(t, m, granted), at: at, key: customerKey(t, canaryKey())}
	without := with
	without.key = nil
	key := objectkey.Data(at.prefix, "x")
	refused(t, "PutObject without the key", without.put(key))
	refused(t, "PutObject of the manifest without the key", without.put(objectkey.Manifest(at.prefix)))
	_, err = without.begin(key)
	refused(t, "CreateMultipartUpload without the key", err)
	upload, err := with.begin(key)
	allowed(t, "CreateMultipartUpload", err)
	_, err = without.part(key, upload)
	refused(t, "UploadPart without the key", err)

	// The client that everybody uses gets along with it, also in parts.
	store := m.Client(t, granted).UnderKey(canaryKey())
	for _, size := range []int{0, 1, 17 << 20} {
		body := bytes.NewReader(make([]byte, size))
		allowed(t, "objectstore's Put", store.Put(t.Context(), at.bucket, key, body, int64(size), objectstore.PutOptions{}))
	}
}
