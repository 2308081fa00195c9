package system_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// The tests of this file stop parts that all journeys share, so they do not run
// beside any other.

func labCommand(t *testing.T, args ...string) {
	t.Helper()
	mustRun(t, tool("lab"), args...)
}

// withoutStore stops MinIO until the returned function is called, or the test ends.
func withoutStore(t *testing.T) (back func()) {
	t.Helper()
	labCommand(t, "stop", "minio")
	started := false
	back = func() {
		if !started {
			started = true
			labCommand(t, "start", "minio")
		}
	}
	t.Cleanup(func() {
		if !started {
			if out, err := command(context.Background(), tool("lab"), "start", "minio"); err != nil {
				t.Errorf("start minio again: %v\n%s", err, out)
			}
		}
	})
	return back
}

// TestStoreIsAwayWhenRunStarts: no Pod is made before the ledger has its record, and
// the run says what it waits for.
func TestStoreIsAwayWhenRunStarts(t *testing.T) {
	age(t)
	ns := newNamespace(t)
	upload(t, ns, "digits")
	back := withoutStore(t)
	create(t, aRun(ns, "patient", "digits"))
	waitRunReason(t, ns, "patient", v1alpha1.ReasonStoreUnavailable)
	back()
	waitRun(t, ns, "patient", v1alpha1.RunSucceeded)
}

func TestStoreStopsDuringErase(t *testing.T) {
	objectByObject(t)
	ds := agedDataset(t, agedStoreStops)
	ns := ds.Namespace
	fill(t, ds.Status.Location)
	before := holdings(t, ds.Status.Location)
	if err := lab.kube.Delete(t.Context(), &ds); err != nil {
		t.Fatal(err)
	}
	waitHalfErased(t, &ds, before)
	back := withoutStore(t)
	waitDataset(t, ns, agedStoreStops, "to say that the store is away", func(ds v1alpha1.DatasetRetention) bool {
		return ds.Status.State == v1alpha1.DatasetErasing && ds.Status.Reason == v1alpha1.ReasonStoreUnavailable
	})
	back()
	waitGone(t, &ds)
	if n := holdings(t, ds.Status.Location); n != 0 {
		t.Errorf("the store still holds %d versions or uploads", n)
	}
	assertReceipt(t, ds)
}

// manyObjects makes an erase take long enough to be killed in the middle.
const manyObjects = 12000

func TestOperatorKilledDuringErase(t *testing.T) {
	objectByObject(t)
	ds := agedDataset(t, agedOperatorDies)
	fill(t, ds.Status.Location)
	before := holdings(t, ds.Status.Location)
	if err := lab.kube.Delete(t.Context(), &ds); err != nil {
		t.Fatal(err)
	}
	waitHalfErased(t, &ds, before)
	kubectl(t, "-n", operatorNamespace, "delete", "pod", "-l", "app.kubernetes.io/name=lethe-manager", "--grace-period=0", "--force")
	waitGone(t, &ds)
	if n := holdings(t, ds.Status.Location); n != 0 {
		t.Errorf("the store still holds %d versions or uploads", n)
	}
	assertReceipt(t, ds)
	receipt := receiptOf(t, ds.Namespace, string(ds.UID))
	if receipt.Versions != int64(before) {
		t.Errorf("the receipt counts %d versions, want the %d that were there before the kill", receipt.Versions, before)
	}
	kubectl(t, "-n", operatorNamespace, "rollout", "status", "deploy/lethe-manager", "--timeout=2m")
}

// objectByObject keeps the operator from removing a dataset by one request, which can
// not be cut off in the middle, until the test ends.
func objectByObject(t *testing.T) {
	t.Helper()
	const deployment = "deploy/lethe-manager"
	rollout := func(ctx context.Context, args ...string) {
		for _, step := range [][]string{args, {"rollout", "status", deployment, "--timeout=2m"}} {
			out, err := command(ctx, tool("kubectl"), append([]string{"-n", operatorNamespace}, step...)...)
			if err != nil {
				t.Errorf("restart the operator: %v\n%s", err, out)
			}
		}
	}
	rollout(t.Context(), "patch", deployment, "--type=json", "--patch",
		`[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--erase-fast-path=false"}]`)
	t.Cleanup(func() { rollout(context.Background(), "rollout", "undo", deployment) })
}

// waitHalfErased waits until some, but not all, of the data is gone.
func waitHalfErased(t *testing.T, ds *v1alpha1.DatasetRetention, before int) {
	t.Helper()
	eventually(t, "the erase to be half done", func(context.Context) (bool, string, error) {
		left := holdings(t, ds.Status.Location)
		if left == 0 {
			t.Fatal("the erase was over before it could be disturbed; raise manyObjects")
		}
		return left < before, fmt.Sprintf("%d of %d are left", left, before), nil
	})
}

// fill puts many small objects beside the dataset's own.
func fill(t *testing.T, at *v1alpha1.ObjectLocation) {
	t.Helper()
	const writers = 16
	errs := make(chan error, writers)
	for w := range writers {
		go func() {
			for i := w; i < manyObjects; i += writers {
				key := objectkey.Data(at.Prefix, fmt.Sprintf("fill/%06d", i))
				if err := lab.store.Put(t.Context(), at.Bucket, key, bytes.NewReader([]byte("x")), 1, objectstore.PutOptions{}); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}
