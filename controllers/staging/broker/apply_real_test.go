package broker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/hack/apitest"
)

func TestMain(m *testing.M) { apitest.Main(m) }

// stage is a run on a real API server that somebody else writes to as well.
type stage struct {
	t       *testing.T
	cluster *apitest.Cluster
	run     *v1alpha1.TrainingRun
}

func newStage(t *testing.T) *stage {
	t.Helper()
	cluster := apitest.Start(t)
	run := &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace(t), Name: "run-a"},
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: "digits"},
			Trainer:    v1alpha1.Trainer{Image: "registry.example/digits:v1"},
			Checkpoint: v1alpha1.Checkpointing{KeepLast: ptr.To[int32](16)},
		},
	}
	if err := cluster.Client.Create(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, cluster: cluster, run: run}
	s.reconcile(func(status *v1alpha1.TrainingRunStatus) {
		status.State, status.Attempt = v1alpha1.RunRunning, 1
		status.Dataset = &v1alpha1.BoundDataset{UID: datasetUID, ManifestDigest: digestOf('d')}
		status.Attempts = []v1alpha1.Attempt{{Number: 1, JobUID: jobUID}}
		status.Conditions = []metav1.Condition{{
			Type: "DatasetBound", Status: metav1.ConditionTrue, Reason: "Bound",
			LastTransitionTime: metav1.NewTime(clock.RealClock{}.Now()).Rfc3339Copy(),
		}}
	})
	return s
}

func digestOf(of rune) string { return "sha256:" + strings.Repeat(string(of), 64) }

// reconcile changes the status as the run's controller does: by a merge patch of what
// it changed, under the resource version that it has observed.
func (s *stage) reconcile(change func(*v1alpha1.TrainingRunStatus)) {
	s.t.Helper()
	for {
		before := s.read()
		after := before.DeepCopy()
		change(&after.Status)
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		err := s.cluster.Client.Status().Patch(s.t.Context(), after, patch, client.FieldOwner("manager"))
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			s.t.Errorf("the reconciler's patch: %v", err)
			return
		}
	}
}

func (s *stage) read() *v1alpha1.TrainingRun {
	s.t.Helper()
	var run v1alpha1.TrainingRun
	if err := s.cluster.Client.Get(s.t.Context(), client.ObjectKeyFromObject(s.run), &run); err != nil {
		s.t.Fatal(err)
	}
	return &run
}

// replica is a recorder as one replica of the operator has it.
type replica struct {
	*recorder
	stop chan struct{}
}

func (s *stage) replica() *replica {
	stop := make(chan struct{})
	return &replica{stop: stop, recorder: &recorder{
		cached: s.cluster.Client, live: s.cluster.Client, statuses: s.cluster.Client.Status(),
		clock: clock.RealClock{}, log: logr.Discard(), metrics: newMetrics(), stopping: stop,
		slots: make(chan struct{}, maxWrites), records: map[types.UID]*record{},
	}}
}

// settle ends the replica, which writes what it holds back.
func (r *replica) settle() { close(r.stop); r.writers.Wait() }

func (s *stage) member() member {
	return member{
		caller: identity{podUID: podUID}, jobUID: jobUID, run: client.ObjectKeyFromObject(s.run), runUID: s.run.UID,
		attempt: 1, nodes: 1,
	}
}

// tell has one message written at once.
func (s *stage) tell(w *replica, ask staging.ProgressRequest) {
	s.t.Helper()
	if err := w.take(s.t.Context(), s.read(), toldProgress(ask, s.member(), w.clock.Now())); err != nil {
		s.t.Fatal(err)
	}
	w.writers.Wait()
}

func stored(n int) staging.CheckpointRequest {
	return staging.CheckpointRequest{ID: objectkey.CheckpointID(1, n), Digest: digestOf('a'), Step: int64(n), Objects: 1, Bytes: 2}
}

func ids(checkpoints []v1alpha1.Checkpoint) []string {
	var names []string
	for _, c := range checkpoints {
		names = append(names, c.ID)
	}
	return names
}

