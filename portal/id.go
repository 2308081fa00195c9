package portal

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// Identifiers are opaque: nothing of a person goes into them, so they may stand in logs,
// URLs and namespaces.
type (
	// AccountID names an account, for ever.
	AccountID string
	// SessionID names a session towards its owner. It is not the session's secret.
	SessionID string
	// FactorID names one TOTP seed.
	FactorID string
	// TokenID names an API token. It is not the token's secret.
	TokenID string
	// EventID names a security event.
	EventID string
	// HoldID names an investigation's hold.
	HoldID string
	// MailID names one mail; it is its Message-ID's left part.
	MailID string
)

// idBits is enough that nobody meets the same twice or guesses one.
const idBits = 128

const idAlphabet = "abcdefghijkmnpqrstuvwxyz23456789"

var idText = base32.NewEncoding(idAlphabet).WithPadding(base32.NoPadding)

// NewID makes an identifier of 26 letters and digits. A random source that fails stops
// the process: whatever went on without would be guessable.
func NewID[T ~string](random io.Reader) T {
	return T(idText.EncodeToString(randomBytes(random, idBits/8)))
}

// LooksLikeID reports whether a text has the form of an identifier: such a text is safe
// wherever identifiers are.
func LooksLikeID(text string) bool {
	return len(text) == idText.EncodedLen(idBits/8) && strings.Trim(text, idAlphabet) == ""
}

// secretBytes is the length of every secret that we hand out: 256 bits, more than the 128
// of ASVS 7.2.3.
const secretBytes = 32

// NewSecret makes a secret to hand out (52 letters and digits), and what is kept of it.
func NewSecret(random io.Reader) (string, Digest) {
	secret := idText.EncodeToString(randomBytes(random, secretBytes))
	return secret, DigestOf(secret)
}

// Digest is what is kept of a secret with at least 112 bits of randomness, for which a
// plain hash is enough (ASVS 6.5.2): its SHA-256.
type Digest [sha256.Size]byte

// DigestOf gives the digest under which a secret is found again.
func DigestOf(secret string) Digest { return sha256.Sum256([]byte(secret)) }

// String is hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

func randomBytes(random io.Reader, n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(random, b); err != nil {
		panic(fmt.Sprintf("read randomness: %v", err))
	}
	return b
}
