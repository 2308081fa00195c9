package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// uploader is a client with credentials for uploads until a time.
func uploader(t *testing.T, m *objectstoretest.MinIO, at place, until time.Time) *minio.Core {
	t.Helper()
	policy, err := uploadPolicy(at, until)
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.Client(t, m.Root).AssumeRole(t.Context(), policy, objectstore.MinSessionLife)
	if err != nil {
		t.Fatalf("the store does not take the policy: %v", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(m.CA) {
		t.Fatal("the store's certificate is not readable")
	}
	core, err := minio.NewCore(strings.TrimPrefix(m.Endpoint, "https://"), &minio.Options{
		Creds:  credentials.NewStaticV4(got.AccessKeyID, got.SecretAccessKey, got.SessionToken),
		Secure: true, Region: "us-east-1",
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return core
}

// TestTheStoreEndsUploads holds the condition in the policy against a real store:
// the erase counts on it.
func TestTheStoreEndsUploads(t *testing.T) {
	t.Parallel()
	m := objectstoretest.StartMinIO(t)
	now := clock.RealClock{}.Now()
	at, err := newPlace(m.Bucket(t, objectstoretest.Unversioned), namespace, datasetUID)
	if err != nil {
		t.Fatal(err)
	}
	open, over := uploader(t, m, at, now.Add(time.Hour)), uploader(t, m, at, now.Add(-time.Second))
	key := objectkey.Data(at.prefix, "x")
	refused := func(what string, err error) {
		t.Helper()
		var answer minio.ErrorResponse
		if !errors.As(err, &answer) || answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s after its time: %v, want 403", what, err)
		}
	}
	put := func(c *minio.Core, key string) error {
		_, err := c.Client.PutObject(t.Context(), at.bucket, key, strings.NewReader("x"), 1, minio.PutObjectOptions{})
		return err
	}
	part := func(c *minio.Core, upload string) (minio.CompletePart, error) {
		sent, err := c.PutObjectPart(t.Context(), at.bucket, key, upload, 1, strings.NewReader("x"), 1, minio.PutObjectPartOptions{})
		return minio.CompletePart{PartNumber: 1, ETag: sent.ETag}, err
	}
	complete := func(c *minio.Core, upload string, sent minio.CompletePart) error {
		_, err := c.CompleteMultipartUpload(t.Context(), at.bucket, key, upload, []minio.CompletePart{sent}, minio.PutObjectOptions{})
		return err
	}

	for _, allowed := range []string{key, objectkey.Manifest(at.prefix)} {
		if err := put(open, allowed); err != nil {
			t.Errorf("PutObject in its time: %v", err)
		}
		refused("PutObject", put(over, allowed))
	}
	refused("PutObject of another place", put(open, "elsewhere"))
	_, err = over.NewMultipartUpload(t.Context(), at.bucket, key, minio.PutObjectOptions{})
	refused("CreateMultipartUpload", err)
	upload, err := open.NewMultipartUpload(t.Context(), at.bucket, key, minio.PutObjectOptions{})
	if err != nil {
		t.Fatalf("CreateMultipartUpload in its time: %v", err)
	}
	_, err = part(over, upload)
	refused("UploadPart", err)
	sent, err := part(open, upload)
	if err != nil {
		t.Fatalf("UploadPart in its time: %v", err)
	}
	refused("CompleteMultipartUpload", complete(over, upload, sent))
	if err := complete(open, upload, sent); err != nil {
		t.Errorf("CompleteMultipartUpload in its time: %v", err)
	}

	// With the life that the broker gives, the store takes uploads now.
	if err := put(uploader(t, m, at, now.Add(staging.UploadLife)), key); err != nil {
		t.Errorf("PutObject within %s: %v", staging.UploadLife, err)
	}
}
