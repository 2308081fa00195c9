package portal

import (
	"net/netip"
	"time"
)

// AccountSummary is an account as staff see it: personal data masked.
type AccountSummary struct {
	ID           AccountID
	Email        string // masked
	Role         Role
	Verified     bool
	SecondFactor bool
	CreatedAt    time.Time
	DisabledAt   time.Time
}

// AccountView is one account, opened by staff.
type AccountView struct {
	AccountSummary
	PasswordChangedAt time.Time
	RecoveryCodesLeft int
	Sessions          []Session
	Tokens            []APIToken
	// Events are the newest, for who has PermitEvents; else empty.
	Events []Event
}

// FlagKind is what looks wrong.
type FlagKind string

// Flags.
const (
	// FlagImpossibleTravel: one account signed in from two countries that are too far apart
	// for the time between.
	FlagImpossibleTravel FlagKind = "impossible-travel"
	// FlagCredentialStuffing: one network failed to sign in with many addresses.
	FlagCredentialStuffing FlagKind = "credential-stuffing"
)

// Flag is something that a person should look at.
type Flag struct {
	Kind FlagKind
	// Account and Countries are for impossible travel: from, to.
	Account   AccountID
	Countries [2]string
	// Network, Failures and Accounts are for credential stuffing.
	Network            netip.Prefix
	Failures, Accounts int
	From, To           time.Time
}

// AuditReport is what a check of the audit log's chain found.
type AuditReport struct {
	Rows int64
	// Head is the hash of the newest row, to be kept somewhere else.
	Head Digest
	// BrokenAt is the first row that does not follow the one before; 0 for none.
	BrokenAt int64
}
