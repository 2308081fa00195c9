package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// The prefixes of a dataset and of a run.
const (
	datasetPrefix = "team/dataset/"
	runPrefix     = "team/run/"
)

// watched is a log that tells when a text was written. The writer waits until the
// test has reacted, so what the log tells of has not gone on meanwhile.
type watched struct {
	mu     sync.Mutex
	all    bytes.Buffer
	texts  []string
	events chan string
	react  chan struct{}
}

func (w *watched) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all.Write(line)
	for _, text := range w.texts {
		if bytes.Contains(line, []byte(text)) {
			w.events <- text
			<-w.react
		}
	}
	return len(line), nil
}

// seal puts a dataset into the store and gives its manifest's digest.
func seal(t *testing.T, store *objectstore.Client, bucket string, files []objectkey.Entry, content func(int64) []byte) string {
	t.Helper()
	put := func(key string, data []byte) {
		err := store.Put(t.Context(), bucket, key, bytes.NewReader(data), int64(len(data)), objectstore.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	var manifest bytes.Buffer
	w := objectkey.NewManifestWriter(&manifest)
	for _, e := range files {
		data := content(e.Size)
		sum := sha256.Sum256(data)
		e.SHA256 = hex.EncodeToString(sum[:])
		put(objectkey.Data(datasetPrefix, e.Path), data)
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	put(objectkey.Manifest(datasetPrefix), manifest.Bytes())
	return sum.Digest
}

// canary is the dataset's key; nothing that leaves the pod may show it.
const canary = "Canary-of-exactly-32-bytes-here!"

// The dataset of a real store goes in under its key, comes out as artifacts without
// one, and is the same, although the store is killed at the start of both ways.
func TestBothWaysThroughARealStoreThatIsKilled(t *testing.T) {
	t.Parallel()
	minio := objectstoretest.StartMinIO(t)
	bucket := minio.Bucket(t, objectstoretest.Unversioned)
	files := []objectkey.Entry{{Path: "empty"}, {Path: "large.bin", Size: 40<<20 + 1}}
	for i := range 100 {
		files = append(files, objectkey.Entry{Path: fmt.Sprintf("small/%03d", i), Size: int64(i * 100)})
	}
	key, err := objectstore.NewKey([]byte(canary))
	if err != nil {
		t.Fatal(err)
	}
	digest := seal(t, minio.Client(t, minio.Root).UnderKey(key), bucket, files, func(n int64) []byte {
		return bytes.Repeat([]byte{byte(n), byte(n >> 8), 7}, int(n/3+1))[:n]
	})
	p := newPod(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == staging.PathTrainer {
			_ = json.NewEncoder(w).Encode(staging.TrainerStatus{Ended: true})
			return
		}
		var asked staging.StageRequest
		_ = json.NewDecoder(r.Body).Decode(&asked)
		grant := staging.StageGrant{ManifestDigest: digest, Store: staging.StoreGrant{
			Endpoint: minio.Endpoint, CABundle: string(minio.CA), Bucket: bucket, Prefix: runPrefix,
			AccessKeyID: minio.Root.AccessKeyID, SecretAccessKey: minio.Root.SecretAccessKey,
			IssuedAt: time.Unix(0, 0), ExpiresAt: time.Unix(3600, 0),
		}}
		if asked.Step == staging.StepStageIn {
			grant.Store.Prefix, grant.Store.EncryptionKey = datasetPrefix, key.Bytes()
		}
		_ = json.NewEncoder(w).Encode(grant)
	})
	p.env["LETHE_ARTIFACTS_DIR"] = p.env["LETHE_DATASET_DIR"]
	throughKilledStore(t, p, minio, "stage-in", "Staging the dataset in\",\"step\":\"stage-in\",\"files\"")
	throughKilledStore(t, p, minio, "stage-out", "Publishing the artifacts")

	store := minio.Client(t, minio.Root)
	_, err = store.Get(t.Context(), bucket, objectkey.Data(datasetPrefix, "large.bin"), 0, -1)
	if !errors.Is(err, objectstore.ErrKey) {
		t.Errorf("the dataset can be read without its key: %v", err)
	}
	body, err := store.Get(t.Context(), bucket, objectkey.Manifest(runPrefix), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }()
	sum, err := objectkey.ReadManifest(body, func(e objectkey.Entry) error { return check(t.Context(), store, bucket, e) })
	if err != nil || sum.Digest != digest {
		t.Errorf("published %+v, %v; want the manifest %s", sum, err, digest)
	}
}

// A checkpoint that one pod's trainer left is what the next one's begins with.
func TestACheckpointGoesThroughARealStore(t *testing.T) {
	t.Parallel()
	for _, writers := range []string{firstNode, everyNode} {
		t.Run(writers, func(t *testing.T) {
			t.Parallel()
			minio := objectstoretest.StartMinIO(t)
			bucket := minio.Bucket(t, objectstoretest.Unversioned)
			store := minio.Client(t, minio.Root)
			digest := seal(t, store, bucket, []objectkey.Entry{{Path: "data", Size: 9}}, func(n int64) []byte { return make([]byte, n) })
			var stored staging.CheckpointRequest
			p := newPod(t, func(w http.ResponseWriter, r *http.Request) {
				place := staging.StoreGrant{
					Endpoint: minio.Endpoint, CABundle: string(minio.CA), Bucket: bucket, Prefix: runPrefix,
					AccessKeyID: minio.Root.AccessKeyID, SecretAccessKey: minio.Root.SecretAccessKey,
					IssuedAt: time.Unix(0, 0), ExpiresAt: time.Unix(3600, 0),
				}
				var answer any = staging.LogAnswer{
					Lines: []byte("2026-01-02T03:04:05Z hello\n"), Last: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Ended: true,
				}
				switch r.URL.Path {
				case staging.PathTrainer:
					answer = staging.TrainerStatus{Ended: true, ExitCode: 1}
				case staging.PathCheckpoint:
					_ = json.NewDecoder(r.Body).Decode(&stored)
				case staging.PathStage:
					var asked staging.StageRequest
					_ = json.NewDecoder(r.Body).Decode(&asked)
					grant := staging.StageGrant{Store: place}
					if asked.Step == staging.StepStageIn {
						grant.Store.Prefix, grant.ManifestDigest = datasetPrefix, digest
						grant.Resume = &staging.ResumeGrant{Store: place, ID: stored.ID, Digest: stored.Digest}
					}
					answer = grant
				}
				_ = json.NewEncoder(w).Encode(answer)
			})
			p.env["LETHE_CHECKPOINT_WRITERS"] = writers
			model := strings.Repeat("weights ", 3<<20)
			p.put(t, "artifacts/checkpoints/step-5/model.bin", model)
			p.put(t, "artifacts/checkpoints/step-5/small", "x")
			if code, report := p.run(t.Context(), "stage-out"); code != staging.ExitOK || !strings.Contains(report, "hello") {
				t.Fatalf("exit %d: %s", code, report)
			}
			if stored.Step != 5 || stored.Objects != 2 || stored.Bytes != int64(len(model))+1 {
				t.Fatalf("stored %+v", stored)
			}
			p.env["LETHE_ARTIFACTS_DIR"] = t.TempDir()
			if code, report := p.run(t.Context(), "stage-in"); code != staging.ExitOK || !strings.Contains(report, stored.ID) {
				t.Fatalf("exit %d: %s", code, report)
			}
			got, err := os.ReadFile(p.env["LETHE_ARTIFACTS_DIR"] + "/checkpoints/step-5/model.bin")
			if err != nil || string(got) != model {
				t.Errorf("the checkpoint is another one: %d bytes, %v", len(got), err)
			}
			body, err := store.Get(t.Context(), bucket, objectkey.LogPrefix(runPrefix, 1, 0)+"trainer-000001.log", 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = body.Close() }()
			if log, err := io.ReadAll(body); err != nil || !strings.HasSuffix(string(log), " hello\n") {
				t.Errorf("the output is %q, %v", log, err)
			}
		})
	}
}

// throughKilledStore runs a step, kills the store when the log says so, and starts
// it again when the log says that it is missed.
func throughKilledStore(t *testing.T, p *pod, minio *objectstoretest.MinIO, step, kill string) {
	t.Helper()
	const missed = "The store does not answer"
	log := &watched{texts: []string{kill, missed}, events: make(chan string), react: make(chan struct{})}
	ended := make(chan int)
	go func() {
		ended <- run(t.Context(), []string{step}, func(name string) string { return p.env[name] }, log)
	}()
	for {
		select {
		case text := <-log.events:
			if text == kill {
				minio.Stop()
			} else {
				minio.Start(t)
			}
			log.react <- struct{}{}
		case code := <-ended:
			if code != staging.ExitOK || !strings.Contains(log.all.String(), "answers again") {
				report, _ := os.ReadFile(p.path("termination-log")) // The log says more.
				t.Fatalf("exit %d: %s\n%s", code, report, log.all.String())
			}
			for _, form := range []string{canary, hex.EncodeToString([]byte(canary)), base64.RawStdEncoding.EncodeToString([]byte(canary))} {
				if strings.Contains(log.all.String(), form) {
					t.Error("the log shows the dataset's key")
				}
			}
			return
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

func check(ctx context.Context, store *objectstore.Client, bucket string, e objectkey.Entry) error {
	body, err := store.Get(ctx, bucket, objectkey.Data(runPrefix, e.Path), 0, -1)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	h := sha256.New()
	if n, err := io.Copy(h, body); err != nil || n != e.Size || hex.EncodeToString(h.Sum(nil)) != e.SHA256 {
		return fmt.Errorf("object of %d bytes differs: %d bytes, %w", e.Size, n, err)
	}
	return nil
}
