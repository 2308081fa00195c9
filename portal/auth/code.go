package auth

import (
	"io"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/lethe-dev/lethe/portal"
)

// Codes of authenticator apps: RFC 6238 with what every app can do.
const (
	totpDigits = 6
	totpPeriod = 30 * time.Second
	// seedBytes is what RFC 4226, 4 recommends: 160 bits.
	seedBytes = 20
)

// maxCode bounds what is looked at; a code with a mark after each character is shorter.
const maxCode = 64

// codeForm is which of the two kinds of codes a text can be.
type codeForm int

const (
	formNone codeForm = iota
	formTOTP
	formRecovery
)

// recoveryGroups is how a recovery code is written: 26 letters and digits, 128 bits.
var recoveryGroups = []int{4, 4, 4, 4, 5, 5}

const (
	recoveryLength   = 26
	recoveryAlphabet = "abcdefghijkmnpqrstuvwxyz23456789"
)

// parseCode tells the kinds of codes apart by their form and gives the normal one. Blanks,
// dashes and case don't count, and l and 1, which no recovery code has, are taken for i.
func parseCode(text string) (string, codeForm) {
	if len(text) > maxCode {
		return "", formNone
	}
	text = strings.Map(func(c rune) rune {
		if c == ' ' || c == '-' || c == '\t' || c == '\u00a0' {
			return -1
		}
		return c
	}, text)
	if len(text) == totpDigits && strings.Trim(text, "0123456789") == "" {
		return text, formTOTP
	}
	text = strings.NewReplacer("l", "i", "1", "i").Replace(strings.ToLower(text))
	if len(text) == recoveryLength && strings.Trim(text, recoveryAlphabet) == "" {
		return text, formRecovery
	}
	return "", formNone
}

// newRecoveryCodes makes codes for the person, and what is kept of them.
func newRecoveryCodes(random io.Reader) ([]string, []portal.Digest) {
	codes, digests := make([]string, portal.RecoveryCodes), make([]portal.Digest, portal.RecoveryCodes)
	for i := range codes {
		code := portal.NewID[string](random) // 128 bits in the same alphabet
		digests[i] = portal.DigestOf(code)
		var groups []string
		for _, n := range recoveryGroups {
			groups, code = append(groups, code[:n]), code[n:]
		}
		codes[i] = strings.Join(groups, "-")
	}
	return codes, digests
}

// stepOf is the time step of RFC 6238 that a moment is in.
func stepOf(now time.Time) int64 { return now.Unix() / int64(totpPeriod/time.Second) }

// findStep gives the newest step around now whose code this is, among those after last. A
// code can be that of two neighbouring steps: taking the older would leave the newer to
// be used again. Match reports whether it is the code of any step at all, which makes one
// of none after last a replay.
//
// One step of drift either way is accepted, as RFC 6238, 5.2 recommends; ASVS 6.5.5's
// 30 s would refuse people whose clock is a few seconds off.
func findStep(seed, code string, now time.Time, last int64) (step int64, match, fresh bool, err error) {
	for s := stepOf(now) + 1; s >= stepOf(now)-1; s-- {
		ok, err := codeIs(seed, code, s)
		if err != nil {
			return 0, false, false, err
		}
		if !ok {
			continue
		}
		match = true
		if !fresh && s > last {
			step, fresh = s, true
		}
	}
	return step, match, fresh, nil
}

func codeIs(seed, code string, step int64) (bool, error) {
	if step < 0 {
		return false, nil
	}
	return hotp.ValidateCustom(code, uint64(step), seed, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
}