// TestWhateverATrainerTellsPassesTheRules writes the worst that fits into a message.
func TestWhateverATrainerTellsPassesTheRules(t *testing.T) {
	t.Parallel()
	names := map[string]float64{}
	for i := range 40 {
		names[fmt.Sprintf("%02d \x00\u202e\n%s", i, strings.Repeat("é", 80))] = math.MaxFloat64
	}
	cases := map[string]staging.ProgressRequest{
		"nothing":            {},
		"the least":          {Percent: ptr.To(-math.MaxFloat64), Epoch: ptr.To[int64](math.MinInt64), IdleSeconds: math.MinInt64, RemainingSeconds: ptr.To[int64](-1)},
		"the most":           {Percent: ptr.To(math.MaxFloat64), Step: ptr.To[int64](math.MaxInt64), IdleSeconds: math.MaxInt64, RemainingSeconds: ptr.To[int64](math.MaxInt64)},
		"what is no number":  {Percent: ptr.To(math.NaN()), Metrics: map[string]float64{"a": math.NaN(), "b": math.Inf(-1), "c": 1}},
		"numbers of a kind":  {Metrics: map[string]float64{"a": math.SmallestNonzeroFloat64, "b": -1.7976931348623157e308, "c": math.Copysign(0, -1), "d": 1e21, "e": 123456789.123456789}},
		"many names of junk": {Metrics: names},
		"names of nothing":   {Metrics: map[string]float64{"": 1, " ": 2, "\x7f": 3, "\xff\xfe": 4}},
		"names that collide": {Metrics: map[string]float64{"loss": 1, "loss\x00": 2, " loss": 3}},
		"far but not too far": {
			RemainingSeconds: ptr.To[int64](maxSeconds), IdleSeconds: maxSeconds,
			Epoch: ptr.To[int64](maxCount), Epochs: ptr.To[int64](0), Step: ptr.To[int64](0), TotalSteps: ptr.To[int64](maxCount),
		},
	}
	for name, ask := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			w := s.replica()
			ask.Sequence = maxCount
			want := toldProgress(ask, s.member(), w.clock.Now())
			s.tell(w, ask)
			got := s.read().Status.Progress
			stamps := cmpopts.IgnoreTypes(&metav1.Time{})
			if diff := cmp.Diff(&want, got, stamps, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("progress (-want +got):\n%s", diff)
			}
			if got != nil && (got.LastUpdateTime == nil || got.LastActivityTime == nil) {
				t.Error("the message is not stamped")
			}
		})
	}
}

// TestWritersDoNotEatEachOthersFields lets two replicas and the reconciler write to one
// run at the same time.
func TestWritersDoNotEatEachOthersFields(t *testing.T) {
	t.Parallel()
	const rounds = 12
	s := newStage(t)
	one, two := s.replica(), s.replica()
	var all sync.WaitGroup
	all.Go(func() {
		for i := range rounds {
			// At the end each checkpoint is there, whoever of the two was told.
			w := []*replica{one, two}[i%2]
			for {
				err := w.checkpoint(t.Context(), s.member(), stored(i+1))
				if err == nil {
					break
				}
				if !errors.Is(err, errBusy) {
					t.Errorf("checkpoint %d: %v", i+1, err)
					return
				}
			}
		}
	})
	all.Go(func() {
		for i := range rounds {
			s.reconcile(func(status *v1alpha1.TrainingRunStatus) {
				status.Message = fmt.Sprintf("round %d", i+1)
				status.Usage = &v1alpha1.Usage{GPUSeconds: int64(i + 1)}
			})
		}
	})
	all.Go(func() {
		for i := range rounds {
			run := s.read()
			told := toldProgress(staging.ProgressRequest{
				Sequence: int64(i + 1), Metrics: map[string]float64{fmt.Sprintf("loss-%02d", i+1): 1},
			}, s.member(), two.clock.Now())
			if err := two.take(t.Context(), run, told); err != nil {
				t.Errorf("message %d: %v", i+1, err)
			}
		}
	})
	all.Wait()
	two.settle()

	status := s.read().Status
	if got := ids(status.Checkpoints); len(got) != rounds || got[rounds-1] != objectkey.CheckpointID(1, rounds) {
		t.Errorf("checkpoints %v, want %d", got, rounds)
	}
	if status.Message != fmt.Sprintf("round %d", rounds) || status.Usage == nil || status.Usage.GPUSeconds != rounds {
		t.Errorf("the reconciler's fields: %q, %+v", status.Message, status.Usage)
	}
	if status.State != v1alpha1.RunRunning || status.Dataset == nil || len(status.Attempts) != 1 || len(status.Conditions) != 1 {
		t.Errorf("fields that nobody touched are gone: %+v", status)
	}
	want := []v1alpha1.Metric{{Name: fmt.Sprintf("loss-%02d", rounds), Value: "1"}}
	if status.Progress == nil || status.Progress.Sequence != rounds {
		t.Fatalf("progress %+v, want the last message", status.Progress)
	}
	if diff := cmp.Diff(want, status.Progress.Metrics); diff != "" {
		t.Errorf("metrics of older messages stay (-want +got):\n%s", diff)
	}
}

