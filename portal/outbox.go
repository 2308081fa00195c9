package portal

import "time"

// MailKind is what a mail is about. The list is closed: nothing else is ever sent (P1).
type MailKind string

// Kinds of mails. All of them are about the account's security, or about what the person
// has running here; only those of OptionalMails can be switched off.
const (
	MailVerify            MailKind = "verify"             // Link
	MailAlreadyRegistered MailKind = "already-registered" // somebody signed up with an address that has an account
	MailResetPassword     MailKind = "reset-password"     // Link
	MailPasswordChanged   MailKind = "password-changed"
	MailConfirmNewEmail   MailKind = "confirm-new-email"  // Link; to the new address
	MailEmailChangeAsked  MailKind = "email-change-asked" // to the old address
	MailEmailChanged      MailKind = "email-changed"      // Link to undo; to the old address
	MailEmailChangedNew   MailKind = "email-changed-new"  // to the new address
	MailNewDevice         MailKind = "new-device"         // Browser, Country
	MailConfirmDevice     MailKind = "confirm-device"     // Link
	MailTOTPEnrolled      MailKind = "totp-enrolled"
	MailTOTPRemoved       MailKind = "totp-removed"
	MailRecoveryUsed      MailKind = "recovery-used" // Left
	MailRecoveryRenewed   MailKind = "recovery-renewed"
	MailTokenCreated      MailKind = "token-created" // Name
	MailManyFailures      MailKind = "many-failures" // at most one a day
	MailAccountDisabled   MailKind = "account-disabled"
	MailAccountEnabled    MailKind = "account-enabled"
	MailRoleChanged       MailKind = "role-changed" // Name: the new role

	// Of runs (Name, Link to the run; Text: the hint) and datasets (Name, Link, Until).
	MailRunStarted     MailKind = "run-started"     // optional
	MailRunFinished    MailKind = "run-finished"    // optional
	MailRunFailed      MailKind = "run-failed"      // optional; Text: what to do
	MailRunStopped     MailKind = "run-stopped"     // stopped by its own limits; Text: which
	MailDatasetExpires MailKind = "dataset-expires" // optional; Until
	MailDatasetErased  MailKind = "dataset-erased"  // Text: the receipt's digest
)

// OptionalMails are the kinds that a person may switch off.
func OptionalMails() []MailKind {
	return []MailKind{MailRunStarted, MailRunFinished, MailRunFailed, MailDatasetExpires}
}

// MailKinds are all of them.
func MailKinds() []MailKind {
	return []MailKind{
		MailVerify, MailAlreadyRegistered, MailResetPassword, MailPasswordChanged, MailConfirmNewEmail,
		MailEmailChangeAsked, MailEmailChanged, MailEmailChangedNew, MailNewDevice, MailConfirmDevice,
		MailTOTPEnrolled, MailTOTPRemoved, MailRecoveryUsed, MailRecoveryRenewed, MailTokenCreated,
		MailManyFailures, MailAccountDisabled, MailAccountEnabled, MailRoleChanged,
		MailRunStarted, MailRunFinished, MailRunFailed, MailRunStopped, MailDatasetExpires, MailDatasetErased,
	}
}

// MailData fills a mail in. Kinds use what their comment names, and Time.
type MailData struct {
	Time time.Time `json:"time"`
	// Link is a path and query on our own origin; the mail adapter puts the origin before it,
	// and keeps it sealed in the store.
	Link    string `json:"link,omitempty"`
	Browser string `json:"browser,omitempty"`
	Country string `json:"country,omitempty"`
	Name    string `json:"name,omitempty"`
	Left    int    `json:"left,omitempty"`
	// Text is more of what happened, in a sentence; it is the person's own to read.
	Text  string    `json:"text,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

// Mail is one in the outbox: written in the transaction of what it tells of, sent later.
type Mail struct {
	ID      MailID
	Account AccountID
	To      Email
	Kind    MailKind
	// Data is emptied when the mail is sent: links are secrets.
	Data      MailData
	CreatedAt time.Time
	// DueAt is when it is tried next.
	DueAt    time.Time
	Attempts int
	// SentAt is zero until the mail server has taken it.
	SentAt time.Time
	// GivenUpAt is not zero when it is not tried any more.
	GivenUpAt time.Time
}

// MailRetention is how long rows of mails are kept that were sent or given up, and notices
// of what is gone.
const MailRetention = 7 * 24 * time.Hour
