package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/controllers/staging"
)

const runFile = `apiVersion: lethe.dev/v1alpha1
kind: TrainingRun
metadata: {name: from-file}
spec:
  datasetRef: {name: digits}
  trainer: {image: "trainer:1"}
`

// onCreate changes what the API server does when a run is made.
func (w *world) onCreate(do func(ctx context.Context, c client.WithWatch, run *v1alpha1.TrainingRun) error) {
	w.session.client = interceptor.NewClient(w.client, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			if run, ok := obj.(*v1alpha1.TrainingRun); ok {
				if err := do(ctx, c, run); err != nil {
					return err
				}
			}
			return c.Create(ctx, obj, opts...)
		},
	})
}

// ending lets each run that is made end in this state.
func (w *world) ending(state v1alpha1.RunState, mods ...func(*v1alpha1.TrainingRun)) {
	inner := w.client
	w.session.client = interceptor.NewClient(inner, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			if err := c.Create(ctx, obj, opts...); err != nil {
				return err
			}
			var run v1alpha1.TrainingRun
			if err := inner.Get(ctx, client.ObjectKeyFromObject(obj), &run); err != nil {
				return nil //nolint:nilerr // It was a dry run.
			}
			run.Status.State = state
			for _, mod := range mods {
				mod(&run)
			}
			return inner.Status().Update(ctx, &run)
		},
	})
}

func TestRunFollowsTheRunItMakes(t *testing.T) {
	t.Parallel()
	line := []string{"run", "digits-1", "--dataset", "digits", "--image", "trainer:1", "--", "--epochs", "3"}
	tests := map[string]struct {
		state v1alpha1.RunState
		mod   func(*v1alpha1.TrainingRun)
		args  []string
		code  int
		out   []string
		err   []string
	}{
		"to its success": {
			state: v1alpha1.RunSucceeded, args: line,
			mod: func(r *v1alpha1.TrainingRun) {
				start, end := metav1.Unix(1000, 0), metav1.Unix(1090, 0)
				r.Status.StartTime, r.Status.CompletionTime = &start, &end
				r.Status.Usage = &v1alpha1.Usage{GPUSeconds: 180}
				r.Status.Artifacts = &v1alpha1.ArtifactsStatus{Objects: 2, Bytes: 10}
			},
			out: []string{
				"trainingrun.lethe.dev/digits-1 created\n", "  Succeeded\n", "Run digits-1 succeeded in 1m 30s, with 3m of GPU time.\n",
				"Get its 2 artifacts (10 B) with: kubectl lethe artifacts digits-1 DIR -n team\n",
			},
		},
		"to its failure": {
			state: v1alpha1.RunFailed, args: line, code: exitFailed,
			mod: func(r *v1alpha1.TrainingRun) {
				r.Status.Reason, r.Status.Message = v1alpha1.ReasonNonZeroExit, "exit code 3"
				r.Status.Failure = &v1alpha1.RunFailure{LogTail: "KeyError: \x1b[31mx\x1b[0m\n"}
			},
			out: []string{"Failed (NonZeroExit): exit code 3\n", "Last lines of the log:\n  KeyError: x\n"},
			err: []string{"error: run digits-1 failed (NonZeroExit): exit code 3; see what to do with: kubectl lethe why digits-1 -n team\n"},
		},
		"beside its name": {
			state: v1alpha1.RunSucceeded, args: append([]string{"run", "-o", "name"}, line[1:]...),
			out: []string{"trainingrun.lethe.dev/digits-1\n"}, err: []string{"  Succeeded\n", "Run digits-1 succeeded.\n"},
		},
		"not at all": {
			state: v1alpha1.RunRunning, args: append([]string{"run", "--detach"}, line[1:]...),
			out: []string{"trainingrun.lethe.dev/digits-1 created\n"}, err: []string{"Follow it with: kubectl lethe watch digits-1 -n team\n"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.ending(tc.state, func(r *v1alpha1.TrainingRun) {
				if tc.mod != nil {
					tc.mod(r)
				}
			})
			if code := w.run(t.Context(), tc.args...); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			w.says(t, tc.out, tc.err)
			run, err := cluster.GetRun(t.Context(), w.client, client.ObjectKey{Namespace: "team", Name: "digits-1"})
			if err != nil || run.Spec.Trainer.Args[1] != "3" {
				t.Errorf("made %+v, %v", run, err)
			}
		})
	}
}

