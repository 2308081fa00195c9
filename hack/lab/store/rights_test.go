package store

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/sse"

	"github.com/lethe-dev/lethe/hack/lab/certs"
)

// servers counts those that were started. Each has a loopback address that no other
// program uses, because on 127.0.0.1 a free port may be gone before the server has it,
// and a port of its own, because MinIO listens on 127.0.0.1 too.
var servers atomic.Int32

// startMinIO starts a server as the lab does, on a folder that goes with the test.
func startMinIO(t *testing.T, c Credentials) (address, caFile string) {
	t.Helper()
	binary := minioBinary(t)
	number := int(servers.Add(1))
	host := "127.0.77." + strconv.Itoa(number)
	address = net.JoinHostPort(host, strconv.Itoa(19_077+number))
	dir := t.TempDir()
	authority, err := certs.Open(filepath.Join(dir, "pki"), time.Now())
	if err == nil {
		err = authority.Issue(certs.Leaf{File: "minio", Name: "minio", Hosts: []string{host}})
	}
	if err != nil {
		t.Fatalf("make certificates: %v", err)
	}
	for name, from := range map[string]string{"public.crt": authority.CertFile("minio"), "private.key": authority.KeyFile("minio")} {
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			t.Fatalf("place certificates: %v", err)
		}
	}
	cmd := exec.Command(binary, "server", "--quiet", "--address", address, "--certs-dir", dir, filepath.Join(dir, "drive"))
	cmd.Env = []string{
		"HOME=" + dir, "MINIO_ROOT_USER=" + c.RootUser, "MINIO_ROOT_PASSWORD=" + c.RootPassword,
		"MINIO_KMS_SECRET_KEY=" + c.KMSKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start MinIO: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // It was killed, which is an error.
	})
	return address, authority.CertFile("ca")
}

