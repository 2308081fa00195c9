package browser_test

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
)

// TestAccount is a person's first day: sign up, verify by mail, enrol an authenticator
// app, sign out, sign in with a code; a wrong one, one that was used, a recovery code.
func TestAccount(t *testing.T) {
	t.Parallel()
	portal := newStand(t)
	p := newPage(t, portal)
	p.open("/")
	p.check("landing")
	p.open("/sign-up")
	p.check("sign-up")
	p.open("/sign-up/sent")
	p.check("sign-up-sent")
	p.open("/sign-in/device")
	p.check("device-ask")
	who := p.signUp("ada@people.example")
	p.check("sign-in")
	p.signIn(who)
	p.check("account-new")
	p.open("/account/two-factor")
	p.check("two-factor-off")
	p.open("/account/two-factor/setup")
	p.check("two-factor-setup")
	p.enrol(who)
	p.check("recovery-codes-shown")
	mailTo(t, portal, who.email, "Two-factor authentication is on")
	p.submit("I have kept them")
	p.heading("Two-factor sign-in")
	p.check("two-factor-on")
	p.open("/account/two-factor/remove")
	p.check("two-factor-remove")
	p.open("/account/recovery-codes")
	p.check("recovery-codes")

	p.submit("Sign out")
	p.sees("You are signed out.")
	if where := p.leaves("/account"); where != "/sign-in" {
		t.Errorf("who is signed out and opens the account lands on %s", where)
	}
	p.open("/sign-in")
	p.password(who)
	p.heading("Enter your code")
	p.check("code")
	p.fill("Code", wrongCode(t, who.seed))
	p.submit("Continue")
	p.heading("Enter your code")
	wrong := p.problem()
	p.check("code-wrong")
	p.fill("Code", codeOf(t, who.seed, who.used))
	p.submit("Continue")
	p.heading("Enter your code")
	if replayed := p.problem(); replayed != wrong {
		t.Errorf("a code that was used is told apart from a wrong one: %q, %q", replayed, wrong)
	}
	p.fill("Code", p.code(who))
	p.submit("Continue")
	p.heading("Your account")
	p.check("account")

	p.submit("Sign out")
	p.signInByRecovery(who, who.recovery[0])
	p.heading("Your account")
	mailTo(t, portal, who.email, "A recovery code was used")
	p.sees("9 recovery codes left")
	p.open("/account/recovery-codes")
	p.submit("Make new codes")
	p.heading("Your recovery codes")
	renewed := p.text("#recovery-codes code")
	p.submit("Sign out")
	for _, used := range who.recovery[:2] {
		p.signInByRecovery(who, used)
		p.heading("Enter your code")
		p.problem()
	}
	p.signInByRecovery(who, renewed[0])
	p.heading("Your account")
}

func (p *page) signInByRecovery(who *person, code string) {
	p.t.Helper()
	p.open("/sign-in")
	p.password(who)
	p.heading("Enter your code")
	p.fill("Code", code)
	p.submit("Continue")
}

// leaves opens a path and gives where that ends.
func (p *page) leaves(path string) string {
	p.t.Helper()
	p.open(path)
	return p.path()
}

// problem is what the page says is wrong.
func (p *page) problem() string {
	p.t.Helper()
	p.until("a problem", `document.readyState === "complete" && document.querySelector("#problems") !== null`)
	return strings.Join(p.text("#problems"), "\n")
}

// TestSessionIsRevoked: a second browser is signed in, is told of by mail, is seen in the
// list, and is out when it is ended there.
func TestSessionIsRevoked(t *testing.T) {
	t.Parallel()
	portal := newStand(t)
	first, second := newPage(t, portal), newPage(t, portal)
	who := first.signUp("grace@people.example")
	first.signIn(who)
	second.signIn(who)
	mailTo(t, portal, who.email, "A sign-in from a new device")
	first.open("/account/sessions")
	first.heading("Sessions")
	first.check("sessions")
	if n := len(first.text("#sessions li")); n != 2 {
		first.fail("%d sessions are listed, not 2", n)
	}
	first.press("End the session of Chrome on Linux")
	first.sees("The session was ended.")
	first.until("one session", `document.querySelectorAll("#sessions li").length === 1`)
	if where := second.leaves("/account"); where != "/sign-in" {
		t.Errorf("the ended session still reaches %s", where)
	}
	if where := first.leaves("/account"); where != "/account" {
		t.Errorf("the other session was ended too: %s", where)
	}
	first.open("/account/history")
	first.heading("Security history")
	first.check("history")
}

// TestPasswordIsReset: the link of a mail sets a new password, the second factor is asked
// for all the same, and everybody is signed out.
func TestPasswordIsReset(t *testing.T) {
	t.Parallel()
	portal := newStand(t)
	p, forgetful := newPage(t, portal), newPage(t, portal)
	who := p.signUp("alan@people.example")
	p.signIn(who)
	p.enrol(who)

	forgetful.open("/sign-in")
	forgetful.submit("Forgot your password?")
	forgetful.heading("Set a new password")
	forgetful.check("forgot")
	forgetful.fill("Email address", who.email)
	forgetful.submit("Mail me a link")
	forgetful.heading("Check your mail")
	forgetful.check("forgot-sent")
	link := linkIn(t, mailTo(t, portal, who.email, "Choose a new password"), "/reset")
	forgetful.open(link)
	forgetful.heading("Set a new password")
	forgetful.check("reset")
	forgetful.fill("New password", otherPassword)
	forgetful.fill("Code", wrongCode(t, who.seed))
	forgetful.submit("Set password")
	forgetful.problem()
	forgetful.fill("New password", otherPassword)
	forgetful.fill("Code", who.recovery[0])
	forgetful.submit("Set password")
	forgetful.sees("Your password was changed and all sessions were ended.")
	mailTo(t, portal, who.email, "Your password was changed")
	if where := p.leaves("/account"); where != "/sign-in" {
		t.Errorf("a session outlived the reset: %s", where)
	}
	forgetful.open(link)
	forgetful.heading("This link does not work any more")
	forgetful.check("link-dead")

	forgetful.open("/sign-in")
	forgetful.password(who)
	forgetful.heading("Sign in")
	forgetful.problem()
	who.password = otherPassword
	forgetful.signIn(who)
}

