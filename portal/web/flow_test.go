package web

import (
	"bytes"
	"image/png"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

func TestAPersonsWay(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	b := p.signedUp(t, "ada@example.org")
	b.sees(200, "/account", "Add a second factor")
	if b.cookie(cookieSession) == "" || b.cookie(cookieDevice) == "" {
		t.Fatal("no session or no device in the browser")
	}

	before := b.cookie(cookieSession)
	secret, codes := b.enrolled()
	if len(codes) != portal.RecoveryCodes {
		t.Fatalf("%d recovery codes", len(codes))
	}
	if b.cookie(cookieSession) == before {
		t.Error("the session has the same secret after a factor was added")
	}
	b.open("/account").sees(200, "/account", "10 recovery codes left")

	b.submit("/sign-out").sees(200, "/sign-in", "You are signed out.")
	if b.cookie(cookieSession) != "" {
		t.Error("the browser keeps the session after the sign-out")
	}
	b.open("/account/tokens").sees(200, "/sign-in", "Sign in")
	b.submit("/sign-in", "email", "ada@example.org", "password", goodPassword+"x").sees(401, "/sign-in", "Email or password is wrong.")
	b.submit("/sign-in", "email", "ada@example.org", "password", goodPassword).sees(200, "/sign-in/code", "Enter your code")
	b.submit("/sign-in/code", "code", "000000").sees(401, "/sign-in/code", "This code is wrong")
	p.clock.Advance(time.Minute)
	code := p.code(t, secret)
	b.submit("/sign-in/code", "code", code).sees(200, "/account/tokens", "You have no tokens")

	// The same code is no good a second time.
	again := p.browser(t)
	again.open("/sign-in").submit("/sign-in", "email", "Ada@example.org", "password", goodPassword).sees(200, "/sign-in/code", "")
	again.submit("/sign-in/code", "code", code).sees(401, "/sign-in/code", "This code is wrong")
	again.submit("/sign-in/code", "code", codes[0]).sees(200, "/account", "9 recovery codes left")

	// Who gets in without its person's knowledge is thrown out from another browser.
	b.open("/account/sessions").sees(200, "/account/sessions", "This one")
	b.submit("/account/sessions/end-others").sees(200, "/account/sessions", "All other sessions were ended.")
	again.open("/account").sees(200, "/sign-in", "")
}

func TestWrongCodesEndASignIn(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	b := p.signedUp(t, "ada@example.org")
	b.enrolled()
	b.submit("/sign-out").submit("/sign-in", "email", "ada@example.org", "password", goodPassword)
	for range portal.ChallengeTries - 1 {
		b.submit("/sign-in/code", "code", "000000").sees(401, "/sign-in/code", "This code is wrong")
	}
	b.submit("/sign-in/code", "code", "000000").sees(401, "/sign-in/code", "Forgot your password?")
	if b.cookie(cookieChallenge) != "" {
		t.Error("the browser keeps a challenge that is over")
	}
}

func TestQRCodeIsAPictureThatNobodyKeeps(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	b := p.signedUp(t, "ada@example.org")
	b.open("/account/two-factor/setup").submit("/account/two-factor/setup").open("/account/two-factor/qr.png")
	if _, err := png.Decode(strings.NewReader(b.page)); err != nil {
		t.Errorf("decode the picture: %v", err)
	}
	other := p.signedUp(t, "eve@example.org")
	if other.open("/account/two-factor/qr.png").sees(404, "/account/two-factor/qr.png", ""); bytes.Contains([]byte(other.page), []byte("PNG")) {
		t.Error("somebody else gets the picture")
	}
}

func TestPasswordReset(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	b := p.signedUp(t, "ada@example.org")
	_, codes := b.enrolled()
	stranger := p.browser(t)
	stranger.open("/forgot").submit("/forgot", "email", "nobody@example.org").sees(200, "/forgot/sent", "If that address has an account")
	stranger.open("/forgot").submit("/forgot", "email", "ada@example.org").sees(200, "/forgot/sent", "If that address has an account")
	link := p.mail(t, portal.MailResetPassword)
	const next = "nine loud herons nap"
	stranger.open(link).submit("/reset", "password", "short", "code", codes[1]).sees(422, "/reset", "it needs at least 15")
	stranger.submit("/reset", "password", next, "code", "").sees(422, "/reset", "two-factor sign-in")
	stranger.submit("/reset", "password", next, "code", codes[1]).sees(200, "/sign-in", "Your password was changed and all sessions were ended.")
	b.open("/account").sees(200, "/sign-in", "")
	stranger.open(link).sees(404, "/reset", "does not work any more")
	b.submit("/sign-in", "email", "ada@example.org", "password", goodPassword).sees(401, "/sign-in", "")
	b.submit("/sign-in", "email", "ada@example.org", "password", next).sees(200, "/sign-in/code", "")
}

func TestStepUpBeforeWhatIsSensitive(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	b := p.signedUp(t, "ada@example.org")
	b.open("/account/email").sees(200, "/account/email", "Change your email address")
	p.clock.Advance(portal.StepUpLife)
	b.submit("/account/email", "email", "lovelace@example.org").sees(200, "/step-up", "Confirm that it is you")
	before := b.cookie(cookieSession)
	b.submit("/step-up", "password", "wrong and long enough").sees(401, "/step-up", "Password or code is wrong")
	b.submit("/step-up", "password", goodPassword).sees(200, "/account/email", "once more")
	if b.cookie(cookieSession) == before {
		t.Error("the session has the same secret after a step-up")
	}
	b.submit("/account/email", "email", "lovelace@example.org").sees(200, "/account", "We sent a link to the new address.")
	b.open(p.mail(t, portal.MailConfirmNewEmail)).submit("/new-email").sees(200, "/account", "lovelace@example.org")
	b.open(p.mail(t, portal.MailEmailChanged)).submit("/undo-email").sees(200, "/forgot", "Your old email address is back")
	b.open("/account").sees(200, "/sign-in", "")
}

func TestPasswordChange(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	b := p.signedUp(t, "ada@example.org")
	other := p.browser(t)
	other.open("/sign-in").submit("/sign-in", "email", "ada@example.org", "password", goodPassword).sees(200, "/account", "")
	b.open("/account/password").submit("/account/password", "password", "ada@example.org").sees(422, "/account/password", "f-password")
	b.submit("/account/password", "password", "nine loud herons nap").sees(200, "/account", "Your password was changed.")
	other.open("/account").sees(200, "/sign-in", "")
}

func TestTokens(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	b := p.signedUp(t, "ada@example.org")
	b.open("/account/tokens/new").submit("/account/tokens/new", "name", "x").sees(200, "/account/tokens/new", "lethe_pat_")
	secret := strings.Join(b.text("token-secret"), "")
	if !portal.LooksLikeAPIToken(secret) {
		t.Errorf("%q is no token", secret)
	}
	b.open("/account/tokens/new").send(http.MethodPost, "/account/tokens/new", url.Values{"name": {"x"}, "days": {"9999"}, "scope": {"account:read"}}).sees(422, "/account/tokens/new", "at most a year")
	b.send(http.MethodPost, "/account/tokens/new", url.Values{"name": {"x"}, "days": {"7"}}).sees(422, "/account/tokens/new", "f-scopes")
	b.open("/account/tokens").sees(200, "/account/tokens", "…"+secret[len(secret)-4:])
	revoke := actionOf(t, b.page, "/revoke")
	p.signedUp(t, "eve@example.org").send(http.MethodPost, revoke, url.Values{}).sees(404, revoke, "not yours")
	b.submit(revoke).sees(200, "/account/tokens", "The token was revoked.")
}

// actionOf finds where the form with that ending goes.
func actionOf(t *testing.T, page, ending string) string {
	t.Helper()
	for _, part := range strings.Split(page, `action="`)[1:] {
		if action, _, _ := strings.Cut(part, `"`); strings.HasSuffix(action, ending) {
			return action
		}
	}
	t.Fatalf("no form goes to …%s:\n%s", ending, page)
	return ""
}

func TestNobodyReachesWhatIsSomebodyElses(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	ada, eve := p.signedUp(t, "ada@example.org"), p.signedUp(t, "eve@example.org")
	end := actionOf(t, ada.open("/account/sessions").page, "/end")
	eve.send(http.MethodPost, end, url.Values{}).sees(404, end, "not yours")
	ada.open("/account").sees(200, "/account", "Your account")
	for _, path := range []string{"/account", "/account/history", "/account/sessions", "/account/tokens"} {
		if strings.Contains(eve.open(path).page, "ada@") {
			t.Errorf("%s shows somebody else's", path)
		}
	}
}

func TestNobodyLearnsWhoHasAnAccount(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	p.signedUp(t, "ada@example.org")
	pages := map[string][2]string{}
	for _, email := range []string{"ada@example.org", "bob@example.org"} {
		b := p.browser(t)
		for _, path := range []string{"/sign-up", "/forgot", "/sign-in/device"} {
			pairs := []string{"email", email}
			if path == "/sign-up" {
				pairs = append(pairs, "password", goodPassword+" anew")
			}
			b.open(path).submit(path, pairs...)
			now := pages[path]
			now[map[bool]int{true: 0, false: 1}[email == "ada@example.org"]] = b.path + b.page
			pages[path] = now
		}
		b.open("/sign-in").submit("/sign-in", "email", email, "password", "wrong and long enough")
		now := pages["/sign-in"]
		now[map[bool]int{true: 0, false: 1}[email == "ada@example.org"]] = strings.ReplaceAll(b.page, email, "")
		pages["/sign-in"] = now
	}
	for path, answers := range pages {
		if answers[0] != answers[1] || answers[0] == "" {
			t.Errorf("%s answers a known address otherwise than an unknown one:\n%s\n---\n%s", path, answers[0], answers[1])
		}
	}
}

func TestGuessesSlowDownStrangersOnly(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	ada := p.signedUp(t, "ada@example.org")
	ada.submit("/sign-out")
	stranger := p.browser(t).open("/sign-in")
	for range 10 {
		stranger.open("/sign-in").submit("/sign-in", "email", "ada@example.org", "password", "wrong and long enough")
	}
	stranger.sees(429, "/sign-in", "Was it somebody else?")
	ada.open("/sign-in").submit("/sign-in", "email", "ada@example.org", "password", goodPassword).sees(200, "/account", "")

	// A new browser of the person's gets in by mail.
	phone := p.browser(t)
	phone.open("/sign-in").submit("/sign-in", "email", "ada@example.org", "password", goodPassword).sees(429, "/sign-in", "")
	phone.submit("/sign-in/device").sees(200, "/sign-in/device/sent", "")
	phone.open(p.mail(t, portal.MailConfirmDevice)).submit("/device").sees(200, "/sign-in", "This browser is confirmed.")
	phone.submit("/sign-in", "email", "ada@example.org", "password", goodPassword).sees(200, "/account", "")
}

func TestSessionsEndByThemselves(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	b := p.signedUp(t, "ada@example.org")
	p.clock.Advance(portal.SessionIdle - time.Minute)
	b.open("/account").sees(200, "/account", "")
	p.clock.Advance(portal.SessionIdle)
	b.open("/account").sees(200, "/sign-in", "")
	if b.cookie(cookieSession) != "" {
		t.Error("the browser keeps a session that is over")
	}
}
