package portal

import "time"

// Hold keeps the security events of an investigation or a legal duty beyond their
// retention: those that match when it is placed, and those that match later until it is
// released. A released hold keeps nothing; what is older than the retention then goes at
// the next purge.
type Hold struct {
	ID HoldID
	// Case is the reference of the investigation; Reason why the rows are needed.
	Case, Reason string
	// Rows are chosen by it; From may be zero. An empty filter is refused: a hold on
	// everything would be no retention at all.
	Filter EventFilter
	// ReviewAt is when somebody has to look whether it is still needed, at most
	// MaxHoldReview away. A hold past it stays (losing evidence can't be undone) and is
	// alarmed about.
	ReviewAt time.Time
	PlacedBy AccountID
	PlacedAt time.Time
	// ReleasedAt is zero while it holds.
	ReleasedAt time.Time
	ReleasedBy AccountID
	// Rows is how many events it keeps.
	Rows int
}

// MaxHoldReview is how far away a hold's review may be.
const MaxHoldReview = 90 * 24 * time.Hour
