package review_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

func TestDisableLeavesNoWayBackIn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.staff(t, portal.RoleSecurity)
	if err := b.service.Disable(t.Context(), client(), p, b.person.ID, why); err != nil {
		t.Fatal(err)
	}
	if !b.account(t, b.person.ID).Disabled() {
		t.Error("the account is not disabled")
	}
	b.read(t, func(ctx context.Context, tx portal.Tx) error {
		sessions, err := tx.AccountSessions(ctx, b.person.ID)
		tokens, err2 := tx.AccountTokens(ctx, b.person.ID)
		if len(sessions) != 0 || len(tokens) != 0 {
			t.Errorf("%d sessions and %d tokens are left", len(sessions), len(tokens))
		}
		if _, err := tx.Link(ctx, portal.DigestOf("a link's secret")); !errors.Is(err, portal.ErrNotFound) {
			t.Errorf("the link is left: %v", err)
		}
		if _, err := tx.Device(ctx, b.person.ID, portal.DigestOf("a browser")); !errors.Is(err, portal.ErrNotFound) {
			t.Errorf("the device is left: %v", err)
		}
		return errors.Join(err, err2)
	})
	if err := b.service.Disable(t.Context(), client(), p, b.person.ID, why); portal.KindOf(err) != portal.KindConflict {
		t.Errorf("a second time: %v, want a conflict", err)
	}
	if err := b.service.Enable(t.Context(), client(), p, b.person.ID, why); err != nil {
		t.Fatal(err)
	}
	if b.account(t, b.person.ID).Disabled() {
		t.Error("the account is still disabled")
	}
	if err := b.service.Enable(t.Context(), client(), p, b.person.ID, why); portal.KindOf(err) != portal.KindConflict {
		t.Errorf("a second time: %v, want a conflict", err)
	}
	b.wantTold(t, []portal.EventKind{portal.EventAccountEnabled, portal.EventAccountDisabled},
		[]portal.MailKind{portal.MailAccountDisabled, portal.MailAccountEnabled})
}

// wantTold compares the person's newest events and the mails that wait. The events must
// hold nothing of the staff member's browser.
func (b *bench) wantTold(t *testing.T, events []portal.EventKind, mails []portal.MailKind) {
	t.Helper()
	var gotEvents []portal.EventKind
	var gotMails []portal.MailKind
	b.write(t, func(ctx context.Context, tx portal.Tx) error {
		found, err := tx.FindEvents(ctx, portal.EventFilter{Account: b.person.ID}, portal.EventCursor{}, len(events))
		waiting, err2 := tx.ClaimMails(ctx, b.clock.Now(), b.clock.Now(), 100)
		gotEvents, gotMails = nil, nil
		for _, e := range found {
			gotEvents = append(gotEvents, e.Kind)
			if e.IP.IsValid() || e.UserAgent != "" || e.Country != portal.UnknownCountry || e.RequestID != client().RequestID {
				t.Errorf("the event %q holds the staff member's browser: %+v", e.Kind, e)
			}
		}
		for _, m := range waiting {
			gotMails = append(gotMails, m.Kind)
			if m.To != b.person.Email || m.Account != b.person.ID || m.Data.Time.IsZero() {
				t.Errorf("the mail %q is wrong: %+v", m.Kind, m)
			}
		}
		return errors.Join(err, err2)
	})
	// Events of one microsecond come in the order of their ids.
	if diff := cmp.Diff(count(events), count(gotEvents)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(count(mails), count(gotMails)); diff != "" {
		t.Errorf("mails (-want +got):\n%s", diff)
	}
}

func count[T comparable](list []T) map[T]int {
	n := map[T]int{}
	for _, one := range list {
		n[one]++
	}
	return n
}

func TestEndSessionsTellsTheHistory(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.service.EndSessions(t.Context(), client(), b.staff(t, portal.RoleSecurity), b.person.ID, why); err != nil {
		t.Fatal(err)
	}
	b.read(t, func(ctx context.Context, tx portal.Tx) error {
		sessions, err := tx.AccountSessions(ctx, b.person.ID)
		if len(sessions) != 0 {
			t.Errorf("%d sessions are left", len(sessions))
		}
		return err
	})
	b.wantTold(t, []portal.EventKind{portal.EventSessionEnded}, nil)
}

func TestSetRole(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin := b.staff(t, portal.RoleAdmin)
	if err := b.service.SetRole(t.Context(), client(), admin, b.person.ID, portal.RoleFinance); err != nil {
		t.Fatal(err)
	}
	if got := b.account(t, b.person.ID).Role; got != portal.RoleFinance {
		t.Errorf("the role is %q", got)
	}
	b.read(t, func(ctx context.Context, tx portal.Tx) error {
		sessions, err := tx.AccountSessions(ctx, b.person.ID)
		if len(sessions) != 0 {
			t.Errorf("%d sessions outlived the new role", len(sessions))
		}
		return err
	})
	b.wantTold(t, []portal.EventKind{portal.EventRoleChanged}, []portal.MailKind{portal.MailRoleChanged})
}

func TestWhoMayNotBeActedOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin, security := b.staff(t, portal.RoleAdmin), b.staff(t, portal.RoleSecurity)
	unverified := portaltest.Account(func(a *portal.Account) { a.EmailVerifiedAt = portal.Account{}.EmailVerifiedAt })
	disabled := portaltest.Account(func(a *portal.Account) { a.DisabledAt = portaltest.Start })
	b.write(t, func(ctx context.Context, tx portal.Tx) error {
		return errors.Join(tx.CreateAccount(ctx, unverified), tx.CreateAccount(ctx, disabled))
	})
	ctx, s := t.Context(), b.service
	for name, test := range map[string]struct {
		err  error
		want portal.Kind
	}{
		"the own role":                      {s.SetRole(ctx, client(), admin, admin.Account.ID, portal.RoleUser), portal.KindForbidden},
		"the own account, disabled":         {s.Disable(ctx, client(), admin, admin.Account.ID, why), portal.KindForbidden},
		"security disables an admin":        {s.Disable(ctx, client(), security, admin.Account.ID, why), portal.KindForbidden},
		"security enables an admin":         {s.Enable(ctx, client(), security, admin.Account.ID, why), portal.KindForbidden},
		"a role that there is not":          {s.SetRole(ctx, client(), admin, b.person.ID, "root"), portal.KindInvalid},
		"the role that it has":              {s.SetRole(ctx, client(), admin, b.person.ID, portal.RoleUser), portal.KindConflict},
		"staff with an address not proved":  {s.SetRole(ctx, client(), admin, unverified.ID, portal.RoleSupport), portal.KindConflict},
		"staff that is disabled":            {s.SetRole(ctx, client(), admin, disabled.ID, portal.RoleSupport), portal.KindConflict},
		"an account that there is not":      {s.Disable(ctx, client(), admin, newID[portal.AccountID](9), why), portal.KindNotFound},
		"sessions of no account":            {s.EndSessions(ctx, client(), admin, newID[portal.AccountID](9), why), portal.KindNotFound},
		"a reason that says nothing":        {s.Disable(ctx, client(), admin, b.person.ID, " because "), portal.KindInvalid},
		"a reason with an address":          {s.Disable(ctx, client(), admin, b.person.ID, "attacks from 203.0.113.9, many"), portal.KindInvalid},
		"security ends an admin's sessions": {s.EndSessions(ctx, client(), security, admin.Account.ID, why), 0},
	} {
		switch {
		case test.want == 0 && test.err != nil:
			t.Errorf("%s: %v, want success", name, test.err)
		case test.want != 0 && portal.KindOf(test.err) != test.want:
			t.Errorf("%s: %v, want kind %d", name, test.err, test.want)
		}
	}
	if a := b.account(t, admin.Account.ID); a.Disabled() || a.Role != portal.RoleAdmin {
		t.Errorf("the admin is %+v", a)
	}
}

