package web

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// richReview has many things to show, and keeps what it was asked. A method whose name is
// in errs fails with that error.
type richReview struct {
	fakeReview
	errs   map[string]error
	filter portal.EventFilter
	after  portal.EventCursor
	hold   portal.Hold
	reason string
	before int64
	spans  [2]time.Time
	report portal.AuditReport
	none   bool
}

// An id of each kind, in the form that ids have.
const (
	idPerson = "k3jxq7wmrv2bp9hcyt5dnf4gza"
	idStaff  = "s4mwz8tkcq3vb7nxyr6hdp2fga"
	idHold   = "h5nxc9vbrt4wq8mzkj7ydp3fga"
	idOld    = "h6pyd2wcsv5xr9nakm8zfq4gtb"
)

func (f *richReview) Account(_ context.Context, p portal.Principal, id portal.AccountID) (portal.AccountView, error) {
	if f.none {
		return portal.AccountView{AccountSummary: portal.AccountSummary{ID: id, Email: "b…@e….org", Role: portal.RoleUser, CreatedAt: start, DisabledAt: start}}, f.errs["Account"]
	}
	view := portal.AccountView{
		AccountSummary: portal.AccountSummary{
			ID: id, Email: "m…@m….org", Role: portal.RoleSupport, Verified: true, SecondFactor: true, CreatedAt: start.Add(-90 * 24 * time.Hour),
		},
		PasswordChangedAt: start.Add(-40 * 24 * time.Hour), RecoveryCodesLeft: 7,
		Sessions: []portal.Session{
			{ID: "one", Browser: "Firefox on Linux", Country: "DE", CreatedAt: start.Add(-5 * time.Hour), LastSeenAt: start, SecondFactor: true},
			{ID: "two", Browser: "Safari on iPhone", Country: "ZZ", CreatedAt: start.Add(-9 * time.Hour), LastSeenAt: start},
		},
		Tokens: []portal.APIToken{{ID: "t", Name: "a person's own word", Hint: "x7kq", Scopes: portal.Scopes(), CreatedAt: start, ExpiresAt: start.Add(90 * 24 * time.Hour)}},
	}
	if p.May(portal.PermitEvents) {
		view.Events = someEvents(6)
	}
	return view, f.errs["Account"]
}

func (f *richReview) SearchAccounts(_ context.Context, _ portal.Principal, _ string) ([]portal.AccountSummary, error) {
	if f.none || f.errs["SearchAccounts"] != nil {
		return nil, f.errs["SearchAccounts"]
	}
	return []portal.AccountSummary{
		{ID: idPerson, Email: "m…@m….org", Role: portal.RoleAdmin, Verified: true, SecondFactor: true, CreatedAt: start},
		{ID: idStaff, Email: "b…@e….org", Role: portal.RoleUser, CreatedAt: start, DisabledAt: start},
	}, nil
}

func (f *richReview) Reveal(_ context.Context, _ portal.Client, _ portal.Principal, _ portal.AccountID, reason string) (portal.Email, error) {
	f.reason = reason
	if err := f.errs["Reveal"]; err != nil {
		return "", err
	}
	return "marlene.weber@mail.example.org", nil
}

func (f *richReview) Disable(_ context.Context, _ portal.Client, _ portal.Principal, _ portal.AccountID, reason string) error {
	f.reason = reason
	return f.errs["Disable"]
}

func (f *richReview) SetRole(_ context.Context, _ portal.Client, _ portal.Principal, _ portal.AccountID, role portal.Role) error {
	f.reason = string(role)
	return f.errs["SetRole"]
}

func (f *richReview) Events(_ context.Context, _ portal.Principal, filter portal.EventFilter, after portal.EventCursor) ([]portal.Event, portal.EventCursor, error) {
	f.filter, f.after = filter, after
	if f.none || f.errs["Events"] != nil {
		return nil, portal.EventCursor{}, f.errs["Events"]
	}
	events := someEvents(31)
	return events, portal.EventCursor{Time: events[30].Time, ID: events[30].ID}, nil
}

// someEvents are of all kinds.
func someEvents(n int) []portal.Event {
	var events []portal.Event
	kinds := portal.EventKinds()
	for i := range n {
		e := portal.Event{
			ID: portal.EventID(strings.Repeat("e", 26)), Time: start.Add(-time.Duration(i) * 47 * time.Minute), Kind: kinds[i%len(kinds)], Account: idPerson,
			IP: netip.MustParseAddr("203.0.113.9"), Country: []string{"DE", "BR", "ZZ"}[i%3], RequestID: "r",
			UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		}
		switch i % 5 {
		case 2:
			e.IP = netip.MustParseAddr("2001:db8:85a3:8d3:1319:8a2e:370:7348")
		case 3:
			e.Account = ""
		case 4:
			e.IP, e.UserAgent = netip.Addr{}, ""
		}
		events = append(events, e)
	}
	return events
}

