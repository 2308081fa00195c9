package artifacts

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/portal"
)

const prefix = "t-one/0b9f0c5e-7d0a-4c53-9d0d-0f3b7a1c2d02/"

// bucket is a store that lets read and not list: for what is not there it answers with a
// refusal, as MinIO and S3 do.
type bucket struct {
	objects map[string]string
	// key is what objects have to be asked for with (SSE-C), base64.
	key     string
	status  int
	mutex   sync.Mutex
	queries []url.Values
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mutex.Lock()
	b.queries = append(b.queries, r.URL.Query())
	b.mutex.Unlock()
	content, ok := b.objects[strings.TrimPrefix(r.URL.Path, "/artifacts/")]
	switch {
	case b.status != 0:
		w.WriteHeader(b.status)
		return
	case !ok || r.Header.Get("X-Amz-Server-Side-Encryption-Customer-Key") != b.key:
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
		}
		return
	}
	w.Header().Set("ETag", `"x"`)
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	w.Header().Set("Last-Modified", time.Unix(0, 0).UTC().Format(http.TimeFormat))
	if r.Method == http.MethodGet {
		_, _ = io.WriteString(w, content)
	}
}

// stand is a store with an own certificate, and a grant for a run's place in it.
func stand(t *testing.T, b *bucket) portal.Grant {
	t.Helper()
	server := httptest.NewTLSServer(b)
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return portal.Grant{
		Endpoint: server.URL, CABundle: string(ca), Bucket: "artifacts", Prefix: prefix,
		AccessKeyID: "access", SecretAccessKey: "secret-of-the-grant", SessionToken: "token",
	}
}

func manifestOf(t *testing.T, entries ...objectkey.Entry) (string, string) {
	t.Helper()
	var out bytes.Buffer
	w := objectkey.NewManifestWriter(&out)
	for _, e := range entries {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), sum.Digest
}

func entry(path string) objectkey.Entry {
	return objectkey.Entry{Path: path, Size: 5, SHA256: strings.Repeat("ab", 32)}
}

