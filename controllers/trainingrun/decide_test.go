package trainingrun

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// outcome is what a plan comes to.
type outcome struct {
	State    v1alpha1.RunState
	Reason   string
	ExitCode *int32
	Create   bool
	Delete   bool
	Release  bool
	After    time.Duration
	// Service, and what follows, is about the attempt.
	Service bool
	Stop    string
	End     v1alpha1.AttemptResult
	// Settle counts Pods, and Deadline is the Job's new one; -1 for none.
	Settle   int
	Deadline int64
	Prune    bool
	Expire   bool
	// Ask, and what follows, is about the artifacts.
	Ask     question
	Blocked string
	Count   bool
	Erase   bool
	Retain  bool
}

func outcomeOf(p plan) outcome {
	deadlineOf := func(d *deadline) int64 {
		if d == nil {
			return 0
		}
		return ptr.Deref(d.Seconds, -1)
	}
	return outcome{
		Service: p.Service != nil, Stop: p.Stop, End: ptr.Deref(p.End, attemptEnd{}).Result, Settle: len(p.Settle),
		Deadline: deadlineOf(p.Deadline), Prune: p.Prune != nil, Expire: p.Expire,

		State: p.Verdict.State, Reason: p.Verdict.Reason, ExitCode: p.Verdict.ExitCode,
		Create: p.Create != nil, Delete: p.Delete != nil, Release: p.Release, After: p.Next.After,
		Ask: p.Ask, Blocked: ptr.Deref(p.Blocked, block{}).Reason, Count: p.Count, Erase: p.Erase, Retain: p.Retain,
	}
}

type decideCase struct {
	observed observed
	want     outcome
	// says are parts of the message, which tell the user what to do.
	says []string
}

const (
	pending    = v1alpha1.RunPending
	startNow   = v1alpha1.RunStarting
	runningNow = v1alpha1.RunRunning
	fails      = v1alpha1.RunFailed
)

func exit(code int32) *int32 { return ptr.To(code) }

func startCases() map[string]decideCase {
	return map[string]decideCase{
		"a run that is gone needs nothing": {observed: observed{}},
		"a run waits for a dataset that does not exist": {
			observed: see(0, makeRun()),
			want:     outcome{State: pending, Reason: v1alpha1.ReasonDatasetNotFound},
			says:     []string{`no dataset "d" in namespace "team-a"`, "`kubectl lethe upload DIR d`"},
		},
		"a run waits for a dataset that is still uploaded": {
			observed: see(0, makeRun(), makeDataset(unsealed)),
			want:     outcome{State: pending, Reason: v1alpha1.ReasonDatasetNotSealed},
			says:     []string{"open for upload"},
		},
		"a run waits for a dataset that is being checked": {
			observed: see(0, makeRun(inState(pending)), makeDataset(unchecked)),
			want:     outcome{State: pending, Reason: v1alpha1.ReasonDatasetNotReady},
			says:     []string{"being checked"},
		},
		"no further run starts on a dataset whose time is over": {
			observed: see(0, makeRun(inState(pending)), makeDataset(overdue)),
			want:     outcome{State: pending, Reason: v1alpha1.ReasonDatasetNotReady},
			says:     []string{"time of dataset"},
		},
		"a run on a dataset that can not be used fails": {
			observed: see(0, makeRun(), makeDataset(invalid)),
			want:     outcome{State: fails, Reason: v1alpha1.ReasonDatasetInvalid},
			says:     []string{"`kubectl get datasetretention d -o wide`"},
		},
		"a run on a dataset that is being erased fails, although it is still ready": {
			observed: see(0, makeRun(inState(pending)), makeDataset(erasing)),
			want:     outcome{State: fails, Reason: v1alpha1.ReasonDatasetErasing},
			says:     []string{"under another name"},
		},
		"a run starts on a dataset that is ready": {
			observed: see(0, makeRun(), makeDataset()),
			want:     outcome{Create: true, After: brief},
		},
		"a run that could start asks for the store's identity first": {
			observed: seeUnasked(makeRun(), makeDataset()),
			want:     outcome{Ask: askIdentity},
		},
		"a run waits for a store that is away": {
			observed: see(0, makeRun(), makeDataset(), atStore(objectstore.ErrUnavailable)),
			want:     outcome{State: pending, Reason: v1alpha1.ReasonStoreUnavailable},
			says:     []string{"does not answer", "tried again"},
		},
		"a run waits for a bucket that is not there": {
			observed: see(0, makeRun(), makeDataset(), atStore(objectstore.ErrNotFound)),
			want:     outcome{State: pending, Reason: v1alpha1.ReasonStoreUnavailable},
			says:     []string{"does not have the bucket"},
		},
		"a run waits for a store that has no identity": {
			observed: see(0, makeRun(), makeDataset(), atStore(erasure.ErrUnknownStore)),
			want:     outcome{State: pending, Reason: v1alpha1.ReasonStoreUnavailable},
			says:     []string{"its log"},
		},
		"a run that got no turn at the store says nothing and comes again": {
			observed: see(0, makeRun(), makeDataset(), errBusy),
			want:     outcome{After: busyRetry},
		},
		"a Job of the run's name that is not the run's is left alone": {
			observed: see(0, makeRun(), makeDataset(), makeJob(foreign)),
			want:     outcome{State: pending, Reason: v1alpha1.ReasonJobNotOwned, After: foreignInterval},
			says:     []string{`a Job "r"`, "delete it"},
		},
		"a Job that belonged to an earlier run of the name is left alone": {
			observed: see(0, makeRun(func(r *v1alpha1.TrainingRun) { r.UID = "another" }), makeDataset(), makeJob()),
			want:     outcome{State: pending, Reason: v1alpha1.ReasonJobNotOwned, After: foreignInterval},
		},
		"a Job in the way does not hold a dataset back that is being erased": {
			observed: see(0, makeRun(inState(pending)), makeDataset(erasing), makeJob(foreign)),
			want:     outcome{State: fails, Reason: v1alpha1.ReasonDatasetErasing},
		},
	}
}

