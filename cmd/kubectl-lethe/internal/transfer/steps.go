package transfer

import (
	"context"

	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

// Broker grants a person what a transfer needs (brokerclient.Client is one). Both
// calls may be repeated; each gives new credentials.
type Broker interface {
	// Upload gives credentials that write to an unsealed dataset.
	Upload(ctx context.Context, namespace, name string) (staging.StoreGrant, error)
	// Artifacts gives credentials that read a run's artifacts.
	Artifacts(ctx context.Context, namespace, name string) (staging.StoreGrant, error)
}

// errStep can only be a mistake in this package. It is a *agent.Failure, so that it is
// not tried again.
var errStep error = &agent.Failure{Exit: staging.ExitUsage, Message: "the step is not this transfer's"}

// uploading lets an upload look like the publishing of artifacts by a pod whose
// trainer has just ended well.
type uploading struct {
	noPod
	broker          Broker
	namespace, name string
}

func (u uploading) Stage(ctx context.Context, step staging.Step) (staging.StageGrant, error) {
	if step != staging.StepStageOut {
		return staging.StageGrant{}, errStep
	}
	grant, err := u.broker.Upload(ctx, u.namespace, u.name)
	return staging.StageGrant{Store: grant}, err
}

// downloading lets the download of artifacts, or of a part of a checkpoint, look like
// the staging-in of a dataset that is pinned to a manifest.
type downloading struct {
	noPod
	broker          Broker
	namespace, name string
	digest          string
	// place gives where the manifest lies, by the prefix of the run; nil for the run's
	// own place.
	place func(prefix string) string
}

func (d downloading) Stage(ctx context.Context, step staging.Step) (staging.StageGrant, error) {
	if step != staging.StepStageIn {
		return staging.StageGrant{}, errStep
	}
	grant, err := d.broker.Artifacts(ctx, d.namespace, d.name)
	if d.place != nil {
		grant.Prefix = d.place(grant.Prefix)
	}
	return staging.StageGrant{Store: grant, ManifestDigest: d.digest}, err
}

// noPod answers what only a pod would ask: there is no trainer that runs, nobody to
// wait for, and nothing to write down.
type noPod struct{}

func (noPod) Trainer(context.Context) (staging.TrainerStatus, error) {
	return staging.TrainerStatus{Ended: true}, nil
}

func (noPod) Gang(context.Context) (staging.GangStatus, error) {
	return staging.GangStatus{Ready: true}, nil
}

func (noPod) Log(context.Context, staging.LogRequest) (staging.LogAnswer, error) {
	return staging.LogAnswer{Ended: true}, nil
}

func (noPod) Progress(context.Context, staging.ProgressRequest) error { return nil }

func (noPod) Checkpoint(context.Context, staging.CheckpointRequest) error { return errStep }
