package browser_test

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestReview is staff's work: the first administrator comes in by an invitation, has no
// power before the second factor, finds an account by its address, sees it masked, reveals
// it for a reason, places and releases a hold, gives a role, disables; and each look at
// another person's data is a row of the audit log.
func TestReview(t *testing.T) {
	t.Parallel()
	portal := newStand(t)
	person, admin := newPage(t, portal), newPage(t, portal)
	who := person.signUp("katherine@people.example")
	person.signIn(who)

	link, err := portal.Invite(t.Context(), "root@people.example", "admin")
	if err != nil {
		t.Fatal(err)
	}
	boss := invited(admin, link, "root@people.example")
	admin.open("/admin/accounts")
	if slices.Contains(admin.text("h1"), "Accounts") {
		t.Error("an administrator without a second factor has power")
	}
	admin.check("admin-without-second-factor")
	admin.enrol(boss)
	admin.open("/account")
	admin.submit("Admin")
	admin.heading("Security events")
	admin.check("admin-events")
	admin.submit("Search")
	admin.sees("events")
	admin.check("admin-events-found")
	admin.open("/admin/map")
	admin.heading("Sign-in map")
	admin.check("admin-map")
	admin.open("/admin/flags")
	admin.heading("Flags")
	admin.check("admin-flags")

	admin.open("/admin/accounts")
	admin.heading("Accounts")
	admin.check("admin-accounts")
	admin.fill("Email address or account id", who.email)
	admin.submit("Search")
	admin.sees("1 account")
	admin.check("admin-accounts-found")
	masked := strings.Join(admin.text(".results .list-name a"), "")
	if masked == "" || strings.Contains(masked, "katherine") {
		t.Errorf("the address is shown as %q", masked)
	}
	admin.submit(masked)
	admin.heading("Account " + masked)
	admin.check("admin-account")
	account := admin.path()

	admin.submit("Show in full")
	admin.heading("Show the address")
	admin.check("admin-reveal")
	admin.fill("Reason", "short")
	admin.submit("Show the address")
	admin.problem()
	admin.fill("Reason", "ticket 4711, asked for by its owner")
	admin.submit("Show the address")
	admin.sees(who.email)
	admin.check("admin-revealed")
	admin.hold(account)

	admin.open(account + "/role")
	admin.check("admin-role")
	admin.until("the role to choose", `(() => {
		const role = document.querySelector("#f-role");
		if (role) role.value = "support";
		return role?.value === "support";
	})()`)
	admin.submit("Change the role")
	admin.sees("The role was changed.")
	mailTo(t, portal, who.email, "Your role was changed")
	admin.open(account + "/end-sessions")
	admin.check("admin-end-sessions")
	admin.open(account + "/disable")
	admin.check("admin-disable")
	admin.fill("Reason", "ticket 4712, stolen password")
	admin.submit("Disable the account")
	admin.sees("The account is disabled.")
	admin.check("admin-account-disabled")
	if where := person.leaves("/account"); where != "/sign-in" {
		t.Errorf("the disabled account still reaches %s", where)
	}
	person.password(who)
	person.heading("Sign in")
	person.problem()
	person.check("sign-in-wrong")
	admin.open(account + "/enable")
	admin.check("admin-enable")
	admin.fill("Reason", "ticket 4712 is closed")
	admin.submit("Enable the account")
	admin.sees("The account is enabled again")
	person.signIn(who)

	admin.open("/admin/audit")
	admin.heading("Audit log")
	admin.check("admin-audit")
	actions := admin.text(".audit tbody tr td:nth-child(4)")
	for _, action := range []string{
		"command", "search-events", "view-sign-in-map", "view-flags", "search-accounts", "view-account", "reveal-address",
		"place-hold", "release-hold", "view-holds", "set-role", "disable-account", "enable-account", "view-audit",
	} {
		if !slices.Contains(actions, action) {
			t.Errorf("the audit log has no row %q; it has %q", action, actions)
		}
	}
	if n := count(actions, "reveal-address"); n != 1 {
		t.Errorf("the audit log has %d rows about the one address that was shown", n)
	}
	for _, row := range admin.text(".audit tbody tr") {
		if strings.Contains(row, "katherine") {
			t.Errorf("the audit log holds an address: %s", row)
		}
	}
	admin.submit("Verify the whole log")
	admin.sees("The log is whole")
	admin.check("admin-verified")
}

func count(all []string, one string) int {
	n := 0
	for _, each := range all {
		if each == one {
			n++
		}
	}
	return n
}

// invited uses an invitation's link and signs in.
func invited(p *page, link, email string) *person {
	p.t.Helper()
	boss := &person{email: email, password: password}
	p.open(link)
	p.heading("Set a new password")
	p.fill("New password", password)
	p.submit("Set password")
	p.heading("Sign in")
	p.signIn(boss)
	return boss
}

// hold places one on an account and releases it.
func (p *page) hold(account string) {
	p.t.Helper()
	p.open(account)
	p.submit("Place a hold")
	p.heading("Place a hold")
	p.check("admin-hold")
	p.fill("Case", "2026-17")
	p.fill("Reason", "ticket 4713, a report of fraud")
	p.until("a date for the review", `(() => {
		const field = document.querySelector("[name=review]");
		if (field) field.value = `+quoted(time.Now().Add(30*24*time.Hour).UTC().Format(time.DateOnly))+`;
		return field?.value !== "";
	})()`)
	p.submit("Place the hold")
	p.sees("The hold is placed.")
	p.check("admin-holds")
	p.submit("Review 2026-17")
	p.heading("Review the hold")
	p.check("admin-hold-review")
	p.open("/admin/holds")
	p.submit("Release 2026-17")
	p.heading("Release the hold")
	p.check("admin-release")
	p.fill("Reason", "the investigation is over")
	p.submit("Release the hold")
	p.sees("The hold is released.")
	p.check("admin-holds-released")
}
