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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
)

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
			Namespace: key.Namespace, Name: name, Labels: map[string]string{v1alpha1.LabelRun: key.Name},
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
		want      place
		wantErr   string
	}{
		"waits for a pod":           {run: starting, want: place{waiting: summary}},
		"waits for the container":   {run: starting, pods: []corev1.Pod{*staged}, want: place{pod: "a", waiting: summary}},
		"finds an init container":   {run: starting, pods: []corev1.Pod{*staged}, container: "stage-in", want: place{pod: "a", started: true, waiting: summary}},
		"waits for a missing state": {run: starting, pods: []corev1.Pod{*pod("a", 0)}, want: place{pod: "a", waiting: summary}},
		"takes the newest pod": {
			run:  run(v1alpha1.RunRunning, "", ""),
			pods: []corev1.Pod{*pod("old", time.Hour, terminated("trainer")), *pod("new", 0, running("trainer")), *pod("older", 2*time.Hour)},
			want: place{pod: "new", started: true, waiting: "Running"},
		},
		"says that the pod is gone": {
			run: run(v1alpha1.RunSucceeded, v1alpha1.ReasonPublished, ""), wantErr: "its pod is gone. Succeeded (Published)",
		},
		"says that the container never ran": {
			run: run(v1alpha1.RunFailed, v1alpha1.ReasonDatasetCorrupt, "A file differs."), pods: []corev1.Pod{*staged},
			wantErr: "trainer was never started. Failed (DatasetCorrupt): A file differs.",
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
			got, err := locate(tc.run, tc.pods, container)
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
			WithStatusSubresource(&corev1.Pod{}).Build(),
		Open: open, Clock: clock.RealClock{}, Out: out, Waiting: func(reason string) { notes.WriteString(reason + "\n") },
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
	if err := r.Print(t.Context(), key, "trainer"); err != nil || out.String() != "team/a/trainer" {
		t.Errorf("got %q, %v", out, err)
	}
	err := r.Print(t.Context(), key, "stage-out")
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
		if err := r.Follow(t.Context(), key, "trainer"); err != nil {
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
				err := r.Follow(t.Context(), key, "trainer")
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("error: got %v, want one with %q", err, tc.want)
				}
			})
		})
	}
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
