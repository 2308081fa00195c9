package trainingrun

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

const (
	hour = time.Hour
	// startAllowed is how long an attempt may take to start, by default.
	startAllowed = 24 * hour
)

// begunRun is a bound run whose first attempt is in its status.
func begunRun(mods ...func(*v1alpha1.TrainingRun)) *v1alpha1.TrainingRun {
	return makeRun(append([]func(*v1alpha1.TrainingRun){inState(runningNow), onceBound, guarded, after(openAttempt)}, mods...)...)
}

// boundRun is a bound run after these attempts.
func boundRun(attempts ...v1alpha1.Attempt) *v1alpha1.TrainingRun {
	return makeRun(inState(runningNow), onceBound, guarded, after(attempts...))
}

func suspends(r *v1alpha1.TrainingRun) { r.Spec.Suspend = true }

func retriesUpTo(limit int32, finals ...int32) func(*v1alpha1.TrainingRun) {
	return func(r *v1alpha1.TrainingRun) {
		r.Spec.Retry = v1alpha1.RetryPolicy{Limit: &limit, NonRetriableExitCodes: finals}
	}
}

func takesAtMost(d time.Duration) func(*v1alpha1.TrainingRun) {
	return func(r *v1alpha1.TrainingRun) { r.Spec.Limits.MaxDuration = &metav1.Duration{Duration: d} }
}

func spendsAtMost(gpuSeconds int64) func(*v1alpha1.TrainingRun) {
	return func(r *v1alpha1.TrainingRun) { r.Spec.Limits.MaxGPUSeconds = &gpuSeconds }
}

func hasSpent(gpu, training int64) func(*v1alpha1.TrainingRun) {
	return func(r *v1alpha1.TrainingRun) {
		r.Status.Usage = &v1alpha1.Usage{GPUSeconds: gpu, TrainingSeconds: training}
	}
}

func queuesIn(name string) func(*v1alpha1.TrainingRun) {
	return func(r *v1alpha1.TrainingRun) { r.Spec.QueueName = name }
}

func resumesFrom(id string) func(*v1alpha1.TrainingRun) {
	return func(r *v1alpha1.TrainingRun) {
		r.Spec.Checkpoint.Resume = v1alpha1.ResumeFrom
		r.Spec.Checkpoint.From = &v1alpha1.CheckpointReference{RunName: "teacher", ID: id}
	}
}

// hasCheckpoints makes a run that stored these, a minute one after the other from noon on.
func hasCheckpoints(ids ...string) func(*v1alpha1.TrainingRun) {
	return func(r *v1alpha1.TrainingRun) {
		for i, id := range ids {
			r.Status.Checkpoints = append(r.Status.Checkpoints, v1alpha1.Checkpoint{
				ID: id, Digest: digest, Time: at(time.Duration(i+1) * time.Minute),
			})
		}
	}
}

// inMotion is what the trainer of makePod was last seen to do, and when that was said.
func inMotion(activity, said time.Duration) func(*v1alpha1.TrainingRun) {
	return func(r *v1alpha1.TrainingRun) {
		r.Spec.Limits.StalledAfter = &metav1.Duration{Duration: 10 * time.Minute}
		r.Status.Progress = &v1alpha1.Progress{
			Attempt: 1, PodUID: "pod-1", LastActivityTime: ptr.To(at(activity)), LastUpdateTime: ptr.To(at(said)),
		}
	}
}

func jobEndsFor(reason string) func(*batchv1.Job) {
	return func(j *batchv1.Job) {
		jobCondition(batchv1.JobFailed)(j)
		j.Status.Conditions[len(j.Status.Conditions)-1].Reason = reason
	}
}

func jobWaits(j *batchv1.Job) { j.Spec.Suspend = ptr.To(true) }

func jobLasts(d time.Duration) func(*batchv1.Job) {
	return func(j *batchv1.Job) { j.Spec.ActiveDeadlineSeconds = resources.Seconds(&d) }
}

func jobDeleting(j *batchv1.Job) { j.DeletionTimestamp = ptr.To(at(0)) }

// training is a Pod whose trainer runs since a minute after noon.
func training(p *corev1.Pod) {
	staged(p)
	runs(staging.ContainerTrainer)(p)
	runs(staging.ContainerStageOut)(p)
	p.Status.Phase = corev1.PodRunning
}

// trainerExits is a Pod that has ended with its trainer's exit code.
func trainerExits(code int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		staged(p)
		ends(staging.ContainerTrainer, code, "Error", "")(p)
		ends(staging.ContainerStageOut, 0, "Completed", "")(p)
		p.Status.Phase = corev1.PodFailed
	}
}

