package objectstore

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"unique"

	"github.com/minio/minio-go/v7/pkg/encrypt"
)

// KeySize is the length of a key in bytes.
const KeySize = 32

// keyIDContext keeps the hash that names a key from being one of anything else.
const keyIDContext = "lethe.dev/key-id\n"

// hiddenKey is what a key looks like wherever it is printed.
const hiddenKey = "[key]"

// Key encrypts objects in the store with AES-256, by S3's SSE-C: the store uses it
// for a request and forgets it. The zero value is no key. Keys are compared with ==.
// No way of printing or encoding a Key shows it, nor anything that holds one; Bytes
// does.
type Key struct {
	// raw is behind two pointers: where a key is in an unexported field, fmt goes past
	// its methods, and with some verbs follows one. They are interned ones, so that ==
	// compares keys.
	raw unique.Handle[unique.Handle[[KeySize]byte]]
}

// NewKey makes a key of KeySize random bytes.
func NewKey(raw []byte) (Key, error) {
	if len(raw) != KeySize {
		return Key{}, fmt.Errorf("make an encryption key: it has %d bytes, want %d", len(raw), KeySize)
	}
	array := [KeySize]byte(raw)
	if array == [KeySize]byte{} {
		return Key{}, errors.New("make an encryption key: all of its bytes are zero")
	}
	return Key{raw: unique.Make(unique.Make(array))}, nil
}

// Bytes gives a copy of the key's bytes; nil for no key.
func (k Key) Bytes() []byte {
	if k.IsZero() {
		return nil
	}
	raw := k.raw.Value().Value()
	return raw[:]
}

// IsZero says whether this is no key.
func (k Key) IsZero() bool { return k == Key{} }

// ID names the key without telling it: the first 16 bytes of a SHA-256 of it, in
// hexadecimal; empty for no key.
func (k Key) ID() string {
	if k.IsZero() {
		return ""
	}
	sum := sha256.Sum256(append([]byte(keyIDContext), k.Bytes()...))
	return hex.EncodeToString(sum[:16])
}

// String implements fmt.Stringer and hides the key.
func (k Key) String() string {
	if k.IsZero() {
		return "[no key]"
	}
	return hiddenKey
}

// GoString implements fmt.GoStringer and hides the key.
func (k Key) GoString() string { return k.String() }

// Format implements fmt.Formatter: no verb shows the key.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue implements slog.LogValuer and hides the key.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText implements encoding.TextMarshaler and hides the key.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// MarshalJSON implements json.Marshaler and hides the key.
func (k Key) MarshalJSON() ([]byte, error) { return []byte(`"` + k.String() + `"`), nil }

// sse is nil for no key, as minio-go wants it.
func (k Key) sse() (side encrypt.ServerSide, err error) {
	if !k.IsZero() {
		side, err = encrypt.NewSSEC(k.Bytes())
	}
	return side, err
}

// UnderKey gives a view of the client that stores and reads objects under a key, by
// SSE-C; with the zero key, under none. Everything else needs no key and is the same.
// Put replaces what was there under another key. Get of an object that is not under
// this very key is ErrKey, unless it is empty: MinIO gives nothing under any key. Over a plain endpoint both fail without sending anything.
func (c *Client) UnderKey(k Key) *Client {
	view := *c
	view.key = k
	return &view
}

// encryption gives what requests for objects carry along.
func (c *Client) encryption() (encrypt.ServerSide, error) {
	if c.plaintext && !c.key.IsZero() {
		return nil, errPlaintextKey
	}
	return c.key.sse()
}

var errPlaintextKey = errors.New("the object store's endpoint is not https, and a dataset's key " +
	"must not cross the network in the clear: give the store a certificate")