// says fails unless both outputs hold these texts.
func (w *world) says(t *testing.T, out, errOut []string) {
	t.Helper()
	for _, text := range out {
		if !strings.Contains(w.out.String(), text) {
			t.Errorf("the output lacks %q:\n%s", text, &w.out)
		}
	}
	for _, text := range errOut {
		if !strings.Contains(w.errOut.String(), text) {
			t.Errorf("the standard error lacks %q:\n%s", text, &w.errOut)
		}
	}
}

func TestRunFromAFileOrTheStandardInput(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "run.yaml")
	if err := os.WriteFile(name, []byte(runFile), 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere := strings.Replace(runFile, "name: from-file", "name: from-file, namespace: other", 1)
	tests := map[string]struct {
		in        string
		args      []string
		namespace string
		code      int
		err       string
	}{
		"a file":                        {args: []string{"-f", name}, namespace: "team"},
		"the standard input":            {in: runFile, args: []string{"-f", "-"}, namespace: "team"},
		"with a namespace of its own":   {in: elsewhere, args: []string{"-f", "-"}, namespace: "other"},
		"but not with two":              {in: elsewhere, args: []string{"-f", "-", "-n", "team"}, code: staging.ExitUsage, err: "the file says namespace other"},
		"but not half from flags":       {in: runFile, args: []string{"-f", "-", "--gpus", "2"}, code: staging.ExitUsage, err: "--filename and --gpus exclude each other"},
		"but not with a name":           {in: runFile, args: []string{"x", "-f", "-"}, code: staging.ExitUsage, err: "without NAME"},
		"but not with arguments":        {in: runFile, args: []string{"-f", "-", "--", "x"}, code: staging.ExitUsage, err: "without NAME"},
		"but not one that is not there": {args: []string{"-f", "/nowhere"}, code: staging.ExitUsage, err: "no such file"},
		"but not anything":              {in: "kind: Pod\n", args: []string{"-f", "-"}, code: staging.ExitUsage, err: `holds a "Pod"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.in.WriteString(tc.in)
			code := w.run(t.Context(), append([]string{"run", "--detach"}, tc.args...)...)
			if code != tc.code || !strings.Contains(w.errOut.String(), tc.err) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, tc.code, tc.err, &w.errOut)
			}
			_, err := cluster.GetRun(t.Context(), w.client, client.ObjectKey{Namespace: tc.namespace, Name: "from-file"})
			if tc.code == 0 && err != nil {
				t.Errorf("it was not made: %v", err)
			}
		})
	}
}

func TestRunThatIsNotMade(t *testing.T) {
	t.Parallel()
	line := []string{"--dataset", "digits", "--image", "trainer:1"}
	invalid := apierrors.NewInvalid(schema.GroupKind{Group: "lethe.dev", Kind: "TrainingRun"}, "digits-1",
		field.ErrorList{field.Invalid(field.NewPath("spec", "nodes", "count"), 65, "at most 64")})
	tests := map[string]struct {
		objects []client.Object
		args    []string
		answer  error
		code    int
		out     string
		err     string
	}{
		"because nobody is asked":             {args: append([]string{"digits-1", "--dry-run", "client"}, line...), out: "trainingrun.lethe.dev/digits-1 created (dry run)\n"},
		"because it is only checked":          {args: append([]string{"digits-1", "--dry-run", "server"}, line...), out: "trainingrun.lethe.dev/digits-1 created (server dry run)\n"},
		"but written down":                    {args: append([]string{"digits-1", "--dry-run", "client", "-o", "yaml"}, line...), out: "    name: digits\n"},
		"and has no whole name yet":           {args: append([]string{"--generate-name", "a-", "--dry-run", "client"}, line...), out: "trainingrun.lethe.dev/a-... created (dry run)\n"},
		"because the name is taken":           {objects: []client.Object{trainingRun("digits-1", "")}, args: append([]string{"digits-1"}, line...), code: 1, err: "or watch that run with: kubectl lethe watch digits-1 -n team\n"},
		"because it makes no sense":           {args: append([]string{"digits-1"}, line...), answer: invalid, code: staging.ExitUsage, err: "spec.nodes.count: Invalid value: 65: at most 64\n"},
		"because there is no right":           {args: append([]string{"digits-1"}, line...), answer: apierrors.NewForbidden(v1alpha1.Resource("trainingruns"), "", errors.New(`User "ann" cannot create`)), code: staging.ExitDenied, err: "lethe-user"},
		"because nothing says what to run":    {args: []string{"digits-1"}, code: staging.ExitUsage, err: "--dataset must name"},
		"because it has two names":            {args: append([]string{"a", "b"}, line...), code: staging.ExitUsage, err: "there is one NAME"},
		"because it is tried in another way":  {args: append([]string{"a", "--dry-run", "maybe"}, line...), code: staging.ExitUsage, err: "--dry-run must be client or server"},
		"because it is shown in another form": {args: append([]string{"a", "-o", "json"}, line...), code: staging.ExitUsage, err: "--output must be yaml or name"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.objects...)
			if tc.answer != nil {
				w.onCreate(func(context.Context, client.WithWatch, *v1alpha1.TrainingRun) error { return tc.answer })
			}
			code := w.run(t.Context(), append([]string{"run"}, tc.args...)...)
			if code != tc.code || !strings.Contains(w.out.String(), tc.out) || !strings.Contains(w.errOut.String(), tc.err) {
				t.Errorf("exit code %d, want %d with %q%q:\n%s%s", code, tc.code, tc.out, tc.err, &w.out, &w.errOut)
			}
			var runs v1alpha1.TrainingRunList
			if err := w.client.List(t.Context(), &runs); err != nil || len(runs.Items) != len(tc.objects) {
				t.Errorf("%d runs are there, %v", len(runs.Items), err)
			}
		})
	}
}

// TestInterruptedRunGoesOn: Ctrl-C stops the watching only, at whatever time it comes,
// and the second one says the same.
func TestInterruptedRunGoesOn(t *testing.T) {
	t.Parallel()
	const hint = "Run digits-1 goes on. Watch it again with: kubectl lethe watch digits-1 -n team; stop it with: kubectl lethe cancel digits-1 -n team\n"
	line := []string{"run", "digits-1", "--dataset", "digits", "--image", "trainer:1"}
	for name, early := range map[string]bool{"while it is made": true, "while it is watched": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var asked string // what a second Ctrl-C would have said meanwhile
			w.onCreate(func(context.Context, client.WithWatch, *v1alpha1.TrainingRun) error {
				asked = w.farewell.get()
				if early {
					cancel()
				} else {
					time.AfterFunc(50*time.Millisecond, cancel)
				}
				return nil
			})
			code := w.run(ctx, line...)
			if code != exitInterrupted || !strings.HasSuffix(w.errOut.String(), hint) || strings.Contains(w.errOut.String(), "error") {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, exitInterrupted, hint, &w.errOut)
			}
			if _, err := cluster.GetRun(t.Context(), w.client, client.ObjectKey{Namespace: "team", Name: "digits-1"}); err != nil {
				t.Errorf("the run was not made: %v", err)
			}
			if asked != "Nobody knows whether the run was made; see with: kubectl lethe status -n team\n" || w.farewell.get() != hint {
				t.Errorf("a second Ctrl-C would have said %q and then %q", asked, w.farewell.get())
			}
		})
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	signals := make(chan os.Signal)
	said := make(chan string)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		obey(signals, func() { said <- "in order" }, func() { said <- "at once" })
	}()
	for _, want := range []string{"in order", "at once"} {
		signals <- os.Interrupt
		if got := <-said; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	<-ended
	close(signals)
	obey(signals, func() { t.Error("without a signal") }, nil)
}
