package artifacts

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/lethe-dev/lethe/hack/freeport"
	"github.com/lethe-dev/lethe/portal"
)

// setting and clock are the environment's and real: a store is not faked here.
var (
	setting = os.Getenv //nolint:forbidigo // Which tests run is set from outside.
	clock   = time.Now  //nolint:forbidigo // The store's patience is real.
)

const (
	rootUser     = "lethe-test"
	rootPassword = "only-for-this-test"
)

// realStore is a MinIO with a bucket, as root sees it.
func realStore(t *testing.T) (endpoint string, root *minio.Client) {
	t.Helper()
	binary := filepath.Join(setting("LETHE_CACHE"), "bin", "minio")
	if _, err := os.Stat(binary); err != nil {
		message := "NOT TESTED: there is no MinIO at " + binary + "; `make tools` builds it, and LETHE_CACHE says where"
		if setting("LETHE_TEST_REQUIRE_REAL") == "1" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	address, err := freeport.Claim()
	if err != nil {
		t.Fatalf("find an address for MinIO: %v", err)
	}
	var output bytes.Buffer
	server := exec.Command(binary, "server", "--quiet", "--address", address, t.TempDir())
	server.Env = []string{"HOME=" + t.TempDir(), "MINIO_ROOT_USER=" + rootUser, "MINIO_ROOT_PASSWORD=" + rootPassword, "MINIO_BROWSER=off", "MINIO_UPDATE=off"}
	server.Stdout, server.Stderr = &output, &output
	dieWithTest(server)
	if err := server.Start(); err != nil {
		t.Fatalf("start MinIO: %v", err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill() // It may have ended.
		_ = server.Wait()
	})
	root, err = minio.New(address, &minio.Options{Creds: credentials.NewStaticV4(rootUser, rootPassword, ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	for end := clock().Add(time.Minute); ; {
		err := root.MakeBucket(t.Context(), "artifacts", minio.MakeBucketOptions{})
		if err == nil {
			return "http://" + address, root
		}
		if clock().After(end) {
			t.Fatalf("MinIO does not serve: %v\n%s", err, output.String())
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}

// readGrant is what the broker gives for a run: credentials that read its place, and list
// nothing.
func readGrant(t *testing.T, endpoint string) portal.Grant {
	t.Helper()
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::artifacts/%s*"]}]}`, prefix)
	assumed, err := credentials.NewSTSAssumeRole(endpoint, credentials.STSAssumeRoleOptions{AccessKey: rootUser, SecretKey: rootPassword, Policy: policy, DurationSeconds: 3600})
	if err != nil {
		t.Fatal(err)
	}
	value, err := assumed.GetWithContext(&credentials.CredContext{Client: http.DefaultClient})
	if err != nil {
		t.Fatal(err)
	}
	return portal.Grant{
		Endpoint: endpoint, InsecurePlaintext: true, Bucket: "artifacts", Prefix: prefix,
		AccessKeyID: value.AccessKeyID, SecretAccessKey: value.SecretAccessKey, SessionToken: value.SessionToken,
	}
}

func TestARealStoreHandsOutWhatALinkNames(t *testing.T) {
	t.Parallel()
	endpoint, root := realStore(t)
	manifest, digest := manifestOf(t, entry("model/weights <1>.html"))
	for key, text := range map[string]string{
		prefix + "data/model/weights <1>.html": "<script>", prefix + "manifest.jsonl": manifest,
		prefix + "logs/attempt-0001/node-0/trainer-000001.log": "line\n", "t-other/u/data/a": "not yours",
	} {
		if _, err := root.PutObject(t.Context(), "artifacts", key, strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{ContentType: "text/html"}); err != nil {
			t.Fatal(err)
		}
	}
	g, s := readGrant(t, endpoint), &Store{}
	page, err := s.Artifacts(t.Context(), g, digest, "", 10)
	if err != nil || len(page.Files) != 1 {
		t.Fatal(page, err)
	}
	if logs, err := s.Logs(t.Context(), g, 1, 2); err != nil || len(logs) != 1 || logs[0].Size != 5 {
		t.Errorf("logs %v, %v", logs, err)
	}
	content, err := s.Link(t.Context(), g, portal.FileArtifact, page.Files[0].Path, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	status, header, body := get(t, content.Link)
	if status != http.StatusOK || body != "<script>" {
		t.Fatalf("status %d: %s", status, body)
	}
	if header.Get("Content-Type") != "application/octet-stream" || header.Get("Content-Disposition") != `attachment; filename="weights <1>.html"` {
		t.Errorf("headers %v", header)
	}
	for name, change := range map[string][2]string{
		"for another file":    {"weights", "others"},
		"with another header": {"attachment", "inline"},
		"for a longer time":   {"X-Amz-Expires=60", "X-Amz-Expires=6000"},
	} {
		if status, _, _ := get(t, strings.Replace(content.Link, change[0], change[1], 1)); status != http.StatusForbidden {
			t.Errorf("a link that was changed (%s): status %d", name, status)
		}
	}
	if _, err := s.Link(t.Context(), g, portal.FileArtifact, "none", time.Minute); portal.KindOf(err) != portal.KindNotFound {
		t.Errorf("a link to nothing: %v", err)
	}
	other := g
	other.Prefix = "t-other/u/"
	if _, err := s.Open(t.Context(), other, portal.FileArtifact, "a"); portal.KindOf(err) != portal.KindNotFound {
		t.Errorf("another run's file: %v", err)
	}
}

func get(t *testing.T, link string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(body)
}
