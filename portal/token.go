package portal

import (
	"hash/crc32"
	"io"
	"strconv"
	"strings"
	"time"
)

// Scope is what an API token may do.
type Scope string

// Scopes. A scope is never more than its account may do with a session; staff's
// permissions have none.
const (
	ScopeAccountRead   Scope = "account:read"
	ScopeEventsRead    Scope = "events:read"
	ScopeSessionWrite  Scope = "sessions:write"
	ScopeDatasetsRead  Scope = "datasets:read"  // datasets and receipts
	ScopeDatasetsWrite Scope = "datasets:write" // upload, seal, shorten, erase
	ScopeRunsRead      Scope = "runs:read"      // runs, logs, artifacts
	ScopeRunsWrite     Scope = "runs:write"     // start, cancel, suspend, resume, delete
)

// Scopes are all of them.
func Scopes() []Scope {
	return []Scope{
		ScopeAccountRead, ScopeEventsRead, ScopeSessionWrite,
		ScopeDatasetsRead, ScopeDatasetsWrite, ScopeRunsRead, ScopeRunsWrite,
	}
}

// Bounds of API tokens.
const (
	MaxTokens        = 20
	MaxTokenLife     = 365 * 24 * time.Hour
	DefaultTokenLife = 90 * 24 * time.Hour
	MaxTokenName     = 60
)

// APIToken lets a program act for an account, within scopes, until it expires.
type APIToken struct {
	ID      TokenID
	Account AccountID
	Digest  Digest
	// Name is the person's own word for it.
	Name   string
	Hint   string // the secret's last four characters, to recognise it
	Scopes []Scope
	// LastUsedAt is zero for never, and is not moved more often than SeenEvery.
	CreatedAt, ExpiresAt, LastUsedAt time.Time
	// RevokedAt is zero while the token is good.
	RevokedAt time.Time
}

// tokenPrefix lets secret scanners find a token that was published by mistake.
const tokenPrefix = "lethe_pat_"

// NewAPITokenSecret makes the secret of a token: the prefix, 256 random bits, and a
// checksum (CRC-32) so that scanners and we can tell a token from something like it
// without asking the database.
func NewAPITokenSecret(random io.Reader) (string, Digest) {
	body, _ := NewSecret(random)
	secret := tokenPrefix + body + checksum(body)
	return secret, DigestOf(secret)
}

// LooksLikeAPIToken reports whether a text has the form of a token's secret.
func LooksLikeAPIToken(text string) bool {
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	const sum = 8
	if !ok || len(rest) <= sum {
		return false
	}
	return checksum(rest[:len(rest)-sum]) == rest[len(rest)-sum:]
}

func checksum(body string) string {
	text := strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(body))), 16)
	return strings.Repeat("0", 8-len(text)) + text
}
