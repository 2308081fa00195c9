package sqlstoretest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

var clusterRaceTests = map[string]func(*testing.T, portal.Store){
	"of many who want a tenant for an account one makes it": raceTenant,
	"of many who open the form all draft the same run":      raceDraft,
	"of many who start a draft one starts it":               raceStart,
	"of many who create a run under one ID one does":        raceCreateRun,
	"of many who change one revision of a dataset one does": raceUpdateDataset,
	"of many who change one revision of a run one does":     raceUpdateRun,
	"of many who notice the same one mails":                 raceNotice,
	"a receipt that many bring is kept once":                raceReceipt,
}

func raceTenant(t *testing.T, s portal.Store) {
	for range rounds {
		a := account(t, s)
		oneWins(t, race(t, s, func(ctx context.Context, tx portal.Tx, _ int) error {
			if _, err := tx.Tenant(ctx, a.ID); !errors.Is(err, portal.ErrNotFound) {
				return errors.Join(err, portal.ErrConflict)
			}
			return tx.CreateTenant(ctx, portaltest.Tenant(a))
		}), portal.ErrConflict)
	}
}

func raceDraft(t *testing.T, s portal.Store) {
	for range rounds {
		a := account(t, s)
		drafts := make([]portal.RunID, racers)
		allWin(t, race(t, s, func(ctx context.Context, tx portal.Tx, racer int) error {
			id, err := tx.DraftRun(ctx, a.ID, portal.RunID(fmt.Sprint("run", racer)))
			drafts[racer] = id
			return err
		}))
		for _, draft := range drafts {
			equal(t, "draft", drafts[0], draft)
		}
	}
}

// raceStart is a double click, as the use case does it.
func raceStart(t *testing.T, s portal.Store) {
	d := putDataset(t, s, newDataset(tenant(t, s), "dataset", 0))
	for round := range rounds {
		run := newRun(d, portal.RunID(fmt.Sprint("run", round)), round)
		write(t, s, func(ctx context.Context, tx portal.Tx) error {
			_, err := tx.DraftRun(ctx, run.Account, run.ID)
			return err
		})
		oneWins(t, race(t, s, func(ctx context.Context, tx portal.Tx, _ int) error {
			if err := tx.UseDraft(ctx, run.Account, run.ID); err != nil {
				return err
			}
			return tx.CreateRun(ctx, run)
		}), portal.ErrConflict)
	}
	equal(t, "runs", rounds, len(runPage(t, s, d.Account, portal.RunFilter{}, portal.PageCursor{}, 100)))
}

func raceCreateRun(t *testing.T, s portal.Store) {
	d := putDataset(t, s, newDataset(tenant(t, s), "dataset", 0))
	for round := range rounds {
		oneWins(t, race(t, s, func(ctx context.Context, tx portal.Tx, _ int) error {
			return tx.CreateRun(ctx, newRun(d, portal.RunID(fmt.Sprint("run", round)), round))
		}), portal.ErrConflict)
	}
}

func raceUpdateDataset(t *testing.T, s portal.Store) {
	d := putDataset(t, s, newDataset(tenant(t, s), "it", 0))
	for range rounds {
		oneWins(t, race(t, s, func(ctx context.Context, tx portal.Tx, racer int) error {
			changed := d
			changed.Name = fmt.Sprint("by ", racer)
			return tx.UpdateDataset(ctx, changed)
		}), portal.ErrConflict)
		d.Revision++
	}
	equal(t, "revision", int64(rounds), datasetOf(t, s, d).Revision)
}

func raceUpdateRun(t *testing.T, s portal.Store) {
	r := putRun(t, s, newRun(putDataset(t, s, newDataset(tenant(t, s), "it", 0)), "it", 0))
	for range rounds {
		oneWins(t, race(t, s, func(ctx context.Context, tx portal.Tx, racer int) error {
			changed := r
			changed.Name = fmt.Sprint("by ", racer)
			return tx.UpdateRun(ctx, changed)
		}), portal.ErrConflict)
		r.Revision++
	}
	equal(t, "revision", int64(rounds), runOf(t, s, r).Revision)
}

func raceNotice(t *testing.T, s portal.Store) {
	a := account(t, s)
	for round := range rounds {
		oneWins(t, race(t, s, func(ctx context.Context, tx portal.Tx, racer int) error {
			if err := tx.TakeNotice(ctx, fmt.Sprint("run", round), portal.MailRunFinished, start); err != nil {
				return err
			}
			return tx.AddMail(ctx, portal.Mail{
				ID: portal.MailID(fmt.Sprintf("%d-%d", round, racer)), Account: a.ID, To: a.Email, Kind: portal.MailRunFinished, CreatedAt: start, DueAt: start,
			})
		}), portal.ErrConflict)
	}
	var mails []portal.Mail
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		var err error
		mails, err = tx.ClaimMails(ctx, start, minute(1), 100)
		return err
	})
	equal(t, "mails", rounds, len(mails))
}

func raceReceipt(t *testing.T, s portal.Store) {
	a := account(t, s)
	for round := range rounds {
		allWin(t, race(t, s, func(ctx context.Context, tx portal.Tx, _ int) error {
			return tx.PutReceipt(ctx, newReceipt(a.ID, fmt.Sprint(round), round))
		}))
	}
	all := read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.Receipt, error) {
		return tx.AccountReceipts(ctx, a.ID, portal.PageCursor{}, 100)
	})
	equal(t, "receipts", rounds, len(all))
}
