package overview

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/terminal"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

var now = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) *metav1.Time { return &metav1.Time{Time: now.Add(d)} }

func meta(name string, age time.Duration) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "team", Name: name, CreationTimestamp: *at(-age)}
}

func succeeded() v1alpha1.TrainingRun {
	return v1alpha1.TrainingRun{
		ObjectMeta: meta("digits-1", 2*time.Hour),
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: "digits"}, Trainer: v1alpha1.Trainer{Image: "registry/trainer:1"},
			Nodes: v1alpha1.Nodes{GPUsPerNode: new(int32(2))},
		},
		Status: v1alpha1.TrainingRunStatus{
			State: v1alpha1.RunSucceeded, Reason: v1alpha1.ReasonPublished, Message: "The artifacts are in the store.",
			Dataset:   &v1alpha1.BoundDataset{UID: "uid", ManifestDigest: "sha256:cd", ReceiptDigest: "sha256:ef"},
			StartTime: at(-time.Hour), CompletionTime: at(-30 * time.Minute), Usage: &v1alpha1.Usage{GPUSeconds: 3600},
			Artifacts: &v1alpha1.ArtifactsStatus{ManifestDigest: "sha256:ab", Objects: 3, Bytes: 4 << 20},
			Conditions: []metav1.Condition{
				{Type: v1alpha1.ConditionComplete, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonPublished, LastTransitionTime: *at(-30 * time.Minute)},
			},
		},
	}
}

const exitCode3 = "the trainer ended with exit code 3; `kubectl lethe logs digits-2` shows its output"

func failed() v1alpha1.TrainingRun {
	return v1alpha1.TrainingRun{
		ObjectMeta: meta("digits-2", time.Minute),
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: "digits"}, Trainer: v1alpha1.Trainer{Image: "registry/trainer:2"},
		},
		Status: v1alpha1.TrainingRunStatus{
			State: v1alpha1.RunFailed, Reason: v1alpha1.ReasonNonZeroExit, Message: exitCode3,
			StartTime: at(-50 * time.Second), CompletionTime: at(-10 * time.Second),
			Failure: &v1alpha1.RunFailure{
				Reason: v1alpha1.ReasonNonZeroExit, Message: exitCode3, ExitCode: new(int32(3)),
			},
			Conditions: []metav1.Condition{{
				Type: v1alpha1.ConditionComplete, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNonZeroExit,
				Message: exitCode3, LastTransitionTime: *at(-10 * time.Second),
			}},
		},
	}
}

// busy is in its second attempt, on two nodes, under limits.
func busy() v1alpha1.TrainingRun {
	return v1alpha1.TrainingRun{
		ObjectMeta: meta("digits-4", 4*time.Hour),
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: "digits", Distribution: v1alpha1.DistributionSharded},
			Trainer:    v1alpha1.Trainer{Image: "registry/trainer:3"}, QueueName: "team",
			Nodes: v1alpha1.Nodes{Count: new(int32(2)), GPUsPerNode: new(int32(8)), GPUProduct: "NVIDIA-H200"},
			Retry: v1alpha1.RetryPolicy{Limit: new(int32(3))},
			Limits: v1alpha1.Limits{
				MaxDuration: &metav1.Duration{Duration: 12 * time.Hour}, MaxGPUSeconds: new(int64(100000)),
				StartWithin: &metav1.Duration{Duration: 24 * time.Hour}, StalledAfter: &metav1.Duration{Duration: 10 * time.Minute},
			},
		},
		Status: v1alpha1.TrainingRunStatus{
			State: v1alpha1.RunRunning, Reason: v1alpha1.ReasonTraining, Message: "The trainer runs.", StartTime: at(-3 * time.Hour),
			Usage:   &v1alpha1.Usage{GPUSeconds: 57600, TrainingSeconds: 3600, LostGPUSeconds: 960},
			Attempt: 2, ChargedAttempts: 1,
			Attempts: []v1alpha1.Attempt{
				{
					Number: 1, StartTime: at(-3 * time.Hour), EndTime: at(-2 * time.Hour), Result: v1alpha1.AttemptFailed,
					Reason: v1alpha1.ReasonNonZeroExit, ExitCode: new(int32(1)), GPUSeconds: 57600, TrainingSeconds: 3600, LostGPUSeconds: 960,
				},
				{Number: 2, StartTime: at(-time.Hour), ResumedFrom: "0001-000002", Disruptions: 1},
			},
			Progress: &v1alpha1.Progress{
				Attempt: 2, Step: new(int64(840)), TotalSteps: new(int64(2000)), Epoch: new(int64(3)), Epochs: new(int64(10)),
				Metrics:                 []v1alpha1.Metric{{Name: "accuracy", Value: "0.951234"}, {Name: "loss", Value: "1.5e-3"}},
				EstimatedCompletionTime: at(83 * time.Minute), LastUpdateTime: at(-5 * time.Second),
			},
			Checkpoints: []v1alpha1.Checkpoint{
				{ID: "0001-000002", Step: 500, Objects: 3, Bytes: 5 << 30, Time: *at(-2 * time.Hour)},
				{ID: "0002-000001", Objects: 3, Bytes: 5 << 30, Time: *at(-10 * time.Minute)},
			},
		},
	}
}

