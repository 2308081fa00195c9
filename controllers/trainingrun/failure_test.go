package trainingrun

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// blamedFor is what a failure comes to.
type blamedFor struct {
	Reason    string
	Blame     v1alpha1.Blame
	Container string
	ExitCode  *int32
	Node      *int32
	LogTail   string
	Again     bool
}

type failureCase struct {
	run  *v1alpha1.TrainingRun
	job  *batchv1.Job
	pods []corev1.Pod
	want blamedFor
	// message and hint are parts of what is said.
	message, hint string
}

// onNodes makes a run with several nodes.
func onNodes(count int32, mods ...func(*v1alpha1.TrainingRun)) *v1alpha1.TrainingRun {
	run := makeRun(inState(runningNow), onceBound, guarded)
	run.Spec.Nodes.Count = ptr.To(count)
	for _, mod := range mods {
		mod(run)
	}
	return run
}

func node(index string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		labels := map[string]string{batchv1.JobCompletionIndexAnnotation: index}
		for key, value := range p.Labels {
			labels[key] = value
		}
		p.Labels = labels
	}
}

// endsAt is ends at a time of its own.
func endsAt(name string, code int32, reason string, when time.Duration) func(*corev1.Pod) {
	return withContainer(name, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, StartedAt: at(time.Minute), FinishedAt: at(when),
	}})
}

// saysAtTheEnd is a stage-out that gives the end of the trainer's output.
func saysAtTheEnd(tail string) func(*corev1.Pod) {
	return ends(staging.ContainerStageOut, 0, "Completed", reported(staging.Report{Step: staging.StepStageOut, LogTail: tail}))
}

func disruptedAt(when time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI", LastTransitionTime: at(when),
		})
	}
}

// deletedAfter is a Pod whose deletion was asked for at the time.
func deletedAfter(when time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = ptr.To(at(when+30*time.Second)), ptr.To[int64](30)
	}
}

func rejectedBy(reason string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, reason }
}

func failedBecause(reason, message string) *batchv1.Job {
	return makeJob(func(j *batchv1.Job) {
		j.Status.Conditions = []batchv1.JobCondition{{
			Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: at(11 * time.Minute),
		}}
	})
}

func limited(duration time.Duration, gpuSeconds int64) func(*v1alpha1.TrainingRun) {
	return func(r *v1alpha1.TrainingRun) {
		if duration != 0 {
			r.Spec.Limits.MaxDuration = &metav1.Duration{Duration: duration}
		}
		if gpuSeconds != 0 {
			r.Spec.Limits.MaxGPUSeconds = &gpuSeconds
		}
	}
}

