package trainingrun

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// Reasons of the kubelet for the end of a container or a Pod.
const (
	reasonOOMKilled       = "OOMKilled"
	reasonStartError      = "StartError"
	reasonCannotRun       = "ContainerCannotRun"
	reasonStatusUnknown   = "ContainerStatusUnknown"
	reasonEvicted         = "Evicted"
	reasonPodPastDeadline = "DeadlineExceeded"
)

// advice is who can do something about a failure, and what, unless more is known.
type advice struct {
	blame v1alpha1.Blame
	hint  string
}

// advices has all reasons for which a run or an attempt of it ends other than well.
var advices = map[string]advice{
	v1alpha1.ReasonDatasetErasing: {v1alpha1.BlameData, "upload the data again under another name, and create a new run on it"},
	v1alpha1.ReasonDatasetInvalid: {v1alpha1.BlameData, "upload the data again under another name, then delete this dataset"},
	v1alpha1.ReasonDatasetCorrupt: {v1alpha1.BlameData, "upload the data again under another name, then delete this dataset"},
	v1alpha1.ReasonCheckpointCorrupt: {v1alpha1.BlameData, "create a new run with spec.checkpoint.resume: Never, or one that resumes from an older checkpoint " +
		"(spec.checkpoint.from.id; status.checkpoints lists them)"},
	v1alpha1.ReasonCheckpointNotFound: {v1alpha1.BlameUser, "name a run of this namespace that has checkpoints in spec.checkpoint.from of a new run"},
	v1alpha1.ReasonStageInFailed:      {v1alpha1.BlamePlatform, "create a new run to try again, or set spec.retry.limit; if it comes again, tell the administrator of the cluster"},
	v1alpha1.ReasonStoreDenied:        {v1alpha1.BlamePlatform, "tell the administrator of the cluster, who finds the refusal in the operator's log"},
	v1alpha1.ReasonDiskFull:           {v1alpha1.BlamePlatform, "use a smaller dataset, spread it over more nodes (spec.datasetRef.distribution: Sharded), or ask for nodes with a larger disk"},
	v1alpha1.ReasonOOMKilled:          {v1alpha1.BlameUser, "raise spec.trainer.resources.memory, or lower the batch size or the number of data loaders, in a new run"},
	v1alpha1.ReasonCUDAOutOfMemory: {v1alpha1.BlameUser, "lower the batch size or the length of sequences, use gradient accumulation or checkpointing, or take GPUs with more " +
		"memory (spec.nodes.gpuProduct), in a new run"},
	v1alpha1.ReasonNonZeroExit:    {v1alpha1.BlameUser, "its output says why"},
	v1alpha1.ReasonContainerError: {v1alpha1.BlameUser, "check that spec.trainer.command exists in the image and may be run by a user that is not root"},
	v1alpha1.ReasonUploadFailed:   {v1alpha1.BlamePlatform, "create a new run, which may resume from this one's last checkpoint (spec.checkpoint.resume: From)"},
	v1alpha1.ReasonPodLost:        {v1alpha1.BlamePlatform, "create a new run to train again, or set spec.retry.limit; it may resume from this one's last checkpoint (spec.checkpoint.resume: From)"},
	v1alpha1.ReasonJobLost:        {v1alpha1.BlamePlatform, "delete the run instead of its Job; create a new run to train again"},
	v1alpha1.ReasonDisrupted:      {v1alpha1.BlamePlatform, "nothing: the run goes on from its last checkpoint by itself; a shorter spec.checkpoint.interval loses less"},
	v1alpha1.ReasonStalled: {v1alpha1.BlameUser, "its output shows where it stands; a long evaluation needs a longer limits.stalledAfter or " +
		"a line of progress from time to time; a hang that comes again on the same node is a case for the administrator of the cluster"},
	v1alpha1.ReasonMaxDurationReached: {v1alpha1.BlameBudget, "create a new run with a longer limits.maxDuration that resumes from this one's last checkpoint (spec.checkpoint.resume: From)"},
	v1alpha1.ReasonGPUBudgetReached:   {v1alpha1.BlameBudget, "create a new run with more limits.maxGPUSeconds that resumes from this one's last checkpoint (spec.checkpoint.resume: From)"},
	v1alpha1.ReasonStartDeadlineExceeded: {v1alpha1.BlameBudget, "ask for less, or for another kind of GPU, give it longer (limits.startWithin), or create the run again " +
		"when there is room"},
}