// preempted is a Pod that the cluster took away from a trainer that ran.
func preempted(p *corev1.Pod) {
	trainerExits(143)(p)
	podCondition(corev1.DisruptionTarget, corev1.ConditionTrue, "PreemptionByScheduler")(p)
}

func freed(p *corev1.Pod) { p.Finalizers = nil }

func retryCases() map[string]decideCase {
	failsAfter := func(code int32, run *v1alpha1.TrainingRun) observed {
		n := max(run.Status.Attempt, 1)
		job := makeJobOf(run, n, jobCondition(batchv1.JobFailed))
		return see(11*time.Minute, run, job, makePodOf(job, trainerExits(code)))
	}
	fails3 := outcome{State: fails, Reason: v1alpha1.ReasonNonZeroExit, ExitCode: exit(3), End: v1alpha1.AttemptFailed, Settle: 1}
	again := outcome{State: startNow, Reason: v1alpha1.ReasonRetrying, End: v1alpha1.AttemptFailed, Settle: 1}
	exitAgain := again
	exitAgain.ExitCode = nil
	retried := func(mods ...func(*v1alpha1.TrainingRun)) *v1alpha1.TrainingRun {
		return makeRun(append([]func(*v1alpha1.TrainingRun){inState(startNow), onceBound, guarded, retriesUpTo(5), after(failedAttempt)}, mods...)...)
	}
	return map[string]decideCase{
		"a trainer that fails is repeated if there is a retry left": {
			observed: failsAfter(3, begunRun(retriesUpTo(1))), want: exitAgain,
			says: []string{"attempt 1 failed (NonZeroExit)", "exit code 3", "anew"},
		},
		"the next attempt goes on from the newest checkpoint, and says so": {
			observed: failsAfter(3, begunRun(retriesUpTo(1), hasCheckpoints("0001-000001", "0001-000002"))),
			want: func() outcome {
				o := exitAgain
				o.Prune = true
				return o
			}(),
			says: []string{"from checkpoint 0001-000002"},
		},
		"a trainer that fails once more than there are retries fails the run": {
			observed: failsAfter(3, makeRun(inState(runningNow), onceBound, guarded, retriesUpTo(1), after(failedAttempt, openAttempt))),
			want:     fails3,
		},
		"disruptions and suspensions use up no retries": {
			observed: failsAfter(3, makeRun(inState(runningNow), onceBound, guarded, retriesUpTo(1), after(disruptedAttempt, suspendedAttempt, openAttempt))),
			want:     exitAgain,
		},
		"an exit code that is final fails the run at once": {
			observed: failsAfter(3, begunRun(retriesUpTo(5, 2, 3))), want: fails3,
		},
		"a checkpoint that is corrupt fails the run in spite of retries": {
			observed: see(11*time.Minute, begunRun(retriesUpTo(5)), makeJob(jobCondition(batchv1.JobFailed)),
				makePod(ends(staging.ContainerStageIn, staging.ExitCheckpointCorrupt, "Error", ""), podPhase(corev1.PodFailed))),
			want: outcome{State: fails, Reason: v1alpha1.ReasonCheckpointCorrupt, ExitCode: exit(66), End: v1alpha1.AttemptFailed, Settle: 1},
		},
		"GPUs without memory are named": {
			observed: see(11*time.Minute, begunRun(), makeJob(jobCondition(batchv1.JobFailed)),
				makePod(staged, ends(staging.ContainerTrainer, 1, "Error", ""), podPhase(corev1.PodFailed),
					ends(staging.ContainerStageOut, 0, "Completed", reported(staging.Report{Step: staging.StepStageOut, LogTail: "CUDA out of memory"})))),
			want: outcome{State: fails, Reason: v1alpha1.ReasonCUDAOutOfMemory, ExitCode: exit(1), End: v1alpha1.AttemptFailed, Settle: 1},
		},
		"a Job that ends after its trainer was asked to stop ends as it did": {
			observed: see(11*time.Minute, boundRun(stoppedFor(v1alpha1.ReasonSuspended)), makeJob(jobCondition(batchv1.JobComplete)), makePod(succeededPod)),
			want:     outcome{State: v1alpha1.RunSucceeded, Reason: v1alpha1.ReasonPublished, End: v1alpha1.AttemptSucceeded, Settle: 1},
		},
		"the Job of the attempt before goes first": {
			observed: see(0, retried(), makeDataset(), previous{makeJob()}, stray{makePod(trainerExits(3), freed)}),
			want:     outcome{Delete: true},
		},
		"a Job that goes already is waited for": {
			observed: see(0, retried(), makeDataset(), previous{makeJob(jobDeleting)}),
		},
		"no attempt starts while a Pod of the one before runs": {
			observed: see(0, retried(), makeDataset(), stray{makePod(training)}),
		},
		"no attempt starts before the one before is counted": {
			observed: see(12*time.Minute, retried(), makeDataset(), stray{makePod(trainerExits(3))}),
			want:     outcome{Settle: 1},
		},
		"Pods that are over and counted do not hold the next attempt up": {
			observed: see(12*time.Minute, retried(), makeDataset(), stray{makePod(trainerExits(3), freed)}),
			want:     outcome{Create: true, After: brief},
		},
		"the second attempt in a row that comes to nothing is followed by a pause": {
			observed: see(4*time.Second, retried(after(failedAttempt)), makeDataset()),
			want:     outcome{After: 6 * time.Second},
		},
		"the pauses grow": {
			observed: see(0, retried(after(failedAttempt, disruptedAttempt)), makeDataset()),
			want:     outcome{After: 20 * time.Second},
		},
		"and have an end": {
			observed: see(0, retried(after(disruptedAttempt, disruptedAttempt, disruptedAttempt, disruptedAttempt, disruptedAttempt, disruptedAttempt, disruptedAttempt)), makeDataset()),
			want:     outcome{After: 5 * time.Minute},
		},
		"an attempt that trained for long is repeated at once": {
			observed: see(0, retried(after(failedAttempt, v1alpha1.Attempt{
				Result: v1alpha1.AttemptDisrupted, EndTime: ptr.To(at(0)), TrainingSeconds: 600,
			})), makeDataset()),
			want: outcome{Create: true, After: brief},
		},
		"no attempt starts on a dataset that is being erased": {
			observed: see(0, retried(), makeDataset(erasing)),
			want:     outcome{State: fails, Reason: v1alpha1.ReasonDatasetErasing},
		},
		"no attempt starts on another dataset of the same name": {
			observed: see(0, retried(), makeDataset(func(d *v1alpha1.DatasetRetention) { d.UID = "another" })),
			want:     outcome{State: fails, Reason: v1alpha1.ReasonDatasetErasing},
		},
		"an attempt starts on the dataset that it is bound to although its time is over": {
			observed: see(0, retried(), makeDataset(overdue)),
			want:     outcome{Create: true, After: brief},
		},
		"a Job of the next attempt that the status does not tell of yet is followed": {
			observed: see(time.Minute, retried(), makeJobOf(makeRun(), 2), makePodOf(makeJobOf(makeRun(), 2), training)),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonTraining},
		},
		"a deleted run takes the Job of the attempt before along": {
			observed: see(0, retried(runDeleting), previous{makeJob()}),
			want:     outcome{Delete: true},
		},
		"an attempt whose Job is lost before it was told ends the run": {
			observed: see(11*time.Minute, retried(), makeDataset(), stray{makePodOf(makeJobOf(makeRun(), 2), training)}),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonEnding},
		},
	}
}