func TestFailureOfOneNode(t *testing.T) {
	t.Parallel()
	const oom = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB."
	platform, user, data := v1alpha1.BlamePlatform, v1alpha1.BlameUser, v1alpha1.BlameData
	stageIn := func(code int32) []corev1.Pod {
		return []corev1.Pod{makePod(ends(staging.ContainerStageIn, code, "Error", ""))}
	}
	inStageIn := func(reason string, blame v1alpha1.Blame, code int32, again bool) blamedFor {
		return blamedFor{Reason: reason, Blame: blame, Container: staging.ContainerStageIn, ExitCode: exit(code), Node: exit(0), Again: again}
	}
	trainer := func(code int32, reason string, more ...func(*corev1.Pod)) []corev1.Pod {
		return []corev1.Pod{makePod(append([]func(*corev1.Pod){staged, ends(staging.ContainerTrainer, code, reason, "alice")}, more...)...)}
	}
	inTrainer := func(reason string, code int32, again bool) blamedFor {
		return blamedFor{Reason: reason, Blame: user, Container: staging.ContainerTrainer, ExitCode: exit(code), Node: exit(0), Again: again}
	}
	stageOut := func(code int32) []corev1.Pod {
		return []corev1.Pod{makePod(staged, trained, ends(staging.ContainerStageOut, code, "Error", ""))}
	}
	inStageOut := func(code int32) blamedFor {
		return blamedFor{Reason: v1alpha1.ReasonUploadFailed, Blame: platform, Container: staging.ContainerStageOut, ExitCode: exit(code), Node: exit(0), Again: true}
	}
	whole := func(reason string, blame v1alpha1.Blame) blamedFor {
		return blamedFor{Reason: reason, Blame: blame, Node: exit(0), Again: true}
	}
	withTail := func(want blamedFor, tail string) blamedFor {
		want.LogTail = tail
		return want
	}
	failureTest(t, map[string]failureCase{
		"a stager that was started wrongly": {
			pods: stageIn(64), want: inStageIn(v1alpha1.ReasonStageInFailed, platform, 64, true), hint: "do not fit together",
		},
		"a dataset that is not what it was": {
			pods: stageIn(65), want: inStageIn(v1alpha1.ReasonDatasetCorrupt, data, 65, false), hint: "upload the data again",
		},
		"a checkpoint that is not what it was": {
			pods: stageIn(66), want: inStageIn(v1alpha1.ReasonCheckpointCorrupt, data, 66, false), hint: "spec.checkpoint.resume: Never",
		},
		"a full disk": {
			pods: stageIn(73), want: inStageIn(v1alpha1.ReasonDiskFull, platform, 73, true), hint: "Sharded",
		},
		"a broken disk": {
			pods: stageIn(74), want: inStageIn(v1alpha1.ReasonStageInFailed, platform, 74, true), message: "disk", hint: "which node",
		},
		"a store that stays away": {
			pods: stageIn(75), want: inStageIn(v1alpha1.ReasonStageInFailed, platform, 75, true), hint: "spec.retry.limit",
		},
		"a store that refuses": {
			pods: stageIn(77), want: inStageIn(v1alpha1.ReasonStoreDenied, platform, 77, true), hint: "operator's log",
		},
		"a stager that ran out of memory is not the user's fault": {
			pods:    []corev1.Pod{makePod(ends(staging.ContainerStageIn, 137, "OOMKilled", ""))},
			want:    inStageIn(v1alpha1.ReasonStageInFailed, platform, 137, true),
			message: "exit code 137 (OOMKilled)",
		},
		"a trainer that used too much memory": {
			pods: trainer(137, "OOMKilled"), want: inTrainer(v1alpha1.ReasonOOMKilled, 137, true),
			message: "16Gi", hint: "spec.trainer.resources.memory",
		},
		"a trainer that used too much memory, and whose Pod somebody deleted then": {
			pods: trainer(137, "OOMKilled", deletedAfter(12*time.Minute)), want: inTrainer(v1alpha1.ReasonOOMKilled, 137, true),
		},
		"a trainer whose GPU has too little memory": {
			pods: trainer(1, "Error", saysAtTheEnd(oom)), want: withTail(inTrainer(v1alpha1.ReasonCUDAOutOfMemory, 1, true), oom),
			hint: "batch size",
		},
		"a trainer that speaks of GPU memory as its own last words is not believed": {
			pods: []corev1.Pod{makePod(staged, ends(staging.ContainerTrainer, 1, "Error", reported(staging.Report{Step: staging.StepStageOut, LogTail: oom})))},
			want: inTrainer(v1alpha1.ReasonNonZeroExit, 1, true),
		},
		"a tail with control characters is made plain": {
			pods: trainer(1, "Error", saysAtTheEnd("a\x1b[2Jb\u202ec\r\n\td\u0085")), want: withTail(inTrainer(v1alpha1.ReasonNonZeroExit, 1, true), "a[2Jbc\n\td"),
		},
		"a trainer with an exit code that is not worth another try": {
			run:  makeRun(func(r *v1alpha1.TrainingRun) { r.Spec.Retry.NonRetriableExitCodes = []int32{2, 3} }),
			pods: trainer(3, "Error"), want: inTrainer(v1alpha1.ReasonNonZeroExit, 3, false), hint: "kubectl lethe logs r",
		},
		"a stager's exit code is not the trainer's": {
			run:  makeRun(func(r *v1alpha1.TrainingRun) { r.Spec.Retry.NonRetriableExitCodes = []int32{75} }),
			pods: stageIn(75), want: inStageIn(v1alpha1.ReasonStageInFailed, platform, 75, true),
		},
		"a command that is not there": {
			pods: trainer(128, "StartError"), want: inTrainer(v1alpha1.ReasonContainerError, 128, false), hint: "spec.trainer.command",
		},
		"a command that a shell does not find": {
			pods: trainer(127, "Error"), want: inTrainer(v1alpha1.ReasonNonZeroExit, 127, true), hint: "PATH",
		},
		"shared memory that is too small": {
			pods: trainer(135, "Error"), want: inTrainer(v1alpha1.ReasonNonZeroExit, 135, true), hint: "/dev/shm",
		},
		"a container that the node lost track of": {
			pods: trainer(137, "ContainerStatusUnknown"),
			want: blamedFor{Reason: v1alpha1.ReasonPodLost, Blame: platform, Container: staging.ContainerTrainer, ExitCode: exit(137), Node: exit(0), Again: true},
		},
		"artifacts that did not reach the store": {pods: stageOut(75), want: inStageOut(75), hint: "when the store is back"},
		"artifacts that the store refused":       {pods: stageOut(77), want: inStageOut(77), hint: "administrator"},
		"a Pod that used too much local disk": {
			pods: []corev1.Pod{makePod(staged, endsAt(staging.ContainerTrainer, 137, "Error", 3*time.Minute), rejectedBy("Evicted"))},
			want: whole(v1alpha1.ReasonDiskFull, user), hint: "LimitRange",
		},
		"a Pod for which the node had no GPU after all": {
			pods: []corev1.Pod{makePod(rejectedBy("OutOfnvidia.com/gpu"))}, want: whole(v1alpha1.ReasonPodLost, platform), message: "OutOfnvidia.com/gpu",
		},
		"a Pod that failed without a word": {
			pods: []corev1.Pod{makePod(podPhase(corev1.PodFailed))}, want: whole(v1alpha1.ReasonPodLost, platform),
		},
		"a Pod that somebody deleted": {
			pods: trainer(143, "Error", deletedAfter(10*time.Minute)), want: whole(v1alpha1.ReasonPodLost, platform), message: "deleted",
		},
		"the only Pod was taken away": {
			pods: trainer(1, "Error", disruptedAt(9*time.Minute)), want: whole(v1alpha1.ReasonDisrupted, platform), message: "EvictionByEvictionAPI",
		},
		"a Pod that was taken away when its trainer had failed": {
			pods: trainer(1, "Error", disruptedAt(12*time.Minute)), want: inTrainer(v1alpha1.ReasonNonZeroExit, 1, true),
		},
		"the Pod is gone": {want: blamedFor{Reason: v1alpha1.ReasonPodLost, Blame: platform, Again: true}},
		"the Pod is gone, and the Job controller knows why": {
			job:  failedBecause(batchv1.JobReasonPodFailurePolicy, "Pod team-a/r-abcde has condition DisruptionTarget matching FailJob rule at index 0"),
			want: blamedFor{Reason: v1alpha1.ReasonDisrupted, Blame: platform, Again: true},
		},
	})
}

