package broker

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

func askGang(ctx context.Context, c *brokerclient.Client) error {
	_, err := c.Gang(ctx)
	return err
}

func askProgress(ctx context.Context, c *brokerclient.Client) error {
	return c.Progress(ctx, message(1))
}

func askCheckpoint(ctx context.Context, c *brokerclient.Client) error {
	return c.Checkpoint(ctx, stored(1))
}

func askLog(ctx context.Context, c *brokerclient.Client) error {
	_, err := c.Log(ctx, staging.LogRequest{})
	return err
}

// earlyQuestions are those of a pod that begins, lateQuestions those of one that may be ending.
func earlyQuestions() map[string]question {
	return map[string]question{"stage-in": askStageIn, "gang": askGang}
}

func lateQuestions() map[string]question {
	return map[string]question{
		"stage-out": askStageOut, "trainer": askTrainer, "progress": askProgress,
		"checkpoint": askCheckpoint, "log": askLog,
	}
}

// attempt makes the pod that of another attempt, of which the status knows.
func (w *world) attempt(n int32) {
	name := jobName("run-a", runUID, n)
	w.job.Name, w.job.Spec.Template = name, templateOf(n)
	w.pod.OwnerReferences[0].Name = name
	w.run.Status.Attempt = n
	w.run.Status.Attempts = []v1alpha1.Attempt{{Number: n, JobUID: jobUID}}
}

// orphan takes the Job away, as a deletion in the background does before the pod's.
func (w *world) orphan() {
	w.run.Status.Attempts = []v1alpha1.Attempt{{Number: w.run.Status.Attempt, JobUID: jobUID}}
	w.pod.Labels = map[string]string{v1alpha1.LabelRun: "run-a"}
	w.absent = []client.Object{w.job}
}

func TestStrangersAreRefusedEverywhere(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*world)
		status int
		reason string
	}{
		"no token":                    {func(w *world) { w.token = "" }, 401, staging.ProblemUnauthenticated},
		"a token of another audience": {func(w *world) { w.token = humanToken }, 401, staging.ProblemUnauthenticated},
		"a token without an audience": {func(w *world) { w.tokens.blind = true }, 401, staging.ProblemUnauthenticated},
		"a token of no pod": {func(w *world) {
			user := podUser()
			user.Extra = nil
			w.tokens.known[podToken] = knownToken{audiences: []string{staging.Audience}, user: user}
		}, 403, staging.ProblemForbidden},
		"another pod of the name":         {func(w *world) { w.pod.UID = "other" }, 410, staging.ProblemRunEnded},
		"a pod that has ended":            {func(w *world) { w.pod.Status.Phase = corev1.PodFailed }, 410, staging.ProblemRunEnded},
		"a pod of nobody":                 {func(w *world) { w.pod.OwnerReferences = nil }, 403, staging.ProblemForbidden},
		"another run's Job":               {func(w *world) { w.job.OwnerReferences[0].Name = "run-b" }, 403, staging.ProblemForbidden},
		"a Job of another name":           {func(w *world) { w.job.Spec.Template = templateOf(2) }, 403, staging.ProblemForbidden},
		"a Job with no number":            {func(w *world) { w.job.Spec.Template.Labels[v1alpha1.LabelAttempt] = "01" }, 403, staging.ProblemForbidden},
		"a Job that is not the attempt's": {func(w *world) { w.orphan(); w.absent = nil; w.run.Status.Attempts[0].JobUID = "other" }, 403, staging.ProblemForbidden},
		"an attempt that is over":         {func(w *world) { w.run.Status.Attempt = 2 }, 410, staging.ProblemRunEnded},
		"an attempt of the future":        {func(w *world) { w.attempt(3); w.run.Status.Attempt = 1 }, 409, staging.ProblemNotYet},
		"another run of the name":         {func(w *world) { w.run.UID = "other" }, 410, staging.ProblemRunEnded},
		"a run that is being deleted":     {func(w *world) { deleted(w.run) }, 410, staging.ProblemRunEnded},
		"a run that has ended":            {func(w *world) { w.run.Status.State = v1alpha1.RunFailed }, 410, staging.ProblemRunEnded},
		"a node without a number":         {func(w *world) { w.nodes(2, 0); w.pod.Annotations = nil }, 403, staging.ProblemForbidden},
		"a node beyond the run's":         {func(w *world) { w.nodes(2, 2) }, 403, staging.ProblemForbidden},
		"a node that says it is another":  {func(w *world) { w.nodes(2, 1); w.pod.Spec.Hostname = "run-a-0" }, 403, staging.ProblemForbidden},
		"the API server does not answer":  {func(w *world) { w.tokens.err = errBroken }, 503, staging.ProblemUnavailable},
	}
	for name, tc := range cases {
		for _, questions := range []map[string]question{earlyQuestions(), lateQuestions()} {
			for path, ask := range questions {
				t.Run(path+" refuses "+name, func(t *testing.T) {
					t.Parallel()
					w := newWorld()
					tc.change(w)
					err := ask(t.Context(), w.start(t))
					problem := problemOf(t, err)
					if problem.Status != tc.status || problem.Reason != tc.reason {
						t.Errorf("got %d %s, want %d %s", problem.Status, problem.Reason, tc.status, tc.reason)
					}
					if w.writes.count() != 0 || len(w.sts.policies) != 0 || len(w.logText.asked) != 0 {
						t.Error("something was done for a stranger")
					}
				})
			}
		}
	}
}

