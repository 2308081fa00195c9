package broker

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// origin is a checkpoint and the run that wrote it.
type origin struct {
	run types.UID
	id  string
	// digest of its record.
	digest string
}

// resumeFrom decides, live, what a pod begins with: the run's own newest checkpoint,
// else the one that spec.checkpoint.from names, else nothing, which it reports as
// false. So a run that started from another's goes on from its own as soon as it has
// one, also in a pod that takes the place of a first, and never begins anew while it
// has none.
func (s *Server) resumeFrom(ctx context.Context, run *v1alpha1.TrainingRun) (origin, bool, error) {
	policy := run.Spec.Checkpoint
	if policy.Resume == v1alpha1.ResumeNever {
		return origin{}, false, nil
	}
	if own := newest(run.Status.Checkpoints); own != nil {
		return origin{run.UID, own.ID, own.Digest}, true, nil
	}
	if policy.Resume != v1alpha1.ResumeFrom || policy.From == nil {
		return origin{}, false, nil
	}
	var other v1alpha1.TrainingRun
	found, err := s.get(ctx, run.Namespace, policy.From.RunName, &other)
	if err != nil {
		return origin{}, false, err
	}
	checkpoint, err := pick(&other, found && other.UID != run.UID, *policy.From)
	if err != nil {
		return origin{}, false, err
	}
	return origin{other.UID, checkpoint.ID, checkpoint.Digest}, true, nil
}

// pick gives the checkpoint of another run that a reference means. What may still come
// is worth waiting for.
func pick(run *v1alpha1.TrainingRun, found bool, ref v1alpha1.CheckpointReference) (*v1alpha1.Checkpoint, error) {
	lost := func(why string) error {
		return gone(staging.ProblemCheckpointGone, fmt.Sprintf(
			"the checkpoint to resume from can not be had: %s; create a run that resumes from another one (spec.checkpoint.from), or from none", why))
	}
	if !found {
		return nil, lost("there is no other run " + ref.RunName)
	}
	if run.DeletionTimestamp != nil {
		return nil, lost("the run " + ref.RunName + " is being deleted")
	}
	last := newest(run.Status.Checkpoints)
	if ref.ID == "" && last != nil {
		return last, nil
	}
	for i := range run.Status.Checkpoints {
		if run.Status.Checkpoints[i].ID == ref.ID {
			return &run.Status.Checkpoints[i], nil
		}
	}
	switch {
	case last != nil && ref.ID < last.ID:
		return nil, lost("the run " + ref.RunName + " does not keep " + ref.ID + " (status.checkpoints says which it keeps)")
	case run.Status.State.Finished():
		return nil, lost("the run " + ref.RunName + " has ended without it")
	}
	return nil, notYet("the run " + ref.RunName + " has not stored the checkpoint to resume from yet; try again in a moment")
}

// resumeGrant grants to read one checkpoint and nothing beside it.
func (s *Server) resumeGrant(ctx context.Context, namespace string, from origin) (*staging.ResumeGrant, error) {
	at, err := newPlace(s.store.ArtifactsBucket, namespace, string(from.run))
	if err != nil {
		return nil, err
	}
	policy, err := resumePolicy(at, from.id)
	if err != nil {
		return nil, err
	}
	grant, err := s.grant(ctx, at, policy, s.life)
	if err != nil {
		return nil, err
	}
	return &staging.ResumeGrant{Store: grant, ID: from.id, Digest: from.digest}, nil
}

// newest gives the newest checkpoint; nil if there is none.
func newest(checkpoints []v1alpha1.Checkpoint) *v1alpha1.Checkpoint {
	var last *v1alpha1.Checkpoint
	for i := range checkpoints {
		if last == nil || checkpoints[i].ID > last.ID {
			last = &checkpoints[i]
		}
	}
	return last
}

// newestID names the newest checkpoint; empty if there is none.
func newestID(checkpoints []v1alpha1.Checkpoint) string {
	if last := newest(checkpoints); last != nil {
		return last.ID
	}
	return ""
}