func podCases() map[string]decideCase {
	bound := makeRun(inState(startNow), onceBound, guarded)
	follow := func(mods ...func(*corev1.Pod)) observed { return see(time.Minute, bound, makeJob(), makePod(mods...)) }
	// A minute after noon, an attempt has as long as this to start.
	const untilStart = 24*time.Hour - time.Minute
	starting := outcome{State: startNow, Reason: v1alpha1.ReasonPodStarting, After: untilStart}
	return map[string]decideCase{
		"a start is not told before it lasts": {
			observed: see(4*time.Second, bound, makeJob()),
			want:     outcome{After: time.Second},
		},
		"a Job without a Pod is given some time": {
			observed: see(6*time.Second, bound, makeJob()),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonPodStarting, After: podGrace - 6*time.Second},
		},
		"a Job without a Pod is asked about again": {
			observed: see(time.Minute, bound, makeJob()),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonPodStarting, After: refusalInterval},
		},
		"a Pod that the cluster refuses is told without its changing name": {
			observed: see(time.Minute, bound, makeJob(), `Error creating: pods "r-x7k2p" is forbidden: exceeded quota: gpus`),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonPodRejected, After: untilStart},
			says:     []string{"asked again: forbidden: exceeded quota: gpus"},
		},
		"a Pod without any status starts": {observed: follow(), want: starting},
		"a Pod that no node has room for is told with what it asks for": {
			observed: follow(unplaced),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonUnschedulable, After: untilStart},
			says:     []string{"2 GPU(s), memory 16Gi", "kubectl describe pod -l lethe.dev/run=r"},
		},
		"a Pod that waits for its gates only starts": {
			observed: follow(func(p *corev1.Pod) { p.Spec.NodeName = "" }, podCondition(corev1.PodScheduled, corev1.ConditionFalse, "SchedulingGated")),
			want:     starting,
		},
		"a dataset that is being downloaded is part of the start": {
			observed: follow(runs(staging.ContainerStageIn), waitsFor(staging.ContainerTrainer, "PodInitializing")),
			want:     starting,
		},
		"an image that can not be pulled is told by its name": {
			observed: follow(staged, waitsFor(staging.ContainerTrainer, "ImagePullBackOff")),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonImagePull, After: untilStart},
			says:     []string{`"registry.example/digits:v1"`, "check its name and tag"},
		},
		"the first failed pull is told like the later ones": {
			observed: follow(staged, waitsFor(staging.ContainerTrainer, "ErrImagePull")),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonImagePull, After: untilStart},
		},
		"an image name that is none is told": {
			observed: follow(staged, waitsFor(staging.ContainerTrainer, "InvalidImageName")),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonImagePull, After: untilStart},
		},
		"the operator's own image is the administrator's matter": {
			observed: follow(waitsFor(staging.ContainerStageIn, "ImagePullBackOff")),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonImagePull, After: untilStart},
			says:     []string{"administrator", testOptions.StagerImage},
		},
		"a container that can not be made is told": {
			observed: follow(staged, waitsFor(staging.ContainerTrainer, "CreateContainerConfigError")),
			want:     outcome{State: startNow, Reason: v1alpha1.ReasonContainerError, After: untilStart},
			says:     []string{"user that is not root"},
		},
		"a trainer that runs makes the run run": {
			observed: follow(staged, runs(staging.ContainerTrainer), runs(staging.ContainerStageOut)),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonTraining},
			says:     []string{"kubectl lethe logs r"},
		},
		"a trainer that ended well makes the run publish": {
			observed: see(12*time.Minute, bound, makeJob(), makePod(staged, trained, runs(staging.ContainerStageOut))),
			want:     outcome{State: v1alpha1.RunPublishing, Reason: v1alpha1.ReasonUploading},
		},
		"an upload is not told before it lasts": {
			observed: see(11*time.Minute+time.Second, bound, makeJob(), makePod(staged, trained, runs(staging.ContainerStageOut))),
			want:     outcome{After: brief - time.Second},
		},
		"a trainer that failed does not end the run before its Pod has ended": {
			observed: see(12*time.Minute, bound, makeJob(), makePod(staged, ends(staging.ContainerTrainer, 3, "Error", ""), runs(staging.ContainerStageOut))),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonEnding},
			says:     []string{"exit code 3"},
		},
		"a Pod that was taken away is replaced and the run starts again": {
			observed: see(12*time.Minute, bound, makeJob(), makePod(staged, ends(staging.ContainerTrainer, 143, "Error", ""),
				podCondition(corev1.DisruptionTarget, corev1.ConditionTrue, "PreemptionByScheduler"))),
			// It counts from the end of the trainer.
			want: outcome{State: startNow, Reason: v1alpha1.ReasonPodStarting, After: 24*time.Hour - time.Minute},
		},
		"a trainer that is being preempted still runs": {
			observed: follow(staged, runs(staging.ContainerTrainer),
				podCondition(corev1.DisruptionTarget, corev1.ConditionTrue, "PreemptionByScheduler")),
			want: outcome{State: runningNow, Reason: v1alpha1.ReasonTraining},
		},
		"the newest of several Pods counts": {
			observed: see(time.Minute, bound, makeJob(),
				makePod(staged, ends(staging.ContainerTrainer, 143, "Error", "")),
				makePod(named("r-2", time.Minute), staged, runs(staging.ContainerTrainer))),
			want: outcome{State: runningNow, Reason: v1alpha1.ReasonTraining},
		},
		"criteria that are met are not the end of the Job": {
			observed: see(12*time.Minute, bound, makeJob(jobCondition(batchv1.JobSuccessCriteriaMet)), makePod(staged, trained, published)),
			want:     outcome{State: v1alpha1.RunPublishing, Reason: v1alpha1.ReasonUploading},
		},
		"a Job whose status was not told yet is followed": {
			observed: see(time.Minute, makeRun(guarded), makeJob(), makePod()),
			want:     starting,
		},
	}
}