func stopCases() map[string]decideCase {
	stopping := boundRun(stoppedFor(v1alpha1.ReasonSuspended))
	suspending := makeRun(inState(runningNow), onceBound, guarded, suspends, after(stoppedFor(v1alpha1.ReasonSuspended)))
	stalled := func(mods ...func(*v1alpha1.TrainingRun)) *v1alpha1.TrainingRun {
		return makeRun(append([]func(*v1alpha1.TrainingRun){
			inState(runningNow), onceBound, guarded, after(stoppedFor(v1alpha1.ReasonStalled)), inMotion(0, hour),
		}, mods...)...)
	}
	return map[string]decideCase{
		"a run that is suspended while it trains says first why it stops": {
			observed: see(2*time.Minute, begunRun(suspends), makeJob(), makePod(training)),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonSuspending, Stop: v1alpha1.ReasonSuspended, After: brief},
			says:     []string{"60 s"},
		},
		"then its Job is deleted": {
			observed: see(2*time.Minute, suspending, makeJob(), makePod(training)),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonSuspending, Delete: true},
		},
		"once": {
			observed: see(2*time.Minute, suspending, makeJob(jobDeleting), makePod(training)),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonSuspending},
		},
		"then its Pods are waited for": {
			observed: see(2*time.Minute, suspending, stray{makePod(training, podDeleting)}, makeDataset()),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonSuspending},
		},
		"then it is suspended": {
			observed: see(12*time.Minute, suspending, stray{makePod(trainerExits(143), podDeleting)}, makeDataset()),
			want:     outcome{State: v1alpha1.RunSuspended, Reason: v1alpha1.ReasonSuspended, End: v1alpha1.AttemptSuspended, Settle: 1},
			says:     []string{"last checkpoint"},
		},
		"a run that is not to be suspended any more goes on when its Pods are gone": {
			observed: see(12*time.Minute, stopping, stray{makePod(trainerExits(143), podDeleting)}, makeDataset()),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonResumed, End: v1alpha1.AttemptSuspended, Settle: 1},
		},
		"a suspended run stays so": {
			observed: see(hour, makeRun(inState(v1alpha1.RunSuspended), onceBound, guarded, suspends, after(suspendedAttempt)), makeDataset()),
			want:     outcome{State: v1alpha1.RunSuspended, Reason: v1alpha1.ReasonSuspended},
		},
		"a run may be suspended before it ever started": {
			observed: see(0, makeRun(suspends)),
			want:     outcome{State: v1alpha1.RunSuspended, Reason: v1alpha1.ReasonSuspended},
		},
		"a suspended run holds no dataset back that is to be erased": {
			observed: see(hour, makeRun(inState(v1alpha1.RunSuspended), onceBound, guarded, suspends, after(suspendedAttempt)), makeDataset(erasing)),
			want:     outcome{State: fails, Reason: v1alpha1.ReasonDatasetErasing},
		},
		"a run that is not suspended any more starts again": {
			observed: see(hour, makeRun(inState(v1alpha1.RunSuspended), onceBound, guarded, after(suspendedAttempt)), makeDataset()),
			want:     outcome{Create: true, After: brief},
		},
		"a trainer that does nothing any more is stopped": {
			observed: see(hour, begunRun(inMotion(0, 11*time.Minute)), makeJob(), makePod(training)),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonEnding, Stop: v1alpha1.ReasonStalled, After: brief},
			says:     []string{"limits.stalledAfter (10m0s)", "60 s"},
		},
		"without a message nothing is known of a trainer": {
			observed: see(24*hour, begunRun(inMotion(0, 10*time.Minute)), makeJob(), makePod(training)),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonTraining},
		},
		"a message of a Pod that is gone says nothing of its successor": {
			observed: see(hour, begunRun(inMotion(0, 11*time.Minute)), makeJob(), makePod(named("r-2", 0), training)),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonTraining},
		},
		"a message of an older attempt says nothing of this one": {
			observed: see(hour, makeRun(inState(runningNow), onceBound, guarded, after(disruptedAttempt, openAttempt), inMotion(0, 11*time.Minute)),
				makeJobOf(makeRun(), 2), makePodOf(makeJobOf(makeRun(), 2), training)),
			want: outcome{State: runningNow, Reason: v1alpha1.ReasonTraining},
		},
		"an attempt that stalled has failed": {
			observed: see(hour, stalled(), stray{makePod(trainerExits(143), podDeleting)}, makeDataset()),
			want:     outcome{State: fails, Reason: v1alpha1.ReasonStalled, End: v1alpha1.AttemptFailed, Settle: 1},
		},
		"and is repeated like others": {
			observed: see(hour, stalled(retriesUpTo(1)), stray{makePod(trainerExits(143), podDeleting)}, makeDataset()),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonRetrying, End: v1alpha1.AttemptFailed, Settle: 1},
		},
	}
}