func TestFailureOfSeveralNodes(t *testing.T) {
	t.Parallel()
	two := func(a, b []func(*corev1.Pod)) []corev1.Pod {
		return []corev1.Pod{makePod(append(a, node("0"))...), makePod(append(b, node("1"), named("r-1", 0))...)}
	}
	type mods = []func(*corev1.Pod)
	inTrainer := func(index, code int32, reason string) blamedFor {
		return blamedFor{Reason: reason, Blame: v1alpha1.BlameUser, Container: staging.ContainerTrainer, ExitCode: exit(code), Node: exit(index), Again: true}
	}
	nccl := endsAt(staging.ContainerTrainer, 1, "Error", 10*time.Minute+3*time.Second)
	cases := map[string]failureCase{
		"the first to fail is to blame": {
			pods:    two(mods{staged, nccl}, mods{staged, endsAt(staging.ContainerTrainer, 7, "Error", 10*time.Minute)}),
			want:    inTrainer(1, 7, v1alpha1.ReasonNonZeroExit),
			message: "on node 1: the trainer ended with exit code 7",
		},
		"of two in the same second the one that explains the other": {
			pods: two(mods{staged, endsAt(staging.ContainerTrainer, 134, "Error", 10*time.Minute)}, mods{staged, endsAt(staging.ContainerTrainer, 137, "OOMKilled", 10*time.Minute)}),
			want: inTrainer(1, 137, v1alpha1.ReasonOOMKilled),
		},
		"of two in the same second the one that ran out of GPU memory": {
			pods: two(mods{staged, endsAt(staging.ContainerTrainer, 1, "Error", 10*time.Minute)},
				mods{staged, endsAt(staging.ContainerTrainer, 1, "Error", 10*time.Minute), saysAtTheEnd("CUDA out of memory")}),
			want: func() blamedFor {
				want := inTrainer(1, 1, v1alpha1.ReasonCUDAOutOfMemory)
				want.LogTail = "CUDA out of memory"
				return want
			}(),
		},
		"a neighbour that the Job controller tore down is not to blame": {
			pods: two(mods{staged, endsAt(staging.ContainerTrainer, 143, "Error", 10*time.Minute+8*time.Second), deletedAfter(10*time.Minute + 5*time.Second)},
				mods{staged, endsAt(staging.ContainerTrainer, 7, "Error", 10*time.Minute)}),
			want: inTrainer(1, 7, v1alpha1.ReasonNonZeroExit),
		},
		"a node that was drained takes its neighbours with it": {
			pods: two(mods{staged, nccl}, mods{staged, endsAt(staging.ContainerTrainer, 143, "Error", 10*time.Minute+20*time.Second), disruptedAt(10 * time.Minute)}),
			want: blamedFor{Reason: v1alpha1.ReasonDisrupted, Blame: v1alpha1.BlamePlatform, Node: exit(1), Again: true},
		},
		"a failure before the drain is one": {
			pods: two(mods{staged, endsAt(staging.ContainerTrainer, 7, "Error", 9*time.Minute)}, mods{staged, endsAt(staging.ContainerTrainer, 143, "Error", 11*time.Minute), disruptedAt(10 * time.Minute)}),
			want: inTrainer(0, 7, v1alpha1.ReasonNonZeroExit),
		},
		"a Pod that its node refused keeps the others from starting": {
			pods: two(mods{runs(staging.ContainerStageIn), deletedAfter(2 * time.Minute)}, mods{rejectedBy("UnexpectedAdmissionError")}),
			want: blamedFor{Reason: v1alpha1.ReasonPodLost, Blame: v1alpha1.BlamePlatform, Node: exit(1), Again: true},
		},
		"a Pod of which nobody knows when it failed is the last to blame": {
			pods: two(mods{staged, withContainer(staging.ContainerTrainer, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 9}})},
				mods{staged, endsAt(staging.ContainerTrainer, 7, "Error", 10*time.Minute)}),
			want: inTrainer(1, 7, v1alpha1.ReasonNonZeroExit),
		},
		"an index that is none is node 0": {
			pods: []corev1.Pod{makePod(staged, ends(staging.ContainerTrainer, 7, "Error", ""), node("-4"))},
			want: inTrainer(0, 7, v1alpha1.ReasonNonZeroExit),
		},
	}
	for name, c := range cases {
		c.run = onNodes(2)
		cases[name] = c
	}
	failureTest(t, cases)
}