// killed says all that a failure can say.
func killed() v1alpha1.TrainingRun {
	run := failed()
	run.Name, run.Status.Reason, run.Status.Message = "digits-5", v1alpha1.ReasonCUDAOutOfMemory, "the trainer needed more memory than its GPU has"
	run.Spec.Nodes = v1alpha1.Nodes{Count: new(int32(2)), GPUsPerNode: new(int32(1))}
	run.Status.Conditions = nil
	run.Status.Failure = &v1alpha1.RunFailure{
		Reason: v1alpha1.ReasonCUDAOutOfMemory, Blame: v1alpha1.BlameUser, Message: run.Status.Message, Hint: "use a smaller batch",
		Container: "trainer", Node: new(int32(1)), ExitCode: new(int32(1)),
		LogTail: "step 12\n\x1b[31mtorch.OutOfMemoryError: CUDA out of memory.\x1b[0m Tried to allocate\n",
	}
	return run
}

func fresh() v1alpha1.TrainingRun {
	return v1alpha1.TrainingRun{
		ObjectMeta: meta("digits-3", time.Second),
		Spec:       v1alpha1.TrainingRunSpec{DatasetRef: v1alpha1.DatasetReference{Name: "digits"}},
	}
}

func ready() v1alpha1.DatasetRetention {
	return v1alpha1.DatasetRetention{
		ObjectMeta: meta("digits", 3*time.Hour),
		Spec: v1alpha1.DatasetRetentionSpec{Sealed: true, Retention: v1alpha1.RetentionPolicy{
			AfterTraining: &metav1.Duration{Duration: 24 * time.Hour}, MaxAge: &metav1.Duration{Duration: 720 * time.Hour},
		}},
		Status: v1alpha1.DatasetRetentionStatus{
			State: v1alpha1.DatasetReady, Reason: v1alpha1.ReasonVerified, Message: "Runs may start on it.",
			Location: &v1alpha1.ObjectLocation{Bucket: "datasets", Prefix: "team/uid/"},
			KeyID:    "0123456789abcdef0123456789abcdef",
			Objects:  new(int64(24)), Bytes: new(int64(11 << 20)), ManifestDigest: "sha256:cd",
			LastUsedTime: at(-30 * time.Minute), ExpiresAt: at(24*time.Hour - time.Second),
		},
	}
}

func open() v1alpha1.DatasetRetention {
	return v1alpha1.DatasetRetention{
		ObjectMeta: meta("faces", time.Minute),
		Status:     v1alpha1.DatasetRetentionStatus{State: v1alpha1.DatasetOpen, Reason: v1alpha1.ReasonUploadOpen},
	}
}

func erasing() v1alpha1.DatasetRetention {
	ds := ready()
	ds.Name, ds.DeletionTimestamp = "voices", at(-time.Minute)
	ds.Status.State, ds.Status.Reason, ds.Status.Message = v1alpha1.DatasetErasing, v1alpha1.ReasonErased, ""
	ds.Status.ExpiresAt = at(-time.Minute)
	ds.Status.Erasure = &v1alpha1.ErasureStatus{
		StartTime: *at(-5 * time.Second), KeyDestroyedTime: at(-4 * time.Second), InventoryTime: at(-3 * time.Second),
		Versions: 25, Bytes: 11 << 20, Uploads: 1, RemovedVersions: 12,
	}
	return ds
}

