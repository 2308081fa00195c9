package runs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-dev/lethe/portal"
)

// Run takes up what is unsettled: at once, whenever it is woken, and every Options.Every
// as long as there is something. It ends with the context.
func (s *Service) Run(ctx context.Context) error {
	for {
		wait := idle
		if left, err := s.SettleAll(ctx); err != nil || left > 0 {
			wait = s.options.Every
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-s.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// SettleAll asks the cluster for all that it has not done yet, and gives how many runs that
// were. What fails is tried again the next time.
func (s *Service) SettleAll(ctx context.Context) (int, error) {
	var list []portal.Run
	err := s.Store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		list, err = tx.UnsettledRuns(ctx, batch)
		return err
	})
	if err != nil {
		s.Log.ErrorContext(ctx, "Unsettled runs could not be read", "error", err)
		return 0, fmt.Errorf("list unsettled runs: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(abreast)
	for _, run := range list {
		group.Go(func() error {
			s.settleLate(ctx, run)
			return nil
		})
	}
	return len(list), group.Wait()
}

// settleLate settles a run whose person is not waiting for the answer.
func (s *Service) settleLate(ctx context.Context, run portal.Run) {
	if _, err := s.settle(ctx, run, true); err != nil {
		// Its words may hold what the person wrote: the API repeats values that it refuses.
		s.Log.WarnContext(ctx, "Run is not settled yet", "run", run.ID, "kind", portal.KindOf(err).String())
	}
}

// mailRefusal tells that a run which was to start later never will.
func (s *Service) mailRefusal(ctx context.Context, tx portal.Tx, run portal.Run, id portal.MailID) error {
	unwanted, err := tx.UnwantedMails(ctx, run.Account)
	if err != nil || slices.Contains(unwanted, portal.MailRunFailed) {
		return err
	}
	now := s.now()
	err = tx.TakeNotice(ctx, string(run.ID), portal.MailRunFailed, now)
	if errors.Is(err, portal.ErrConflict) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("take the notice: %w", err)
	}
	account, err := tx.Account(ctx, run.Account)
	if err != nil {
		return fmt.Errorf("read the account: %w", err)
	}
	return tx.AddMail(ctx, portal.Mail{
		ID: id, Account: run.Account, To: account.Email, Kind: portal.MailRunFailed, CreatedAt: now, DueAt: now,
		Data: portal.MailData{Time: now, Name: run.Name, Link: "/runs/" + string(run.ID), Text: run.Refused},
	})
}
