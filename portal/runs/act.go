package runs

import (
	"context"
	"fmt"

	"github.com/lethe-dev/lethe/portal"
)

// Cancel ends a run at a checkpoint. It keeps what it has made, and can't be undone.
func (s *Service) Cancel(ctx context.Context, p portal.Principal, id portal.RunID) error {
	return s.act(ctx, p, id, portal.WishCancelled)
}

// Suspend stops a run at a checkpoint and gives its GPUs back, until Resume.
func (s *Service) Suspend(ctx context.Context, p portal.Principal, id portal.RunID) error {
	return s.act(ctx, p, id, portal.WishSuspended)
}

// Resume lets a suspended run go on.
func (s *Service) Resume(ctx context.Context, p portal.Principal, id portal.RunID) error {
	return s.act(ctx, p, id, portal.WishRun)
}

// Delete removes a run with its artifacts; one that is not over is ended. It can't be
// undone.
func (s *Service) Delete(ctx context.Context, p portal.Principal, id portal.RunID) error {
	return s.act(ctx, p, id, portal.WishDeleted)
}

// act writes the wish, and asks the cluster. While the cluster is away the wish is kept
// and there is no error: Run goes on with it.
func (s *Service) act(ctx context.Context, p portal.Principal, id portal.RunID, wish portal.RunWish) error {
	if err := allowed(p, portal.ScopeRunsWrite); err != nil {
		return err
	}
	var run portal.Run
	err := s.Store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		if run, err = tx.Run(ctx, p.Account.ID, id); err != nil {
			return err
		}
		if err := mayWish(run, wish); err != nil || run.Wish == wish {
			return err
		}
		run.Wish, run.WishedAt = wish, s.now()
		return tx.UpdateRun(ctx, run)
	})
	if err != nil {
		return fmt.Errorf("write the wish %s: %w", wish, err)
	}
	// Whoever acts on a run that the cluster refuses only now is told by mail.
	if _, err := s.settle(ctx, run, true); err != nil {
		s.Log.WarnContext(ctx, "Run has not followed a wish yet", "run", run.ID, "wish", wish, "error", err)
		s.Wake()
	}
	return nil
}

// mayWish refuses what comes too late. It is pure.
func mayWish(run portal.Run, wish portal.RunWish) error {
	conflict := func(message string) error { return &portal.Error{Kind: portal.KindConflict, Message: message} }
	switch {
	case wish == run.Wish:
		return nil
	case run.Wish == portal.WishDeleted || !run.GoneAt.IsZero():
		return conflict("This run is being deleted, or has been.")
	case wish == portal.WishDeleted:
		return nil
	case run.Refused != "":
		return conflict("This run was never started: the cluster refused it.")
	case run.Seen.Finished():
		return conflict("This run is over already. Reload the page to see how it ended.")
	case run.Wish == portal.WishCancelled:
		return conflict("This run was cancelled. Start another one like it instead.")
	}
	return nil
}