func problemOf(t *testing.T, err error) staging.Problem {
	t.Helper()
	var problem *brokerclient.ProblemError
	if !errors.As(err, &problem) {
		t.Fatalf("error = %v, want a refusal", err)
	}
	return problem.Problem
}

func TestPodsThatLeaveMaySayTheirLast(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*world){
		"a pod that is being deleted":       func(w *world) { deleted(w.pod) },
		"a Job that is being deleted":       func(w *world) { deleted(w.job) },
		"a Job that is gone before its pod": (*world).orphan,
		"a pod without its Job":             func(w *world) { w.orphan(); deleted(w.pod) },
		"a pod of a later attempt's Job that is gone": func(w *world) {
			w.attempt(2)
			w.orphan()
			deleted(w.pod)
		},
	}
	for name, change := range cases {
		for path, ask := range lateQuestions() {
			if path == "checkpoint" && name == "a pod of a later attempt's Job that is gone" {
				ask = func(ctx context.Context, c *brokerclient.Client) error {
					again := stored(1)
					again.ID = "0002-000001"
					return c.Checkpoint(ctx, again)
				}
			}
			t.Run(path+" takes "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld()
				trainerEnds(w.pod, 0)
				change(w)
				if err := ask(t.Context(), w.start(t)); err != nil {
					t.Error(err)
				}
			})
		}
		for path, ask := range earlyQuestions() {
			t.Run(path+" refuses "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld()
				change(w)
				if problem := problemOf(t, ask(t.Context(), w.start(t))); problem.Status != http.StatusGone {
					t.Errorf("got %+v, want 410", problem)
				}
			})
		}
	}
}

func TestAPodWithoutItsJobIsBelievedByItsRunOnly(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*world){
		"a pod that names no run":           func(w *world) { w.pod.Labels = nil },
		"a pod that names another run":      func(w *world) { w.pod.Labels[v1alpha1.LabelRun] = "run-b" },
		"a run that knows no Job":           func(w *world) { w.run.Status.Attempts = nil },
		"a run that knows another Job":      func(w *world) { w.run.Status.Attempts[0].JobUID = "other" },
		"a Job of a name that does not fit": func(w *world) { w.pod.OwnerReferences[0].Name = "run-a-000000" },
		"an attempt that is over":           func(w *world) { w.run.Status.Attempt = 2 },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.orphan()
			change(w)
			if problem := problemOf(t, askStageOut(t.Context(), w.start(t))); problem.Reason != staging.ProblemRunEnded {
				t.Errorf("got %+v, want %s", problem, staging.ProblemRunEnded)
			}
		})
	}
}

