package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

const (
	// readTries is how often a small object is asked for while the store does not answer,
	// with readPause in between.
	readTries = 5
	readPause = 2 * time.Second
)

// errTooLong says that an object is longer than it may be.
var errTooLong = errors.New("it is longer than it may be")

// reader reads small objects of a run's place, one after the other.
type reader struct {
	store  agent.Store
	bucket string
	prefix string
	clock  clock.WithDelayedExecution
}

// openStore asks for credentials to read what a run has stored. They are not asked for
// again: what is read with them is small.
func openStore(ctx context.Context, o Options, run *v1alpha1.TrainingRun) (*reader, error) {
	grant, err := o.Broker.Artifacts(ctx, run.Namespace, run.Name)
	var problem *brokerclient.ProblemError
	switch {
	case err == nil:
	case brokerclient.Retryable(err):
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case errors.As(err, &problem):
		return nil, fmt.Errorf("%w: %w", ErrDenied, problem)
	default:
		return nil, fmt.Errorf("ask the broker: %w", err)
	}
	credentials := func(context.Context) (objectstore.Credentials, error) {
		return objectstore.Credentials{
			AccessKeyID: grant.AccessKeyID, SecretAccessKey: grant.SecretAccessKey, SessionToken: grant.SessionToken,
			ExpiresAt: grant.ExpiresAt,
		}, nil
	}
	if err := checkKey(grant, ""); err != nil {
		return nil, err
	}
	store, err := o.Connect(grant, credentials, 1)
	if err != nil {
		return nil, err
	}
	return &reader{store: store, bucket: grant.Bucket, prefix: grant.Prefix, clock: o.Clock}, nil
}

// read reads an object of at most limit bytes. Errors wrap objectstore.ErrNotFound,
// errTooLong, ErrDenied and ErrUnavailable.
func (r *reader) read(ctx context.Context, key string, limit int64) ([]byte, error) {
	for try := 1; ; try++ {
		data, err := r.readOnce(ctx, key, limit)
		if errors.Is(err, objectstore.ErrDenied) {
			return nil, fmt.Errorf("%w: %w", ErrDenied, err)
		}
		if err == nil || !again(ctx, err) {
			return data, err
		}
		if try == readTries {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		timer := r.clock.NewTimer(readPause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C():
		}
	}
}

func again(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	for _, final := range []error{objectstore.ErrNotFound, objectstore.ErrKey, errTooLong} {
		if errors.Is(err, final) {
			return false
		}
	}
	return true
}

func (r *reader) readOnce(ctx context.Context, key string, limit int64) ([]byte, error) {
	body, err := r.store.Get(ctx, r.bucket, key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // It was only read.
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = errTooLong
	}
	return data, err
}
