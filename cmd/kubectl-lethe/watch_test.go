package main

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
)

func TestWatch(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		objects []client.Object
		change  func(t *testing.T, w *world, run *v1alpha1.TrainingRun)
		code    int
		out     []string
		err     []string
	}{
		"ends with the run": {
			objects: []client.Object{trainingRun("digits-1", v1alpha1.RunRunning)},
			change: func(t *testing.T, w *world, run *v1alpha1.TrainingRun) {
				t.Helper()
				run.Status.State = v1alpha1.RunSucceeded
				if err := w.client.Status().Update(t.Context(), run); err != nil {
					t.Error(err)
				}
			},
			out: []string{"  Running\n", "  Succeeded\n", "Run digits-1 succeeded.\n"},
		},
		"ends when it is deleted": {
			objects: []client.Object{trainingRun("digits-1", v1alpha1.RunRunning)},
			change: func(t *testing.T, w *world, run *v1alpha1.TrainingRun) {
				t.Helper()
				if err := w.client.Delete(t.Context(), run); err != nil {
					t.Error(err)
				}
			},
			code: exitFailed, err: []string{"error: run digits-1 was deleted\n"},
		},
		"does not take another run for it": {
			objects: []client.Object{trainingRun("digits-1", v1alpha1.RunRunning)},
			change: func(t *testing.T, w *world, run *v1alpha1.TrainingRun) {
				t.Helper()
				run.UID = "another"
				if err := w.client.Update(t.Context(), run); err != nil {
					t.Error(err)
				}
			},
			code: exitFailed, err: []string{"error: run digits-1 was deleted\n"},
		},
		"needs a run": {code: exitFailed, err: []string{"run digits-1 does not exist in namespace team"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.objects...)
			if tc.change != nil {
				time.AfterFunc(50*time.Millisecond, func() {
					run, err := cluster.GetRun(t.Context(), w.client, client.ObjectKey{Namespace: "team", Name: "digits-1"})
					if err != nil {
						t.Error(err)
						return
					}
					tc.change(t, w, run)
				})
			}
			if code := w.run(t.Context(), "watch", "digits-1"); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			w.says(t, tc.out, tc.err)
		})
	}
}

func TestWhy(t *testing.T) {
	t.Parallel()
	run := trainingRun("digits-1", v1alpha1.RunFailed)
	run.Status.Reason = v1alpha1.ReasonOOMKilled
	w := newWorld(t, run)
	if code := w.run(t.Context(), "why", "digits-1"); code != 0 {
		t.Errorf("exit code %d:\n%s", code, &w.errOut)
	}
	w.says(t, []string{"State:      Failed (OOMKilled)\n", "What to do:\n  - Ask for more --memory.\n"}, nil)
	if code := w.run(t.Context(), "why", "nobody"); code != exitFailed || !strings.Contains(w.errOut.String(), "does not exist") {
		t.Errorf("exit code %d:\n%s", code, &w.errOut)
	}
}