func endCases() map[string]decideCase {
	bound := makeRun(inState(runningNow), onceBound, guarded)
	failure := func(mods ...func(*corev1.Pod)) observed {
		return see(11*time.Minute, bound, makeJob(jobCondition(batchv1.JobFailed)), makePod(append(mods, podPhase(corev1.PodFailed))...))
	}
	stageIn := func(code int32, message string) observed {
		return failure(ends(staging.ContainerStageIn, code, "Error", message))
	}
	failsWith := func(reason string, code *int32) outcome {
		return outcome{State: fails, Reason: reason, ExitCode: code, End: v1alpha1.AttemptFailed, Settle: 1}
	}
	disruption := func(pods int) outcome {
		return outcome{State: startNow, Reason: v1alpha1.ReasonDisrupted, End: v1alpha1.AttemptDisrupted, Settle: pods}
	}
	secret := "Traceback: /data/patients/alice.csv"
	return map[string]decideCase{
		"a run succeeds with its Job": {
			observed: see(0, bound, makeJob(jobCondition(batchv1.JobComplete)), makePod(succeededPod)),
			want:     outcome{State: v1alpha1.RunSucceeded, Reason: v1alpha1.ReasonPublished, End: v1alpha1.AttemptSucceeded, Settle: 1},
			says:     []string{"kubectl lethe artifacts r DIR"},
		},
		"a run that has ended stays as it ended": {
			observed: see(0, makeRun(inState(v1alpha1.RunSucceeded), onceBound)),
		},
		"a dataset that differs from its manifest fails the run": {
			observed: stageIn(staging.ExitDatasetCorrupt, reported(staging.Report{Step: staging.StepStageIn, Message: "object 7 of 12 differs"})),
			want:     failsWith(v1alpha1.ReasonDatasetCorrupt, exit(65)),
			says:     []string{"object 7 of 12 differs"},
		},
		"a store that refuses fails the run": {
			observed: stageIn(staging.ExitDenied, "not a report"),
			want:     failsWith(v1alpha1.ReasonStoreDenied, exit(77)),
			says:     []string{"administrator"},
		},
		"a full disk fails the run": {
			observed: stageIn(staging.ExitDiskFull, ""),
			want:     failsWith(v1alpha1.ReasonDiskFull, exit(73)),
			says:     []string{"larger disk"},
		},
		"a store that stayed away fails the run": {
			observed: stageIn(staging.ExitUnavailable, ""),
			want:     failsWith(v1alpha1.ReasonStageInFailed, exit(75)),
			says:     []string{"exit code 75"},
		},
		"a trainer that used too much memory fails the run": {
			observed: failure(staged, ends(staging.ContainerTrainer, 137, "OOMKilled", ""), ends(staging.ContainerStageOut, 0, "Completed", "")),
			want:     failsWith(v1alpha1.ReasonOOMKilled, exit(137)),
			says:     []string{"limit of 16Gi", "spec.trainer.resources.memory"},
		},
		"a trainer that fails fails the run, and its output stays its user's": {
			observed: failure(staged, ends(staging.ContainerTrainer, 3, "Error", secret)),
			want:     failsWith(v1alpha1.ReasonNonZeroExit, exit(3)),
			says:     []string{"exit code 3", "kubectl lethe logs r"},
		},
		"a command that is not in the image fails the run": {
			observed: failure(staged, ends(staging.ContainerTrainer, 128, "StartError", secret)),
			want:     failsWith(v1alpha1.ReasonContainerError, exit(128)),
			says:     []string{"spec.trainer.command"},
		},
		"artifacts that could not be uploaded fail the run": {
			observed: failure(staged, trained, ends(staging.ContainerStageOut, 75, "Error", secret)),
			want:     failsWith(v1alpha1.ReasonUploadFailed, exit(75)),
			says:     []string{"could not be uploaded: exit code 75"},
		},
		"an upload that was refused says it in the stager's words": {
			observed: failure(staged, trained, ends(staging.ContainerStageOut, 77, "Error",
				reported(staging.Report{Step: staging.StepStageOut, Message: "the run has ended"}))),
			want: failsWith(v1alpha1.ReasonUploadFailed, exit(77)),
			says: []string{"the run has ended"},
		},
		"a Pod that disappeared is made good": {
			observed: see(0, bound, makeJob(jobCondition(batchv1.JobFailed))),
			want:     disruption(0),
		},
		"a Pod that was evicted before it began is made good": {
			observed: failure(func(p *corev1.Pod) { p.Status.Reason = "UnexpectedAdmissionError" }),
			want:     disruption(1),
			says:     []string{"UnexpectedAdmissionError"},
		},
		"a Pod that somebody deleted is not the trainer's failure": {
			observed: failure(podDeleting, staged, ends(staging.ContainerTrainer, 143, "Error", "")),
			want:     disruption(1),
			says:     []string{"deleted"},
		},
		"Pods that disappear again and again fail the run": {
			observed: see(0, makeRun(inState(runningNow), onceBound, guarded, after(disruptedAttempt, disruptedAttempt, disruptedAttempt)),
				makeJobOf(makeRun(), 4, jobCondition(batchv1.JobFailed))),
			want: outcome{State: fails, Reason: v1alpha1.ReasonPodLost, End: v1alpha1.AttemptFailed},
		},
		"a trainer that failed by itself did so also when its Pod is deleted later": {
			observed: failure(podDeleting, staged, ends(staging.ContainerTrainer, 3, "Error", "")),
			want:     failsWith(v1alpha1.ReasonNonZeroExit, exit(3)),
		},
		"a Pod that was taken away earlier is not blamed": {
			observed: see(0, bound, makeJob(jobCondition(batchv1.JobFailed)),
				makePod(staged, ends(staging.ContainerTrainer, 3, "Error", ""), podPhase(corev1.PodFailed)),
				makePod(named("r-2", time.Minute), staged, ends(staging.ContainerTrainer, 143, "Error", ""), podPhase(corev1.PodFailed),
					podCondition(corev1.DisruptionTarget, corev1.ConditionTrue, "DeletionByTaintManager"))),
			want: outcome{State: fails, Reason: v1alpha1.ReasonNonZeroExit, ExitCode: exit(3), End: v1alpha1.AttemptFailed, Settle: 2},
		},
		"a Job that has ended before its Pods is waited with": {
			observed: see(12*time.Minute, bound, makeJob(jobCondition(batchv1.JobFailed)), makePod(staged, runs(staging.ContainerTrainer))),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonEnding},
			says:     []string{`"r-abcde"`},
		},
		"a Job that was deleted is not made again": {
			observed: see(0, bound, makeDataset()),
			want:     outcome{State: fails, Reason: v1alpha1.ReasonJobLost, End: v1alpha1.AttemptStopped},
			says:     []string{"deleted by somebody else"},
		},
		"a Job that was replaced is lost": {
			observed: see(0, bound, makeJob(foreign)),
			want:     outcome{State: fails, Reason: v1alpha1.ReasonJobLost, End: v1alpha1.AttemptStopped},
		},
		"a run whose Job was cut off from its Pod waits for the Pod": {
			observed: seeStray(bound, makePod(noController, podPhase(corev1.PodRunning))),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonEnding},
			says:     []string{`"r-abcde"`, "delete the Pod"},
		},
		"a Pod that was cut off and has ended is not waited for": {
			observed: seeStray(bound, makePod(noController, podPhase(corev1.PodSucceeded))),
			want:     outcome{State: fails, Reason: v1alpha1.ReasonJobLost, End: v1alpha1.AttemptStopped, Settle: 1},
		},
	}
}