// TestSettings walks through the rest of a person's pages: step-up, password, address,
// tokens, errors.
func TestSettings(t *testing.T) {
	t.Parallel()
	portal := newStand(t)
	p := newPage(t, portal)
	who := p.signUp("edsger@people.example")
	p.signIn(who)
	p.open("/account/password")
	p.heading("Change your password")
	p.check("password")
	p.fill("New password", "too short")
	p.submit("Change password")
	p.problem()
	p.check("password-wrong")
	p.fill("New password", otherPassword)
	p.submit("Change password")
	p.sees("Your password was changed.")
	who.password = otherPassword

	p.open("/account/email")
	p.heading("Change your email address")
	p.check("email")
	p.fill("New email address", "dijkstra@people.example")
	p.submit("Send the link")
	p.sees("We sent a link to the new address.")
	mailTo(t, portal, who.email, "Your account is to get another email address")
	p.open(linkIn(t, mailTo(t, portal, "dijkstra@people.example", "Confirm your new email address"), "/new-email"))
	p.heading("Use this email address")
	p.check("new-email")
	p.submit("Change my address")
	p.sees("Your email address was changed.")
	undo := linkIn(t, mailTo(t, portal, who.email, "Your account has another email address"), "/undo-email")

	p.open("/account/tokens")
	p.heading("API tokens")
	p.check("tokens-none")
	p.token()

	p.open("/step-up")
	p.heading("Confirm that it is you")
	p.check("step-up")
	p.open("/account/does-not-exist")
	p.check("error-404")

	p.open(undo)
	p.heading("Get your old email address back")
	p.check("undo-email")
	p.submit("Undo the change")
	p.sees("Your old email address is back")
	// Whoever changed the address may know the password: it opens nothing any more.
	p.open("/sign-in")
	p.password(who)
	p.heading("Sign in")
	p.problem()
	p.open("/forgot")
	p.fill("Email address", who.email)
	p.submit("Mail me a link")
	p.open(linkIn(t, mailTo(t, portal, who.email, "Choose a new password"), "/reset"))
	who.password = password + " again"
	p.fill("New password", who.password)
	p.submit("Set password")
	p.signIn(who)
}

// TestStrangersCanNotLockAnybodyOut: after many wrong passwords from a strange browser
// that one has to wait, the person's own has not, and a browser proved by mail has not.
func TestStrangersCanNotLockAnybodyOut(t *testing.T) {
	t.Parallel()
	portal := newStand(t)
	own, strange := newPage(t, portal), newPage(t, portal)
	who := own.signUp("barbara@people.example")
	own.signIn(who)
	own.submit("Sign out")
	guess := *who
	guess.password = "not the password of anybody"
	strange.open("/sign-in")
	deadline := time.Now().Add(patience)
	for throttled := false; !throttled; {
		if time.Now().After(deadline) {
			strange.fail("nobody slows a stranger down")
		}
		strange.password(&guess)
		throttled = strings.Contains(strings.Join(strange.text("h1"), ""), "Too many attempts")
		if !throttled {
			strange.problem()
		}
	}
	strange.check("throttled")
	own.signIn(who)

	strange.submit("Mail me the link")
	strange.heading("Check your mail")
	strange.open(linkIn(t, mailTo(t, portal, who.email, "Sign in from your device"), "/device"))
	strange.heading("Confirm this browser")
	strange.check("device")
	strange.submit("Confirm this browser")
	strange.sees("This browser is confirmed.")
	strange.signIn(who)
}

// TestKeyboard: the first stop of the Tab key skips to the content, all further stops show
// that they have the focus, and a form can be sent from the keyboard.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	p := newPage(t, newStand(t))
	p.open("/sign-in")
	p.heading("Sign in")
	p.key(kb.Tab)
	p.until("the skip link to have the focus", `document.activeElement?.matches("a.skip") && document.activeElement.getBoundingClientRect().top >= 0`)
	p.key(kb.Enter)
	p.until("the content to have the focus", `document.activeElement?.id === "main"`)
	for range 4 {
		p.key(kb.Tab)
		p.until("a stop that can be seen", `(() => {
			const at = document.activeElement, style = getComputedStyle(at);
			return at !== document.body && at.checkVisibility() && (style.outlineStyle !== "none" || style.boxShadow !== "none");
		})()`)
	}
	p.fill("Email address", "nobody@people.example")
	p.fill("Password", password)
	p.key(kb.Enter)
	p.problem()
	p.until("the problems to have the focus, or to be told", `document.activeElement?.id === "problems" || document.querySelector("#problems")?.getAttribute("role") === "alert"`)
}

// TestWithoutScripts: all that a person has to do works without JavaScript.
func TestWithoutScripts(t *testing.T) {
	t.Parallel()
	portal := newStand(t)
	p := newPage(t, portal)
	p.withoutScripts()
	who := p.signUp("donald@people.example")
	p.signIn(who)
	p.enrol(who)
	p.open("/account/two-factor/remove")
	p.submit("Turn it off")
	p.sees("Two-factor sign-in is off.")
	who.seed = ""
	p.open("/account/sessions")
	p.submit("Sign out")
	p.heading("Sign in")
	p.sees("You are signed out.")
	p.signIn(who)
}
