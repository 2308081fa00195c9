package trainingrun

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/hack/apitest"
)

func cancels(r *v1alpha1.TrainingRun) { r.Spec.Cancel = true }

func saved(r *v1alpha1.TrainingRun) {
	r.Status.Checkpoints = []v1alpha1.Checkpoint{{ID: "0001-000003", Digest: digest}}
}

func cancelCases() map[string]decideCase {
	stopping := func(reason string, mods ...func(*v1alpha1.TrainingRun)) *v1alpha1.TrainingRun {
		return makeRun(append([]func(*v1alpha1.TrainingRun){
			inState(runningNow), onceBound, guarded, cancels, after(stoppedFor(reason)),
			func(r *v1alpha1.TrainingRun) { r.Status.Message = cancelSet },
		}, mods...)...)
	}
	over := outcome{State: v1alpha1.RunCancelled, Reason: v1alpha1.ReasonCancelled}
	ended := func(result v1alpha1.AttemptResult) outcome {
		o := over
		o.End, o.Settle = result, 1
		return o
	}
	return map[string]decideCase{
		"a run that is cancelled while it trains says first why it stops": {
			observed: see(2*time.Minute, begunRun(cancels), makeJob(), makePod(training)),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonEnding, Stop: v1alpha1.ReasonCancelled, After: brief},
			says:     []string{"spec.cancel", "60 s"},
		},
		"a cancelled run's Job is deleted then": {
			observed: see(2*time.Minute, stopping(v1alpha1.ReasonCancelled), makeJob(), makePod(training)),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonEnding, Delete: true},
		},
		"a cancelled run's Pods are waited for then": {
			observed: see(2*time.Minute, stopping(v1alpha1.ReasonCancelled), stray{makePod(training, podDeleting)}, makeDataset()),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonEnding},
		},
		"a cancelled run has ended then, and says from where another may go on": {
			observed: see(12*time.Minute, stopping(v1alpha1.ReasonCancelled, saved), stray{makePod(trainerExits(143), podDeleting)}, makeDataset()),
			want:     ended(v1alpha1.AttemptStopped),
			says:     []string{"0001-000003", "From"},
		},
		"a cancelled run is not tried again": {
			observed: see(12*time.Minute, stopping(v1alpha1.ReasonCancelled, retriesUpTo(3)), stray{makePod(trainerExits(143), podDeleting)}, makeDataset()),
			want:     ended(v1alpha1.AttemptStopped),
		},
		"a run that is cancelled on its way to be suspended ends": {
			observed: see(12*time.Minute, stopping(v1alpha1.ReasonSuspended, suspends), stray{makePod(trainerExits(143), podDeleting)}, makeDataset()),
			want:     ended(v1alpha1.AttemptSuspended),
		},
		"cancelling goes before suspending": {
			observed: see(2*time.Minute, begunRun(cancels, suspends), makeJob(), makePod(training)),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonEnding, Stop: v1alpha1.ReasonCancelled, After: brief},
		},
		"a suspended run is cancelled at once": {
			observed: see(hour, makeRun(inState(v1alpha1.RunSuspended), onceBound, guarded, suspends, cancels, after(suspendedAttempt)), makeDataset()),
			want:     over,
		},
		"a run that waits for its dataset is cancelled at once": {
			observed: see(0, makeRun(cancels)),
			want:     over,
			says:     []string{"never trained"},
		},
		"a run between two attempts is cancelled at once": {
			observed: see(hour, makeRun(inState(startNow), onceBound, guarded, cancels, after(disruptedAttempt)), makeDataset()),
			want:     over,
		},
		"a run that has trained well before it was cancelled has succeeded": {
			observed: see(11*time.Minute, stopping(v1alpha1.ReasonCancelled), makeJob(jobCondition(batchv1.JobComplete)), makePod(succeededPod)),
			want:     outcome{State: v1alpha1.RunSucceeded, Reason: v1alpha1.ReasonPublished, End: v1alpha1.AttemptSucceeded, Settle: 1},
		},
	}
}

func TestStoryARunIsCancelled(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.readyDataset()
	s.must(s.client.Create(t.Context(), s.newRun("r")))
	job := s.starts("r")
	pod := s.podOf(job)
	s.kubelet(pod, corev1.PodRunning, training)
	s.becomes("r", v1alpha1.RunRunning, v1alpha1.ReasonTraining)

	s.wishes("r", cancels)
	s.isGone(job)
	s.becomes("r", v1alpha1.RunRunning, v1alpha1.ReasonEnding)
	s.goes(pod, trainerExits(143))
	run := s.becomes("r", v1alpha1.RunCancelled, v1alpha1.ReasonCancelled)
	if got := run.Status.Attempts[0]; got.Result != v1alpha1.AttemptStopped || got.Reason != v1alpha1.ReasonCancelled || run.Status.Usage.GPUSeconds != 1200 {
		t.Errorf("the attempt is %+v, usage %+v; want it stopped, with 1200 GPU-seconds", got, run.Status.Usage)
	}
	if run.Status.CompletionTime == nil || run.Status.Failure != nil {
		t.Errorf("it ended at %v, with the failure %+v", run.Status.CompletionTime, run.Status.Failure)
	}
}

func TestACancellationIsNotTakenBack(t *testing.T) {
	t.Parallel()
	cluster := apitest.Start(t)
	run := makeRun(cancels)
	run.ObjectMeta = metav1.ObjectMeta{GenerateName: "cancelled-", Namespace: cluster.Namespace(t)}
	if err := cluster.Client.Create(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	run.Spec.Cancel = false
	err := cluster.Client.Update(t.Context(), run)
	if err == nil || !strings.Contains(err.Error(), "a run that is cancelled stays so") {
		t.Errorf("got %v, want a refusal", err)
	}
}
