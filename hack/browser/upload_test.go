package browser_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/hack/portaldemo/stand"
	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/preferences"
	"github.com/lethe-dev/lethe/portal/uploads"
	"github.com/lethe-dev/lethe/portal/web"
)

// uploadStand is the pages and use cases of datasets on a real store, with somebody signed
// in. The cluster is one that does all at once; the real one has a journey of its own.
type uploadStand struct {
	store   *objectStore
	person  portal.Principal
	service *uploads.Service
	server  *httptest.Server
	key     []byte

	mu     sync.Mutex
	sealed bool
}

// signedIn knows one person.
type signedIn struct {
	web.Auth
	person portal.Principal
}

func (a signedIn) Authenticate(context.Context, portal.Client, string) (portal.Principal, error) {
	return a.person, nil
}

func (signedIn) Record(context.Context, portal.Client, portal.EventKind, portal.AccountID) error {
	return nil
}

// nobody are staff and clients that this journey does not need.
type (
	noReview  struct{ web.Review }
	clientsOf struct{}
)

func (s *uploadStand) EnsureTenant(context.Context, portal.TenantOrder) error { return nil }

const uploadUID = "00000000-0000-0000-0000-000000000001"

func (s *uploadStand) CreateDataset(context.Context, portal.DatasetOrder) (string, error) {
	return uploadUID, nil
}

func (s *uploadStand) SealDataset(context.Context, string, string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed = true
	return nil
}

func (s *uploadStand) SetRetention(context.Context, string, string, time.Duration, time.Duration) error {
	return nil
}
func (s *uploadStand) DeleteDataset(context.Context, string, string, string) error { return nil }

func (s *uploadStand) Cancel(context.Context, portal.Principal, portal.RunID) error { return nil }

func (s *uploadStand) UploadGrant(context.Context, string, string) (portal.Grant, error) {
	ca, err := os.ReadFile(shared.certificate.CAFile)
	now := time.Now()
	return portal.Grant{
		Endpoint: s.store.endpoint, CABundle: string(ca), Bucket: s.store.bucket, Prefix: "ns/" + uploadUID + "/", Key: s.key,
		AccessKeyID: storeUser, SecretAccessKey: storePassword, IssuedAt: now, ExpiresAt: now.Add(time.Minute),
	}, err
}

func newUploadStand(t *testing.T) *uploadStand {
	t.Helper()
	s := &uploadStand{store: newObjectStore(t), key: make([]byte, 32)}
	_, _ = rand.Read(s.key) // It never fails.
	database := portaltest.Store(t)
	account := portaltest.Account()
	if err := database.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error { return tx.CreateAccount(ctx, account) }); err != nil {
		t.Fatal(err)
	}
	s.person = portal.Principal{Account: account, Session: &portal.Session{Account: account.ID, AuthenticatedAt: time.Now()}}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	var err error
	s.service, err = uploads.New(uploads.Dependencies{
		Store: database, Cluster: s, Broker: s, Objects: uploads.NewS3("", time.Now), Runs: s, Log: log, Now: time.Now, Random: rand.Reader,
	}, uploads.Options{})
	if err != nil {
		t.Fatal(err)
	}
	choices, err := preferences.New(database)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := web.New(web.Dependencies{
		Auth: signedIn{person: s.person}, Review: noReview{}, Preferences: choices, Clients: clientsOf{}, Datasets: s.service, Log: log, Now: time.Now,
		Random: rand.Reader, Browser: func(string) string { return "" },
	}, web.Options{StoreOrigins: []string{s.store.endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewUnstartedServer(pages)
	s.server.TLS = &tls.Config{Certificates: []tls.Certificate{shared.certificate.Pair}, MinVersion: tls.VersionTLS12}
	s.server.StartTLS()
	t.Cleanup(s.server.Close)
	return s
}

// page is a tab of the person's.
func (s *uploadStand) page(t *testing.T) *page {
	t.Helper()
	p := newPage(t, &stand.Stand{URL: s.server.URL})
	p.stores = []string{s.store.endpoint}
	secure := true
	p.call(func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, network.SetCookie, network.SetCookieParams{
			Name: "__Host-session", Value: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", URL: s.server.URL, Path: "/", Secure: &secure, HTTPOnly: &secure,
		})
		return err
	})
	return p
}

// someFiles writes small files and a large one, and gives their names and digests.
func uploadFiles(t *testing.T, small int, large int64) (names []string, digests map[string]string) {
	t.Helper()
	dir := t.TempDir()
	digests = map[string]string{}
	write := func(name string, size int64) {
		path := filepath.Join(dir, name)
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		if _, err := io.CopyN(io.MultiWriter(file, sum), rand.Reader, size); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		names, digests[name] = append(names, path), hex.EncodeToString(sum.Sum(nil))
	}
	for i := range small {
		write(fmt.Sprintf("small %03d.bin", i), int64(i*37))
	}
	write("large.bin", large)
	return names, digests
}

func (p *page) pick(names []string) {
	p.t.Helper()
	p.do(chromedp.SetUploadFiles("#pick-files", names))
}

