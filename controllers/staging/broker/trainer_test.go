package broker

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

func trainerEnds(pod *corev1.Pod, code int32) {
	pod.Status.ContainerStatuses[1].State = corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: code},
	}
}

// end lets the trainer end in the cluster.
func (w *world) end(t *testing.T, code int32) {
	t.Helper()
	trainerEnds(w.pod, code)
	if err := w.kube.Status().Update(t.Context(), w.pod); err != nil {
		t.Fatal(err)
	}
}

type trainerAnswer struct {
	status staging.TrainerStatus
	err    error
}

// wait asks for the trainer's end and returns when the broker has begun to wait.
func (w *world) wait(ctx context.Context, t *testing.T, c *brokerclient.Client) <-chan trainerAnswer {
	t.Helper()
	answers := make(chan trainerAnswer, 1)
	others := w.clock.Waiters()
	go func() {
		status, err := c.Trainer(ctx)
		answers <- trainerAnswer{status, err}
	}()
	// A timer and a ticker.
	eventually(t, "the broker waits", func() bool { return w.clock.Waiters() >= others+2 })
	return answers
}

func TestTrainerAnswersAtOnceWhatHasEnded(t *testing.T) {
	t.Parallel()
	w := newWorld()
	trainerEnds(w.pod, 3)
	got, err := w.start(t).Trainer(t.Context())
	if diff := cmp.Diff(staging.TrainerStatus{Ended: true, ExitCode: 3}, got); diff != "" || err != nil {
		t.Errorf("status (-want +got):\n%s%v", diff, err)
	}
}

func TestTrainerWaits(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*world)
		then   func(*testing.T, *world)
		want   staging.TrainerStatus
	}{
		"for the trainer's end": {
			then: func(t *testing.T, w *world) {
				t.Helper()
				w.end(t, 9)
				w.clock.Step(trainerPoll)
			},
			want: staging.TrainerStatus{Ended: true, ExitCode: 9},
		},
		"not longer than the protocol says": {
			then: func(_ *testing.T, w *world) { w.clock.Step(staging.TrainerWait) },
		},
		"not when the server stops": {
			then: func(_ *testing.T, w *world) { w.server.release() },
		},
		"for a pod that the cache does not have yet": {
			change: func(w *world) { w.uncached.Store(true) },
			then: func(t *testing.T, w *world) {
				t.Helper()
				w.end(t, 0)
				w.uncached.Store(false)
				w.clock.Step(trainerPoll)
			},
			want: staging.TrainerStatus{Ended: true},
		},
		"and looks live at last for a pod that the cache never has": {
			change: func(w *world) { w.uncached.Store(true) },
			then: func(t *testing.T, w *world) {
				t.Helper()
				w.end(t, 7)
				w.clock.Step(staging.TrainerWait)
			},
			want: staging.TrainerStatus{Ended: true, ExitCode: 7},
		},
		"on for a pod that the cache never has and that runs": {
			change: func(w *world) { w.uncached.Store(true) },
			then:   func(_ *testing.T, w *world) { w.clock.Step(staging.TrainerWait) },
		},
		"and does not take a neighbour's end for the trainer's": {
			change: func(w *world) {
				w.pod.Status.ContainerStatuses[0].State.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1}
			},
			then: func(_ *testing.T, w *world) { w.clock.Step(staging.TrainerWait) },
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			if tc.change != nil {
				tc.change(w)
			}
			answers := w.wait(t.Context(), t, w.start(t))
			tc.then(t, w)
			got := <-answers
			if diff := cmp.Diff(tc.want, got.status); diff != "" || got.err != nil {
				t.Errorf("status (-want +got):\n%s%v", diff, got.err)
			}
		})
	}
}

func TestTrainerEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	w := newWorld()
	ctx, cancel := context.WithCancel(t.Context())
	answers := w.wait(ctx, t, w.start(t))
	cancel()
	if got := <-answers; !errors.Is(got.err, context.Canceled) {
		t.Errorf("error = %v, want cancelled", got.err)
	}
	eventually(t, "the waiting request's slot is free", func() bool { return len(w.server.waiting) == 0 })
	if logged := w.logs(); len(logged) > 0 {
		t.Errorf("a caller who goes away is no failure: %q", logged)
	}
}

