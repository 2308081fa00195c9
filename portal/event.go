package portal

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// EventKind is what happened, as far as security goes.
type EventKind string

// Kinds of security events. A person sees those of the own account.
const (
	EventSignUp           EventKind = "sign-up"
	EventEmailVerified    EventKind = "email-verified"
	EventSignIn           EventKind = "sign-in"
	EventSignInFailed     EventKind = "sign-in-failed"
	EventSignOut          EventKind = "sign-out"
	EventThrottled        EventKind = "throttled"
	EventStepUp           EventKind = "step-up"
	EventStepUpFailed     EventKind = "step-up-failed"
	EventNewDevice        EventKind = "new-device"
	EventPasswordChanged  EventKind = "password-changed"
	EventResetAsked       EventKind = "password-reset-asked"
	EventPasswordReset    EventKind = "password-reset"
	EventEmailAsked       EventKind = "email-change-asked"
	EventEmailChanged     EventKind = "email-changed"
	EventEmailUndone      EventKind = "email-change-undone"
	EventTOTPEnrolled     EventKind = "totp-enrolled"
	EventTOTPRemoved      EventKind = "totp-removed"
	EventTOTPFailed       EventKind = "totp-failed"
	EventTOTPReplayed     EventKind = "totp-replayed"
	EventRecoveryUsed     EventKind = "recovery-code-used"
	EventRecoveryRenewed  EventKind = "recovery-codes-renewed"
	EventSessionEnded     EventKind = "session-ended"
	EventTokenCreated     EventKind = "token-created"
	EventTokenUsed        EventKind = "token-used" // at most once per token and network an hour
	EventTokenRefused     EventKind = "token-refused"
	EventTokenRevoked     EventKind = "token-revoked"
	EventAccountDisabled  EventKind = "account-disabled"
	EventAccountEnabled   EventKind = "account-enabled"
	EventRoleChanged      EventKind = "role-changed"
	EventAccessDenied     EventKind = "access-denied"
	EventCrossSiteRefused EventKind = "cross-site-refused"
)

// EventKinds are all of them, in the order of the constants.
func EventKinds() []EventKind {
	return []EventKind{
		EventSignUp, EventEmailVerified, EventSignIn, EventSignInFailed, EventSignOut, EventThrottled,
		EventStepUp, EventStepUpFailed, EventNewDevice, EventPasswordChanged, EventResetAsked,
		EventPasswordReset, EventEmailAsked, EventEmailChanged, EventEmailUndone, EventTOTPEnrolled,
		EventTOTPRemoved, EventTOTPFailed, EventTOTPReplayed, EventRecoveryUsed, EventRecoveryRenewed,
		EventSessionEnded, EventTokenCreated, EventTokenUsed, EventTokenRefused, EventTokenRevoked,
		EventAccountDisabled, EventAccountEnabled, EventRoleChanged, EventAccessDenied, EventCrossSiteRefused,
	}
}

// Event is one security event: the only place where an address (IP) is kept.
type Event struct {
	ID   EventID
	Time time.Time // when the portal saw it; what retention counts from
	Kind EventKind
	// Account is whose account it is about; "" when there is none, as for a sign-in with
	// an address that nobody has.
	Account AccountID
	IP      netip.Addr
	// UserAgent is at most MaxUserAgent bytes of printable ASCII.
	UserAgent string
	Country   string
	RequestID string
}

// NewEvent is an event of a request.
func NewEvent(id EventID, now time.Time, kind EventKind, account AccountID, from Client) Event {
	return Event{
		ID: id, Time: now, Kind: kind, Account: account,
		IP: from.IP, UserAgent: from.UserAgent, Country: from.Country, RequestID: from.RequestID,
	}
}

// EventFilter chooses events. Zero fields choose all.
type EventFilter struct {
	Account AccountID
	Kinds   []EventKind
	// Network chooses the addresses in it; a whole address is a /32 or /128.
	Network netip.Prefix
	Country string
	// From and To are a half-open interval.
	From, To time.Time
	// Held chooses only what a hold keeps.
	Held bool
}

// EventCursor is where the next page of events goes on: newest first, by time and id.
type EventCursor struct {
	Time time.Time
	ID   EventID
}

// String writes the cursor for a query or a form: microseconds since 1970, a dot, the id.
func (c EventCursor) String() string {
	return strconv.FormatInt(c.Time.UnixMicro(), 10) + "." + string(c.ID)
}

// maxCursor is the year 9999, which is as far as databases go.
const maxCursor = 253_402_300_799_999_999

// ParseEventCursor reads what String has written; false for everything else.
func ParseEventCursor(text string) (EventCursor, bool) {
	micros, id, _ := strings.Cut(text, ".")
	at, err := strconv.ParseInt(micros, 10, 64)
	if err != nil || at <= 0 || at > maxCursor || !LooksLikeID(id) {
		return EventCursor{}, false
	}
	return EventCursor{Time: time.UnixMicro(at).UTC(), ID: EventID(id)}, true
}

// EventRetention is how long security events are kept that no hold keeps (promise P20).
const EventRetention = 90 * 24 * time.Hour

// CountryCount is a row of the sign-in map.
type CountryCount struct {
	Country         string
	SignIns, Failed int
	Accounts        int
	FirstAt, LastAt time.Time
}

// NetworkFailures is a row of the look for credential stuffing: one network that failed
// with many accounts.
type NetworkFailures struct {
	Network         netip.Prefix
	Failures        int
	Accounts        int // accounts that exist; addresses that nobody has count as failures
	FirstAt, LastAt time.Time
}
