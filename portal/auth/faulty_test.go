package auth

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

var errStore = errors.New("the store has failed")

// faulty is a store that counts, and fails when it is told to.
type faulty struct {
	portal.Store
	writes, reads atomic.Int64
	mutex         sync.Mutex
	// failAt is which call of a transaction's method fails; 0 for none.
	failAt, calls int
	// failed names the one that did.
	failed string
}

func (f *faulty) Write(ctx context.Context, do func(context.Context, portal.Tx) error) error {
	f.writes.Add(1)
	return f.Store.Write(ctx, func(ctx context.Context, tx portal.Tx) error { return do(ctx, &faultyTx{tx, f}) })
}

func (f *faulty) Read(ctx context.Context, do func(context.Context, portal.Tx) error) error {
	f.reads.Add(1)
	return f.Store.Read(ctx, func(ctx context.Context, tx portal.Tx) error { return do(ctx, &faultyTx{tx, f}) })
}

// fail makes the n-th call from now on fail.
func (f *faulty) fail(n int) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.failAt, f.calls, f.failed = n, 0, ""
}

func (f *faulty) call(name string) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.calls++
	if f.calls == f.failAt {
		f.failed = name
		return errStore
	}
	return nil
}

type faultyTx struct {
	portal.Tx
	store *faulty
}

var _ portal.Tx = (*faultyTx)(nil)

func (f *faultyTx) CreateAccount(ctx context.Context, a portal.Account) error {
	if err := f.store.call("CreateAccount"); err != nil {
		return err
	}
	return f.Tx.CreateAccount(ctx, a)
}

func (f *faultyTx) Account(ctx context.Context, id portal.AccountID) (portal.Account, error) {
	if err := f.store.call("Account"); err != nil {
		var none portal.Account
		return none, err
	}
	return f.Tx.Account(ctx, id)
}

func (f *faultyTx) AccountByEmail(ctx context.Context, key string) (portal.Account, error) {
	if err := f.store.call("AccountByEmail"); err != nil {
		var none portal.Account
		return none, err
	}
	return f.Tx.AccountByEmail(ctx, key)
}

func (f *faultyTx) UpdateAccount(ctx context.Context, a portal.Account) error {
	if err := f.store.call("UpdateAccount"); err != nil {
		return err
	}
	return f.Tx.UpdateAccount(ctx, a)
}

func (f *faultyTx) FindAccounts(ctx context.Context, prefix string, limit int) ([]portal.Account, error) {
	if err := f.store.call("FindAccounts"); err != nil {
		var none []portal.Account
		return none, err
	}
	return f.Tx.FindAccounts(ctx, prefix, limit)
}

func (f *faultyTx) CreateSession(ctx context.Context, s portal.Session) error {
	if err := f.store.call("CreateSession"); err != nil {
		return err
	}
	return f.Tx.CreateSession(ctx, s)
}

func (f *faultyTx) SessionByDigest(ctx context.Context, d portal.Digest) (portal.Session, error) {
	if err := f.store.call("SessionByDigest"); err != nil {
		var none portal.Session
		return none, err
	}
	return f.Tx.SessionByDigest(ctx, d)
}

func (f *faultyTx) UpdateSession(ctx context.Context, s portal.Session) error {
	if err := f.store.call("UpdateSession"); err != nil {
		return err
	}
	return f.Tx.UpdateSession(ctx, s)
}

func (f *faultyTx) AccountSessions(ctx context.Context, a portal.AccountID) ([]portal.Session, error) {
	if err := f.store.call("AccountSessions"); err != nil {
		var none []portal.Session
		return none, err
	}
	return f.Tx.AccountSessions(ctx, a)
}

func (f *faultyTx) DeleteSession(ctx context.Context, a portal.AccountID, id portal.SessionID) error {
	if err := f.store.call("DeleteSession"); err != nil {
		return err
	}
	return f.Tx.DeleteSession(ctx, a, id)
}

func (f *faultyTx) DeleteSessions(ctx context.Context, a portal.AccountID, except portal.SessionID) error {
	if err := f.store.call("DeleteSessions"); err != nil {
		return err
	}
	return f.Tx.DeleteSessions(ctx, a, except)
}

func (f *faultyTx) CreateChallenge(ctx context.Context, c portal.Challenge) error {
	if err := f.store.call("CreateChallenge"); err != nil {
		return err
	}
	return f.Tx.CreateChallenge(ctx, c)
}

