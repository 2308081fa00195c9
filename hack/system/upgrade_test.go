package system_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// otherManager is the operator built as another version.
const otherManager = "lethe.dev/manager:other"

// loadOtherManager builds the operator as another version, or takes the one that
// LETHE_TEST_OTHER_MANAGER names, such as an older release.
func loadOtherManager(t *testing.T) {
	t.Helper()
	program := os.Getenv("LETHE_TEST_OTHER_MANAGER")
	if program == "" {
		program = filepath.Join(t.TempDir(), "manager")
		mustRun(t, "env", "-C", "../..", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=other", "-o", program, "./cmd/manager")
	}
	labCommand(t, "load", otherManager+"="+program)
}

// resting are datasets that nothing happens to.
const resting = 20

// TestUpdateAndBack changes the operator to another version, and back, while a run trains
// and a dataset is erased: neither is the worse for it, and what rests is not touched.
func TestUpdateAndBack(t *testing.T) {
	twoReplicas(t)
	loadOtherManager(t)
	ns := journey(t)
	going := upload(t, ns, "going")
	// Its erase goes on for a good minute, until credentials to upload have ended.
	if err := lab.kube.Delete(t.Context(), &going); err != nil {
		t.Fatal(err)
	}
	for i := range resting {
		create(t, &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: fmt.Sprintf("rests-%02d", i)}})
	}
	create(t, unruly(ns, "rests", 1, nil))
	waitRun(t, ns, "rests", v1alpha1.RunSucceeded)
	waitAllOpen(t, ns)
	broker := watchBroker(t, ns)
	create(t, unruly(ns, "training", 80, nil, hardware(1, 1)))
	waitCheckpoint(t, ns, "training", 1)
	pod := podsOf(t, ns, "training")[0]
	begun, own := time.Now(), leader(t).Spec.Containers[0].Image
	t.Cleanup(func() {
		// Nothing changes when it is back already.
		out, err := command(context.Background(), tool("kubectl"), "-n", operatorNamespace, "set", "image", "deploy/lethe-manager", "manager="+own)
		if err != nil {
			t.Errorf("put the operator back: %v\n%s", err, out)
		}
	})
	update(t, otherManager, "set", "image", "deploy/lethe-manager", "manager="+otherManager)
	waitCheckpoint(t, ns, "training", newestStep(waitRun(t, ns, "training", v1alpha1.RunRunning).Status)+1)
	update(t, own, "rollout", "undo", "deploy/lethe-manager")
	waitCheckpoint(t, ns, "training", newestStep(waitRun(t, ns, "training", v1alpha1.RunRunning).Status)+1)
	run := waitRun(t, ns, "training", v1alpha1.RunSucceeded)
	assertAttempts(t, run, v1alpha1.AttemptSucceeded)
	if trail := trailOf(t, run); len(trail) != 1 {
		t.Errorf("the trail is %+v, want one process", trail)
	}
	waitGone(t, &going)
	assertReceipt(t, going)
	assertOneReceipt(t, going)
	assertNoGap(t, broker())
	assertOnce(t, ns, begun, "rests", "training")
	assertUndisturbed(t, ns, pod)
	assertLetRest(t, ns, begun)
}

// update changes the operator, and waits until a replica leads that runs this image.
func update(t *testing.T, image string, change ...string) {
	t.Helper()
	begun := time.Now()
	kubectl(t, append([]string{"-n", operatorNamespace}, change...)...)
	rolledOut(t)
	eventually(t, image+" to lead", func(ctx context.Context) (bool, string, error) {
		name, err := leaderName(ctx)
		for _, pod := range operators(t) {
			if pod.Name == name && pod.Spec.Containers[0].Image == image {
				return true, "", nil
			}
		}
		return false, name, err
	})
	t.Logf("%s leads after %s", image, time.Since(begun).Round(time.Second))
}

func waitAllOpen(t *testing.T, ns string) {
	t.Helper()
	eventually(t, "all datasets to be open", func(ctx context.Context) (bool, string, error) {
		var all v1alpha1.DatasetRetentionList
		err := lab.kube.List(ctx, &all, client.InNamespace(ns))
		for _, ds := range all.Items {
			if ds.Status.Location == nil {
				return false, ds.Name + " is not", err
			}
		}
		return err == nil, "", err
	})
}

// assertOneReceipt wants the receipt to have been written once, also behind what is read.
func assertOneReceipt(t *testing.T, ds v1alpha1.DatasetRetention) {
	t.Helper()
	versions := 0
	for _, err := range lab.store.ListVersions(t.Context(), receiptsBucket, objectkey.Receipt(ds.Namespace, string(ds.UID))) {
		if err != nil {
			t.Fatal(err)
		}
		versions++
	}
	if versions != 1 {
		t.Errorf("%d receipts were written, want one", versions)
	}
}

// assertLetRest wants no write to what nothing happened to, and prints how many there were
// to the rest.
func assertLetRest(t *testing.T, ns string, since time.Time) {
	t.Helper()
	count := map[string]int{}
	for _, w := range writesSince(t, since) {
		if w.Resource.Namespace == ns && strings.HasPrefix(w.Resource.Name, "rests") {
			t.Errorf("what rests was written: %s", w)
		}
		at := "elsewhere"
		if w.Resource.Namespace == ns {
			at = "in the namespace"
		}
		count[fmt.Sprintf("%s %s %s", w.Verb, w.Resource.Resource, at)]++
	}
	t.Logf("writes of two updates: %v", count)
}
