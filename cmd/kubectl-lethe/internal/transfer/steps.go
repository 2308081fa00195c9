package transfer

import (
	"context"
	"errors"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// Broker grants a person what a transfer needs (brokerclient.Client is one). Both
// calls may be repeated; each gives new credentials.
type Broker interface {
	// Upload gives credentials that write to an unsealed dataset.
	Upload(ctx context.Context, namespace, name string) (staging.StoreGrant, error)
	// Artifacts gives credentials that read a run's artifacts.
	Artifacts(ctx context.Context, namespace, name string) (staging.StoreGrant, error)
}

// errStep can only be a mistake in this package.
var errStep = errors.New("the step is not this transfer's")

// uploading lets an upload look like the publishing of artifacts by a pod whose
// trainer has just ended well.
type uploading struct {
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

func (uploading) Trainer(context.Context) (staging.TrainerStatus, error) {
	return staging.TrainerStatus{Ended: true}, nil
}

// downloading lets the download of artifacts look like the staging-in of a
// dataset that is pinned to the run's manifest.
type downloading struct {
	broker          Broker
	namespace, name string
	digest          string
}

func (d downloading) Stage(ctx context.Context, step staging.Step) (staging.StageGrant, error) {
	if step != staging.StepStageIn {
		return staging.StageGrant{}, errStep
	}
	grant, err := d.broker.Artifacts(ctx, d.namespace, d.name)
	return staging.StageGrant{Store: grant, ManifestDigest: d.digest}, err
}

func (downloading) Trainer(context.Context) (staging.TrainerStatus, error) {
	return staging.TrainerStatus{}, errStep
}