func (f *faultyTx) Challenge(ctx context.Context, d portal.Digest) (portal.Challenge, error) {
	if err := f.store.call("Challenge"); err != nil {
		var none portal.Challenge
		return none, err
	}
	return f.Tx.Challenge(ctx, d)
}

func (f *faultyTx) UpdateChallengeTries(ctx context.Context, d portal.Digest, tries int) error {
	if err := f.store.call("UpdateChallengeTries"); err != nil {
		return err
	}
	return f.Tx.UpdateChallengeTries(ctx, d, tries)
}

func (f *faultyTx) DeleteChallenge(ctx context.Context, d portal.Digest) error {
	if err := f.store.call("DeleteChallenge"); err != nil {
		return err
	}
	return f.Tx.DeleteChallenge(ctx, d)
}

func (f *faultyTx) PutDevice(ctx context.Context, d portal.Device) error {
	if err := f.store.call("PutDevice"); err != nil {
		return err
	}
	return f.Tx.PutDevice(ctx, d)
}

func (f *faultyTx) Device(ctx context.Context, a portal.AccountID, d portal.Digest) (portal.Device, error) {
	if err := f.store.call("Device"); err != nil {
		var none portal.Device
		return none, err
	}
	return f.Tx.Device(ctx, a, d)
}

func (f *faultyTx) DeleteDevices(ctx context.Context, a portal.AccountID) error {
	if err := f.store.call("DeleteDevices"); err != nil {
		return err
	}
	return f.Tx.DeleteDevices(ctx, a)
}

func (f *faultyTx) PurgeSessions(ctx context.Context, now time.Time) (int, error) {
	if err := f.store.call("PurgeSessions"); err != nil {
		var none int
		return none, err
	}
	return f.Tx.PurgeSessions(ctx, now)
}

func (f *faultyTx) PutPendingTOTP(ctx context.Context, t portal.TOTP) error {
	if err := f.store.call("PutPendingTOTP"); err != nil {
		return err
	}
	return f.Tx.PutPendingTOTP(ctx, t)
}

func (f *faultyTx) PendingTOTP(ctx context.Context, a portal.AccountID) (portal.TOTP, error) {
	if err := f.store.call("PendingTOTP"); err != nil {
		var none portal.TOTP
		return none, err
	}
	return f.Tx.PendingTOTP(ctx, a)
}

func (f *faultyTx) ConfirmedTOTP(ctx context.Context, a portal.AccountID) (portal.TOTP, error) {
	if err := f.store.call("ConfirmedTOTP"); err != nil {
		var none portal.TOTP
		return none, err
	}
	return f.Tx.ConfirmedTOTP(ctx, a)
}

func (f *faultyTx) ConfirmTOTP(ctx context.Context, id portal.FactorID, step int64, at time.Time) error {
	if err := f.store.call("ConfirmTOTP"); err != nil {
		return err
	}
	return f.Tx.ConfirmTOTP(ctx, id, step, at)
}

func (f *faultyTx) TakeStep(ctx context.Context, id portal.FactorID, step int64) error {
	if err := f.store.call("TakeStep"); err != nil {
		return err
	}
	return f.Tx.TakeStep(ctx, id, step)
}

func (f *faultyTx) DeleteTOTP(ctx context.Context, a portal.AccountID) error {
	if err := f.store.call("DeleteTOTP"); err != nil {
		return err
	}
	return f.Tx.DeleteTOTP(ctx, a)
}

func (f *faultyTx) EachTOTP(ctx context.Context, each func(portal.TOTP) error) error {
	if err := f.store.call("EachTOTP"); err != nil {
		return err
	}
	return f.Tx.EachTOTP(ctx, each)
}

func (f *faultyTx) ReplaceSeed(ctx context.Context, id portal.FactorID, seed portal.Sealed) error {
	if err := f.store.call("ReplaceSeed"); err != nil {
		return err
	}
	return f.Tx.ReplaceSeed(ctx, id, seed)
}

func (f *faultyTx) PutRecoveryCodes(ctx context.Context, a portal.AccountID, codes []portal.Digest) error {
	if err := f.store.call("PutRecoveryCodes"); err != nil {
		return err
	}
	return f.Tx.PutRecoveryCodes(ctx, a, codes)
}

func (f *faultyTx) UseRecoveryCode(ctx context.Context, a portal.AccountID, code portal.Digest, at time.Time) (int, error) {
	if err := f.store.call("UseRecoveryCode"); err != nil {
		var none int
		return none, err
	}
	return f.Tx.UseRecoveryCode(ctx, a, code, at)
}

