package objectstoretest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/sse"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/hack/freeport"
)

// startTimeout is how long a server may take to answer; a busy machine needs it.
const startTimeout = 60 * time.Second

// MinIO is a real server with TLS and encryption of its own, on a drive that goes
// with the test.
type MinIO struct {
	// Endpoint is its URL, and CA verifies its certificate.
	Endpoint string
	CA       []byte
	// Root may do everything.
	Root objectstore.Credentials
	// Drive is the folder with its data.
	Drive string

	binary, certs, address string
	process                *process
	admin                  *minio.Core
	buckets                atomic.Int64
}

// process is a server that was started, and its end.
type process struct {
	command *exec.Cmd
	output  *bytes.Buffer
	ended   chan struct{} // closed then
}

// StartMinIO starts a server and stops it when the test ends. When there is no
// binary it skips the test, or fails it if LETHE_TEST_REQUIRE_REAL is 1.
func StartMinIO(t testing.TB) *MinIO {
	t.Helper()
	m := &MinIO{
		Root:   objectstore.Credentials{AccessKeyID: "lethe-test", SecretAccessKey: "only-for-this-test"},
		Drive:  t.TempDir(),
		certs:  t.TempDir(),
		binary: minioBinary(t),
	}
	m.CA = makeCertificates(t, m.certs)
	address, err := freeport.Claim()
	if err != nil {
		t.Fatalf("find an address for MinIO: %v", err)
	}
	m.address, m.Endpoint = address, "https://"+address
	admin, err := minio.NewCore(m.address, &minio.Options{
		Creds:  credentials.NewStaticV4(m.Root.AccessKeyID, m.Root.SecretAccessKey, ""),
		Secure: true, Region: "us-east-1", Transport: m.transport(t),
	})
	if err != nil {
		t.Fatalf("make a client for MinIO: %v", err)
	}
	m.admin = admin
	m.Start(t)
	t.Cleanup(m.Stop)
	return m
}

func minioBinary(t testing.TB) string {
	t.Helper()
	cache := os.Getenv("LETHE_CACHE")
	if cache == "" {
		cache = filepath.Join(repository(t), ".cache")
	}
	binary := filepath.Join(cache, "bin", "minio")
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	message := "NOT TESTED: there is no MinIO at " + binary + "; `make tools` builds it"
	if os.Getenv("LETHE_TEST_REQUIRE_REAL") == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
	return ""
}

// repository finds the folder with the go.mod of our module.
func repository(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		data, errRead := os.ReadFile(filepath.Join(dir, "go.mod"))
		if errRead == nil && strings.HasPrefix(string(data), "module github.com/lethe-dev/lethe\n") {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	t.Fatalf("find the repository above the test: %v", errors.Join(err, errors.New("no go.mod of github.com/lethe-dev/lethe")))
	return ""
}

func (m *MinIO) transport(t testing.TB) *http.Transport {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(m.CA) {
		t.Fatal("the certificate made for MinIO is not readable")
	}
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
}

// Start starts the server, which must not run, on the drive and address that it
// has, and waits until it serves.
func (m *MinIO) Start(t testing.TB) {
	t.Helper()
	p := &process{output: &bytes.Buffer{}, ended: make(chan struct{})}
	p.command = exec.Command(m.binary, "server", "--quiet", "--address", m.address, "--certs-dir", m.certs, m.Drive) //nolint:noctx // It ends with the test, by Stop.
	p.command.Env = []string{
		"HOME=" + m.certs,
		"MINIO_ROOT_USER=" + m.Root.AccessKeyID,
		"MINIO_ROOT_PASSWORD=" + m.Root.SecretAccessKey,
		"MINIO_KMS_SECRET_KEY=lethe-test:bGV0aGUtdGVzdC1rZXktb2YtMzItYnl0ZXMtMTIzNDU=",
		"MINIO_BROWSER=off",
		"MINIO_UPDATE=off",
	}
	p.command.Stdout, p.command.Stderr = p.output, p.output
	dieWithTest(p.command)
	if err := p.command.Start(); err != nil {
		t.Fatalf("start MinIO: %v", err)
	}
	go func() {
		_ = p.command.Wait() // It is killed, which is an error.
		close(p.ended)
	}()
	m.process = p
	m.await(t)
}

// await polls until the server is ready for requests.
func (m *MinIO) await(t testing.TB) {
	t.Helper()
	client := &http.Client{Transport: m.transport(t), Timeout: 2 * time.Second}
	deadline := time.After(startTimeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-m.process.ended:
			t.Fatalf("MinIO ended at once:\n%s", m.process.output)
		case <-deadline:
			m.Stop()
			t.Fatalf("MinIO does not serve after %s:\n%s", startTimeout, m.process.output)
		case <-tick.C:
		}
		response, err := client.Get(m.Endpoint + "/minio/health/ready") //nolint:noctx // It has a timeout.
		if err != nil {
			continue
		}
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK && m.hasRoles(t) {
			return
		}
	}
}