// TestWhatARefusalTellsIsAudited: whether an account is disabled, and which role it has,
// can't be found out by acts that are refused without a row that says so.
func TestWhatARefusalTellsIsAudited(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		action portal.AuditAction
		query  string
		do     func(ctx context.Context, b *bench, admin, security portal.Principal) error
	}{
		"enable one that is not disabled": {portal.AuditEnable, "refused", func(ctx context.Context, b *bench, _, security portal.Principal) error {
			return b.service.Enable(ctx, client(), security, b.person.ID, why)
		}},
		"the role that it has": {portal.AuditSetRole, "role=user refused", func(ctx context.Context, b *bench, admin, _ portal.Principal) error {
			return b.service.SetRole(ctx, client(), admin, b.person.ID, portal.RoleUser)
		}},
		"security disables an admin": {portal.AuditDisable, "refused", func(ctx context.Context, b *bench, admin, security portal.Principal) error {
			return b.service.Disable(ctx, client(), security, admin.Account.ID, why)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			admin, security := b.staff(t, portal.RoleAdmin), b.staff(t, portal.RoleSecurity)
			before := len(b.audit(t))
			if err := test.do(t.Context(), b, admin, security); portal.KindOf(err) == portal.KindInternal {
				t.Fatalf("the act gave %v, want a refusal", err)
			}
			rows := b.audit(t)
			if len(rows) != before+1 {
				t.Fatalf("%d rows were written, want 1", len(rows)-before)
			}
			if rows[0].Action != test.action || rows[0].Query != test.query || rows[0].Subject == "" {
				t.Errorf("the row is %+v, want %s with %q", rows[0], test.action, test.query)
			}
			broken := errors.New("the disk is full")
			b.service = b.serviceOn(t, watched{b.store, func(tx portal.Tx) portal.Tx { return noAudit{tx, broken} }})
			if err := test.do(t.Context(), b, admin, security); !errors.Is(err, broken) {
				t.Errorf("without a row it gave %v", err)
			}
		})
	}
}

func TestTwoAdminsWhoDemoteEachOtherLeaveOne(t *testing.T) {
	t.Parallel()
	for range 5 {
		demoteEachOther(t, newBench(t))
	}
}

func demoteEachOther(t *testing.T, b *bench) {
	t.Helper()
	one, two := b.staff(t, portal.RoleAdmin), b.staff(t, portal.RoleAdmin)
	errs := make([]error, 2)
	var done sync.WaitGroup
	done.Go(func() { errs[0] = b.service.SetRole(t.Context(), client(), one, two.Account.ID, portal.RoleUser) })
	done.Go(func() { errs[1] = b.service.Disable(t.Context(), client(), two, one.Account.ID, why) })
	done.Wait()
	admins := 0
	for _, id := range []portal.AccountID{one.Account.ID, two.Account.ID} {
		if a := b.account(t, id); a.Role == portal.RoleAdmin && !a.Disabled() {
			admins++
		}
	}
	if admins != 1 {
		t.Errorf("%d admins are left; the errors were %v", admins, errs)
	}
}
