package broker

import (
	"github.com/lethe-dev/lethe/api/v1alpha1"
	apply "github.com/lethe-dev/lethe/api/v1alpha1/applyconfiguration/api/v1alpha1"
)

// fieldOwner owns status.progress and status.checkpoints, and nothing else. It always
// applies both: server-side apply takes away what an owner leaves out.
const fieldOwner = "lethe-progress"

// configuration is what is applied to a run that was read at its resource version:
// the API server refuses it with a conflict when somebody else has written meanwhile,
// so that no checkpoint gets lost to a writer in another replica.
func configuration(run *v1alpha1.TrainingRun, told *v1alpha1.Progress, checkpoints []v1alpha1.Checkpoint) *apply.TrainingRunApplyConfiguration {
	status := apply.TrainingRunStatus()
	if told != nil {
		status.WithProgress(progressConfiguration(told))
	}
	for i := range checkpoints {
		status.WithCheckpoints(checkpointConfiguration(&checkpoints[i]))
	}
	return apply.TrainingRun(run.Name, run.Namespace).
		WithUID(run.UID).WithResourceVersion(run.ResourceVersion).WithStatus(status)
}

func progressConfiguration(told *v1alpha1.Progress) *apply.ProgressApplyConfiguration {
	// Pointers are taken over: what is not told stays away. They are those of a copy,
	// since the client decodes the API server's answer into what it was given.
	told = told.DeepCopy()
	c := &apply.ProgressApplyConfiguration{
		Percent: told.Percent, Epoch: told.Epoch, Epochs: told.Epochs, Step: told.Step, TotalSteps: told.TotalSteps,
		EstimatedCompletionTime: told.EstimatedCompletionTime,
		LastUpdateTime:          told.LastUpdateTime, LastActivityTime: told.LastActivityTime,
	}
	for i := range told.Metrics {
		c.WithMetrics(apply.Metric().WithName(told.Metrics[i].Name).WithValue(told.Metrics[i].Value))
	}
	return c.WithAttempt(told.Attempt).WithPodUID(told.PodUID).WithSequence(told.Sequence)
}

func checkpointConfiguration(known *v1alpha1.Checkpoint) *apply.CheckpointApplyConfiguration {
	return apply.Checkpoint().WithID(known.ID).WithStep(known.Step).WithDigest(known.Digest).
		WithObjects(known.Objects).WithBytes(known.Bytes).WithTime(known.Time)
}

// newer gives the newer of two messages; either may be nil. A message of the same pod
// is newer by its sequence, one of another by the attempt, and within an attempt by the
// broker's time.
func newer(a, b *v1alpha1.Progress) *v1alpha1.Progress {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.PodUID == b.PodUID:
		if b.Sequence > a.Sequence {
			return b
		}
		return a
	case a.Attempt != b.Attempt:
		if b.Attempt > a.Attempt {
			return b
		}
		return a
	case b.LastUpdateTime != nil && (a.LastUpdateTime == nil || a.LastUpdateTime.Before(b.LastUpdateTime)):
		return b
	}
	return a
}
