package browser_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/lethe-dev/lethe/hack/freeport"
)

// objectStore is a MinIO behind a line that can be cut and counted.
type objectStore struct {
	// endpoint is where the line begins.
	endpoint, bucket string
	root             *minio.Client
	line             *line
}

const (
	storeUser     = "lethe-test"
	storePassword = "only-for-this-test"
)

func newObjectStore(t *testing.T) *objectStore {
	t.Helper()
	cache := os.Getenv("LETHE_CACHE")
	if cache == "" {
		cache = filepath.Join("..", "..", ".cache")
	}
	binary, err := filepath.Abs(filepath.Join(cache, "bin", "minio"))
	if err != nil {
		t.Fatal(err)
	}
	certs := t.TempDir()
	for from, to := range map[string]string{shared.certificate.CertFile: "public.crt", shared.certificate.KeyFile: "private.key"} {
		content, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(certs, to), content, 0o600)
		}
		if err != nil {
			t.Fatalf("give MinIO its certificate: %v", err)
		}
	}
	address, err := freeport.Claim()
	if err != nil {
		t.Fatal(err)
	}
	server := exec.CommandContext(t.Context(), binary, "server", "--quiet", "--address", address, "--certs-dir", certs, t.TempDir())
	server.Env = []string{"HOME=" + certs, "MINIO_ROOT_USER=" + storeUser, "MINIO_ROOT_PASSWORD=" + storePassword, "MINIO_BROWSER=off", "MINIO_UPDATE=off"}
	var output bytes.Buffer
	server.Stdout, server.Stderr = &output, &output
	if err := server.Start(); err != nil {
		t.Fatalf("start MinIO: %v; `make tools` builds it", err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill() // It may have ended.
		_ = server.Wait()
	})
	s := &objectStore{bucket: "datasets", line: newLine(t, address)}
	s.endpoint = "https://" + s.line.address()
	s.root, err = minio.New(address, &minio.Options{
		Creds: credentials.NewStaticV4(storeUser, storePassword, ""), Secure: true, Region: "us-east-1",
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: shared.certificate.Pool, MinVersion: tls.VersionTLS12}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; {
		err := s.root.MakeBucket(t.Context(), s.bucket, minio.MakeBucketOptions{})
		if err == nil {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("MinIO does not serve: %v\n%s", err, output.String())
		}
		<-time.After(50 * time.Millisecond)
	}
}

// line carries connections to an address.
type line struct {
	listener net.Listener
	to       string
	// sent counts bytes towards the address; rate bounds them, per second, where it is
	// not 0.
	sent, rate atomic.Int64
	isCut      atomic.Bool

	mu   sync.Mutex
	open map[net.Conn]bool
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{listener: listener, to: to, open: map[net.Conn]bool{}}
	var carried sync.WaitGroup
	carried.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			carried.Go(func() { l.carry(from) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close() // It is over.
		l.cut(true)
		carried.Wait()
	})
	return l
}

func (l *line) address() string { return l.listener.Addr().String() }

// cut ends all connections, and lets none through until it is mended.
func (l *line) cut(on bool) {
	l.isCut.Store(on)
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.open {
		if on {
			_ = conn.Close() // Whoever reads from it notices.
		}
	}
}

func (l *line) carry(from net.Conn) {
	defer func() { _ = from.Close() }()
	to, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	l.mu.Lock()
	l.open[from], l.open[to] = true, true
	cut := l.isCut.Load()
	l.mu.Unlock()
	if !cut {
		var both sync.WaitGroup
		both.Go(func() {
			_, err := io.Copy(to, &counted{from, l})
			_ = errors.Join(err, to.Close())
		})
		both.Go(func() {
			_, err := io.Copy(from, to)
			_ = errors.Join(err, from.Close())
		})
		both.Wait()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, from)
	delete(l.open, to)
}

// counted counts what is read, and reads no faster than it may.
type counted struct {
	io.Reader
	line *line
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.line.sent.Add(int64(n))
	if rate := c.line.rate.Load(); rate > 0 {
		<-time.After(time.Duration(n) * time.Second / time.Duration(rate))
	}
	return n, err
}
