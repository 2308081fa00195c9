package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/lethe-dev/lethe/portal"
)

// keyBytes is the length of every key: 256 bits.
const keyBytes = 32

// Subkeys' purposes. Those of MAC have a prefix, so that none meets these.
const (
	purposeSeal   = "lethe portal seal 1"
	purposePepper = "lethe portal pepper 1"
	prefixMAC     = "lethe portal mac 1 "
)

// ErrUnknownKey says that something names a key that the ring does not have: the key file
// is not the one that belongs to the database, or the key was retired too early.
var ErrUnknownKey = errors.New("the key file has no key of this name")

// ErrCannotOpen says that a box was not sealed under this key for this context, or was
// changed.
var ErrCannotOpen = errors.New("the sealed secret does not open: it was changed, moved, or sealed under another key")

// Ring is the keys of one file. It does not change, so it may be used by many at once;
// printing it shows no key.
type Ring struct {
	current string
	keys    map[string][]byte
}

// Current names the key under which Seal seals.
func (r *Ring) Current() string { return r.current }

// IDs are the names of all keys, oldest first.
func (r *Ring) IDs() []string { return idsOf(r.keys) }

// Seal encrypts a secret with AES-256-GCM under the current key and a random nonce.
// Context is what the secret belongs to; Open needs the same, so that nobody can put one
// person's box into another's row.
func (r *Ring) Seal(plain, context []byte) (portal.Sealed, error) {
	aead, err := r.aead(r.current)
	if err != nil {
		return portal.Sealed{}, fmt.Errorf("seal a secret: %w", err)
	}
	return portal.Sealed{KeyID: r.current, Box: aead.Seal(nil, nil, plain, context)}, nil //nolint:gosec // G407: aead makes a random nonce itself and takes none.
}

// Open gives back what was sealed; ErrUnknownKey or ErrCannotOpen.
func (r *Ring) Open(sealed portal.Sealed, context []byte) ([]byte, error) {
	aead, err := r.aead(sealed.KeyID)
	if err != nil {
		return nil, fmt.Errorf("open a sealed secret: %w", err)
	}
	plain, err := aead.Open(nil, nil, sealed.Box, context)
	if err != nil {
		// The cause says nothing more, and that is on purpose.
		return nil, ErrCannotOpen
	}
	return plain, nil
}

// MAC is HMAC-SHA256 under a subkey of the oldest key: the same for the same data until
// that key is retired. Purposes have nothing in common.
func (r *Ring) MAC(purpose string, data []byte) [sha256.Size]byte {
	oldest := r.keys[r.IDs()[0]]
	return [sha256.Size]byte(mac(subkey(oldest, prefixMAC+purpose), data))
}

// Pepper is HMAC-SHA256 under a subkey of one key, by which a password is made useless to
// guess for who has only the database (NIST SP 800-63B-4, 3.1.1.2). ErrUnknownKey.
func (r *Ring) Pepper(keyID string, data []byte) ([]byte, error) {
	key, ok := r.keys[keyID]
	if !ok {
		return nil, fmt.Errorf("pepper: %w", ErrUnknownKey)
	}
	return mac(subkey(key, purposePepper), data), nil
}

// Format prints the ring without its keys, whatever the verb.
func (r *Ring) Format(f fmt.State, _ rune) { fmt.Fprint(f, r.describe()) }

// LogValue is the same for logs.
func (r *Ring) LogValue() slog.Value { return slog.StringValue(r.describe()) }

func (r *Ring) describe() string {
	return fmt.Sprintf("keyring of %d, current %s", len(r.keys), r.current)
}

func (r *Ring) aead(id string) (cipher.AEAD, error) {
	key, ok := r.keys[id]
	if !ok {
		return nil, ErrUnknownKey
	}
	block, err := aes.NewCipher(subkey(key, purposeSeal))
	if err != nil {
		return nil, fmt.Errorf("make the cipher: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// subkey can't fail: the length is far below what HKDF can give.
func subkey(key []byte, purpose string) []byte {
	sub, err := hkdf.Key(sha256.New, key, nil, purpose, keyBytes)
	if err != nil {
		panic(fmt.Sprintf("derive a key: %v", err))
	}
	return sub
}

func mac(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)
}

func idsOf(keys map[string][]byte) []string {
	ids := make([]string, 0, len(keys))
	for id := range keys {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return number(a) - number(b) })
	return ids
}