// explained is a verdict with what is known about its reason anyway.
func explained(reason, message string) verdict {
	return verdict{
		State: v1alpha1.RunFailed, Reason: reason, Message: message,
		Blame: advices[reason].blame, Hint: advices[reason].hint,
	}
}

// summary is what a status says in one message: what happened, and what can be done.
func (v verdict) summary() string {
	if v.Hint == "" {
		return clip(v.Message)
	}
	return clip(v.Message + "; " + v.Hint)
}

// neverAgain are the reasons for which another attempt would fail in the same way.
var neverAgain = []string{v1alpha1.ReasonContainerError, v1alpha1.ReasonImagePull, v1alpha1.ReasonNoSuchGPU, v1alpha1.ReasonCheckpointNotFound}

// retriable says whether another attempt may help after one that ended with this
// verdict. Whether one is left (spec.retry.limit) is not asked here. Data that is not
// what it was, a limit, and a program that can not be started stay as they are; the
// user says which exit codes do.
func retriable(run *v1alpha1.TrainingRun, v verdict) bool {
	switch {
	case v.Blame == v1alpha1.BlameData, v.Blame == v1alpha1.BlameBudget, slices.Contains(neverAgain, v.Reason):
		return false
	case v.Container == staging.ContainerTrainer && v.ExitCode != nil:
		return !slices.Contains(run.Spec.Retry.NonRetriableExitCodes, *v.ExitCode)
	}
	return true
}

// stopVerdict is the verdict on an attempt that was stopped for this reason.
func stopVerdict(run *v1alpha1.TrainingRun, reason string) verdict {
	dying := func(step staging.Step) verdict {
		v := explained(reason, fmt.Sprintf("%s was killed more than %d times in the same Pod, as by a node without memory left", step, maxRestarts))
		v.Container, v.ExitCode = string(step), ptr.To[int32](exitKilled)
		return v
	}
	switch reason {
	case v1alpha1.ReasonCancelled:
		return cancelled(run)
	case v1alpha1.ReasonJobLost:
		v := explained(reason, "labels or annotations of the template of the run's Job were changed by somebody else")
		v.Hint = "leave those that begin with lethe.dev/ as they are; create a new run to train again"
		return v
	case v1alpha1.ReasonStageInFailed:
		return dying(staging.StepStageIn)
	case v1alpha1.ReasonUploadFailed:
		return dying(staging.StepStageOut)
	}
	return overLimit(run, reason)
}

// overLimit is the verdict on a run that has come to one of its limits, or stalled.
func overLimit(run *v1alpha1.TrainingRun, reason string) verdict {
	limits := run.Spec.Limits
	var message string
	switch reason {
	case v1alpha1.ReasonMaxDurationReached:
		message = "the trainer has run for as long as the deadline of its Job allows"
		if limits.MaxDuration != nil {
			message = fmt.Sprintf("the trainer has run for limits.maxDuration (%s), over all attempts", limits.MaxDuration.Duration)
		}
	case v1alpha1.ReasonGPUBudgetReached:
		message = "limits.maxGPUSeconds are spent"
		if limits.MaxGPUSeconds != nil {
			message = fmt.Sprintf("limits.maxGPUSeconds (%d) are spent, over all attempts", *limits.MaxGPUSeconds)
		}
	case v1alpha1.ReasonStartDeadlineExceeded:
		message = fmt.Sprintf("no trainer started within limits.startWithin (%s)%s", limits.Start(), waitedFor(run))
	case v1alpha1.ReasonStalled:
		message = "the trainer did nothing any more"
		if limits.StalledAfter != nil {
			message = fmt.Sprintf("the trainer told no progress, and wrote neither to its log nor a checkpoint, for limits.stalledAfter (%s)", limits.StalledAfter.Duration)
		}
	}
	return explained(reason, message)
}