func (f *faultyTx) RecoveryCodesLeft(ctx context.Context, a portal.AccountID) (int, error) {
	if err := f.store.call("RecoveryCodesLeft"); err != nil {
		var none int
		return none, err
	}
	return f.Tx.RecoveryCodesLeft(ctx, a)
}

func (f *faultyTx) CreateLink(ctx context.Context, l portal.Link) error {
	if err := f.store.call("CreateLink"); err != nil {
		return err
	}
	return f.Tx.CreateLink(ctx, l)
}

func (f *faultyTx) Link(ctx context.Context, d portal.Digest) (portal.Link, error) {
	if err := f.store.call("Link"); err != nil {
		var none portal.Link
		return none, err
	}
	return f.Tx.Link(ctx, d)
}

func (f *faultyTx) UseLink(ctx context.Context, d portal.Digest) error {
	if err := f.store.call("UseLink"); err != nil {
		return err
	}
	return f.Tx.UseLink(ctx, d)
}

func (f *faultyTx) DeleteLinks(ctx context.Context, a portal.AccountID, p portal.Purpose) error {
	if err := f.store.call("DeleteLinks"); err != nil {
		return err
	}
	return f.Tx.DeleteLinks(ctx, a, p)
}

func (f *faultyTx) PurgeLinks(ctx context.Context, now time.Time) (int, error) {
	if err := f.store.call("PurgeLinks"); err != nil {
		var none int
		return none, err
	}
	return f.Tx.PurgeLinks(ctx, now)
}

func (f *faultyTx) CreateToken(ctx context.Context, t portal.APIToken) error {
	if err := f.store.call("CreateToken"); err != nil {
		return err
	}
	return f.Tx.CreateToken(ctx, t)
}

func (f *faultyTx) TokenByDigest(ctx context.Context, d portal.Digest) (portal.APIToken, error) {
	if err := f.store.call("TokenByDigest"); err != nil {
		var none portal.APIToken
		return none, err
	}
	return f.Tx.TokenByDigest(ctx, d)
}

func (f *faultyTx) AccountTokens(ctx context.Context, a portal.AccountID) ([]portal.APIToken, error) {
	if err := f.store.call("AccountTokens"); err != nil {
		var none []portal.APIToken
		return none, err
	}
	return f.Tx.AccountTokens(ctx, a)
}

func (f *faultyTx) RevokeToken(ctx context.Context, a portal.AccountID, id portal.TokenID, at time.Time) error {
	if err := f.store.call("RevokeToken"); err != nil {
		return err
	}
	return f.Tx.RevokeToken(ctx, a, id, at)
}

func (f *faultyTx) TouchToken(ctx context.Context, id portal.TokenID, at time.Time) error {
	if err := f.store.call("TouchToken"); err != nil {
		return err
	}
	return f.Tx.TouchToken(ctx, id, at)
}

func (f *faultyTx) Throttle(ctx context.Context, key string) (portal.Throttle, error) {
	if err := f.store.call("Throttle"); err != nil {
		var none portal.Throttle
		return none, err
	}
	return f.Tx.Throttle(ctx, key)
}

func (f *faultyTx) PutThrottle(ctx context.Context, t portal.Throttle) error {
	if err := f.store.call("PutThrottle"); err != nil {
		return err
	}
	return f.Tx.PutThrottle(ctx, t)
}

func (f *faultyTx) DeleteThrottle(ctx context.Context, key string) error {
	if err := f.store.call("DeleteThrottle"); err != nil {
		return err
	}
	return f.Tx.DeleteThrottle(ctx, key)
}

func (f *faultyTx) PurgeThrottles(ctx context.Context, before time.Time) (int, error) {
	if err := f.store.call("PurgeThrottles"); err != nil {
		var none int
		return none, err
	}
	return f.Tx.PurgeThrottles(ctx, before)
}

func (f *faultyTx) AddEvent(ctx context.Context, e portal.Event) error {
	if err := f.store.call("AddEvent"); err != nil {
		return err
	}
	return f.Tx.AddEvent(ctx, e)
}

func (f *faultyTx) FindEvents(ctx context.Context, filter portal.EventFilter, after portal.EventCursor, limit int) ([]portal.Event, error) {
	if err := f.store.call("FindEvents"); err != nil {
		var none []portal.Event
		return none, err
	}
	return f.Tx.FindEvents(ctx, filter, after, limit)
}

