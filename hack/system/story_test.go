package system_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// TestTrainAndForget is the demo's story.
func TestTrainAndForget(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	ds := upload(t, ns, "digits", "--after-training", "10s")
	if ds.Status.State != v1alpha1.DatasetReady || ds.Status.ExpiresAt == nil || *ds.Status.Objects == 0 {
		t.Fatalf("after the upload: %+v", ds.Status)
	}
	if n := holdings(t, ds.Status.Location); n < int(*ds.Status.Objects)+1 {
		t.Fatalf("the store holds %d versions, want all %d files and the manifest", n, *ds.Status.Objects)
	}

	create(t, aRun(ns, "digits-1", "digits", slowly("2")))
	waitRun(t, ns, "digits-1", v1alpha1.RunRunning)
	assertNoCredentials(t, ns)
	run := waitRun(t, ns, "digits-1", v1alpha1.RunSucceeded)
	if run.Status.Usage == nil || run.Status.Usage.GPUSeconds < 1 {
		t.Errorf("usage: %+v, want at least one GPU-second", run.Status.Usage)
	}
	if run.Status.StartTime == nil || run.Status.CompletionTime == nil || run.Status.CompletionTime.Before(run.Status.StartTime) {
		t.Errorf("started %v, ended %v", run.Status.StartTime, run.Status.CompletionTime)
	}
	if logs := lethe(t, "logs", "digits-1", "-n", ns); !strings.Contains(logs, "accuracy") {
		t.Errorf("logs do not show the accuracy:\n%s", logs)
	}

	results := filepath.Join(t.TempDir(), "results")
	lethe(t, "artifacts", "digits-1", results, "-n", ns)
	mustRun(t, tool("digits"), "evaluate", "-model", filepath.Join(results, "model.json"), "-data", lab.dataset, "-min", "0.7")

	waitGone(t, &ds)
	if n := holdings(t, ds.Status.Location); n != 0 {
		t.Errorf("the store still holds %d versions or uploads of the erased dataset", n)
	}
	assertReceipt(t, ds)
	if n := holdings(t, &run.Status.Artifacts.Location); n == 0 {
		t.Error("the artifacts went with the dataset")
	}
}

func assertReceipt(t *testing.T, ds v1alpha1.DatasetRetention) {
	t.Helper()
	got := receiptOf(t, ds.Namespace, string(ds.UID))
	if got.UID != string(ds.UID) || got.Prefix != ds.Status.Location.Prefix || got.ManifestDigest != ds.Status.ManifestDigest {
		t.Errorf("the receipt is of something else: %+v", got)
	}
	if ds.Status.Objects != nil && (got.Objects != *ds.Status.Objects || got.Versions < got.Objects+1) {
		t.Errorf("the receipt counts %d objects and %d versions, want %d objects and at least one version more", got.Objects, got.Versions, *ds.Status.Objects)
	}
	if got.KeyID != ds.Status.KeyID || got.KeyDestroyedTime == nil {
		t.Errorf("the receipt says that key %q was destroyed at %v, want %q", got.KeyID, got.KeyDestroyedTime, ds.Status.KeyID)
	}
	if got.EndTime.Before(got.StartTime) || got.StartTime.IsZero() {
		t.Errorf("the receipt's times: %s to %s", got.StartTime, got.EndTime)
	}
}

