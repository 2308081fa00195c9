package trainingrun

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// trainedFor is a Pod that is over, whose trainer ran so.
func trainedFor(from, to time.Duration, mods ...func(*corev1.Pod)) corev1.Pod {
	span := withContainer(staging.ContainerTrainer, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		StartedAt: at(from), FinishedAt: at(to),
	}})
	return makePod(append([]func(*corev1.Pod){span, podPhase(corev1.PodFailed)}, mods...)...)
}

func cpuOnly(r *v1alpha1.TrainingRun) { r.Spec.Nodes.GPUsPerNode = ptr.To[int32](0) }

func TestUsage(t *testing.T) {
	t.Parallel()
	seconds := func(gpu, training, lost int64) *v1alpha1.Usage {
		return &v1alpha1.Usage{GPUSeconds: gpu, TrainingSeconds: training, LostGPUSeconds: lost}
	}
	lostAt := func(mods ...func(*corev1.Pod)) corev1.Pod {
		return makePod(append([]func(*corev1.Pod){runs(staging.ContainerTrainer), podPhase(corev1.PodFailed)}, mods...)...)
	}
	cases := map[string]struct {
		observed observed
		want     *v1alpha1.Usage
	}{
		"nothing is said before a trainer has ended": {
			see(2*hour, begunRun(), makeJob(), makePod(training)), nil,
		},
		"part of a second is rounded up": {
			see(2*hour, begunRun(), makeJob(), trainedFor(0, 1500*time.Millisecond)), seconds(4, 2, 4),
		},
		"what ended well is not lost": {
			see(2*hour, begunRun(), makeJob(), trainedFor(0, time.Minute, podPhase(corev1.PodSucceeded))), seconds(120, 60, 0),
		},
		"what a checkpoint has is not lost": {
			see(2*hour, begunRun(hasCheckpoints("0001-000001")), makeJob(), trainedFor(0, 90*time.Second)), seconds(180, 90, 60),
		},
		"a checkpoint of another attempt keeps nothing of this one": {
			see(2*hour, makeRun(onceBound, after(failedAttempt, openAttempt), hasCheckpoints("0001-000001")), makeJobOf(makeRun(), 2),
				func() corev1.Pod {
					pod := trainedFor(0, 90*time.Second)
					pod.Labels = makeJobOf(makeRun(), 2).Spec.Template.Labels
					return pod
				}()),
			seconds(180, 90, 180),
		},
		"a checkpoint that was complete after the end keeps everything": {
			see(2*hour, begunRun(hasCheckpoints("0001-000001")), makeJob(), trainedFor(0, 50*time.Second)), seconds(100, 50, 0),
		},
		"what was there before is added to": {
			see(2*hour, begunRun(hasSpent(77, 7)), makeJob(), trainedFor(0, time.Minute)), seconds(197, 67, 120),
		},
		"a Pod that was cut off from the Job counts": {
			see(2*hour, begunRun(), makeJob(), stray{trainedFor(0, time.Minute)}), seconds(120, 60, 120),
		},
		"a run without GPUs used none": {
			see(2*hour, begunRun(cpuOnly), makeJob(), trainedFor(0, hour)), seconds(0, 3600, 0),
		},
		"a clock that went back gives no credit": {
			see(2*hour, begunRun(hasSpent(77, 7)), makeJob(), trainedFor(hour, 0)), seconds(77, 7, 0),
		},
		"a trainer that never started costs nothing": {
			see(2*hour, begunRun(), makeJob(), makePod(podPhase(corev1.PodFailed), withContainer(staging.ContainerTrainer, corev1.ContainerState{
				Terminated: &corev1.ContainerStateTerminated{ExitCode: 128, FinishedAt: at(time.Hour)},
			}))), seconds(0, 0, 0),
		},
		"a Pod of a node that is lost counts until it was not ready any more": {
			see(2*hour, begunRun(), makeJob(), lostAt(podDeleting, func(p *corev1.Pod) {
				p.DeletionTimestamp = ptr.To(at(hour))
				p.Status.Conditions = []corev1.PodCondition{{
					Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: at(11 * time.Minute),
				}}
			})), seconds(1200, 600, 1200),
		},
		"or until it was deleted": {
			see(2*hour, begunRun(), makeJob(), lostAt(func(p *corev1.Pod) { p.DeletionTimestamp = ptr.To(at(11 * time.Minute)) })), seconds(1200, 600, 1200),
		},
		"or until somebody looks": {
			see(11*time.Minute, begunRun(), makeJob(), lostAt()), seconds(1200, 600, 1200),
		},
		"training time is that of the first node": {
			see(2*hour, begunRun(func(r *v1alpha1.TrainingRun) { r.Spec.Nodes.Count = ptr.To[int32](2) }), makeJob(),
				trainedFor(0, time.Minute, node("0")), trainedFor(0, 2*time.Minute, named("r-2", 0), node("1"))),
			seconds(360, 60, 360),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status := reportOn(c.observed)
			if diff := cmp.Diff(c.want, status.Usage); diff != "" {
				t.Errorf("usage (-want +got):\n%s", diff)
			}
			var sum v1alpha1.Usage
			for _, a := range status.Attempts {
				sum.GPUSeconds += a.GPUSeconds
				sum.LostGPUSeconds += a.LostGPUSeconds
			}
			before := ptr.Deref(c.observed.Run.Status.Usage, v1alpha1.Usage{})
			if after := ptr.Deref(status.Usage, v1alpha1.Usage{}); sum.GPUSeconds != after.GPUSeconds-before.GPUSeconds {
				t.Errorf("the attempts have %d GPU-seconds more, the run %d", sum.GPUSeconds, after.GPUSeconds-before.GPUSeconds)
			}
		})
	}
}

