package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

// arrival puts somebody into the store who is signed in as the name of a visitor says, and
// gives the account and the session's secret.
func (p *portalUnderTest) arrival(t *testing.T, who string) (portal.Account, portal.SessionID, string) {
	t.Helper()
	role, state, _ := strings.Cut(strings.NewReplacer("2plain", ":plain", "3half", ":half", "4stale", ":stale").Replace(who), ":")
	random := p.web.random
	now := p.clock.Now()
	account := portaltest.Account(portaltest.WithRole(portal.Role(role)))
	secret, digest := portal.NewSecret(random)
	session := portal.Session{
		ID: portal.NewID[portal.SessionID](random), Account: account.ID, Digest: digest, CreatedAt: now, ExpiresAt: now.Add(portal.SessionAbsolute),
		AuthenticatedAt: now, LastSeenAt: now, SecondFactor: state == "" || state == "stale", Browser: "Firefox on Linux", Country: "DE",
	}
	if state == "stale" {
		session.AuthenticatedAt = now.Add(-portal.StepUpLife)
	}
	err := p.store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		if err := tx.CreateAccount(ctx, account); err != nil {
			return err
		}
		if state != "plain" {
			factor := portal.TOTP{ID: portal.NewID[portal.FactorID](random), Account: account.ID, Seed: portal.Sealed{KeyID: "k1", Box: []byte{1}}, CreatedAt: now}
			if err := tx.PutPendingTOTP(ctx, factor); err != nil {
				return err
			}
			if err := tx.ConfirmTOTP(ctx, factor.ID, 1, now); err != nil {
				return err
			}
		}
		return tx.CreateSession(ctx, session)
	})
	if err != nil {
		t.Fatalf("put %q into the store: %v", who, err)
	}
	return account, session.ID, secret
}

// saysNo are cells in which the use case refuses whom the table lets in.
func saysNo(route, who string, own bool) bool {
	switch route {
	case "POST /account/two-factor/remove": // staff need one
		return who != "" && !strings.HasPrefix(who, "user")
	case "POST /admin/accounts/{id}/disable", "POST /admin/accounts/{id}/enable": // not their own
		return own
	default:
		return false
	}
}

// TestMatrixOfTheWholePortal asks for every route as everybody, once for what is their own
// and once for what is somebody else's, with the real use cases and a real store.
func TestMatrixOfTheWholePortal(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	_, f := fakeServer(t)
	names := visitors(f)
	other, otherSession, _ := p.arrival(t, "user")
	cells := 0
	for _, route := range p.web.Routes() {
		name := route.Method + " " + route.Pattern
		for _, who := range names {
			for _, own := range []bool{true, false} {
				if !own && !strings.Contains(route.Pattern, "{id}") {
					continue
				}
				subject, id := other, string(otherSession)
				secret := ""
				if who != "" {
					account, session, s := p.arrival(t, who)
					secret = s
					if own {
						subject, id = account, string(session)
					}
				}
				if strings.HasPrefix(route.Pattern, "/admin/") {
					id = string(subject.ID)
				}
				got, want := p.cell(t, route, id, secret), expected(route.Access, who)
				switch {
				case want == "let in" && saysNo(name, who, own):
					want = "refused"
				case want == "let in" && (name == "POST /sign-out" || name == "GET /sign-in/code"):
					want = "sent to sign in"
				case want == "let in" && strings.HasPrefix(name, "POST /account/sessions/{id}"):
					want = map[bool]string{true: "sent to sign in", false: "not found"}[own]
				case want == "let in" && strings.HasPrefix(name, "POST /account/tokens/{id}"):
					want = "not found"
				}
				if got != want {
					t.Errorf("%s (%s) as %q, own: %v: %s, want %s", name, route.Access, who, own, got, want)
				}
				cells++
			}
		}
	}
	t.Logf("%d cells", cells)
}

// cell asks once.
func (p *portalUnderTest) cell(t *testing.T, route Route, id, secret string) string {
	t.Helper()
	asset := strings.TrimPrefix(p.web.assets.paths["lethe.css"], "/static/")
	target := strings.NewReplacer("{id}", id, "{file...}", asset, "{$}", "").Replace(route.Pattern)
	var form url.Values
	if route.Method == http.MethodPost {
		form = url.Values{"reason": {"somebody asked about it"}}
	}
	w := ask(p.web, route.Method, target, "", form, func(r *http.Request) {
		if secret != "" {
			r.AddCookie(&http.Cookie{Name: cookieSession, Value: secret})
		}
	})
	if w.Code == http.StatusNotFound && strings.HasPrefix(route.Pattern, "/account/") && strings.Contains(route.Pattern, "{id}") {
		return "not found"
	}
	return outcome(w)
}
