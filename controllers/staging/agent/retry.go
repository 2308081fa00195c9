package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

const (
	// firstPause and maxPause bound the time between two tries.
	firstPause = 250 * time.Millisecond
	maxPause   = 15 * time.Second
	// quiet is how long something must have been away before that is worth a log
	// line: a store that sheds load answers some requests and not others.
	quiet = 2 * time.Second
)

// peer is a service that may be away for a while. All callers in the process share
// what is known of it, so its absence is reported once and ends in one decision.
type peer struct {
	name     string
	log      *slog.Logger
	clock    clock.WithDelayedExecution
	random   func() float64
	patience time.Duration

	mu        sync.Mutex
	awaySince time.Time // zero while it answers
	reported  bool      // this absence was logged
}

func newPeer(name string, o Options) *peer {
	return &peer{name: name, log: o.Log, clock: o.Clock, random: o.Random, patience: o.Patience}
}

// try repeats op until it succeeds, fails for good, or patience ends.
func (p *peer) try(ctx context.Context, op func(context.Context) error) error {
	for attempt := 0; ; attempt++ {
		err := op(ctx)
		switch {
		case err == nil:
			p.answered()
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case final(err):
			return err
		case p.away(err):
			return fail(staging.ExitUnavailable, err, "The %s stayed away for %s (%s). Start the run again when it is back.",
				p.name, p.patience, Cause(err))
		}
		if err := p.pause(ctx, attempt, retryAfter(err)); err != nil {
			return err
		}
	}
}

// answered notes a sign of life.
func (p *peer) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.awaySince.IsZero() {
		return
	}
	if p.reported {
		p.log.Info("The "+p.name+" answers again", "awaySeconds", int64(p.clock.Since(p.awaySince).Seconds()))
	}
	p.awaySince, p.reported = time.Time{}, false
}

// away notes a failed request and says whether patience has ended.
func (p *peer) away(err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	if p.awaySince.IsZero() {
		p.awaySince = now
	}
	if !p.reported && now.Sub(p.awaySince) >= quiet {
		p.reported = true
		p.log.Warn("The "+p.name+" does not answer; trying on", "cause", Cause(err), "patience", p.patience.String())
	}
	return now.Sub(p.awaySince) >= p.patience
}

// pause waits between two tries: twice as long each time, spread over the upper
// half so that many pods do not come back at once.
func (p *peer) pause(ctx context.Context, attempt int, least time.Duration) error {
	limit := maxPause
	if attempt < 6 {
		limit = min(firstPause<<attempt, maxPause)
	}
	wait := limit/2 + time.Duration(p.random()*float64(limit/2))
	return sleep(ctx, p.clock, max(wait, min(least, 4*maxPause)))
}

func sleep(ctx context.Context, c clock.WithDelayedExecution, d time.Duration) error {
	timer := c.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C():
		return nil
	}
}

func retryAfter(err error) time.Duration {
	var problem *brokerclient.ProblemError
	if errors.As(err, &problem) {
		return problem.RetryAfter
	}
	return 0
}

// final says whether an error is an answer that another try would only repeat.
func final(err error) bool {
	var failure *Failure
	return errors.As(err, &failure) || errors.Is(err, errDiffers) ||
		errors.Is(err, objectstore.ErrNotFound) || errors.Is(err, objectstore.ErrDenied) ||
		errors.Is(err, objectstore.ErrPrecondition) || errors.Is(err, objectstore.ErrKey)
}