// assertNoCredentials looks at the pod that really runs.
func assertNoCredentials(t *testing.T, ns string) {
	t.Helper()
	var pods corev1.PodList
	if err := lab.kube.List(t.Context(), &pods, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 1 {
		t.Fatalf("got %d pods, want 1", len(pods.Items))
	}
	var secrets corev1.SecretList
	if err := lab.kube.List(t.Context(), &secrets, client.InNamespace(ns)); err != nil || len(secrets.Items) != 0 {
		t.Errorf("the namespace holds %d Secrets (%v), want none", len(secrets.Items), err)
	}
	for _, c := range pods.Items[0].Spec.Containers {
		if c.Name != staging.ContainerTrainer {
			continue
		}
		for _, m := range c.VolumeMounts {
			if strings.HasPrefix(m.MountPath, "/var/run/secrets") || strings.HasPrefix(staging.TokenDir, m.MountPath) {
				t.Errorf("the trainer mounts %s at %s", m.Name, m.MountPath)
			}
		}
		if len(c.EnvFrom) > 0 {
			t.Error("the trainer takes its environment from somewhere")
		}
		return
	}
	t.Error("the pod has no trainer")
}

func TestDatasetUsedByTwoRuns(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	ds := upload(t, ns, "shared", "--after-training", "1s")
	create(t, aRun(ns, "short", "shared"))
	create(t, aRun(ns, "long", "shared", slowly("15")))
	waitRun(t, ns, "long", v1alpha1.RunRunning)
	waitRun(t, ns, "short", v1alpha1.RunSucceeded)
	// A user's own delete waits as well.
	if err := lab.kube.Delete(t.Context(), &ds); err != nil {
		t.Fatal(err)
	}
	waitDataset(t, ns, "shared", "to say who holds it up", func(ds v1alpha1.DatasetRetention) bool {
		return ds.Status.State == v1alpha1.DatasetErasing && strings.Contains(ds.Status.Message, "long")
	})
	if n := holdings(t, ds.Status.Location); n == 0 {
		t.Fatal("the data went while a run used it")
	}
	waitRun(t, ns, "long", v1alpha1.RunSucceeded)
	waitGone(t, &ds)
	if n := holdings(t, ds.Status.Location); n != 0 {
		t.Errorf("the store still holds %d versions or uploads", n)
	}
	assertReceipt(t, ds)
}

func TestDatasetNeverUsed(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	ds := upload(t, ns, "unused", "--max-age", "30s")
	waitGone(t, &ds)
	if n := holdings(t, ds.Status.Location); n != 0 {
		t.Errorf("the store still holds %d versions or uploads", n)
	}
	assertReceipt(t, ds)
}

func TestRunDeletedWhileTraining(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	ds := upload(t, ns, "digits", "--after-training", "5s")
	run := aRun(ns, "cancelled", "digits", slowly("120"))
	create(t, run)
	waitRun(t, ns, "cancelled", v1alpha1.RunRunning)
	if err := lab.kube.Delete(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	waitGone(t, run)
	var pods corev1.PodList
	if err := lab.kube.List(t.Context(), &pods, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 0 {
		t.Errorf("the run is gone, but %d of its pods are there", len(pods.Items))
	}
	waitGone(t, &ds)
	if n := holdings(t, ds.Status.Location); n != 0 {
		t.Errorf("the store still holds %d versions or uploads", n)
	}
	assertReceipt(t, ds)
}

func TestNamespaceDeletedWhileTraining(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	ds := upload(t, ns, "digits")
	create(t, aRun(ns, "running", "digits", slowly("120")))
	waitRun(t, ns, "running", v1alpha1.RunRunning)
	namespace := &corev1.Namespace{}
	namespace.Name = ns
	if err := lab.kube.Delete(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	waitGone(t, namespace)
	if n := holdings(t, ds.Status.Location); n != 0 {
		t.Errorf("the store still holds %d versions or uploads", n)
	}
	assertReceipt(t, ds)
}

// TestHold: a legal duty keeps the data although its owner has deleted it, until
// whoever may do that takes the hold away.
func TestHold(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	ds := upload(t, ns, "evidence")
	const hold = `{"spec":{"hold":{"reason":"case 7","until":"2100-01-01T00:00:00Z"}}}`
	kubectl(t, "-n", ns, "create", "rolebinding", "edits", "--clusterrole=lethe-user", "--serviceaccount="+ns+":default")
	as := "--as=system:serviceaccount:" + ns + ":default"
	out, err := command(t.Context(), tool("kubectl"), "-n", ns, as, "patch", "datasetretention", "evidence", "--type=merge", "-p", hold)
	if err == nil || !strings.Contains(out, "hold") {
		t.Errorf("somebody without the verb hold sets one: %v, %s", err, out)
	}
	kubectl(t, "-n", ns, "patch", "datasetretention", "evidence", "--type=merge", "-p", hold)
	waitDataset(t, ns, "evidence", "to be held", func(ds v1alpha1.DatasetRetention) bool { return ds.Status.Hold != nil })
	if err := lab.kube.Delete(t.Context(), &ds); err != nil {
		t.Fatal(err)
	}
	waitDataset(t, ns, "evidence", "to say that a hold keeps it", func(ds v1alpha1.DatasetRetention) bool {
		return ds.Status.State == v1alpha1.DatasetErasing && ds.Status.Reason == v1alpha1.ReasonOnHold
	})
	if n := holdings(t, ds.Status.Location); n == 0 {
		t.Fatal("the data went although it was held")
	}
	kubectl(t, "-n", ns, "patch", "datasetretention", "evidence", "--type=merge", "-p", `{"spec":{"hold":null}}`)
	waitGone(t, &ds)
	if n := holdings(t, ds.Status.Location); n != 0 {
		t.Errorf("the store still holds %d versions or uploads", n)
	}
	assertReceipt(t, ds)
}

// TestArtifactsGoWithTheirRun: by the owner's will, or with the namespace.
func TestArtifactsGoWithTheirRun(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	upload(t, ns, "digits")
	reclaim := func(policy v1alpha1.ReclaimPolicy) func(*v1alpha1.TrainingRun) {
		return func(run *v1alpha1.TrainingRun) { run.Spec.Artifacts.ReclaimPolicy = policy }
	}
	create(t, aRun(ns, "keep", "digits", reclaim(v1alpha1.ReclaimRetain)))
	create(t, aRun(ns, "drop", "digits", reclaim(v1alpha1.ReclaimDelete)))
	keep, drop := waitRun(t, ns, "keep", v1alpha1.RunSucceeded), waitRun(t, ns, "drop", v1alpha1.RunSucceeded)
	for _, run := range []*v1alpha1.TrainingRun{&keep, &drop} {
		if err := lab.kube.Delete(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		waitGone(t, run.DeepCopy())
	}
	if n := holdings(t, &drop.Status.Artifacts.Location); n != 0 {
		t.Errorf("the store still holds %d versions or uploads of artifacts that were to go", n)
	}
	if got := receiptOf(t, ns, string(drop.UID)); got.Resource != objectkey.ResourceRun || got.Versions == 0 {
		t.Errorf("the receipt is of something else: %+v", got)
	}
	if n := holdings(t, &keep.Status.Artifacts.Location); n == 0 {
		t.Error("artifacts that were to stay are gone")
	}
	namespace := &corev1.Namespace{}
	namespace.Name = ns
	if err := lab.kube.Delete(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	waitGone(t, namespace)
	eventually(t, "retained artifacts to go after their namespace", func(context.Context) (bool, string, error) {
		return holdings(t, &keep.Status.Artifacts.Location) == 0, "they are there", nil
	})
}
