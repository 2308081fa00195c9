package runlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/transfer"
)

var trainer = Source{Container: "trainer"}

var key = client.ObjectKey{Namespace: "team", Name: "digits-1"}

func run(state v1alpha1.RunState, reason, message string) *v1alpha1.TrainingRun {
	return &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Status:     v1alpha1.TrainingRunStatus{State: state, Reason: reason, Message: message},
	}
}

func pod(name string, age time.Duration, states ...corev1.ContainerStatus) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: name, UID: types.UID("uid-of-" + name), Labels: map[string]string{v1alpha1.LabelRun: key.Name},
			CreationTimestamp: metav1.Time{Time: time.Unix(10000, 0).Add(-age)},
		},
		Status: corev1.PodStatus{ContainerStatuses: states},
	}
}

func running(name string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
}

func terminated(name string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}
}

func waiting(name string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}}
}

// of makes a pod one of an attempt and a node.
func of(attempt, node int, p *corev1.Pod) *corev1.Pod {
	p.Labels[v1alpha1.LabelAttempt] = strconv.Itoa(attempt)
	p.Annotations = map[string]string{batchv1.JobCompletionIndexAnnotation: strconv.Itoa(node)}
	return p
}

// stranger makes it one of a run that had the name before.
func stranger(p *corev1.Pod) *corev1.Pod {
	p.Labels[v1alpha1.LabelRunUID] = "uid-of-another"
	return p
}

// attempts lets all but the last of some attempts have failed.
func attempts(r *v1alpha1.TrainingRun, count int32) *v1alpha1.TrainingRun {
	r.Status.Attempt = count
	for n := range count - 1 {
		r.Status.Attempts = append(r.Status.Attempts, v1alpha1.Attempt{Number: n + 1, Result: v1alpha1.AttemptFailed})
	}
	r.Status.Attempts = append(r.Status.Attempts, v1alpha1.Attempt{Number: count})
	return r
}

