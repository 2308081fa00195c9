package web

import (
	"context"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// fakeReview has one of each thing. Its methods don't ask who asks: the table of routes has
// to.
type fakeReview struct{ Review }

func (fakeReview) SearchAccounts(context.Context, portal.Principal, string) ([]portal.AccountSummary, error) {
	return []portal.AccountSummary{{ID: "a", Email: "a…@e….org", Role: portal.RoleUser, CreatedAt: start}}, nil
}

func (fakeReview) Account(_ context.Context, _ portal.Principal, id portal.AccountID) (portal.AccountView, error) {
	return portal.AccountView{AccountSummary: portal.AccountSummary{ID: id, Email: "a…@e….org", Role: portal.RoleUser, CreatedAt: start}}, nil
}

func (fakeReview) Reveal(context.Context, portal.Client, portal.Principal, portal.AccountID, string) (portal.Email, error) {
	return "ada@example.org", nil
}

func (fakeReview) Disable(context.Context, portal.Client, portal.Principal, portal.AccountID, string) error {
	return nil
}

func (fakeReview) Enable(context.Context, portal.Client, portal.Principal, portal.AccountID, string) error {
	return nil
}

func (fakeReview) EndSessions(context.Context, portal.Client, portal.Principal, portal.AccountID, string) error {
	return nil
}

func (fakeReview) SetRole(context.Context, portal.Client, portal.Principal, portal.AccountID, portal.Role) error {
	return nil
}

func (fakeReview) Events(context.Context, portal.Principal, portal.EventFilter, portal.EventCursor) ([]portal.Event, portal.EventCursor, error) {
	return nil, portal.EventCursor{}, nil
}

func (fakeReview) SignInMap(context.Context, portal.Principal, time.Time, time.Time) ([]portal.CountryCount, error) {
	return nil, nil
}

func (fakeReview) Flags(context.Context, portal.Principal, time.Time, time.Time) ([]portal.Flag, error) {
	return nil, nil
}

func (fakeReview) Holds(context.Context, portal.Principal) ([]portal.Hold, error) { return nil, nil }

func (fakeReview) PlaceHold(_ context.Context, _ portal.Client, _ portal.Principal, h portal.Hold) (portal.Hold, error) {
	return h, nil
}

func (fakeReview) ReviewHold(context.Context, portal.Client, portal.Principal, portal.HoldID, string, time.Time) (portal.Hold, error) {
	return portal.Hold{}, nil
}

func (fakeReview) ReleaseHold(context.Context, portal.Client, portal.Principal, portal.HoldID, string) error {
	return nil
}

func (fakeReview) AuditLog(context.Context, portal.Principal, int64) ([]portal.AuditEntry, error) {
	return nil, nil
}

func (fakeReview) VerifyAudit(context.Context, portal.Principal) (portal.AuditReport, error) {
	return portal.AuditReport{}, nil
}