func TestLaterAttemptsAreKnownByTheirJobs(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		attempt int32
		known   int32
	}{
		"the first that the status does not know yet": {1, 0},
		"the second that the status does not know":    {2, 1},
		"the tenth": {10, 10},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.attempt(tc.attempt)
			w.run.Status.Attempt = tc.known
			if err := askStageIn(t.Context(), w.start(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestJobNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for n := int32(1); n <= 50; n++ {
		name := jobName("run-a", runUID, n)
		if seen[name] {
			t.Errorf("attempt %d has the name of another", n)
		}
		seen[name] = true
	}
	if got, want := jobName("run-a", runUID, 2), fmt.Sprintf("run-a-%x", sha256.Sum256([]byte(runUID+"/2")))[:12]; got != want {
		t.Errorf("name %q, want %q", got, want)
	}
	if got := jobName("run-a", runUID, 1); got != "run-a" {
		t.Errorf("the first attempt's Job is %q", got)
	}
}

func TestNodesAreThoseOfTheJob(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.nodes(12, 11)
	w.start(t)
	c, err := w.server.follow(t.Context(), identity{namespace: namespace, podName: w.pod.Name, podUID: podUID}, staying)
	if err != nil {
		t.Fatal(err)
	}
	want := member{
		caller:  identity{namespace: namespace, podName: w.pod.Name, podUID: podUID},
		jobName: "run-a", jobUID: jobUID, run: types.NamespacedName{Namespace: namespace, Name: "run-a"}, runUID: runUID,
		attempt: 1, node: 11, nodes: 12,
	}
	if diff := cmp.Diff(want, c.member, cmp.AllowUnexported(member{}, identity{})); diff != "" {
		t.Errorf("member (-want +got):\n%s", diff)
	}
}

func TestStageInHoldsTheJobsSnapshotAgainstWhatIsKnown(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*world)
		reason string
	}{
		"a run whose status is late":              {func(w *world) { w.run.Status.Dataset = nil }, ""},
		"a Job without a dataset":                 {func(w *world) { delete(w.job.Spec.Template.Labels, v1alpha1.LabelDatasetUID) }, staging.ProblemForbidden},
		"a Job without a manifest":                {func(w *world) { w.job.Spec.Template.Annotations = nil }, staging.ProblemForbidden},
		"a Job of another dataset":                {func(w *world) { w.job.Spec.Template.Labels[v1alpha1.LabelDatasetUID] = "other" }, staging.ProblemForbidden},
		"a Job of another manifest":               {func(w *world) { w.job.Spec.Template.Annotations[resources.AnnotationManifestDigest] = "sha256:other" }, staging.ProblemForbidden},
		"a Job of a dataset that was replaced":    {func(w *world) { w.run.Status.Dataset = nil; w.dataset.UID = "other" }, staging.ProblemDatasetErasing},
		"a Job of a manifest of its own":          {func(w *world) { w.run.Status.Dataset = nil; w.dataset.Status.ManifestDigest = "sha256:other" }, staging.ProblemForbidden},
		"a Job of a dataset that is open again":   {func(w *world) { w.run.Status.Dataset = nil; w.dataset.Status.ManifestDigest = "" }, staging.ProblemForbidden},
		"a Job of a dataset that is being erased": {func(w *world) { w.run.Status.Dataset = nil; deleted(w.dataset) }, staging.ProblemDatasetErasing},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			tc.change(w)
			grant, err := w.start(t).Stage(t.Context(), staging.StepStageIn)
			if got := reasonOf(err); got != tc.reason || (tc.reason == "") != (err == nil) {
				t.Errorf("got %v, want %q", err, tc.reason)
			}
			if err == nil && grant.ManifestDigest != "sha256:digits" {
				t.Errorf("digest %q", grant.ManifestDigest)
			}
		})
	}
}

func TestANodesIndexIsTakenAsWritten(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{"0": true, "1": true, "2": false, "-1": false, "+1": false, "01": false, " 1": false, "": false} {
		w := newWorld()
		w.nodes(2, 0)
		for key := range w.pod.Annotations {
			w.pod.Annotations[key] = text
		}
		w.pod.Spec.Hostname = "run-a-" + text
		node, err := nodeOf(w.pod, "run-a", 2)
		if (err == nil) != ok || ok && strconv.Itoa(node) != text {
			t.Errorf("index %q: %d, %v", text, node, err)
		}
	}
}
