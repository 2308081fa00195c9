package storetest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/lethe-dev/lethe/hack/freeport"
	"github.com/lethe-dev/lethe/portal"
)

// Store is a MinIO with TLS and a bucket.
type Store struct {
	endpoint, ca, bucket string
	root                 *minio.Client
	http                 *http.Client
}

const (
	rootUser     = "lethe-test"
	rootPassword = "only-for-this-test"
)

// Start starts a server and stops it when the test ends. When there is no binary it skips
// the test, or fails it if LETHE_TEST_REQUIRE_REAL is 1.
func Start(t *testing.T) *Store {
	t.Helper()
	binary := filepath.Join(os.Getenv("LETHE_CACHE"), "bin", "minio")
	if _, err := os.Stat(binary); err != nil {
		message := "NOT TESTED: there is no MinIO at " + binary + "; `make tools` builds it, and LETHE_CACHE says where"
		if os.Getenv("LETHE_TEST_REQUIRE_REAL") == "1" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	certs := t.TempDir()
	ca := certificates(t, certs)
	address, err := freeport.Claim()
	if err != nil {
		t.Fatalf("find an address for MinIO: %v", err)
	}
	var output bytes.Buffer
	server := exec.Command(binary, "server", "--quiet", "--address", address, "--certs-dir", certs, t.TempDir()) //nolint:noctx // It ends with the test.
	server.Env = []string{
		"HOME=" + certs, "MINIO_ROOT_USER=" + rootUser, "MINIO_ROOT_PASSWORD=" + rootPassword,
		"MINIO_BROWSER=off", "MINIO_UPDATE=off",
	}
	server.Stdout, server.Stderr = &output, &output
	dieWithTest(server)
	if err := server.Start(); err != nil {
		t.Fatalf("start MinIO: %v", err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill() // It may have ended.
		_ = server.Wait()
	})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(ca))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	s := &Store{endpoint: "https://" + address, ca: ca, bucket: "datasets", http: &http.Client{Transport: transport}}
	s.root, err = minio.New(address, &minio.Options{
		Creds: credentials.NewStaticV4(rootUser, rootPassword, ""), Secure: true, Region: "us-east-1", Transport: transport,
	})
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		err := s.root.MakeBucket(t.Context(), s.bucket, minio.MakeBucketOptions{})
		if err == nil {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("MinIO does not serve: %v\n%s", err, output.String())
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}

func certificates(t *testing.T, dir string) string {
	t.Helper()
	key, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	now := time.Now()
	own := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err2 := x509.CreateCertificate(rand.Reader, own, own, &key.PublicKey, key)
	pkcs, err3 := x509.MarshalPKCS8PrivateKey(key)
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})
	err4 := os.WriteFile(filepath.Join(dir, "public.crt"), public, 0o600)
	err5 := os.WriteFile(filepath.Join(dir, "private.key"), private, 0o600)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		t.Fatalf("make certificates: %v", err)
	}
	return string(public)
}

// Grant is what the broker gives: its policy is the one of uploads there.
func (s *Store) Grant(t *testing.T, prefix string, key []byte) portal.Grant {
	t.Helper()
	until := time.Now().Add(time.Minute)
	where := []string{"arn:aws:s3:::" + s.bucket + "/" + prefix + "data/*", "arn:aws:s3:::" + s.bucket + "/" + prefix + "manifest.jsonl"}
	inTime := map[string]any{"aws:CurrentTime": until.UTC().Format(time.RFC3339)}
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{
		map[string]any{
			"Effect": "Allow", "Action": []string{"s3:PutObject"}, "Resource": where,
			"Condition": map[string]any{
				"DateLessThan": inTime,
				"StringEquals": map[string]string{"s3:x-amz-server-side-encryption-customer-algorithm": "AES256"},
			},
		},
		map[string]any{
			"Effect": "Allow", "Action": []string{"s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}, "Resource": where,
			"Condition": map[string]any{"DateLessThan": inTime},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	role := &credentials.STSAssumeRole{
		Client: s.http, STSEndpoint: s.endpoint,
		Options: credentials.STSAssumeRoleOptions{
			AccessKey: rootUser, SecretKey: rootPassword, Policy: string(policy), DurationSeconds: 900,
		},
	}
	value, err := role.RetrieveWithCredContext(nil)
	if err != nil {
		t.Fatalf("assume role: %v", err)
	}
	return portal.Grant{
		Endpoint: s.endpoint, CABundle: s.ca, Bucket: s.bucket, Prefix: prefix, Key: key,
		AccessKeyID: value.AccessKeyID, SecretAccessKey: value.SecretAccessKey, SessionToken: value.SessionToken,
		IssuedAt: time.Now(), ExpiresAt: until,
	}
}

// Read gives an object under a key.
func (s *Store) Read(t *testing.T, key string, under []byte) []byte {
	t.Helper()
	side, err := encrypt.NewSSEC(under)
	if err != nil {
		t.Fatal(err)
	}
	object, err := s.root.GetObject(t.Context(), s.bucket, key, minio.GetObjectOptions{ServerSideEncryption: side})
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	defer func() { _ = object.Close() }()
	content, err := io.ReadAll(object)
	if err != nil {
		t.Fatalf("read %s: %v", key, err)
	}
	return content
}

// Send does what a browser does with a signed request.
func (s *Store) Send(t *testing.T, r portal.SignedRequest, body []byte) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), r.Method, r.URL, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range r.Headers {
		request.Header.Set(name, value)
	}
	response, err := s.http.Do(request)
	if err != nil {
		t.Fatalf("send: %v", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= 300 {
		words, _ := io.ReadAll(io.LimitReader(response.Body, 500)) // for the log of the test only
		t.Logf("the store answers %d: %s", response.StatusCode, words)
	}
	return response.StatusCode
}
