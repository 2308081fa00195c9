package portal

import (
	"context"
	"time"
)

// Store keeps the domain. Two implementations pass one suite: SQLite and PostgreSQL.
//
// Methods of a Tx give ErrNotFound for what is not there, and ErrConflict for a unique
// value that is taken or a compare-and-set that did not match. Lists are never nil-checked:
// none is an empty list. Times come back in UTC, in microseconds.
type Store interface {
	// Write runs f in a transaction that is as if alone in the world, and commits when f
	// returns nil. f may run more than once, so it changes nothing but the Tx and what it
	// assigns whole. f's own error comes back unchanged.
	Write(ctx context.Context, f func(context.Context, Tx) error) error
	// Read is the same for a snapshot in which nothing can be changed.
	Read(ctx context.Context, f func(context.Context, Tx) error) error
	// Ping reports whether the store answers and its schema is this program's.
	Ping(ctx context.Context) error
}

// Tx is all that can be read and changed in one transaction.
type Tx interface {
	Accounts
	Sessions
	Factors
	Links
	Tokens
	Throttles
	Events
	Holds
	Audit
	Outbox
	Tenants
	Datasets
	Files
	Runs
	Receipts
	Notices
}

// Accounts keeps accounts.
type Accounts interface {
	// CreateAccount gives ErrConflict when the address is another account's.
	CreateAccount(ctx context.Context, a Account) error
	Account(ctx context.Context, id AccountID) (Account, error)
	AccountByEmail(ctx context.Context, key string) (Account, error)
	// UpdateAccount writes all fields but ID and CreatedAt.
	UpdateAccount(ctx context.Context, a Account) error
	// FindAccounts gives at most limit accounts whose EmailKey begins with prefix or whose
	// ID is prefix, in the order of EmailKey.
	FindAccounts(ctx context.Context, prefix string, limit int) ([]Account, error)
}

// Sessions keeps sessions, challenges and known devices.
type Sessions interface {
	CreateSession(ctx context.Context, s Session) error
	SessionByDigest(ctx context.Context, d Digest) (Session, error)
	// UpdateSession writes all fields but ID, Account and CreatedAt; a new Digest is a
	// rotation.
	UpdateSession(ctx context.Context, s Session) error
	// AccountSessions are an account's, newest first.
	AccountSessions(ctx context.Context, a AccountID) ([]Session, error)
	// DeleteSession gives ErrNotFound when it is not that account's.
	DeleteSession(ctx context.Context, a AccountID, id SessionID) error
	// DeleteSessions removes all of an account's sessions but one ("" for none), and its
	// challenges.
	DeleteSessions(ctx context.Context, a AccountID, except SessionID) error

	CreateChallenge(ctx context.Context, c Challenge) error
	Challenge(ctx context.Context, d Digest) (Challenge, error)
	UpdateChallengeTries(ctx context.Context, d Digest, tries int) error
	DeleteChallenge(ctx context.Context, d Digest) error

	// PutDevice creates a device or moves its LastSeen. A device's key is digest and account.
	PutDevice(ctx context.Context, d Device) error
	Device(ctx context.Context, a AccountID, d Digest) (Device, error)
	// DeleteDevices forgets all devices of an account.
	DeleteDevices(ctx context.Context, a AccountID) error

	// PurgeSessions removes sessions and challenges that ended before now, and devices not
	// seen for DeviceLife; it gives the number of rows.
	PurgeSessions(ctx context.Context, now time.Time) (int, error)
}

