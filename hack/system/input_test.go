package system_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// TestManifestsThatAreRefused: what the API server itself turns away, with words
// that say what is wrong.
func TestManifestsThatAreRefused(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	const good = `apiVersion: lethe.dev/v1alpha1
kind: TrainingRun
metadata: {name: bad}
spec:
  datasetRef: {name: digits}
  trainer: {image: "lethe.dev/digits:dev"}
  nodes: {gpusPerNode: 1}
`
	tests := map[string]struct{ replace, with, want string }{
		"an unknown field":               {"nodes:", "epochs: 3\n  nodes:", `unknown field "spec.epochs"`},
		"negative GPUs":                  {"gpusPerNode: 1", "gpusPerNode: -1", "greater than or equal to 0"},
		"a dataset of another namespace": {"{name: digits}", "{name: digits, namespace: other}", `unknown field "spec.datasetRef.namespace"`},
		"a path for a dataset":           {"{name: digits}", "{name: other/digits}", "spec.datasetRef.name"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "run.yaml")
			if err := os.WriteFile(file, []byte(strings.Replace(good, tc.replace, tc.with, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := command(t.Context(), tool("kubectl"), "-n", ns, "apply", "-f", file)
			if err == nil || !strings.Contains(out, tc.want) {
				t.Errorf("kubectl apply: %v, %s\nwant a refusal with %q", err, out, tc.want)
			}
		})
	}
}

// TestRunsThatCanNotStart: what waits says why, also as an event.
func TestRunsThatCanNotStart(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	upload(t, ns, "digits")
	tests := map[string]struct {
		run  *v1alpha1.TrainingRun
		want string
	}{
		"no-dataset": {aRun(ns, "no-dataset", "nowhere"), v1alpha1.ReasonDatasetNotFound},
		"no-image": {aRun(ns, "no-image", "digits", func(r *v1alpha1.TrainingRun) {
			r.Spec.Trainer.Image = "registry.invalid/nothing:1"
		}), v1alpha1.ReasonImagePull},
		"no-such-gpu": {aRun(ns, "no-such-gpu", "digits", func(r *v1alpha1.TrainingRun) {
			r.Spec.Nodes.GPUProduct = "NVIDIA-FROM-TOMORROW"
		}), v1alpha1.ReasonNoSuchGPU},
		"no-room": {aRun(ns, "no-room", "digits", func(r *v1alpha1.TrainingRun) {
			many := int32(5)
			r.Spec.Nodes.GPUsPerNode = &many
		}), v1alpha1.ReasonUnschedulable},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			create(t, tc.run)
			run := waitRunReason(t, ns, name, tc.want)
			if run.Status.State.Finished() || run.Status.Message == "" {
				t.Errorf("got %s with message %q, want a run that waits and says what to do", run.Status.State, run.Status.Message)
			}
			eventuallyEvent(t, ns, name, tc.want)
		})
	}
}

func eventuallyEvent(t *testing.T, ns, name, reason string) {
	t.Helper()
	eventually(t, "an event "+reason, func(ctx context.Context) (bool, string, error) {
		events, err := lab.core.EventsV1().Events(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", err
		}
		var seen []string
		for _, e := range events.Items {
			if e.Regarding.Name == name {
				seen = append(seen, e.Reason)
				if e.Reason == reason && e.Note != "" {
					return true, "", nil
				}
			}
		}
		return false, strings.Join(seen, ", "), nil
	})
}

func TestEmptyFolderIsRefused(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	out, err := command(t.Context(), tool("kubectl-lethe"), "upload", t.TempDir(), "nothing", "-n", ns)
	if err == nil || !strings.Contains(out, "no file") {
		t.Errorf("upload of an empty folder: %v, %s", err, out)
	}
	var made v1alpha1.DatasetRetentionList
	if err := lab.kube.List(t.Context(), &made, client.InNamespace(ns)); err != nil || len(made.Items) != 0 {
		t.Errorf("%d datasets were made of nothing (%v)", len(made.Items), err)
	}
}