func (f *richReview) SignInMap(_ context.Context, _ portal.Principal, from, to time.Time) ([]portal.CountryCount, error) {
	f.spans = [2]time.Time{from, to}
	if f.none || f.errs["SignInMap"] != nil {
		return nil, f.errs["SignInMap"]
	}
	var rows []portal.CountryCount
	for i, code := range []string{"DE", "NL", "US", "FR", "BR", "ZZ", "JP"} {
		rows = append(rows, portal.CountryCount{
			Country: code, SignIns: 1840 / (i*i + 1), Failed: 31 * i, Accounts: 412 / (i*i + 1), FirstAt: from.Add(time.Hour), LastAt: to.Add(-time.Hour),
		})
	}
	return rows, nil
}

func (f *richReview) Flags(_ context.Context, _ portal.Principal, from, to time.Time) ([]portal.Flag, error) {
	f.spans = [2]time.Time{from, to}
	if f.none || f.errs["Flags"] != nil {
		return nil, f.errs["Flags"]
	}
	return []portal.Flag{
		{Kind: portal.FlagImpossibleTravel, Account: idPerson, Countries: [2]string{"DE", "BR"}, From: start.Add(-2 * time.Hour), To: start.Add(-time.Hour)},
		{Kind: portal.FlagCredentialStuffing, Network: netip.MustParsePrefix("203.0.113.0/24"), Failures: 1312, Accounts: 17, From: start.Add(-9 * time.Hour), To: start.Add(-8 * time.Hour)},
		{Kind: portal.FlagCredentialStuffing, Network: netip.MustParsePrefix("2001:db8:1::/56"), Failures: 107, From: start.Add(-9 * time.Hour), To: start.Add(-8 * time.Hour)},
	}, nil
}

func (f *richReview) Holds(context.Context, portal.Principal) ([]portal.Hold, error) {
	if f.none {
		return nil, nil
	}
	return []portal.Hold{
		{
			ID: idHold, Case: "INC-17", Reason: "Somebody took over the account;\nthe police asked us to keep its events.", Rows: 41,
			Filter: portal.EventFilter{Account: idPerson}, ReviewAt: start.Add(-24 * time.Hour), PlacedBy: idStaff, PlacedAt: start.Add(-60 * 24 * time.Hour),
		},
		{
			ID: idStaff, Case: "INC-19", Reason: "Credential stuffing out of one network.", Rows: 1312,
			Filter: portal.EventFilter{
				Network: netip.MustParsePrefix("203.0.113.9/32"), Country: "BR", From: start.Add(-48 * time.Hour), To: start,
				Kinds: []portal.EventKind{portal.EventSignIn, portal.EventSignInFailed},
			}, ReviewAt: start.Add(30 * 24 * time.Hour), PlacedBy: idStaff, PlacedAt: start,
		},
		{
			ID: idOld, Case: "INC-3", Reason: "A mistake of ours, looked into.", Filter: portal.EventFilter{Network: netip.MustParsePrefix("2001:db8:1::/56")},
			ReviewAt: start, PlacedBy: idStaff, PlacedAt: start.Add(-80 * 24 * time.Hour), ReleasedAt: start, ReleasedBy: idPerson,
		},
	}, f.errs["Holds"]
}

func (f *richReview) PlaceHold(_ context.Context, _ portal.Client, _ portal.Principal, h portal.Hold) (portal.Hold, error) {
	f.hold = h
	return h, f.errs["PlaceHold"]
}

func (f *richReview) ReviewHold(_ context.Context, _ portal.Client, _ portal.Principal, id portal.HoldID, reason string, at time.Time) (portal.Hold, error) {
	f.hold = portal.Hold{ID: id, Reason: reason, ReviewAt: at}
	return f.hold, f.errs["ReviewHold"]
}

func (f *richReview) ReleaseHold(_ context.Context, _ portal.Client, _ portal.Principal, id portal.HoldID, reason string) error {
	f.hold = portal.Hold{ID: id, Reason: reason}
	return f.errs["ReleaseHold"]
}

func (f *richReview) AuditLog(_ context.Context, _ portal.Principal, before int64) ([]portal.AuditEntry, error) {
	f.before = before
	if f.none || f.errs["AuditLog"] != nil {
		return nil, f.errs["AuditLog"]
	}
	return []portal.AuditEntry{
		{Seq: 812, Time: start, Actor: idStaff, Action: portal.AuditViewAudit, Query: "before=0"},
		{Seq: 811, Time: start.Add(-time.Minute), Actor: idStaff, Action: portal.AuditReveal, Subject: idPerson, Reason: "Ticket 4711: wrote to us and got no answer."},
		{Seq: 810, Time: start.Add(-time.Hour), Actor: idStaff, Action: portal.AuditSearchEvents, Query: "network=4f1c99a02be7d310 country=BR kinds=sign-in,sign-in-failed from=2026-03-01T09:00:00Z"},
		{Seq: 809, Time: start.Add(-2 * time.Hour), Actor: "", Action: portal.AuditCommand, Subject: idStaff, Reason: "admin invite", Query: "role=admin"},
	}, nil
}

func (f *richReview) VerifyAudit(context.Context, portal.Principal) (portal.AuditReport, error) {
	return f.report, f.errs["VerifyAudit"]
}
