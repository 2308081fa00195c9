package web

import (
	"context"
	"net/http"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Auth is what the pages need of package auth. Its methods give a *portal.Error whenever
// there is something to tell the person.
type Auth interface {
	Entrance
	SignIns
	Devices
	Resets
	Passwords
	Emails
	SecondFactors
	RecoveryCodes
	SessionList
	TokenList
	History
}

// Entrance makes accounts. SignUp and ResendVerification give no error for an address that
// is known, or not known: nobody learns from us who has an account.
type Entrance interface {
	SignUp(ctx context.Context, c portal.Client, email, password string) error
	ResendVerification(ctx context.Context, c portal.Client, email string) error
	VerifyEmail(ctx context.Context, c portal.Client, secret string) error
}

// SignIns starts, proves and ends sessions.
type SignIns interface {
	SignIn(ctx context.Context, c portal.Client, email, password string) (portal.SignInStep, error)
	FinishSignIn(ctx context.Context, c portal.Client, challenge, code string) (portal.NewSession, error)
	// Authenticate gives KindUnauthenticated for a session that does not count any more.
	Authenticate(ctx context.Context, c portal.Client, sessionSecret string) (portal.Principal, error)
	// Recognize is Authenticate for what a page does by itself: no sign of the person's life.
	Recognize(ctx context.Context, c portal.Client, sessionSecret string) (portal.Principal, error)
	StepUp(ctx context.Context, c portal.Client, p portal.Principal, password, code string) (portal.NewSession, error)
	SignOut(ctx context.Context, c portal.Client, p portal.Principal) error
}

// Devices makes a browser known by mail while somebody guesses a password.
type Devices interface {
	AskDevice(ctx context.Context, c portal.Client, email string) error
	ConfirmDevice(ctx context.Context, c portal.Client, secret string) (deviceSecret string, err error)
}

// Resets sets a forgotten password anew.
type Resets interface {
	AskReset(ctx context.Context, c portal.Client, email string) error
	Reset(ctx context.Context, c portal.Client, secret, password, code string) error
	// LinkState looks at an emailed link and changes nothing.
	LinkState(ctx context.Context, secret string, purpose portal.Purpose) (needsCode bool, err error)
}

// Passwords changes a password.
type Passwords interface {
	ChangePassword(ctx context.Context, c portal.Client, p portal.Principal, password string) (portal.NewSession, error)
}

// Emails changes an account's address.
type Emails interface {
	ChangeEmail(ctx context.Context, c portal.Client, p portal.Principal, email string) error
	ConfirmNewEmail(ctx context.Context, c portal.Client, secret string) error
	UndoEmail(ctx context.Context, c portal.Client, secret string) error
}

// SecondFactors enrols and removes authenticator apps.
type SecondFactors interface {
	BeginTOTP(ctx context.Context, c portal.Client, p portal.Principal) (portal.Enrolment, error)
	// PendingTOTP gives what was begun and waits for its first code; KindNotFound for none.
	PendingTOTP(ctx context.Context, p portal.Principal) (portal.Enrolment, error)
	ConfirmTOTP(ctx context.Context, c portal.Client, p portal.Principal, code string) (codes []string, s portal.NewSession, err error)
	RemoveTOTP(ctx context.Context, c portal.Client, p portal.Principal) (portal.NewSession, error)
}

// RecoveryCodes makes and counts the codes for a lost authenticator app.
type RecoveryCodes interface {
	RenewRecoveryCodes(ctx context.Context, c portal.Client, p portal.Principal) ([]string, error)
	RecoveryCodesLeft(ctx context.Context, p portal.Principal) (int, error)
}

// SessionList shows and ends a person's sessions.
type SessionList interface {
	Sessions(ctx context.Context, p portal.Principal) ([]portal.Session, error)
	EndSession(ctx context.Context, c portal.Client, p portal.Principal, id portal.SessionID) error
	EndOtherSessions(ctx context.Context, c portal.Client, p portal.Principal) error
}

// TokenList shows, makes and revokes a person's API tokens.
type TokenList interface {
	Tokens(ctx context.Context, p portal.Principal) ([]portal.APIToken, error)
	CreateToken(ctx context.Context, c portal.Client, p portal.Principal, name string, scopes []portal.Scope, life time.Duration) (secret string, t portal.APIToken, err error)
	RevokeToken(ctx context.Context, c portal.Client, p portal.Principal, id portal.TokenID) error
}

// History reads a person's own security events, and writes those that only the web sees.
type History interface {
	OwnEvents(ctx context.Context, p portal.Principal, after portal.EventCursor, limit int) ([]portal.Event, error)
	Record(ctx context.Context, c portal.Client, kind portal.EventKind, account portal.AccountID) error
}

// Clients finds out who is at the other end of a request. Device and RequestID are set here.
type Clients interface {
	Of(r *http.Request) portal.Client
}
