package system_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// Runs with several nodes.

// TestTwoNodesTrainOneModel is the sample trainer on two nodes with a GPU each: they
// find each other by name, add up their gradients, and node 0 publishes.
func TestTwoNodesTrainOneModel(t *testing.T) {
	t.Parallel()
	ns := journey(t)
	create(t, aRun(ns, "pair", "digits", slowly("5"), hardware(2, 1)))
	started := waitRun(t, ns, "pair", v1alpha1.RunRunning)
	assertPair(t, started)
	run := waitRun(t, ns, "pair", v1alpha1.RunSucceeded)
	assertAttempts(t, run, v1alpha1.AttemptSucceeded)
	if used := run.Status.Usage; used == nil || used.GPUSeconds < 2*10 || used.TrainingSeconds > used.GPUSeconds {
		t.Errorf("usage %+v, want two GPUs for at least the 10 s of two epochs", used)
	}
	results := filepath.Join(t.TempDir(), "results")
	lethe(t, "artifacts", "pair", results, "-n", ns)
	mustRun(t, tool("digits"), "evaluate", "-model", filepath.Join(results, "model.json"), "-data", lab.dataset, "-min", "0.7")
	for node, says := range map[int]string{0: "done: model.json", 1: "done: node 0 publishes the model"} {
		if log := storedLog(t, run, 1, node); !strings.Contains(log, "all 2 nodes are there") || !strings.Contains(log, says) {
			t.Errorf("the log of node %d lacks that all were there, or %q:\n%s", node, says, log)
		}
	}
}

// assertPair looks at what a run on two nodes is made of.
func assertPair(t *testing.T, run v1alpha1.TrainingRun) {
	t.Helper()
	key := client.ObjectKeyFromObject(&run)
	var job batchv1.Job
	if err := lab.kube.Get(t.Context(), key, &job); err != nil {
		t.Fatal(err)
	}
	if mode := job.Spec.CompletionMode; mode == nil || *mode != batchv1.IndexedCompletion || *job.Spec.Completions != 2 || *job.Spec.Parallelism != 2 {
		t.Errorf("the Job is %v with %d of %d Pods, want 2 that are indexed", mode, *job.Spec.Parallelism, *job.Spec.Completions)
	}
	var services corev1.ServiceList
	if err := lab.kube.List(t.Context(), &services, client.InNamespace(run.Namespace)); err != nil {
		t.Fatal(err)
	}
	if len(services.Items) != 1 {
		t.Fatalf("got %d Services, want one", len(services.Items))
	}
	if s := services.Items[0]; s.Spec.ClusterIP != corev1.ClusterIPNone || !s.Spec.PublishNotReadyAddresses || !metav1.IsControlledBy(&s, &run) {
		t.Errorf("the Service %s is not headless, waits for readiness, or is not the run's: %+v", s.Name, s.Spec)
	}
	if pods := podsOf(t, run.Namespace, run.Name); len(pods) != 2 {
		t.Errorf("got %d pods, want 2", len(pods))
	}
}

// TestOneOfTwoNodesFails: the other one is stopped at a checkpoint, and both go on from
// it in a new attempt.
func TestOneOfTwoNodesFails(t *testing.T) {
	t.Parallel()
	ns := journey(t)
	create(t, unruly(ns, "half", 60, told{"DO": "exit", "AT": "30", "NODE": "1", "ATTEMPT": "1", "CODE": "9"}, hardware(2, 0), retries(1)))
	run := waitRun(t, ns, "half", v1alpha1.RunSucceeded)
	assertAttempts(t, run, v1alpha1.AttemptFailed, v1alpha1.AttemptSucceeded)
	if first := run.Status.Attempts[0]; first.ExitCode == nil || *first.ExitCode != 9 {
		t.Errorf("the first attempt is %+v, want node 1's exit code 9", first)
	}
	assertResumed(t, run, 2, 20, 60)
	// Node 1 was given what node 0 had written.
	if log, from := storedLog(t, run, 2, 1), trailOf(t, run)[1].From; !strings.Contains(log, fmt.Sprintf("going on after step %d\n", from)) {
		t.Errorf("node 1 did not go on after step %d:\n%s", from, log)
	}
}

// TestEveryNodeWritesItsPart of a checkpoint, and gets it back.
func TestEveryNodeWritesItsPart(t *testing.T) {
	t.Parallel()
	ns := journey(t)
	create(t, unruly(ns, "parts", 100, told{"EVERY_NODE": "true", "CHECKPOINT_EVERY": "30"}, hardware(2, 0), retries(1),
		func(run *v1alpha1.TrainingRun) { run.Spec.Checkpoint.Writers = v1alpha1.WritersEveryNode }))
	before := waitCheckpoint(t, ns, "parts", 30)
	if got := before.Status.Checkpoints[0]; got.Objects != 4 {
		t.Errorf("the checkpoint %+v has not the two files of both nodes", got)
	}
	for _, pod := range podsOf(t, ns, "parts") {
		if strings.HasPrefix(pod.Name, "parts-1") {
			kill(t, pod, staging.ContainerTrainer)
		}
	}
	run := waitRun(t, ns, "parts", v1alpha1.RunSucceeded) // A node that got another's part would fail.
	assertAttempts(t, run, v1alpha1.AttemptFailed, v1alpha1.AttemptSucceeded)
	assertResumed(t, run, 2, 30, 100)
}

// TestShardedDataset: each file is at one node, and at one only.
func TestShardedDataset(t *testing.T) {
	t.Parallel()
	ns := journey(t)
	files := int(*dataset(t, ns, "digits").Status.Objects)
	create(t, unruly(ns, "shards", 4, nil, hardware(2, 0), func(run *v1alpha1.TrainingRun) {
		run.Spec.DatasetRef.Distribution = v1alpha1.DistributionSharded
	}))
	run := waitRun(t, ns, "shards", v1alpha1.RunSucceeded)
	for node, want := range []int{(files + 1) / 2, files / 2} {
		log := storedLog(t, run, 1, node)
		if says := fmt.Sprintf("node %d of 2: %d files,", node, want); !strings.Contains(log, says) {
			t.Errorf("the log of node %d lacks %q, of %d files in all:\n%s", node, says, files, log)
		}
		if !strings.Contains(log, "2 lines in the list of nodes") {
			t.Errorf("node %d has no list of the nodes:\n%s", node, log)
		}
	}
}
