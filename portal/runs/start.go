package runs

import (
	"context"
	"errors"
	"fmt"

	"github.com/lethe-dev/lethe/portal"
)

// Start starts a run under the ID of the account's draft, once: whoever sends the same
// draft again gets the run that was started. The run is given with an error too when the
// cluster has refused it (portal.KindInvalid); its draft is used up then. While the cluster
// is away the run is started as soon as it answers.
func (s *Service) Start(ctx context.Context, p portal.Principal, id portal.RunID, name string, dataset portal.DatasetID, spec portal.RunSpec) (portal.Run, error) {
	return s.start(ctx, p, wanted{id: id, name: name, dataset: dataset, spec: spec})
}

// StartKeyed is Start for programs, which have keys of their own in the place of the one
// draft that an account has: id is of the form that portal.LooksLikeID tells, and always the
// same for the same key of the same account.
func (s *Service) StartKeyed(ctx context.Context, p portal.Principal, id portal.RunID, name string, dataset portal.DatasetID, spec portal.RunSpec) (portal.Run, error) {
	if !portal.LooksLikeID(string(id)) {
		return portal.Run{}, errors.New("start a run: the ID has not the form of one")
	}
	return s.start(ctx, p, wanted{id: id, name: name, dataset: dataset, spec: spec, keyed: true})
}

func (s *Service) start(ctx context.Context, p portal.Principal, w wanted) (portal.Run, error) {
	if err := allowed(p, portal.ScopeRunsWrite); err != nil {
		return portal.Run{}, err
	}
	run, err := s.Get(ctx, asOwner(p), w.id)
	if err == nil {
		return s.started(ctx, run)
	}
	if !errors.Is(err, portal.ErrNotFound) {
		return portal.Run{}, err
	}
	if err := s.check(ctx, p, w); err != nil {
		return s.unlessStarted(ctx, p, w.id, err)
	}
	if run, err = s.write(ctx, p, w); err != nil {
		return portal.Run{}, err
	}
	return s.started(ctx, run)
}

// asOwner reads what is the person's own whatever the token is for: who starts a run may
// see that it was started.
func asOwner(p portal.Principal) portal.Principal {
	p.Token = nil
	return p
}

// unlessStarted gives the run that another submit has started while this one was checked,
// and otherwise what is wrong with this one.
func (s *Service) unlessStarted(ctx context.Context, p portal.Principal, id portal.RunID, problem error) (portal.Run, error) {
	run, err := s.Get(ctx, asOwner(p), id)
	if err != nil {
		return portal.Run{}, problem
	}
	return s.started(ctx, run)
}

// write takes the draft and writes the run, in one transaction. A run that is there already
// is given as it is.
func (s *Service) write(ctx context.Context, p portal.Principal, w wanted) (portal.Run, error) {
	var run portal.Run
	err := s.Store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		run, err = tx.Run(ctx, p.Account.ID, w.id)
		if !errors.Is(err, portal.ErrNotFound) {
			return err
		}
		// What was checked may have changed since: an erase may have begun.
		order, problems, err := references(ctx, tx, p.Account.ID, w)
		if err := errors.Join(err, errors.Join(problems...)); err != nil {
			return err
		}
		if err := useDraft(ctx, tx, p.Account.ID, w); err != nil {
			return err
		}
		now := s.now()
		run = portal.Run{
			ID: w.id, Account: p.Account.ID, Namespace: order.Namespace, Name: w.name, Dataset: w.dataset,
			Spec: w.spec, Wish: portal.WishRun, CreatedAt: now, WishedAt: now,
		}
		return tx.CreateRun(ctx, run)
	})
	if err != nil {
		return portal.Run{}, fmt.Errorf("write the run: %w", err)
	}
	return run, nil
}

func useDraft(ctx context.Context, tx portal.Tx, account portal.AccountID, w wanted) error {
	if w.keyed {
		return nil
	}
	err := tx.UseDraft(ctx, account, w.id)
	if errors.Is(err, portal.ErrConflict) {
		return &portal.Error{Kind: portal.KindConflict, Message: "This form is no longer the one that a run is started with. Look at it once more, and start the run from here.", Err: err}
	}
	if err != nil {
		return fmt.Errorf("use the draft: %w", err)
	}
	return nil
}

// started has the cluster make the run, if it has not yet.
func (s *Service) started(ctx context.Context, run portal.Run) (portal.Run, error) {
	if run.UID == "" && run.Refused == "" {
		now, err := s.settle(ctx, run, false)
		if err != nil && portal.KindOf(err) != portal.KindInvalid {
			// What the person wished is kept, and Run goes on with it.
			s.Log.WarnContext(ctx, "Run is not in the cluster yet", "run", run.ID, "error", err)
			s.Wake()
			return run, nil
		}
		if err != nil {
			return now, err
		}
		run = now
	}
	if run.Refused != "" {
		return run, &portal.Error{Kind: portal.KindInvalid, Message: run.Refused}
	}
	return run, nil
}

// orderOf is what the cluster is to make of a run.
func orderOf(run portal.Run) portal.RunOrder {
	order := portal.RunOrder{Namespace: run.Namespace, Object: run.ID.Object(), Dataset: run.Dataset.Object(), Spec: run.Spec}
	if run.Spec.ResumeFrom != "" {
		order.ResumeFrom = run.Spec.ResumeFrom.Object()
	}
	return order
}