func TestFailureAtADeadline(t *testing.T) {
	t.Parallel()
	trains := []corev1.Pod{makePod(staged, endsAt(staging.ContainerTrainer, 143, "Error", 11*time.Minute), deletedAfter(10*time.Minute))}
	past := failedBecause(batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline")
	budget := func(reason string) blamedFor { return blamedFor{Reason: reason, Blame: v1alpha1.BlameBudget} }
	used := func(training, gpu int64) func(*v1alpha1.TrainingRun) {
		return func(r *v1alpha1.TrainingRun) {
			r.Status.Usage = &v1alpha1.Usage{TrainingSeconds: training, GPUSeconds: gpu}
		}
	}
	failureTest(t, map[string]failureCase{
		"the duration": {
			run: makeRun(limited(10*time.Minute, 0)), job: past, pods: trains,
			want: budget(v1alpha1.ReasonMaxDurationReached), message: "limits.maxDuration (10m0s)", hint: "resume: From",
		},
		"the budget": {
			run: makeRun(limited(0, 1200)), job: past, pods: trains,
			want: budget(v1alpha1.ReasonGPUBudgetReached), message: "limits.maxGPUSeconds (1200)",
		},
		"both, and the budget is spent first": {
			run: makeRun(limited(11*time.Minute, 1200)), job: past, pods: trains, want: budget(v1alpha1.ReasonGPUBudgetReached),
		},
		"both, and the duration is over first": {
			run: makeRun(limited(10*time.Minute, 1202)), job: past, pods: trains, want: budget(v1alpha1.ReasonMaxDurationReached),
		},
		"both, and what earlier attempts used decides": {
			run: makeRun(limited(20*time.Minute, 2000), used(1100, 0)), job: past, pods: trains, want: budget(v1alpha1.ReasonMaxDurationReached),
		},
		"a run on CPUs has no budget of GPUs to spend": {
			run: makeRun(limited(time.Hour, 1), func(r *v1alpha1.TrainingRun) { r.Spec.Nodes.GPUsPerNode = exit(0) }), job: past, pods: trains,
			want: budget(v1alpha1.ReasonMaxDurationReached),
		},
		"a trainer that never started": {
			run: makeRun(limited(time.Hour, 0), inState(startNow), func(r *v1alpha1.TrainingRun) {
				r.Status.Reason, r.Status.Message = v1alpha1.ReasonImagePull, "the image can not be pulled"
			}), job: past, pods: []corev1.Pod{makePod(waitsFor(staging.ContainerTrainer, "ImagePullBackOff"))},
			want: budget(v1alpha1.ReasonStartDeadlineExceeded), message: "(24h0m0s); it last waited for this (ImagePull): the image can not be pulled",
		},
		"a trainer that never started in an attempt after one that did": {
			run: makeRun(limited(time.Hour, 0), func(r *v1alpha1.TrainingRun) {
				r.Status.Attempts = []v1alpha1.Attempt{{Number: 1, StartTime: ptr.To(at(0)), Result: v1alpha1.AttemptDisrupted}}
			}), job: past, want: budget(v1alpha1.ReasonStartDeadlineExceeded),
		},
		"a trainer that started, although its Pods are gone": {
			run: makeRun(limited(time.Hour, 0), func(r *v1alpha1.TrainingRun) {
				r.Status.Attempts = []v1alpha1.Attempt{{Number: 1, StartTime: ptr.To(at(0))}}
			}, used(3600, 7200)), job: past, want: budget(v1alpha1.ReasonMaxDurationReached),
		},
		"an upload that took longer than its Job": {
			run: makeRun(limited(time.Hour, 0)), job: past,
			pods: []corev1.Pod{makePod(staged, trained, endsAt(staging.ContainerStageOut, 143, "Error", time.Hour), deletedAfter(time.Hour))},
			want: budget(v1alpha1.ReasonMaxDurationReached),
		},
		"a Pod in the place of one that was taken away, whose trainer never started": {
			run: makeRun(limited(time.Hour, 0)), job: past,
			pods: []corev1.Pod{makePod(preempted), makePod(named("r-2", 12*time.Minute), unplaced, deletedAfter(24*time.Hour))},
			want: budget(v1alpha1.ReasonStartDeadlineExceeded), message: "limits.startWithin",
		},
		"a deadline that the kubelet enforced": {
			run: makeRun(limited(time.Hour, 0)), pods: []corev1.Pod{makePod(staged, ends(staging.ContainerTrainer, 143, "Error", ""), rejectedBy("DeadlineExceeded"))},
			want: blamedFor{Reason: v1alpha1.ReasonMaxDurationReached, Blame: v1alpha1.BlameBudget, Node: exit(0)},
		},
		"a deadline that nobody asked for": {
			pods: []corev1.Pod{makePod(staged, ends(staging.ContainerTrainer, 143, "Error", ""), rejectedBy("DeadlineExceeded"))},
			want: blamedFor{Reason: v1alpha1.ReasonPodLost, Blame: v1alpha1.BlamePlatform, Node: exit(0), Again: true}, message: "DeadlineExceeded",
		},
	})
}

func failureTest(t *testing.T, cases map[string]failureCase) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.run == nil {
				c.run = makeRun(inState(runningNow), onceBound, guarded)
			}
			if c.job == nil {
				c.job = failedBecause("BackoffLimitExceeded", "")
			}
			v := failure(observed{Run: c.run, Job: c.job, Pods: c.pods, Now: noon.Add(11 * time.Minute)})
			got := blamedFor{
				Reason: v.Reason, Blame: v.Blame, Container: v.Container, ExitCode: v.ExitCode, Node: v.Node, LogTail: v.LogTail,
				Again: retriable(c.run, v),
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("failure (-want +got):\n%s", diff)
			}
			if v.State != v1alpha1.RunFailed || v.Message == "" || v.Hint == "" {
				t.Errorf("the verdict says too little: %+v", v)
			}
			if !strings.Contains(v.Message, c.message) || !strings.Contains(v.Hint, c.hint) {
				t.Errorf("message %q, hint %q; want %q and %q in them", v.Message, v.Hint, c.message, c.hint)
			}
			if strings.Contains(v.summary(), "alice") {
				t.Errorf("%q repeats what the trainer left", v.summary())
			}
		})
	}
}