func limitCases() map[string]decideCase {
	// Two GPUs an hour, or what is left of 10,000 seconds of both.
	limited := func(mods ...func(*v1alpha1.TrainingRun)) *v1alpha1.TrainingRun {
		return begunRun(append([]func(*v1alpha1.TrainingRun){takesAtMost(hour), spendsAtMost(10_000)}, mods...)...)
	}
	trains := outcome{State: runningNow, Reason: v1alpha1.ReasonTraining}
	trainsUntil := func(seconds int64) outcome {
		o := trains
		o.Deadline = seconds
		return o
	}
	ready := func(mods ...func(*v1alpha1.TrainingRun)) *v1alpha1.TrainingRun {
		return makeRun(append([]func(*v1alpha1.TrainingRun){inState(startNow), onceBound, guarded, after(disruptedAttempt)}, mods...)...)
	}
	return map[string]decideCase{
		"an attempt that does not start in time is given up": {
			observed: see(startAllowed, begunRun(), makeJob(), makePod(unplaced)),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonEnding, Stop: v1alpha1.ReasonStartDeadlineExceeded, After: brief},
			says:     []string{"limits.startWithin (24h0m0s)"},
		},
		"and with it the run": {
			observed: see(startAllowed, boundRun(stoppedFor(v1alpha1.ReasonStartDeadlineExceeded)), makeDataset()),
			want:     outcome{State: fails, Reason: v1alpha1.ReasonStartDeadlineExceeded, End: v1alpha1.AttemptStopped},
		},
		"a trainer that runs is never late": {
			observed: see(startAllowed, begunRun(), makeJob(), makePod(training)), want: trains,
		},
		"a queue may take as long as a start": {
			observed: see(startAllowed, begunRun(queuesIn("q")), makeJob(jobWaits), queueState{Reason: v1alpha1.ReasonQueued, Message: "wait"}),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonEnding, Stop: v1alpha1.ReasonStartDeadlineExceeded, After: brief},
		},
		"the Job of a trainer that runs ends with the first limit": {
			observed: see(2*time.Minute, limited(), makeJob(), makePod(training)),
			want:     trainsUntil(60 + 3600),
		},
		"a limit that others share out counts too": {
			observed: see(2*time.Minute, limited(hasSpent(9_000, 10)), makeJob(), makePod(training)),
			want:     trainsUntil(60 + 500),
		},
		"a deadline that is right is not written again": {
			observed: see(2*time.Minute, limited(), makeJob(jobLasts(3660*time.Second)), makePod(training)),
			want:     trains,
		},
		"a limit that is raised moves the deadline": {
			observed: see(2*time.Minute, begunRun(takesAtMost(2*hour)), makeJob(jobLasts(3660*time.Second)), makePod(training)),
			want:     trainsUntil(60 + 7200),
		},
		"a limit that is taken away takes the deadline away": {
			observed: see(2*time.Minute, begunRun(), makeJob(jobLasts(3660*time.Second)), makePod(training)),
			want:     trainsUntil(-1),
		},
		"a limit that is spent ends the Job at once": {
			observed: see(2*time.Minute, limited(hasSpent(10_000, 10)), makeJob(), makePod(training)),
			want:     trainsUntil(60),
		},
		"a Job that waits has the time to start, and what is left": {
			observed: see(2*time.Minute, limited(), makeJob(jobLasts(startAllowed+hour)), makePod(unplaced)),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonUnschedulable, After: startAllowed - 2*time.Minute},
		},
		"a Pod that is replaced has the time to start again": {
			observed: see(12*time.Minute, limited(), makeJob(jobLasts(3660*time.Second)), makePod(preempted), makePod(named("r-2", 12*time.Minute-brief))),
			want: outcome{
				State: startNow, Reason: v1alpha1.ReasonPodStarting, After: startAllowed - time.Minute,
				// It ended at eleven minutes, with ten minutes spent.
				Deadline: 11*60 + 24*3600 + 3000, Settle: 1,
			},
		},
		"its successor has what is left": {
			observed: see(12*time.Minute, limited(hasSpent(1200, 600)), makeJob(), makePod(preempted, freed),
				makePod(named("r-2", 11*time.Minute), training, func(p *corev1.Pod) {
					p.Status.ContainerStatuses[0].State.Running.StartedAt = at(12 * time.Minute)
				})),
			want: trainsUntil(12*60 + 3000),
		},
		"an upload is not hurried by a limit of the training": {
			observed: see(12*time.Minute, limited(), makeJob(jobLasts(3660*time.Second)), makePod(staged, trained, runs(staging.ContainerStageOut))),
			want:     outcome{State: v1alpha1.RunPublishing, Reason: v1alpha1.ReasonUploading, Deadline: -1},
		},
		"an upload that may be over in a moment leaves the deadline alone": {
			observed: see(11*time.Minute+time.Second, limited(), makeJob(jobLasts(3660*time.Second)), makePod(staged, trained, runs(staging.ContainerStageOut))),
			want:     outcome{After: brief - time.Second},
		},
		"but not one that is near": {
			observed: see(11*time.Minute+time.Second, limited(), makeJob(jobLasts(11*time.Minute+30*time.Second)), makePod(staged, trained, runs(staging.ContainerStageOut))),
			want:     outcome{After: brief - time.Second, Deadline: -1},
		},
		"a Job that its deadline ended says which limit it was": {
			observed: see(2*hour, limited(), makeJob(jobEndsFor(batchv1.JobReasonDeadlineExceeded)), makePod(trainerExits(143))),
			want:     outcome{State: fails, Reason: v1alpha1.ReasonMaxDurationReached, End: v1alpha1.AttemptStopped, Settle: 1},
			says:     []string{"limits.maxDuration (1h0m0s)"},
		},
		"also when it is the budget, and in spite of retries": {
			observed: see(2*hour, limited(hasSpent(9_000, 10), retriesUpTo(3)), makeJob(jobEndsFor(batchv1.JobReasonDeadlineExceeded)), makePod(trainerExits(143))),
			want:     outcome{State: fails, Reason: v1alpha1.ReasonGPUBudgetReached, End: v1alpha1.AttemptStopped, Settle: 1},
			says:     []string{"limits.maxGPUSeconds (10000)"},
		},
		"no attempt begins when a limit is spent": {
			observed: see(0, ready(spendsAtMost(10_000), hasSpent(9_999, 10)), makeDataset()),
			want:     outcome{State: fails, Reason: v1alpha1.ReasonGPUBudgetReached},
		},
		"no attempt begins when the time is over": {
			observed: see(0, ready(takesAtMost(hour), hasSpent(0, 3600)), makeDataset()),
			want:     outcome{State: fails, Reason: v1alpha1.ReasonMaxDurationReached},
		},
		"a run without GPUs has no budget to spend": {
			observed: see(0, ready(spendsAtMost(1), func(r *v1alpha1.TrainingRun) { r.Spec.Nodes.GPUsPerNode = ptr.To[int32](0) }), makeDataset()),
			want:     outcome{Create: true, After: brief},
		},
	}
}

