package agent

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

// expiryMargin is kept at most between the use of credentials and their end, for
// the time that a request takes to get to the store.
const expiryMargin = 30 * time.Second

var errNoLife = errors.New("the broker granted credentials that have ended already")

// lease is a grant with the times at which it was got by our own clock: the
// broker's clock is used for differences only.
type lease struct {
	grant      staging.StageGrant
	generation uint64 // counts from 1
	refreshAt  time.Time
	expiresAt  time.Time
}

// grants keeps the grant of the moment, in memory only. Only one caller at a time
// asks the broker; at half of the grant's life the others go on with the old one.
type grants struct {
	Options
	step staging.Step
	peer *peer
	turn chan struct{} // holds one token: who has it may ask the broker

	mu   sync.Mutex
	held lease
}

func newGrants(o Options, step staging.Step) *grants {
	g := &grants{Options: o, step: step, peer: newPeer("broker", o), turn: make(chan struct{}, 1)}
	g.turn <- struct{}{}
	return g
}

// obtain waits for the first grant.
func (g *grants) obtain(ctx context.Context) (lease, error) { return g.confirm(ctx, 0) }

// confirm gives a grant that is newer than the given generation, asking the broker
// for as long as it takes. A refusal is a *Failure.
func (g *grants) confirm(ctx context.Context, generation uint64) (lease, error) {
	select {
	case <-ctx.Done():
		return lease{}, ctx.Err()
	case <-g.turn:
	}
	defer func() { g.turn <- struct{}{} }()
	if held := g.load(); held.generation > generation {
		return held, nil
	}
	err := g.peer.try(ctx, g.ask)
	return g.load(), err
}

// current gives the grant of the moment, and asks for a new one from half of its
// life on. While the broker is away the old one serves until it ends.
func (g *grants) current(ctx context.Context) (lease, error) {
	held, now := g.load(), g.Clock.Now()
	if now.Before(held.refreshAt) {
		return held, nil
	}
	if !now.Before(held.expiresAt) {
		return g.confirm(ctx, held.generation)
	}
	select {
	case <-g.turn:
	default:
		return held, nil
	}
	defer func() { g.turn <- struct{}{} }()
	if held = g.load(); now.Before(held.refreshAt) {
		return held, nil
	}
	err := g.ask(ctx)
	if err == nil {
		g.peer.answered()
		return g.load(), nil
	}
	if final(err) || ctx.Err() != nil {
		return lease{}, err
	}
	g.peer.away(err)
	g.postpone(now.Add(maxPause))
	return held, nil
}

// credentials is current in the store's terms.
func (g *grants) credentials(ctx context.Context) (objectstore.Credentials, error) {
	held, err := g.current(ctx)
	if err != nil {
		return objectstore.Credentials{}, err
	}
	return held.of(held.grant.Store), nil
}

// resume is credentials for the checkpoint to begin with. It must stay the same one.
func (g *grants) resume(id string) CredentialsFunc {
	return func(ctx context.Context) (objectstore.Credentials, error) {
		held, err := g.current(ctx)
		if err != nil {
			return objectstore.Credentials{}, err
		}
		if held.grant.Resume == nil || held.grant.Resume.ID != id {
			return objectstore.Credentials{}, fail(staging.ExitCheckpointCorrupt, nil, "The checkpoint %s that the run "+
				"begins with is no longer the one that the operator names. Start the run again.", id)
		}
		return held.of(held.grant.Resume.Store), nil
	}
}

// of gives the credentials of one of the lease's places.
func (l lease) of(place staging.StoreGrant) objectstore.Credentials {
	return objectstore.Credentials{
		AccessKeyID:     place.AccessKeyID,
		SecretAccessKey: place.SecretAccessKey,
		SessionToken:    place.SessionToken,
		ExpiresAt:       l.expiresAt,
	}
}

// ask asks once. The caller has the turn. All grants of a step have the same key.
func (g *grants) ask(ctx context.Context) error {
	start := g.Clock.Now()
	grant, err := g.Broker.Stage(ctx, g.step)
	if err != nil {
		return brokerFailure(ctx, err)
	}
	life := grant.Store.ExpiresAt.Sub(grant.Store.IssuedAt)
	if grant.Resume != nil {
		life = min(life, grant.Resume.Store.ExpiresAt.Sub(grant.Resume.Store.IssuedAt))
	}
	if life <= 0 {
		return errNoLife
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held.generation > 0 && !bytes.Equal(grant.Store.EncryptionKey, g.held.grant.Store.EncryptionKey) {
		return fail(staging.ExitDenied, nil, "The operator gave another key than before for the same dataset, and "+
			"data under two keys could never be read whole. Tell your administrator, and use another dataset.")
	}
	g.held = lease{
		grant:      grant,
		generation: g.held.generation + 1,
		refreshAt:  start.Add(life / 2),
		expiresAt:  start.Add(life - min(expiryMargin, life/10)),
	}
	return nil
}

func (g *grants) load() lease {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held
}

func (g *grants) postpone(until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held.refreshAt = until
}

// brokerFailure turns a refusal into a *Failure and leaves what may pass as it is.
func brokerFailure(ctx context.Context, err error) error {
	var problem *brokerclient.ProblemError
	switch {
	case ctx.Err() != nil || brokerclient.Retryable(err):
		return err
	case errors.As(err, &problem):
		return fail(staging.ExitDenied, err, "The operator refused: %s (%s).",
			strings.TrimSuffix(problem.Problem.Detail, "."), problem.Problem.Reason)
	default:
		return fail(staging.ExitIOError, err, "The broker can not be asked: %s.", Cause(err))
	}
}
