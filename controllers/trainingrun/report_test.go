package trainingrun

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/staging"
)

func reportOn(o observed) v1alpha1.TrainingRunStatus {
	return report(o, decide(o, testOptions), nil, testOptions)
}

// A status that is written must be the same at the next look at the same facts,
// also a minute later, or it would be written for ever.
func TestReportIsTheSameAtTheNextLook(t *testing.T) {
	t.Parallel()
	for name, c := range allCases() {
		if c.observed.Run == nil || c.want.Count {
			continue // What was counted is erased at the next look.
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := reportOn(c.observed)
			again := c.observed
			again.Run = again.Run.DeepCopy()
			again.Run.Status = *first.DeepCopy()
			again.Now = again.Now.Add(time.Minute)
			switch {
			case c.want.Create:
				again.Job, again.Dataset = makeJob(), nil
			case c.want.End != "" && !c.want.State.Finished():
				// The next attempt has no Job yet.
				again.Previous, again.Job, again.Pods = again.Job, nil, nil
			}
			if first.State == c.observed.Run.Status.State && c.want.State == "" && c.want.After > 0 {
				return // What is not told yet is told a minute later.
			}
			if diff := cmp.Diff(first, reportOn(again)); diff != "" {
				t.Errorf("status changes without a new fact (-first +second):\n%s", diff)
			}
		})
	}
}

// What is observed is shared, with the cache and with other looks: nothing is
// written into it, not even the text that a Quantity keeps of itself.
func TestLookingChangesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range allCases() {
		run, job := c.observed.Run.DeepCopy(), c.observed.Job.DeepCopy()
		if run == nil {
			continue
		}
		reportOn(c.observed)
		if !reflect.DeepEqual(run, c.observed.Run) || !reflect.DeepEqual(job, c.observed.Job) {
			t.Errorf("%s: what was observed was written to", name)
		}
	}
}

func TestReportFitsTheSchema(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 2*maxMessage)
	o := see(time.Minute, makeRun(onceBound), makeJob(), long)
	status := reportOn(o)
	if got := len([]rune(status.Message)); got != maxMessage {
		t.Errorf("message has %d characters, want it cut to %d", got, maxMessage)
	}
	if !strings.HasSuffix(status.Message, "...") {
		t.Errorf("message does not show that it was cut: %q", status.Message[len(status.Message)-9:])
	}
}

