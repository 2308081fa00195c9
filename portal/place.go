package portal

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Grant is a place in the object store, and short-lived credentials that reach no other.
// It is kept in memory only.
type Grant struct {
	// Endpoint is the store's URL, CABundle (PEM) what its certificate is verified with;
	// empty for the system's.
	Endpoint, CABundle, Region string
	// Bucket and Prefix are the place.
	Bucket, Prefix string
	// AccessKeyID, SecretAccessKey and SessionToken sign requests (AWS STS).
	AccessKeyID, SecretAccessKey, SessionToken string
	IssuedAt, ExpiresAt                        time.Time
	// Key is what every object of the place is stored under, by SSE-C: 32 bytes, or none.
	Key []byte
	// InsecurePlaintext allows an Endpoint without TLS. A Key never goes over one.
	InsecurePlaintext bool
}

// Format implements fmt.Formatter: no verb shows more than the place.
func (g Grant) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, g.place()) }

// LogValue implements slog.LogValuer and shows the place only.
func (g Grant) LogValue() slog.Value { return slog.StringValue(g.place()) }

func (g Grant) place() string { return "grant for " + g.Bucket + "/" + g.Prefix }

// SignedRequest is one that a browser may send to the store by itself.
type SignedRequest struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	// Headers have to be sent as they are: they are signed.
	Headers map[string]string `json:"headers,omitempty"`
	// ExpiresAt is when the store begins to refuse it.
	ExpiresAt time.Time `json:"expiresAt"`
}

// ArtifactFile is one of a run's results.
type ArtifactFile struct {
	Path   string
	Size   int64
	SHA256 string
}