func queueCases() map[string]decideCase {
	queued := func(after time.Duration, state queueState) observed {
		return see(after, begunRun(queuesIn("q")), makeJob(jobWaits), state)
	}
	return map[string]decideCase{
		"a Job that waits for its queue says what Kueue says": {
			observed: queued(time.Minute, queueState{Reason: "InsufficientQuota", Message: "not enough GPUs", Position: ptr.To[int32](2)}),
			want:     outcome{State: v1alpha1.RunQueued, Reason: "InsufficientQuota", After: queueInterval},
			says:     []string{"number 3 in its queue", "not enough GPUs"},
		},
		"a Job that Kueue has not seen yet is queued": {
			observed: queued(time.Second, queueState{Reason: v1alpha1.ReasonQueued, Message: "not taken up yet"}),
			want:     outcome{State: v1alpha1.RunQueued, Reason: v1alpha1.ReasonQueued, After: queueInterval},
		},
		"a Job that is admitted starts": {
			observed: see(time.Minute, begunRun(queuesIn("q")), makeJob(), makePod()),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonPodStarting, After: startAllowed - time.Minute},
		},
		"a Job that Kueue takes the quota from again is queued while its Pods end": {
			observed: see(time.Minute, begunRun(queuesIn("q")), makeJob(jobWaits), makePod(training, podDeleting), queueState{Reason: "Evicted", Message: "preempted"}),
			want:     outcome{State: v1alpha1.RunQueued, Reason: "Evicted", After: queueInterval},
		},
		"a Job that somebody else suspends is told": {
			observed: see(time.Minute, begunRun(), makeJob(jobWaits)),
			want:     outcome{State: v1alpha1.RunQueued, Reason: v1alpha1.ReasonQueued, After: startAllowed - time.Minute},
			says:     []string{"not by the run"},
		},
	}
}

