package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

func TestTmpMinIO(t *testing.T) {
	dir := t.TempDir()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, _ := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	kb, _ := x509.MarshalECPrivateKey(key)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	os.MkdirAll(dir+"/certs", 0o755)
	os.WriteFile(dir+"/certs/public.crt", ca, 0o644)
	os.WriteFile(dir+"/certs/private.key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: kb}), 0o600)
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	addr := l.Addr().String()
	l.Close()
	var cmd *exec.Cmd
	start := func() {
		cmd = exec.Command("/work/main/.cache/bin/minio", "server", "--address", addr, "--certs-dir", dir+"/certs", dir+"/data")
		cmd.Env = append(os.Environ(), "MINIO_ROOT_USER=root", "MINIO_ROOT_PASSWORD=rootroot1", "MINIO_BROWSER=off")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	stop := func() { cmd.Process.Kill(); cmd.Wait() }
	start()
	defer func() { stop() }()
	cfg := objectstore.Config{Endpoint: "https://" + addr, CABundle: ca, Credentials: objectstore.Static(objectstore.Credentials{AccessKeyID: "root", SecretAccessKey: "rootroot1"})}
	store, err := objectstore.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	// bucket
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	tr, _ := minio.DefaultTransport(true)
	tr.TLSClientConfig.RootCAs = pool
	mc, err := minio.New(addr, &minio.Options{Creds: credentials.NewStaticV4("root", "rootroot1", ""), Secure: true, Transport: tr})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		if err = mc.MakeBucket(context.Background(), "bbb", minio.MakeBucketOptions{}); err == nil {
			break
		}
		if i > 100 {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	prefix := "ns/uid/"
	var entries []objectkey.Entry
	add := func(name string, n int) {
		data := make([]byte, n)
		rand.Read(data)
		s := sha256.Sum256(data)
		if err := store.Put(context.Background(), "bbb", objectkey.Data(prefix, name), bytes.NewReader(data), int64(n), objectstore.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, objectkey.Entry{Path: name, Size: int64(n), SHA256: hex.EncodeToString(s[:])})
	}
	add("big.bin", 400<<20)
	add("big2.bin", 300<<20)
	add("empty", 0)
	for i := range 1000 {
		add(fmt.Sprintf("small/%d/%04d", i%10, i), 4096)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Path < entries[j].Path })
	var mb bytes.Buffer
	mw := objectkey.NewManifestWriter(&mb)
	for _, e := range entries {
		if err := mw.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	sum, _ := mw.Close()
	if err := store.Put(context.Background(), "bbb", objectkey.Manifest(prefix), &mb, int64(mb.Len()), objectstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	out := "ns/run/"
	broker := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == staging.PathTrainer {
			json.NewEncoder(w).Encode(staging.TrainerStatus{Ended: true})
			return
		}
		var q staging.StageRequest
		json.NewDecoder(r.Body).Decode(&q)
		p := prefix
		if q.Step == staging.StepStageOut {
			p = out
		}
		json.NewEncoder(w).Encode(staging.StageGrant{ManifestDigest: sum.Digest, Store: staging.StoreGrant{Endpoint: "https://" + addr, CABundle: string(ca), Bucket: "bbb", Prefix: p, AccessKeyID: "root", SecretAccessKey: "rootroot1", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}})
	}))
	defer broker.Close()
	os.WriteFile(dir+"/ca.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: broker.Certificate().Raw}), 0o644)
	os.WriteFile(dir+"/token", []byte("t"), 0o600)
	os.MkdirAll(dir+"/volume", 0o755)
	stage := func(step string, during func()) (int, string) {
		c := exec.Command("/tmp/stager", step)
		var log bytes.Buffer
		c.Stderr = &log
		c.Env = []string{"LETHE_BROKER_URL=" + broker.URL, "LETHE_TOKEN_FILE=" + dir + "/token", "LETHE_BROKER_CA_FILE=" + dir + "/ca.crt", "LETHE_DATASET_DIR=" + dir + "/volume/dataset", "LETHE_ARTIFACTS_DIR=" + dir + "/volume/dataset", "LETHE_TERMINATION_LOG=" + dir + "/term"}
		begin := time.Now()
		c.Start()
		hwm := ""
		done := make(chan bool)
		go func() {
			defer close(done)
			for {
				b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid))
				if err != nil || !strings.Contains(string(b), "VmHWM") {
					return
				}
				for _, l := range strings.Split(string(b), "\n") {
					if strings.HasPrefix(l, "VmHWM") {
						hwm = l
					}
				}
				time.Sleep(20 * time.Millisecond)
			}
		}()
		during()
		c.Wait()
		<-done
		t.Log(hwm)
		ru := c.ProcessState.SysUsage().(*syscall.Rusage)
		rep, _ := os.ReadFile(dir + "/term")
		t.Logf("%s exit %d in %v, rss %d MiB, cpu %v+%v\n%s\n%s", step, c.ProcessState.ExitCode(), time.Since(begin), ru.Maxrss>>10, time.Duration(ru.Utime.Nano()), time.Duration(ru.Stime.Nano()), rep, log.String())
		return c.ProcessState.ExitCode(), log.String()
	}
	check := func() {
		n := 0
		filepath.Walk(dir+"/volume/dataset", func(p string, i os.FileInfo, err error) error {
			if err == nil && i.Mode().IsRegular() {
				n++
			}
			return err
		})
		if n != 1003 {
			t.Errorf("%d files", n)
		}
	}
	stage("stage-in", func() {})
	check()
	stage("stage-in", func() {}) // again: verified only
	check()
	os.RemoveAll(dir + "/volume/dataset")
	stage("stage-in", func() { time.Sleep(700 * time.Millisecond); stop(); time.Sleep(6 * time.Second); start() })
	check()
	stage("stage-out", func() {})
	stage("stage-out", func() { time.Sleep(1200 * time.Millisecond); stop(); time.Sleep(6 * time.Second); start() })
	body, err := store.Get(context.Background(), "bbb", objectkey.Manifest(out), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := objectkey.ReadManifest(body, func(e objectkey.Entry) error {
		o, err := store.Get(context.Background(), "bbb", objectkey.Data(out, e.Path), 0, -1)
		if err != nil {
			return err
		}
		defer o.Close()
		h := sha256.New()
		io.Copy(h, o)
		if hex.EncodeToString(h.Sum(nil)) != e.SHA256 {
			return fmt.Errorf("differs: %s", e.Path)
		}
		return nil
	})
	t.Log(got, sum, err)
	if got.Digest != sum.Digest {
		t.Error("digest differs")
	}
	// truncated large in the real store
	os.RemoveAll(dir + "/volume/dataset")
	if err := store.Put(context.Background(), "bbb", objectkey.Data(prefix, "big2.bin"), strings.NewReader("x"), 1, objectstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	stage("stage-in", func() {})
}
