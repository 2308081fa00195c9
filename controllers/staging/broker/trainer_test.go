package broker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

func trainerEnds(pod *corev1.Pod, code int32) {
	pod.Status.ContainerStatuses[1].State = corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: code},
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
	go func() {
		status, err := c.Trainer(ctx)
		answers <- trainerAnswer{status, err}
	}()
	// A timer and a ticker.
	eventually(t, "the broker waits", func() bool { return w.clock.Waiters() == 2 })
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
				trainerEnds(w.pod, 9)
				if err := w.kube.Status().Update(t.Context(), w.pod); err != nil {
					t.Fatal(err)
				}
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
			change: func(w *world) { w.absent = []client.Object{w.pod} },
			then: func(t *testing.T, w *world) {
				t.Helper()
				trainerEnds(w.pod, 0)
				w.pod.ResourceVersion = ""
				if err := w.kube.Create(t.Context(), w.pod); err != nil {
					t.Fatal(err)
				}
				w.clock.Step(trainerPoll)
			},
			want: staging.TrainerStatus{Ended: true},
		},
		"and does not take another pod of the name for the caller": {
			change: func(w *world) { w.pod.UID = "other"; trainerEnds(w.pod, 1) },
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
	w.clock.Step(tokenCacheLife - time.Millisecond)
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