func TestUploadSurvivesACutAndAReload(t *testing.T) {
	t.Parallel()
	s := newUploadStand(t)
	const large = 120 << 20 // above what the browser's own SHA-256 is used for
	names, digests := uploadFiles(t, 200, large)
	p := s.page(t)
	p.open("/datasets/new")
	p.heading("New dataset")
	p.check("dataset-new")
	p.fill("Name", "Street signs")
	p.submit("Make it and add files")
	p.heading("Street signs")

	s.store.line.rate.Store(4 << 20) // for each connection
	p.pick(names)
	p.poll("more than half of it", func() bool { return s.store.line.sent.Load() > large*6/10 }) // four parts whole
	p.check("dataset-uploading")
	s.store.line.cut(true)
	p.until("words of the lost connection", `/tried again/.test(document.getElementById("upload-state").innerText)`)
	s.store.line.cut(false)
	before := s.store.line.sent.Load()
	p.poll("it to go on by itself", func() bool { return s.store.line.sent.Load() > before+4<<20 })

	p.press("Pause")
	p.until("a pause", `document.getElementById("upload-state").innerText === "Paused"`)
	p.check("dataset-paused")
	p.press("Go on")
	before = s.store.line.sent.Load()
	p.poll("it to go on after a pause", func() bool { return s.store.line.sent.Load() > before+1<<20 })

	// The tab crashes, and the person opens another.
	if err := chromedp.Cancel(p.ctx); err != nil {
		t.Fatal(err)
	}
	p = s.page(t)
	p.open(s.path(t))
	p.heading("Street signs")
	s.store.line.rate.Store(0)
	before = s.store.line.sent.Load()
	p.pick(names)
	p.until("all files", `document.getElementById("upload-state").innerText === "All files are there"`)
	if again := s.store.line.sent.Load() - before; again > large*7/10 {
		t.Errorf("%d bytes were sent after the page was loaded again: what was there counts for nothing", again)
	}
	p.check("dataset-uploaded")
	p.submit("Finish the upload")
	p.sees("The upload is finished")
	s.holds(t, digests)
}

// path is that of the only dataset.
func (s *uploadStand) path(t *testing.T) string {
	t.Helper()
	list, _, err := s.service.List(t.Context(), s.person, false, portal.PageCursor{})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d datasets, %v", len(list), err)
	}
	return "/datasets/" + string(list[0].ID)
}

// holds fails unless the store has the files under the dataset's key, as the manifest says.
func (s *uploadStand) holds(t *testing.T, digests map[string]string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sealed {
		t.Error("the dataset is not sealed")
	}
	side, err := encrypt.NewSSEC(s.key)
	if err != nil {
		t.Fatal(err)
	}
	prefix := "ns/" + uploadUID + "/"
	get := func(key string) io.ReadCloser {
		object, err := s.store.root.GetObject(t.Context(), s.store.bucket, key, minio.GetObjectOptions{ServerSideEncryption: side})
		if err != nil {
			t.Fatal(err)
		}
		return object
	}
	manifest := get(objectkey.Manifest(prefix))
	defer func() { _ = manifest.Close() }()
	sum, err := objectkey.ReadManifest(manifest, func(e objectkey.Entry) error {
		body := get(objectkey.Data(prefix, e.Path))
		defer func() { _ = body.Close() }()
		digest := sha256.New()
		if _, err := io.Copy(digest, body); err != nil {
			return err
		}
		if got := hex.EncodeToString(digest.Sum(nil)); got != digests[e.Path] || got != e.SHA256 {
			t.Errorf("%s: in the store %s, in the manifest %s, want %s", e.Path, got, e.SHA256, digests[e.Path])
		}
		return nil
	})
	if err != nil || sum.Objects != int64(len(digests)) {
		t.Errorf("the manifest has %d files, %v; want %d", sum.Objects, err, len(digests))
	}
}

// slowest is the part of rclone's speed that a browser has to reach.
const slowest = 0.7

// TestUploadSpeed compares a browser with rclone, which sends the same file to the same
// store under the same key. It measures, so it is no part of CI: it needs a quiet machine,
// and rclone, which `go run ./hack/bench erase` builds.
func TestUploadSpeed(t *testing.T) {
	if os.Getenv("LETHE_TEST_MEASURE") != "1" {
		t.Skip("SKIPPED: LETHE_TEST_MEASURE=1 measures uploads on a quiet machine")
	}
	s := newUploadStand(t)
	const large = 300 << 20
	names, digests := uploadFiles(t, 0, large)
	p := s.page(t)
	p.open("/datasets/new")
	p.fill("Name", "Street signs")
	p.submit("Make it and add files")
	begun := time.Now()
	p.pick(names)
	p.until("all files", `document.getElementById("upload-state").innerText === "All files are there"`)
	took := time.Since(begun)
	rclone := s.rclone(t, names[0])
	speed := func(d time.Duration) float64 { return float64(large>>20) / d.Seconds() }
	t.Logf("the browser %.1f MiB/s, rclone %.1f MiB/s", speed(took), speed(rclone))
	if speed(took) < slowest*speed(rclone) {
		t.Errorf("the browser has %.2f of rclone's speed, want %.1f", speed(took)/speed(rclone), slowest)
	}
	p.submit("Finish the upload")
	p.sees("The upload is finished")
	s.holds(t, digests)
}

// rclone copies a file to the store and says how long that took.
func (s *uploadStand) rclone(t *testing.T, name string) time.Duration {
	t.Helper()
	binary := filepath.Join(os.Getenv("LETHE_CACHE"), "bin", "rclone")
	copying := exec.CommandContext(t.Context(), binary, "copyto", name, ":s3:"+s.store.bucket+"/rclone/large.bin",
		"--config", os.DevNull, "--ca-cert", shared.certificate.CAFile, "--s3-provider", "Minio", "--s3-endpoint", s.store.endpoint,
		"--s3-access-key-id", storeUser, "--s3-secret-access-key", storePassword, "--s3-no-check-bucket",
		"--s3-sse-customer-algorithm", "AES256", "--s3-sse-customer-key-base64", base64.StdEncoding.EncodeToString(s.key))
	begun := time.Now()
	if out, err := copying.CombinedOutput(); err != nil {
		t.Fatalf("rclone: %v: %s; `go run ./hack/bench erase` builds it", err, out)
	}
	return time.Since(begun)
}

func (clientsOf) Of(*http.Request) portal.Client { return portal.Client{} }