func deletionCases() map[string]decideCase {
	deleted := makeRun(inState(runningNow), onceBound, guarded, runDeleting)
	finished := makeRun(inState(v1alpha1.RunSucceeded), onceBound, guarded, runDeleting)
	ending := outcome{State: runningNow, Reason: v1alpha1.ReasonEnding}
	return map[string]decideCase{
		"a deleted run that never started is let go by itself": {
			observed: see(0, makeRun(runDeleting), makeDataset()),
		},
		"a deleted run takes its Job along": {
			observed: see(0, deleted, makeJob(), makePod()),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonEnding, Delete: true},
			says:     []string{`"r-abcde"`, "60 s"},
		},
		"a deleted run deletes its Job once": {
			observed: see(0, deleted, makeJob(func(j *batchv1.Job) { j.DeletionTimestamp = ptr.To(at(0)) }), makePod()),
			want:     ending,
		},
		"a deleted run waits for the Pods of a Job that is gone": {
			observed: seeStray(deleted, makePod(podPhase(corev1.PodSucceeded))),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonEnding, Settle: 1},
		},
		"a deleted run without Pods asks the ledger what may be left": {
			observed: see(0, deleted),
			want:     outcome{Ask: askAccount},
		},
		"a deleted run does not touch a Job that is not its own": {
			observed: see(0, deleted, makeJob(foreign), accountOf()),
			want:     outcome{Retain: true, Release: true},
		},
		"a deleted run that had ended takes its Job along and says nothing more": {
			observed: see(0, finished, makeJob(jobCondition(batchv1.JobComplete)), makePod()),
			want:     outcome{Delete: true},
		},
		"a deleted run with the Job but no Pod says nothing and waits for the Job to go": {
			observed: see(0, deleted, makeJob()),
			want:     outcome{Delete: true},
		},
	}
}

