package portal

import "time"

// Purpose is what an emailed link is good for, and nothing else.
type Purpose string

// Purposes.
const (
	// PurposeVerify proves the address of a new account.
	PurposeVerify Purpose = "verify"
	// PurposeReset sets a new password; the second factor is still asked for.
	PurposeReset Purpose = "reset"
	// PurposeNewEmail proves the address that an account is to have.
	PurposeNewEmail Purpose = "new-email"
	// PurposeUndoEmail, sent to the old address, takes a change of email back.
	PurposeUndoEmail Purpose = "undo-email"
	// PurposeDevice makes a browser known to an account while somebody guesses its
	// password, so that the guesses of others don't count against it.
	PurposeDevice Purpose = "device"
)

// Life is how long a link of this purpose is good.
func (p Purpose) Life() time.Duration {
	switch p {
	case PurposeVerify:
		return 24 * time.Hour
	case PurposeUndoEmail:
		return 72 * time.Hour
	default:
		return 30 * time.Minute
	}
}

// Path is the path of the page that a link of this purpose opens; its secret is the query
// parameter "token".
func (p Purpose) Path() string { return "/" + string(p) }

// Link is a secret of 256 bits that was mailed, as kept. It is good once. Opening it (GET)
// changes nothing, since mail scanners open links; a form on the page does.
type Link struct {
	Digest    Digest
	Account   AccountID
	Purpose   Purpose
	Email     Email // the address that it proves, or (undo) brings back
	CreatedAt time.Time
	ExpiresAt time.Time
}
