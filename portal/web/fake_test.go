package web

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// start is when the tests' clock stands.
var start = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// fakeAuth knows the sessions that it was given, and answers with what its fields hold. A
// method whose name is in errs fails with that error.
type fakeAuth struct {
	Auth // what is not faked panics

	mutex    sync.Mutex
	sessions map[string]portal.Principal // by secret
	errs     map[string]error
	recorded []portal.EventKind

	step      portal.SignInStep
	needsCode bool
	pending   portal.Enrolment
	list      []portal.Session
	tokens    []portal.APIToken
	events    []portal.Event
}

// secretOf is a well-formed secret that begins with a name.
func secretOf(name string) string { return name + strings.Repeat("a", secretLength-len(name)) }

// person is who is signed in with the secret of that name.
func (f *fakeAuth) person(name string, mods ...func(*portal.Principal)) portal.Principal {
	p := portal.Principal{
		Account: portal.Account{
			ID: portal.AccountID(name + strings.Repeat("q", 26-len(name))), Email: portal.Email(name + "@example.org"), EmailVerifiedAt: start,
			PasswordChangedAt: start.Add(-40 * 24 * time.Hour), CreatedAt: start.Add(-90 * 24 * time.Hour), Role: portal.RoleUser,
		},
		Session: &portal.Session{ID: portal.SessionID(name), AuthenticatedAt: start, SecondFactor: true, Browser: "Firefox on Linux", Country: "DE", CreatedAt: start.Add(-time.Hour), LastSeenAt: start},
	}
	p.SecondFactor = true
	for _, mod := range mods {
		mod(&p)
	}
	f.sessions[secretOf(name)] = p
	return p
}

func (f *fakeAuth) err(method string) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.errs[method]
}

func (f *fakeAuth) fail(method string, err error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.errs[method] = err
}

func (f *fakeAuth) Authenticate(_ context.Context, _ portal.Client, secret string) (portal.Principal, error) {
	if err := f.err("Authenticate"); err != nil {
		return portal.Principal{}, err
	}
	p, ok := f.sessions[secret]
	if !ok {
		return p, &portal.Error{Kind: portal.KindUnauthenticated, Message: "Sign in again."}
	}
	return p, nil
}

func (f *fakeAuth) Recognize(ctx context.Context, c portal.Client, secret string) (portal.Principal, error) {
	if err := f.err("Recognize"); err != nil {
		return portal.Principal{}, err
	}
	return f.Authenticate(ctx, c, secret)
}

func (f *fakeAuth) SignUp(context.Context, portal.Client, string, string) error {
	return f.err("SignUp")
}

func (f *fakeAuth) ResendVerification(context.Context, portal.Client, string) error {
	return f.err("ResendVerification")
}

func (f *fakeAuth) VerifyEmail(context.Context, portal.Client, string) error {
	return f.err("VerifyEmail")
}

func (f *fakeAuth) SignIn(context.Context, portal.Client, string, string) (portal.SignInStep, error) {
	return f.step, f.err("SignIn")
}

func (f *fakeAuth) FinishSignIn(context.Context, portal.Client, string, string) (portal.NewSession, error) {
	return portal.NewSession{Secret: secretOf("new"), DeviceSecret: secretOf("device")}, f.err("FinishSignIn")
}

func (f *fakeAuth) AskDevice(context.Context, portal.Client, string) error { return f.err("AskDevice") }

func (f *fakeAuth) ConfirmDevice(context.Context, portal.Client, string) (string, error) {
	return secretOf("device"), f.err("ConfirmDevice")
}

func (f *fakeAuth) StepUp(context.Context, portal.Client, portal.Principal, string, string) (portal.NewSession, error) {
	return portal.NewSession{Secret: secretOf("new")}, f.err("StepUp")
}

func (f *fakeAuth) SignOut(context.Context, portal.Client, portal.Principal) error {
	return f.err("SignOut")
}

func (f *fakeAuth) AskReset(context.Context, portal.Client, string) error { return f.err("AskReset") }

func (f *fakeAuth) Reset(context.Context, portal.Client, string, string, string) error {
	return f.err("Reset")
}

func (f *fakeAuth) LinkState(_ context.Context, secret string, _ portal.Purpose) (bool, error) {
	if secret == "" {
		return false, portal.ErrNotFound
	}
	return f.needsCode, f.err("LinkState")
}

func (f *fakeAuth) ChangePassword(context.Context, portal.Client, portal.Principal, string) (portal.NewSession, error) {
	return portal.NewSession{Secret: secretOf("new")}, f.err("ChangePassword")
}

func (f *fakeAuth) ChangeEmail(context.Context, portal.Client, portal.Principal, string) error {
	return f.err("ChangeEmail")
}

func (f *fakeAuth) ConfirmNewEmail(context.Context, portal.Client, string) error {
	return f.err("ConfirmNewEmail")
}

func (f *fakeAuth) UndoEmail(context.Context, portal.Client, string) error { return f.err("UndoEmail") }

func (f *fakeAuth) BeginTOTP(context.Context, portal.Client, portal.Principal) (portal.Enrolment, error) {
	return f.pending, f.err("BeginTOTP")
}

func (f *fakeAuth) PendingTOTP(context.Context, portal.Principal) (portal.Enrolment, error) {
	return f.pending, f.err("PendingTOTP")
}

func (f *fakeAuth) ConfirmTOTP(context.Context, portal.Client, portal.Principal, string) ([]string, portal.NewSession, error) {
	return codes(), portal.NewSession{Secret: secretOf("new")}, f.err("ConfirmTOTP")
}

