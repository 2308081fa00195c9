package review_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
)

func TestSearchAccounts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.staff(t, portal.RoleSupport)
	for name, test := range map[string]struct {
		text string
		hits int
		kind portal.Kind
	}{
		"the address":                {" Marlene.Weber@mail.example.org ", 1, 0},
		"the address in other case":  {"marlene.weber@MAIL.example.org", 1, 0},
		"the id":                     {string(b.person.ID), 1, 0},
		"an address of nobody":       {"nobody@example.org", 0, 0},
		"an id of nobody":            {string(newID[portal.AccountID](5)), 0, 0},
		"a beginning of the address": {"marlene.weber@", 0, portal.KindInvalid},
		"a name":                     {"marlene", 0, portal.KindInvalid},
		"a beginning of the id":      {string(b.person.ID[:20]), 0, portal.KindInvalid},
		"nothing":                    {"", 0, portal.KindInvalid},
		"a pattern":                  {"%@mail.example.org", 0, 0},
	} {
		found, err := b.service.SearchAccounts(t.Context(), p, test.text)
		switch {
		case test.kind != 0 && portal.KindOf(err) != test.kind:
			t.Errorf("%s: %v, want kind %d", name, err, test.kind)
		case test.kind == 0 && (err != nil || len(found) != test.hits):
			t.Errorf("%s: %d hits and %v, want %d hits", name, len(found), err, test.hits)
		}
	}
}

func TestTheViewMasksAndKeepsSecretsBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	view, err := b.service.Account(t.Context(), b.staff(t, portal.RoleSecurity), b.person.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := portal.AccountSummary{
		ID: b.person.ID, Email: "M…@m….org", Role: portal.RoleUser, Verified: true, SecondFactor: true, CreatedAt: b.person.CreatedAt,
	}
	if diff := cmp.Diff(want, view.AccountSummary); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	if len(view.Sessions) != 1 || len(view.Tokens) != 1 || len(view.Events) == 0 {
		t.Errorf("the view has %d sessions, %d tokens, %d events", len(view.Sessions), len(view.Tokens), len(view.Events))
	}
	text := fmt.Sprintf("%+v", view)
	for _, secret := range []string{"Weber", "weber@", "laptop", b.person.PasswordHash, portal.DigestOf("a token's secret").String()} {
		if strings.Contains(text, secret) {
			t.Errorf("the view holds %q", secret)
		}
	}
	if view.Sessions[0].Digest != (portal.Digest{}) || view.Tokens[0].Digest != (portal.Digest{}) {
		t.Error("the view holds digests")
	}
}

func TestTheViewShowsLiveSessionsOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.clock.Advance(portal.SessionIdle)
	view, err := b.service.Account(t.Context(), b.staff(t, portal.RoleSupport), b.person.ID)
	if err != nil || len(view.Sessions) != 0 {
		t.Errorf("%d sessions, %v; want none of the one that has been idle too long", len(view.Sessions), err)
	}
}

func TestEventsOfAnAccountAreForWhoMaySearchEvents(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, role := range []portal.Role{portal.RoleSupport, portal.RoleFinance} {
		view, err := b.service.Account(t.Context(), b.staff(t, role), b.person.ID)
		if err != nil || len(view.Events) != 0 {
			t.Errorf("%s: %d events and %v, want none", role, len(view.Events), err)
		}
	}
}

func TestReveal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.staff(t, portal.RoleSecurity)
	email, err := b.service.Reveal(t.Context(), client(), p, b.person.ID, "  "+why+"  ")
	if err != nil || email != b.person.Email {
		t.Fatalf("reveal: %q, %v", email, err)
	}
	if row := b.audit(t)[0]; row.Reason != why || row.Subject != b.person.ID {
		t.Errorf("the audit row says %q of %q", row.Reason, row.Subject)
	}
	for name, reason := range map[string]string{
		"none": "", "spaces": strings.Repeat(" ", 20), "nine letters": "123456789", "with the address": "asked by a@example.org now",
		"too long": strings.Repeat("x", 501), "control characters": "a reason\x00with more", "not UTF-8": "a reason \xff\xfe with more",
	} {
		email, err := b.service.Reveal(t.Context(), client(), p, b.person.ID, reason)
		if portal.KindOf(err) != portal.KindInvalid || email != "" {
			t.Errorf("%s: %q, %v, want an invalid reason", name, email, err)
		}
	}
}
