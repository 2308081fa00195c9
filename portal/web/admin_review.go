package web

import (
	"context"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Review is what the staff's pages need of package review. Each method writes its row of
// the audit log before it gives anything, and gives a *portal.Error whenever there is
// something to tell the person: KindForbidden without the permission, KindStepUp when the
// act needs one, KindInvalid with the field.
type Review interface {
	AccountReview
	AccountActs
	EventReview
	HoldReview
	AuditReview
}

// AccountReview looks at accounts, with personal data masked but for Reveal.
type AccountReview interface {
	// SearchAccounts takes a whole address or a whole account id.
	SearchAccounts(ctx context.Context, p portal.Principal, text string) ([]portal.AccountSummary, error)
	Account(ctx context.Context, p portal.Principal, id portal.AccountID) (portal.AccountView, error)
	Reveal(ctx context.Context, c portal.Client, p portal.Principal, id portal.AccountID, reason string) (portal.Email, error)
}

// AccountActs changes accounts.
type AccountActs interface {
	Disable(ctx context.Context, c portal.Client, p portal.Principal, id portal.AccountID, reason string) error
	Enable(ctx context.Context, c portal.Client, p portal.Principal, id portal.AccountID, reason string) error
	EndSessions(ctx context.Context, c portal.Client, p portal.Principal, id portal.AccountID, reason string) error
	SetRole(ctx context.Context, c portal.Client, p portal.Principal, id portal.AccountID, role portal.Role) error
}

// EventReview searches security events.
type EventReview interface {
	// Events gives a page, and the cursor of the next one: zero for none.
	Events(ctx context.Context, p portal.Principal, f portal.EventFilter, after portal.EventCursor) ([]portal.Event, portal.EventCursor, error)
	SignInMap(ctx context.Context, p portal.Principal, from, to time.Time) ([]portal.CountryCount, error)
	Flags(ctx context.Context, p portal.Principal, from, to time.Time) ([]portal.Flag, error)
}

// HoldReview keeps events of investigations.
type HoldReview interface {
	Holds(ctx context.Context, p portal.Principal) ([]portal.Hold, error)
	// PlaceHold takes Case, Reason, Filter and ReviewAt of h.
	PlaceHold(ctx context.Context, c portal.Client, p portal.Principal, h portal.Hold) (portal.Hold, error)
	// ReviewHold puts a hold in the place of one that is still needed.
	ReviewHold(ctx context.Context, c portal.Client, p portal.Principal, id portal.HoldID, reason string, reviewAt time.Time) (portal.Hold, error)
	ReleaseHold(ctx context.Context, c portal.Client, p portal.Principal, id portal.HoldID, reason string) error
}

// AuditReview reads the audit log and has its chain verified.
type AuditReview interface {
	AuditLog(ctx context.Context, p portal.Principal, before int64) ([]portal.AuditEntry, error)
	VerifyAudit(ctx context.Context, p portal.Principal) (portal.AuditReport, error)
}