func expiring() v1alpha1.DatasetRetention {
	ds := ready()
	ds.Name, ds.Status.State, ds.Status.Reason = "maps", v1alpha1.DatasetExpiring, v1alpha1.ReasonWindowRunning
	ds.Spec.Encryption, ds.Status.KeyID = v1alpha1.EncryptionBucket, ""
	ds.Status.Message, ds.Status.ExpiresAt = "Goes when the time after training is over.", at(90*time.Minute)
	return ds
}

// held was due half an hour ago.
func held() v1alpha1.DatasetRetention {
	ds := ready()
	ds.Name, ds.Status.State, ds.Status.Reason = "trades", v1alpha1.DatasetExpiring, v1alpha1.ReasonOnHold
	ds.Spec.Hold = &v1alpha1.Hold{Reason: "case 4711 of the court in Hades", Until: *at(48 * time.Hour)}
	ds.Status.Hold = &v1alpha1.HoldStatus{Reason: ds.Spec.Hold.Reason, Until: ds.Spec.Hold.Until, Since: *at(-time.Hour)}
	ds.Status.Message, ds.Status.ExpiresAt = "", at(-30*time.Minute)
	return ds
}

func TestTables(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	runs := []v1alpha1.TrainingRun{succeeded(), fresh(), failed(), busy()}
	datasets := []v1alpha1.DatasetRetention{open(), held(), ready(), erasing(), expiring()}
	for _, write := range []func() error{
		func() error { return Tables(terminal.Screen{Out: &b}, runs, datasets, now) },
		func() error { return Tables(terminal.Screen{Out: &b}, nil, nil, now) },
	} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "tables.txt", b.String())
	if runs[0].Name != "digits-1" || datasets[0].Name != "faces" {
		t.Error("the caller's slices were sorted")
	}
}

func TestDetails(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]v1alpha1.TrainingRun{
		"run-succeeded": succeeded(), "run-failed": failed(), "run-new": fresh(), "run-busy": busy(), "run-killed": killed(),
	} {
		var b strings.Builder
		if err := Run(terminal.Screen{Out: &b}, &run, now); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".txt", b.String())
	}
	for name, ds := range map[string]v1alpha1.DatasetRetention{
		"dataset-ready": ready(), "dataset-open": open(), "dataset-erasing": erasing(),
		"dataset-expiring": expiring(), "dataset-held": held(),
	} {
		var b strings.Builder
		if err := Dataset(terminal.Screen{Out: &b}, &ds, now); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".txt", b.String())
	}
}

func TestDetailsFitANarrowTerminal(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]v1alpha1.TrainingRun{"busy": busy(), "killed": killed()} {
		var b strings.Builder
		if err := Run(terminal.Screen{Out: &b, Width: func() int { return 61 }}, &run, now); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if got := words.Length(strings.TrimSuffix(line, "\n")); got > 60 {
				t.Errorf("%s: %d columns do not fit into 60: %q", name, got, line)
			}
		}
	}
}