func gangCases() map[string]decideCase {
	two := func(mods ...func(*v1alpha1.TrainingRun)) *v1alpha1.TrainingRun {
		return begunRun(append(mods, func(r *v1alpha1.TrainingRun) { r.Spec.Nodes.Count = ptr.To[int32](2) })...)
	}
	job := func(mods ...func(*batchv1.Job)) *batchv1.Job { return makeJobOf(two(), 1, mods...) }
	on := func(index string, mods ...func(*corev1.Pod)) corev1.Pod {
		return makePodOf(job(), append([]func(*corev1.Pod){named("r-"+index, time.Second), node(index)}, mods...)...)
	}
	untilStart := startAllowed - time.Minute
	fresh := makeRun(func(r *v1alpha1.TrainingRun) { r.Spec.Nodes.Count = ptr.To[int32](2) })
	unasked := see(0, fresh, makeDataset())
	unasked.ServiceAsked = false
	return map[string]decideCase{
		"who has the name of the nodes is asked before they are made": {
			observed: unasked, want: outcome{Ask: askService},
		},
		"nodes get their Service first": {
			observed: see(0, fresh, makeDataset()), want: outcome{Service: true, Create: true, After: brief},
		},
		"a Service that is there already is taken": {
			observed: see(0, fresh, makeDataset(), resources.Service(fresh)), want: outcome{Create: true, After: brief},
		},
		"a Service of somebody else's is left alone": {
			observed: see(0, fresh, makeDataset(), &corev1.Service{}),
			want:     outcome{State: pending, Reason: v1alpha1.ReasonServiceNotOwned, After: foreignInterval},
			says:     []string{`a Service "lethe-r"`},
		},
		"nodes that lack one start": {
			observed: see(time.Minute, two(), job(), on("0")),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonPodStarting, After: refusalInterval},
		},
		"a Pod of several that is refused is told": {
			observed: see(time.Minute, two(), job(), on("0"), "Error creating: quota"),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonPodRejected, After: untilStart},
		},
		"nodes none of which has room are told": {
			observed: see(time.Minute, two(), job(), on("0", unplaced), on("1", unplaced)),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonUnschedulable, After: untilStart},
		},
		"nodes some of which have room gather": {
			observed: see(time.Minute, two(), job(), on("0", runs(staging.ContainerStageIn)), on("1", unplaced)),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonGathering, After: untilStart},
		},
		"an image that one node can not pull is told": {
			observed: see(time.Minute, two(), job(), on("0", staged), on("1", staged, waitsFor(staging.ContainerTrainer, "ImagePullBackOff"))),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonImagePull, After: untilStart},
		},
		"a run trains as soon as one node does": {
			observed: see(2*time.Minute, two(), job(), on("0", training), on("1", staged)),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonTraining},
		},
		"a run trains until the last node has": {
			observed: see(12*time.Minute, two(), job(), on("0", staged, trained, runs(staging.ContainerStageOut)), on("1", training)),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonTraining},
		},
		"a run publishes when all nodes have trained": {
			observed: see(12*time.Minute, two(), job(), on("0", staged, trained, runs(staging.ContainerStageOut)), on("1", succeededPod)),
			want:     outcome{State: v1alpha1.RunPublishing, Reason: v1alpha1.ReasonUploading, Settle: 1},
		},
		"a node that fails ends the attempt": {
			observed: see(12*time.Minute, two(), job(), on("0", training), on("1", staged, ends(staging.ContainerTrainer, 3, "Error", ""))),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonEnding},
			says:     []string{"of node 1 ended with exit code 3"},
		},
		"a node that the cluster takes away ends the attempt": {
			observed: see(12*time.Minute, two(), job(), on("0", training),
				on("1", training, podCondition(corev1.DisruptionTarget, corev1.ConditionTrue, "EvictionByEvictionAPI"))),
			want: outcome{State: runningNow, Reason: v1alpha1.ReasonEnding},
			says: []string{"node 1"},
		},
		"which is repeated and not counted": {
			observed: see(12*time.Minute, two(), job(jobEndsFor(batchv1.JobReasonPodFailurePolicy)), on("0", trainerExits(143), podDeleting), on("1", preempted)),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonDisrupted, End: v1alpha1.AttemptDisrupted, Settle: 2},
		},
		"a run of several nodes succeeds with its Job": {
			observed: see(12*time.Minute, two(), job(jobCondition(batchv1.JobComplete)), on("0", succeededPod), on("1", succeededPod)),
			want:     outcome{State: v1alpha1.RunSucceeded, Reason: v1alpha1.ReasonPublished, End: v1alpha1.AttemptSucceeded, Settle: 2},
		},
		"GPUs that no node has are told by their kind": {
			observed: see(time.Minute, begunRun(func(r *v1alpha1.TrainingRun) { r.Spec.Nodes.GPUProduct = "NVIDIA-B200" }), makeJob(),
				makePod(func(p *corev1.Pod) {
					unplaced(p)
					p.Status.Conditions[0].Message = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
				})),
			want: outcome{State: startNow, Reason: v1alpha1.ReasonNoSuchGPU, After: untilStart},
			says: []string{"NVIDIA-B200"},
		},
	}
}