// Factors keeps second factors.
type Factors interface {
	// PutPendingTOTP replaces the account's seed that waits to be confirmed.
	PutPendingTOTP(ctx context.Context, t TOTP) error
	// PendingTOTP and ConfirmedTOTP give the account's seed of that state.
	PendingTOTP(ctx context.Context, a AccountID) (TOTP, error)
	ConfirmedTOTP(ctx context.Context, a AccountID) (TOTP, error)
	// ConfirmTOTP makes a pending seed the confirmed one, in the place of an older one.
	ConfirmTOTP(ctx context.Context, id FactorID, step int64, at time.Time) error
	// TakeStep moves LastStep forward; ErrConflict when it already is step or more.
	TakeStep(ctx context.Context, id FactorID, step int64) error
	// DeleteTOTP removes all seeds of the account.
	DeleteTOTP(ctx context.Context, a AccountID) error
	// EachTOTP gives all seeds, and ReplaceSeed writes one sealed under another key; for the
	// rotation of keys.
	EachTOTP(ctx context.Context, f func(TOTP) error) error
	ReplaceSeed(ctx context.Context, id FactorID, seed Sealed) error

	// PutRecoveryCodes replaces all codes of the account.
	PutRecoveryCodes(ctx context.Context, a AccountID, codes []Digest) error
	// UseRecoveryCode marks one used and gives how many are left; ErrNotFound when the
	// account has no such unused code.
	UseRecoveryCode(ctx context.Context, a AccountID, code Digest, at time.Time) (int, error)
	// RecoveryCodesLeft counts the unused ones.
	RecoveryCodesLeft(ctx context.Context, a AccountID) (int, error)
}

// Links keeps emailed links.
type Links interface {
	CreateLink(ctx context.Context, l Link) error
	// Link gives one that has not been used, whether or not it has expired.
	Link(ctx context.Context, d Digest) (Link, error)
	// UseLink removes it; ErrNotFound when somebody was faster.
	UseLink(ctx context.Context, d Digest) error
	// DeleteLinks removes all of an account's links of a purpose.
	DeleteLinks(ctx context.Context, a AccountID, p Purpose) error
	PurgeLinks(ctx context.Context, now time.Time) (int, error)
}

// Tokens keeps API tokens.
type Tokens interface {
	CreateToken(ctx context.Context, t APIToken) error
	TokenByDigest(ctx context.Context, d Digest) (APIToken, error)
	// AccountTokens are those that are not revoked, newest first, expired ones among them.
	AccountTokens(ctx context.Context, a AccountID) ([]APIToken, error)
	// RevokeToken gives ErrNotFound when it is not that account's or is revoked already.
	RevokeToken(ctx context.Context, a AccountID, id TokenID, at time.Time) error
	TouchToken(ctx context.Context, id TokenID, at time.Time) error
}

// Throttles keeps counts of failures.
type Throttles interface {
	// Throttle gives the zero count with that key when there is none.
	Throttle(ctx context.Context, key string) (Throttle, error)
	PutThrottle(ctx context.Context, t Throttle) error
	DeleteThrottle(ctx context.Context, key string) error
	// PurgeThrottles removes those that last counted before a time.
	PurgeThrottles(ctx context.Context, before time.Time) (int, error)
}

// Events keeps security events.
type Events interface {
	// AddEvent also binds the event to the holds that match it.
	AddEvent(ctx context.Context, e Event) error
	// FindEvents gives at most limit events, newest first, after the cursor (zero: from the
	// newest).
	FindEvents(ctx context.Context, f EventFilter, after EventCursor, limit int) ([]Event, error)
	// SignInsByCountry counts events of kinds sign-in and sign-in-failed, most first.
	SignInsByCountry(ctx context.Context, from, to time.Time) ([]CountryCount, error)
	// FailuresByNetwork gives networks with at least that many failed sign-ins, most first.
	FailuresByNetwork(ctx context.Context, from, to time.Time, atLeast, limit int) ([]NetworkFailures, error)
	// PurgeEvents removes at most limit events older than before that no hold keeps.
	PurgeEvents(ctx context.Context, before time.Time, limit int) (int, error)
	// OldestUnheldEvent is the time of the oldest event that no hold keeps; ErrNotFound
	// for none.
	OldestUnheldEvent(ctx context.Context) (time.Time, error)
}

// Holds keeps holds.
type Holds interface {
	// PlaceHold also binds the events that match, and gives how many.
	PlaceHold(ctx context.Context, h Hold) (int, error)
	// ReleaseHold unbinds its events; ErrNotFound for none that holds.
	ReleaseHold(ctx context.Context, id HoldID, by AccountID, at time.Time) error
	Hold(ctx context.Context, id HoldID) (Hold, error)
	// AllHolds are those that hold, by review date, and then the released ones.
	AllHolds(ctx context.Context) ([]Hold, error)
}

