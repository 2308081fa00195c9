package access

import (
	"context"
	"errors"

	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

// Broker asks the broker for a person, and says what to do where a right is
// missing.
type Broker struct {
	Client *brokerclient.Client
	// Grant is added to a refusal for want of a right, see Tokens.Grant.
	Grant string
}

// Upload gives credentials that write to an unsealed dataset.
func (b Broker) Upload(ctx context.Context, namespace, name string) (staging.StoreGrant, error) {
	grant, err := b.Client.Upload(ctx, namespace, name)
	return grant, b.advise(err)
}

// Artifacts gives credentials that read a run's artifacts.
func (b Broker) Artifacts(ctx context.Context, namespace, name string) (staging.StoreGrant, error) {
	grant, err := b.Client.Artifacts(ctx, namespace, name)
	return grant, b.advise(err)
}

// advise leaves the refusal a brokerclient.ProblemError.
func (b Broker) advise(err error) error {
	var problem *brokerclient.ProblemError
	if !errors.As(err, &problem) || problem.Problem.Reason != staging.ProblemForbidden {
		return err
	}
	advised := *problem
	advised.Problem.Detail += "; " + b.Grant
	return &advised
}
