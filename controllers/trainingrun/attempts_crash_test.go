package trainingrun

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
	"github.com/lethe-dev/lethe/hack/apitest"
)

// odyssey is a run to which everything happens: its trainer fails, it is suspended, it is
// preempted, it stalls, and it comes home in the end.
type odyssey struct {
	*world
	// spent is the greatest usage that was seen.
	spent int64
}

func newOdyssey(t *testing.T) *odyssey {
	t.Helper()
	return &odyssey{world: newWorld(t, makeRun(retriesUpTo(2)), makeDataset())}
}

// settle reconciles until nothing changes any more, restarting after every error.
func (o *odyssey) settle() {
	o.t.Helper()
	for range 30 {
		writes := len(o.calls.writes)
		_, err := o.reconcile()
		o.checkInvariants()
		if err != nil || o.calls.dead {
			o.restart()
			continue
		}
		if writes == len(o.calls.writes) {
			return
		}
	}
	o.t.Fatalf("does not settle; writes: %v", o.calls.writes)
}

// checkInvariants is called after every single reconcile.
func (o *odyssey) checkInvariants() {
	o.t.Helper()
	var jobs batchv1.JobList
	var pods corev1.PodList
	o.must(o.server.List(o.t.Context(), &jobs, client.InNamespace("team-a")))
	o.must(o.server.List(o.t.Context(), &pods, client.InNamespace("team-a")))
	if len(jobs.Items) > 1 {
		o.t.Fatalf("there are %d Jobs at once", len(jobs.Items))
	}
	for _, pod := range pods.Items {
		for _, job := range jobs.Items {
			if pod.Labels[v1alpha1.LabelAttempt] != job.Labels[v1alpha1.LabelAttempt] && !over(&pod) {
				o.t.Fatalf("attempt %s has a Job, and %s still runs", job.Labels[v1alpha1.LabelAttempt], pod.Name)
			}
		}
	}
	usage := o.run().Status.Usage
	if usage == nil {
		return
	}
	if usage.GPUSeconds < o.spent {
		o.t.Fatalf("usage went from %d back to %d", o.spent, usage.GPUSeconds)
	}
	o.spent = usage.GPUSeconds
}

func (o *odyssey) pod(attempt int32, name string, mods ...func(*corev1.Pod)) corev1.Pod {
	return makePodOf(makeJobOf(makeRun(), attempt), append([]func(*corev1.Pod){named(name, time.Second)}, mods...)...)
}

// change writes the run as its user or the broker does.
func (o *odyssey) change(change func(*v1alpha1.TrainingRun)) {
	o.t.Helper()
	run := o.run()
	change(run)
	status := run.Status
	o.must(o.server.Update(o.t.Context(), run))
	run.Status = status
	o.must(o.server.Status().Update(o.t.Context(), run))
	o.settle()
}

func (o *odyssey) jobEnds(attempt int32, kind batchv1.JobConditionType) {
	o.t.Helper()
	o.must(o.server.Status().Update(o.t.Context(), o.withVersion(makeJobOf(makeRun(), attempt, jobCondition(kind)))))
	o.settle()
}

func (o *odyssey) is(pod corev1.Pod) {
	o.t.Helper()
	o.isNow(pod)
	o.settle()
}

func (o *odyssey) isTaken(pod corev1.Pod) {
	o.t.Helper()
	o.goes(pod)
	o.settle()
}

func (o *odyssey) live() {
	o.t.Helper()
	o.settle()
	o.is(o.pod(1, "p1", training))
	o.is(o.pod(1, "p1", trainerExits(3)))
	o.jobEnds(1, batchv1.JobFailed)

	o.is(o.pod(2, "p2", training))
	o.change(suspends)
	o.isTaken(o.pod(2, "p2", trainerExits(143)))
	if state := o.run().Status.State; state != v1alpha1.RunSuspended {
		o.t.Fatalf("the run is %s, want Suspended", state)
	}
	o.change(func(r *v1alpha1.TrainingRun) { r.Spec.Suspend = false })

	o.is(o.pod(3, "p3", training))
	o.is(o.pod(3, "p3", preempted))
	o.isTaken(o.pod(3, "p3", preempted))
	o.is(o.pod(3, "p4", named("p4", time.Minute), training))
	o.change(func(r *v1alpha1.TrainingRun) {
		inMotion(0, time.Hour)(r)
		r.Status.Progress.Attempt, r.Status.Progress.PodUID = 3, "p4"
	})
	o.isTaken(o.pod(3, "p4", named("p4", time.Minute), trainerExits(143)))

	o.is(o.pod(4, "p5", training))
	o.change(hasCheckpoints("0004-000001"))
	o.is(o.pod(4, "p5", succeededPod))
	o.jobEnds(4, batchv1.JobComplete)
}

