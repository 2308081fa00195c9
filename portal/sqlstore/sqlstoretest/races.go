package sqlstoretest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

var raceTests = map[string]func(*testing.T, portal.Store){
	"of many who take a time step one does":           raceTakeStep,
	"of many who use a link one does":                 raceUseLink,
	"of many who use a recovery code one does":        raceRecoveryCode,
	"of many who revoke an API token one does":        raceRevokeToken,
	"of many who end a challenge one does":            raceChallenge,
	"of many who want an address one gets it":         raceAddress,
	"many append to the audit log, and it is a chain": raceAudit,
	"no failure that many count is lost":              raceThrottle,
	"a mail is claimed by one of many":                raceClaim,
	"no event slips between a hold and a purge":       raceHold,
	"a crowd that guesses passwords gets through":     raceCrowd,
}

// Sizes of the races: enough that they meet, few enough for a small machine.
const (
	racers = 8
	rounds = 5
)

// race runs f at once for many, and gives their errors.
func race(t *testing.T, s portal.Store, f func(ctx context.Context, tx portal.Tx, racer int) error) []error {
	t.Helper()
	return raceOf(t, s, racers, f)
}

func raceOf(t *testing.T, s portal.Store, racers int, f func(ctx context.Context, tx portal.Tx, racer int) error) []error {
	t.Helper()
	errs := make([]error, racers)
	gate := make(chan struct{})
	var group sync.WaitGroup
	for racer := range racers {
		group.Go(func() {
			<-gate
			errs[racer] = s.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error { return f(ctx, tx, racer) })
		})
	}
	close(gate)
	group.Wait()
	return errs
}

// oneWins checks that one of a race got through, and all others got that answer.
func oneWins(t *testing.T, errs []error, losers error) {
	t.Helper()
	winners := 0
	for _, err := range errs {
		if err == nil {
			winners++
			continue
		}
		gives(t, "who lost", losers, err)
	}
	equal(t, "winners", 1, winners)
}

// allWin checks that everybody got through.
func allWin(t *testing.T, errs []error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Errorf("want everybody to get through: %v", err)
	}
}

func raceTakeStep(t *testing.T, s portal.Store) {
	a := account(t, s)
	confirmTOTP(t, s, putTOTP(t, s, newTOTP(a.ID, "it")), 100)
	for step := range int64(rounds) {
		oneWins(t, race(t, s, func(ctx context.Context, tx portal.Tx, _ int) error {
			// As a sign-in does it: the factor is read before.
			factor, err := tx.ConfirmedTOTP(ctx, a.ID)
			if err != nil {
				return err
			}
			return tx.TakeStep(ctx, factor.ID, 101+step)
		}), portal.ErrConflict)
	}
}

func raceUseLink(t *testing.T, s portal.Store) {
	a := account(t, s)
	for i := range rounds {
		link := newLink(a.ID, portal.PurposeReset, fmt.Sprint(i))
		write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.CreateLink(ctx, link) })
		oneWins(t, race(t, s, func(ctx context.Context, tx portal.Tx, _ int) error {
			if _, err := tx.Link(ctx, link.Digest); err != nil {
				return err
			}
			return tx.UseLink(ctx, link.Digest)
		}), portal.ErrNotFound)
	}
}

func raceRecoveryCode(t *testing.T, s portal.Store) {
	a := account(t, s)
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		return tx.PutRecoveryCodes(ctx, a.ID, codes("0", "1", "2", "3", "4"))
	})
	for i := range rounds {
		oneWins(t, race(t, s, func(ctx context.Context, tx portal.Tx, _ int) error {
			_, err := tx.UseRecoveryCode(ctx, a.ID, digest(fmt.Sprint(i)), start)
			return err
		}), portal.ErrNotFound)
		equal(t, "left", rounds-1-i, codesLeft(t, s, a.ID))
	}
}

func raceRevokeToken(t *testing.T, s portal.Store) {
	a := account(t, s)
	token := putToken(t, s, newToken(a.ID, "it", start))
	oneWins(t, race(t, s, func(ctx context.Context, tx portal.Tx, racer int) error {
		return tx.RevokeToken(ctx, a.ID, token.ID, minute(racer))
	}), portal.ErrNotFound)
}

func raceChallenge(t *testing.T, s portal.Store) {
	a := account(t, s)
	c := newChallenge(a.ID, "it")
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.CreateChallenge(ctx, c) })
	oneWins(t, race(t, s, func(ctx context.Context, tx portal.Tx, _ int) error {
		return tx.DeleteChallenge(ctx, c.Digest)
	}), portal.ErrNotFound)
}