func TestCancelAndResume(t *testing.T) {
	t.Parallel()
	erased := trainingRun("erased", v1alpha1.RunRunning)
	erased.Spec.Artifacts.ReclaimPolicy = v1alpha1.ReclaimDelete
	kept := trainingRun("kept", v1alpha1.RunRunning)
	kept.Status.Checkpoints = []v1alpha1.Checkpoint{{ID: "0001-000500"}}
	suspended := trainingRun("suspended", v1alpha1.RunSuspended)
	suspended.Spec.Suspend = true
	const stays = "stays in the store (its reclaimPolicy is Retain)"
	tests := map[string]struct {
		args  string
		in    string
		code  int
		out   []string
		err   []string
		state string // gone, suspended or runs
	}{
		"asks":                       {args: "cancel kept", in: "y\n", out: []string{"Run kept is being deleted. Its trainer has 1m to stop.\n"}, err: []string{stays, "with its checkpoint 0001-000500 to go on from: kubectl lethe cancel kept --suspend -n team\n", "Delete run kept? [y/N] "}, state: "gone"},
		"takes yes":                  {args: "cancel kept", in: " YES \n", state: "gone"},
		"takes no":                   {args: "cancel kept", in: "n\n", code: 1, err: []string{"error: run kept goes on: nothing was changed\n"}, state: "runs"},
		"takes silence for a no":     {args: "cancel kept", code: 1, err: []string{"nothing was changed"}, state: "runs"},
		"does not ask":               {args: "cancel kept --yes", out: []string{stays}, state: "gone"},
		"says what is erased":        {args: "cancel erased --yes", out: []string{"is erased with it, with a receipt (its reclaimPolicy is Delete).\n"}, state: "gone"},
		"only suspends":              {args: "cancel kept --suspend", out: []string{"Let it go on with: kubectl lethe resume kept -n team\n"}, state: "suspended"},
		"has suspended it before":    {args: "cancel suspended --suspend", out: []string{"is suspended already"}, state: "suspended"},
		"lets it go on":              {args: "resume suspended", out: []string{"Run suspended goes on. Watch it with: kubectl lethe watch suspended -n team\n"}, state: "runs"},
		"lets it go on that does":    {args: "resume kept", out: []string{"is not suspended: it goes on already"}, state: "runs"},
		"leaves what has ended":      {args: "cancel over --yes", code: 1, err: []string{"has ended (Succeeded)", "kubectl delete trainingrun over -n team\n"}, state: "runs"},
		"resumes nothing that ended": {args: "resume over", code: 1, err: []string{"has ended (Succeeded)"}, state: "runs"},
		"needs a run":                {args: "cancel nobody", code: 1, err: []string{"run nobody does not exist"}, state: "gone"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, erased.DeepCopy(), kept.DeepCopy(), suspended.DeepCopy(), trainingRun("over", v1alpha1.RunSucceeded))
			w.in.WriteString(tc.in)
			args := strings.Fields(tc.args)
			if code := w.run(t.Context(), args...); code != tc.code {
				t.Errorf("exit code %d, want %d:\n%s", code, tc.code, &w.errOut)
			}
			w.says(t, tc.out, tc.err)
			run, err := cluster.GetRun(t.Context(), w.client, client.ObjectKey{Namespace: "team", Name: args[1]})
			state := "gone"
			if err == nil {
				state = map[bool]string{true: "suspended", false: "runs"}[run.Spec.Suspend]
			}
			if state != tc.state {
				t.Errorf("the run is %s, want %s", state, tc.state)
			}
		})
	}
}

func TestLogsOfWhatIsGoneComeFromTheStore(t *testing.T) {
	t.Parallel()
	run := trainingRun("digits-1", v1alpha1.RunFailed)
	run.Status.Attempt = 2
	w := newWorld(t, run)
	w.objects["team/uid/logs/attempt-0002/node-0/trainer-000001.log"] = []byte("2026-09-01T12:00:00.1Z epoch 1\n")
	w.objects["team/uid/logs/attempt-0001/node-3/trainer-000001.log"] = []byte("2026-09-01T11:00:00.1Z of node 3\n")
	for args, want := range map[string]string{"logs digits-1": "epoch 1\n", "logs digits-1 -f --attempt 1 --node 3": "of node 3\n"} {
		if code := w.run(t.Context(), strings.Fields(args)...); code != 0 || w.out.String() != want {
			t.Errorf("%s: exit code %d, got %q, want %q:\n%s", args, code, &w.out, want, &w.errOut)
		}
	}
	for args, want := range map[string]string{
		"logs digits-1 --node 1": "its Pod is gone. Failed", "logs digits-1 --node 64": "--node must be from 0 to 63",
		"logs digits-1 --attempt -1": "--attempt must be 1 or greater",
	} {
		if code := w.run(t.Context(), strings.Fields(args)...); code == 0 || !strings.Contains(w.errOut.String(), want) {
			t.Errorf("%s: exit code %d, want %q:\n%s", args, code, want, &w.errOut)
		}
	}
}

func TestLogsOfANode(t *testing.T) {
	t.Parallel()
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name, pod.Labels = "team", "digits-1-1-x", map[string]string{v1alpha1.LabelRun: "digits-1", v1alpha1.LabelAttempt: "1"}
	pod.Annotations = map[string]string{"batch.kubernetes.io/job-completion-index": "1"}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "trainer", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	w := newWorld(t, trainingRun("digits-1", v1alpha1.RunRunning), pod)
	if code := w.run(t.Context(), "logs", "digits-1", "--node", "1"); code != 0 || w.out.String() != "team/digits-1-1-x/trainer\n" {
		t.Errorf("exit code %d, got %q:\n%s", code, &w.out, &w.errOut)
	}
}
