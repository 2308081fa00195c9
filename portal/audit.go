package portal

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"
)

// AuditAction is what one of the staff did.
type AuditAction string

// Audit actions.
const (
	AuditSearchAccounts AuditAction = "search-accounts"
	AuditViewAccount    AuditAction = "view-account"
	AuditReveal         AuditAction = "reveal-address"
	AuditSearchEvents   AuditAction = "search-events"
	AuditViewMap        AuditAction = "view-sign-in-map"
	AuditViewFlags      AuditAction = "view-flags"
	AuditPlaceHold      AuditAction = "place-hold"
	AuditReleaseHold    AuditAction = "release-hold"
	AuditViewHolds      AuditAction = "view-holds"
	AuditDisable        AuditAction = "disable-account"
	AuditEnable         AuditAction = "enable-account"
	AuditEndSessions    AuditAction = "end-sessions"
	AuditSetRole        AuditAction = "set-role"
	AuditViewAudit      AuditAction = "view-audit"
	// AuditCommand is something done by a command on the server, such as making the first
	// admin: it has no actor.
	AuditCommand AuditAction = "command"
)

// AuditEntry is one row of the audit log: append-only, each with the hash of the one
// before, so that a row that was changed or taken away shows.
type AuditEntry struct {
	// Seq counts from 1 without a gap.
	Seq   int64     `json:"seq"`
	Time  time.Time `json:"time"` // UTC, whole microseconds
	Actor AccountID `json:"actor"`
	// Action says what was done; Subject to whom, "" for no single account.
	Action  AuditAction `json:"action"`
	Subject AccountID   `json:"subject"`
	// Reason is the actor's own words, required where a person's data is revealed.
	Reason string `json:"reason"`
	// Query is what was searched for, without personal data in clear: which fields were
	// set, and a keyed hash of an address that was searched.
	Query string `json:"query"`
	Prev  Digest `json:"-"`
	Hash  Digest `json:"-"`
}

// Sum is the entry's hash: SHA-256 over the hash of the one before and the entry as JSON.
func (e AuditEntry) Sum() Digest {
	e.Time = e.Time.UTC().Truncate(time.Microsecond)
	text, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("encode an audit entry: %v", err)) // strings and a time of our making
	}
	return sha256.Sum256(append(e.Prev[:], text...))
}

// Follows reports whether the entry is the one after prev, and itself unchanged.
func (e AuditEntry) Follows(prev AuditEntry) bool {
	return e.Seq == prev.Seq+1 && e.Prev == prev.Hash && e.Hash == e.Sum()
}