// Audit keeps the audit log. There is no way to change or remove a row, in the database
// neither (triggers).
type Audit interface {
	// AppendAudit sets Seq, Prev and Hash, and gives the row as kept.
	AppendAudit(ctx context.Context, e AuditEntry) (AuditEntry, error)
	// AuditLog gives at most limit rows with Seq below before (0: from the newest), newest
	// first.
	AuditLog(ctx context.Context, before int64, limit int) ([]AuditEntry, error)
}

// Outbox keeps mails until they are sent.
type Outbox interface {
	AddMail(ctx context.Context, m Mail) error
	// ClaimMails gives at most limit mails that are due, oldest first, and makes them due
	// again at until: who sends them has that long. A process that dies in between thus
	// sends one mail twice at most.
	ClaimMails(ctx context.Context, now, until time.Time, limit int) ([]Mail, error)
	// MailSent empties the mail's data; MailFailed counts an attempt, and gives it up when
	// next is zero.
	MailSent(ctx context.Context, id MailID, at time.Time) error
	MailFailed(ctx context.Context, id MailID, at, next time.Time) error
	// PurgeMails removes rows sent or given up before a time.
	PurgeMails(ctx context.Context, before time.Time) (int, error)
	// OldestDueMail is the DueAt of the oldest mail that waits; ErrNotFound for none.
	OldestDueMail(ctx context.Context) (time.Time, error)
	// LastMail is when a mail of that kind was last added for an account; ErrNotFound for
	// never in MailRetention.
	LastMail(ctx context.Context, a AccountID, kind MailKind) (time.Time, error)
}

// Tenants keeps what accounts have in the cluster.
type Tenants interface {
	// CreateTenant gives ErrConflict when the account has one, or the namespace is taken.
	CreateTenant(ctx context.Context, t Tenant) error
	Tenant(ctx context.Context, a AccountID) (Tenant, error)
	TenantByNamespace(ctx context.Context, namespace string) (Tenant, error)
	// TenantReady sets ReadyAt, once.
	TenantReady(ctx context.Context, namespace string, at time.Time) error
	// EachTenant gives all of them, in the order of their namespaces.
	EachTenant(ctx context.Context, f func(Tenant) error) error
}

// Datasets keeps datasets; their rows stay when the data has gone.
type Datasets interface {
	// CreateDataset gives ErrConflict for an ID that is there.
	CreateDataset(ctx context.Context, d Dataset) error
	// Dataset gives ErrNotFound when it is not that account's.
	Dataset(ctx context.Context, a AccountID, id DatasetID) (Dataset, error)
	// DatasetByObject finds it by its place in the cluster.
	DatasetByObject(ctx context.Context, namespace string, id DatasetID) (Dataset, error)
	// UpdateDataset writes all but ID, Account, Namespace and CreatedAt, and counts
	// Revision; ErrConflict when Revision is not the one that is kept. With ErasedAt the
	// dataset's Files go too: paths don't outlive the data.
	UpdateDataset(ctx context.Context, d Dataset) error
	// AccountDatasets gives at most limit of an account's, newest first, after the cursor
	// (zero: from the newest); erased ones too only when asked for.
	AccountDatasets(ctx context.Context, a AccountID, erased bool, after PageCursor, limit int) ([]Dataset, error)
	// UnsettledDatasets gives at most limit for which the cluster may still have to be
	// asked, oldest wish first, after the cursor (WishedAt and ID; zero: from the oldest): not erased, and either without a UID, or wished sealed or
	// erased since a time and not yet seen so.
	UnsettledDatasets(ctx context.Context, after PageCursor, limit int) ([]Dataset, error)
	// LiveDatasets gives at most limit of all accounts' that are not erased, in the order
	// of their IDs, after one ("" for the first).
	LiveDatasets(ctx context.Context, after DatasetID, limit int) ([]Dataset, error)
}

