package runlog

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/transfer"
)

// named gives each pod a log of one line.
func named(_ context.Context, _, pod string, _ *corev1.PodLogOptions) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("output of " + pod + "\n")), nil
}

func ended(name string, code int32) corev1.ContainerStatus {
	status := terminated(name)
	status.State.Terminated.ExitCode = code
	return status
}

// TestFollowGoesOnWithWhatFollows tells the story of a run that loses a Pod, fails, and
// succeeds.
func TestFollowGoesOnWithWhatFollows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old := of(1, 0, pod("before", 5*time.Second, ended("trainer", 1)))
		one := of(1, 0, pod("one", 4*time.Second, ended("trainer", 143)))
		r, out, notes := newReader(t, named, attempts(run(v1alpha1.RunRunning, "", ""), 1), old, one)
		failed := make(chan error, 1)
		go func() { failed <- r.Follow(t.Context(), key, trainer) }()
		for _, next := range []*corev1.Pod{
			of(1, 0, pod("two", 3*time.Second, ended("trainer", 1))), of(2, 1, pod("other-node", 2*time.Second, running("trainer"))),
			of(2, 0, pod("three", 1*time.Second, ended("trainer", 0))),
		} {
			synctest.Wait() // Until the reader waits for the next pod.
			if err := r.Client.Create(t.Context(), next); err != nil {
				t.Error(err)
			}
		}
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff("output of one\noutput of two\noutput of three\n", out.String()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
		const said = "Running\nThe Pod was replaced; attempt 1 begins anew.\nRunning\nAttempt 2 has begun.\n"
		if diff := cmp.Diff(said, notes.String()); diff != "" {
			t.Errorf("notes (-want +got):\n%s", diff)
		}
	})
}

func TestFollowEnds(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		objects []client.Object
		source  Source
		change  func(t *testing.T, c client.Client) // while it waits
		want    string
		err     string
	}{
		"with the run": {
			objects: []client.Object{run(v1alpha1.RunRunning, "", ""), pod("one", 0, ended("trainer", 1))},
			source:  trainer, want: "output of one\n",
			change: func(t *testing.T, c client.Client) { t.Helper(); end(t, c, v1alpha1.RunFailed) },
		},
		"with the attempt that was asked for": {
			objects: []client.Object{
				attempts(run(v1alpha1.RunRunning, "", ""), 2), of(1, 0, pod("one", 2*time.Second, ended("trainer", 1))), of(2, 0, pod("two", 1*time.Second, running("trainer"))),
			},
			source: Source{Container: "trainer", Attempt: 1}, want: "output of one\n",
		},
		"with a container that ended well": {
			objects: []client.Object{run(v1alpha1.RunRunning, "", ""), pod("one", 0, ended("trainer", 0))},
			source:  trainer, want: "output of one\n",
		},
		"with a run that ends before its container starts again": {
			objects: []client.Object{run(v1alpha1.RunRunning, "", ""), pod("one", 1*time.Second, ended("trainer", 1))},
			source:  trainer, want: "output of one\n",
			change: func(t *testing.T, c client.Client) {
				t.Helper()
				if err := c.Create(t.Context(), pod("two", 0, waiting("trainer"))); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				end(t, c, v1alpha1.RunFailed)
			},
		},
		"not with a Pod whose container never started": {
			objects: []client.Object{run(v1alpha1.RunStarting, "", ""), failed(pod("one", 1*time.Second, waiting("trainer")))},
			source:  trainer, want: "output of two\n",
			change: func(t *testing.T, c client.Client) {
				t.Helper()
				if err := c.Create(t.Context(), pod("two", 0, ended("trainer", 0))); err != nil {
					t.Error(err)
				}
			},
		},
		"at once where there is nothing": {
			objects: []client.Object{run(v1alpha1.RunFailed, v1alpha1.ReasonPodLost, "")}, source: trainer, err: "its Pod is gone",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, out, _ := newReader(t, named, tc.objects...)
				result := make(chan error, 1)
				go func() { result <- r.Follow(t.Context(), key, tc.source) }()
				synctest.Wait()
				if tc.change != nil {
					tc.change(t, r.Client)
				}
				err := <-result
				if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error: got %v, want %q", err, tc.err)
				}
				if out.String() != tc.want {
					t.Errorf("log: got %q, want %q", out, tc.want)
				}
			})
		})
	}
}

func failed(p *corev1.Pod) *corev1.Pod {
	p.Status.Phase = corev1.PodFailed
	return p
}

func end(t *testing.T, c client.Client, state v1alpha1.RunState) {
	t.Helper()
	var r v1alpha1.TrainingRun
	if err := c.Get(t.Context(), key, &r); err != nil {
		t.Error(err)
		return
	}
	r.Status.State = state
	if err := c.Status().Update(t.Context(), &r); err != nil {
		t.Error(err)
	}
}

