package follow

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

// conflicts is how often a row that another has changed meanwhile is read again before it
// is left for later.
const conflicts = 5

// applyRun writes what was seen of a run, and mails what is worth it.
func (f *Follower) applyRun(ctx context.Context, k key, s sight) error {
	id, ok := idOf[portal.RunID](k.object, "r-")
	if !ok {
		return nil
	}
	run, err := f.runRow(ctx, k.namespace, id)
	if missing(err) {
		return nil // Made by other means than the portal.
	}
	if err != nil {
		return fmt.Errorf("read the run: %w", err)
	}
	if s.missed && run.UID == "" {
		return nil // Not made yet: it isn't gone.
	}
	var receipt *portal.Receipt
	if s.gone && run.Wish == portal.WishDeleted && run.UID != "" && run.GoneAt.IsZero() {
		if receipt, err = runReceipt(run, s); err != nil {
			return err
		}
	}
	for range conflicts {
		run, err = f.writeRun(ctx, k.namespace, id, s, receipt)
		if portal.KindOf(err) != portal.KindConflict {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("write the run: %w", err)
	}
	if f.listener != nil {
		f.listener.RunChanged(run)
	}
	return nil
}

func (f *Follower) runRow(ctx context.Context, namespace string, id portal.RunID) (portal.Run, error) {
	var run portal.Run
	err := f.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		run, err = tx.RunByObject(ctx, namespace, id)
		return err
	})
	return run, err
}

// runReceipt is the receipt for a deleted run's artifacts; nil for a run that had none.
// It is written before the object goes, so what is not there now never will be.
func runReceipt(run portal.Run, s sight) (*portal.Receipt, error) {
	receipt, err := receiptIn(s, run.Namespace, run.UID)
	if missing(err) {
		return nil, nil //nolint:nilnil // No receipt is no error here.
	}
	if err != nil {
		return nil, err
	}
	receipt.Account, receipt.Name = run.Account, run.Name
	return &receipt, nil
}

// writeRun writes one run when something of it has changed, and gives the row.
func (f *Follower) writeRun(ctx context.Context, namespace string, id portal.RunID, s sight, receipt *portal.Receipt) (portal.Run, error) {
	// Most of what is seen changes nothing: then nobody's writes have to wait.
	run, err := f.runRow(ctx, namespace, id)
	if err != nil {
		return run, err
	}
	if next, changed := f.nextRun(run, s); !changed && receipt == nil {
		return next, nil
	}
	err = f.store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		if run, err = tx.RunByObject(ctx, namespace, id); err != nil {
			return err
		}
		next, changed := f.nextRun(run, s)
		if receipt != nil {
			if err := tx.PutReceipt(ctx, *receipt); err != nil {
				return err
			}
		}
		if !changed {
			return nil
		}
		if err := tx.UpdateRun(ctx, next); err != nil {
			return err
		}
		run = next
		return f.mailRun(ctx, tx, next)
	})
	return run, err
}

// nextRun is the row after a sight, and whether that is another one.
func (f *Follower) nextRun(run portal.Run, s sight) (portal.Run, bool) {
	if !s.seen || s.uid != "" && run.UID != "" && s.uid != run.UID {
		return run, false // Another object of that name is not this run.
	}
	next := run
	if next.UID == "" {
		next.UID = s.uid
	}
	switch {
	case s.gone && next.GoneAt.IsZero():
		next.GoneAt = f.now()
	case !s.gone && !next.GoneAt.IsZero():
		next.GoneAt = time.Time{} // It was missed for a moment only.
	}
	// What is told last of a run that is gone may be newer than what was kept.
	if s.run.Version > run.Seen.Version && !sameRun(run.Seen, s.run) {
		next.Seen = s.run
	}
	if next.Wish == portal.WishDeleted && !next.GoneAt.IsZero() {
		next.Seen = withoutOutput(next.Seen)
	}
	return next, next.UID != run.UID || !next.GoneAt.Equal(run.GoneAt) || next.Seen.Version != run.Seen.Version
}

// withoutOutput leaves out what the program itself has put out: who deletes a run deletes
// that too.
func withoutOutput(s portal.RunSeen) portal.RunSeen {
	if s.Failure != nil && s.Failure.LogTail != "" {
		failure := *s.Failure
		failure.LogTail = ""
		s.Failure = &failure
	}
	return s
}

// sameRun compares but for when it was seen.
func sameRun(a, b portal.RunSeen) bool {
	a.Version, a.At = b.Version, b.At
	if !maps.Equal(a.Progress.Metrics, b.Progress.Metrics) {
		return false
	}
	a.Progress.Metrics = b.Progress.Metrics
	return reflect.DeepEqual(a, b)
}

// mailRun tells the person what has become of a run: each kind once.
func (f *Follower) mailRun(ctx context.Context, tx portal.Tx, run portal.Run) error {
	kind, text := runMail(run)
	if kind == "" {
		return nil
	}
	return f.mail(ctx, tx, notice{
		account: run.Account, subject: string(run.ID), kind: kind,
		data: portal.MailData{Name: run.Name, Link: "/runs/" + string(run.ID), Text: text},
	})
}

// runMail is the kind of mail that a run's state is worth, and what it says; "" for none.
// Whoever cancels or deletes a run knows that it ends.
func runMail(run portal.Run) (portal.MailKind, string) {
	seen := run.Seen
	if run.Wish == portal.WishCancelled || run.Wish == portal.WishDeleted {
		return "", ""
	}
	switch v1alpha1.RunState(seen.State) {
	case v1alpha1.RunRunning:
		return portal.MailRunStarted, ""
	case v1alpha1.RunSucceeded:
		return portal.MailRunFinished, ""
	case v1alpha1.RunFailed:
		return failureMail(seen)
	default:
		return "", ""
	}
}

// failureMail says what the page of the run says.
func failureMail(seen portal.RunSeen) (portal.MailKind, string) {
	if seen.Reason == v1alpha1.ReasonCancelled {
		return "", ""
	}
	kind, reason, hint := portal.MailRunFailed, seen.Reason, ""
	if seen.Failure != nil {
		reason, hint = cmp.Or(seen.Failure.Reason, reason), seen.Failure.Hint
		if seen.Failure.Blame == string(v1alpha1.BlameBudget) {
			kind = portal.MailRunStopped
		}
	}
	if what, do, ok := portal.FailureWords(reason); ok {
		return kind, sentence(what, do)
	}
	return kind, sentence(seen.Message, hint)
}
