package runs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

const (
	// callTime bounds one call of the cluster.
	callTime = 20 * time.Second
	// landed is how long after a wish no call of before can take effect any more: callTime
	// and the API server's own limit for a request, with room for clocks that differ.
	landed = 2 * time.Minute
	// steps bounds how often one settle looks again: wishes may move while it asks.
	steps = 5
	// batch is how many unsettled runs one look takes up, and abreast how many at once.
	batch   = 200
	abreast = 8
	// idle is how often there is a look when nothing is known to be unsettled: another
	// replica may have died with something in its hands, and nobody says so.
	idle = time.Minute
)

// step is what the cluster has to be asked for next.
type step int

const (
	stepNone step = iota
	stepCreate
	stepSuspend
	stepResume
	stepCancel
	stepDelete
	// stepForget deletes a run that was perhaps never made: a call to make it may still be
	// under way in another replica.
	stepForget
)

// next is what a run needs. It is pure.
func next(run portal.Run) step {
	done := !run.GoneAt.IsZero() || run.Refused != ""
	ends := run.Wish == portal.WishCancelled || run.Wish == portal.WishDeleted
	switch {
	case done:
		return stepNone
	case run.UID == "" && ends:
		return stepForget
	case run.UID == "":
		return stepCreate
	case run.Wish == portal.WishDeleted:
		return stepDelete
	case run.Seen.Finished():
		return stepNone
	case run.Wish == portal.WishCancelled:
		return stepCancel
	case run.Wish == portal.WishSuspended && !run.Seen.Suspended:
		return stepSuspend
	case run.Wish == portal.WishRun && run.Seen.Suspended:
		return stepResume
	}
	return stepNone
}

// settle asks the cluster for what a run needs, and writes what it answers. It gives the
// run as it is then. Callers at the same time share one answer; one that goes away does
// not take it from the others.
// late says that nobody waits for it: a refusal is mailed then.
func (s *Service) settle(ctx context.Context, run portal.Run, late bool) (portal.Run, error) {
	answer, err, _ := s.flights.Do(string(run.ID), func() (any, error) {
		return s.settleAlone(context.WithoutCancel(ctx), run, late)
	})
	settled, _ := answer.(portal.Run)
	return settled, err
}

// settleAlone goes on until the run needs nothing more, or until what it has asked for is
// only still to be seen.
func (s *Service) settleAlone(ctx context.Context, run portal.Run, late bool) (portal.Run, error) {
	asked := stepNone
	for range steps {
		now, err := s.read(ctx, run)
		if err != nil {
			return run, err
		}
		run = now
		todo := next(run)
		if todo == stepNone || todo == asked {
			return run, nil
		}
		if err := s.take(ctx, run, todo, late); err != nil {
			if again, readErr := s.read(ctx, run); readErr == nil {
				run = again
			}
			return run, err
		}
		asked = todo
	}
	s.Wake()
	return run, nil
}

func (s *Service) read(ctx context.Context, run portal.Run) (portal.Run, error) {
	var now portal.Run
	err := s.Store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		now, err = tx.Run(ctx, run.Account, run.ID)
		return err
	})
	if err != nil {
		return run, fmt.Errorf("read the run: %w", err)
	}
	return now, nil
}

// take does one step.
func (s *Service) take(ctx context.Context, run portal.Run, todo step, late bool) error {
	call, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	object := run.ID.Object()
	switch todo {
	case stepCreate:
		return s.create(ctx, call, run, late)
	case stepSuspend:
		return gone(s.Cluster.SuspendRun(call, run.Namespace, object, true))
	case stepResume:
		return gone(s.Cluster.SuspendRun(call, run.Namespace, object, false))
	case stepCancel:
		return gone(s.Cluster.CancelRun(call, run.Namespace, object, run.UID))
	case stepDelete:
		return gone(s.Cluster.DeleteRun(call, run.Namespace, object, run.UID))
	case stepForget:
		if err := gone(s.Cluster.DeleteRun(call, run.Namespace, object, "")); err != nil {
			return err
		}
		return s.forget(ctx, run)
	case stepNone:
	}
	return nil
}

// create has the object made; call is the context of that call. A refusal is given back,
// for the form.
func (s *Service) create(ctx, call context.Context, run portal.Run, late bool) error {
	uid, err := s.Cluster.CreateRun(call, orderOf(run))
	var refusal *portal.Error
	switch {
	case err == nil:
		return s.created(ctx, run, uid)
	case errors.As(err, &refusal) && refusal.Kind == portal.KindInvalid:
		if err := s.refused(ctx, run, refusal.Message, late); err != nil {
			return err
		}
	}
	return err
}

// gone takes an object that is not there for one that needs nothing more: that it has gone
// is written by who watches the cluster.
func gone(err error) error {
	if portal.KindOf(err) == portal.KindNotFound {
		return nil
	}
	return err
}

// created writes what became of a new run.
func (s *Service) created(ctx context.Context, run portal.Run, uid string) error {
	return s.change(ctx, run, func(_ context.Context, _ portal.Tx, kept *portal.Run) (bool, error) {
		if kept.UID != "" {
			return false, nil // who watches the cluster was faster
		}
		kept.UID = uid
		return true, nil
	})
}

// refused writes why the cluster will never take a run. A refusal that comes late is mailed
// in the same transaction.
func (s *Service) refused(ctx context.Context, run portal.Run, why string, late bool) error {
	mail := portal.NewID[portal.MailID](s.Random)
	return s.change(ctx, run, func(ctx context.Context, tx portal.Tx, kept *portal.Run) (bool, error) {
		if kept.UID != "" || kept.Refused != "" {
			return false, nil
		}
		kept.Refused = why
		if !late {
			return true, nil
		}
		return true, s.mailRefusal(ctx, tx, *kept, mail)
	})
}

// forget marks a run gone that never was, once it can't come any more.
func (s *Service) forget(ctx context.Context, run portal.Run) error {
	if s.now().Sub(run.WishedAt) < landed {
		return nil
	}
	return s.change(ctx, run, func(_ context.Context, _ portal.Tx, kept *portal.Run) (bool, error) {
		if next(*kept) != stepForget {
			return false, nil
		}
		kept.GoneAt = s.now()
		return true, nil
	})
}

// change reads the run again and writes it when f says that it has changed it.
func (s *Service) change(ctx context.Context, run portal.Run, f func(context.Context, portal.Tx, *portal.Run) (bool, error)) error {
	err := s.Store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		kept, err := tx.Run(ctx, run.Account, run.ID)
		if err != nil {
			return err
		}
		changed, err := f(ctx, tx, &kept)
		if err != nil || !changed {
			return err
		}
		return tx.UpdateRun(ctx, kept)
	})
	if err != nil {
		return fmt.Errorf("write what the cluster answered: %w", err)
	}
	return nil
}