func TestARunThatEndsWithoutATrainerUsedNothing(t *testing.T) {
	t.Parallel()
	status := reportOn(see(0, makeRun(), makeDataset(invalid)))
	if diff := cmp.Diff(&v1alpha1.Usage{}, status.Usage); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
}

// The list of attempts has an end, and what falls off it stays in the sums.
func TestAttemptsThatFallOffTheListStayInTheSums(t *testing.T) {
	t.Parallel()
	var attempts []v1alpha1.Attempt
	for range maxAttempts {
		a := disruptedAttempt
		a.GPUSeconds, a.TrainingSeconds = 100, 600
		attempts = append(attempts, a)
	}
	run := makeRun(inState(runningNow), onceBound, guarded, after(attempts...), hasSpent(100*maxAttempts, 600*maxAttempts))
	job := makeJobOf(run, maxAttempts+1)
	status := reportOn(see(12*time.Minute, run, job, makePodOf(job, preempted)))
	if len(status.Attempts) != maxAttempts || status.Attempts[0].Number != 2 || status.Attempt != maxAttempts+1 {
		t.Errorf("%d attempts from %d on, the newest is %d", len(status.Attempts), status.Attempts[0].Number, status.Attempt)
	}
	if got := status.Usage.GPUSeconds; got != 100*maxAttempts+1200 {
		t.Errorf("%d GPU-seconds, want those of all attempts", got)
	}
	last := status.Attempts[maxAttempts-1]
	if last.GPUSeconds != 1200 || last.Disruptions != 1 {
		t.Errorf("the last attempt is %+v", last)
	}
}

