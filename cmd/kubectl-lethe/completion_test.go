package main

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

func TestCompletionOfNames(t *testing.T) {
	t.Parallel()
	trained := trainingRun("digits-1", v1alpha1.RunRunning)
	trained.Status.Checkpoints = []v1alpha1.Checkpoint{{ID: "0001-000500"}, {ID: "0001-001000"}}
	elsewhere := trainingRun("digits-9", v1alpha1.RunRunning)
	elsewhere.Namespace = "other"
	objects := []client.Object{
		trained, trainingRun("faces-1", v1alpha1.RunFailed), elsewhere,
		&v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "digits"}},
		&v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "faces-1"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}},
	}
	// Words are parted by spaces; the last one is completed.
	tests := map[string]struct{ line, want string }{
		"runs to watch":                {"watch ", "digits-1 faces-1 :4"},
		"that begin so":                {"logs dig", "digits-1 :4"},
		"one of them only":             {"why digits-1 ", ":4"},
		"runs to stop":                 {"cancel f", "faces-1 :4"},
		"runs that go on":              {"resume f", "faces-1 :4"},
		"runs and datasets":            {"status ", "digits digits-1 faces-1 :4"},
		"a run and then a folder":      {"artifacts digits-1 ", ":16"},
		"a folder and then a dataset":  {"upload ./x ", "digits faces-1 :4"},
		"a folder":                     {"upload ", ":16"},
		"no name of what is made":      {"run ", ":4"},
		"the dataset to train on":      {"run x --dataset d", "digits :4"},
		"the run to resume from":       {"run x --resume-from f", "faces-1 :4"},
		"how to try it":                {"run x --dry-run ", "client server :4"},
		"how to show it":               {"run x -o y", "yaml :4"},
		"checkpoints of the run":       {"artifacts digits-1 --checkpoint ", "latest 0001-001000 0001-000500 :4"},
		"checkpoints that begin so":    {"artifacts digits-1 --checkpoint 0001-001", "0001-001000 :4"},
		"no checkpoint without a run":  {"artifacts --checkpoint ", ":4"},
		"containers":                   {"logs digits-1 -c stage-", "stage-in stage-out :4"},
		"keys":                         {"upload --encryption B", "Bucket :4"},
		"namespaces":                   {"watch -n ", "other team :4"},
		"shells":                       {"completion z", "zsh :4"},
		"nothing in another namespace": {"watch -n empty x", ":4"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, objects...)
			if code := w.run(t.Context(), append([]string{"__complete"}, strings.Split(tc.line, " ")...)...); code != 0 {
				t.Errorf("exit code %d:\n%s", code, &w.errOut)
			}
			if got := strings.Join(strings.Fields(w.out.String()), " "); got != tc.want {
				t.Errorf("%q: got %q, want %q", tc.line, got, tc.want)
			}
		})
	}
}

func TestCompletionWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.session.client = interceptor.NewClient(w.client, interceptor.Funcs{
		List: func(ctx context.Context, _ client.WithWatch, _ client.ObjectList, _ ...client.ListOption) error {
			if _, limited := ctx.Deadline(); !limited {
				t.Error("the cluster may take for ever")
			}
			return errors.New("no answer")
		},
	})
	if code := w.run(t.Context(), "__complete", "watch", ""); code != 0 || strings.TrimSpace(w.out.String()) != ":4" {
		t.Errorf("exit code %d, got %q, want nothing", code, &w.out)
	}
}

func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for shell, text := range map[string]string{
		"bash": "__start_kubectl-lethe", "zsh": "#compdef kubectl-lethe", "fish": "complete -c kubectl-lethe",
		"powershell": "Register-ArgumentCompleter -CommandName 'kubectl-lethe'", "kubectl": `exec kubectl-lethe __complete "$@"`,
	} {
		w := newWorld(t)
		if code := w.run(t.Context(), "completion", shell); code != 0 || !strings.Contains(w.out.String(), text) {
			t.Errorf("%s: exit code %d, no %q in:\n%s", shell, code, text, &w.out)
		}
		if shell == "bash" || shell == "kubectl" {
			check := exec.CommandContext(t.Context(), "bash", "-n")
			check.Stdin = &w.out
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s: the script is not valid: %v\n%s", shell, err, out)
			}
		}
	}
	w := newWorld(t)
	if code := w.run(t.Context(), "completion", "tcsh"); code != 64 || !strings.Contains(w.errOut.String(), `invalid argument "tcsh"`) {
		t.Errorf("exit code %d:\n%s", code, &w.errOut)
	}
}
