package system_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/datasetkey"
	"github.com/lethe-dev/lethe/controllers/erasure/receipts"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// Each test of this file takes a dataset's object away behind the operator's back,
// which no finalizer can prevent, and sees the data erased all the same. They take
// away what all journeys share, so they do not run beside any other.

// withoutOperator stops the operator until the returned function is called, or the
// test ends.
func withoutOperator(t *testing.T) (back func()) {
	t.Helper()
	scale := func(ctx context.Context, replicas string) (string, error) {
		return command(ctx, tool("kubectl"), "-n", operatorNamespace, "scale", "deploy/lethe-manager", "--replicas="+replicas)
	}
	if out, err := scale(t.Context(), "0"); err != nil {
		t.Fatalf("stop the operator: %v\n%s", err, out)
	}
	kubectl(t, "-n", operatorNamespace, "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/name=lethe-manager", "--timeout=2m")
	started := false
	back = func() {
		if started {
			return
		}
		started = true
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if out, err := scale(ctx, "2"); err != nil {
			t.Errorf("start the operator again: %v\n%s", err, out)
		}
		out, err := command(ctx, tool("kubectl"), "-n", operatorNamespace, "rollout", "status", "deploy/lethe-manager", "--timeout=2m")
		if err != nil {
			t.Errorf("the operator does not come back: %v\n%s", err, out)
		}
	}
	t.Cleanup(back)
	return back
}

// withoutPolicies lifts what protects finalizers, as somebody who may do that could.
func withoutPolicies(t *testing.T) {
	t.Helper()
	kubectl(t, "delete", "-k", "../../config/policies", "--wait")
	t.Cleanup(func() {
		out, err := command(context.Background(), tool("kubectl"), "apply", "--server-side", "--force-conflicts",
			"--field-manager=lethe-lab", "-k", "../../config/policies")
		if err != nil {
			t.Errorf("put the policies back: %v\n%s", err, out)
		}
	})
}

// stripFinalizers takes every finalizer off a dataset, once nothing forbids it. One
// that is gone meanwhile has none: journeys that ended leave theirs to its namespace.
func stripFinalizers(t *testing.T, ds *v1alpha1.DatasetRetention) {
	t.Helper()
	eventually(t, "the finalizer to come off", func(ctx context.Context) (bool, string, error) {
		out, err := patchFinalizers(ctx, ds)
		gone := strings.Contains(out, `(NotFound): datasetretentions.lethe.dev "`)
		return err == nil || gone, out, nil
	})
}

func patchFinalizers(ctx context.Context, ds *v1alpha1.DatasetRetention) (string, error) {
	return command(ctx, tool("kubectl"), "-n", ds.Namespace, "patch", "datasetretention", ds.Name,
		"--type=merge", "--patch", `{"metadata":{"finalizers":null}}`)
}

// assertSwept waits for the data to go, and wants what an erase leaves: no key, and
// a receipt that says that an orphan was erased.
func assertSwept(t *testing.T, ds v1alpha1.DatasetRetention) {
	t.Helper()
	waitErased(t, ds)
	if got := receiptOf(t, ds.Namespace, string(ds.UID)); got.Trigger != objectkey.TriggerOrphaned {
		t.Errorf("the receipt says %s, want %s", got.Trigger, objectkey.TriggerOrphaned)
	}
	var secret corev1.Secret
	at := client.ObjectKey{Namespace: operatorNamespace, Name: datasetkey.SecretName(ds.UID)}
	if err := lab.kube.Get(t.Context(), at, &secret); !apierrors.IsNotFound(err) {
		t.Errorf("the dataset's key is still there: %v", err)
	}
}

// waitErased waits for the data to go, and for its receipt.
func waitErased(t *testing.T, ds v1alpha1.DatasetRetention) {
	t.Helper()
	eventually(t, "the data to go", func(context.Context) (bool, string, error) {
		return holdings(t, ds.Status.Location) == 0, "the data is there", nil
	})
	key := objectkey.Receipt(ds.Namespace, string(ds.UID))
	eventually(t, "its receipt", func(ctx context.Context) (bool, string, error) {
		body, err := lab.store.Get(ctx, receiptsBucket, key, 0, -1)
		if err != nil {
			return false, "", err
		}
		return true, "", body.Close()
	})
}

func TestFinalizerIsProtected(t *testing.T) {
	ns := newNamespace(t)
	ds := upload(t, ns, "digits")
	if out, err := patchFinalizers(t.Context(), &ds); err == nil || !strings.Contains(out, "lethe.dev/erase") {
		t.Errorf("the cluster's administrator takes the finalizer off: %v, %s", err, out)
	}
}

func TestFinalizerPatchedAway(t *testing.T) {
	ns := newNamespace(t)
	ds := upload(t, ns, "digits")
	back := withoutOperator(t)
	withoutPolicies(t)
	stripFinalizers(t, &ds)
	if err := lab.kube.Delete(t.Context(), &ds); err != nil {
		t.Fatal(err)
	}
	waitGone(t, &ds)
	back()
	assertSwept(t, ds)
}