// hasRoles says whether the server gives temporary credentials, which it does a
// moment after it says that it is ready.
func (m *MinIO) hasRoles(t testing.TB) bool {
	t.Helper()
	_, err := m.Client(t, m.Root).AssumeRole(t.Context(), sessionPolicy("bucket", "ns/"), objectstore.MinSessionLife)
	return err == nil
}

// Stop kills the server, if it runs. Its drive stays as it is.
func (m *MinIO) Stop() {
	if m.process == nil {
		return
	}
	_ = m.process.command.Process.Kill() // It may have ended.
	<-m.process.ended
	m.process = nil
}

// Config is a client's configuration for this server.
func (m *MinIO) Config(c objectstore.Credentials) objectstore.Config {
	return objectstore.Config{Endpoint: m.Endpoint, CABundle: m.CA, Credentials: objectstore.Static(c)}
}

// Client makes a client with these credentials.
func (m *MinIO) Client(t testing.TB, c objectstore.Credentials) *objectstore.Client {
	t.Helper()
	client, err := objectstore.New(m.Config(c))
	if err != nil {
		t.Fatalf("make a client for MinIO: %v", err)
	}
	return client
}

// Bucket makes a new encrypted bucket and gives its name.
func (m *MinIO) Bucket(t testing.TB, kind Kind) string {
	t.Helper()
	name := m.PlainBucket(t, kind)
	if err := m.admin.SetBucketEncryption(t.Context(), name, sse.NewConfigurationSSES3()); err != nil {
		t.Fatalf("encrypt a bucket in MinIO: %v", err)
	}
	return name
}

// PlainBucket makes a new bucket that does not encrypt by itself.
func (m *MinIO) PlainBucket(t testing.TB, kind Kind) string {
	t.Helper()
	ctx := t.Context()
	name := fmt.Sprintf("bucket-%d", m.buckets.Add(1))
	err := m.admin.MakeBucket(ctx, name, minio.MakeBucketOptions{ObjectLocking: kind == Locked})
	if err == nil && kind == Versioned {
		err = m.admin.EnableVersioning(ctx, name)
	}
	if err == nil && kind == Locked {
		mode, days, unit := minio.Governance, uint(1), minio.Days
		err = m.admin.SetObjectLockConfig(ctx, name, &mode, &days, &unit)
	}
	if err != nil {
		t.Fatalf("make a bucket in MinIO: %v", err)
	}
	return name
}

// BeginUpload begins a multipart upload and sends one part of it.
func (m *MinIO) BeginUpload(t testing.TB, bucketName, key string) objectstore.Upload {
	t.Helper()
	ctx := t.Context()
	id, err := m.admin.NewMultipartUpload(ctx, bucketName, key, minio.PutObjectOptions{})
	if err == nil {
		const part = "the first part of it"
		_, err = m.admin.PutObjectPart(ctx, bucketName, key, id, 1, strings.NewReader(part), int64(len(part)), minio.PutObjectPartOptions{})
	}
	if err != nil {
		t.Fatalf("begin an upload to MinIO: %v", err)
	}
	return objectstore.Upload{Key: key, ID: id}
}

// Delete is S3's delete without a version: it leaves a marker where there are versions.
func (m *MinIO) Delete(t testing.TB, bucketName, key string) {
	t.Helper()
	if err := m.admin.RemoveObject(t.Context(), bucketName, key, minio.RemoveObjectOptions{}); err != nil {
		t.Fatalf("delete an object in MinIO: %v", err)
	}
}