func TestSinceIsTheStatesOwnTime(t *testing.T) {
	t.Parallel()
	waiting := fresh()
	waiting.Status.State, waiting.Status.Reason = v1alpha1.RunStarting, v1alpha1.ReasonUnschedulable
	waiting.Status.Conditions = []metav1.Condition{
		{Type: v1alpha1.ConditionRunning, Reason: v1alpha1.ReasonUnschedulable, LastTransitionTime: *at(-time.Minute)},
		{Type: v1alpha1.ConditionDatasetBound, Reason: v1alpha1.ReasonBound, LastTransitionTime: *at(0)},
	}
	for name, tc := range map[string]struct {
		run  v1alpha1.TrainingRun
		want time.Duration
	}{
		"from its condition": {waiting, -time.Minute}, "from its end": {failed(), -10 * time.Second}, "from its beginning": {fresh(), -time.Second},
	} {
		if got := Since(&tc.run).Sub(now); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

func TestEveryStateHasAStyle(t *testing.T) {
	t.Parallel()
	for _, state := range []v1alpha1.RunState{
		v1alpha1.RunPending, v1alpha1.RunQueued, v1alpha1.RunStarting, v1alpha1.RunRunning, v1alpha1.RunPublishing,
		v1alpha1.RunSuspended, v1alpha1.RunSucceeded, v1alpha1.RunFailed,
	} {
		if Style(state) == terminal.Plain {
			t.Errorf("%s has none", state)
		}
	}
}

// A failure may be older than what the status says now.
func TestFailureIsShownWhereTheStatusSaysSomethingElse(t *testing.T) {
	t.Parallel()
	run := failed()
	run.Status.Reason, run.Status.Message = v1alpha1.ReasonPodLost, "the Pod is gone"
	var b strings.Builder
	if err := Run(terminal.Screen{Out: &b}, &run, now); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"Message:    the Pod is gone\n", "Failure:    NonZeroExit\n", "Because:    " + exitCode3 + "\n"} {
		if strings.Count(b.String(), text) != 1 {
			t.Errorf("not exactly once %q:\n%s", text, &b)
		}
	}
}

func TestGoes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		mod  func(*v1alpha1.DatasetRetention)
		want string
	}{
		"counts down":          {func(*v1alpha1.DatasetRetention) {}, "erased in 23h 59m"},
		"is due":               {func(ds *v1alpha1.DatasetRetention) { ds.Status.ExpiresAt = at(0) }, "is due now"},
		"does not know it yet": {func(ds *v1alpha1.DatasetRetention) { ds.Status.ExpiresAt = nil }, "not known yet"},
		"waits for training":   {func(ds *v1alpha1.DatasetRetention) { ds.Status.State = v1alpha1.DatasetInUse }, "erased 1d after training"},
		"goes at once afterwards": {func(ds *v1alpha1.DatasetRetention) {
			ds.Status.State = v1alpha1.DatasetInUse
			ds.Spec.Retention.AfterTraining.Duration = 0
		}, "erased when training ends"},
		"counts down after training": {func(ds *v1alpha1.DatasetRetention) { ds.Status.State = v1alpha1.DatasetExpiring }, "erased in 23h 59m"},
		"is held": {func(ds *v1alpha1.DatasetRetention) {
			ds.Spec.Hold = &v1alpha1.Hold{Reason: "case 4711", Until: *at(time.Hour)}
		}, "held until 2026-09-01T13:00:00Z"},
		"is held though deleted, and for as long as the operator says": {func(ds *v1alpha1.DatasetRetention) {
			ds.DeletionTimestamp = at(0)
			ds.Status.Hold = &v1alpha1.HoldStatus{Reason: "case 4711", Until: *at(time.Hour)}
		}, "held until 2026-09-01T13:00:00Z"},
		"is not held by a hold that is over": {func(ds *v1alpha1.DatasetRetention) {
			ds.Spec.Hold = &v1alpha1.Hold{Reason: "case 4711", Until: *at(0)}
		}, "erased in 23h 59m"},
		"is not held any more once the erase has begun": {func(ds *v1alpha1.DatasetRetention) {
			ds.DeletionTimestamp = at(0)
			ds.Spec.Hold = &v1alpha1.Hold{Reason: "case 4711", Until: *at(time.Hour)}
			ds.Status.Erasure = &v1alpha1.ErasureStatus{StartTime: *at(0)}
		}, "being erased now"},
		"is going": {func(ds *v1alpha1.DatasetRetention) { ds.DeletionTimestamp = at(0) }, "being erased now"},
		"waits for its last user": {func(ds *v1alpha1.DatasetRetention) {
			ds.DeletionTimestamp = at(0)
			ds.Status.ActiveRuns = []string{"a", "b"}
		}, "erased when its runs have ended"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ds := ready()
			tc.mod(&ds)
			if got := Goes(&ds, now); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAnEraseSaysHowFarItIs(t *testing.T) {
	t.Parallel()
	begun := v1alpha1.ErasureStatus{StartTime: *at(-time.Minute)}
	counted := begun
	counted.InventoryTime = at(0)
	tests := map[string]struct {
		erasure v1alpha1.ErasureStatus
		want    string
	}{
		"before it has counted":    {begun, "since 1m, nothing is counted yet"},
		"when there is nothing":    {counted, "since 1m: found 0 versions, 0 B, 0 unfinished uploads"},
		"by an operator of before": {v1alpha1.ErasureStatus{StartTime: *at(-time.Minute), Versions: 1}, "since 1m: found 1 version, 0 B, 0 unfinished uploads"},
	}
	for name, tc := range tests {
		if got := progress(&tc.erasure, now); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}
