package runs

import (
	"context"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

// PageSize is how many runs a page of the list has.
const PageSize = 25

// States are what the list can be filtered by.
func States() []string {
	states := []string{portal.RunWaiting}
	for _, s := range []v1alpha1.RunState{
		v1alpha1.RunPending, v1alpha1.RunQueued, v1alpha1.RunStarting, v1alpha1.RunRunning,
		v1alpha1.RunPublishing, v1alpha1.RunSuspended, v1alpha1.RunSucceeded, v1alpha1.RunFailed, v1alpha1.RunCancelled,
	} {
		states = append(states, string(s))
	}
	return states
}

// List gives a page of an account's runs, newest first, and where the next begins: the
// zero cursor after the last.
func (s *Service) List(ctx context.Context, p portal.Principal, filter portal.RunFilter, after portal.PageCursor) ([]portal.Run, portal.PageCursor, error) {
	var next portal.PageCursor
	if err := allowed(p, portal.ScopeRunsRead); err != nil {
		return nil, next, err
	}
	if filter.State != "" && !slices.Contains(States(), filter.State) {
		return nil, next, portal.Invalid("state", "There is no such state. Choose one from the list.")
	}
	if utf8.RuneCountInString(filter.Text) > portal.MaxRunName {
		return nil, next, portal.Invalid("text", "This is longer than any name. Search for less.")
	}
	var list []portal.Run
	err := s.Store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		list, err = tx.AccountRuns(ctx, p.Account.ID, filter, after, PageSize+1)
		return err
	})
	if err != nil {
		return nil, next, fmt.Errorf("list runs: %w", err)
	}
	if len(list) > PageSize {
		list = list[:PageSize]
		last := list[PageSize-1]
		next = portal.PageCursor{Time: last.CreatedAt, ID: string(last.ID)}
	}
	return list, next, nil
}

// Get gives a run of the account.
func (s *Service) Get(ctx context.Context, p portal.Principal, id portal.RunID) (portal.Run, error) {
	if err := allowed(p, portal.ScopeRunsRead); err != nil {
		return portal.Run{}, err
	}
	var run portal.Run
	err := s.Store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		run, err = tx.Run(ctx, p.Account.ID, id)
		return err
	})
	if err != nil {
		return portal.Run{}, fmt.Errorf("read a run: %w", err)
	}
	return run, nil
}

// Datasets are the account's that runs can have used, newest first, for the list's filter.
func (s *Service) Datasets(ctx context.Context, p portal.Principal) ([]portal.Dataset, error) {
	if err := allowed(p, portal.ScopeRunsRead); err != nil {
		return nil, err
	}
	var list []portal.Dataset
	err := s.Store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		list, err = tx.AccountDatasets(ctx, p.Account.ID, true, portal.PageCursor{}, maxDatasets)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list datasets: %w", err)
	}
	return list, nil
}
