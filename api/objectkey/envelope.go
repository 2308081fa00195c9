package objectkey

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// ReceiptPayloadType is the type that is signed along with a receipt.
const ReceiptPayloadType = "application/vnd.lethe.erase-receipt+json"

// MaxReceiptSize bounds a signed receipt, in bytes.
const MaxReceiptSize = 64 << 10

// What can be wrong with a signed receipt.
var (
	// ErrBadReceipt: it is not a receipt, or does not make sense as one.
	ErrBadReceipt = errors.New("not a valid erase receipt")
	// ErrUnknownKey: none of the given keys has signed it.
	ErrUnknownKey = errors.New("signed with a key that is not known here")
	// ErrBadSignature: it, or its signature, was changed after it was signed.
	ErrBadSignature = errors.New("the signature does not fit")
)

// pemPublicKey is the type of PEM block of a public key (RFC 7468, section 13).
const pemPublicKey = "PUBLIC KEY"

// dsse is a DSSE v1 envelope (github.com/secure-systems-lab/dsse, protocol.md and
// envelope.md). DSSE lets readers skip fields that they do not know and allows
// several signatures; this format has neither, because the chain of receipts
// holds digests of envelopes, so that each must have one form.
type dsse struct {
	Payload     []byte      `json:"payload"`
	PayloadType string      `json:"payloadType"`
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	// KeyID is a hint which key to try, and is not signed itself.
	KeyID string `json:"keyid"`
	Sig   []byte `json:"sig"`
}

func (e dsse) normal() dsse { return e }

// Validate looks at the form only.
func (e dsse) Validate() error {
	switch {
	case e.PayloadType != ReceiptPayloadType:
		return errors.New("what is signed is of another type")
	case len(e.Signatures) != 1:
		return errors.New("it does not have one signature")
	}
	return nil
}

// pae is DSSE's pre-authentication encoding: what the signature is made over.
func pae(payloadType string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// Sign writes the receipt, in canonical form and with its Kind if it has none, into a DSSE envelope
// that the signer, which must be an Ed25519 key's, has signed. The same receipt and
// key give the same bytes. The digest is that of the envelope. Errors wrap
// ErrBadReceipt when the receipt does not make sense; others are the signer's.
func Sign(signer crypto.Signer, r EraseReceipt) (envelope []byte, digest string, err error) {
	public, ok := signer.Public().(ed25519.PublicKey)
	if !ok {
		return nil, "", errors.New("sign receipt: the key is not an Ed25519 key")
	}
	payload, err := encodeCanonical(r)
	if err != nil {
		return nil, "", fmt.Errorf("sign receipt: %w", err)
	}
	// Ed25519 needs no randomness and takes the message itself.
	sig, err := signer.Sign(nil, pae(ReceiptPayloadType, payload), crypto.Hash(0))
	if err != nil {
		return nil, "", fmt.Errorf("sign receipt: %w", err)
	}
	envelope, err = encodeCanonical(dsse{
		Payload: payload, PayloadType: ReceiptPayloadType, Signatures: []signature{{KeyID: KeyID(public), Sig: sig}},
	})
	if err != nil {
		return nil, "", fmt.Errorf("sign receipt: %w", err)
	}
	// A receipt that nobody could verify must not get into the chain.
	if _, err := Verify(envelope, []ed25519.PublicKey{public}); err != nil {
		return nil, "", fmt.Errorf("sign receipt: %w", err)
	}
	return envelope, Digest(envelope), nil
}

// Verify gives the receipt in an envelope if one of the keys has signed it. It takes
// what Sign writes and nothing else, to the last byte. Errors wrap ErrBadReceipt,
// ErrUnknownKey or ErrBadSignature, and repeat nothing of the contents.
func Verify(envelope []byte, keys []ed25519.PublicKey) (EraseReceipt, error) {
	e, err := open(envelope)
	if err != nil {
		return EraseReceipt{}, err
	}
	sig := e.Signatures[0]
	at := slices.IndexFunc(keys, func(key ed25519.PublicKey) bool { return KeyID(key) == sig.KeyID })
	if at < 0 || len(keys[at]) != ed25519.PublicKeySize {
		return EraseReceipt{}, ErrUnknownKey
	}
	if !ed25519.Verify(keys[at], pae(e.PayloadType, e.Payload), sig.Sig) {
		return EraseReceipt{}, ErrBadSignature
	}
	r, err := decodeCanonical[EraseReceipt](e.Payload)
	if err != nil {
		return EraseReceipt{}, bad(err)
	}
	return r, nil
}

// SignedBy gives the KeyID that an envelope claims. Only Verify tells whether that
// is true. Errors wrap ErrBadReceipt.
func SignedBy(envelope []byte) (keyID string, err error) {
	e, err := open(envelope)
	if err != nil {
		return "", err
	}
	return e.Signatures[0].KeyID, nil
}

func open(envelope []byte) (dsse, error) {
	if len(envelope) > MaxReceiptSize {
		return dsse{}, bad(fmt.Errorf("it is longer than %d bytes", MaxReceiptSize))
	}
	e, err := decodeCanonical[dsse](envelope)
	if err != nil {
		return dsse{}, bad(err)
	}
	return e, nil
}

// bad marks an error as ErrBadReceipt, once.
func bad(err error) error {
	if errors.Is(err, ErrBadReceipt) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrBadReceipt, err)
}

// KeyID names a public key: the first 16 bytes of the SHA-256 over its
// SubjectPublicKeyInfo (DER), hexadecimal.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(publicDER(key))
	return hex.EncodeToString(sum[:16])
}

// EncodePublicKey writes a key as PEM, as OpenSSL and others read it.
func EncodePublicKey(key ed25519.PublicKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemPublicKey, Bytes: publicDER(key)})
}

func publicDER(key ed25519.PublicKey) []byte {
	der, _ := x509.MarshalPKIXPublicKey(key) // It fails only for unknown types.
	return der
}

// ParsePublicKeys reads all keys of a PEM file. Text between the keys is skipped.
// It is an error when there is none, or one that is not an Ed25519 public key.
func ParsePublicKeys(file []byte) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	block, rest := pem.Decode(file)
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type != pemPublicKey {
			return nil, errors.New("read public keys: the file holds something other than public keys")
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("read public keys: one of them is malformed")
		}
		key, ok := parsed.(ed25519.PublicKey)
		if !ok {
			return nil, errors.New("read public keys: one of them is not an Ed25519 key")
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 || bytes.Contains(rest, []byte("-----BEGIN")) {
		return nil, errors.New("read public keys: the file is not a PEM file with whole public keys")
	}
	return keys, nil
}