func TestTheReconcilerMayEndARunWhileProgressIsHeldBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.replica()
	s.tell(w, staging.ProgressRequest{Sequence: 1, Percent: ptr.To(50.0)})
	if err := w.checkpoint(t.Context(), s.member(), stored(1)); err != nil {
		t.Fatal(err)
	}
	if err := w.take(t.Context(), s.read(), toldProgress(staging.ProgressRequest{Sequence: 2, Percent: ptr.To(100.0)}, s.member(), w.clock.Now())); err != nil {
		t.Fatal(err)
	}
	s.reconcile(func(status *v1alpha1.TrainingRunStatus) { status.State = v1alpha1.RunSucceeded })
	w.settle()
	status := s.read().Status
	if status.State != v1alpha1.RunSucceeded || *status.Progress.Percent != 100 || len(status.Checkpoints) != 1 {
		t.Errorf("status %+v, want the end, its last message and the checkpoint", status)
	}
	if got := reasonOfRefusal(w.checkpoint(t.Context(), s.member(), stored(2))); got != staging.ProblemRunEnded {
		t.Errorf("a checkpoint of a run that has ended: %q", got)
	}
}

func TestARunOfTheSameNameIsAnotherOne(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.replica()
	s.tell(w, staging.ProgressRequest{Sequence: 1})
	old := s.read()
	if err := s.cluster.Client.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	again := &v1alpha1.TrainingRun{ObjectMeta: metav1.ObjectMeta{Namespace: old.Namespace, Name: old.Name}, Spec: old.Spec}
	if err := s.cluster.Client.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	rec := w.records[old.UID]
	if err := w.flush(t.Context(), rec); !errors.Is(err, errRunGone) {
		t.Errorf("error = %v, want errRunGone", err)
	}
	// Nor does the API server take it when the cache is late and still has the old one.
	w.cached = lateCache{s.cluster.Client, old}
	if err := w.flush(t.Context(), rec); !errors.Is(err, errRunGone) {
		t.Errorf("with a late cache: error = %v, want errRunGone", err)
	}
	if got := s.read().Status.Progress; got != nil {
		t.Errorf("the new run has the old one's progress: %+v", got)
	}
}

// lateCache has a run as it was.
type lateCache struct {
	client.Reader
	run *v1alpha1.TrainingRun
}

func (c lateCache) Get(_ context.Context, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	c.run.DeepCopyInto(into.(*v1alpha1.TrainingRun))
	return nil
}

func TestALateCacheCostsAConflictAndNoCheckpoint(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.replica()
	w.cached = lateCache{s.cluster.Client, s.read()}
	if err := w.checkpoint(t.Context(), s.member(), stored(1)); err != nil {
		t.Fatal(err)
	}
	w.records[s.run.UID].written = time.Time{}
	s.tell(w, staging.ProgressRequest{Sequence: 1})
	status := s.read().Status
	if len(status.Checkpoints) != 1 || status.Progress == nil {
		t.Errorf("status %+v, want a checkpoint and progress", status)
	}
}

func reasonOfRefusal(err error) string {
	var why *refusal
	if errors.As(err, &why) {
		return why.reason
	}
	return ""
}