func (f *faultyTx) SignInsByCountry(ctx context.Context, from, to time.Time) ([]portal.CountryCount, error) {
	if err := f.store.call("SignInsByCountry"); err != nil {
		var none []portal.CountryCount
		return none, err
	}
	return f.Tx.SignInsByCountry(ctx, from, to)
}

func (f *faultyTx) FailuresByNetwork(ctx context.Context, from, to time.Time, atLeast, limit int) ([]portal.NetworkFailures, error) {
	if err := f.store.call("FailuresByNetwork"); err != nil {
		var none []portal.NetworkFailures
		return none, err
	}
	return f.Tx.FailuresByNetwork(ctx, from, to, atLeast, limit)
}

func (f *faultyTx) PurgeEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := f.store.call("PurgeEvents"); err != nil {
		var none int
		return none, err
	}
	return f.Tx.PurgeEvents(ctx, before, limit)
}

func (f *faultyTx) OldestUnheldEvent(ctx context.Context) (time.Time, error) {
	if err := f.store.call("OldestUnheldEvent"); err != nil {
		var none time.Time
		return none, err
	}
	return f.Tx.OldestUnheldEvent(ctx)
}

func (f *faultyTx) PlaceHold(ctx context.Context, h portal.Hold) (int, error) {
	if err := f.store.call("PlaceHold"); err != nil {
		var none int
		return none, err
	}
	return f.Tx.PlaceHold(ctx, h)
}

func (f *faultyTx) ReleaseHold(ctx context.Context, id portal.HoldID, by portal.AccountID, at time.Time) error {
	if err := f.store.call("ReleaseHold"); err != nil {
		return err
	}
	return f.Tx.ReleaseHold(ctx, id, by, at)
}

func (f *faultyTx) Hold(ctx context.Context, id portal.HoldID) (portal.Hold, error) {
	if err := f.store.call("Hold"); err != nil {
		var none portal.Hold
		return none, err
	}
	return f.Tx.Hold(ctx, id)
}

func (f *faultyTx) AllHolds(ctx context.Context) ([]portal.Hold, error) {
	if err := f.store.call("AllHolds"); err != nil {
		var none []portal.Hold
		return none, err
	}
	return f.Tx.AllHolds(ctx)
}

func (f *faultyTx) AppendAudit(ctx context.Context, e portal.AuditEntry) (portal.AuditEntry, error) {
	if err := f.store.call("AppendAudit"); err != nil {
		var none portal.AuditEntry
		return none, err
	}
	return f.Tx.AppendAudit(ctx, e)
}

func (f *faultyTx) AuditLog(ctx context.Context, before int64, limit int) ([]portal.AuditEntry, error) {
	if err := f.store.call("AuditLog"); err != nil {
		var none []portal.AuditEntry
		return none, err
	}
	return f.Tx.AuditLog(ctx, before, limit)
}

func (f *faultyTx) AddMail(ctx context.Context, m portal.Mail) error {
	if err := f.store.call("AddMail"); err != nil {
		return err
	}
	return f.Tx.AddMail(ctx, m)
}

func (f *faultyTx) ClaimMails(ctx context.Context, now, until time.Time, limit int) ([]portal.Mail, error) {
	if err := f.store.call("ClaimMails"); err != nil {
		var none []portal.Mail
		return none, err
	}
	return f.Tx.ClaimMails(ctx, now, until, limit)
}

func (f *faultyTx) MailSent(ctx context.Context, id portal.MailID, at time.Time) error {
	if err := f.store.call("MailSent"); err != nil {
		return err
	}
	return f.Tx.MailSent(ctx, id, at)
}

func (f *faultyTx) MailFailed(ctx context.Context, id portal.MailID, at, next time.Time) error {
	if err := f.store.call("MailFailed"); err != nil {
		return err
	}
	return f.Tx.MailFailed(ctx, id, at, next)
}

func (f *faultyTx) PurgeMails(ctx context.Context, before time.Time) (int, error) {
	if err := f.store.call("PurgeMails"); err != nil {
		var none int
		return none, err
	}
	return f.Tx.PurgeMails(ctx, before)
}

func (f *faultyTx) OldestDueMail(ctx context.Context) (time.Time, error) {
	if err := f.store.call("OldestDueMail"); err != nil {
		var none time.Time
		return none, err
	}
	return f.Tx.OldestDueMail(ctx)
}

func (f *faultyTx) LastMail(ctx context.Context, a portal.AccountID, kind portal.MailKind) (time.Time, error) {
	if err := f.store.call("LastMail"); err != nil {
		var none time.Time
		return none, err
	}
	return f.Tx.LastMail(ctx, a, kind)
}
