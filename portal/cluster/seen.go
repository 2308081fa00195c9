package cluster

import (
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

// version orders what was seen of one object. Resource versions may be compared as numbers
// since Kubernetes 1.35 (KEP-5504); what is none counts as the oldest.
func version(object metav1.Object) uint64 {
	n, err := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// seenDataset is what a dataset's object says, at a time.
func seenDataset(d *v1alpha1.DatasetRetention, at time.Time) portal.DatasetSeen {
	s := portal.DatasetSeen{
		Version: version(d), At: at.UTC(),
		State: string(d.Status.State), Reason: d.Status.Reason, Message: d.Status.Message,
		Files: ptr.Deref(d.Status.Objects, 0), Bytes: ptr.Deref(d.Status.Bytes, 0),
		Manifest: d.Status.ManifestDigest, ActiveRuns: d.Status.ActiveRuns, ExpiresAt: moment(d.Status.ExpiresAt),
		AfterTraining: d.Spec.Retention.Window(), MaxAge: d.Spec.Retention.Limit(),
	}
	if !d.DeletionTimestamp.IsZero() {
		s.State = string(v1alpha1.DatasetErasing) // the operator may not have said so yet
	}
	if hold := d.Status.Hold; hold != nil {
		s.HoldUntil, s.HoldReason = moment(&hold.Until), hold.Reason
	}
	if erase := d.Status.Erasure; erase != nil {
		s.EraseStartedAt, s.Versions, s.RemovedVersions = moment(&erase.StartTime), erase.Versions, erase.RemovedVersions
	}
	return s
}

// seenRun is what a run's object says, at a time.
func seenRun(r *v1alpha1.TrainingRun, at time.Time) portal.RunSeen {
	s := portal.RunSeen{
		Version: version(r), At: at.UTC(),
		State: string(r.Status.State), Reason: r.Status.Reason, Message: r.Status.Message,
		StartedAt: moment(r.Status.StartTime), Suspended: r.Spec.Suspend,
		Progress: seenProgress(r.Status.Progress), Attempts: seenAttempts(r.Status.Attempts),
	}
	if r.Status.State.Finished() {
		s.EndedAt = moment(r.Status.CompletionTime)
	}
	if used := r.Status.Usage; used != nil {
		s.GPUSeconds, s.LostGPUSeconds = used.GPUSeconds, used.LostGPUSeconds
	}
	if n := len(r.Status.Checkpoints); n > 0 {
		newest := r.Status.Checkpoints[n-1]
		s.Checkpoint, s.CheckpointAt = newest.ID, moment(&newest.Time)
	}
	if a := r.Status.Artifacts; a != nil {
		s.ArtifactFiles, s.ArtifactBytes, s.ArtifactManifest = a.Objects, a.Bytes, a.ManifestDigest
	}
	if f := r.Status.Failure; f != nil {
		s.Failure = &portal.RunFailure{Blame: string(f.Blame), Reason: f.Reason, ExitCode: number(f.ExitCode), Hint: f.Hint, LogTail: f.LogTail}
	}
	if d := r.Status.Dataset; d != nil {
		s.DatasetReceipt = d.ReceiptDigest
	}
	return s
}

func seenProgress(p *v1alpha1.Progress) portal.RunProgress {
	if p == nil {
		return portal.RunProgress{}
	}
	s := portal.RunProgress{
		At: moment(p.LastUpdateTime), EndsAt: moment(p.EstimatedCompletionTime),
		Step: ptr.Deref(p.Step, 0), TotalSteps: ptr.Deref(p.TotalSteps, 0),
		Epoch: ptr.Deref(p.Epoch, 0), Epochs: ptr.Deref(p.Epochs, 0),
	}
	if p.Percent != nil {
		s.Percent = ptr.To(float64(*p.Percent))
	}
	for _, m := range p.Metrics {
		value, err := strconv.ParseFloat(m.Value, 64)
		if err != nil {
			continue // the API lets numbers through only, but for those that no float can be
		}
		if s.Metrics == nil {
			s.Metrics = map[string]float64{}
		}
		s.Metrics[m.Name] = value
	}
	return s
}

func seenAttempts(all []v1alpha1.Attempt) []portal.RunAttempt {
	var seen []portal.RunAttempt
	for _, a := range all {
		seen = append(seen, portal.RunAttempt{
			Number: int(a.Number), Result: string(a.Result), Reason: a.Reason,
			StartedAt: moment(a.StartTime), EndedAt: moment(a.EndTime), GPUSeconds: a.GPUSeconds,
		})
	}
	return seen
}

// moment is the zero time for none.
func moment(t *metav1.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

func number(n *int32) *int {
	if n == nil {
		return nil
	}
	return ptr.To(int(*n))
}