func TestReportOfASuccess(t *testing.T) {
	t.Parallel()
	run := makeRun(inState(v1alpha1.RunPublishing), onceBound)
	got := reportOn(see(time.Hour, run, makeJob(jobCondition(batchv1.JobComplete)), makePod(succeededPod)))
	message := "trained, and the artifacts are in the store; `kubectl lethe artifacts r DIR` downloads them"
	condition := func(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{
			Type: kind, Status: status, Reason: reason, Message: message,
			ObservedGeneration: 1, LastTransitionTime: at(time.Hour),
		}
	}
	want := v1alpha1.TrainingRunStatus{
		ObservedGeneration: 1,
		State:              v1alpha1.RunSucceeded,
		Reason:             v1alpha1.ReasonPublished,
		Message:            message,
		StartTime:          ptr.To(at(time.Minute)),
		CompletionTime:     ptr.To(at(10 * time.Minute)),
		Dataset:            &v1alpha1.BoundDataset{UID: datasetUID, ManifestDigest: digest},
		Usage:              &v1alpha1.Usage{GPUSeconds: 2 * 600, TrainingSeconds: 600},
		Attempt:            1,
		Attempts: []v1alpha1.Attempt{{
			Number: 1, JobUID: jobUID, StartTime: ptr.To(at(time.Minute)), EndTime: ptr.To(at(10 * time.Minute)),
			Result: v1alpha1.AttemptSucceeded, Reason: v1alpha1.ReasonPublished,
			GPUSeconds: 2 * 600, TrainingSeconds: 600, SettledPods: []types.UID{"pod-1"},
		}},
		Artifacts: &v1alpha1.ArtifactsStatus{
			Location:       v1alpha1.ObjectLocation{Bucket: "artifacts", Prefix: "team-a/" + runUID + "/", Store: testStore},
			ManifestDigest: digest, Objects: 3, Bytes: 4096,
		},
		Conditions: []metav1.Condition{
			condition(v1alpha1.ConditionDatasetBound, metav1.ConditionTrue, v1alpha1.ReasonBound, "the run is bound to its dataset"),
			condition(v1alpha1.ConditionRunning, metav1.ConditionFalse, v1alpha1.ReasonTrained, "the trainer ended with exit code 0"),
			condition(v1alpha1.ConditionArtifactsPublished, metav1.ConditionTrue, v1alpha1.ReasonPublished, message),
			condition(v1alpha1.ConditionComplete, metav1.ConditionTrue, v1alpha1.ReasonPublished, message),
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestReportOfAFailure(t *testing.T) {
	t.Parallel()
	run := makeRun(inState(v1alpha1.RunRunning), onceBound)
	status := reportOn(see(time.Hour, run, makeJob(jobCondition(batchv1.JobFailed)),
		makePod(staged, ends(staging.ContainerTrainer, 3, "Error", ""), podPhase(corev1.PodFailed))))
	want := &v1alpha1.RunFailure{
		Reason:    v1alpha1.ReasonNonZeroExit,
		Blame:     v1alpha1.BlameUser,
		Message:   "the trainer ended with exit code 3",
		Hint:      "`kubectl lethe logs r` shows its output",
		Container: staging.ContainerTrainer,
		Node:      ptr.To[int32](0),
		ExitCode:  ptr.To[int32](3),
	}
	if diff := cmp.Diff(want, status.Failure); diff != "" {
		t.Errorf("failure (-want +got):\n%s", diff)
	}
	if status.Artifacts != nil {
		t.Errorf("a failed run has artifacts: %+v", status.Artifacts)
	}
	if !apimeta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionFailed) {
		t.Error("condition Failed is not True")
	}
	if diff := cmp.Diff(ptr.To(at(10*time.Minute)), status.CompletionTime); diff != "" {
		t.Errorf("completionTime is not that of the Job (-want +got):\n%s", diff)
	}
}

// kubectl wait and the portal look at the conditions, so each state must show the
// right ones.
func TestConditionsOfEachState(t *testing.T) {
	t.Parallel()
	type shown map[string]string
	cases := map[string]struct {
		verdict verdict
		bound   bool
		want    shown
	}{
		"waiting": {verdict{State: v1alpha1.RunPending, Reason: "Why"}, false, shown{
			"DatasetBound": "False Why", "Running": "False Why", "ArtifactsPublished": "False Why",
		}},
		"starting": {verdict{State: v1alpha1.RunStarting, Reason: "Why"}, true, shown{
			"DatasetBound": "True Bound", "Running": "False Why", "ArtifactsPublished": "False Why",
		}},
		"queued": {verdict{State: v1alpha1.RunQueued, Reason: "Why"}, true, shown{
			"DatasetBound": "True Bound", "Running": "False Why", "ArtifactsPublished": "False Why",
		}},
		"suspended": {verdict{State: v1alpha1.RunSuspended, Reason: "Why"}, true, shown{
			"DatasetBound": "True Bound", "Running": "False Why", "ArtifactsPublished": "False Why",
		}},
		"training": {verdict{State: v1alpha1.RunRunning, Reason: v1alpha1.ReasonTraining}, true, shown{
			"DatasetBound": "True Bound", "Running": "True Training", "ArtifactsPublished": "False Training",
		}},
		"ending": {verdict{State: v1alpha1.RunRunning, Reason: v1alpha1.ReasonEnding}, true, shown{
			"DatasetBound": "True Bound", "Running": "False Ending", "ArtifactsPublished": "False Ending",
		}},
		"publishing": {verdict{State: v1alpha1.RunPublishing, Reason: v1alpha1.ReasonUploading}, true, shown{
			"DatasetBound": "True Bound", "Running": "False Trained", "ArtifactsPublished": "False Uploading",
		}},
		"succeeded": {verdict{State: v1alpha1.RunSucceeded, Reason: v1alpha1.ReasonPublished}, true, shown{
			"DatasetBound": "True Bound", "Running": "False Trained", "ArtifactsPublished": "True Published", "Complete": "True Published",
		}},
		"cancelled": {verdict{State: v1alpha1.RunCancelled, Reason: "Why"}, true, shown{
			"DatasetBound": "True Bound", "Running": "False Why", "ArtifactsPublished": "False Why", "Cancelled": "True Why",
		}},
		"failed before it had a Job": {verdict{State: v1alpha1.RunFailed, Reason: "Why"}, false, shown{
			"DatasetBound": "False Why", "Running": "False Why", "ArtifactsPublished": "False Why", "Failed": "True Why",
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := shown{}
			for _, condition := range conditions(c.verdict, c.bound) {
				got[condition.Type] = fmt.Sprintf("%s %s", condition.Status, condition.Reason)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConditionsThatFewRunsHave(t *testing.T) {
	t.Parallel()
	stalled := func(mods ...func(*v1alpha1.TrainingRun)) *v1alpha1.TrainingRun {
		return begunRun(append(mods, inMotion(0, hour))...)
	}
	had := func(kind string) func(*v1alpha1.TrainingRun) {
		return func(r *v1alpha1.TrainingRun) {
			r.Status.Conditions = append(r.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: "Before"})
		}
	}
	cases := map[string]struct {
		observed observed
		kind     string
		want     string
	}{
		"most runs were never suspended":    {see(hour, begunRun(), makeJob(), makePod(training)), v1alpha1.ConditionSuspended, ""},
		"a run that is to be suspended":     {see(hour, begunRun(suspends), makeJob(), makePod(training)), v1alpha1.ConditionSuspended, "True Suspending"},
		"a run that is suspended":           {see(hour, makeRun(suspends)), v1alpha1.ConditionSuspended, "True Suspended"},
		"a run that was suspended":          {see(hour, begunRun(had(v1alpha1.ConditionSuspended)), makeJob(), makePod(training)), v1alpha1.ConditionSuspended, "False Resumed"},
		"most runs have no queue":           {see(hour, begunRun(), makeJob(), makePod(training)), v1alpha1.ConditionQuotaReserved, ""},
		"a run that waits in a queue":       {see(hour, begunRun(queuesIn("q")), makeJob(jobWaits), queueState{Reason: "NoQuota"}), v1alpha1.ConditionQuotaReserved, "False NoQuota"},
		"a run that is admitted":            {see(hour, begunRun(queuesIn("q")), makeJob(), makePod(training)), v1alpha1.ConditionQuotaReserved, "True Admitted"},
		"a run that waits for its dataset":  {see(hour, makeRun(queuesIn("q"))), v1alpha1.ConditionQuotaReserved, ""},
		"most trainers do something":        {see(hour, begunRun(), makeJob(), makePod(training)), v1alpha1.ConditionProgressing, ""},
		"a trainer that does nothing":       {see(hour, stalled(), makeJob(), makePod(training)), v1alpha1.ConditionProgressing, "False Stalled"},
		"a trainer that does something now": {see(hour, begunRun(had(v1alpha1.ConditionProgressing)), makeJob(), makePod(training)), v1alpha1.ConditionProgressing, "True Training"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if found := apimeta.FindStatusCondition(reportOn(c.observed).Conditions, c.kind); found != nil {
				got = fmt.Sprintf("%s %s", found.Status, found.Reason)
			}
			if got != c.want {
				t.Errorf("%s is %q, want %q", c.kind, got, c.want)
			}
		})
	}
}

func TestStartTimeIsTheFirstTrainers(t *testing.T) {
	t.Parallel()
	run := makeRun(func(r *v1alpha1.TrainingRun) { r.Status.StartTime = ptr.To(at(30 * time.Second)) })
	got := startTime(see(0, run, makePod(runs(staging.ContainerTrainer))))
	if diff := cmp.Diff(ptr.To(at(30*time.Second)), got); diff != "" {
		t.Errorf("startTime moved (-want +got):\n%s", diff)
	}
}

func TestArtifactsWithoutAReportAreNotInvented(t *testing.T) {
	t.Parallel()
	for name, message := range map[string]string{
		"no message":        "",
		"a log":             "bye",
		"nothing published": reported(staging.Report{Step: staging.StepStageOut}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := see(0, makeRun(onceBound), makeJob(jobCondition(batchv1.JobComplete)),
				makePod(staged, trained, ends(staging.ContainerStageOut, 0, "Completed", message), podPhase(corev1.PodSucceeded)))
			status := reportOn(o)
			if status.Artifacts != nil || status.State != v1alpha1.RunSucceeded {
				t.Errorf("state %s, artifacts %+v; want Succeeded without artifacts", status.State, status.Artifacts)
			}
		})
	}
}

func TestReportOfAnError(t *testing.T) {
	t.Parallel()
	jobs := schema.GroupResource{Group: "batch", Resource: "jobs"}
	old := makeRun(inState(v1alpha1.RunPending))
	cases := map[string]struct {
		err        error
		wantReason string
		wantPart   string
	}{
		"a quota that refuses the Job is told": {
			&createError{"Job", apierrors.NewForbidden(jobs, "r", errors.New("exceeded quota: jobs"))},
			v1alpha1.ReasonPodRejected, "exceeded quota: jobs",
		},
		"a value that the API server refuses is told": {
			&createError{"Job", apierrors.NewInvalid(schema.GroupKind{Group: "batch", Kind: "Job"}, "r", nil)},
			v1alpha1.ReasonPodRejected, "invalid",
		},
		"an API server that is away leaves the status alone": {
			&createError{"Job", apierrors.NewInternalError(errors.New("etcd"))}, "", "",
		},
		"a namespace that goes, and its runs with it, is no news about the run": {
			&createError{"Job", terminating(jobs)}, "", "",
		},
		"a refused finalizer is no news about the run": {
			apierrors.NewForbidden(v1alpha1.Resource("trainingruns"), "r", errors.New("no")), "", "",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := see(0, old, makeDataset())
			status := report(o, decide(o, testOptions), c.err, testOptions)
			if status.Reason != c.wantReason || !strings.Contains(status.Message, c.wantPart) {
				t.Errorf("reason %q, message %q; want %q, ...%q...", status.Reason, status.Message, c.wantReason, c.wantPart)
			}
			if status.Dataset != nil {
				t.Error("the run says that it is bound, but it has no Job")
			}
			if status.ObservedGeneration != 0 {
				t.Error("observedGeneration moved in spite of the error")
			}
		})
	}
}

// terminating is what the API server says of something new in a namespace that goes.
func terminating(of schema.GroupResource) error {
	err := apierrors.NewForbidden(of, "r", errors.New("unable to create new content in namespace n because it is being terminated"))
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause, Field: "metadata.namespace"}}
	return err
}

// What fails at the end of a deleted run is a matter of its artifacts, and does not
// turn the run itself back.
func TestReportOfAFailureAtTheEndKeepsTheState(t *testing.T) {
	t.Parallel()
	for _, state := range []v1alpha1.RunState{v1alpha1.RunRunning, v1alpha1.RunSucceeded} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			o := see(0, makeRun(inState(state), onceBound, guarded, runDeleting, erasesArtifacts, counted), accountOf())
			status := report(o, decide(o, testOptions), atStore(erasure.ErrIncomplete), testOptions)
			if status.State != state || status.Reason != "" {
				t.Errorf("%s %q, want %s as before", status.State, status.Reason, state)
			}
			condition := apimeta.FindStatusCondition(status.Conditions, v1alpha1.ConditionArtifactsErased)
			if condition == nil || condition.Status != metav1.ConditionFalse || condition.Reason != v1alpha1.ReasonEraseIncomplete {
				t.Errorf("condition %+v, want False EraseIncomplete", condition)
			}
			if removed := status.ArtifactsErasure.RemovedVersions; removed != 0 {
				t.Errorf("removedVersions = %d after a failure", removed)
			}
		})
	}
}

func TestNormalReasonsAreDeclared(t *testing.T) {
	t.Parallel()
	declared := slices.Collect(maps.Values(reasonsOfRuns(t)))
	for reason := range normalReasons {
		if !slices.Contains(declared, reason) {
			t.Errorf("%q is not a reason of a run", reason)
		}
	}
}
