package portal

import "time"

// Lives of sessions (NIST SP 800-63B-4 AAL2: at most 24 h overall, 1 h idle).
const (
	SessionAbsolute = 24 * time.Hour
	SessionIdle     = time.Hour
	// SeenEvery bounds the writes of a busy session: LastSeenAt is not moved more often.
	SeenEvery = time.Minute
	// StepUpLife is for how long an authentication counts for sensitive acts.
	StepUpLife = 10 * time.Minute
)

// Session is a browser that is signed in. The browser holds a secret of 256 bits; the
// store its digest.
type Session struct {
	ID      SessionID
	Account AccountID
	Digest  Digest
	// CreatedAt is when the person signed in; ExpiresAt is SessionAbsolute later.
	CreatedAt, ExpiresAt time.Time
	// AuthenticatedAt is when all factors of the account were last shown.
	AuthenticatedAt time.Time
	LastSeenAt      time.Time
	// SecondFactor reports whether a second factor was shown.
	SecondFactor bool
	// Browser is the family and system ("Firefox on Linux"), Country where it was signed
	// in from: what its owner needs to recognise it. No address is kept.
	Browser, Country string
}

// Live reports whether the session still counts.
func (s Session) Live(now time.Time) bool {
	return now.Before(s.ExpiresAt) && now.Sub(s.LastSeenAt) < SessionIdle
}

// SteppedUp reports whether a sensitive act may be done without asking again.
func (s Session) SteppedUp(now time.Time) bool { return now.Sub(s.AuthenticatedAt) < StepUpLife }

// Challenge is a sign-in between its two factors: the password was right. The browser
// holds its secret.
type Challenge struct {
	Digest    Digest
	Account   AccountID
	CreatedAt time.Time
	ExpiresAt time.Time
	// Tries counts codes that were wrong.
	Tries int
}

// Bounds of a challenge.
const (
	ChallengeLife  = 5 * time.Minute
	ChallengeTries = 5
)

// Principal is who asks: an account by a session or by an API token.
type Principal struct {
	Account Account
	// SecondFactor reports whether the account has a confirmed second factor.
	SecondFactor bool
	// Session is nil for an API token.
	Session *Session
	// Token is nil for a session.
	Token *APIToken
}

// May reports whether who asks has a permission now: staff without a second factor, or
// signed in without it, has none; neither has an API token.
func (p Principal) May(permission Permission) bool {
	return p.Account.Role.May(permission) && p.SecondFactor && p.Session != nil && p.Session.SecondFactor
}

// NewSession is a session just made, with the secret for the browser.
type NewSession struct {
	Session Session
	// Secret is for the cookie __Host-session.
	Secret string
	// DeviceSecret is for the cookie __Host-device; "" when the browser had a known one.
	DeviceSecret string
}

// Device is a browser that an account has signed in from before. Its cookie lives for
// DeviceLife and is strictly necessary for security: without it each sign-in would be
// told as new, and an attacker could lock the person out by guessing.
type Device struct {
	Digest    Digest
	Account   AccountID
	CreatedAt time.Time
	// LastSeen is the last sign-in. One that mail has proved has had none: there it is
	// before CreatedAt, so that it is forgotten within a day.
	LastSeen time.Time
}

// DeviceLife is how long a device is remembered after its last sign-in.
const DeviceLife = 365 * 24 * time.Hour

// SignInStep is what a right password leads to: a session, or the question for a code.
type SignInStep struct {
	// Session is nil while a code is still needed.
	Session *NewSession
	// Challenge is then the secret for the cookie __Host-challenge, which lives for
	// ChallengeLife; otherwise "".
	Challenge string
}
