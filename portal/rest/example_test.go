package rest_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/uploads/storetest"
)

// examples is the script in the section about the API of portal/README.md.
func examples(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## The API\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, script, foundScript := strings.Cut(section, "```sh\n")
	script, _, ended := strings.Cut(script, "```\n")
	if !found || !foundScript || !ended {
		t.Fatal("portal/README.md has no examples of the API")
	}
	return script
}

// checked holds every answer of the API against the document.
type checked struct {
	t     *testing.T
	bench *bench
	mux   *http.ServeMux

	mutex sync.Mutex
	asked map[string]bool
}

func (c *checked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kept := httptest.NewRecorder()
	c.bench.server.ServeHTTP(kept, r)
	answer := kept.Result()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Error(err)
	}
	_, pattern := c.mux.Handler(r)
	method, path, _ := strings.Cut(pattern, " ")
	if path == "" {
		c.t.Errorf("%s %s is no route", r.Method, r.URL.Path)
		return
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.asked[pattern] = true
	c.bench.api.conforms(c.t, method, path, answer, body)
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(body)
}

const signs = "sign,meaning\nred,stop\n"

// TestTheExamplesOfTheReadme runs them as they are, with curl, from the first dataset to
// the receipt.
func TestTheExamplesOfTheReadme(t *testing.T) {
	t.Parallel()
	t.Run("with a store that forgets", func(t *testing.T) {
		t.Parallel()
		b, f := newTraining(t)
		runExamples(t, b, f)
		f.mutex.Lock()
		defer f.mutex.Unlock()
		if len(f.sent) != 1 {
			t.Errorf("the store was sent %v", f.sent)
		}
		for key, text := range f.sent {
			if text != signs || !strings.HasSuffix(key, "/signs.csv") {
				t.Errorf("the store was sent %q as %s", text, key)
			}
			if f.blobs[key] != nil {
				t.Errorf("%s is still in the store", key)
			}
		}
	})
	t.Run("with uploads to a real store", func(t *testing.T) {
		t.Parallel()
		minio := storetest.Start(t)
		b, f := newTrainingOn(t, minio)
		ca := filepath.Join(t.TempDir(), "ca.crt")
		if err := os.WriteFile(ca, []byte(minio.Grant(t, "ns/x/", []byte(sseKey)).CABundle), 0o600); err != nil {
			t.Fatal(err)
		}
		runExamples(t, b, f, "CURL_CA_BUNDLE="+ca)
		for object := range f.datasets {
			if object == f.open.ID.Object() || object == f.sealed.ID.Object() {
				continue
			}
			if got := string(minio.Read(t, objectkey.Data(uploadPrefix(object), "signs.csv"), []byte(sseKey))); got != signs {
				t.Errorf("the store has %q", got)
			}
			if got := string(minio.Read(t, objectkey.Manifest(uploadPrefix(object)), []byte(sseKey))); !strings.Contains(got, "signs.csv") {
				t.Errorf("the manifest is %q", got)
			}
		}
	})
}

// runExamples runs them against the API.
func runExamples(t *testing.T, b *bench, f *fixtures, env ...string) {
	t.Helper()
	for _, program := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("the examples need %s: %v", program, err)
		}
	}
	c := &checked{t: t, bench: b, mux: http.NewServeMux(), asked: map[string]bool{}}
	for _, route := range b.server.Routes() {
		c.mux.Handle(route.Method+" "+route.Pattern, http.NotFoundHandler())
	}
	server := httptest.NewServer(c)
	defer server.Close()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "signs.csv"), []byte(signs), 0o600); err != nil {
		t.Fatal(err)
	}
	// Everything is as it is written, but for waiting: this cluster is fast.
	command := exec.CommandContext(t.Context(), "bash", "-c", "sleep() { command sleep 0.05; }\n"+examples(t))
	command.Dir = dir
	secret := b.token(portal.ScopeDatasetsRead, portal.ScopeDatasetsWrite, portal.ScopeRunsRead, portal.ScopeRunsWrite)
	command.Env = append(append(os.Environ(), "LETHE_PORTAL="+server.URL, "LETHE_TOKEN="+secret, "no_proxy=*"), env...) //nolint:forbidigo // the path to programs
	var out, problems bytes.Buffer
	command.Stdout, command.Stderr = &out, &problems
	if err := command.Run(); err != nil {
		t.Fatalf("%v\n%s%s\nlog: %s", err, out.String(), problems.String(), b.log)
	}
	if problems.Len() > 0 {
		t.Errorf("the examples complain: %s", problems.String())
	}
	got, err := os.ReadFile(filepath.Join(dir, "results", "model", "weights.bin"))
	if err != nil || string(got) != model {
		t.Errorf("the artifact is %q, %v", got, err)
	}
	verifyReceipt(t, dir)
	for _, want := range []string{`"Succeeded"`, `"micros": 2500000`, "epoch 1", objectkey.MethodKeyDestroyed} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the examples don't show %s:\n%s", want, out.String())
		}
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if len(f.made) != 1 || len(c.asked) < 14 {
		t.Errorf("%d runs and %d routes, want one and all of the way", len(f.made), len(c.asked))
	}
}

// verifyReceipt does it offline, with what was kept.
func verifyReceipt(t *testing.T, dir string) {
	t.Helper()
	envelope, err := os.ReadFile(filepath.Join(dir, "receipt.json"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, "keys.pem"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := objectkey.ParsePublicKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := objectkey.Verify(envelope, keys); err != nil {
		t.Errorf("the receipt does not verify: %v", err)
	}
}
