package broker

import (
	"context"
	"net/http"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// stage answers staging.PathStage.
func (s *Server) stage(ctx context.Context, r *http.Request) (any, error) {
	caller, err := s.pod(ctx, r)
	if err != nil {
		return nil, err
	}
	var ask staging.StageRequest
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	switch ask.Step {
	case staging.StepStageIn:
		c, err := s.follow(ctx, caller, staying)
		if err != nil {
			return nil, err
		}
		return s.stageIn(ctx, c)
	case staging.StepStageOut:
		c, err := s.follow(ctx, caller, leaving)
		if err != nil {
			return nil, err
		}
		return s.stageOut(ctx, c.found)
	}
	return nil, malformed(`step is "stage-in" or "stage-out"`)
}

// stageIn grants a run's pod to read its dataset, and the checkpoint to begin with.
func (s *Server) stageIn(ctx context.Context, c *chain) (any, error) {
	var dataset v1alpha1.DatasetRetention
	// A Job's template can be edited while it is suspended, so the snapshot is held
	// against dataset and run.
	run, bound := c.found, resources.Bound(c.job)
	found, err := s.get(ctx, run.Namespace, run.Spec.DatasetRef.Name, &dataset)
	if err != nil {
		return nil, err
	}
	if err := checkStageIn(run.Status.Dataset, bound, &dataset, found); err != nil {
		return nil, err
	}
	from, resumes, err := s.resumeFrom(ctx, run)
	if err != nil {
		return nil, err
	}
	at, err := recordedPlace(s.store.DatasetsBucket, &dataset, *dataset.Status.Location)
	if err != nil {
		return nil, err
	}
	policy, err := readPolicy(at)
	if err != nil {
		return nil, err
	}
	key, err := s.keyFor(ctx, &dataset)
	if err != nil {
		return nil, err
	}
	grant, err := s.grant(ctx, at, policy, s.life)
	if err != nil {
		return nil, err
	}
	grant.EncryptionKey = key.Bytes()
	answer := staging.StageGrant{Store: grant, ManifestDigest: bound.ManifestDigest}
	if !resumes {
		return answer, nil
	}
	answer.Resume, err = s.resumeGrant(ctx, run.Namespace, from)
	return answer, err
}

// stageOut grants a run's pod to write its artifacts. The dataset is not looked at;
// the package documentation says why.
func (s *Server) stageOut(ctx context.Context, run *v1alpha1.TrainingRun) (any, error) {
	at, err := newPlace(s.store.ArtifactsBucket, run.Namespace, string(run.UID))
	if err != nil {
		return nil, err
	}
	build := writePolicy
	if run.Spec.Checkpoint.ByEveryNode() {
		build = gatherPolicy
	}
	policy, err := build(at)
	if err != nil {
		return nil, err
	}
	grant, err := s.grant(ctx, at, policy, s.life)
	if err != nil {
		return nil, err
	}
	return staging.StageGrant{Store: grant, NewestCheckpoint: newestID(run.Status.Checkpoints)}, nil
}

// checkStageIn says whether a run may read the dataset that it names. recorded is what
// its status says that it is bound to, nil if that is not written yet; bound is what
// its Job was made with. A run that was bound to a dataset that is gone is told so,
// also when there is another one of the name by now.
func checkStageIn(recorded *v1alpha1.BoundDataset, bound v1alpha1.BoundDataset, dataset *v1alpha1.DatasetRetention, found bool) error {
	switch {
	case bound.UID == "" || bound.ManifestDigest == "":
		return forbidden("the pod's Job names no dataset; only the operator starts a run's Jobs")
	case recorded != nil && (recorded.UID != bound.UID || recorded.ManifestDigest != bound.ManifestDigest):
		return forbidden("the pod's Job names another dataset than its run is bound to; only the operator starts a run's Jobs")
	case !found, dataset.UID != bound.UID, dataset.DeletionTimestamp != nil:
		return gone(staging.ProblemDatasetErasing, detailErasing)
	case dataset.Status.Location == nil:
		return notYet("the dataset has no place in the store yet; try again in a moment")
	case dataset.Status.ManifestDigest != bound.ManifestDigest:
		return forbidden("the pod's Job names another manifest than its dataset has; only the operator starts a run's Jobs")
	}
	return nil
}