func raceAddress(t *testing.T, s portal.Store) {
	for i := range rounds {
		email := portal.Email(fmt.Sprintf("wanted-%d@example.org", i))
		look := i%2 == 0 // Some look before they create, some don't.
		oneWins(t, race(t, s, func(ctx context.Context, tx portal.Tx, _ int) error {
			if look {
				if _, err := tx.AccountByEmail(ctx, email.Key()); !errors.Is(err, portal.ErrNotFound) {
					return portal.ErrConflict
				}
			}
			return tx.CreateAccount(ctx, portaltest.Account(portaltest.WithEmail(email)))
		}), portal.ErrConflict)
	}
}

func raceAudit(t *testing.T, s portal.Store) {
	for range rounds {
		allWin(t, race(t, s, func(ctx context.Context, tx portal.Tx, racer int) error {
			for range 2 {
				if _, err := tx.AppendAudit(ctx, portal.AuditEntry{Time: minute(racer), Action: portal.AuditViewMap}); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	log := auditLog(t, s, 0, 1000)
	equal(t, "rows", 2*racers*rounds, len(log))
	checkChain(t, log)
}

func raceThrottle(t *testing.T, s portal.Store) {
	for range rounds {
		allWin(t, race(t, s, func(ctx context.Context, tx portal.Tx, _ int) error {
			count, err := tx.Throttle(ctx, "key")
			if err != nil {
				return err
			}
			count.Failures++
			count.FirstAt, count.LastAt = start, start
			return tx.PutThrottle(ctx, count)
		}))
	}
	equal(t, "failures", racers*rounds, throttle(t, s, "key").Failures)
}

// raceCrowd is what an attack looks like to the store: many want the same rows, and each
// of them reads and writes several.
func raceCrowd(t *testing.T, s portal.Store) {
	const crowd = 150
	a := account(t, s)
	allWin(t, raceOf(t, s, crowd, func(ctx context.Context, tx portal.Tx, racer int) error {
		found, err := tx.AccountByEmail(ctx, a.EmailKey)
		if err != nil {
			return err
		}
		for _, key := range []string{"address", "network", fmt.Sprint("device ", racer%3)} {
			count, err := tx.Throttle(ctx, key)
			if err != nil {
				return err
			}
			count.Failures++
			count.FirstAt, count.LastAt = start, start
			if err := tx.PutThrottle(ctx, count); err != nil {
				return err
			}
		}
		return tx.AddEvent(ctx, newEvent(portal.EventID(fmt.Sprint(racer)), start, of(found.ID), kind(portal.EventSignInFailed)))
	}))
	equal(t, "failures", crowd, throttle(t, s, "address").Failures)
	equal(t, "events", crowd, len(findEvents(t, s, portal.EventFilter{}, portal.EventCursor{}, 2*crowd)))
}

func raceClaim(t *testing.T, s portal.Store) {
	a := account(t, s)
	want := []portal.MailID{}
	for i := range 2 * racers {
		id := portal.MailID(fmt.Sprintf("%02d", i))
		want = append(want, id)
		putMails(t, s, newMail(a.ID, id, minute(i)))
	}
	claimed := make([][]portal.Mail, racers)
	allWin(t, race(t, s, func(ctx context.Context, tx portal.Tx, racer int) error {
		mails, err := tx.ClaimMails(ctx, minute(100), minute(200), 2)
		claimed[racer] = mails
		return err
	}))
	got := []portal.MailID{}
	for _, mails := range claimed {
		got = append(got, ids(mails, func(m portal.Mail) portal.MailID { return m.ID })...)
	}
	slices.Sort(got)
	equal(t, "claimed", want, got)
}

func raceHold(t *testing.T, s portal.Store) {
	for i := range rounds {
		name := fmt.Sprint(i)
		putEvents(t, s, newEvent(portal.EventID(name+"-before"), minute(1), of(portal.AccountID(name))))
		allWin(t, race(t, s, func(ctx context.Context, tx portal.Tx, racer int) error {
			switch racer % 3 {
			case 0:
				return tx.AddEvent(ctx, newEvent(portal.EventID(fmt.Sprintf("%s-%d", name, racer)), minute(1), of(portal.AccountID(name))))
			case 1:
				_, err := tx.PurgeEvents(ctx, time.Time{}, 100) // It looks, and finds nothing that old.
				return err
			default:
				_, err := tx.PlaceHold(ctx, newHold(portal.HoldID(fmt.Sprintf("%s-%d", name, racer)), portal.EventFilter{Account: portal.AccountID(name)}))
				return err
			}
		}))
		of := portal.EventFilter{Account: portal.AccountID(name)}
		all := eventIDs(t, s, of)
		of.Held = true
		equal(t, "held", all, eventIDs(t, s, of))
		for racer := 2; racer < racers; racer += 3 {
			equal(t, "rows of a hold", len(all), hold(t, s, portal.HoldID(fmt.Sprintf("%s-%d", name, racer))).Rows)
		}
	}
}
