package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/transfer"
	"github.com/lethe-dev/lethe/controllers/staging"
)

func TestStatusAndLogs(t *testing.T) {
	t.Parallel()
	failed := trainingRun("bad", v1alpha1.RunFailed)
	failed.Status.Reason = v1alpha1.ReasonOOMKilled
	failed.Status.Message = "raise spec.trainer.resources.memory"
	failed.Status.Failure = &v1alpha1.RunFailure{Reason: v1alpha1.ReasonOOMKilled, Message: failed.Status.Message}
	digits := &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "digits", UID: "uid"}}
	same := &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "good", UID: "uid"}}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "good-x", Labels: map[string]string{v1alpha1.LabelRun: "good"}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
			{Name: "trainer", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}},
		}},
	}
	objects := []client.Object{trainingRun("good", v1alpha1.RunSucceeded), failed, digits, same, pod}
	tests := map[string]struct {
		args []string
		code int
		out  []string
		err  string
	}{
		"lists all":                    {args: []string{"status"}, out: []string{"RUN", "bad", "good", "DATASET", "digits"}},
		"shows a run and its namesake": {args: []string{"status", "good"}, out: []string{"Run:        good", "Dataset:    good"}},
		"shows a dataset by its kind":  {args: []string{"status", "datasetretention/good"}, out: []string{"Dataset:    good"}},
		"takes a kind as kubectl does": {args: []string{"status", "trainingruns.lethe.dev/good"}, out: []string{"Run:        good"}},
		"says what to do":              {args: []string{"status", "bad"}, out: []string{"Message:    raise spec.trainer.resources.memory"}},
		"knows no such name":           {args: []string{"status", "nobody"}, code: 1, err: "there is no run and no dataset nobody in namespace team"},
		"knows no such run":            {args: []string{"status", "trainingrun/digits"}, code: 1, err: "run digits does not exist"},
		"knows no such kind":           {args: []string{"status", "pod/x"}, code: staging.ExitUsage, err: "write trainingrun/NAME or datasetretention/NAME"},
		"knows no short name":          {args: []string{"status", "dataset/good"}, code: staging.ExitUsage, err: "names neither a run nor a dataset"},
		"needs a name behind the kind": {args: []string{"status", "trainingrun/"}, code: staging.ExitUsage, err: "names neither a run nor a dataset"},
		"follows a run to success":     {args: []string{"status", "-w", "good"}, out: []string{"Succeeded", "State:      Succeeded"}},
		"follows a run to failure":     {args: []string{"status", "-w", "bad"}, code: 1, out: []string{"Failed (OOMKilled)"}, err: "error: run bad failed (OOMKilled)\n"},
		"has to know what to follow":   {args: []string{"status", "-w"}, code: staging.ExitUsage, err: "--watch needs the name"},
		"shows a log":                  {args: []string{"logs", "good"}, out: []string{"team/good-x/trainer\n"}},
		"follows a log":                {args: []string{"logs", "-f", "good"}, out: []string{"team/good-x/trainer\n"}},
		"has no log of what is gone":   {args: []string{"logs", "bad"}, code: 1, err: "its Pod is gone. Failed (OOMKilled): raise"},
		"knows the containers":         {args: []string{"logs", "good", "-c", "x"}, code: staging.ExitUsage, err: "one of stage-in, trainer, stage-out"},
		"shows its version":            {args: []string{"version"}, out: []string{"kubectl-lethe ", "API lethe.dev/v1alpha1\n"}},
		"explains itself":              {out: []string{"kubectl lethe [command]"}},
		"does not know such a command": {args: []string{"train"}, code: staging.ExitUsage, err: `unknown command "train"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, objects...)
			args := append([]string{}, tc.args...)
			if code := w.run(t.Context(), args...); code != tc.code || !strings.Contains(w.errOut.String(), tc.err) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, tc.code, tc.err, &w.errOut)
			}
			for _, text := range tc.out {
				if !strings.Contains(w.out.String(), text) {
					t.Errorf("output lacks %q:\n%s", text, &w.out)
				}
			}
		})
	}
}

func TestStatusOfNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if code := w.run(t.Context(), "status"); code != 0 || !strings.Contains(w.errOut.String(), "Begin with: kubectl lethe upload") {
		t.Errorf("exit code %d:\n%s", code, &w.errOut)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	forbidden := apierrors.NewForbidden(v1alpha1.Resource("trainingruns"), "a", errors.New("no right"))
	pods := corev1.Resource("pods")
	noLogs := apierrors.NewForbidden(pods, "a", errors.New(`User "ann" cannot get resource "pods/log" in API group "" in the namespace "team"`))
	noToken := apierrors.NewForbidden(corev1.Resource("serviceaccounts"), "a", errors.New(`User "ann" cannot create resource "serviceaccounts/token"`))
	const askForRole = "; ClusterRole lethe-user holds this right: ask who administers the namespace to bind it to you with a RoleBinding\n"
	tests := map[string]struct {
		err  error
		code int
		want string
	}{
		"no right to the logs":         {fmt.Errorf("open the log: %w", noLogs), staging.ExitDenied, `"pods/log" in API group "" in the namespace "team"` + askForRole},
		"no right to lend a token":     {noToken, staging.ExitDenied, "serviceaccounts/token\"\n"},
		"an admission plugin's answer": {apierrors.NewForbidden(pods, "a", errors.New("exceeded quota")), staging.ExitDenied, "exceeded quota\n"},
		"nothing":                      {},
		"any failure":                  {errors.New("one\n  two"), 1, "error: one two\n"},
		"usage":                        {usageError{errors.New("wrong flag")}, staging.ExitUsage, "error: wrong flag\n"},
		"interruption":                 {context.Canceled, exitInterrupted, "error: interrupted\n"},
		"missing right":                {fmt.Errorf("read run a: %w", forbidden), staging.ExitDenied, "no right\n"},
		"expired login":                {apierrors.NewUnauthorized("expired"), staging.ExitDenied, "log in to the cluster again\n"},
		"corrupt data":                 {fmt.Errorf("download: %w", transfer.ErrCorrupt), staging.ExitDatasetCorrupt, "tell your administrator\n"},
		"an outage":                    {fmt.Errorf("upload: %w", transfer.ErrUnavailable), staging.ExitUnavailable, "try again later\n"},
		"no API server":                {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, 1, "check the network, and the address in your kubeconfig\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			if code := report(&out, tc.err); code != tc.code || !strings.HasSuffix(out.String(), tc.want) {
				t.Errorf("exit code %d, %q; want %d, %q", code, out.String(), tc.code, tc.want)
			}
			if strings.Count(out.String(), "\n") > 1 {
				t.Errorf("more than one line: %q", out.String())
			}
		})
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	built := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}
	for _, tc := range []struct {
		linked string
		info   *debug.BuildInfo
		want   string
	}{{"v2", built, "v2"}, {"", built, "v1.2.3"}, {"", nil, "(unknown)"}} {
		if got := versionOf(tc.linked, tc.info); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}