func TestNamespaceFinalizedByForce(t *testing.T) {
	ns := newNamespace(t)
	ds := upload(t, ns, "digits")
	back := withoutOperator(t)
	namespace := &corev1.Namespace{}
	namespace.Name = ns
	if err := lab.kube.Delete(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "-n", ns, "wait", "--for=jsonpath={.metadata.deletionTimestamp}", "datasetretention/digits", "--timeout=1m")
	// The namespace controller writes into the namespace too.
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if err := lab.kube.Get(t.Context(), client.ObjectKeyFromObject(namespace), namespace); err != nil {
			return err
		}
		namespace.Spec.Finalizers = nil
		_, err := lab.core.CoreV1().Namespaces().Finalize(t.Context(), namespace, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	waitGone(t, namespace)
	back()
	waitErased(t, ds)
	// The API server takes no change of what is left of it, until there is a namespace
	// of that name again.
	if err := lab.kube.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}); err != nil {
		t.Fatal(err)
	}
	waitGone(t, &ds)
}

func TestCustomResourceDefinitionDeleted(t *testing.T) {
	ns := newNamespace(t)
	ds := upload(t, ns, "digits")
	back := withoutOperator(t)
	withoutPolicies(t)
	const crd = "datasetretentions.lethe.dev"
	var all v1alpha1.DatasetRetentionList
	if err := lab.kube.List(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for i := range all.Items {
		stripFinalizers(t, &all.Items[i])
	}
	kubectl(t, "delete", "crd", crd, "--timeout=1m")
	kubectl(t, "apply", "--server-side", "--force-conflicts", "--field-manager=lethe-lab", "-k", "../../config/crd")
	kubectl(t, "wait", "--for=condition=Established", "crd/"+crd, "--timeout=1m")
	back()
	assertSwept(t, ds)
}

// TestEtcdRestored puts the cluster back to a moment before the dataset was made:
// its data and its ledger are in the store, and nobody in the cluster knows it.
func TestEtcdRestored(t *testing.T) {
	ns := newNamespace(t)
	age(t) // Before the backup, so that the restore brings them back.
	backup := t.TempDir()
	withoutControlPlane(t, func() { copyFolder(t, etcdDisk, backup) })
	ds := upload(t, ns, "digits")
	withoutControlPlane(t, func() {
		if err := os.RemoveAll(etcdDisk + "/member"); err != nil {
			t.Fatal(err)
		}
		copyFolder(t, backup, etcdDisk)
	})
	// Caches are of a time that never was, as after every restore.
	for _, component := range []string{"kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"} {
		labCommand(t, "stop", component)
		labCommand(t, "start", component)
	}
	kubectl(t, "-n", operatorNamespace, "delete", "pod", "-l", "app.kubernetes.io/name=lethe-manager", "--grace-period=0", "--force")
	kubectl(t, "-n", operatorNamespace, "rollout", "status", "deploy/lethe-manager", "--timeout=2m")
	if err := lab.kube.Get(t.Context(), client.ObjectKeyFromObject(&ds), ds.DeepCopy()); !apierrors.IsNotFound(err) {
		t.Fatalf("the cluster has not forgotten the dataset: %v", err)
	}
	assertSwept(t, ds)
}

// withoutControlPlane does something while etcd and the API server are stopped.
func withoutControlPlane(t *testing.T, do func()) {
	t.Helper()
	labCommand(t, "stop", "kube-apiserver")
	labCommand(t, "stop", "etcd")
	defer func() {
		for _, component := range []string{"etcd", "kube-apiserver"} {
			if out, err := command(context.Background(), tool("lab"), "start", component); err != nil {
				t.Errorf("start %s again: %v\n%s", component, err, out)
			}
		}
	}()
	do()
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "cp", "-a", from+"/.", to).CombinedOutput()
	if err != nil {
		t.Fatalf("copy %s: %v\n%s", from, err, out)
	}
}

// TestActiveDataMissing takes the data of a dataset that is in order: nothing brings
// it back, but somebody is told.
func TestActiveDataMissing(t *testing.T) {
	ns := newNamespace(t)
	ds := upload(t, ns, "digits")
	at := ds.Status.Location
	for version, err := range lab.store.ListVersions(t.Context(), at.Bucket, at.Prefix) {
		if err != nil {
			t.Fatal(err)
		}
		if err := lab.store.RemoveVersions(t.Context(), at.Bucket, []objectstore.Version{version}); err != nil {
			t.Fatal(err)
		}
	}
	eventuallyEvent(t, ns, "digits", "DataMissing")
}

// receiptOf verifies the receipt of an erase, as anybody could, and gives it.
func receiptOf(t *testing.T, ns, uid string) objectkey.EraseReceipt {
	t.Helper()
	var published corev1.ConfigMap
	at := client.ObjectKey{Namespace: receipts.PublicNamespace, Name: receipts.PublicName}
	if err := lab.kube.Get(t.Context(), at, &published); err != nil {
		t.Fatal(err)
	}
	keys, err := objectkey.ParsePublicKeys([]byte(published.Data[receipts.PublicKeys]))
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := objectkey.Verify(readObject(t, receiptsBucket, objectkey.Receipt(ns, uid)), keys)
	if err != nil {
		t.Fatalf("the receipt of %s/%s: %v", ns, uid, err)
	}
	return receipt
}