func TestLimitsAreExplained(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{
		v1alpha1.ReasonMaxDurationReached, v1alpha1.ReasonGPUBudgetReached, v1alpha1.ReasonStartDeadlineExceeded, v1alpha1.ReasonStalled,
	} {
		plainly := overLimit(makeRun(), reason)
		exactly := overLimit(makeRun(limited(time.Hour, 7), func(r *v1alpha1.TrainingRun) {
			r.Spec.Limits.StalledAfter = &metav1.Duration{Duration: time.Minute}
		}), reason)
		for _, v := range []verdict{plainly, exactly} {
			if v.Reason != reason || v.Message == "" || v.Hint == "" {
				t.Errorf("%s is explained by %+v", reason, v)
			}
		}
		if reason == v1alpha1.ReasonStalled != retriable(makeRun(), exactly) {
			t.Errorf("%s: another attempt is worth a try: %t", reason, retriable(makeRun(), exactly))
		}
	}
}

// TestWhatARunWaitedForIsSaidOnce: the verdict is asked for twice, before and after the
// attempt is stopped, and in between the run's status has the first.
func TestWhatARunWaitedForIsSaidOnce(t *testing.T) {
	t.Parallel()
	run := makeRun(inState(startNow))
	run.Status.Reason, run.Status.Message = v1alpha1.ReasonUnschedulable, "no node has room"
	before := overLimit(run, v1alpha1.ReasonStartDeadlineExceeded).Message
	want := "no trainer started within limits.startWithin (24h0m0s); it last waited for this (Unschedulable): no node has room"
	if before != want {
		t.Errorf("at first: %q, want %q", before, want)
	}
	run.Status.Reason = v1alpha1.ReasonEnding
	for _, message := range []string{before, before + "; the trainer has 1m0s to write a last checkpoint"} {
		run.Status.Message = message
		if got := overLimit(run, v1alpha1.ReasonStartDeadlineExceeded).Message; got != want {
			t.Errorf("after %q: %q, want %q", message, got, want)
		}
	}
	run.Status.Message = "something else"
	if got := overLimit(run, v1alpha1.ReasonStartDeadlineExceeded).Message; !strings.HasSuffix(got, "(24h0m0s)") {
		t.Errorf("without a reason: %q", got)
	}
}

func TestEveryReasonHasSomebodyToBlame(t *testing.T) {
	t.Parallel()
	for reason, known := range advices {
		v := explained(reason, "it failed")
		if known.blame == "" || known.hint == "" || v.Blame != known.blame || v.Hint != known.hint {
			t.Errorf("%s: %+v", reason, v)
		}
		if len(v.Hint) > 512 || strings.HasSuffix(v.Hint, ".") {
			t.Errorf("%s: the hint is no half-sentence of some length: %q", reason, v.Hint)
		}
	}
}