// Files keeps the files of datasets that are being uploaded.
type Files interface {
	// PutFile creates or replaces it by dataset and path.
	PutFile(ctx context.Context, f File) error
	File(ctx context.Context, d DatasetID, path string) (File, error)
	// Files gives at most limit in ascending byte order of the paths, after one ("" for the
	// first).
	Files(ctx context.Context, d DatasetID, after string, limit int) ([]File, error)
	CountFiles(ctx context.Context, d DatasetID) (FileCount, error)
	// DeleteFile gives ErrNotFound for none.
	DeleteFile(ctx context.Context, d DatasetID, path string) error
	// DeleteFiles removes all of a dataset.
	DeleteFiles(ctx context.Context, d DatasetID) error
}

// Runs keeps runs; their rows stay when the cluster's objects have gone.
type Runs interface {
	// CreateRun gives ErrConflict for an ID that is there: Start Run happened already.
	CreateRun(ctx context.Context, r Run) error
	// Run gives ErrNotFound when it is not that account's.
	Run(ctx context.Context, a AccountID, id RunID) (Run, error)
	// RunByObject finds it by its place in the cluster.
	RunByObject(ctx context.Context, namespace string, id RunID) (Run, error)
	// UpdateRun writes all but ID, Account, Namespace, Dataset, Spec and CreatedAt, and
	// counts Revision; ErrConflict when Revision is not the one that is kept.
	UpdateRun(ctx context.Context, r Run) error
	// AccountRuns gives at most limit of an account's, newest first, after the cursor.
	// Those that were refused or are gone by the person's wish are left out.
	AccountRuns(ctx context.Context, a AccountID, f RunFilter, after PageCursor, limit int) ([]Run, error)
	// UnsettledRuns gives at most limit for which the cluster may still have to be asked,
	// oldest wish first: not gone, not refused, and either without a UID, or with a wish
	// other than WishRun that is not yet seen so, or wished to run and seen suspended.
	UnsettledRuns(ctx context.Context, limit int) ([]Run, error)
	// LiveRuns gives at most limit of all accounts' that are not gone and not refused, in
	// the order of their IDs, after one ("" for the first).
	LiveRuns(ctx context.Context, after RunID, limit int) ([]Run, error)

	// DraftRun gives the ID under which the account's next run will be started: every form
	// that is open in any tab has the same. id is kept when there is none yet.
	DraftRun(ctx context.Context, a AccountID, id RunID) (RunID, error)
	// UseDraft removes it; ErrConflict when it is not the account's draft any more.
	UseDraft(ctx context.Context, a AccountID, id RunID) error
}

// Receipts keeps the records of erases.
type Receipts interface {
	// PutReceipt keeps it; one that is there already (by UID) stays as it is.
	PutReceipt(ctx context.Context, r Receipt) error
	// Receipt gives ErrNotFound when it is not that account's.
	Receipt(ctx context.Context, a AccountID, uid string) (Receipt, error)
	// AccountReceipts gives at most limit, newest first, after the cursor (its ID is a UID).
	AccountReceipts(ctx context.Context, a AccountID, after PageCursor, limit int) ([]Receipt, error)
}

// Notices keeps which mails went out for what, and which kinds a person does not want.
type Notices interface {
	// TakeNotice gives ErrConflict when that kind was taken for that subject (a run's or a
	// dataset's ID) before: whoever takes it sends the mail, in the same transaction.
	TakeNotice(ctx context.Context, subject string, kind MailKind, at time.Time) error
	// DropNotices forgets those of a subject and kind, so that it may be told again.
	DropNotices(ctx context.Context, subject string, kind MailKind) error
	// PurgeNotices removes those that were taken before a time for runs and datasets that
	// are gone, and gives the number of rows.
	PurgeNotices(ctx context.Context, before time.Time) (int, error)
	// UnwantedMails are the optional kinds that the account has switched off.
	UnwantedMails(ctx context.Context, a AccountID) ([]MailKind, error)
	// SetUnwantedMails replaces them.
	SetUnwantedMails(ctx context.Context, a AccountID, kinds []MailKind) error
}