func reclaimCases() map[string]decideCase {
	kept := makeRun(inState(runningNow), onceBound, guarded, runDeleting)
	doomed := makeRun(inState(v1alpha1.RunSucceeded), onceBound, guarded, runDeleting, erasesArtifacts)
	half := makeRun(inState(runningNow), onceBound, guarded, runDeleting, erasesArtifacts)
	tell := func(mods ...func(*v1alpha1.ObjectLocation)) *v1alpha1.TrainingRun {
		run := doomed.DeepCopy()
		run.Status.Artifacts = &v1alpha1.ArtifactsStatus{Location: place(run, testOptions)}
		run.Status.Artifacts.Location.Store = testStore
		for _, mod := range mods {
			mod(&run.Status.Artifacts.Location)
		}
		return run
	}
	elsewhere := accountOf()
	elsewhere.Record.Bucket = "old-artifacts"
	refused := outcome{Blocked: v1alpha1.ReasonEraseRefused}
	blocked := func(err error) observed { return see(0, doomed, accountOf(), atStore(err)) }
	until := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	return map[string]decideCase{
		"a deleted run that never had a Job is let go": {
			observed: see(0, makeRun(guarded, runDeleting, erasesArtifacts), ledger.Account{}),
			want:     outcome{Release: true},
		},
		"artifacts stay when their run is deleted, by default": {
			observed: see(0, kept, accountOf()),
			want:     outcome{Retain: true, Release: true},
		},
		"that artifacts stay is noted once": {
			observed: see(0, kept, accountOf(objectkey.LedgerRetained)),
			want:     outcome{Release: true},
		},
		"artifacts are counted before they are erased": {
			observed: see(0, doomed, accountOf()),
			want:     outcome{Ask: askInventory},
		},
		"artifacts that were counted are announced": {
			observed: see(0, doomed, accountOf(), erasure.Inventory{Versions: 4}),
			want:     outcome{Count: true},
		},
		"artifacts that were announced are erased": {
			observed: see(0, makeRun(inState(v1alpha1.RunSucceeded), onceBound, guarded, runDeleting, erasesArtifacts, counted), accountOf()),
			want:     outcome{Erase: true, After: time.Second},
		},
		"a run is let go when the ledger says that its artifacts are erased": {
			observed: see(0, doomed, accountOf(objectkey.LedgerErased)),
			want:     outcome{Release: true},
		},
		"artifacts that stayed are erased when their owner changes their mind in time": {
			observed: see(0, doomed, accountOf(objectkey.LedgerRetained), erasure.Inventory{}),
			want:     outcome{Count: true},
		},
		"artifacts go with their namespace in any case": {
			observed: see(0, kept, accountOf(objectkey.LedgerRetained), namespaceGoing{}),
			want:     outcome{Ask: askInventory},
		},
		"a run that never ended may have left half an upload": {
			observed: see(0, half, accountOf(), erasure.Inventory{Uploads: 1}),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonEnding, Count: true},
			says:     []string{"condition ArtifactsErased"},
		},
		"a run that had a Job before there was a ledger is erased too": {
			observed: see(0, doomed, ledger.Account{}, erasure.Inventory{Versions: 1}),
			want:     outcome{Count: true},
		},
		"a place that agrees with the ledger is erased": {
			observed: see(0, tell(), accountOf(), erasure.Inventory{}),
			want:     outcome{Count: true},
		},
		"a status from before there were identities is no contradiction": {
			observed: see(0, tell(func(at *v1alpha1.ObjectLocation) { at.Store = "" }), accountOf(), erasure.Inventory{}),
			want:     outcome{Count: true},
		},
		"another store in the status is not erased": {
			observed: see(0, tell(func(at *v1alpha1.ObjectLocation) { at.Store = "another" }), accountOf(), erasure.Inventory{}),
			want:     refused,
		},
		"another prefix in the status is not erased": {
			observed: see(0, tell(func(at *v1alpha1.ObjectLocation) { at.Prefix = "team-b/" }), accountOf(), erasure.Inventory{}),
			want:     refused,
		},
		"another bucket in the status is not erased": {
			observed: see(0, tell(func(at *v1alpha1.ObjectLocation) { at.Bucket = "receipts" }), accountOf(), erasure.Inventory{}),
			want:     refused,
		},
		"another bucket in the ledger is not erased": {
			observed: see(0, doomed, elsewhere),
			want:     refused,
		},
		"a store that is away holds the run": {
			observed: blocked(objectstore.ErrUnavailable), want: outcome{Blocked: v1alpha1.ReasonStoreUnavailable},
		},
		"a ledger that is away holds a run, also one whose artifacts stay": {
			observed: see(0, kept, atStore(objectstore.ErrUnavailable)),
			want:     outcome{State: runningNow, Reason: v1alpha1.ReasonEnding, Blocked: v1alpha1.ReasonStoreUnavailable},
		},
		"a store that is another one holds the run": {
			observed: blocked(erasure.ErrUnknownStore), want: outcome{Blocked: v1alpha1.ReasonUnknownStore},
		},
		"a safeguard holds the run": {
			observed: blocked(erasure.ErrRefused), want: outcome{Blocked: v1alpha1.ReasonEraseRefused},
		},
		"data that is left holds the run": {
			observed: blocked(erasure.ErrIncomplete), want: outcome{Blocked: v1alpha1.ReasonEraseIncomplete},
		},
		"an object lock holds the run": {
			observed: blocked(&erasure.LockedError{Until: until}), want: outcome{Blocked: v1alpha1.ReasonObjectLock},
		},
		"a deleted run that got no turn at the store says nothing and comes again": {
			observed: see(0, doomed, accountOf(), errBusy),
			want:     outcome{After: busyRetry},
		},
	}
}