func codes() []string {
	list := make([]string, portal.RecoveryCodes)
	for i := range list {
		list[i] = "kx7m-" + strings.Repeat(string(rune('b'+i)), 4) + "-p2wq-9hta-vu4e-gm3c-z5"
	}
	return list
}

func (f *fakeAuth) RemoveTOTP(context.Context, portal.Client, portal.Principal) (portal.NewSession, error) {
	return portal.NewSession{Secret: secretOf("new")}, f.err("RemoveTOTP")
}

func (f *fakeAuth) RenewRecoveryCodes(context.Context, portal.Client, portal.Principal) ([]string, error) {
	return codes(), f.err("RenewRecoveryCodes")
}

func (f *fakeAuth) RecoveryCodesLeft(context.Context, portal.Principal) (int, error) {
	return 8, f.err("RecoveryCodesLeft")
}

func (f *fakeAuth) Sessions(_ context.Context, p portal.Principal) ([]portal.Session, error) {
	return append([]portal.Session{*p.Session}, f.list...), f.err("Sessions")
}

func (f *fakeAuth) EndSession(_ context.Context, _ portal.Client, p portal.Principal, id portal.SessionID) error {
	if id != p.Session.ID && id != "other" {
		return portal.ErrNotFound
	}
	return f.err("EndSession")
}

func (f *fakeAuth) EndOtherSessions(context.Context, portal.Client, portal.Principal) error {
	return f.err("EndOtherSessions")
}

func (f *fakeAuth) Tokens(context.Context, portal.Principal) ([]portal.APIToken, error) {
	return f.tokens, f.err("Tokens")
}

func (f *fakeAuth) CreateToken(_ context.Context, _ portal.Client, _ portal.Principal, name string, scopes []portal.Scope, life time.Duration) (string, portal.APIToken, error) {
	return "lethe_pat_" + strings.Repeat("x7kq", 15), portal.APIToken{Name: name, Scopes: scopes, ExpiresAt: start.Add(life)}, f.err("CreateToken")
}

func (f *fakeAuth) RevokeToken(_ context.Context, _ portal.Client, _ portal.Principal, id portal.TokenID) error {
	if id == "theirs" {
		return portal.ErrNotFound
	}
	return f.err("RevokeToken")
}

func (f *fakeAuth) OwnEvents(_ context.Context, _ portal.Principal, _ portal.EventCursor, limit int) ([]portal.Event, error) {
	return f.events[:min(limit, len(f.events))], f.err("OwnEvents")
}

func (f *fakeAuth) Record(_ context.Context, _ portal.Client, kind portal.EventKind, _ portal.AccountID) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.recorded = append(f.recorded, kind)
	return f.errs["Record"]
}

// fakePreferences fails as its fakeAuth does.
type fakePreferences struct{ auth *fakeAuth }

func (f fakePreferences) WantedMails(context.Context, portal.Principal) ([]portal.MailKind, error) {
	return []portal.MailKind{portal.MailRunFailed}, f.auth.err("WantedMails")
}

func (f fakePreferences) SetWantedMails(context.Context, portal.Principal, []portal.MailKind) error {
	return f.auth.err("SetWantedMails")
}

// newFakeAuth has somebody with sessions, tokens and events of every kind.
func newFakeAuth(t testing.TB) *fakeAuth {
	t.Helper()
	f := &fakeAuth{sessions: map[string]portal.Principal{}, errs: map[string]error{}}
	f.step = portal.SignInStep{Session: &portal.NewSession{Secret: secretOf("new"), DeviceSecret: secretOf("device")}}
	f.list = []portal.Session{
		{ID: "other", Browser: "Safari on iPhone", Country: "DE", CreatedAt: start.Add(-5 * time.Hour), LastSeenAt: start.Add(-30 * time.Minute)},
		{ID: "third", Browser: "Chrome on Windows", Country: "ZZ", CreatedAt: start.Add(-11 * time.Hour), LastSeenAt: start.Add(-50 * time.Minute)},
	}
	f.tokens = []portal.APIToken{
		{ID: "mine", Name: "nightly export", Hint: "x7kq", Scopes: portal.Scopes(), CreatedAt: start.Add(-time.Hour), ExpiresAt: start.Add(80 * 24 * time.Hour), LastUsedAt: start.Add(-time.Hour)},
		{ID: "old", Name: "laptop", Hint: "9hta", Scopes: portal.Scopes()[:1], CreatedAt: start.Add(-90 * 24 * time.Hour), ExpiresAt: start.Add(-time.Hour)},
	}
	for i, kind := range portal.EventKinds() {
		f.events = append(f.events, portal.Event{
			ID: portal.EventID(strings.Repeat("e", 26)), Kind: kind, Time: start.Add(-time.Duration(i) * 7 * time.Hour),
			IP: netip.MustParseAddr("203.0.113.77"), UserAgent: "agent", Country: []string{"DE", "FR", "ZZ"}[i%3],
		})
	}
	f.pending = portal.Enrolment{Factor: "factor", Secret: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", URI: "otpauth://totp/x", QR: checkers(t)}
	return f
}

// checkers is a picture.
func checkers(t testing.TB) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 29, 29))
	for i := range img.Pix {
		img.Pix[i] = byte(i * i % 7 / 4 * 255)
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// fakeClients is one client.
type fakeClients struct{}

func (fakeClients) Of(*http.Request) portal.Client {
	return portal.Client{IP: netip.MustParseAddr("203.0.113.9"), UserAgent: "agent", Country: "DE"}
}