// TestEmptyDatasetIsInvalid seals a dataset that nobody uploaded to. A run that waits for
// it fails, and another is not even accepted.
func TestEmptyDatasetIsInvalid(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	create(t, aRun(ns, "on-hollow", "hollow"))
	waitRunReason(t, ns, "on-hollow", v1alpha1.ReasonDatasetNotFound)
	create(t, &v1alpha1.DatasetRetention{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "hollow"},
		Spec:       v1alpha1.DatasetRetentionSpec{Sealed: true},
	})
	waitDataset(t, ns, "hollow", "to be Invalid", func(ds v1alpha1.DatasetRetention) bool {
		return ds.Status.State == v1alpha1.DatasetInvalid && ds.Status.Message != ""
	})
	eventuallyEvent(t, ns, "hollow", v1alpha1.ReasonManifestMissing)
	run := waitRun(t, ns, "on-hollow", v1alpha1.RunFailed)
	if run.Status.Reason != v1alpha1.ReasonDatasetInvalid {
		t.Errorf("got %s: %s, want %s", run.Status.Reason, run.Status.Message, v1alpha1.ReasonDatasetInvalid)
	}
	if err := lab.kube.Create(t.Context(), aRun(ns, "too-late", "hollow")); err == nil || !strings.Contains(err.Error(), "the dataset can not be used") {
		t.Errorf("a run on a dataset that can't be used: %v", err)
	}
}

// TestCorruptObjectFailsTheRun changes one byte behind everybody's back.
func TestCorruptObjectFailsTheRun(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	ds := upload(t, ns, "digits")
	at := ds.Status.Location
	key, err := objectstore.NewKey(datasetKey(t, ds.UID))
	if err != nil {
		t.Fatal(err)
	}
	store := lab.store.UnderKey(key)
	for object, err := range store.List(t.Context(), at.Bucket, objectkey.DataPrefix(at.Prefix)) {
		if err != nil {
			t.Fatal(err)
		}
		data := readFrom(t, store, at.Bucket, object.Key)
		data[len(data)/2] ^= 1
		if err := store.Put(t.Context(), at.Bucket, object.Key, bytes.NewReader(data), int64(len(data)), objectstore.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		break
	}
	create(t, aRun(ns, "on-corrupt", "digits"))
	run := waitRun(t, ns, "on-corrupt", v1alpha1.RunFailed)
	if run.Status.Failure == nil || run.Status.Failure.Reason != v1alpha1.ReasonDatasetCorrupt {
		t.Errorf("failure: %+v, want %s", run.Status.Failure, v1alpha1.ReasonDatasetCorrupt)
	}
	eventuallyEvent(t, ns, "on-corrupt", v1alpha1.ReasonDatasetCorrupt)
}

// scrape reads metrics as Prometheus does. Their certificate is the operator's own
// and new with each start, so it is not verified.
func scrape(t *testing.T, url, token string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	plain := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	answer, err := plain.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }() // read to its end below
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("scrape: HTTP %d, %v", answer.StatusCode, err)
	}
	return string(text)
}

// maxIdleMemory is the operator's bar at rest, in bytes.
const maxIdleMemory = 60 << 20

// TestOperatorMemory reads the operator's own metrics as Prometheus would. It
// runs after the faults and before the parallel journeys, with nothing going on.
func TestOperatorMemory(t *testing.T) {
	const account = "metrics-reader"
	ns := newNamespace(t)
	kubectl(t, "-n", ns, "create", "serviceaccount", account)
	kubectl(t, "create", "clusterrolebinding", ns+"-metrics", "--clusterrole=lethe-metrics-reader", "--serviceaccount="+ns+":"+account)
	t.Cleanup(func() {
		if out, err := command(context.Background(), tool("kubectl"), "delete", "clusterrolebinding", ns+"-metrics"); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	token := strings.TrimSpace(kubectl(t, "-n", ns, "create", "token", account))
	address := strings.TrimSpace(kubectl(t, "-n", operatorNamespace, "get", "service", "lethe-metrics", "-o", "jsonpath={.spec.clusterIP}"))
	begun := time.Now()
	metrics := scrape(t, "https://"+address+":8443/metrics", token)
	for line := range strings.Lines(metrics) {
		value, ok := strings.CutPrefix(line, "process_resident_memory_bytes ")
		if !ok {
			continue
		}
		bytes, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("the operator holds %.1f MiB (scraped in %s)", bytes/(1<<20), time.Since(begun).Round(time.Millisecond))
		if bytes > maxIdleMemory {
			t.Errorf("the operator holds %.0f bytes at rest, want at most %d", bytes, maxIdleMemory)
		}
		return
	}
	t.Error("the metrics do not say how much memory the operator holds")
}