func allCases() map[string]decideCase {
	all := map[string]decideCase{}
	for _, group := range []map[string]decideCase{
		startCases(), podCases(), endCases(), deletionCases(), reclaimCases(),
		retryCases(), stopCases(), limitCases(), queueCases(), gangCases(), besideCases(), brokenCases(), tenantCases(), cancelCases(),
	} {
		for name, c := range group {
			all[name] = c
		}
	}
	return all
}

func TestDecide(t *testing.T) {
	t.Parallel()
	for name, c := range allCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := decide(c.observed, testOptions)
			if diff := cmp.Diff(c.want, outcomeOf(p)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			for _, part := range c.says {
				if !strings.Contains(p.Verdict.summary(), part) {
					t.Errorf("%q does not say %q", p.Verdict.summary(), part)
				}
			}
			if strings.Contains(p.Verdict.Message, "alice") {
				t.Errorf("message %q repeats the trainer's output", p.Verdict.Message)
			}
			if (p.Next.After != 0) != (p.Next.Why != "") {
				t.Errorf("look again after %s because %q: a time needs a reason", p.Next.After, p.Next.Why)
			}
			if p.Verdict.State != "" && p.Verdict.Message == "" {
				t.Error("a verdict has no message")
			}
			if p.Ask != askNothing && (p.Verdict.State != "" || c.want != outcome{Ask: p.Ask}) {
				t.Error("a plan that asks does something")
			}
		})
	}
}