func TestArtifactsAreThoseOfTheManifest(t *testing.T) {
	t.Parallel()
	manifest, digest := manifestOf(t, entry("a"), entry("b/c"), entry("d"))
	g := stand(t, &bucket{objects: map[string]string{prefix + "manifest.jsonl": manifest}})
	s := &Store{}
	var got []string
	after := ""
	for {
		page, err := s.Artifacts(t.Context(), g, digest, after, 2)
		if err != nil || page.Manifest != digest {
			t.Fatal(page, err)
		}
		for _, file := range page.Files {
			got = append(got, file.Path)
			if file.Size != 5 || file.SHA256 == "" || file.Kind != portal.FileArtifact {
				t.Errorf("%+v", file)
			}
			after = file.Path
		}
		if !page.More {
			break
		}
	}
	if diff := cmp.Diff([]string{"a", "b/c", "d"}, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if _, err := s.Artifacts(t.Context(), g, "sha256:"+strings.Repeat("0", 64), "", 2); err == nil {
		t.Error("another manifest than the published one is shown")
	}
	if _, err := s.Artifacts(t.Context(), stand(t, &bucket{}), digest, "", 2); portal.KindOf(err) != portal.KindNotFound {
		t.Errorf("without a manifest: %v", err)
	}
}

func TestLogsAreFoundWithoutAListing(t *testing.T) {
	t.Parallel()
	objects := map[string]string{}
	want := []string{}
	for _, name := range []string{
		"logs/attempt-0001/node-0/trainer-000001.log", "logs/attempt-0001/node-0/trainer-000002.log", "logs/attempt-0001/node-0/trainer-tail.log",
		"logs/attempt-0001/node-0/progress.jsonl", "logs/attempt-0002/node-1/trainer-000001.log",
	} {
		objects[prefix+name] = "0123456"
		want = append(want, name)
	}
	var files []portal.RunFile
	for attempt := 1; attempt <= 2; attempt++ {
		some, err := (&Store{}).Logs(t.Context(), stand(t, &bucket{objects: objects}), attempt, 2)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, some...)
	}
	var got []string
	for _, file := range files {
		got = append(got, file.Path)
		if file.Size != 7 {
			t.Errorf("%+v", file)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if _, err := (&Store{}).Logs(t.Context(), stand(t, &bucket{status: http.StatusBadRequest}), 1, 1); portal.KindOf(err) != portal.KindUnavailable {
		t.Errorf("a store that fails: %v", err)
	}
}

func TestFilesOfACheckpoint(t *testing.T) {
	t.Parallel()
	manifest, digest := manifestOf(t, entry("model.pt"), entry("optim.pt"))
	const id = "0002-000009"
	record, _, err := objectkey.CheckpointRecord{
		ID: id, Step: 9, Time: time.Unix(1e9, 0).UTC(), Parts: []objectkey.CheckpointPartRecord{{Node: 0, ManifestDigest: digest, Objects: 2, Bytes: 10}},
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	g := stand(t, &bucket{objects: map[string]string{
		objectkey.CheckpointRecordKey(prefix, id):                           string(record),
		objectkey.Manifest(objectkey.CheckpointPart(prefix, id, 0)):         manifest,
		objectkey.Data(objectkey.CheckpointPart(prefix, id, 0), "model.pt"): "model",
	}})
	s := &Store{}
	files, err := s.Checkpoint(t.Context(), g, id)
	if err != nil || len(files) != 2 || files[0].Path != "checkpoints/"+id+"/node-0/data/model.pt" {
		t.Fatal(files, err)
	}
	content, err := s.Open(t.Context(), g, portal.FileCheckpoint, files[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = content.Body.Close() }()
	if text, err := io.ReadAll(content.Body); err != nil || string(text) != "model" || content.Size != 5 {
		t.Errorf("%q, %v", text, err)
	}
	for _, bad := range []string{"", "../x", "0002-000010"} {
		if _, err := s.Checkpoint(t.Context(), g, bad); portal.KindOf(err) != portal.KindNotFound {
			t.Errorf("checkpoint %q: %v", bad, err)
		}
	}
}

func TestALinkIsForOneFileAndAShortTime(t *testing.T) {
	t.Parallel()
	b := &bucket{objects: map[string]string{prefix + "data/model/wéights.pt": "0123456789"}}
	g := stand(t, b)
	content, err := (&Store{}).Link(t.Context(), g, portal.FileArtifact, "model/wéights.pt", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	link, err := url.Parse(content.Link)
	if err != nil {
		t.Fatal(err)
	}
	query := link.Query()
	want := map[string]string{
		"X-Amz-Expires": "60", "response-content-type": "application/octet-stream", "response-cache-control": "private, no-store",
		"response-content-disposition": "attachment; filename*=utf-8''w%C3%A9ights.pt",
	}
	for name, value := range want {
		if query.Get(name) != value {
			t.Errorf("%s is %q, want %q", name, query.Get(name), value)
		}
	}
	if link.Scheme != "https" || link.Path != "/artifacts/"+prefix+"data/model/wéights.pt" || content.Size != 10 || strings.Contains(content.Link, "secret-of-the-grant") {
		t.Errorf("the link is %s", content.Link)
	}
}

func TestAFileUnderAKeyIsCopied(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{7}, 32)
	b := &bucket{objects: map[string]string{prefix + "data/a": "secret"}, key: base64.StdEncoding.EncodeToString(key)}
	g := stand(t, b)
	if _, err := (&Store{}).Open(t.Context(), g, portal.FileArtifact, "a"); portal.KindOf(err) != portal.KindNotFound {
		t.Errorf("without the key: %v", err)
	}
	g.Key = key
	content, err := (&Store{}).Link(t.Context(), g, portal.FileArtifact, "a", time.Minute)
	if err != nil || content.Link != "" {
		t.Fatal(content, err)
	}
	defer func() { _ = content.Body.Close() }()
	if text, err := io.ReadAll(content.Body); err != nil || string(text) != "secret" {
		t.Errorf("%q, %v", text, err)
	}
	plain := g
	plain.Endpoint, plain.InsecurePlaintext = strings.Replace(g.Endpoint, "https", "http", 1), true
	if _, err := (&Store{}).Open(t.Context(), plain, portal.FileArtifact, "a"); err == nil || portal.KindOf(err) != portal.KindInternal {
		t.Errorf("a key over plain HTTP: %v", err)
	}
}

func TestNothingOutsideOfTheRunCanBeAskedFor(t *testing.T) {
	t.Parallel()
	b := &bucket{objects: map[string]string{"t-one/other/data/a": "x", prefix + "manifest.jsonl": "x", prefix + "data/a": "x"}}
	g := stand(t, b)
	for _, ask := range []struct {
		kind portal.FileKind
		path string
	}{
		{portal.FileArtifact, "../../other/data/a"},
		{portal.FileArtifact, "/a"},
		{portal.FileArtifact, ""},
		{portal.FileArtifact, "a/../a"},
		{portal.FileLog, "data/a"},
		{portal.FileLog, "manifest.jsonl"},
		{portal.FileLog, "logs/../data/a"},
		{portal.FileCheckpoint, "logs/a"},
		{"other", "a"},
	} {
		if _, err := (&Store{}).Open(t.Context(), g, ask.kind, ask.path); portal.KindOf(err) != portal.KindNotFound {
			t.Errorf("%s %q: %v", ask.kind, ask.path, err)
		}
		if _, err := (&Store{}).Link(t.Context(), g, ask.kind, ask.path, time.Minute); portal.KindOf(err) != portal.KindNotFound {
			t.Errorf("link to %s %q: %v", ask.kind, ask.path, err)
		}
	}
	if len(b.queries) > 0 {
		t.Errorf("the store was asked %d times", len(b.queries))
	}
}

func TestGrantsThatCanNotBeUsed(t *testing.T) {
	t.Parallel()
	good := stand(t, &bucket{})
	for name, change := range map[string]func(*portal.Grant){
		"no address":         func(g *portal.Grant) { g.Endpoint = "" },
		"plain HTTP":         func(g *portal.Grant) { g.Endpoint = "http://store.example.org" },
		"no certificate":     func(g *portal.Grant) { g.CABundle = "x" },
		"a key of no length": func(g *portal.Grant) { g.Key = []byte{1} },
	} {
		g := good
		change(&g)
		if _, err := (&Store{}).Open(t.Context(), g, portal.FileArtifact, "a"); err == nil || portal.KindOf(err) == portal.KindNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}