func minioBinary(t *testing.T) string {
	t.Helper()
	cache := os.Getenv("LETHE_CACHE")
	if cache == "" {
		cache = filepath.Join("..", "..", "..", ".cache")
	}
	binary := filepath.Join(cache, "bin", "minio")
	if _, err := os.Stat(binary); err != nil {
		message := "NOT TESTED: there is no MinIO at " + binary + "; `make tools` builds it"
		if os.Getenv("LETHE_TEST_REQUIRE_REAL") == "1" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	return binary
}

// fixture is a store made ready, with something in each bucket.
type fixture struct {
	root, operator, auditor *minio.Core
}

func prepare(t *testing.T) fixture {
	t.Helper()
	c := Credentials{}.filled()
	address, ca := startMinIO(t, c)
	admin, err := Connect(address, ca, c)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	// Twice, since each lab up does it again. The first is tried until the server is up.
	for again := range 2 {
		deadline := time.Now().Add(time.Minute)
		for {
			err := admin.EnsureBuckets(t.Context())
			if err == nil {
				err = admin.EnsureUsers(t.Context())
			}
			if err == nil {
				break
			}
			if again > 0 || time.Now().After(deadline) {
				t.Fatalf("prepare the store: %v", err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	as := func(access, secret string) *minio.Core {
		core, err := minio.NewCore(address, &minio.Options{
			Creds: credentials.NewStaticV4(access, secret, ""), Secure: true, Transport: admin.transport, Region: "us-east-1",
		})
		if err != nil {
			t.Fatalf("make a client: %v", err)
		}
		return core
	}
	f := fixture{
		root:     as(c.RootUser, c.RootPassword),
		operator: as(c.OperatorAccessKey, c.OperatorSecretKey),
		auditor:  as(c.AuditorAccessKey, c.AuditorSecretKey),
	}
	for _, b := range buckets {
		for _, key := range []string{"ns/uid/x", "lethe-identity.json"} {
			if _, err := f.root.Client.PutObject(t.Context(), b.name, key, strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
				t.Fatalf("put: %v", err)
			}
		}
	}
	return f
}

// actions is what may be tried on a bucket, by the name of the right.
var actions = map[string]func(ctx context.Context, c *minio.Core, bucket string) error{
	"get": func(ctx context.Context, c *minio.Core, bucket string) error {
		return read(c.GetObject(ctx, bucket, "ns/uid/x", minio.GetObjectOptions{}))
	},
	"get identity": func(ctx context.Context, c *minio.Core, bucket string) error {
		return read(c.GetObject(ctx, bucket, "lethe-identity.json", minio.GetObjectOptions{}))
	},
	"put": func(ctx context.Context, c *minio.Core, bucket string) error {
		_, err := c.Client.PutObject(ctx, bucket, "ns/uid/new", strings.NewReader("x"), 1, minio.PutObjectOptions{})
		return err
	},
	"delete": func(ctx context.Context, c *minio.Core, bucket string) error {
		return c.RemoveObject(ctx, bucket, "ns/uid/none", minio.RemoveObjectOptions{})
	},
	"delete version": func(ctx context.Context, c *minio.Core, bucket string) error {
		return c.RemoveObject(ctx, bucket, "ns/uid/none", minio.RemoveObjectOptions{VersionID: "null"})
	},
	"delete prefix": func(ctx context.Context, c *minio.Core, bucket string) error {
		return c.RemoveObject(ctx, bucket, "ns/other/", minio.RemoveObjectOptions{ForceDelete: true})
	},
	"delete bucket": func(ctx context.Context, c *minio.Core, bucket string) error {
		return c.RemoveBucketWithOptions(ctx, bucket, minio.RemoveBucketOptions{ForceDelete: true})
	},
	"list": func(_ context.Context, c *minio.Core, bucket string) error {
		_, err := c.ListObjectsV2(bucket, "ns/", "", "", "", 1)
		return err
	},
	"list versions": func(ctx context.Context, c *minio.Core, bucket string) error {
		for o := range c.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Prefix: "ns/", WithVersions: true, Recursive: true}) {
			return o.Err
		}
		return nil
	},
	"list uploads": func(ctx context.Context, c *minio.Core, bucket string) error {
		_, err := c.ListMultipartUploads(ctx, bucket, "", "", "", "", 10)
		return err
	},
	"upload": func(ctx context.Context, c *minio.Core, bucket string) error {
		id, err := c.NewMultipartUpload(ctx, bucket, "ns/uid/parts", minio.PutObjectOptions{})
		if err != nil {
			return err
		}
		return c.AbortMultipartUpload(ctx, bucket, "ns/uid/parts", id)
	},
	"read configuration": func(ctx context.Context, c *minio.Core, bucket string) error {
		for _, read := range []func() error{
			func() error { _, err := c.GetBucketVersioning(ctx, bucket); return err },
			func() error { _, _, _, _, err := c.GetObjectLockConfig(ctx, bucket); return err },
			func() error { _, err := c.GetBucketReplication(ctx, bucket); return err },
			func() error { _, err := c.GetBucketNotification(ctx, bucket); return err },
			func() error { _, err := c.GetBucketLifecycle(ctx, bucket); return err },
		} {
			if err := read(); err != nil && !strings.Contains(minio.ToErrorResponse(err).Code, "Configuration") {
				return err
			}
		}
		return nil
	},
	"change versioning": func(ctx context.Context, c *minio.Core, bucket string) error { return c.SuspendVersioning(ctx, bucket) },
	"change encryption": func(ctx context.Context, c *minio.Core, bucket string) error {
		return c.SetBucketEncryption(ctx, bucket, sse.NewConfigurationSSES3())
	},
	"change lock": func(ctx context.Context, c *minio.Core, bucket string) error {
		return c.SetObjectLockConfig(ctx, bucket, nil, nil, nil)
	},
	"go past the lock": func(ctx context.Context, c *minio.Core, bucket string) error {
		return c.RemoveObject(ctx, bucket, "ns/uid/x", minio.RemoveObjectOptions{VersionID: "null", GovernanceBypass: true})
	},
}

func read(body io.ReadCloser, _ minio.ObjectInfo, _ http.Header, err error) error {
	if err != nil {
		return err
	}
	_, err = bytes.NewBuffer(nil).ReadFrom(body)
	_ = body.Close()
	return err
}

// TestRights tries everything as both users. What is not named is denied.
func TestRights(t *testing.T) {
	t.Parallel()
	f := prepare(t)
	data := "get, get identity, put, delete, delete version, delete prefix, list, list versions, list uploads, upload, read configuration, go past the lock"
	for name, c := range map[string]struct {
		user   *minio.Core
		bucket string
		may    string
	}{
		"operator on datasets":  {f.operator, Datasets, data},
		"operator on artifacts": {f.operator, Artifacts, data},
		"operator on receipts":  {f.operator, Receipts, "get, get identity, put, list, list versions"},
		"operator on ledger":    {f.operator, Ledger, "get, get identity, put, list, list versions"},
		"auditor on datasets":   {f.auditor, Datasets, "get identity, list, list versions, list uploads"},
		"auditor on artifacts":  {f.auditor, Artifacts, "get identity, list, list versions, list uploads"},
		"auditor on receipts":   {f.auditor, Receipts, ""},
		"auditor on ledger":     {f.auditor, Ledger, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			allowed := map[string]bool{}
			for what := range strings.SplitSeq(c.may, ", ") {
				allowed[what] = true
			}
			for what, try := range actions {
				err := try(t.Context(), c.user, c.bucket)
				denied := minio.ToErrorResponse(err).Code == minio.AccessDenied
				switch {
				case allowed[what] && err != nil:
					t.Errorf("%s: %v", what, err)
				case !allowed[what] && !denied:
					t.Errorf("%s is allowed: %v", what, err)
				}
			}
		})
	}
}

// TestOperatorRemovesPrefix: the right to delete a bucket by force is not among those
// that it takes.
func TestOperatorRemovesPrefix(t *testing.T) {
	t.Parallel()
	f := prepare(t)
	if err := f.operator.RemoveObject(t.Context(), Datasets, "ns/uid/", minio.RemoveObjectOptions{ForceDelete: true}); err != nil {
		t.Fatalf("remove a prefix: %v", err)
	}
	for o := range f.root.ListObjectsIter(t.Context(), Datasets, minio.ListObjectsOptions{Prefix: "ns/", WithVersions: true, Recursive: true}) {
		t.Errorf("left is %s (%v)", o.Key, o.Err)
	}
	if strings.Contains(string(operatorPolicy), "ForceDelete") {
		t.Error("the operator may delete a bucket by force")
	}
}