func TestIrreversiblePlansAreThoseThatCanNotBeTakenBack(t *testing.T) {
	t.Parallel()
	for name, c := range allCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := c.want.Ask != askNothing || c.want.Create || c.want.Erase || c.want.Release || c.want.State.Finished() ||
				c.want.Stop != "" || c.want.End != "" || c.want.Settle > 0 || c.want.Prune || c.want.Expire
			if got := decide(c.observed, testOptions).irreversible(); got != want {
				t.Errorf("irreversible = %v, want %v", got, want)
			}
		})
	}
}

// Every reason of a run that the API declares is given by some case, as the
// reason of a state or of a condition.
func TestEveryReasonOfARunIsGiven(t *testing.T) {
	t.Parallel()
	given := map[string]bool{}
	for _, c := range allCases() {
		p := decide(c.observed, testOptions)
		if c.observed.Run == nil {
			continue
		}
		status := report(c.observed, p, nil, testOptions)
		given[status.Reason] = true
		for _, condition := range status.Conditions {
			given[condition.Reason] = true
		}
	}
	reasons := reasonsOfRuns(t)
	if len(reasons) < 20 {
		t.Fatalf("found only %d reasons in conditions.go; does the test still read it rightly?", len(reasons))
	}
	for name, value := range reasons {
		if !given[value] {
			t.Errorf("no case gives the reason %s (%q)", name, value)
		}
	}
}

// reasonsOfRuns reads the constants of the API's source whose group is about runs.
func reasonsOfRuns(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../api/v1alpha1/conditions.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	for _, declaration := range file.Decls {
		group, ok := declaration.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST || !strings.Contains(group.Doc.Text(), " a run ") {
			continue
		}
		for _, spec := range group.Specs {
			value, ok := spec.(*ast.ValueSpec)
			if !ok || !strings.HasPrefix(value.Names[0].Name, "Reason") {
				continue
			}
			literal, ok := value.Values[0].(*ast.BasicLit)
			if !ok {
				t.Fatalf("%s is not a literal", value.Names[0].Name)
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			reasons[value.Names[0].Name] = text
		}
	}
	return reasons
}