func besideCases() map[string]decideCase {
	teacher := func(mods ...func(*v1alpha1.TrainingRun)) *v1alpha1.TrainingRun { return makeRun(mods...) }
	missing := outcome{State: pending, Reason: v1alpha1.ReasonCheckpointNotFound, After: otherRunInterval}
	expiring := func(r *v1alpha1.TrainingRun) {
		r.Spec.TTLAfterFinished = &metav1.Duration{Duration: hour}
		r.Status.CompletionTime = ptr.To(at(0))
	}
	ended := makeRun(inState(v1alpha1.RunSucceeded), onceBound, guarded, expiring)
	settled := begunRun(func(r *v1alpha1.TrainingRun) {
		r.Status.Attempts[0].SettledPods = append(r.Status.Attempts[0].SettledPods, "pod-1")
	})
	pruned := func(upTo string, o observed) observed {
		o.Pruned = &prunedUpTo{uid: runUID, store: testStore, newest: upTo}
		return o
	}
	trains := outcome{State: runningNow, Reason: v1alpha1.ReasonTraining}
	trainsAndPrunes := trains
	trainsAndPrunes.Prune = true
	return map[string]decideCase{
		"a run waits for the run that it begins with": {
			observed: see(0, makeRun(resumesFrom("")), makeDataset()), want: missing, says: []string{`no run "teacher"`},
		},
		"a run waits for a checkpoint to begin with": {
			observed: see(0, makeRun(resumesFrom("")), makeDataset(), teacher()), want: missing, says: []string{"has no checkpoint"},
		},
		"a run waits for the checkpoint that it names": {
			observed: see(0, makeRun(resumesFrom("0001-000009")), makeDataset(), teacher(hasCheckpoints("0001-000001"))),
			want:     missing, says: []string{"0001-000009"},
		},
		"a run that is going leaves nothing to begin with": {
			observed: see(0, makeRun(resumesFrom("")), makeDataset(), teacher(hasCheckpoints("0001-000001"), runDeleting)), want: missing,
		},
		"a run begins with another's checkpoint": {
			observed: see(0, makeRun(resumesFrom("0001-000001")), makeDataset(), teacher(hasCheckpoints("0001-000001"))),
			want:     outcome{Create: true, After: brief},
		},
		"a later attempt does not need it any more": {
			observed: see(0, makeRun(resumesFrom(""), onceBound, after(disruptedAttempt)), makeDataset()),
			want:     outcome{Create: true, After: brief},
		},
		"a run that has ended stays for its time": {observed: see(time.Minute, ended), want: outcome{After: 59 * time.Minute}},
		"and is deleted then":                     {observed: see(hour, ended), want: outcome{Expire: true}},
		"a Pod that is deleted is counted at once": {
			observed: see(11*time.Minute, begunRun(), makeJob(), makePod(preempted, podDeleting)),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonPodStarting, After: startAllowed, Settle: 1},
		},
		"a Pod that has ended by itself is counted with its Job": {
			observed: see(11*time.Minute+time.Second, begunRun(), makeJob(), makePod(succeededPod)),
			want:     outcome{After: brief - time.Second},
		},
		"but not much later": {
			observed: see(12*time.Minute, begunRun(), makeJob(), makePod(succeededPod)),
			want:     outcome{State: v1alpha1.RunPublishing, Reason: v1alpha1.ReasonUploading, Settle: 1},
		},
		"a Pod is counted once": {
			observed: see(12*time.Minute, settled, makeJob(), makePod(succeededPod)),
			want:     outcome{State: v1alpha1.RunPublishing, Reason: v1alpha1.ReasonUploading},
		},
		"a Pod without the finalizer was counted": {
			observed: see(12*time.Minute, begunRun(), makeJob(), makePod(succeededPod, freed)),
			want:     outcome{State: v1alpha1.RunPublishing, Reason: v1alpha1.ReasonUploading},
		},
		"a Pod that turns up after the end is counted": {
			observed: see(hour, makeRun(inState(v1alpha1.RunFailed), onceBound, guarded), stray{makePod(trainerExits(3))}),
			want:     outcome{Settle: 1},
		},
		"a Pod in the way of a new run is told": {
			observed: see(hour, makeRun(), makeDataset(), stray{makePod(noController, training)}),
			want:     outcome{State: pending, Reason: v1alpha1.ReasonJobNotOwned},
		},
		"old checkpoints are cleared away once for each new one": {
			observed: see(time.Minute, begunRun(hasCheckpoints("0001-000001")), makeJob(), makePod(training)), want: trainsAndPrunes,
		},
		"and not again": {
			observed: pruned("0001-000001", see(time.Minute, begunRun(hasCheckpoints("0001-000001")), makeJob(), makePod(training))), want: trains,
		},
		"but for the next one": {
			observed: pruned("0001-000001", see(time.Minute, begunRun(hasCheckpoints("0001-000001", "0001-000002")), makeJob(), makePod(training))),
			want:     trainsAndPrunes,
		},
		"what failed at the end is tried again after it": {
			observed: pruned("", see(time.Minute, makeRun(inState(v1alpha1.RunFailed), onceBound, guarded, hasCheckpoints("0001-000001")))),
			want:     outcome{Prune: true},
		},
		"a run that ended long ago is left alone": {
			observed: see(time.Minute, makeRun(inState(v1alpha1.RunFailed), onceBound, guarded, hasCheckpoints("0001-000001"))),
		},
	}
}