// home is how it ends, whatever happened on the way.
func (o *odyssey) checkEnd() {
	o.t.Helper()
	status := o.run().Status
	type attempt struct {
		Result                        v1alpha1.AttemptResult
		Reason                        string
		GPU, Training, Lost, Taken    int64
		started, ended, hasJob, empty bool
	}
	var got []attempt
	for _, a := range status.Attempts {
		got = append(got, attempt{
			a.Result, a.Reason, a.GPUSeconds, a.TrainingSeconds, a.LostGPUSeconds, int64(a.Disruptions),
			a.StartTime != nil, a.EndTime != nil, a.JobUID == uidOfJob(a.Number), len(a.SettledPods) == 0,
		})
	}
	want := []attempt{
		{v1alpha1.AttemptFailed, v1alpha1.ReasonNonZeroExit, 1200, 600, 1200, 0, true, true, true, true},
		{v1alpha1.AttemptSuspended, v1alpha1.ReasonSuspended, 1200, 600, 1200, 0, true, true, true, true},
		{v1alpha1.AttemptFailed, v1alpha1.ReasonStalled, 2400, 1200, 2400, 1, true, true, true, true},
		{v1alpha1.AttemptSucceeded, v1alpha1.ReasonPublished, 1200, 600, 0, 0, true, true, true, false},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(attempt{})); diff != "" {
		o.t.Errorf("attempts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&v1alpha1.Usage{GPUSeconds: 6000, TrainingSeconds: 3000, LostGPUSeconds: 4800}, status.Usage); diff != "" {
		o.t.Errorf("usage (-want +got):\n%s", diff)
	}
	if status.State != v1alpha1.RunSucceeded || status.ChargedAttempts != 2 || status.Attempt != 4 {
		o.t.Errorf("%s %s after attempt %d, %d charged; want Succeeded after 4, 2 charged", status.State, status.Message, status.Attempt, status.ChargedAttempts)
	}
	for kind, want := range map[string]string{
		v1alpha1.ConditionSuspended: "False Resumed", v1alpha1.ConditionProgressing: "True Training", v1alpha1.ConditionComplete: "True Published",
	} {
		if got := o.condition(kind); got != want {
			o.t.Errorf("condition %s is %q, want %q", kind, got, want)
		}
	}
	var pods corev1.PodList
	o.must(o.server.List(o.t.Context(), &pods, client.InNamespace("team-a")))
	for _, pod := range pods.Items {
		if len(pod.Finalizers) > 0 {
			o.t.Errorf("%s is still held by %v", pod.Name, pod.Finalizers)
		}
	}
}

// together is a life of two nodes with limits: one is preempted, and both go with it.
func (o *odyssey) together() {
	o.t.Helper()
	job := func(attempt int32, mods ...func(*batchv1.Job)) *batchv1.Job {
		return makeJobOf(o.run(), attempt, mods...)
	}
	on := func(attempt int32, index string, mods ...func(*corev1.Pod)) corev1.Pod {
		name := fmt.Sprintf("p%d-%s", attempt, index)
		return makePodOf(job(attempt), append([]func(*corev1.Pod){named(name, time.Second), node(index)}, mods...)...)
	}
	ends := func(attempt int32, end func(*batchv1.Job)) {
		spec := o.withVersion(job(attempt, end))
		o.must(o.server.Status().Update(o.t.Context(), spec))
		o.settle()
	}
	o.settle()
	o.is(on(1, "0", training))
	o.is(on(1, "1", training))
	o.is(on(1, "1", preempted))
	o.isTaken(on(1, "1", preempted))
	o.isTaken(on(1, "0", trainerExits(143)))
	ends(1, jobEndsFor(batchv1.JobReasonPodFailurePolicy))

	o.is(on(2, "0", training))
	o.is(on(2, "1", training))
	o.is(on(2, "0", trainerExits(143)))
	o.is(on(2, "1", trainerExits(143)))
	ends(2, jobEndsFor(batchv1.JobReasonDeadlineExceeded))
}

func (o *odyssey) checkTogether() {
	o.t.Helper()
	status := o.run().Status
	if status.State != v1alpha1.RunFailed || status.Reason != v1alpha1.ReasonMaxDurationReached || status.Attempt != 2 || status.ChargedAttempts != 0 {
		o.t.Errorf("%s %s (%s) after attempt %d, %d charged", status.State, status.Reason, status.Message, status.Attempt, status.ChargedAttempts)
	}
	// Two nodes with two GPUs, ten minutes, twice.
	if diff := cmp.Diff(&v1alpha1.Usage{GPUSeconds: 4800, TrainingSeconds: 1200, LostGPUSeconds: 4800}, status.Usage); diff != "" {
		o.t.Errorf("usage (-want +got):\n%s", diff)
	}
	var service corev1.Service
	o.must(o.server.Get(o.t.Context(), client.ObjectKey{Namespace: "team-a", Name: "lethe-r"}, &service))
	var last batchv1.Job
	o.must(o.server.Get(o.t.Context(), client.ObjectKey{Namespace: "team-a", Name: resources.JobName(o.run(), 2)}, &last))
	if got := ptr.Deref(last.Spec.ActiveDeadlineSeconds, 0); got != 60+3000 {
		o.t.Errorf("the last Job had a deadline of %d s, want 3060: 50 minutes are left, from a minute after its start", got)
	}
}

// voyages are lives that come to the same end, whatever fails on the way.
var voyages = map[string]struct {
	begin       func(*testing.T) *odyssey
	live, check func(*odyssey)
}{
	"one node": {newOdyssey, (*odyssey).live, (*odyssey).checkEnd},
	"two nodes": {func(t *testing.T) *odyssey {
		t.Helper()
		return &odyssey{world: newWorld(t, makeRun(takesAtMost(time.Hour), func(r *v1alpha1.TrainingRun) { r.Spec.Nodes.Count = ptr.To[int32](2) }), makeDataset())}
	}, (*odyssey).together, (*odyssey).checkTogether},
}

// TestEveryCrashPointOfALifeWithAttempts lets every single call fail in turn, and every
// one that changes something before and after its effect, alone and as the death of the
// process: no attempt is made twice, and no second is counted twice, or lost.
func TestEveryCrashPointOfALifeWithAttempts(t *testing.T) {
	t.Parallel()
	for name, v := range voyages {
		quiet := v.begin(t)
		v.live(quiet)
		v.check(quiet)
		if t.Failed() {
			t.Fatalf("%s: already in peace; writes:\n%s", name, strings.Join(quiet.calls.writes, "\n"))
		}
		all := make([]int, quiet.calls.total)
		for i := range all {
			all[i] = i + 1
		}
		for kind, fault := range map[string]struct {
			at         []int
			late, kill bool
		}{
			"call fails":          {at: all},
			"answer is lost":      {at: quiet.calls.effects, late: true},
			"process dies before": {at: quiet.calls.effects, kill: true},
			"process dies after":  {at: quiet.calls.effects, kill: true, late: true},
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				t.Logf("%d crash points, of which one in %d is tried", len(fault.at), apitest.Stride)
				for n := 0; n < len(fault.at); n += apitest.Stride {
					o := v.begin(t)
					o.calls.failAt, o.calls.late, o.calls.kill = fault.at[n], fault.late, fault.kill
					v.live(o)
					v.check(o)
					if t.Failed() {
						t.Fatalf("at call %d", fault.at[n])
					}
				}
			})
		}
	}
}