func TestLocate(t *testing.T) {
	t.Parallel()
	starting := run(v1alpha1.RunStarting, v1alpha1.ReasonImagePull, "No such image.")
	const summary = "Starting (ImagePull): No such image."
	staged := pod("a", 0, waiting("trainer"))
	staged.Status.InitContainerStatuses = []corev1.ContainerStatus{terminated("stage-in")}
	dead := pod("a", 0, waiting("trainer"))
	dead.Status.Phase = corev1.PodFailed
	tests := map[string]struct {
		run       *v1alpha1.TrainingRun
		pods      []corev1.Pod
		container string
		node      int
		attempt   int
		want      place
		wantErr   string
	}{
		"waits for a pod":           {run: starting, want: place{waiting: summary}},
		"waits for the container":   {run: starting, pods: []corev1.Pod{*staged}, want: place{pod: "a", uid: "uid-of-a", attempt: 1, waiting: summary}},
		"finds an init container":   {run: starting, pods: []corev1.Pod{*staged}, container: "stage-in", want: place{pod: "a", uid: "uid-of-a", attempt: 1, started: true, waiting: summary}},
		"waits for a missing state": {run: starting, pods: []corev1.Pod{*pod("a", 0)}, want: place{pod: "a", uid: "uid-of-a", attempt: 1, waiting: summary}},
		"takes the newest pod": {
			run:  run(v1alpha1.RunRunning, "", ""),
			pods: []corev1.Pod{*pod("old", time.Hour, terminated("trainer")), *pod("new", 0, running("trainer")), *pod("older", 2*time.Hour)},
			want: place{pod: "new", uid: "uid-of-new", attempt: 1, started: true, waiting: "Running"},
		},
		"says that the pod is gone": {
			run: run(v1alpha1.RunSucceeded, v1alpha1.ReasonPublished, ""), wantErr: "the run has ended and its Pod is gone. Succeeded (Published)",
		},
		"says that the container never ran": {
			run: run(v1alpha1.RunFailed, v1alpha1.ReasonDatasetCorrupt, "A file differs."), pods: []corev1.Pod{*staged},
			wantErr: "trainer was never started. Failed (DatasetCorrupt): A file differs.",
		},
		"takes the pod of that node": {
			run: run(v1alpha1.RunRunning, "", ""), node: 1,
			pods: []corev1.Pod{*of(1, 0, pod("first", 0, running("trainer"))), *of(1, 1, pod("second", 0, running("trainer")))},
			want: place{pod: "second", uid: "uid-of-second", attempt: 1, started: true, waiting: "Running"},
		},
		"takes the pod of that attempt": {
			run: run(v1alpha1.RunRunning, "", ""), attempt: 2,
			pods: []corev1.Pod{*of(2, 0, pod("two", 0, running("trainer"))), *of(3, 0, pod("three", 0, running("trainer")))},
			want: place{pod: "two", uid: "uid-of-two", attempt: 2, started: true, waiting: "Running"},
		},
		"takes no pod of another run of that name": {
			run:  run(v1alpha1.RunRunning, "", ""),
			pods: []corev1.Pod{*stranger(pod("other", 0, running("trainer")))}, want: place{waiting: "Running"},
		},
		"says that the pod of an attempt is gone": {
			run: attempts(run(v1alpha1.RunRunning, "", ""), 2), attempt: 1, wantErr: "the attempt has ended and its Pod is gone",
		},
		"waits for an attempt that is to come": {
			run: attempts(run(v1alpha1.RunRunning, "", ""), 2), attempt: 3, want: place{waiting: "Running"},
		},
		"says so as soon as the pod has failed": {run: starting, pods: []corev1.Pod{*dead}, wantErr: "was never started"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			container := tc.container
			if container == "" {
				container = "trainer"
			}
			got, err := locate(tc.run, tc.pods, Source{container, tc.node, tc.attempt})
			if tc.wantErr != "" {
				if !errors.Is(err, ErrNoLog) || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("error: got %v, want ErrNoLog with %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(place{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func newReader(t *testing.T, open OpenFunc, objects ...client.Object) (reader Reader, out, notes *strings.Builder) {
	t.Helper()
	scheme, err := cluster.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	out, notes = &strings.Builder{}, &strings.Builder{}
	return Reader{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
			WithStatusSubresource(&corev1.Pod{}, &v1alpha1.TrainingRun{}).Build(),
		Open: open, Clock: clock.RealClock{}, Out: out, Waiting: func(reason string) { notes.WriteString(reason + "\n") },
		Note: func(text string) { notes.WriteString(text + "\n") },
		Stored: func(_ context.Context, run *v1alpha1.TrainingRun, _, _ int, _ func(transfer.LogPiece) error) error {
			return fmt.Errorf("%w of run %s", transfer.ErrNoLog, run.Name)
		},
	}, out, notes
}

func TestPrint(t *testing.T) {
	t.Parallel()
	open := func(_ context.Context, namespace, pod string, o *corev1.PodLogOptions) (io.ReadCloser, error) {
		if o.Follow {
			return nil, errors.New("would wait")
		}
		return io.NopCloser(strings.NewReader(namespace + "/" + pod + "/" + o.Container)), nil
	}
	r, out, _ := newReader(t, open, run(v1alpha1.RunRunning, "", ""), pod("a", 0, running("trainer"), waiting("stage-out")))
	if err := r.Print(t.Context(), key, trainer); err != nil || out.String() != "team/a/trainer" {
		t.Errorf("got %q, %v", out, err)
	}
	err := r.Print(t.Context(), key, Source{Container: "stage-out"})
	if !errors.Is(err, ErrNoLog) || !strings.Contains(err.Error(), "kubectl lethe logs -f digits-1 -n team") {
		t.Errorf("container that has not started: got %v", err)
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const first = "2026-09-01T12:00:00.1Z epoch 1\n"
		const second = "2026-09-01T12:00:00.2Z epoch 2\n"
		var r Reader
		calls := 0
		open := func(ctx context.Context, _, _ string, o *corev1.PodLogOptions) (io.ReadCloser, error) {
			calls++
			switch calls {
			case 1:
				return nil, apierrors.NewBadRequest("container is waiting to start")
			case 2: // Breaks in the middle of a line.
				return io.NopCloser(io.MultiReader(strings.NewReader(first+second[:30]), broken{})), nil
			default:
				if calls == 3 && o.SinceTime.UTC().Format(time.RFC3339Nano) != "2026-09-01T12:00:00.1Z" {
					t.Errorf("goes on at %v, want the time of the last line", o.SinceTime)
				}
				var p corev1.Pod
				if err := r.Client.Get(ctx, client.ObjectKey{Namespace: "team", Name: "a"}, &p); err != nil {
					t.Error(err)
				}
				p.Status.ContainerStatuses = []corev1.ContainerStatus{terminated("trainer")}
				if err := r.Client.Status().Update(ctx, &p); err != nil {
					t.Error(err)
				}
				return io.NopCloser(strings.NewReader(first + second)), nil
			}
		}
		r, out, notes := newReader(t, open, run(v1alpha1.RunStarting, v1alpha1.ReasonPodStarting, ""))
		go func() {
			synctest.Wait() // Until the reader waits for a pod.
			if err := r.Client.Create(t.Context(), pod("a", 0, running("trainer"))); err != nil {
				t.Error(err)
			}
		}()
		if err := r.Follow(t.Context(), key, trainer); err != nil {
			t.Fatal(err)
		}
		if want := "epoch 1\nepoch 2\n"; out.String() != want {
			t.Errorf("log: got %q, want %q", out, want)
		}
		if want := "Starting (PodStarting)\n"; notes.String() != want {
			t.Errorf("notes: got %q, want %q", notes, want)
		}
	})
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestFollowGivesUp(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		open error
		out  io.Writer
		want string
	}{
		"when the log may not be read": {
			open: apierrors.NewForbidden(corev1.Resource("pods"), "a", errors.New("no right")), want: "no right",
		},
		"when the connection breaks for long": {open: io.ErrUnexpectedEOF, want: "again and again"},
		"when nobody reads what it writes":    {out: closedPipe{}, want: "closed pipe"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				open := func(context.Context, string, string, *corev1.PodLogOptions) (io.ReadCloser, error) {
					return io.NopCloser(strings.NewReader("line\n")), tc.open
				}
				r, _, _ := newReader(t, open, run(v1alpha1.RunRunning, "", ""), pod("a", 0, running("trainer")))
				if tc.out != nil {
					r.Out = tc.out
				}
				err := r.Follow(t.Context(), key, trainer)
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("error: got %v, want one with %q", err, tc.want)
				}
			})
		})
	}
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
