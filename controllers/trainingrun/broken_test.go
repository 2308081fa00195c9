package trainingrun

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// startedAgain is a container that was killed and started again this often.
func startedAgain(name string, times int32, state corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		withContainer(name, state)(p)
		for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
			for i := range list {
				if list[i].Name == name {
					list[i].RestartCount = times
				}
			}
		}
	}
}

// edited is a Job whose template another dataset was written into.
func edited(j *batchv1.Job) {
	j.Spec.Template.Labels[v1alpha1.LabelDatasetUID] = "another"
}

// brokenCases are attempts that would go on for ever, or on something else.
func brokenCases() map[string]decideCase {
	waits := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	dead := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: exitKilled, FinishedAt: at(time.Minute)}}
	up := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(time.Minute)}}
	trains := outcome{State: runningNow, Reason: v1alpha1.ReasonTraining}
	stops := func(reason string) outcome {
		return outcome{State: runningNow, Reason: v1alpha1.ReasonEnding, Stop: reason, After: brief}
	}
	return map[string]decideCase{
		"a stage-in that is killed again and again is given up": {
			observed: see(time.Hour, begunRun(), makeJob(), makePod(startedAgain(staging.ContainerStageIn, 6, waits))),
			want:     stops(v1alpha1.ReasonStageInFailed), says: []string{"stage-in was killed more than 5 times"},
		},
		"also in the moment of its death": {
			observed: see(time.Hour, begunRun(), makeJob(), makePod(startedAgain(staging.ContainerStageIn, 6, dead))),
			want:     stops(v1alpha1.ReasonStageInFailed),
		},
		"one that runs may get through": {
			observed: see(time.Hour, begunRun(), makeJob(), makePod(startedAgain(staging.ContainerStageIn, 6, up))),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonPodStarting, After: startAllowed - time.Hour},
		},
		"one that was killed a few times is waited for": {
			observed: see(time.Hour, begunRun(), makeJob(), makePod(startedAgain(staging.ContainerStageIn, 5, waits))),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonPodStarting, After: startAllowed - time.Hour},
		},
		"a stage-out that is killed again and again is given up after the training": {
			observed: see(time.Hour, begunRun(), makeJob(), makePod(staged, trained, startedAgain(staging.ContainerStageOut, 6, waits))),
			want:     stops(v1alpha1.ReasonUploadFailed),
		},
		"but it does not end the training": {
			observed: see(time.Hour, begunRun(), makeJob(), makePod(staged, runs(staging.ContainerTrainer), startedAgain(staging.ContainerStageOut, 6, waits))),
			want:     trains,
		},
		"a stage-out that was killed is not taken for one that has failed": {
			observed: see(time.Hour, begunRun(), makeJob(), makePod(staged, runs(staging.ContainerTrainer), startedAgain(staging.ContainerStageOut, 1, dead))),
			want:     trains,
		},
		"what was given up may be tried again": {
			observed: see(time.Hour, makeRun(inState(runningNow), onceBound, guarded, retriesUpTo(1), after(stoppedFor(v1alpha1.ReasonStageInFailed))), makeDataset()),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonRetrying, End: v1alpha1.AttemptFailed},
		},
		"and fails the run at last": {
			observed: see(time.Hour, boundRun(stoppedFor(v1alpha1.ReasonUploadFailed)), makeDataset()),
			want:     outcome{State: fails, Reason: v1alpha1.ReasonUploadFailed, ExitCode: exit(exitKilled), End: v1alpha1.AttemptFailed},
			says:     []string{"stage-out was killed"},
		},
		"a Job whose template names another dataset than the status is stopped": {
			observed: see(time.Minute, begunRun(queuesIn("q")), makeJob(jobWaits, edited)), want: stops(v1alpha1.ReasonJobLost),
		},
		"a Job whose template names another dataset than the run is stopped": {
			observed: see(time.Minute, makeRun(queuesIn("q")), makeDataset(), makeJob(jobWaits, edited)),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonEnding, Stop: v1alpha1.ReasonJobLost, After: brief},
			says:     []string{"changed by somebody else"},
		},
		"and the run fails with it": {
			observed: see(time.Minute, boundRun(stoppedFor(v1alpha1.ReasonJobLost)), makeDataset()),
			want:     outcome{State: fails, Reason: v1alpha1.ReasonJobLost, End: v1alpha1.AttemptStopped},
			says:     []string{"lethe.dev/"},
		},
	}
}

