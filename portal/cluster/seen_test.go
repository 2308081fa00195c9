package cluster_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/cluster"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) *metav1.Time { return ptr.To(metav1.NewTime(noon.Add(d))) }

func TestWhatARunSays(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		run  v1alpha1.TrainingRun
		want portal.RunSeen
	}{
		"a run that nobody has looked at yet": {
			run:  v1alpha1.TrainingRun{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "17"}},
			want: portal.RunSeen{Version: 17, At: noon},
		},
		"a version that is no number is the oldest": {
			run:  v1alpha1.TrainingRun{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "x"}},
			want: portal.RunSeen{At: noon},
		},
		"a run that is to be suspended": {
			run:  v1alpha1.TrainingRun{Spec: v1alpha1.TrainingRunSpec{Suspend: true}},
			want: portal.RunSeen{At: noon, Suspended: true},
		},
		"a run that trains": {
			run: v1alpha1.TrainingRun{Status: v1alpha1.TrainingRunStatus{
				State: v1alpha1.RunRunning, Reason: "Training", Message: "m", StartTime: at(time.Minute),
				// What is not final is not told as an end.
				CompletionTime: at(time.Hour),
				Attempts: []v1alpha1.Attempt{
					{Number: 1, Result: v1alpha1.AttemptFailed, Reason: "OOMKilled", StartTime: at(0), EndTime: at(time.Minute), GPUSeconds: 60},
					{Number: 2, StartTime: at(2 * time.Minute)},
				},
				Usage: &v1alpha1.Usage{GPUSeconds: 60, LostGPUSeconds: 20},
				Progress: &v1alpha1.Progress{
					Percent: ptr.To[int32](42), Step: ptr.To[int64](420), TotalSteps: ptr.To[int64](1000), Epoch: ptr.To[int64](1), Epochs: ptr.To[int64](3),
					Metrics:        []v1alpha1.Metric{{Name: "loss", Value: "0.25"}, {Name: "rate", Value: "-1e-3"}, {Name: "vast", Value: "1e999"}},
					LastUpdateTime: at(3 * time.Minute), EstimatedCompletionTime: at(time.Hour),
				},
				Checkpoints: []v1alpha1.Checkpoint{{ID: "0001-000001", Time: *at(0)}, {ID: "0001-000002", Time: *at(time.Minute)}},
			}},
			want: portal.RunSeen{
				At: noon, State: "Running", Reason: "Training", Message: "m", StartedAt: noon.Add(time.Minute),
				Attempts: []portal.RunAttempt{
					{Number: 1, Result: "Failed", Reason: "OOMKilled", StartedAt: noon, EndedAt: noon.Add(time.Minute), GPUSeconds: 60},
					{Number: 2, StartedAt: noon.Add(2 * time.Minute)},
				},
				GPUSeconds: 60, LostGPUSeconds: 20, Checkpoint: "0001-000002", CheckpointAt: noon.Add(time.Minute),
				Progress: portal.RunProgress{
					At: noon.Add(3 * time.Minute), EndsAt: noon.Add(time.Hour), Percent: ptr.To(42.0),
					Step: 420, TotalSteps: 1000, Epoch: 1, Epochs: 3, Metrics: map[string]float64{"loss": 0.25, "rate": -0.001},
				},
			},
		},
		"a run that has failed": {
			run: v1alpha1.TrainingRun{Status: v1alpha1.TrainingRunStatus{
				State: v1alpha1.RunFailed, Reason: "NonZeroExit", CompletionTime: at(time.Hour),
				Failure: &v1alpha1.RunFailure{Reason: "NonZeroExit", Blame: v1alpha1.BlameUser, Hint: "h", ExitCode: ptr.To[int32](1), LogTail: "boom"},
				Dataset: &v1alpha1.BoundDataset{UID: "u", ReceiptDigest: "sha256:r"},
			}},
			want: portal.RunSeen{
				At: noon, State: "Failed", Reason: "NonZeroExit", EndedAt: noon.Add(time.Hour), DatasetReceipt: "sha256:r",
				Failure: &portal.RunFailure{Blame: "User", Reason: "NonZeroExit", ExitCode: ptr.To(1), Hint: "h", LogTail: "boom"},
			},
		},
		"a run that has succeeded": {
			run: v1alpha1.TrainingRun{Status: v1alpha1.TrainingRunStatus{
				State: v1alpha1.RunSucceeded, CompletionTime: at(time.Hour),
				Artifacts: &v1alpha1.ArtifactsStatus{ManifestDigest: "sha256:m", Objects: 2, Bytes: 300},
			}},
			want: portal.RunSeen{At: noon, State: "Succeeded", EndedAt: noon.Add(time.Hour), ArtifactFiles: 2, ArtifactBytes: 300, ArtifactManifest: "sha256:m"},
		},
		"a run that was cancelled": {
			run: v1alpha1.TrainingRun{Status: v1alpha1.TrainingRunStatus{
				State: v1alpha1.RunCancelled, Reason: "Cancelled", CompletionTime: at(time.Hour),
			}},
			want: portal.RunSeen{At: noon, State: "Cancelled", Reason: "Cancelled", EndedAt: noon.Add(time.Hour)},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, cluster.SeenRun(&c.run, noon)); diff != "" {
				t.Errorf("seen (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatADatasetSays(t *testing.T) {
	t.Parallel()
	defaults := func(s portal.DatasetSeen) portal.DatasetSeen {
		s.At, s.AfterTraining, s.MaxAge = noon, 24*time.Hour, 720*time.Hour
		return s
	}
	cases := map[string]struct {
		dataset v1alpha1.DatasetRetention
		want    portal.DatasetSeen
	}{
		"a dataset that nobody has looked at yet": {want: defaults(portal.DatasetSeen{})},
		"a dataset in use, with a hold": {
			dataset: v1alpha1.DatasetRetention{
				ObjectMeta: metav1.ObjectMeta{ResourceVersion: "9"},
				Spec: v1alpha1.DatasetRetentionSpec{Retention: v1alpha1.RetentionPolicy{
					AfterTraining: &metav1.Duration{}, MaxAge: &metav1.Duration{Duration: time.Hour},
				}},
				Status: v1alpha1.DatasetRetentionStatus{
					State: v1alpha1.DatasetInUse, Reason: "RunsActive", Message: "m", Objects: ptr.To[int64](3), Bytes: ptr.To[int64](99),
					ManifestDigest: "sha256:m", ActiveRuns: []string{"r"}, ExpiresAt: at(time.Hour),
					Hold: &v1alpha1.HoldStatus{Reason: "case 7", Until: *at(48 * time.Hour)},
				},
			},
			want: portal.DatasetSeen{
				Version: 9, At: noon, State: "InUse", Reason: "RunsActive", Message: "m", Files: 3, Bytes: 99, Manifest: "sha256:m",
				ActiveRuns: []string{"r"}, ExpiresAt: noon.Add(time.Hour), MaxAge: time.Hour, HoldUntil: noon.Add(48 * time.Hour), HoldReason: "case 7",
			},
		},
		"a dataset that was deleted a moment ago is being erased": {
			dataset: v1alpha1.DatasetRetention{
				ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: at(0)},
				Status:     v1alpha1.DatasetRetentionStatus{State: v1alpha1.DatasetReady},
			},
			want: defaults(portal.DatasetSeen{State: "Erasing"}),
		},
		"an erase that goes on": {
			dataset: v1alpha1.DatasetRetention{Status: v1alpha1.DatasetRetentionStatus{
				State: v1alpha1.DatasetErasing, Erasure: &v1alpha1.ErasureStatus{StartTime: *at(0), Versions: 10, RemovedVersions: 4},
			}},
			want: defaults(portal.DatasetSeen{State: "Erasing", EraseStartedAt: noon, Versions: 10, RemovedVersions: 4}),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, cluster.SeenDataset(&c.dataset, noon)); diff != "" {
				t.Errorf("seen (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhichGPUsThereAre(t *testing.T) {
	t.Parallel()
	node := func(kind string, gpus string, unschedulable bool) corev1.Node {
		n := corev1.Node{Spec: corev1.NodeSpec{Unschedulable: unschedulable}}
		if kind != "" {
			n.Labels = map[string]string{v1alpha1.LabelGPUProduct: kind}
		}
		if gpus != "" {
			n.Status.Allocatable = corev1.ResourceList{v1alpha1.ResourceGPU: resource.MustParse(gpus)}
		}
		return n
	}
	got := cluster.OffersOf([]corev1.Node{
		node("NVIDIA-H200", "8", false), node("NVIDIA-H200", "4", false), node("NVIDIA-A10", "1", false),
		node("", "2", false), node("NVIDIA-B200", "8", true), node("NVIDIA-L4", "0", false), node("", "", false),
	})
	want := []portal.GPUOffer{
		{Product: "", Total: 2, PerNode: 2}, {Product: "NVIDIA-A10", Total: 1, PerNode: 1}, {Product: "NVIDIA-H200", Total: 12, PerNode: 8},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("offers (-want +got):\n%s", diff)
	}
}