// lastWaited begins what waitedFor says.
const lastWaited = "; it last waited for this ("

// waitedFor repeats what the run last waited for, because that is what has to change. A
// run that is on its way to its end has that in its message already, and says it once.
func waitedFor(run *v1alpha1.TrainingRun) string {
	status := run.Status
	switch status.State {
	case v1alpha1.RunPending, v1alpha1.RunQueued, v1alpha1.RunStarting:
	default:
		return ""
	}
	if status.Reason != v1alpha1.ReasonEnding {
		return lastWaited + status.Reason + "): " + status.Message
	}
	_, before, found := strings.Cut(status.Message, lastWaited)
	if !found {
		return ""
	}
	before, _, _ = strings.Cut(before, "; the trainer has ") // see stoppingVerdict
	return lastWaited + before
}

// verdict explains a cause.
func (c cause) verdict(o observed) verdict {
	switch c.kind {
	case causeDisrupted:
		return explained(v1alpha1.ReasonDisrupted, "the cluster took the run's Pod away"+because(c.reason))
	case causeDeleted:
		return explained(v1alpha1.ReasonPodLost, "the run's Pod was deleted before it ended")
	case causeRejected:
		return c.rejected(o)
	case causeStep:
	}
	explain := map[string]func(observed, *corev1.ContainerStateTerminated) verdict{
		staging.ContainerStageIn: stageInFailure, staging.ContainerTrainer: trainerFailure, staging.ContainerStageOut: stageOutFailure,
	}[c.step]
	if c.end.Reason == reasonStatusUnknown {
		return explained(v1alpha1.ReasonPodLost, "the node lost track of the run's Pod"+because(c.end.Reason))
	}
	v := explain(o, c.end)
	if c.step == staging.ContainerTrainer {
		v = c.withLog(v)
	}
	return v
}

// withLog adds the end of the trainer's output, and what it gives away.
func (c cause) withLog(v verdict) verdict {
	v.LogTail = logTail(c.pod)
	if v.Reason == v1alpha1.ReasonNonZeroExit && outOfGPUMemory(v.LogTail) {
		tail := v.LogTail
		v = explained(v1alpha1.ReasonCUDAOutOfMemory, fmt.Sprintf(
			"the trainer needed more memory than its GPUs have (exit code %d)", c.end.ExitCode))
		v.LogTail = tail
	}
	return v
}

// rejected is the verdict on a Pod that the kubelet refused or ended as a whole. One
// that is evicted for want of room on its node is disrupted; what is evicted otherwise
// has used more local disk than a limit allows.
func (c cause) rejected(o observed) verdict {
	limits := o.Run.Spec.Limits
	switch {
	case c.reason == reasonEvicted:
		v := explained(v1alpha1.ReasonDiskFull, "the run's Pod used more of its node's disk than its limit allows"+because(c.reason))
		v.Blame = v1alpha1.BlameUser
		v.Hint = "write less to /tmp and the artifacts' folder, and remove old checkpoints from the checkpoints' folder, in a new run; a LimitRange of the namespace sets the limit"
		return v
	case c.reason == reasonPodPastDeadline && (limits.MaxDuration != nil || limits.MaxGPUSeconds != nil):
		return pastDeadline(o)
	}
	return explained(v1alpha1.ReasonPodLost, "the cluster ended the run's Pod"+because(c.reason))
}

// clusterWord is what passes for a reason of the cluster's: some are names of resources.
var clusterWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._/-]{0,127}$`)

// because shows a reason of the cluster's, where it says more than "Error".
func because(reason string) string {
	if reason == "Error" || !clusterWord.MatchString(reason) {
		return ""
	}
	return " (" + reason + ")"
}