func TestFollowGoesOnWhenThePodIsTakenAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r Reader
		open := func(ctx context.Context, namespace, name string, o *corev1.PodLogOptions) (io.ReadCloser, error) {
			if name == "two" {
				return named(ctx, namespace, name, o)
			}
			gone := pod("one", 0)
			if err := r.Client.Delete(ctx, gone); err != nil && !apierrors.IsNotFound(err) {
				t.Error(err)
			}
			return io.NopCloser(strings.NewReader("half of it\n")), nil
		}
		r, out, notes := newReader(t, open, run(v1alpha1.RunRunning, "", ""), pod("one", 1*time.Second, running("trainer")))
		go func() {
			synctest.Wait()
			if err := r.Client.Create(t.Context(), pod("two", 0, ended("trainer", 0))); err != nil {
				t.Error(err)
			}
		}()
		if err := r.Follow(t.Context(), key, trainer); err != nil {
			t.Fatal(err)
		}
		if out.String() != "half of it\noutput of two\n" || !strings.Contains(notes.String(), "The Pod is gone.\n") {
			t.Errorf("got %q with %q", out, notes)
		}
	})
}

func TestStoredLogsStandInForPods(t *testing.T) {
	t.Parallel()
	over := func() *v1alpha1.TrainingRun {
		return attempts(run(v1alpha1.RunFailed, v1alpha1.ReasonOOMKilled, ""), 3)
	}
	stored := []transfer.LogPiece{
		{Lines: []byte("2026-09-01T12:00:00.1Z epoch 1\n2026-09-01T12:00:00.1Z 2026-09-01T11:00:00Z its own time\n")},
		{Lines: []byte("2026-09-01T12:00:00Z repeated by another stager\n2026-09-01T12:00:00.1Z epoch 1\n2026-09-01T12:00:00.15Z epoch 1b\n")},
		{Lines: []byte("the rest of a long line\n2026-09-01T12:00:00.2Z epoch 2\n")},
		{Lines: []byte("2026-09-01T12:30:00.1Z epoch 99\n"), Gap: true},
	}
	const whole = "epoch 1\n2026-09-01T11:00:00Z its own time\nepoch 1b\nthe rest of a long line\nepoch 2\nepoch 99\n"
	unreadable := errors.New("the broker stayed away")
	tests := map[string]struct {
		run     *v1alpha1.TrainingRun
		source  Source
		answers error
		out     io.Writer
		asked   [2]int // attempt and node
		want    string
		err     string
	}{
		"of the last attempt":      {run: over(), source: trainer, asked: [2]int{3, 0}, want: whole},
		"of an earlier one":        {run: over(), source: Source{Container: "trainer", Attempt: 1, Node: 2}, asked: [2]int{1, 2}, want: whole},
		"of a run that goes on":    {run: attempts(run(v1alpha1.RunRunning, "", ""), 2), source: Source{Container: "trainer", Attempt: 1}, asked: [2]int{1, 0}, want: whole},
		"but not of the stagers":   {run: over(), source: Source{Container: "stage-in"}, err: "its Pod is gone. Failed (OOMKilled)"},
		"but nothing was stored":   {run: over(), source: trainer, answers: transfer.ErrNoLog, asked: [2]int{3, 0}, err: "its Pod is gone. Failed (OOMKilled)"},
		"but can not be read":      {run: over(), source: trainer, answers: unreadable, asked: [2]int{3, 0}, err: "stored of attempt 3 can not be read: the broker stayed away"},
		"but there was no attempt": {run: run(v1alpha1.RunFailed, "", ""), source: trainer, err: "its Pod is gone"},
		"but nobody reads them":    {run: over(), source: trainer, out: closedPipe{}, asked: [2]int{3, 0}, err: "closed pipe"},
	}
	for name, tc := range tests {
		for _, follow := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r, out, notes := newReader(t, named, tc.run.DeepCopy())
				var asked [2]int
				r.Stored = func(_ context.Context, _ *v1alpha1.TrainingRun, attempt, node int, visit func(transfer.LogPiece) error) error {
					asked = [2]int{attempt, node}
					for _, piece := range stored {
						if err := visit(piece); tc.answers == nil && err != nil {
							return err
						}
					}
					return tc.answers
				}
				if tc.answers != nil {
					r.Out = io.Discard
				}
				if tc.out != nil {
					r.Out = tc.out
				}
				read := r.Print
				if follow {
					read = r.Follow
				}
				err := read(t.Context(), key, tc.source)
				if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error: got %v, want %q", err, tc.err)
				}
				if out.String() != tc.want || asked != tc.asked {
					t.Errorf("asked for %v, want %v; log: got %q, want %q", asked, tc.asked, out, tc.want)
				}
				if tc.err == "" && !strings.Contains(notes.String(), "was not kept") {
					t.Errorf("notes: got %q, want one about the gap", notes)
				}
			})
		}
	}
}

func TestPrintPointsToTheAttemptBefore(t *testing.T) {
	t.Parallel()
	r, _, _ := newReader(t, named, attempts(run(v1alpha1.RunStarting, "", ""), 2), of(2, 0, pod("two", 0, waiting("trainer"))))
	err := r.Print(t.Context(), key, trainer)
	if !errors.Is(err, ErrNoLog) || !strings.Contains(err.Error(), "kubectl lethe logs digits-1 --attempt 1 -n team") {
		t.Errorf("got %v, want a hint at attempt 1", err)
	}
}