// However many Pods a tenant makes that say to be the run's, the status takes them.
func TestASettlementFitsTheSchema(t *testing.T) {
	t.Parallel()
	o := see(12*time.Minute, begunRun(), makeJob())
	run := o.Run.DeepCopy()
	for n := range 1000 {
		pod := makePod(noController, trainerExits(3), named(fmt.Sprintf("stray-%d", n), 0))
		pod.Labels = map[string]string{v1alpha1.LabelRun: "r", v1alpha1.LabelRunUID: runUID, v1alpha1.LabelAttempt: "99999999999"}
		o.Strays = append(o.Strays, pod)
	}
	for range 4 {
		status := reportOn(o)
		if got := len(status.Attempts[0].SettledPods); got > maxSettled {
			t.Fatalf("%d Pods are remembered, more than the schema takes", got)
		}
		run.Status = status
		o.Run = run.DeepCopy()
	}
	if got := len(o.Run.Status.Attempts[0].SettledPods); got != maxSettled {
		t.Errorf("%d Pods are settled, want as many as there is room for", got)
	}
	// Those that were let go make room.
	for i := range o.Strays {
		o.Strays[i].Finalizers = nil
	}
	o.Strays = append(o.Strays, makePod(noController, trainerExits(3), named("late", 0)))
	if diff := cmp.Diff([]types.UID{"late"}, reportOn(o).Attempts[0].SettledPods); diff != "" {
		t.Errorf("settled Pods (-want +got):\n%s", diff)
	}
}

func TestAPodIsOver(t *testing.T) {
	t.Parallel()
	unassigned := func(p *corev1.Pod) { p.Spec.NodeName = "" }
	confirmed := func(p *corev1.Pod) { p.DeletionGracePeriodSeconds = ptr.To[int64](0) }
	for name, c := range map[string]struct {
		pod  corev1.Pod
		want bool
	}{
		"that has succeeded":                             {makePod(podPhase(corev1.PodSucceeded)), true},
		"that has failed":                                {makePod(podPhase(corev1.PodFailed)), true},
		"that was deleted before it had a node":          {makePod(podDeleting, unassigned), true},
		"whose kubelet confirms that it is gone":         {makePod(podDeleting, confirmed), true},
		"but not that starts":                            {makePod(), false},
		"but not that has no node yet":                   {makePod(unassigned), false},
		"but not that still downloads while it goes":     {makePod(podDeleting, runs(staging.ContainerStageIn)), false},
		"but not that still trains while it goes":        {makePod(podDeleting, training), false},
		"but not that trains, whoever says that it goes": {makePod(podDeleting, training, confirmed), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := over(&c.pod); got != c.want {
				t.Errorf("over = %v, want %v", got, c.want)
			}
		})
	}
}

func TestResumedFromIsWhatStageInSays(t *testing.T) {
	t.Parallel()
	says := func(id string) func(*corev1.Pod) {
		return ends(staging.ContainerStageIn, 0, "Completed", reported(staging.Report{Step: staging.StepStageIn, Checkpoint: id}))
	}
	for id, want := range map[string]string{"0001-000007": "0001-000007", "": "", "../../etc": ""} {
		status := reportOn(see(2*time.Minute, begunRun(), makeJob(), makePod(says(id), runs(staging.ContainerTrainer))))
		if got := status.Attempts[0].ResumedFrom; got != want {
			t.Errorf("stage-in says %q, and the attempt resumed from %q", id, got)
		}
	}
}

// What the broker writes is carried along untouched.
func TestReportLeavesProgressAndCheckpointsAlone(t *testing.T) {
	t.Parallel()
	for name, c := range allCases() {
		if c.observed.Run == nil {
			continue
		}
		o := c.observed
		o.Run = o.Run.DeepCopy()
		hasCheckpoints("0001-000001")(o.Run)
		o.Run.Status.Progress = &v1alpha1.Progress{Percent: ptr.To[int32](42)}
		status := reportOn(o)
		if diff := cmp.Diff(o.Run.Status.Progress, status.Progress); diff != "" {
			t.Errorf("%s: progress (-before +after):\n%s", name, diff)
		}
		if diff := cmp.Diff(o.Run.Status.Checkpoints, status.Checkpoints); diff != "" {
			t.Errorf("%s: checkpoints (-before +after):\n%s", name, diff)
		}
	}
}
