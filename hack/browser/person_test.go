package browser_test

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/lethe-dev/lethe/hack/mailsink"
	"github.com/lethe-dev/lethe/hack/portaldemo/stand"
)

// person is somebody with an account.
type person struct {
	email, password string
	// seed is of the authenticator app, base32; "" for none.
	seed string
	// used is the newest time step whose code was used: none up to it is good again.
	used int64
	// recovery are the codes that were shown.
	recovery []string
}

const (
	password      = "seven grey herons over the water"
	otherPassword = "nine quiet otters under the bridge"
)

// mailTo waits for a mail to a person with this subject, and gives the newest.
func mailTo(t *testing.T, portal *stand.Stand, email, subject string) mailsink.Mail {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	matches := func(m mailsink.Mail) bool {
		return slices.Contains(m.To, email) && m.Subject == subject
	}
	if _, err := portal.Sink.Wait(ctx, matches); err != nil {
		var subjects []string
		for _, m := range portal.Sink.Mails() {
			subjects = append(subjects, m.Subject)
		}
		t.Fatalf("no mail to %s about %q came: %v; there are %q", email, subject, err, subjects)
	}
	var newest mailsink.Mail
	for _, m := range portal.Sink.Mails() {
		if matches(m) {
			newest = m
		}
	}
	return newest
}

// linkIn is the link of a mail that leads to a path of the portal with a secret.
func linkIn(t *testing.T, m mailsink.Mail, path string) string {
	t.Helper()
	for _, link := range m.Links {
		if strings.Contains(link, path+"?token=") {
			return link
		}
	}
	t.Fatalf("the mail %q has no link to %s: %q", m.Subject, path, m.Links)
	return ""
}

// signUp makes an account and proves its address.
func (p *page) signUp(email string) *person {
	p.t.Helper()
	who := &person{email: email, password: password}
	p.open("/sign-up")
	p.heading("Create your account")
	p.fill("Email address", email)
	p.fill("Password", password)
	p.submit("Create account")
	p.heading("Check your mail")
	p.open(linkIn(p.t, mailTo(p.t, p.portal, email, "Confirm your email address"), "/verify"))
	p.heading("Confirm your email address")
	p.submit("Confirm")
	p.heading("Sign in")
	p.sees("Your email address is confirmed.")
	return who
}

// signIn shows the password, and a code if the account has a second factor.
func (p *page) signIn(who *person) {
	p.t.Helper()
	p.open("/sign-in")
	p.password(who)
	if who.seed != "" {
		p.heading("Enter your code")
		p.fill("Code", p.code(who))
		p.submit("Continue")
	}
	p.heading("Your account")
}

func (p *page) password(who *person) {
	p.t.Helper()
	p.heading("Sign in")
	p.fill("Email address", who.email)
	p.fill("Password", who.password)
	p.submit("Sign in")
}

// enrol sets an authenticator app up, of a person who has just signed in.
func (p *page) enrol(who *person) {
	p.t.Helper()
	p.open("/account/two-factor/setup")
	p.heading("Set up two-factor sign-in")
	p.submit("Show the QR code")
	p.sees("Enter the code that it shows")
	who.seed = strings.ReplaceAll(strings.Join(p.text("#totp-secret"), ""), " ", "")
	p.check("two-factor-enrol")
	p.fill("Code", p.code(who))
	p.submit("Turn on")
	p.heading("Your recovery codes")
	who.recovery = p.text("#recovery-codes code")
	if len(who.recovery) != 10 {
		p.fail("%d recovery codes were shown", len(who.recovery))
	}
}

// period is that of TOTP (RFC 6238).
const period = 30

// code computes one that was not used. The next step's is taken when this one's was: the
// portal allows for clocks that go fast. When both were, time has to pass.
func (p *page) code(who *person) string {
	p.t.Helper()
	deadline := time.Now().Add(2 * period * time.Second)
	for {
		now := time.Now()
		step := max(now.Unix()/period, who.used+1)
		if step <= now.Unix()/period+1 {
			who.used = step
			return codeOf(p.t, who.seed, step)
		}
		if now.After(deadline) {
			p.fail("no code became free")
		}
		waitUntil(p.t, time.Unix((step-1)*period, 0))
	}
}

// waitUntil is for the time itself: a code is good in its half minute.
func waitUntil(t *testing.T, moment time.Time) {
	t.Helper()
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

func codeOf(t *testing.T, seed string, step int64) string {
	t.Helper()
	code, err := totp.GenerateCode(seed, time.Unix(step*period, 0))
	if err != nil {
		t.Fatalf("compute a code: %v", err)
	}
	return code
}

// wrongCode is one that is right in no step near now.
func wrongCode(t *testing.T, seed string) string {
	t.Helper()
	now := time.Now().Unix() / period
	var right []string
	for step := now - 3; step <= now+3; step++ {
		right = append(right, codeOf(t, seed, step))
	}
	for _, code := range []string{"000000", "123456", "314159", "271828", "161803", "141421", "173205", "223606"} {
		if !slices.Contains(right, code) {
			return code
		}
	}
	t.Fatal("all of these codes are right")
	return ""
}

var secretForm = regexp.MustCompile(`[a-z2-9]{52}`)

// checkLog fails for what a log may not hold. Words are what this very test typed and was
// mailed; the rest is looked for by its form.
func checkLog(t *testing.T, log string, words []string) {
	t.Helper()
	for line := range strings.Lines(log) {
		for _, word := range append(words, "@", "127.0.0.1", "::1", "localhost/", "?token=") {
			if strings.Contains(strings.ToLower(line), strings.ToLower(word)) {
				t.Errorf("the log holds %q: %s", word, line)
			}
		}
		if secretForm.MatchString(line) {
			t.Errorf("the log holds a secret: %s", line)
		}
	}
	if !strings.Contains(log, `"msg":"Serving"`) {
		t.Error("the log was not looked at: it has no line about serving")
	}
}
