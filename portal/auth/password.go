package auth

import (
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/lethe-dev/lethe/portal"
)

// Bounds of passwords. NIST SP 800-63B-4, 3.1.1.2: 15 code points at least where a password
// may be the only factor, no rules of composition, 64 at least must be possible.
const (
	minPassword = 15
	// maxPassword is in bytes of the normal form.
	maxPassword = 256
	// maxRaw bounds what is normalised at all: no text of maxPassword bytes in NFKC needs
	// more than four times as many.
	maxRaw = 4 * maxPassword
)

// normal gives the form in which passwords are hashed: NFKC, so that one that is typed on
// another system is the same. False for what no password can be.
func normal(password string) (string, bool) {
	if len(password) > maxRaw || !utf8.ValidString(password) {
		return "", false
	}
	text := norm.NFKC.String(password)
	return text, len(text) <= maxPassword
}

// acceptable gives a new password in normal form, or says what is wrong with it.
func (s *Service) acceptable(password string, email portal.Email) (string, error) {
	text, ok := normal(password)
	if !ok {
		return "", portal.Invalid("password", fmt.Sprintf("This password is too long, or not text. Use at most %d bytes.", maxPassword))
	}
	if n := utf8.RuneCountInString(text); n < minPassword {
		return "", portal.Invalid("password", fmt.Sprintf("This password has %d characters; it needs at least %d. A few random words make a good one.", n, minPassword))
	}
	if reason := guessable(text, contextWords(s.issuer, email)); reason != "" {
		return "", portal.Invalid("password", reason)
	}
	return text, nil
}