func TestAnEditedTemplateIsNotWrittenDown(t *testing.T) {
	t.Parallel()
	o := see(time.Minute, makeRun(queuesIn("q")), makeDataset(), makeJob(jobWaits, edited))
	if status := reportOn(o); status.Dataset != nil {
		t.Errorf("the run is bound to %+v, by the word of a template that was edited", status.Dataset)
	}
	honest := see(time.Minute, makeRun(queuesIn("q")), makeDataset(), makeJob(jobWaits))
	if status := reportOn(honest); status.Dataset == nil || status.Dataset.UID != datasetUID {
		t.Errorf("the run is bound to %+v", status.Dataset)
	}
}

// The template is edited between the Job and the first write of the status, and says what
// no status could take.
func TestAnEditedTemplateEndsTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, makeRun(), makeDataset())
	_, err := w.reconcile()
	w.must(err)
	var job batchv1.Job
	w.must(w.server.Get(t.Context(), client.ObjectKey{Namespace: "team-a", Name: "r"}, &job))
	job.Spec.Template.Annotations[resources.AnnotationManifestDigest] = "none"
	w.must(w.server.Update(t.Context(), &job))
	w.settle()
	w.restart()
	w.settle()
	status := w.run().Status
	if status.State != v1alpha1.RunFailed || status.Reason != v1alpha1.ReasonJobLost || status.Dataset != nil {
		t.Errorf("%s %s (%s), bound to %+v", status.State, status.Reason, status.Message, status.Dataset)
	}
	if err := w.server.Get(t.Context(), client.ObjectKeyFromObject(&job), &job); !apierrors.IsNotFound(err) {
		t.Errorf("the Job is still there (%v)", err)
	}
}

// While the operator is away, an attempt ends in every way that another one follows.
func TestWhatEndedWhileTheOperatorWasAwayIsMadeGood(t *testing.T) {
	t.Parallel()
	t.Run("a Pod of two nodes was taken away", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, makeRun(func(r *v1alpha1.TrainingRun) { r.Spec.Nodes.Count = ptr.To[int32](2) }), makeDataset())
		w.settle()
		job := makeJobOf(w.run(), 1, jobEndsFor(batchv1.JobReasonPodFailurePolicy))
		on := func(index string, mods ...func(*corev1.Pod)) corev1.Pod {
			return makePodOf(job, append([]func(*corev1.Pod){named("p-"+index, time.Second), node(index)}, mods...)...)
		}
		for _, index := range []string{"0", "1"} {
			w.isNow(on(index, training))
			w.settle()
		}
		w.goes(on("1", preempted))
		w.goes(on("0", trainerExits(143)))
		w.comesBack(job)
		w.wantSecond(v1alpha1.AttemptDisrupted, 0, v1alpha1.Usage{GPUSeconds: 2400, TrainingSeconds: 600, LostGPUSeconds: 2400})
	})
	t.Run("the trainer failed", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, makeRun(retriesUpTo(1)), makeDataset())
		w.settle()
		w.podIs(training)
		w.settle()
		w.podIs(trainerExits(3))
		w.comesBack(makeJob(jobCondition(batchv1.JobFailed)))
		w.wantSecond(v1alpha1.AttemptFailed, 1, v1alpha1.Usage{GPUSeconds: 1200, TrainingSeconds: 600, LostGPUSeconds: 1200})
	})
}

// comesBack ends the Job, and then the absence of the operator.
func (w *world) comesBack(job *batchv1.Job) {
	w.t.Helper()
	w.must(w.server.Status().Update(w.t.Context(), w.withVersion(job)))
	w.restart()
	w.settle()
}

// wantSecond says that the first attempt has ended so, and the second has its Job.
func (w *world) wantSecond(result v1alpha1.AttemptResult, charged int32, usage v1alpha1.Usage) {
	w.t.Helper()
	status := w.run().Status
	if len(status.Attempts) == 0 || status.Attempts[0].Result != result || status.ChargedAttempts != charged {
		w.t.Fatalf("attempts %+v, %d charged; want the first %s, %d charged", status.Attempts, status.ChargedAttempts, result, charged)
	}
	if status.Usage == nil || *status.Usage != usage {
		w.t.Errorf("usage %+v, want %+v", status.Usage, usage)
	}
	w.must(w.server.Get(w.t.Context(), client.ObjectKey{Namespace: "team-a", Name: resources.JobName(w.run(), 2)}, &batchv1.Job{}))
}
