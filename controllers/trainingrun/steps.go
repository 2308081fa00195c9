package trainingrun

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// meaning is what an exit code of a container comes to. A hint of "" leaves the
// reason's own.
type meaning struct{ reason, message, hint string }

// verdict prefers the stager's own words, which name no file of the user's, where the
// container is a stager. Anything else in the message of a container is not shown: it
// may be user data.
func (m meaning) verdict(said string) verdict {
	v := explained(m.reason, cmp.Or(said, m.message))
	v.Hint = cmp.Or(m.hint, v.Hint)
	return v
}

// stageInMeanings says what stage-in's exit codes mean for a run.
var stageInMeanings = map[int32]meaning{
	staging.ExitUsage: {
		v1alpha1.ReasonStageInFailed, "stage-in was started wrongly (exit code 64)",
		"tell the administrator of the cluster: the operator and its stager's image do not fit together",
	},
	staging.ExitDatasetCorrupt:    {v1alpha1.ReasonDatasetCorrupt, "the dataset in the store differs from its manifest", ""},
	staging.ExitCheckpointCorrupt: {v1alpha1.ReasonCheckpointCorrupt, "the checkpoint in the store differs from its record", ""},
	staging.ExitDenied:            {v1alpha1.ReasonStoreDenied, "the store or the broker refused to give the dataset", ""},
	staging.ExitDiskFull:          {v1alpha1.ReasonDiskFull, "the node has no room for the dataset", ""},
	staging.ExitIOError: {
		v1alpha1.ReasonStageInFailed, "the node's disk could not be written or read (exit code 74)",
		"create a new run to try again, or set spec.retry.limit; if it comes again, tell the administrator of the cluster which node it was",
	},
	staging.ExitUnavailable: {
		v1alpha1.ReasonStageInFailed, "the store or the broker did not answer for too long (exit code 75)",
		"create a new run when the store is back, or set spec.retry.limit",
	},
}

func stageInFailure(_ observed, end *corev1.ContainerStateTerminated) verdict {
	known, ok := stageInMeanings[end.ExitCode]
	if !ok {
		known = meaning{v1alpha1.ReasonStageInFailed, fmt.Sprintf("the dataset could not be downloaded: exit code %d%s", end.ExitCode, because(end.Reason)), ""}
	}
	return known.verdict(told(end, staging.StepStageIn))
}

// stageOutHints say what can be done when the upload fails with an exit code.
var stageOutHints = map[int32]string{
	staging.ExitUsage:       "tell the administrator of the cluster: the operator and its stager's image do not fit together",
	staging.ExitDenied:      "tell the administrator of the cluster, who finds the refusal in the operator's log",
	staging.ExitUnavailable: "create a new run when the store is back; it may resume from this one's last checkpoint (spec.checkpoint.resume: From)",
}

func stageOutFailure(_ observed, end *corev1.ContainerStateTerminated) verdict {
	message := fmt.Sprintf("the trainer ended well, but its artifacts could not be uploaded: exit code %d%s", end.ExitCode, because(end.Reason))
	return meaning{v1alpha1.ReasonUploadFailed, message, stageOutHints[end.ExitCode]}.verdict(told(end, staging.StepStageOut))
}

// Exit codes of a trainer that say more than that it failed: those of a shell, and of
// programs that end by a signal of their own.
var trainerHints = map[int32]string{
	126:            "the shell could not run a command (exit code 126): a file of the image is not executable for a user that is not root",
	127:            "the shell did not find a command (exit code 127): a program that is called is not in the image or its PATH",
	128 + 4:        "an instruction is not known to the CPU (SIGILL): use a build of the libraries for an older CPU",
	128 + 6:        "the program aborted (SIGABRT): its output has the assertion, or the library that gave up, for example NCCL",
	128 + 7:        "memory could not be had where it was promised (SIGBUS): usually /dev/shm is too small for the data loaders; use fewer of them, or file_system as their sharing strategy",
	exitKilled:     "it was killed (SIGKILL) from inside, or a process that it started ran out of memory: raise spec.trainer.resources.memory, or look for who sends the signal",
	128 + 11:       "the program crashed (SIGSEGV): a native library of the image does not fit the others or the driver",
	exitTerminated: "it was asked to stop (SIGTERM) by something in its own container, for example a launcher whose other process failed; its output has more",
}

func trainerFailure(o observed, end *corev1.ContainerStateTerminated) verdict {
	logs := fmt.Sprintf("`kubectl lethe logs %s` shows its output", o.Run.Name)
	switch end.Reason {
	case reasonOOMKilled:
		limit := "its node's memory"
		if memory := o.Run.Spec.Trainer.Resources.Memory; memory != nil {
			limit = "its limit of " + amount(*memory)
		}
		return explained(v1alpha1.ReasonOOMKilled, "the trainer used more memory than "+limit)
	case reasonStartError, reasonCannotRun:
		return explained(v1alpha1.ReasonContainerError, fmt.Sprintf("the trainer's command could not be started (exit code %d)", end.ExitCode))
	}
	v := explained(v1alpha1.ReasonNonZeroExit, fmt.Sprintf("the trainer ended with exit code %d", end.ExitCode))
	v.Hint = logs
	if hint := trainerHints[end.ExitCode]; hint != "" {
		v.Hint = hint + "; " + logs
	}
	return v
}

// told is what a stager said of its own step. "": nothing that can be read.
func told(end *corev1.ContainerStateTerminated, step staging.Step) string {
	if report, ok := staging.ParseReport(end.Message); ok && report.Step == step {
		return plainLine(report.Message)
	}
	return ""
}