func TestTrainerReviewsATokenOnceInAWhile(t *testing.T) {
	t.Parallel()
	w := newWorld()
	trainerEnds(w.pod, 0)
	c := w.start(t)
	ask := func() {
		t.Helper()
		if _, err := c.Trainer(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	ask()
	w.clock.Step(memberLife - time.Millisecond)
	ask()
	if got := w.tokens.count(); got != 1 {
		t.Errorf("%d reviews within the cache's life, want 1", got)
	}
	w.clock.Step(time.Millisecond)
	ask()
	if got := w.tokens.count(); got != 2 {
		t.Errorf("%d reviews after the cache's life, want 2", got)
	}
	if _, err := c.Stage(t.Context(), staging.StepStageOut); err != nil {
		t.Fatal(err)
	}
	if got := w.tokens.count(); got != 3 {
		t.Errorf("%d reviews; credentials must never be given by the cache", got)
	}
}

func TestTrainerTellsAPodThatIsGone(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*testing.T, *world){
		"a pod that is gone": func(*testing.T, *world) {},
		"another pod of the name": func(t *testing.T, w *world) {
			t.Helper()
			other := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace, Name: w.pod.Name, UID: types.UID("other"), OwnerReferences: w.pod.OwnerReferences,
			}}
			if err := w.kube.Create(t.Context(), other); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, then := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			answers := w.wait(t.Context(), t, w.start(t))
			if err := w.kube.Delete(t.Context(), w.pod); err != nil {
				t.Fatal(err)
			}
			then(t, w)
			w.clock.Step(staging.TrainerWait)
			got := <-answers
			var problem *brokerclient.ProblemError
			if !errors.As(got.err, &problem) || problem.Problem.Reason != staging.ProblemRunEnded || brokerclient.Retryable(got.err) {
				t.Errorf("answer = %+v, want a final %s", got, staging.ProblemRunEnded)
			}
		})
	}
}

func TestTrainerLooksLiveBeforeTheFirstWaitOnly(t *testing.T) {
	t.Parallel()
	w := newWorld()
	trainerEnds(w.pod, 0)
	runs := 0
	w.failRead = func(_ client.ObjectKey, object client.Object) error {
		if _, ok := object.(*v1alpha1.TrainingRun); ok {
			runs++
		}
		return nil
	}
	c := w.start(t)
	for range 3 {
		if _, err := c.Trainer(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if runs != 1 {
		t.Errorf("the run was read %d times in %s, want once", runs, memberLife)
	}
}

func TestTrainerThatIsAskedTwiceEndsTheFirstWait(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := w.start(t)
	first := w.wait(t.Context(), t, c)
	second := make(chan trainerAnswer, 1)
	go func() {
		status, err := c.Trainer(t.Context())
		second <- trainerAnswer{status, err}
	}()
	got := <-first
	if !brokerclient.Retryable(got.err) {
		t.Errorf("first answer = %+v, want a passing refusal", got)
	}
	// A stopped ticker of the fake clock goes on, so it counts the first's as well.
	eventually(t, "only the second waits", func() bool { return len(w.server.waiting) == 1 && w.clock.Waiters() == 3 })
	w.end(t, 5)
	w.clock.Step(trainerPoll)
	if got := <-second; got.err != nil || got.status.ExitCode != 5 {
		t.Errorf("second answer = %+v, want the trainer's end", got)
	}
	eventually(t, "no place is held", func() bool {
		w.server.waits.mu.Lock()
		defer w.server.waits.mu.Unlock()
		return len(w.server.waits.byPod)+len(w.server.waits.byNamespace) == 0
	})
}

func TestWaitsAreBoundedPerNamespace(t *testing.T) {
	t.Parallel()
	w := newWaits()
	one := func(namespace string, i int) (*wait, error) {
		return w.begin(identity{namespace: namespace, podUID: namespace + strconv.Itoa(i)})
	}
	first, err := one("a", 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < maxWaitingEach; i++ {
		if _, err := one("a", i); err != nil {
			t.Fatalf("wait %d: %v", i, err)
		}
	}
	if _, err := one("a", maxWaitingEach); err == nil {
		t.Error("a namespace has more places than it may")
	}
	if _, err := one("b", 0); err != nil {
		t.Errorf("another namespace is kept out: %v", err)
	}
	again, err := one("a", 0)
	if err != nil {
		t.Fatalf("a pod that asks again in a full namespace: %v", err)
	}
	w.end(first) // Superseded: it has no place to give back.
	if _, err := one("a", maxWaitingEach); err == nil {
		t.Error("a superseded wait gave back the place of the one that follows it")
	}
	w.end(again)
	if _, err := one("a", maxWaitingEach); err != nil {
		t.Errorf("after a wait ended: %v", err)
	}
}

func TestStrangersDoNotWait(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := w.start(t)
	for range cap(w.server.working) {
		w.server.working <- struct{}{}
	}
	_, err := c.Trainer(t.Context())
	if !brokerclient.Retryable(err) || w.tokens.count() != 0 {
		t.Errorf("error = %v after %d reviews, want a refusal before any", err, w.tokens.count())
	}
}
