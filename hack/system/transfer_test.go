package system_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// transferMiB makes a transfer take long enough to be cut in the middle.
const transferMiB = 768

// uploadMiB does the same for an upload: the store takes one file's parts side by side.
const uploadMiB = 2048

const bulkImage = "lethe.dev/bulk:dev"

// bulk is a run of the trainer in hack/system/internal/bulk.
func bulk(ns, name, dataset string, env ...v1alpha1.EnvVar) *v1alpha1.TrainingRun {
	return aRun(ns, name, dataset, func(run *v1alpha1.TrainingRun) {
		run.Spec.Trainer.Image = bulkImage
		run.Spec.Trainer.Env = env
	})
}

// loadBulk builds that trainer and puts it where the kubelet finds it.
func loadBulk(t *testing.T) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "bulk")
	mustRun(t, "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-o", program, "./internal/bulk")
	labCommand(t, "load", bulkImage+"="+program)
}

// TestStoreStopsDuringStageIn cuts the transfer after its first tenth.
func TestStoreStopsDuringStageIn(t *testing.T) {
	ns := newNamespace(t)
	folder := filepath.Join(t.TempDir(), "large")
	if err := os.CopyFS(folder, os.DirFS(lab.dataset)); err != nil {
		t.Fatal(err)
	}
	const each = 32
	for i := range transferMiB / each {
		writeRandom(t, filepath.Join(folder, fmt.Sprintf("large-%02d.bin", i)), each<<20)
	}
	lethe(t, "upload", folder, "large", "-n", ns)
	create(t, aRun(ns, "patient", "large"))
	eventually(t, "stage-in to run", func(ctx context.Context) (bool, string, error) {
		return containerRuns(ctx, ns, staging.ContainerStageIn)
	})
	stageIn := follow(t, ns, staging.ContainerStageIn)
	stageIn.until(`"percent"`)
	back := withoutStore(t)
	stageIn.until("The store does not answer")
	waitRunReason(t, ns, "patient", v1alpha1.ReasonPodStarting)
	stayAway(t)
	back()
	stageIn.until("The store answers again")
	waitRun(t, ns, "patient", v1alpha1.RunSucceeded)
}

func writeRandom(t *testing.T, path string, size int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{}), size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestStoreStopsDuringStageOut cuts the upload of one large artifact, once the
// store has begun to take it.
func TestStoreStopsDuringStageOut(t *testing.T) {
	loadBulk(t)
	ns := newNamespace(t)
	upload(t, ns, "digits")
	run := bulk(ns, "patient", "digits", v1alpha1.EnvVar{Name: "BULK_MIB", Value: strconv.Itoa(uploadMiB)})
	create(t, run)
	at := v1alpha1.ObjectLocation{Bucket: artifactsBucket, Prefix: objectkey.OwnerPrefix(ns, string(run.UID))}
	eventually(t, "stage-out to run", func(ctx context.Context) (bool, string, error) {
		return containerRuns(ctx, ns, staging.ContainerStageOut)
	})
	// The status tells of a state that lasts; an upload may be over before that.
	stageOut := follow(t, ns, staging.ContainerStageOut)
	stageOut.until("Publishing the artifacts")
	eventually(t, "the upload to have begun", func(ctx context.Context) (bool, string, error) {
		for _, err := range lab.store.ListUploads(ctx, at.Bucket, at.Prefix) {
			return err == nil, "", err
		}
		return false, "no upload", nil
	})
	back := withoutStore(t)
	stageOut.until("The store does not answer")
	if run := waitRun(t, ns, "patient", v1alpha1.RunPublishing); run.Status.Artifacts != nil {
		t.Errorf("the run names artifacts that the store can't hold: %+v", run.Status.Artifacts)
	}
	stayAway(t)
	back()
	*run = waitRun(t, ns, "patient", v1alpha1.RunSucceeded)
	manifest := readObject(t, at.Bucket, objectkey.Manifest(at.Prefix))
	sum, err := objectkey.ReadManifest(bytes.NewReader(manifest), func(objectkey.Entry) error { return nil })
	if err != nil || sum.Digest != run.Status.Artifacts.ManifestDigest || sum.Bytes < uploadMiB<<20 {
		t.Errorf("the manifest says %+v (%v), the run %+v", sum, err, run.Status.Artifacts)
	}
}

// TestUploadThatFailsFailsTheRun: the trainer exits with 0, and one of the files
// that it leaves can't be read.
func TestUploadThatFailsFailsTheRun(t *testing.T) {
	loadBulk(t)
	ns := newNamespace(t)
	upload(t, ns, "digits")
	create(t, bulk(ns, "unlucky", "digits",
		v1alpha1.EnvVar{Name: "BULK_MIB", Value: "1"}, v1alpha1.EnvVar{Name: "BULK_UNREADABLE", Value: "secret.bin"}))
	run := waitRun(t, ns, "unlucky", v1alpha1.RunFailed)
	f := run.Status.Failure
	if f == nil || f.Reason != v1alpha1.ReasonUploadFailed || !strings.Contains(f.Message, "can not be read") {
		t.Errorf("failure: %+v, want %s with what to do", f, v1alpha1.ReasonUploadFailed)
	}
	if f != nil && strings.Contains(f.Message, "secret.bin") {
		t.Errorf("the run's status names a file of the user's: %s", f.Message)
	}
	eventuallyEvent(t, ns, "unlucky", v1alpha1.ReasonUploadFailed)
}

// containerRuns reports whether a container of that name runs in any pod.
func containerRuns(ctx context.Context, ns, container string) (bool, string, error) {
	var pods corev1.PodList
	if err := lab.kube.List(ctx, &pods, client.InNamespace(ns)); err != nil {
		return false, "", err
	}
	for _, pod := range pods.Items {
		for _, c := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
			if c.Name == container && c.State.Running != nil {
				return true, "", nil
			}
		}
	}
	return false, "no pod where it runs", nil
}

// logLines are those of one container, as they come.
type logLines struct {
	t     *testing.T
	lines *bufio.Scanner
}

// follow reads the log of the only pod's container from its start.
func follow(t *testing.T, ns, container string) logLines {
	t.Helper()
	var pods corev1.PodList
	if err := lab.kube.List(t.Context(), &pods, client.InNamespace(ns)); err != nil || len(pods.Items) != 1 {
		t.Fatalf("got %d pods, want 1 (%v)", len(pods.Items), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	options := &corev1.PodLogOptions{Container: container, Follow: true}
	stream, err := lab.core.CoreV1().Pods(ns).GetLogs(pods.Items[0].Name, options).Stream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stream.Close() }) // it was only read
	return logLines{t: t, lines: bufio.NewScanner(stream)}
}

// until reads on to the next line with this text. The log's end fails the test.
func (l logLines) until(text string) {
	l.t.Helper()
	last := ""
	for l.lines.Scan() {
		if last = l.lines.Text(); strings.Contains(last, text) {
			return
		}
	}
	l.t.Fatalf("the log ended (%v) before a line with %q; the last one: %s", l.lines.Err(), text, last)
}
